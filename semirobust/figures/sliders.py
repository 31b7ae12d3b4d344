"""A figure with a slider that works offline: a drawing, its values as JSON, a line of script.

Without scripts the drawing of the first value stands, and the data beside the figure hold the rest.
"""

import html
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from semirobust.figures.alt_text import CSV, Bundle, describe_course
from semirobust.figures.style import ON_WHITE_AND_BLACK

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 480, 260, 52, 44, 26, 16
SCRIPT = (
    "(f=>{const d=JSON.parse(f.querySelector('script').text),i=f.querySelector('input'),"
    "o=f.querySelector('output'),l=f.querySelectorAll('polyline');"
    "i.oninput=()=>{o.value=d.labels[i.value];"
    "l.forEach((p,s)=>p.setAttribute('points',d.points[i.value][s]))}})"
    "(document.currentScript.parentElement)"
)


@dataclass(frozen=True, kw_only=True)
class Slider:
    """Lines that move with a value: y against x, a line for each ``by``, a frame for each ``move``.

    ``labels`` are words for these columns, for the axes and the slider.
    """

    records: Iterable[Mapping[str, Any]]
    x: str
    y: str
    move: str
    labels: Mapping[str, str]
    by: str | None = None

    def _repr_mimebundle_(self, **_: Any) -> Bundle:
        """Return what a notebook stores: the figure, its table, and what is seen in words."""
        data = pd.DataFrame(list(self.records))
        text = self.text(data)
        stored = {"text/html": self.figure(data, text), CSV: data.to_csv(index=False)}
        return stored | {"text/plain": "<figure with a slider>"}, {CSV: {"alt": text}}

    def text(self, data: pd.DataFrame) -> str:
        """Return what is seen at the first and the last place of the slider."""
        words, values = self.words, data[self.move].unique()
        texts = [
            f"{words[self.move]} {value}: "
            + describe_course(data[data[self.move] == value], self.x, self.y)
            for value in (values[0], values[-1])
        ]
        return f"{words[self.y]} against {words[self.x]}, with a slider. " + "; ".join(texts) + "."

    @property
    def words(self) -> dict[str, str]:
        return {name: self.labels.get(name, name) for name in (self.x, self.y, self.move)}

    def figure(self, data: pd.DataFrame, text: str) -> str:
        scale = Axes.of(data[self.x], data[self.y])
        values = list(data[self.move].unique())
        points = [self._lines(data[data[self.move] == value], scale) for value in values]
        drawn = "".join(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
            for line, colour in zip(points[0], ON_WHITE_AND_BLACK, strict=False)
        )
        frames = json.dumps({"labels": [str(value) for value in values], "points": points})
        return (
            f'<figure class="slider"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            f'style="max-width:{WIDTH}px;width:100%" aria-label="{html.escape(text)}">'
            f"{scale.axes(self.words[self.x], self.words[self.y])}{drawn}</svg>"
            f"<br><label>{html.escape(self.words[self.move])} "
            f'<input type="range" min="0" max="{len(values) - 1}" value="0"> '
            f"<output>{values[0]}</output></label>"
            f'<script type="application/json">{frames}</script><script>{SCRIPT}</script></figure>'
        )

    def _lines(self, part: pd.DataFrame, scale: "Axes") -> list[str]:
        lines = [line for _, line in part.groupby(self.by, sort=False)] if self.by else [part]
        return [
            " ".join(scale.place(x, y) for x, y in zip(line[self.x], line[self.y], strict=True))
            for line in lines
        ]


@dataclass(frozen=True)
class Axes:
    """The ranges of both axes, and where a point lies in the drawing."""

    low_x: float
    high_x: float
    low_y: float
    high_y: float

    @classmethod
    def of(cls, x: "pd.Series[float]", y: "pd.Series[float]") -> "Axes":
        """Return the scale that holds all points; it does not move with the slider."""
        return cls(float(x.min()), float(x.max()), min(0.0, float(y.min())), float(y.max()))

    def place(self, x: float, y: float) -> str:
        """Return the place of a point as SVG writes it."""
        return f"{self.across(x):.1f},{self.down(y):.1f}"

    def across(self, x: float) -> float:
        return LEFT + (x - self.low_x) / (self.high_x - self.low_x) * (WIDTH - LEFT - RIGHT)

    def down(self, y: float) -> float:
        return TOP + (self.high_y - y) / (self.high_y - self.low_y) * (HEIGHT - TOP - BOTTOM)

    def axes(self, x: str, y: str) -> str:
        """Return five ticks on each axis, thin lines, and the words."""
        parts = [k / 4 for k in range(5)]
        levels = [self.low_y + part * (self.high_y - self.low_y) for part in parts]
        places = [self.low_x + part * (self.high_x - self.low_x) for part in parts]
        if self.high_x - self.low_x < len(parts):  # few whole numbers, such as layers
            places = list(range(int(self.low_x), int(self.high_x) + 1))
        lines = [
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{self.down(value):.1f}" '
            f'y2="{self.down(value):.1f}" stroke="currentColor" stroke-opacity="0.2"/>'
            for value in levels
        ]
        lines += [_text(LEFT - 6, self.down(value) + 4, f"{value:.2f}", "end") for value in levels]
        below = HEIGHT - BOTTOM + 16
        lines += [_text(self.across(value), below, f"{value:g}", "middle") for value in places]
        words = _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x, "middle")
        return "".join(lines) + words + _text(LEFT, TOP - 12, y, "start")


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="12" '
        f'fill="currentColor">{html.escape(words)}</text>'
    )
