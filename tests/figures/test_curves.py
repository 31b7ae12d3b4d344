"""Figures of any experiment: series, panels, and one look for each network."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from semirobust.figures.alt_text import INK
from semirobust.figures.curves import (
    draw_courses,
    plot_course,
    plot_densities,
    plot_levels,
    plot_pairs,
)

RECORDS = pd.DataFrame(
    [
        {"row": row, "reset": reset, "share": share, "trial": trial, "pgd": share / 2 + trial / 10}
        for row in ("digits", "mnist")
        for reset in ("original", "random")
        for share in (1.0, 0.1)
        for trial in (0, 1)
    ]
)


def test_every_row_has_a_panel_with_a_line_for_each_reset_from_dense_to_sparse():
    figure = plot_densities(RECORDS, label="accuracy")
    assert [ax.get_title() for ax in figure.axes] == ["digits", "MNIST"]
    for ax in figure.axes:
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["original", "random"]
        left, right = ax.get_xlim()
        assert left > 100
        assert right < 10
        assert [list(line.get_ydata()) for line in ax.get_lines()[:1]] == [
            pytest.approx([0.1, 0.55])
        ]


def test_three_rows_stand_two_in_a_line():
    more = pd.concat([RECORDS, RECORDS[RECORDS["row"] == "mnist"].assign(row="fashion")])
    places = [ax.get_subplotspec() for ax in plot_densities(more, label="accuracy").figure.axes]
    assert [(place.rowspan.start, place.colspan.start) for place in places] == [
        (0, 0),
        (0, 1),
        (1, 0),
    ]


def drawn(names):
    records = [{"j": j, "value": j, "network": name} for name in names for j in (1, 2)]
    return plot_course(pd.DataFrame(records), x="j", y="value", by="network").get_lines()


def test_a_network_has_its_colour_whatever_stands_beside_it():
    alone, beside = drawn(["tuned"])[0], drawn(["standard", "quantised", "tuned"])
    assert beside[2].get_color() == alone.get_color()
    assert len({line.get_color() for line in beside}) == 3


def test_a_network_behind_a_standard_front_is_outlined_in_the_ink_of_the_page():
    tuned, control = drawn(["tuned", "frozen standard f_a"])
    assert control.get_color() == tuned.get_color()
    assert (control.get_markeredgecolor(), tuned.get_markeredgecolor() == INK) == (
        INK,
        False,
    )


def test_numbers_as_series_get_other_colours_than_networks():
    dark, bright = drawn([2, 4])
    assert sum(dark.get_color()) < sum(bright.get_color())


def test_a_spread_is_a_standard_deviation_to_both_sides():
    _, ax = plt.subplots()
    records = pd.DataFrame({"j": [1, 1, 2, 2], "value": [0.0, 2.0, 1.0, 1.0], "kind": "one"})
    draw_courses(ax, records, x="j", y="value", by="kind", spread=True)
    band = ax.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((1 - 2**0.5, 1 + 2**0.5))


def test_levels_are_mean_and_spread_in_the_order_of_their_rows():
    records = pd.DataFrame({"row": ["b", "b", "a", "a"], "x": [0.0, 1.0, 0.5, 0.5], "kind": "one"})
    ax = plot_levels(records, x="x", y="row", by="kind")
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["b", "a"]
    assert list(ax.get_lines()[0].get_xdata()) == [0.5, 0.5]
    (bars,) = ax.collections
    assert bars.get_segments()[0][:, 0] == pytest.approx([0.5 - 0.5**0.5, 0.5 + 0.5**0.5])


def test_points_have_room_under_a_legend_of_long_names():
    names = ("fresh examples, white-box", "stored examples, transfer", "stored examples, white-box")
    records = pd.DataFrame([{"x": 0.5, "y": 0.5, "reading": name} for name in names])
    ax = plot_pairs(records, x="x", y="y", by="reading", labels=("accuracy x", "accuracy y"))
    ax.figure.canvas.draw()  # matplotlib warns where the axes collapse
    assert ax.get_position().width > 0.7
