"""What a figure says beside its lines: its finding, its data as a table, an alternative text.

A function that draws ends in ``with_data``, which keeps the records on the figure; ``captioned``
adds the finding. A notebook then stores a table and these words with the picture, and the book
sets them beside it. The alternative text is made from what is drawn, so it cannot say what is not.

Labels are drawn as mathtext and read as plain text; ``SYMBOLS`` has both.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from io import StringIO
from typing import Any, TypeAlias

import pandas as pd
from matplotlib import rc_context
from pandas.api.types import is_numeric_dtype

from semirobust.results import published

CSV, SVG = "application/vnd.semirobust.csv", "image/svg+xml"
INK = "#777777"  # read on white and on black; a page puts its own ink in its place
HEAVY = 200_000  # characters of a drawing that is kept as a bitmap instead
LONGEST = 1200  # characters of a text
Bundle: TypeAlias = tuple[dict[str, str], dict[str, Any]]
NAMES = published.NAMES | {
    "mnist": "MNIST",
    "fashion-mnist": "Fashion-MNIST",
    "fgsm": "FGSM",
    "pgd": "PGD",
    "online": "fresh examples",
    "static": "stored examples",
    "frozen standard f_a": "standard front",
    "frozen random f_a": "random front",
}
SYMBOLS = {
    "γ_j": r"$\gamma_j$",
    "γ_n": r"$\gamma_n$",
    "ρ_j": r"$\rho_j$",
    "ρ": r"$\rho$",
    "h_j": "$h_j$",
    "f_a": "$f_a$",
    "f_b*": "$f_b^*$",
    "f̃_b": r"$\tilde f_b$",
    "f_b": "$f_b$",
    "n_b": "$n_b$",
    "n - j": "$n - j$",
    "layer j": "layer $j$",
    "log₂ U": r"$\log_2 U$",
    "(U - 1) / ln 2": r"$(U - 1) / \ln 2$",
    "U - 1": "$U - 1$",
}


def in_words(label: str) -> str:
    """Return a label with names of records as they are written.

    Example:
        >>> in_words("vgg16 on cifar10, static")
        'VGG16 on CIFAR-10, stored examples'
    """
    known = "|".join(map(re.escape, sorted(NAMES, key=len, reverse=True)))
    return re.sub(rf"(?<![\w-])({known})(?![\w-])", lambda hit: NAMES[hit[0]], label)


def as_mathtext(label: str) -> str:
    """Return a plain label in words, with its symbols as mathtext.

    Example:
        >>> as_mathtext("layers of f_b")
        'layers of $f_b$'
    """
    return _replaced(in_words(label), SYMBOLS)


def as_plain_text(label: str) -> str:
    return _replaced(label, {mathtext: plain for plain, mathtext in SYMBOLS.items()})


def _replaced(label: str, words: dict[str, str]) -> str:
    longest_first = sorted(words, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda hit: words[hit[0]], label)


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
        labels = filter(None, map(as_plain_text, (self.ax.get_ylabel(), self.ax.get_xlabel())))
        title = f"{self.ax.get_title()}: " if self.ax.get_title() else ""
        return f"{title}{' against '.join(labels)}. {'; '.join(self._series())}."

    def _series(self) -> Iterator[str]:
        groups = self.data.groupby(self.by, sort=False) if self.by else [("", self.data)]
        for name, part in groups:
            for column in self.y:
                names = [str(name), column if len(self.y) > 1 else ""]
                label = ", ".join(filter(None, names))
                describe = describe_points if self.points else describe_course
                text = describe(part, self.x, column)
                yield f"{label}: {text}" if label else text


def with_data(
    ax: Any,
    data: pd.DataFrame,
    *,
    x: str,
    y: str | tuple[str, ...],
    by: str | None = None,
    points: bool = False,
) -> Any:
    """Return the axes, after keeping on their figure what was drawn on them.

    Series are the values of column ``by``; ``points``: a cloud was drawn and not a course.
    """
    figure, columns = ax.figure, (y,) if isinstance(y, str) else tuple(y)
    panels = [*getattr(figure, "panels", ()), Panel(ax, data, x, columns, by, points)]
    figure.panels = panels
    figure._repr_mimebundle_ = partial(mime_bundle, figure)
    return ax


def captioned(drawn: Any, title: str, about: str = "") -> Any:
    """Return axes or a figure, after keeping the finding (``title``) and what is drawn with it."""
    figure = getattr(drawn, "figure", None) or drawn
    figure.words = {"title": in_words(title), "about": in_words(about)}
    return drawn


def mime_bundle(figure: Any, **_: Any) -> Bundle:
    """Return what a notebook stores with the picture: the drawing, its table, and its words."""
    svg, (table, words) = drawing(figure), told(figure.panels)
    pictures = {SVG: svg} if len(svg) <= HEAVY else {}
    return {CSV: table, **pictures}, {CSV: {"alt": words, **getattr(figure, "words", {})}}


def told(panels: list[Panel]) -> tuple[str, str]:
    """Return what is drawn as a table (CSV) and in words."""
    tables = [panel.data.assign(panel=number) for number, panel in enumerate(panels, start=1)]
    table = pd.concat(tables) if len(tables) > 1 else panels[0].data
    return table.to_csv(index=False), shortened(" ".join(panel.text() for panel in panels))


def drawing(figure: Any, *, box: str | None = "tight", **described: Any) -> str:
    """Return a figure as SVG with text that stays text, without a background.

    A group whose id has words (of ``set_gid``) says them where a pointer rests on it.
    """
    buffer, metadata = StringIO(), {"Date": None, **described}
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "semirobust"}):
        figure.savefig(buffer, format="svg", transparent=True, bbox_inches=box, metadata=metadata)
    return re.sub('<g id="([^"]* [^"]*)">', r"<g><title>\1</title>", buffer.getvalue())


def shortened(text: str) -> str:
    """Return the text, cut after a series if it is longer than ``LONGEST``."""
    if len(text) <= LONGEST:
        return text
    return text[:LONGEST].rpartition(";")[0] + "; and so on, see the data."


def describe_course(part: pd.DataFrame, x: str, y: str) -> str:
    """Return the course of the mean of y along x: its ends and its extremes, or every value.

    Example:
        >>> describe_course(pd.DataFrame({"j": [1, 2, 3], "gamma": [0.1, 0.7, 0.4]}), "j", "gamma")
        '0.1 at 1, 0.4 at 3, highest 0.7 at 2'
    """
    mean = part.groupby(x, sort=is_numeric_dtype(part[x]))[y].mean().dropna()
    if mean.empty:
        return "nothing"
    if not is_numeric_dtype(part[x]) or len(mean) < 3:
        return ", ".join(value_at(mean, place) for place in mean.index)
    ends = (mean.index[0], mean.index[-1])
    extremes = {"highest": mean.idxmax(), "lowest": mean.idxmin()}
    texts = [value_at(mean, place) for place in ends]
    texts += [f"{word} {value_at(mean, at)}" for word, at in extremes.items() if at not in ends]
    return ", ".join(texts)


def value_at(values: "pd.Series[float]", place: Any) -> str:
    where = f"{place:.3g}" if isinstance(place, float) else str(place)
    return f"{values[place]:.3g} at {where}"


def describe_points(part: pd.DataFrame, x: str, y: str) -> str:
    """Return the number of points, their ranges and their correlation.

    Example:
        >>> describe_points(pd.DataFrame({"noise": [1.0, 2.0], "rho": [3.0, 5.0]}), "noise", "rho")
        '2 points, noise from 1 to 2, rho from 3 to 5, correlation 1'
    """
    ranges = [f"{name} from {part[name].min():.3g} to {part[name].max():.3g}" for name in (x, y)]
    tie = f", correlation {part[x].corr(part[y]):.2g}" if len(part) > 1 else ""
    return f"{len(part)} points, {ranges[0]}, {ranges[1]}{tie}"
