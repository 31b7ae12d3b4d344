"""The ledger: statuses follow from values, and every claim can be followed to its place."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import recorded

from book._ext import changed, claims, ledger, notebooks, pictures, table1
from book._ext.claims import Check
from semirobust.results import frames
from semirobust.results.published import published_numbers
from semirobust.results.records import ROOT
from semirobust.results.values import MIME

CLAIMS = claims.claims()
TUNED = {"network": "tuned", "n_b": 12, "front": "robust"}
CHECK = Check(
    kind="white-box",
    within=(-0.02, 1),
    experiment="table-1",
    record={"model": "vgg16", "data": "cifar10", "protocol": "online"},
    row=TUNED,
    column="whitebox",
    minus={"row": {"network": "robust"}},
    unit="points",
)


def store(root, robust, tuned, *, seed=0, profile="cpu", **about):
    study = {
        "architecture": {"name": about.get("model", "vgg16"), "width": 0.25},
        "data": {"name": about.get("data", "cifar10"), "train": 10000},
        "attack": {"epsilon": 8 / 255},
        "protocol": about.get("protocol", "online"),
        "seed": seed,
    }
    rows = [{"network": "robust", "whitebox": robust}, {**TUNED, "whitebox": tuned}]
    settings = {"kind": "Row", "study": study, **{n: about[n] for n in ("label",) if n in about}}
    return recorded.store(
        root / "results", "table-1", settings, {"networks": rows}, profile=profile
    )


def test_a_value_in_the_range_is_reproduced_with_its_spread_over_seeds(tmp_path):
    store(tmp_path, 0.30, 0.29)
    store(tmp_path, 0.31, 0.28, seed=1)
    found = claims.finding(CHECK, tmp_path)
    assert found.status == "reproduced"
    assert found.values == pytest.approx((-0.01, -0.03))
    assert found.shown == "-2.0 ± 1.4 (n = 2)"
    assert len(found.files) == 2


def test_a_limit_within_a_standard_deviation_makes_a_verdict_narrow(tmp_path):
    for seed, tuned in enumerate((0.295, 0.275, 0.285)):
        store(tmp_path, 0.30, tuned, seed=seed)
    found = claims.finding(CHECK, tmp_path)
    assert found.verdict == "reproduced, narrowly"
    assert replace(found, test=replace(CHECK, within=(-0.2, 1))).verdict == "reproduced"
    assert replace(found, values=found.values[:1]).verdict == "reproduced"
    assert replace(found, values=found.values[:1], error=0.03).verdict == "reproduced, narrowly"


def test_a_share_is_the_difference_over_the_second_value(tmp_path):
    store(tmp_path, 0.30, 0.15)
    found = claims.finding(replace(CHECK, share=True, unit="per cent"), tmp_path)
    assert found.values == pytest.approx((-0.5,))
    assert found.shown == "-50.0 (n = 1)"


def test_files_are_those_of_the_seeds_that_both_sides_have(tmp_path):
    store(tmp_path, 0.30, 0.29)
    only = store(tmp_path, 0.31, 0.28, seed=1, protocol="static")
    pair = replace(CHECK, minus={"record": {**CHECK.record, "protocol": "static"}, "row": TUNED})
    assert not claims.finding(pair, tmp_path).values
    store(tmp_path, 0.30, 0.25, protocol="static")
    found = claims.finding(pair, tmp_path)
    assert len(found.files) == 2
    assert only not in found.files


def test_a_single_run_is_narrow_by_the_errors_of_its_own_images(tmp_path):
    """The errors of both sides add up in squares; that of a share is the delta method's."""
    path = store(tmp_path, 0.30, 0.29)
    assert claims.finding(CHECK, tmp_path).error is None

    def widen(document):
        for row in document["metrics"]["networks"]:
            row["whitebox_two_errors"] = 0.04

    recorded.rewrite(path, widen)
    found = claims.finding(CHECK, tmp_path)
    assert found.error == pytest.approx(0.02 * 2**0.5)
    assert found.verdict == "reproduced, narrowly"
    assert claims.finding(replace(CHECK, within=(-0.05, 1)), tmp_path).verdict == "reproduced"
    share = claims.finding(replace(CHECK, share=True), tmp_path)
    assert share.error == pytest.approx(((0.02 / 0.3) ** 2 * (1 + (0.29 / 0.3) ** 2)) ** 0.5)


def test_a_limit_that_no_share_can_cross_makes_nothing_narrow(tmp_path):
    store(tmp_path, 0.30, 0.0)
    found = claims.finding(replace(CHECK, share=True, within=(-1, -0.3)), tmp_path)
    assert replace(found, error=0.1).verdict == "reproduced"


def test_every_answer_of_the_front_page_rests_on_claims():
    entries = ledger.found()
    text = ledger.answers(entries)
    assert [line[0] for line in text.splitlines() if line[0].isdigit()] == list("1234")
    named = [name for answer in claims.entries("answer") for name in answer["by"].values()]
    assert set(named) <= set(entries)
    assert text.count("ledger.html#claim-") == len(named)


def test_a_value_outside_the_range_differs(tmp_path):
    store(tmp_path, 0.30, 0.20)
    assert claims.finding(CHECK, tmp_path).status == "differs"


@pytest.mark.parametrize(
    ("about", "status"),
    [
        ({"profile": "smoke"}, "smoke only"),
        ({"protocol": "static"}, "not attempted"),
        ({"model": "alexnet"}, "not attempted"),
        ({"data": "cifar100"}, "not attempted"),
    ],
)
def test_a_run_of_something_else_or_too_small_is_no_evidence(about, status, tmp_path):
    store(tmp_path, 0.30, 0.29, **about)
    assert claims.finding(CHECK, tmp_path).status == status


def test_a_smaller_run_than_the_claim_needs_is_shown_but_not_judged(tmp_path):
    store(tmp_path, 0.30, 0.29)
    found = claims.finding(replace(CHECK, at_least="gpu"), tmp_path)
    assert (found.status, found.shown) == ("not attempted", "-1.0 (n = 1)")


def test_of_as_many_seeds_the_largest_profile_decides(tmp_path):
    store(tmp_path, 0.30, 0.10, profile="cpu")
    store(tmp_path, 0.50, 0.51, profile="gpu")
    found = claims.finding(CHECK, tmp_path)
    assert (found.profile, found.status) == ("gpu", "reproduced")


def test_one_seed_at_full_size_does_not_displace_three_narrow_ones(tmp_path):
    for seed in range(3):
        store(tmp_path, 0.30, 0.10, seed=seed)
    store(tmp_path, 0.50, 0.51, profile="gpu")
    assert claims.finding(CHECK, tmp_path).profile == "cpu"
    for seed in (1, 2):
        store(tmp_path, 0.50, 0.51, profile="gpu", seed=seed)
    found = claims.finding(CHECK, tmp_path)
    assert (found.profile, len(found.values)) == ("gpu", 3)


def test_a_row_of_another_setting_is_read_only_by_its_name(tmp_path):
    store(tmp_path, 0.30, 0.29)
    store(tmp_path, 0.30, 0.10, label="f_b on clean images")
    assert claims.finding(CHECK, tmp_path).values == pytest.approx((-0.01,))
    named = replace(CHECK, record={**CHECK.record, "setting": "f_b on clean images"})
    assert claims.finding(named, tmp_path).values == pytest.approx((-0.2,))


def test_only_seeds_that_both_sides_have_are_subtracted(tmp_path):
    other = replace(CHECK, minus={"record": {**CHECK.record, "data": "imagenette"}})
    store(tmp_path, 0.3, 0.30, seed=0)
    store(tmp_path, 0.3, 0.40, seed=1)
    store(tmp_path, 0.3, 0.25, seed=1, data="imagenette")
    assert claims.finding(other, tmp_path).values == pytest.approx((0.15,))


EXACT = Check(kind="exact", within=(0, 2), notebook="11-semirobustness", value="any_readout_1")


def test_an_exact_value_of_a_chapter_counts_in_any_size_and_others_do_not():
    assert claims.finding(EXACT).status == "smoke only"
    assert claims.finding(replace(EXACT, exact=True)).status == "reproduced"


def chapter(root, *outputs):
    path = root / "notebooks" / "11-semirobustness.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"outputs": [{"data": {MIME: numbers}}]} for numbers in outputs]
    path.write_text(json.dumps({"cells": [{"source": "words"}, *cells]}), encoding="utf-8")


def test_the_values_of_a_chapter_are_read_by_name(tmp_path):
    chapter(tmp_path, {"any_readout_1": 0.75}, {"other": 0.5})
    assert claims.finding(EXACT, tmp_path).values == (0.75,)
    assert claims.finding(replace(EXACT, less="other"), tmp_path).values == (0.25,)


def test_a_value_that_no_cell_or_two_cells_store_is_told_with_its_claim(tmp_path):
    claim = replace(CLAIMS[0], tests=(replace(EXACT, less="gone"),))
    reason = f"claims.toml, claim '{claim.name}': 11-semirobustness.ipynb stores no value gone"
    with pytest.raises(ValueError, match=reason):
        claims.findings(claim)
    chapter(tmp_path, {"any_readout_1": 0.75}, {"any_readout_1": 0.5})
    with pytest.raises(ValueError, match="two cells give values of one name: any_readout_1"):
        claims.findings(claim, tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[[claim]]\nname = "a"', "claims.toml, claim 'a': .* missing"),
        ('[[claim]]\nname = "a"\ncolour = 1', "claims.toml, claim 'a': .* unexpected .*colour"),
        ('[[claim]]\nname = "a"\n[[claim.test]]\nkind = "b"', "claims.toml, claim 'a': 'within'"),
        ("[[claim]]\nname = ", "claims.toml: Invalid value"),
        ('[[answer]]\nby = { "b" = "c" }', "claims.toml, answer 1: no claim is named c"),
    ],
)
def test_a_claim_that_cannot_be_read_is_named_in_one_line(text, reason, tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "claims.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=reason) as told:
        ledger.answers(ledger.found(tmp_path), tmp_path)
    assert "\n" not in str(told.value)


def test_a_test_that_reads_nothing_or_two_things_is_refused():
    with pytest.raises(ValueError, match="an experiment or a notebook"):
        Check(kind="exact", within=(0, 1))
    with pytest.raises(ValueError, match="an experiment or a notebook"):
        replace(CHECK, notebook="11-semirobustness")
    with pytest.raises(ValueError, match="a range"):
        replace(CHECK, within=(1, 0))


def test_the_first_test_of_a_claim_decides():
    found = [claims.Finding(test=CHECK, status=status) for status in ("differs", "reproduced")]
    assert claims.status(found) == "differs"
    assert claims.status([]) == "not attempted"


# The claims as they stand


def test_there_are_claims_of_every_kind_and_each_has_its_own_name():
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS) >= 40
    assert sum(claim.name.startswith("table-1") for claim in CLAIMS) >= 27
    assert {claim.paper for claim in CLAIMS} == {"first", "revision"}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_a_claim_is_complete_and_leads_to_a_page(claim):
    assert all([claim.place, claim.says, claim.quoted, claim.how])
    page = ROOT / claim.page
    assert page.with_suffix(".ipynb").exists() or page.with_suffix(".md").exists()
    assert claims.status(claims.findings(claim)) in claims.STATUSES


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_what_a_test_names_stands_in_the_records(claim):
    """A column that no record has would be read as a claim that nobody attempted."""
    for test in claim.tests:
        assert not test.notebook or (ROOT / "notebooks" / f"{test.notebook}.ipynb").exists()
        known = set(frames.frame(test.experiment, test.table)) if test.experiment else set()
        for side in ({}, test.minus) if known else ():
            row = {**side.get("record", test.record), **side.get("row", test.row)}
            assert {side.get("column", test.column), *row} <= known


def test_every_quoted_cell_is_in_the_published_numbers():
    known = set(published_numbers()["printed"])
    cells = [
        claim for claim in CLAIMS if re.match("table-1|revision-(vgg|resnet|s1|method)", claim.name)
    ]
    for claim in cells:
        quoted = set(re.findall(r"-?\d+\.\d+", claim.quoted))
        assert quoted <= known, claim.name


def test_the_ledger_shows_negatives_first_and_every_claim_once():
    text = ledger.ledger(ledger.found())
    heads = re.findall("^## (.*)", text, re.MULTILINE)
    assert heads[0] == "What differs"
    anchors = re.findall('id="claim-(.*?)"', text)
    assert sorted(anchors) == sorted(claim.name for claim in CLAIMS)


def test_counts_add_up_to_all_claims():
    together = ledger.counts(ledger.found()).splitlines()[-1]
    numbers = [int(cell) for cell in together.split("|")[2:-1]]
    assert sum(numbers[:-1]) == numbers[-1] == len(CLAIMS)


def test_the_words_of_the_front_page_follow_from_the_ledger():
    found = ledger.found()
    status = {name: [one.status for one in entry[1]] for name, entry in found.items()}
    assert status["robust-at-all"] == ["differs", "differs", *["reproduced"] * 3]
    others = ["reproduced", "reproduced", "differs"]  # on Imagenette more is left without it
    assert status["uses-the-robust-half"] == ["reproduced", "differs", *others]
    assert status["table-1-vgg16-cifar10-tuned"][1] == "reproduced"


# Table 1 and the figure


def test_table_1_has_a_line_for_every_published_cell_and_our_value_beside_it(tmp_path):
    store(tmp_path, 0.304, 0.275)
    text = table1.table_1(tmp_path)
    plain = text.replace("\u00a0", " ").replace("\u2011", "-")
    tuned = r"$\widetilde{\mathrm{Acc}}$"
    assert f"| VGG16 | {tuned} | 76.6 | – | 27.5 | – | – | 1 |" in plain
    assert "| VGG16 | Diff. | -2.5 | – | -2.9 | – | – | 1 |" in plain
    rho = {"preset": "paper", "j": 16, "value": 2.5, "null_mean": 1.25, "excess": 1.125}
    path = next((tmp_path / "results").rglob("*.json"))
    recorded.rewrite(path, lambda record: record["metrics"].update(rho=[{**TUNED, **rho}]))
    again = table1.table_1(tmp_path).replace("\u00a0", " ")
    assert r"| VGG16 | $\rho_{n}$ | 3.22 | – | – | 2.50 | 1.12 | 1 |" in again
    store(tmp_path, 0.304, 0.275, seed=1)
    again = table1.table_1(tmp_path).replace("\u00a0", " ")
    assert "| 27.5 ± 0.0 | – | – | 2 |" in again
    lines = [line for line in text.splitlines() if re.match(r"\| (Alex|VGG|Res)", line)]
    assert len(lines) == len(published_numbers("Table 1")) == 69


def test_a_smoke_run_is_not_set_beside_the_paper(tmp_path):
    store(tmp_path, 0.304, 0.275, profile="smoke")
    assert "27.5" not in table1.table_1(tmp_path)


FRONT = ROOT / "book" / "assets" / "table-1-vgg16.svg"


def test_the_front_page_s_figure_is_drawn_from_today_s_records():
    runs = frames.frame("table-1", profile="cpu").query("model == 'vgg16' and data == 'cifar10'")
    text = FRONT.read_text(encoding="utf-8")
    assert set(re.findall("<rdf:li>(.*?)</rdf:li>", text)) == set(runs["key"])
    drawn = pd.read_csv(FRONT.with_suffix(".csv"))
    drawn = drawn.query("threat == 'white-box' and protocol == 'online'")
    names = {"tuned": TUNED, "robust": {"network": "robust"}}
    for network, row in names.items():
        recorded = replace(CHECK, row=row, minus={})
        shown = drawn.loc[drawn["network"] == network, "accuracy"]
        assert sorted(shown) == sorted(claims.finding(recorded).values)


def test_the_figure_is_part_of_the_page_with_words_and_data():
    drawn = pictures.inline(FRONT)
    label = re.search('aria-label="(.*?)"', drawn)[1]
    assert label.startswith("made robust to stored examples: accuracy on test images. robust: 0 at")
    assert "0.79 at the paper" in label
    assert 'color="#' not in drawn
    assert "currentColor" in drawn
    assert "<metadata" not in drawn
    assert '_static/table-1-vgg16.csv" download' in drawn
    assert "\n\n" not in drawn


def test_a_drawing_without_words_is_refused(tmp_path):
    path = tmp_path / "some.svg"
    path.write_text("<svg></svg>", encoding="utf-8")
    with pytest.raises(ValueError, match=r"some.svg has no caption or no alternative text"):
        pictures.inline(path)


# How a run differs from the paper


def test_the_box_shows_what_differs_and_leaves_out_what_agrees(tmp_path):
    path = store(tmp_path, 0.3, 0.2)
    found = {word: (paper, here) for word, paper, here in changed.changes([path])}
    assert found["width of the network"] == (1.0, [0.25])
    assert found["training images"] == ("all", [10000])
    assert "radius of the attack, in 255ths" not in found


def test_defaults_that_a_record_leaves_out_are_filled_in():
    defaults = changed.defaults()
    assert defaults["Training"]["momentum"] == 0.9
    filled = changed.complete({"kind": "Training", "epochs": 3, "momentum": 0.5})
    assert (filled["epochs"], filled["momentum"]) == (3, 0.5)


def test_without_records_there_is_no_box():
    assert changed.box([]) == ""


def test_a_chapter_of_records_gets_its_box():
    chapter = notebooks.find(Path(ROOT / "notebooks" / "31-vgg16.ipynb"))
    assert "| width of the network | 1 | 0.25 |" in changed.box(chapter.results("cpu"))
