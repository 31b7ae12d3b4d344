"""How the figures of the book look: one palette by network, one set of marks by threat model.

Colours say which network: standard grey, robust blue, spliced light blue, tuned orange, outlined
behind a standard front; readers who are colour-blind tell them apart. Marks say how it was
attacked: filled for white-box, open for transfer, a bar for clean images. Series that are no
networks get the colours of seaborn's colour-blind palette, and shapes of their own.

Importing this module sets the theme: in an ink that is read on white and on black, for which a page
puts the colour of its text.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, TypeAlias

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.api.types import is_numeric_dtype

from semirobust.figures.alt_text import INK, NAMES, as_mathtext, with_data

Records: TypeAlias = pd.DataFrame | Sequence[Mapping[str, Any]]

BLUE, ORANGE, GREEN, RED, PINK, BROWN, _, GREY, _, LIGHT_BLUE = sns.color_palette("colorblind")
PALE, LINE = "#b8b8b8", INK  # what is no result, such as a null; limits and axes
COLOUR = BLUE  # of a single series
ON_WHITE_AND_BLACK = ("#2f7fb5", "#d4722a", "#20966b")  # of drawings that a page does not invert


@dataclass(frozen=True)
class Look:
    """How a series is drawn: its colour, and the outline of its marks."""

    colour: Any
    outline: Any = None

    def marks(self, marker: str = "o", **settings: Any) -> dict[str, Any]:
        edge = {"markeredgecolor": self.outline or self.colour}
        return {"color": self.colour, "marker": marker, "markersize": 4, **edge, **settings}


NETWORKS = {
    "standard": Look(GREY),
    "robust": Look(BLUE),
    "spliced": Look(LIGHT_BLUE),
    "tuned": Look(ORANGE),
    "frozen standard f_a": Look(ORANGE, INK),
    "frozen random f_a": Look(PINK),
}
THREATS: dict[str, tuple[str, dict[str, Any]]] = {  # column: name, and mark
    "clean": ("clean", {"marker": "|", "markersize": 9}),
    "static": ("transfer", {"marker": "o", "markerfacecolor": "none"}),
    "whitebox": ("white-box PGD-20", {"marker": "o"}),
}
OTHERS = (BLUE, ORANGE, GREEN, RED, PINK, BROWN, GREY, LIGHT_BLUE)  # of series
SHAPES = ("o", "s", "^", "D", "v", "P")
THEME = {
    "figure.dpi": 130,
    "axes.grid": True,
    "grid.alpha": 0.35,
    "axes.axisbelow": True,
    "text.color": LINE,
    "axes.edgecolor": LINE,
    "axes.titlecolor": LINE,
    "axes.labelcolor": LINE,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "legend.frameon": False,
    "legend.fontsize": "x-small",
    "legend.title_fontsize": "x-small",
    "lines.linewidth": 1.5,
}
sns.set_theme(context="notebook", style="ticks", palette="colorblind", font_scale=0.85, rc=THEME)


def looks(values: pd.Series) -> dict[Any, Look]:
    """Return the look of each value: its network's; numbers go from dark to bright."""
    names = list(values.unique())
    if is_numeric_dtype(values):  # the palest of the palette have no contrast
        colours = sns.color_palette("rocket", len(names) + 3)
        return {name: Look(colour) for name, colour in zip(names, colours, strict=False)}
    known = {NAMES.get(name, name): look for name, look in NETWORKS.items()} | NETWORKS
    networks = {name: known[name] for name in names if name in known}
    free = cycle(OTHERS[2:] if networks else OTHERS)
    return {name: networks[name] if name in networks else Look(next(free)) for name in names}


def series(data: pd.DataFrame, by: str) -> Iterator[tuple[str, pd.DataFrame, Look, str]]:
    """Yield each value of a column with its rows, its look and its shape."""
    look, shapes = looks(data[by]), cycle(SHAPES)
    for (name, part), shape in zip(data.groupby(by, sort=False), shapes, strict=False):
        yield str(name), part, look[name], shape


def axes_of(ax: Axes | None = None, *, width: float = 4.5, height: float = 3.2) -> Axes:
    """Return the axes, new ones of this size in inches if there are none."""
    if ax is None:
        ax = plt.subplots(figsize=(width, height), layout="constrained")[1]
    sns.despine(ax=ax)
    return ax


def panels_of(
    count: int, *, width: float, height: float, **shared: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure of so many axes of one size in inches, two in a line."""
    columns, rows = min(count, 2), -(-count // 2)
    size: dict[str, Any] = {"figsize": (width * columns, height * rows), "layout": "constrained"}
    figure, grid = plt.subplots(rows, columns, squeeze=False, **size, **shared)
    axes = list(grid.flat)
    for empty in axes[count:]:
        empty.remove()
        axes[count - columns].tick_params(labelbottom=True)  # the last of its column now
    for ax in axes[:count]:
        sns.despine(ax=ax)
    return figure, axes[:count]


def label_axes(ax: Axes, x: str, y: str) -> None:
    """Label both axes, symbols as mathtext; those of accuracies are in per cent."""
    ax.set(xlabel=as_mathtext(x), ylabel=as_mathtext(y))
    for axis, label in ((ax.xaxis, x), (ax.yaxis, y)):
        if re.search("accuracy|share|certified", label):
            axis.set_major_formatter(lambda value, _: f"{round(100 * value, 6) + 0.0:g}%")


def set_rows(ax: Axes, rows: Sequence[Any], label: str) -> None:
    """Name the rows of a figure, the first on top, and what is drawn along them."""
    ax.set_yticks(range(len(rows)), [as_mathtext(str(row)) for row in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    label_axes(ax, label, "")


def finished(
    ax: Axes,
    data: pd.DataFrame,
    labels: tuple[str, str],
    *,
    legend: bool = True,
    columns: int = 1,
    **drawn: Any,
) -> Axes:
    """Return the axes with their labels, a legend, and what was ``drawn`` (see ``with_data``)."""
    label_axes(ax, *labels)
    if legend:
        ax.legend(ncols=columns)
    return with_data(ax, data, **drawn)


def legend_above(ax: Axes, *, title: str | None = None) -> None:
    """Put the legend above the axes, over no line."""
    ax.legend(title=title, loc="lower left", bbox_to_anchor=(0, 1), ncols=4)
