"""The front page's answer: its numbers stand in the records, and where none fits it is silent."""

import re

import pytest

from book._ext import front
from semirobust.findings import carriers
from semirobust.results.frames import frame
from semirobust.results.records import ROOT

GOOD = {"robust": 0.4, "spliced": 0.03, "tuned": 0.4, "behind": 0.02}


def scale(**changed):
    return front.Scale("cpu", {**GOOD, **changed}, 3, "full width")


def test_its_first_numbers_are_those_of_the_largest_recorded_networks():
    networks = front.selected(ROOT, "online", "networks", setting=None)
    largest = front.scales(ROOT)[0]
    own = networks[networks["profile"] == largest.profile]
    robust, spliced = (front.mean(own, front.PLACES[name]) for name in ("robust", "spliced"))
    text = front.answer(ROOT)
    assert f"falls from {robust:.1%} to {spliced:.1%}" in text
    assert len(re.findall(r"\d+\.\d%", text)) <= 15


def test_the_attack_is_that_of_every_record_or_there_is_no_sentence(monkeypatch):
    assert "attacked itself by PGD with 20 steps at 8/255" in front.answer(ROOT)
    steps = iter(range(20, 99))
    whitebox = {"kind": "PGD", "epsilon": 8 / 255}
    monkeypatch.setattr(
        front, "document", lambda _: {"settings": {"whitebox": whitebox | {"steps": next(steps)}}}
    )
    with pytest.raises(ValueError, match=r"no sentence for .* attacked in several ways"):
        front.attacked(ROOT)


def test_where_splicing_costs_nothing_there_is_no_sentence():
    assert "is gone" in front.spliced(scale())
    with pytest.raises(ValueError, match=r"no sentence for spliced 0\.380"):
        front.spliced(scale(spliced=0.38))


def test_a_sentence_says_no_more_than_its_verdict():
    assert "all of it returns" in front.retrained(scale(), ROOT)
    weaker = front.retrained(scale(), ROOT, back=False)
    assert "all of it returns" not in weaker
    assert "cannot tell" in weaker
    said = dict.fromkeys(front.CLAIMS.values(), "undecided")
    assert "cannot tell" in front.answer(ROOT, said)
    assert f"{front.CLAIMS['gone']}: undecided" in front.answer(ROOT, said)


def test_the_share_that_a_robust_front_alone_keeps_is_that_of_the_chapter_on_it():
    (cell,) = carriers.retained({"networks": frame("carriers", "networks")}).query(
        "model == 'vgg16' and frozen == 'front' and origin == 'robust' and training == 'clean' "
        "and n_b == 12"
    )["mean"]
    told = front.retrained(front.scales(ROOT)[0], ROOT)
    assert re.search(
        rf"\d% of the robustness \([a-z ]+; {cell:.0%} at a quarter of the width\)", told
    )


@pytest.mark.parametrize("changed", [{"tuned": 0.3}, {"behind": 0.38}], ids=["lost", "control"])
def test_where_retraining_fails_or_needs_no_robust_front_there_is_no_sentence(changed):
    with pytest.raises(ValueError, match="no sentence for tuned"):
        front.retrained(scale(**changed), ROOT)


def test_without_records_it_names_the_command(tmp_path):
    with pytest.raises(ValueError, match="semirobust run table-1"):
        front.answer(tmp_path)
