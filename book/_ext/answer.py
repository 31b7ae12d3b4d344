"""The front page's figure: who keeps how much accuracy, under which threat model, from the records.

An SVG in the colours of the page, so that it is read in light and dark, with its values in words.
"""

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from book._ext.claims import Check, Finding, finding
from semirobust.results.records import ROOT

MODEL, DATA, N_B = "vgg16", "cifar10", 12
ROWS: Mapping[str, Mapping[str, Any]] = {
    "robust": {"network": "robust"},
    "spliced": {"network": "spliced", "n_b": N_B},
    "tuned": {"network": "tuned", "n_b": N_B, "front": "robust"},
    "standard front": {"network": "tuned", "n_b": N_B, "front": "standard"},
}
PANELS = {"static": "made robust to stored examples", "online": "made robust in training"}
THREATS = {"static": "stored examples (transfer)", "whitebox": "PGD on the network itself"}
PAPER = {"robust": 0.79, "spliced": 0.639, "tuned": 0.766}  # Table 1, VGG16 on CIFAR-10
WIDTH, LEFT, RIGHT, TOP, STEP = 400, 122, 26, 42, 36


@dataclass(frozen=True)
class Point:
    """One accuracy: its panel, row and threat model, with what was found."""

    panel: str
    row: str
    threat: str
    found: Finding

    @property
    def mean(self) -> float:
        """Return the mean over seeds."""
        return sum(self.found.values) / len(self.found.values)


def points(root: Path = ROOT) -> list[Point]:
    """Return the recorded accuracies of the figure."""
    every = [
        Point(panel, row, threat, finding(_test(panel, row, threat), root))
        for panel in PANELS
        for row in ROWS
        for threat in THREATS
    ]
    return [point for point in every if point.found.values and point.found.profile != "smoke"]


def _test(protocol: str, row: str, threat: str) -> Check:
    return Check(
        kind=threat,
        within=(0, 1),
        experiment="table-1",
        record={"model": MODEL, "data": DATA, "protocol": protocol},
        row=ROWS[row],
        column=threat,
    )


def figure(shown: list[Point]) -> str:
    """Return the figure as HTML, with its legend and the runs behind it below."""
    if not shown:
        return "*No run is recorded yet that could answer this.*"
    panels = "".join(
        _panel(name, [point for point in shown if point.panel == name]) for name in PANELS
    )
    caption = f"<figcaption>{LEGEND} {about(shown)}</figcaption>"
    return f'<figure class="answer"><div class="panels">{panels}</div>{caption}</figure>'


LEGEND = (
    '<b><i class="dot whitebox"></i>white-box: PGD on the network itself</b>'
    '<b><i class="dot static"></i>transfer: stored examples</b>'
    '<b><i class="dot paper"></i>the paper</b><br>'
)


def text(panel: str, shown: list[Point]) -> str:
    """Return the values of one panel in words."""
    told = [f"{point.row} {point.mean:.0%} under {THREATS[point.threat]}" for point in shown]
    paper = [f"{row} {value:.1%}" for row, value in PAPER.items() if panel == "static"]
    beside = f". In the paper: {', '.join(paper)}" if paper else ""
    return f"Accuracy of networks {PANELS[panel]}: {'; '.join(told)}{beside}."


def table(shown: list[Point]) -> str:
    """Return the values of the figure as CSV."""
    lines = ["made robust to,network,attacked by,seed number,accuracy"]
    lines += [
        f'{point.panel},"{point.row}",{point.threat},{number},{value}'
        for point in shown
        for number, value in enumerate(point.found.values)
    ]
    return "\n".join(lines) + "\n"


def about(shown: list[Point]) -> str:
    """Return which runs stand behind the figure, from their settings."""
    files = sorted({path for point in shown for path in point.found.files})
    settings = [json.loads(path.read_bytes())["settings"] for path in files]
    studies = [one["study"] for one in settings]
    width = studies[0]["architecture"].get("width", 1)
    images = studies[0]["data"].get("train")
    epsilon = round(255 * studies[0]["attack"]["epsilon"])
    of = f"{images:,} training images" if images else "all training images"
    seeds = sorted(
        f"{sum(one['protocol'] == name for one in studies)} {word}"
        for name, word in {"static": "on stored examples", "online": "trained online"}.items()
    )
    return (
        f"VGG16, {width:g} of its width, {of} of CIFAR-10, ε = {epsilon}/255, f_b of {N_B} of 16 "
        f"layers. Seeds: {' and '.join(seeds)}; lines go from the lowest to the highest. "
        '<a href="../figures/answer.csv" download>Its data</a>'
    )


def _across(accuracy: float) -> float:
    return LEFT + accuracy * (WIDTH - LEFT - RIGHT)


def _down(row: int) -> float:
    return TOP + STEP * (row + 0.5)


def _panel(name: str, shown: list[Point]) -> str:
    bottom = TOP + STEP * len(ROWS)
    parts = [f'<text x="8" y="18" class="head">{PANELS[name]}</text>']
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x = _across(tick)
        parts.append(f'<line x1="{x}" x2="{x}" y1="{TOP - 8}" y2="{bottom}" class="grid"/>')
        parts.append(f'<text x="{x}" y="{bottom + 18}" class="tick">{tick:.0%}</text>')
    parts += [_label(number, row) for number, row in enumerate(ROWS)]
    if name == "static":
        parts += [_diamond(row, value) for row, value in PAPER.items()]
    parts += [_mark(point) for point in shown]
    return (
        f'<svg viewBox="0 0 {WIDTH} {bottom + 26}" role="img" '
        f'aria-label="{html.escape(text(name, shown))}">{"".join(parts)}</svg>'
    )


def _label(number: int, row: str) -> str:
    return f'<text x="{LEFT - 12}" y="{_down(number) + 5}" class="name">{row}</text>'


def _diamond(row: str, value: float) -> str:
    x, y = _across(value), _down(list(ROWS).index(row))
    return f'<path d="M{x:.1f} {y - 7}l7 7l-7 7l-7 -7z" class="paper"/>'


def _mark(point: Point) -> str:
    x, y = _across(point.mean), _down(list(ROWS).index(point.row))
    low, high = (_across(end(point.found.values)) for end in (min, max))
    spread = f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" class="{point.threat}"/>'
    if point.threat == "static":
        return f'{spread}<circle cx="{x:.1f}" cy="{y}" r="6.5" class="static"/>'
    return f'{spread}<rect x="{x - 6:.1f}" y="{y - 6}" width="12" height="12" class="whitebox"/>'
