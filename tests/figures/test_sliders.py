"""Figures that a reader moves: a drawing without scripts, every state inside, true in each."""

import re
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from browser import CHROMIUM, pressed, state
from torch import nn

from semirobust import data
from semirobust.attacks import PGD
from semirobust.edge import Edge, laws
from semirobust.figures import alt_text, gallery, plot_noise, plot_slider, plot_world
from semirobust.figures.sliders import Axes
from semirobust.results.touch import Control, touch
from semirobust.theory import worlds

RADII, WIDTHS, SAMPLES, SCALES = (0, 8, 32), (16, 256, 4096), (50, 100), (1, 4, 16)
ROWS = [
    {"radius": r, "j": j, "gamma": 1 - r * j / 4, "readout": name}
    for name in ("first", "second")
    for r in (0, 1, 2)
    for j in (1, 2, 3)
]
LABELS = {"radius": "radius", "j": "layer <j>", "gamma": "γ_j"}
EDGE = replace(Edge.preset("paper"), permutations=0)
TIED = worlds.Pair(
    np.array([0.5, 0.5]), np.array([[[0.55, 0.05], [0.1, 0.3]], [[0.3, 0.1], [0.05, 0.55]]])
)
CUT = TIED.p.sum(axis=2, keepdims=True) * TIED.p.sum(axis=1, keepdims=True)
TIES = {t: worlds.Pair(TIED.prior, t * TIED.p + (1 - t) * CUT) for t in (0, 0.5, 1)}
BEFORE, AFTER = np.array([-0.2, 0.2]), np.array([-1.0, 1.0])


def slider():
    return plot_slider(ROWS, x="j", y="gamma", move="radius", by="readout", labels=LABELS)


def noise():
    rows = [
        {"samples": n, "width": d, "rho": laws.noise(n, d, d, edge=EDGE).value}
        for n, d in product(SAMPLES, WIDTHS)
    ]
    return plot_noise(rows, pd.DataFrame(laws.published()))


def world():
    return plot_world(TIES, BEFORE, AFTER, SCALES)


@pytest.fixture(scope="module")
def pushed():
    digits = data.subset(gallery.coloured(data.load("digits")).test, 12)
    generator = torch.Generator().manual_seed(0)
    networks = {"standard": nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))}
    networks["standard"][1].weight.data = torch.randn(10, 3072, generator=generator) / 50
    networks["robust"] = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(192, 10))
    networks["robust"][2].weight.data = torch.randn(10, 192, generator=generator) / 10
    attack = PGD(epsilon=16 / 255, step_size=4 / 255, steps=5)
    return networks, digits, attack, gallery.plot_push(networks, digits, attack, radii=RADII)


def page_of(figure):
    return figure._repr_mimebundle_()[0]["text/html"]


def said(page):
    return page.find("output").text


def test_a_figure_has_its_data_its_words_and_inputs_with_labels_and_needs_nothing_else(pushed):
    for figure in (slider(), noise(), world(), pushed[-1]):
        stored, metadata = figure._repr_mimebundle_()
        page = stored["text/html"]
        assert stored[alt_text.CSV].count("\n") == 1 + len(figure.data)
        assert len(metadata[alt_text.CSV]["alt"]) > 40
        assert "http" not in page
        static = re.sub(r"<script.*?</script>", "", page)
        assert said(state(page, [c.first for c in figure.controls])) in static.replace("&lt;", "<")
        assert static.count("<label>") == len(figure.controls) == static.count("aria-valuetext=")


def test_a_slider_shows_the_points_of_each_value():
    drawn = slider()
    lines = [
        [line["points"] for line in state(page_of(drawn), [k]).find_all("polyline")]
        for k in range(3)
    ]
    assert [len(two) for two in lines] == [2, 2, 2]
    assert lines[0] != lines[1] != lines[2]
    assert "radius 0: 1 at 1, 1 at 3" in drawn.text
    assert "radius 2: 0.5 at 1, -0.5 at 3" in drawn.text


def test_the_noise_machine_says_what_the_estimate_gives_and_what_was_published():
    page = page_of(noise())
    published = pd.DataFrame(laws.published())
    for (k, width), (i, n) in product(enumerate(WIDTHS), enumerate(SAMPLES)):
        words = said(state(page, [k, i]))
        assert f"ρ = {laws.noise(n, width, width, edge=EDGE).value:.2f} bits" in words
        own = published.loc[published["per_class"] == n, "rho"]
        beside = f"from {own.min():.2f} to {own.max():.2f}." if len(own) else "none."
        assert words.endswith(beside)
    assert len(page) < 30_000


def test_the_lamps_of_the_world_are_those_of_its_exact_values():
    page = page_of(world())
    for (k, pair), (i, c) in product(enumerate(TIES.values()), enumerate(SCALES)):
        shown = state(page, [k, i])
        rise = pair.growth(c * BEFORE, c * AFTER)
        truth = [k > 0, rise >= 1 + pair.slack, rise >= pair.rho]
        assert [float(lamp["fill-opacity"]) for lamp in shown.find_all("circle")] == truth
        assert re.findall("holds|fails", said(shown)) == [
            "holds" if on else "fails" for on in truth
        ]
        assert f"ρ = {pair.rho:.2f} bits" in said(shown)
    assert len(page) < 30_000


def test_the_answers_to_pushed_images_are_those_of_the_networks(pushed):
    networks, digits, attack, figure = pushed
    page = page_of(figure)
    for k, r in enumerate(RADII):
        shown = state(page, [k])
        texts = [text.text for text in shown.find_all("text") if "→" in text.text]
        expected = []
        for network in networks.values():
            found = attack(network, digits.x, digits.y, generator=torch.Generator().manual_seed(0))
            x = (digits.x + r / 255 * (found - digits.x).sign()).clamp(0, 1)
            after = network(x).argmax(dim=1)
            assert f"{int((after == digits.y).sum())} of 12 digits" in said(shown)
            expected += [
                f"{y} → {a}{' ✗' * (y != a)}"
                for y, a in zip(digits.y.tolist(), after.tolist(), strict=True)
            ][:4]
        assert texts == expected
        scales = {(float(one["k3"]), float(one["k4"])) for one in shown.find_all("fecomposite")}
        assert scales == {(round(2 * r / 255, 3), -round(r / 255, 3))}


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: the figures were not moved")
def test_keys_move_every_figure_and_the_console_is_silent(pushed, tmp_path):
    for name, figure in {"noise": noise(), "world": world(), "push": pushed[-1]}.items():
        (folder := tmp_path / name).mkdir()
        keys = ["Tab", "End", "Tab", "Home"][: 2 * len(figure.controls)]
        moved, complaints = pressed(page_of(figure), keys, folder)
        places = [len(figure.controls[0].words) - 1, 0][: len(figure.controls)]
        assert complaints == []
        assert said(moved) == said(state(page_of(figure), places))


def test_states_of_different_shape_are_refused():
    with pytest.raises(ValueError, match="argument"):
        touch(lambda k: ("<g/>" * (k + 1), ""), [Control("a", ["0", "1"])], (1, 1))
    with pytest.raises(ValueError, match="a starts at 2 of 2 places"):
        Control("a", ["0", "1"], first=2)


def test_points_lie_where_the_axes_say():
    scale = Axes(low_x=0, high_x=4, low_y=-1, high_y=1)
    middle = (scale.across(0) + scale.across(4)) / 2
    assert scale.across(2) == pytest.approx(middle)
    assert scale.down(1) < scale.down(0) < scale.down(-1)
    assert scale.axes("x", "y").count("<line") == 5
