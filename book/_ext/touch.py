"""The front page's figure: the cut, moved by hand, over the records of every cut."""

from collections.abc import Iterator
from html import escape
from pathlib import Path

import pandas as pd

from semirobust.results.frames import frame
from semirobust.results.touch import Control, touch

LAYERS, FIRST = 16, 12  # of VGG16; retrained in the first state
LEFT, WIDTH, TOP, STEP = 132, 340, 66, 32  # of the bars
FULL = 0.8  # accuracy at their right end
BLUE, ORANGE = "#0173b2", "#de8f05"
SHOWN = {  # network: its name, and how its bar is filled
    "robust": ("robust", f'fill="{BLUE}"'),
    "spliced": ("spliced", 'fill="#56b4e9"'),
    "tuned": ("retrained", f'fill="{ORANGE}"'),
    "behind": ("standard front", f'fill="{ORANGE}" stroke="currentColor" stroke-width="2"'),
}
MADE = {"online": "fresh examples", "static": "stored ones"}
THREATS = {"whitebox": "white-box", "static": "transfer"}


def cut(root: Path) -> str:
    """Return the figure in which the reader moves the cut: accuracies of the four networks."""
    rows = frame("figure-2", "networks", "cpu", root / "results")
    rows = rows[(rows["model"] == "vgg16") & (rows["data"] == "cifar10") & (rows["seed"] == 0)]
    rows = rows.assign(n_b=rows["n_b"].fillna(0).astype(int))
    cuts = sorted(set(rows["n_b"]) - {0})

    def draw(place: int, threat: int, made: int) -> tuple[str, str]:
        n, attack, protocol = cuts[place], [*THREATS][threat], [*MADE][made]
        part = rows[rows["protocol"] == protocol]
        values = dict(zip(SHOWN, four(part, n, attack), strict=True))
        (run,) = part["key"].unique()
        said = ", ".join(f"{SHOWN[name][0]} {value:.1%}" for name, value in values.items())
        words = f"{THREATS[attack].capitalize()} accuracy, the back {n} of {LAYERS} layers: {said}."
        return "".join(drawn(values, n, f"Run figure-2/{run}")), f"{words} Run {run}."

    controls = [
        Control("layers of the back", [f"{n} of {LAYERS} layers" for n in cuts], cuts.index(FIRST)),
        Control("attack", [*THREATS.values()], slider=False),
        Control("trained on", [*MADE.values()], slider=False),
    ]
    return (
        f'<figure class="drawn">{touch(draw, controls, (560, TOP + 4 * STEP))}'
        "<figcaption><b>Move the cut.</b> VGG16 at a quarter of the width, 10,000 images of "
        "CIFAR-10, one seed. <i>Retrained</i>: the back, behind the frozen robust front; "
        "<i>standard front</i>: the same behind a front that was never attacked. "
        'More in <a href="../notebooks/37-figures-1-and-2.html">chapter 37</a>.</figcaption>'
        "</figure>"
    )


def four(part: pd.DataFrame, n: int, threat: str) -> Iterator[float]:
    """Yield the accuracy of each network at a cut."""
    tuned = (part["n_b"] == n) & (part["network"] == "tuned")
    chosen = {
        "robust": part["network"] == "robust",
        "spliced": (part["n_b"] == n) & (part["network"] == "spliced"),
        "tuned": tuned & (part["front"] == "robust"),
        "behind": tuned & (part["front"] == "standard"),
    }
    for name in SHOWN:
        (value,) = part.loc[chosen[name], threat]
        yield float(value)


def drawn(values: dict[str, float], n_b: int, run: str) -> Iterator[str]:
    """Yield the layers, with the back in another colour, and a bar for each network."""
    width = (WIDTH + 60) / LAYERS
    back = LEFT + width * (LAYERS - n_b)
    yield f'<rect x="{LEFT}" y="12" width="{width * LAYERS:g}" height="22" fill="{BLUE}"/>'
    yield f'<rect x="{back:g}" y="12" width="{width * n_b:g}" height="22" fill="{ORANGE}"/>'
    for layer in range(1, LAYERS):
        place = f'x1="{LEFT + layer * width:g}" x2="{LEFT + layer * width:g}" y1="12" y2="34"'
        yield f'<line {place} stroke="#fff" stroke-width="3"/>'
    yield f'<text x="{LEFT - 10}" y="28" text-anchor="end">front and back</text>'
    for row, (name, value) in enumerate(values.items()):
        y, end = TOP + row * STEP, value * WIDTH / FULL
        label, look = SHOWN[name]
        place = f'x="{LEFT}" y="{y}" height="18" width="{max(1, end):.1f}"'
        yield f'<g><title>{escape(run)}</title><text x="{LEFT - 10}" y="{y + 14}" '
        yield f'text-anchor="end">{label}</text><rect {place} {look}/>'
        yield f'<text x="{LEFT + 8 + end:.1f}" y="{y + 14}">{value:.1%}</text></g>'
