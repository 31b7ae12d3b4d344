"""Figures of sparse networks: a panel a row, a line a reset, two in a line."""

import pandas as pd
import pytest

from semirobust.figures.densities import plot_densities

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
    assert [ax.get_title() for ax in figure.axes] == ["digits", "mnist"]
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
    places = [ax.get_subplotspec() for ax in plot_densities(more).figure.axes]
    assert [(place.rowspan.start, place.colspan.start) for place in places] == [
        (0, 0),
        (0, 1),
        (1, 0),
    ]
