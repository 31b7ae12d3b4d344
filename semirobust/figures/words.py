"""What a figure says to those who do not see it: its data as a table, and in words what is seen.

A function that draws ends in ``told``, which keeps the records on the figure. A notebook then
stores a table and a text with the picture; the book puts the one beside the figure and makes the
other its alternative text. Neither is written by hand, so neither can say what is not drawn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import pandas as pd
from pandas.api.types import is_numeric_dtype

CSV = "application/vnd.semirobust.csv"
LONGEST = 1200  # characters of a text
Bundle: TypeAlias = tuple[dict[str, str], dict[str, Any]]


@dataclass(frozen=True)
class Panel:
    """One drawn set of records: where, which columns, one series for each value of ``by``."""

    ax: Any
    data: pd.DataFrame
    x: str
    y: tuple[str, ...]
    by: str | None
    points: bool

    def text(self) -> str:
        """Return what is seen: the axes, then each series in numbers."""
        labels = [label for label in (self.ax.get_ylabel(), self.ax.get_xlabel()) if label]
        title = f"{self.ax.get_title()}: " if self.ax.get_title() else ""
        return f"{title}{' against '.join(labels)}. " + "; ".join(self._series()) + "."

    def _series(self) -> Iterator[str]:
        groups = self.data.groupby(self.by, sort=False) if self.by else [("", self.data)]
        for name, part in groups:
            for column in self.y:
                words = [str(name), column if len(self.y) > 1 else ""]
                label = ", ".join(word for word in words if word)
                found = cloud(part, self.x, column) if self.points else course(part, self.x, column)
                yield f"{label}: {found}" if label else found


def told(
    ax: Any,
    data: pd.DataFrame,
    *,
    x: str,
    y: str | tuple[str, ...],
    by: str | None = None,
    points: bool = False,
) -> Any:
    """Return the axes, after keeping on their figure what was drawn on them.

    Args:
        ax: The axes.
        data: The records.
        x: Column along the first axis.
        y: Column, or columns, drawn against it.
        by: Column whose values are the series.
        points: Whether a cloud of points was drawn and not a course.
    """
    figure = ax.figure
    panels = [*getattr(figure, "panels", ()), Panel(ax, data, x, columns(y), by, points)]
    figure.panels = panels
    figure._repr_mimebundle_ = partial(bundle, panels)
    return ax


def columns(y: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of columns as a tuple."""
    return (y,) if isinstance(y, str) else tuple(y)


def bundle(panels: list[Panel], **_: Any) -> Bundle:
    """Return what a notebook stores with the picture: the table, and the text in its metadata."""
    tables = [panel.data.assign(panel=number) for number, panel in enumerate(panels, start=1)]
    table = pd.concat(tables) if len(tables) > 1 else panels[0].data
    text = " ".join(panel.text() for panel in panels)
    return {CSV: table.to_csv(index=False)}, {CSV: {"alt": shortened(text)}}


def shortened(text: str) -> str:
    """Return the text, cut behind a series where it is long."""
    if len(text) <= LONGEST:
        return text
    return text[:LONGEST].rpartition(";")[0] + "; and so on, see the data."


def course(part: pd.DataFrame, x: str, y: str) -> str:
    """Return how the mean of a column goes along another one.

    Example:
        >>> course(pd.DataFrame({"j": [1, 2, 3], "gamma": [0.1, 0.7, 0.4]}), "j", "gamma")
        '0.1 at 1, 0.4 at 3, highest 0.7 at 2'
    """
    mean = part.groupby(x, sort=is_numeric_dtype(part[x]))[y].mean().dropna()
    if mean.empty:
        return "nothing"
    if not is_numeric_dtype(part[x]) or len(mean) < 3:
        return ", ".join(at(mean, place) for place in mean.index)
    words = [at(mean, mean.index[0]), at(mean, mean.index[-1])]
    ends = (mean.index[0], mean.index[-1])
    for word, place in (("highest", mean.idxmax()), ("lowest", mean.idxmin())):
        words += [f"{word} {at(mean, place)}"] if place not in ends else []
    return ", ".join(words)


def at(values: "pd.Series[float]", place: Any) -> str:
    """Return one value with its place, in three digits."""
    where = f"{place:.3g}" if isinstance(place, float) else str(place)
    return f"{values[place]:.3g} at {where}"


def cloud(part: pd.DataFrame, x: str, y: str) -> str:
    """Return how many points there are, their ranges and their correlation.

    Example:
        >>> cloud(pd.DataFrame({"noise": [1.0, 2.0], "rho": [3.0, 5.0]}), "noise", "rho")
        '2 points, noise from 1 to 2, rho from 3 to 5, correlation 1'
    """
    ranges = [f"{name} from {part[name].min():.3g} to {part[name].max():.3g}" for name in (x, y)]
    tie = f", correlation {part[x].corr(part[y]):.2g}" if len(part) > 1 else ""
    return f"{len(part)} points, {ranges[0]}, {ranges[1]}{tie}"
