"""Figures of any experiment: a course, levels or points, one series for each value of a column."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.api.types import is_integer_dtype, is_numeric_dtype

from semirobust.figures.alt_text import as_mathtext, with_data
from semirobust.figures.style import (
    LINE,
    Look,
    axes_of,
    finished,
    label_axes,
    legend_above,
    panels_of,
    series,
    set_rows,
)

PERCENT = (100, 50, 20, 10, 5, 2, 1)


def draw_courses(
    ax: Axes,
    data: pd.DataFrame,
    *,
    x: str,
    y: str,
    by: str,
    dashed: str | None = None,
    spread: bool = False,
) -> None:
    """Draw the mean of ``y`` along ``x``, a line for each value of ``by``.

    Column ``dashed``, such as a null, is a thin dashed line of the same colour; ``spread`` draws a
    standard deviation to both sides as a band. Few whole numbers, such as layers, are ticks of x.
    """
    for name, part, look, shape in series(data, by):
        places = part.groupby(x)
        mean = places[y].mean()
        ax.plot(mean, label=as_mathtext(name), **look.marks(shape))
        if dashed:
            line = {"color": look.outline or look.colour, "linestyle": "dashed", "linewidth": 1}
            ax.plot(places[dashed].mean(), **line)
        if spread:
            deviation = places[y].std()
            ends = (mean - deviation, mean + deviation)
            ax.fill_between(mean.index, *ends, color=look.colour, alpha=0.15, linewidth=0)
    if is_integer_dtype(data[x]) and data[x].nunique() < 20:
        ax.set_xticks(sorted(data[x].unique()))


def plot_course(
    records: pd.DataFrame,
    *,
    x: str,
    y: str,
    by: str,
    dashed: str | None = None,
    labels: tuple[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the courses of ``draw_courses``; ``labels`` name the two axes with their units."""
    ax = axes_of(ax, width=5.6)
    draw_courses(ax, records, x=x, y=y, by=by, dashed=dashed)
    label_axes(ax, *(labels or (x, y)))
    legend_above(ax, title=by if is_numeric_dtype(records[by]) else None)
    return with_data(ax, records, x=x, y=(y, dashed) if dashed else y, by=by)


def plot_panels(
    records: pd.DataFrame, *, x: str, y: str, by: str, panels: str, labels: tuple[str, str]
) -> Figure:
    """Draw the courses of ``plot_course``, a panel for each value of ``panels``, on one scale."""
    parts = list(records.groupby(panels, sort=False))
    figure, axes = panels_of(len(parts), width=3.4, height=2.5, sharey=True)
    for (name, part), ax in zip(parts, axes, strict=True):
        draw_courses(ax, part, x=x, y=y, by=by)
        ax.set_title(as_mathtext(str(name)), fontsize="small")
        finished(ax, part, labels, x=x, y=y, by=by, legend=False)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=4)
    return figure


def plot_levels(records: pd.DataFrame, *, x: str, y: str, by: str, label: str = "") -> Axes:
    """Draw ``x`` of each value of ``y`` as points, mean and spread, a mark for each ``by``."""
    rows = list(records[y].unique())
    ax = axes_of(width=6.4, height=0.5 + 0.42 * len(rows))
    for shift, name, part, look, shape in _shifted(records, by):
        levels = part.groupby(y, sort=False)[x].agg(["mean", "std"])
        places = [rows.index(row) + shift for row in levels.index]
        marks = look.marks(shape, markersize=6, linestyle="none", label=as_mathtext(name))
        ax.errorbar(levels["mean"], places, xerr=levels["std"], **marks)
    legend_above(ax)
    set_rows(ax, rows, label or x)
    return with_data(ax, records, x=y, y=x, by=by)


def _shifted(
    records: pd.DataFrame, by: str
) -> Iterator[tuple[float, str, pd.DataFrame, Look, str]]:
    """Yield the series, each with how far its marks stand below the line of their row."""
    count = records[by].nunique()
    for place, each in enumerate(series(records, by)):
        yield 0.4 * (place / (count - 1) - 0.5) if count > 1 else 0.0, *each


def plot_intervals(records: pd.DataFrame, *, y: str, by: str, label: str) -> Axes:
    """Draw mean, low and high of each value of ``y`` as an interval, a mark for each ``by``."""
    rows = list(records[y].unique())
    ax = axes_of(width=6.4, height=0.8 + 0.32 * len(rows))
    for shift, name, part, look, shape in _shifted(records, by):
        places = [rows.index(row) + shift for row in part[y]]
        ends = [part["mean"] - part["low"], part["high"] - part["mean"]]
        marks = look.marks(shape, markersize=5, linestyle="none", label=as_mathtext(name))
        ax.errorbar(part["mean"], places, xerr=ends, **marks)
    ax.axvline(0, color=LINE, linewidth=0.8, linestyle="dotted")
    legend_above(ax)
    set_rows(ax, rows, label)
    return with_data(ax, records, x=y, y=("mean", "low", "high"), by=by)


def plot_pairs(records: pd.DataFrame, *, x: str, y: str, by: str, labels: tuple[str, str]) -> Axes:
    """Draw one point for each record, ``y`` against ``x``, marked by the value of ``by``."""
    ax = axes_of(width=4.6, height=3.4)
    for name, part, look, shape in series(records, by):
        marks = look.marks(shape, markersize=6, linestyle="none", label=as_mathtext(name))
        ax.plot(part[x], part[y], **marks)
    ax.axhline(0, color=LINE, linewidth=0.8, linestyle="dotted")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)  # three long names fill no line
    return finished(ax, records, labels, x=x, y=y, by=by, points=True, legend=False)


def plot_densities(records: pd.DataFrame, *, label: str, y: str = "pgd") -> Figure:
    """Draw ``y`` by the share of weights left (``share``, 0..1), mean and spread over trials.

    A panel for each ``row``, two in a line, with a line for each ``reset``.
    """
    parts = list(records.groupby("row", sort=False))
    width = 6.4 if len(parts) == 1 else 3.4
    figure, axes = panels_of(len(parts), width=width, height=3.2, sharex=True)
    for (name, part), ax in zip(parts, axes, strict=True):
        percent = part.assign(share=100 * part["share"])
        draw_courses(ax, percent, x="share", y=y, by="reset", spread=True)
        ax.set(title=as_mathtext(str(name)), xscale="log", ylim=(0, None))
        ax.set_xticks(PERCENT, [str(tick) for tick in PERCENT])
        ax.minorticks_off()
        finished(ax, part, ("weights left, %", label), x="share", y=y, by="reset")
    axes[0].set_xlim(115, 85 * records["share"].min())  # shared; dense on the left
    return figure
