"""A figure with a slider: a drawing without scripts, all values inside, nothing from elsewhere."""

import json
import re

import pytest

from semirobust.figures import alt_text
from semirobust.figures.sliders import Axes, Slider

ROWS = [
    {"radius": r, "j": j, "gamma": 1 - r * j / 4, "readout": name}
    for name in ("first", "second")
    for r in (0, 1, 2)
    for j in (1, 2, 3)
]
LABELS = {"radius": "radius", "j": "layer <j>", "gamma": "γ_j"}


def made(**changed):
    words = {"records": ROWS, "x": "j", "y": "gamma", "move": "radius", "labels": LABELS}
    return Slider(**{**words, **changed})._repr_mimebundle_()


def drawn(**changed):
    return made(**changed)[0]["text/html"]


def test_the_drawing_stands_without_scripts_and_holds_every_frame():
    page = drawn(by="readout")
    stored = json.loads(re.search(r'json">(.*?)</script>', page)[1])
    assert stored["labels"] == ["0", "1", "2"]
    assert [len(frame) for frame in stored["points"]] == [2, 2, 2]
    assert re.findall(r'polyline points="(.*?)"', page) == stored["points"][0]


def test_the_slider_has_a_label_and_a_place_for_each_value():
    page = drawn()
    assert re.search(r'<label>radius <input type="range" min="0" max="2" value="0">', page)
    assert "layer &lt;j&gt;" in page
    assert "http" not in page


def test_the_figure_carries_its_data_and_says_what_is_seen_at_both_ends():
    data, metadata = made()
    assert data[alt_text.CSV].count("\n") == 1 + len(ROWS)
    text = metadata[alt_text.CSV]["alt"]
    assert "radius 0: 1 at 1, 1 at 3" in text
    assert "radius 2: 0.5 at 1, -0.5 at 3" in text


def test_points_lie_where_the_axes_say():
    scale = Axes(low_x=0, high_x=4, low_y=-1, high_y=1)
    middle = (scale.across(0) + scale.across(4)) / 2
    assert scale.across(2) == pytest.approx(middle)
    assert scale.down(1) < scale.down(0) < scale.down(-1)
    assert scale.axes("x", "y").count("<line") == 5
