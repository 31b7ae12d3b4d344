"""Figures that a reader moves: a drawing for each place of the inputs, with its data and its text.

Without scripts the first drawing stands, and the data beside the figure hold the rest. Colours and
ink are in the drawing, for notebooks have no style sheet.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from semirobust.figures.alt_text import CSV, Bundle, describe_course
from semirobust.figures.style import ON_WHITE_AND_BLACK
from semirobust.results.touch import Control, Draw, touch
from semirobust.theory.worlds import Pair

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 480, 280, 52, 52, 26, 40
BLUE, ORANGE, _ = ON_WHITE_AND_BLACK
TINY = 1e-12  # bits that are rounding


@dataclass(kw_only=True)
class Touch:
    """A figure that a reader moves; ``words`` are set by ``captioned``."""

    draw: Draw
    controls: Sequence[Control]
    data: pd.DataFrame
    text: str
    size: tuple[int, int] = (WIDTH, HEIGHT)
    words: dict[str, str] = field(default_factory=dict)

    def _repr_mimebundle_(self, **_: Any) -> Bundle:
        """Return what a notebook stores: the figure, its table, and what is seen in words."""
        page = touch(self.draw, self.controls, self.size)
        stored = {"text/html": page, CSV: self.data.to_csv(index=False)}
        return stored | {"text/plain": "<figure to touch>"}, {CSV: {"alt": self.text, **self.words}}


def plot_slider(
    records: Iterable[Mapping[str, Any]],
    *,
    x: str,
    y: str,
    move: str,
    labels: Mapping[str, str],
    by: str | None = None,
) -> Touch:
    """Draw lines of y against x, one for each ``by``, that move with a value.

    ``labels`` are words for these columns, for the axes and the slider.
    """
    data = pd.DataFrame(list(records))
    words = {name: labels.get(name, name) for name in (x, y, move)}
    scale = Axes.of(data[x], data[y])
    parts = [part for _, part in data.groupby(move, sort=False)]
    values = [str(value) for value in data[move].unique()]

    def draw(place: int) -> tuple[str, str]:
        lines = [line for _, line in parts[place].groupby(by, sort=False)] if by else [parts[place]]
        drawn = "".join(
            scale.line(line[x], line[y], colour)
            for line, colour in zip(lines, ON_WHITE_AND_BLACK, strict=False)
        )
        seen = f"{words[move]} {values[place]}: {describe_course(parts[place], x, y)}."
        return scale.axes(words[x], words[y]) + drawn, seen

    ends = " ".join(draw(place)[1] for place in (0, len(values) - 1))
    text = f"{words[y]} against {words[x]}, with a slider. {ends}"
    return Touch(draw=draw, controls=[Control(words[move], values)], data=data, text=text)


def plot_noise(noise: Iterable[Mapping[str, Any]], published: pd.DataFrame) -> Touch:
    """Draw ρ of pure noise by ``width`` and ``samples`` per class, beside the published values."""
    data = pd.DataFrame(list(noise))
    widths, samples = (sorted(data[name].unique()) for name in ("width", "samples"))
    rho = data.pivot(index="samples", columns="width", values="rho")
    scale = Axes(np.log2(widths[0]), np.log2(widths[-1]), 0, np.ceil(np.log2(samples[-1])))
    axes = scale.axes("units of each layer", "ρ in bits", lambda value: f"{2**value:,.0f}")
    of = {
        n: _of_samples(scale, n, rho.loc[n], published[published["per_class"] == n])
        for n in samples
    }

    def draw(across: int, down: int) -> tuple[str, str]:
        width, n = widths[across], samples[down]
        layers = [
            f'<g opacity="{1 if one == n else 0.15}">{drawn}</g>' for one, drawn in of.items()
        ]
        x, y = scale.place(np.log2(width), rho.loc[n, width]).split(",")
        point = f'<circle cx="{x}" cy="{y}" r="7" fill="{ORANGE}"/>'
        own = published.loc[published.per_class == n, "rho"]
        beside = f"from {own.min():.2f} to {own.max():.2f}" if len(own) else "none"
        said = (
            f"Noise, {width:,} units in each layer, {n:,} samples a class: "
            f"ρ = {rho.loc[n, width]:.2f} bits, of at most {np.log2(n):.2f}. "
            f"Published values from as many samples (diamonds): {beside}."
        )
        return axes + "".join(layers) + point, said

    controls = [
        Control("units of each layer", [f"{width:,}" for width in widths], len(widths) // 2),
        Control("samples a class", [f"{n:,}" for n in samples], len(samples) - 1),
    ]
    first = draw(*(control.first for control in controls))[1]
    return Touch(draw=draw, controls=controls, data=data, text=first)


def _of_samples(scale: "Axes", n: int, rho: "pd.Series[float]", published: pd.DataFrame) -> str:
    """Return ρ of noise by width, its ceiling, and published values, of one number of samples."""
    ends, ceiling = (scale.low_x, scale.high_x), float(np.log2(n))
    marks = [
        _diamond(
            scale.across(np.log2(one["dx"] * one["dy"]) / 2),
            scale.down(one["rho"]),
            f"{one['network']} on {one['data']}: {one['rho']:.2f} bits",
        )
        for one in published.to_dict("records")
    ]
    top = scale.line(ends, (ceiling, ceiling), "currentColor", dashed=5)
    return top + "".join(marks) + scale.line(np.log2(rho.index), rho, ORANGE)


def plot_world(
    ties: Mapping[float, Pair],
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    scales: Sequence[float],
) -> Touch:
    """Draw a world of two layers of two values, with lamps for A1, A2 and the conclusion.

    Args:
        ties: The pair of layers by how much of their tie is left.
        before: The readout of the earlier layer.
        after: The readout of the later layer.
        scales: What both readouts are multiplied by.
    """
    rows = [
        {"tie": tie, "c": c, "rho": pair.rho, "required": 1 + pair.slack}
        | {"growth": pair.growth(c * before, c * after)}
        for tie, pair in ties.items()
        for c in scales
    ]
    states = pd.DataFrame(rows)
    states["A1"] = states["rho"] > TINY
    states["A2"] = states["growth"] >= states["required"]
    states["conclusion"] = states["growth"] >= states["rho"]
    darkest = max(pair.p.max() for pair in ties.values())

    def draw(across: int, down: int) -> tuple[str, str]:
        (tie, pair), c = [*ties.items()][across], scales[down]
        one = states.iloc[across * len(scales) + down]
        lamps = {
            "A1": (one["A1"], f"ρ = {one.rho:.2f} bits"),
            "A2": (one["A2"], f"it asks for a rise of {one.required:.2f}"),
            "The conclusion": (one["conclusion"], f"it asks for {one.rho:.2f}"),
        }
        drawn = "".join(
            _squares(left, y, p, darkest)
            for left, y, p in zip((10, 150), ("−1", "+1"), pair.p, strict=True)
        ) + "".join(
            _lamp(y, f"{name} {_held(on)}", on=bool(on))
            for y, (name, (on, _)) in zip((36, 89, 142), lamps.items(), strict=True)
        )
        words = " ".join(f"{name} {_held(on)} ({why})." for name, (on, why) in lamps.items())
        return drawn, f"Tie {tie:.0%}, score × {c:g}: it rises by {one.growth:.2f}. {words}"

    controls = [
        Control("tie between the layers", [f"{tie:.0%}" for tie in ties], len(ties) - 1),
        Control("scale of the score", [f"× {c:g}" for c in scales]),
    ]
    first = draw(*(control.first for control in controls))[1]
    return Touch(draw=draw, controls=controls, data=states, text=first, size=(WIDTH, 180))


def _squares(left: int, y: str, p: Any, darkest: float) -> str:
    """Return the four probabilities p(g, h | y) as squares, the likelier the darker."""
    cells = "".join(
        f'<rect x="{left + 54 * h}" y="{36 + 54 * g}" width="50" height="50" fill="{BLUE}" '
        f'fill-opacity="{p[g][h] / darkest:.2f}" stroke="{BLUE}"/>'
        for g in range(2)
        for h in range(2)
    )
    return cells + written(left + 52, 168, f"y = {y}", "middle")


def _held(on: object) -> str:
    return "holds" if on else "fails"


def _lamp(y: int, words: str, *, on: bool) -> str:
    """Return a lamp, filled where it is on, and its words."""
    place = f'cx="284" cy="{y}" r="13" stroke="{ORANGE}" stroke-width="3"'
    lit = f'<circle {place} fill="{ORANGE}" fill-opacity="{int(on)}"/>'
    return lit + written(306, y + 5, words, "start")


def _diamond(x: float, y: float, title: str) -> str:
    look = f'd="M{x:.1f},{y - 5:.1f}l5,5l-5,5l-5,-5z" fill="{BLUE}"'
    return f"<path {look}><title>{escape(title)}</title></path>"


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

    def line(self, x: Iterable[float], y: Iterable[float], colour: str, *, dashed: int = 0) -> str:
        points = " ".join(self.place(*point) for point in zip(x, y, strict=True))
        dashes = f' stroke-dasharray="{dashed}"' * bool(dashed)
        look = f'fill="none" stroke="{colour}" stroke-width="2.5"{dashes}'
        return f'<polyline points="{points}" {look}/>'

    def axes(self, x: str, y: str, name: Callable[[float], str] = "{:g}".format) -> str:
        """Return five ticks on each axis, thin lines, and the words; ``name`` says a place of x."""
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
        lines += [
            written(LEFT - 6, self.down(value) + 4, f"{value:.2f}", "end") for value in levels
        ]
        below = HEIGHT - BOTTOM + 16
        lines += [written(self.across(value), below, name(value), "middle") for value in places]
        words = written((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x, "middle")
        return "".join(lines) + words + written(LEFT, TOP - 12, y, "start")


def written(x: float, y: float, words: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="12" '
        f'fill="currentColor">{escape(words)}</text>'
    )
