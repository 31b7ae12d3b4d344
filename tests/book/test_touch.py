"""The figure in which the cut is moved: what it shows in each state is what the records hold."""

import re
from itertools import product

import pytest
from browser import CHROMIUM, pressed, state

from book._ext import touch
from semirobust.results.frames import frame
from semirobust.results.records import ROOT

CUTS = (2, 4, 6, 8, 10, 12, 14)


def accuracies(n_b, threat, made):
    rows = frame("figure-2", "networks", "cpu", ROOT / "results").query(f"protocol == {made!r}")
    own = rows["n_b"].eq(n_b)
    robust, spliced = (rows["network"] == name for name in ("robust", "spliced"))
    tuned = own & (rows["network"] == "tuned")
    chosen = [
        robust,
        own & spliced,
        *(tuned & (rows["front"] == f) for f in ("robust", "standard")),
    ]
    return [f"{rows.loc[mask, threat].item():.1%}" for mask in chosen]


def shown(page):
    return re.findall(r"[\d.]+%", page.find("output").text)


def test_without_scripts_it_shows_twelve_layers_under_white_box_attack_and_names_the_run():
    page = touch.cut(ROOT)
    static = re.sub(r"<script.*?</script>", "", page)
    assert re.findall(r">([\d.]+%)<", static) == accuracies(12, "whitebox", "online")
    run = re.search(r"Run (\w{12})", static)[1]
    assert static.count(f">Run figure-2/{run}</title>") == 4
    assert (ROOT / "results/figure-2" / f"{run}.json").exists()
    assert len(page) < 30_000
    assert "http" not in page


def test_every_state_shows_the_records_of_its_cut():
    page = touch.cut(ROOT)
    for places in product(range(7), range(2), range(2)):
        threat, made = [*touch.THREATS][places[1]], [*touch.MADE][places[2]]
        assert shown(state(page, places)) == accuracies(CUTS[places[0]], threat, made)


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: the figure was not moved")
def test_keys_move_the_cut_and_choose_attack_and_training(tmp_path):
    keys = ["Tab", "Home", "ArrowRight", "Tab", "ArrowRight", "Tab", "ArrowDown"]
    moved, complaints = pressed(touch.cut(ROOT), keys, tmp_path)
    assert complaints == []
    assert shown(moved) == accuracies(4, "static", "static")
    assert moved.find("input", type="range")["aria-valuetext"] == "4 of 16 layers"
    assert moved.find("svg")["aria-label"] == moved.find("output").text
