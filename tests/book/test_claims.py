"""The ledger: statuses follow from values, and every claim can be followed to its place."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import recorded

from book._ext import changed, claims, evidence, ledger, notebooks, pictures, table1
from book._ext.evidence import Check
from semirobust.results import frames, verdicts
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
        "data": {
            "name": about.get("data", "cifar10"),
            "train": 10000 if profile == "cpu" else None,
        },
        "attack": {"epsilon": 8 / 255},
        "protocol": about.get("protocol", "online"),
        "seed": seed,
    }
    rows = [{"network": "robust", "whitebox": robust}, {**TUNED, "whitebox": tuned}]
    settings = {"kind": "Row", "study": study, **about.get("more", {})}
    return recorded.store(
        root / "results", "table-1", settings, {"networks": rows}, profile=profile
    )


def finding(check, root):
    """The findings of a test, of which there is one here."""
    [only] = claims.findings_of(check, root)
    return only


def three(root, tuned=(0.285, 0.275, 0.28), robust=0.30, **about):
    return [store(root, robust, value, seed=seed, **about) for seed, value in enumerate(tuned)]


def test_an_interval_in_the_range_holds_outside_it_does_not_and_across_a_limit_is_undecided(
    tmp_path,
):
    three(tmp_path)  # -1.5, -2.5 and -2.0 points: 2.0 +- 4.303 * 0.5 / sqrt(3)
    found = finding(replace(CHECK, within=(-0.04, 1)), tmp_path)
    assert found.estimate.interval() == pytest.approx((-0.02 - 0.0124, -0.02 + 0.0124), abs=1e-4)
    assert (found.word, found.shown) == ("holds", "-2.0 [-3.2, -0.8]")
    assert found.scale == "quarter width, 10,000 images, 3 seeds"
    assert len(found.files) == 3
    assert finding(replace(CHECK, within=(-0.005, 1)), tmp_path).word == "does not hold"
    assert finding(CHECK, tmp_path).word == "undecided"


def test_a_share_is_the_difference_over_the_second_value(tmp_path):
    store(tmp_path, 0.30, 0.15)
    found = finding(replace(CHECK, share=True, unit="per cent"), tmp_path)
    assert found.values == pytest.approx((-0.5,))
    assert found.shown.startswith("-50.0 [")


def test_files_are_those_of_the_seeds_that_both_sides_have(tmp_path):
    store(tmp_path, 0.30, 0.29)
    only = store(tmp_path, 0.31, 0.28, seed=1, protocol="static")
    pair = replace(CHECK, minus={"record": {**CHECK.record, "protocol": "static"}, "row": TUNED})
    assert not finding(pair, tmp_path).values
    store(tmp_path, 0.30, 0.25, protocol="static")
    found = finding(pair, tmp_path)
    assert len(found.files) == 2
    assert only not in found.files


def standing(path, robust, tuned):
    """Add the reports with which images stood to a record."""
    reports = [
        {"network": "robust", "column": "whitebox", "standing": robust},
        {**TUNED, "column": "whitebox", "standing": tuned},
    ]
    recorded.rewrite(path, lambda record: record["metrics"].update(reports=reports))


def test_networks_that_met_the_same_images_are_compared_image_by_image(tmp_path):
    """Two networks that differ on two of 100 images, though each stood on half of them."""
    path = store(tmp_path, 0.50, 0.48)
    standing(path, "10" * 50, "00" * 2 + "10" * 48)
    [value] = evidence.values(CHECK, tmp_path).values()
    assert value.value == pytest.approx(-0.02)
    assert value.terms.mean() == pytest.approx(-0.02)
    assert value.terms.std(ddof=1) / 10 == pytest.approx(0.0141, abs=1e-3)  # unpaired it is 0.07
    [share] = evidence.values(replace(CHECK, share=True), tmp_path).values()
    assert share.terms.std() == pytest.approx(0.28, abs=0.01)  # two terms of -2


def test_a_single_run_is_granted_a_spread_and_adds_the_errors_of_its_images(tmp_path):
    path = store(tmp_path, 0.30, 0.29)
    assert finding(CHECK, tmp_path).estimate.over_seeds == pytest.approx(0.05**2)

    def widen(document):
        for row in document["metrics"]["networks"]:
            row["whitebox_two_errors"] = 0.04

    recorded.rewrite(path, widen)
    assert finding(CHECK, tmp_path).estimate.over_images == pytest.approx(2 * 0.02**2)


def test_of_a_whole_test_set_without_flags_the_images_count_as_many_as_it_has(tmp_path):
    """Three equal seeds met the same 10,000 images, so their interval has the width of these."""
    for path in three(tmp_path, tuned=(0.30, 0.30, 0.30)):
        recorded.rewrite(
            path,
            lambda record: [row.update(clean=0.8) for row in record["metrics"]["networks"]],
        )
    alone = replace(CHECK, column="clean", minus={})
    assert finding(alone, tmp_path).estimate.over_images == pytest.approx(0.8 * 0.2 / 10_000)
    low, high = finding(replace(CHECK, column="clean"), tmp_path).estimate.interval()
    assert high == -low == pytest.approx(1.96 * (2 * 0.8 * 0.2 / 10_000) ** 0.5, rel=2e-3)


def test_a_growth_over_doses_has_the_error_of_its_images(tmp_path):
    """The last of three doses loses 10 of 100 images, which stand in all others."""
    path = store(tmp_path, 0.3, 0.3)
    kept = {3.0: "0" * 10 + "1" * 90, 0.0: "1" * 100, 0.1: "1" * 100}  # not in their order
    names = {"training": "clean", "column": "whitebox"}
    reports = [{**names, "weight": weight, "standing": flags} for weight, flags in kept.items()]
    doses = [{"training": "clean", "whitebox": -0.1}]
    recorded.rewrite(path, lambda r: r["metrics"].update(doses=doses, reports=reports))
    growth = replace(CHECK, table="doses", row={"training": "clean"}, minus={})
    [value] = evidence.values(growth, tmp_path).values()
    assert value.terms.mean() == pytest.approx(value.value) == -0.1
    assert sorted(set(value.terms)) == [-1, 0]


def test_a_limit_that_no_accuracy_can_cross_is_none():
    assert CHECK.limits == (-0.02, float("inf"))
    assert replace(CHECK, minus={}, within=(0, 0.05)).limits == (-float("inf"), 0.05)
    assert replace(CHECK, unit="", within=(0, 1)).limits == (0, 1)


def test_every_answer_of_the_front_page_rests_on_claims():
    entries = ledger.found()
    text = ledger.answers(entries)
    assert [line[0] for line in text.splitlines() if line[0].isdigit()] == list("1234")
    named = [name for answer in claims.entries("answer") for name in answer["by"].values()]
    assert set(named) <= set(entries)
    assert text.count("ledger.html#claim-") == len(named)


@pytest.mark.parametrize(
    ("about", "shown"),
    [({"profile": "smoke"}, True), ({"protocol": "static"}, False), ({"model": "alexnet"}, False)],
)
def test_a_run_of_something_else_or_too_small_is_no_evidence(about, shown, tmp_path):
    three(tmp_path, **about)
    found = finding(CHECK, tmp_path)
    assert found.word == "not run"
    assert (found.estimate is not None) == shown


def test_a_smaller_run_than_the_claim_needs_is_shown_but_decides_nothing(tmp_path):
    three(tmp_path)
    found = finding(replace(CHECK, at_least="gpu"), tmp_path)
    assert (found.word, found.shown) == ("not run", "-2.0 [-3.2, -0.8]")


def test_a_large_run_stands_beside_the_small_ones_and_displaces_none(tmp_path):
    three(tmp_path, tuned=(0.29, 0.291, 0.289))
    store(tmp_path, 0.50, 0.10, profile="gpu")
    claim = replace(CLAIMS[0], kind="experiment", verdict=None, tests=(CHECK,))
    small, large = found = claims.findings(claim, tmp_path)
    assert (small.profile, small.word) == ("cpu", "holds")
    assert (large.profile, large.word) == ("gpu", "does not hold")
    assert claims.verdict(claim, found) == "undecided"
    assert claims.verdict(claim, [small]) == "holds"


def test_two_runs_of_one_seed_must_be_told_apart(tmp_path):
    store(tmp_path, 0.30, 0.29)
    labelled = store(tmp_path, 0.30, 0.10, more={"label": "clean images"})
    assert labelled not in finding(CHECK, tmp_path).files
    store(tmp_path, 0.30, 0.29, more={"images": 500})
    with pytest.raises(ValueError, match="are both cpu runs of seed 0"):
        finding(CHECK, tmp_path)


def test_only_seeds_that_both_sides_have_are_subtracted(tmp_path):
    other = replace(CHECK, minus={"record": {**CHECK.record, "data": "imagenette"}})
    store(tmp_path, 0.3, 0.30, seed=0)
    store(tmp_path, 0.3, 0.40, seed=1)
    store(tmp_path, 0.3, 0.25, seed=1, data="imagenette")
    assert finding(other, tmp_path).values == pytest.approx((0.15,))


EXACT = Check(kind="exact", within=(0, 2), notebook="11-semirobustness", value="any_readout_1")


def test_an_exact_value_of_a_chapter_counts_in_any_size_and_others_do_not():
    assert finding(EXACT, ROOT).word == "not run"
    assert finding(replace(EXACT, exact=True), ROOT).word == "holds"


def chapter(root, *outputs):
    path = root / "notebooks" / "11-semirobustness.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"outputs": [{"data": {MIME: numbers}}]} for numbers in outputs]
    path.write_text(json.dumps({"cells": [{"source": "words"}, *cells]}), encoding="utf-8")


def test_the_values_of_a_chapter_are_read_by_name(tmp_path):
    chapter(tmp_path, {"any_readout_1": 0.75}, {"other": 0.5})
    assert finding(EXACT, tmp_path).values == (0.75,)
    assert finding(replace(EXACT, less="other"), tmp_path).values == (0.25,)


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


THEORY = replace(CLAIMS[0], kind="theory", verdict="proved", tests=(replace(EXACT, exact=True),))


def test_the_verdict_on_a_theory_must_agree_with_its_exact_values():
    found = claims.findings(THEORY)
    assert claims.verdict(THEORY, found) == "proved"
    wrong = replace(THEORY, verdict="false (counterexample)")
    with pytest.raises(
        ValueError, match=r"false \(counterexample\), and no value outside its range"
    ):
        claims.verdict(wrong, claims.findings(wrong))
    outside = replace(THEORY, tests=(replace(EXACT, exact=True, within=(5, 6)),))
    with pytest.raises(ValueError, match="proved, and a value outside its range"):
        claims.verdict(outside, claims.findings(outside))


@pytest.mark.parametrize(
    ("lacks", "reason"),
    [
        ({"place": ""}, "needs place"),
        ({"verdict": None}, "a theory needs one of the verdicts"),
        ({"kind": "experiment", "verdict": None, "tests": ()}, "needs a test, or says"),
        ({"kind": "fairy tale", "verdict": None}, "kind is one of"),
    ],
)
def test_an_entry_without_place_test_or_verdict_is_refused(lacks, reason):
    with pytest.raises(ValueError, match=reason):
        replace(THEORY, **lacks)


# The claims as they stand


def test_there_are_claims_of_every_kind_and_each_has_its_own_name():
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS) >= 40
    assert sum(claim.name.startswith("table-1") for claim in CLAIMS) >= 27
    assert {claim.paper for claim in CLAIMS} <= set(claims.PAPERS)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_a_claim_is_complete_and_leads_to_a_page(claim):
    page = ROOT / claim.page
    assert page.with_suffix(".ipynb").exists() or page.with_suffix(".md").exists()
    assert claims.verdict(claim, claims.findings(claim)) in ledger.HEADS


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_what_a_test_names_stands_in_the_records(claim):
    """A column that no record has would be read as a claim that nobody attempted."""
    for test in claim.tests:
        assert not test.notebook or (ROOT / "notebooks" / f"{test.notebook}.ipynb").exists()
        known = set(frames.frame(test.experiment, test.table)) if test.experiment else set()
        for side in ({}, test.minus) if known else ():
            row = {**side.get("record", test.record), **side.get("row", test.row)}
            assert {side.get("column", test.column), *row} <= known


def test_every_published_cell_is_quoted_by_a_claim():
    quoted = {number for c in CLAIMS for number in re.findall(r"-?\d+(?:\.\d+)?", c.quoted)}
    printed = published_numbers()
    papers = printed["place"].str.match("Table|Revision|Methods|SoK leaderboard, MixTrain")
    missing = printed[papers & ~printed["printed"].isin(quoted)]
    assert missing.empty, missing.to_string()
    assert papers.sum() > 200


def test_every_statement_of_the_papers_has_its_entries_and_every_entry_its_statement():
    claims.complete()


@pytest.fixture
def copied(tmp_path):
    """The files of the ledger in a folder of their own, and a function that edits one of them."""
    (tmp_path / "book").mkdir()
    for name in (claims.FILE, claims.STATEMENTS):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())

    def edit(name, old, new):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert re.search(old, text)
        (tmp_path / name).write_text(re.sub(old, new, text, count=1), encoding="utf-8")
        return tmp_path

    return edit


def entry(name):
    return rf'(?s)\[\[claim\]\]\nname = "{name}"\n.*?(?=\[\[claim\]\]\n)'


@pytest.mark.parametrize(
    "claim", [c for c in CLAIMS if c.paper != "book"][::9], ids=lambda c: c.name
)
def test_an_entry_that_is_lost_is_missed(claim, copied):
    root = copied(claims.FILE, entry(claim.name), "")
    with pytest.raises(ValueError, match=rf"has no {claim.name} for {claim.paper}, "):
        claims.complete(root)


@pytest.mark.parametrize(
    ("name", "old", "new", "reason"),
    [
        ("STATEMENTS", r'"Lemma 1" = .*\n', "", "no line for lemma-1"),
        ("STATEMENTS", r'"Lemma 1" = .*\n', '"Lemma 1" = []\n', "has nothing for first, 'Lemma 1'"),
        ("FILE", 'place = "Lemma 1"\n', 'place = ""\n', "claim 'lemma-1': needs place"),
        ("FILE", 'untested = "not run; at.*\n', "", "'magnitude-16-32': needs a test, or says in"),
        (
            "FILE",
            'verdict = "true but empty"\n',
            "",
            "'theorem-1': a theory needs one of the verdicts",
        ),
    ],
)
def test_a_statement_without_entry_and_an_entry_without_place_test_or_status_are_named(
    name, old, new, reason, copied
):
    with pytest.raises(ValueError, match=reason):
        claims.complete(copied(getattr(claims, name), old, new))


def test_words_are_quoted_of_the_paper_whose_text_is_known_and_figures_of_the_others():
    for claim in CLAIMS:
        words = re.findall('"(.*?)"', claim.quoted)
        assert not words or claim.paper == "first", claim.name
        assert words or not claim.quoted or re.search(r"\d|[=≤→(]", claim.quoted), claim.name


def test_every_quoted_cell_is_in_the_published_numbers():
    known = set(published_numbers()["printed"])
    cells = [
        claim for claim in CLAIMS if re.match("table-1|revision-(vgg|resnet|s1|method)", claim.name)
    ]
    for claim in cells:
        quoted = set(re.findall(r"-?\d+\.\d+", claim.quoted))
        assert quoted <= known, claim.name


def test_the_ledger_shows_every_claim_once_with_its_interval_and_negatives_first():
    entries = ledger.found()
    text = ledger.ledger(entries)
    heads = re.findall("^## (.*)", text, re.MULTILINE)
    assert heads[0] == "Theory: false as printed"
    assert heads.index("Experiments: does not hold") < heads.index("Experiments: holds")
    anchors = re.findall('id="claim-(.*?)"', text)
    assert sorted(anchors) == sorted(claim.name for claim in CLAIMS)
    for entry in entries.values():
        recorded = [one for one in entry.findings if one.decision and not one.test.exact]
        assert all(one.shown in text and "[" in one.shown for one in recorded)


def test_counts_leave_out_what_the_book_proposes_and_what_is_true_by_construction():
    entries = ledger.found()
    lines = [line for line in ledger.counts(entries).splitlines() if line.startswith("| together")]
    numbers = [[int(cell) for cell in line.split("|")[2:-1]] for line in lines]
    assert all(sum(row[:-1]) == row[-1] for row in numbers)
    apart = [claim for claim in CLAIMS if claim.kind not in claims.COUNTED]
    assert sum(row[-1] for row in numbers) == len(CLAIMS) - len(apart)
    assert len(apart) > 5


def test_claims_of_the_front_page_are_adjusted_for_their_number(tmp_path):
    entries = ledger.found()
    named = {name for one in claims.entries("headline") for name in one["claims"]}
    family = [
        entry
        for entry in (entries[name] for name in named)
        if entry.claim.verdict is None and any(not one.test.exact for one in entry.findings)
    ]
    alone = {e.claim.name: claims.decided(e.claim, e.findings) for e in family if e.decision}
    assert len(alone) > 5
    smallest = min(alone, key=lambda name: alone[name].p)
    assert entries[smallest].decision.p == pytest.approx(len(alone) * alone[smallest].p)
    assert all(entries[name].decision.p >= one.p for name, one in alone.items())


def test_a_single_run_is_granted_more_than_nearly_every_row_of_three_seeds_shows():
    shares = {}
    for claim in CLAIMS:
        for one in claims.findings(claim):
            if len(one.values) >= verdicts.ENOUGH:
                kept = np.std(one.values, ddof=1) <= one.test.spread
                shares.setdefault(one.test.spread, []).append(kept)
    assert sum(map(len, shares.values())) > 40
    assert all(np.mean(kept) > 0.85 for kept in shares.values()), shares


# Table 1 and the figure


def test_table_1_has_a_line_for_every_published_cell_and_our_value_beside_it(tmp_path):
    store(tmp_path, 0.304, 0.275)
    text = table1.table_1(tmp_path)
    plain = text.replace("\u00a0", " ").replace("\u2011", "-")
    tuned = r"$\widetilde{\mathrm{Acc}}$"
    size = "quarter width, 10,000 images"
    assert f"| VGG16 | {tuned} | 76.6 | – | 27.5 | – | – | {size}, 1 seed |" in plain
    assert f"| VGG16 | Diff. | -2.5 | – | -2.9 | – | – | {size}, 1 seed |" in plain
    rho = {"preset": "paper", "j": 16, "value": 2.5, "null_mean": 1.25, "excess": 1.125}
    path = next((tmp_path / "results").rglob("*.json"))
    recorded.rewrite(path, lambda record: record["metrics"].update(rho=[{**TUNED, **rho}]))
    again = table1.table_1(tmp_path).replace("\u00a0", " ")
    assert rf"| VGG16 | $\rho_{{n}}$ | 3.22 | – | – | 2.50 | 1.12 | {size}, 1 seed |" in again
    store(tmp_path, 0.304, 0.275, seed=1)
    again = table1.table_1(tmp_path).replace("\u00a0", " ")
    assert f"| 27.5 ± 0.0 | – | – | {size}, 2 seeds |" in again
    store(tmp_path, 0.304, 0.402, profile="gpu")
    beside = table1.table_1(tmp_path).replace("\u00a0", " ")
    assert f"| 27.5 ± 0.0 | – | – | {size}, 2 seeds |" in beside
    assert "| – | 40.2 | – | – |" in beside
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
    names = {"retrained": TUNED, "robust": {"network": "robust"}}
    for network, row in names.items():
        recorded = replace(CHECK, row=row, minus={})
        shown = drawn.loc[drawn["network"] == network, "accuracy"]
        [found] = [one for one in claims.findings_of(recorded) if one.profile == "cpu"]
        assert sorted(shown) == sorted(found.values)


def test_the_figure_is_part_of_the_page_with_words_and_data():
    drawn = pictures.inline(FRONT)
    label = re.search('aria-label="(.*?)"', drawn)[1]
    assert label.startswith("trained on stored examples: accuracy on test images. robust: 0 at")
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
    assert "| width of the network | 1 | 0.25, 1 |" in changed.box(chapter.results("cpu"))
