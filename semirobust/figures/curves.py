"""Figures of the experiments that vary one thing: a course, or points, one series for each value.

Kept apart from ``plotting`` for its length; the style is set there.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from semirobust.figures.plotting import LINE, MARKERS, axes_of
from semirobust.figures.words import told


def plot_course(
    records: pd.DataFrame,
    *,
    x: str,
    y: str,
    by: str,
    dashed: str | None = None,
    labels: tuple[str, str] = ("", ""),
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean course of ``y`` along ``x``, a line for each value of ``by``.

    Numbers as series get colours from dark to bright, names get those told apart best.

    Args:
        records: One row for each point; rows of one place are averaged.
        x: Column along the first axis.
        y: Column that is drawn.
        by: Column whose values are the series.
        dashed: Column drawn as a thin dashed line of the same colour, such as a null.
        labels: Names of the two axes with their units.
        ax: Where to draw.
    """
    ax = axes_of(ax, width=5.6, height=3.2)
    groups = records.groupby(by, sort=False)
    ordered = pd.api.types.is_numeric_dtype(records[by])
    # the palest of the palette have no contrast
    dark = sns.color_palette("rocket", len(groups) + 3)[: len(groups)]
    palette = dark if ordered else sns.color_palette("colorblind")
    for (name, part), colour, marker in zip(groups, palette, MARKERS * 2, strict=False):
        mean = part.groupby(x)[[y, *([dashed] if dashed else [])]].mean()
        ax.plot(mean.index, mean[y], color=colour, marker=marker, markersize=4, label=str(name))
        if dashed:
            ax.plot(mean.index, mean[dashed], color=colour, linestyle="dashed", linewidth=1)
    ax.set(xlabel=labels[0] or x, ylabel=labels[1] or y)
    if pd.api.types.is_integer_dtype(records[x]) and records[x].nunique() < 20:
        ax.set_xticks(sorted(records[x].unique()))
    ax.legend(title=by if ordered else None)
    place = {"bbox_to_anchor": (0, 1), "ncols": 4, "fontsize": "x-small"}  # over no line
    sns.move_legend(ax, "lower left", **place, title_fontsize="x-small")
    drawn: Axes = told(ax, records, x=x, y=(y, dashed) if dashed else y, by=by)
    return drawn


def plot_panels(
    records: pd.DataFrame,
    *,
    x: str,
    y: str,
    by: str,
    panels: str,
    labels: tuple[str, str] = ("", ""),
) -> Figure:
    """Draw the courses of ``plot_course``, a panel for each value of ``panels``, on one scale."""
    parts = list(records.groupby(panels, sort=False))
    columns = min(2, len(parts))
    rows = -(-len(parts) // columns)
    size = (3.2 * columns + 0.4, 2.3 * rows + 0.4)
    figure, grid = plt.subplots(
        rows, columns, figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    for ax in grid.flat[len(parts) :]:
        ax.remove()
    for (name, part), ax in zip(parts, grid.flat, strict=False):
        plot_course(part, x=x, y=y, by=by, labels=labels, ax=ax)
        ax.set_title(name, fontsize="small")
        ax.get_legend().remove()
    handles = grid.flat[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper left", ncols=4, fontsize="x-small")
    return figure


def plot_levels(
    records: pd.DataFrame,
    *,
    x: str,
    y: str,
    by: str,
    order: Sequence[str] | None = None,
    label: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw ``x`` of each value of ``y`` as points, mean and spread, a marker for each ``by``."""
    ax = axes_of(ax, width=6.4, height=0.5 + 0.42 * records[y].nunique())
    sns.pointplot(
        records,
        x=x,
        y=y,
        hue=by,
        order=order,
        palette="colorblind",
        markers=list((MARKERS * 2)[: records[by].nunique()]),
        linestyle="none",
        dodge=0.4,
        errorbar="sd",
        ax=ax,
    )
    ax.set(xlabel=label or x, ylabel="")
    place = {"bbox_to_anchor": (0, 1), "ncols": 4, "fontsize": "x-small", "markerscale": 0.7}
    sns.move_legend(ax, "lower left", **place, frameon=False, title=None)
    drawn: Axes = told(ax, records, x=y, y=x, by=by)
    return drawn


def plot_pairs(
    records: pd.DataFrame,
    *,
    x: str,
    y: str,
    by: str,
    labels: tuple[str, str] = ("", ""),
    ax: Axes | None = None,
) -> Axes:
    """Draw one point for each record, ``y`` against ``x``, marked by the value of ``by``."""
    ax = axes_of(ax, width=4.6, height=3.4)
    sns.scatterplot(records, x=x, y=y, hue=by, style=by, palette="colorblind", s=36, ax=ax)
    ax.set(xlabel=labels[0] or x, ylabel=labels[1] or y)
    ax.axhline(0, color=LINE, linewidth=0.8, linestyle="dotted")
    ax.legend(fontsize="x-small", title=None)
    drawn: Axes = told(ax, records, x=x, y=y, by=by, points=True)
    return drawn
