"""Something to touch: the cut of the front page, moved by hand (book/assets/move-the-cut.js).

The records are inside. Without scripts the first state stands; slider and choices are ordinary
inputs, so the keyboard moves them and a screen reader says their values.
"""

import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from semirobust.results.frames import frame

LAYERS, FIRST = 16, 12  # of VGG16; retrained in the first state
LEFT, WIDTH, TOP, STEP = 120, 360, 66, 30  # of the bars
FULL = 0.8  # accuracy at their right end
SHOWN = {"robust": "robust", "spliced": "spliced", "tuned": "retrained", "behind": "standard front"}
MADE = {"online": "fresh examples", "static": "stored ones"}
THREATS = {"whitebox": "white-box", "static": "transfer"}


def cut(root: Path) -> str:
    """Return the figure in which the reader moves the cut: accuracies of the four networks."""
    rows = frame("figure-2", "networks", "cpu", root / "results")
    rows = rows[(rows["model"] == "vgg16") & (rows["data"] == "cifar10") & (rows["seed"] == 0)]
    rows = rows.assign(n_b=rows["n_b"].fillna(0).astype(int))
    cuts = sorted(set(rows["n_b"]) - {0})
    values = {
        made: {
            threat: [[round(value, 4) for value in four(part, n, threat)] for n in cuts]
            for threat in THREATS
        }
        for made, part in rows.groupby("protocol")
    }
    first, place = values["online"]["whitebox"], cuts.index(FIRST)
    scale = WIDTH / FULL
    shown = zip(SHOWN.values(), first[place], strict=True)
    words = "; ".join(f"{name} {value:.1%}" for name, value in shown)
    alt = f"White-box accuracy with the last {FIRST} of {LAYERS} layers as the back: {words}."
    records = json.dumps({"cuts": cuts, "values": values, "scale": scale})
    return (
        f'<figure class="touch"><svg viewBox="0 0 560 {TOP + 4 * STEP}" role="img" '
        f'aria-label="{escape(alt)}">{"".join(drawn(first[place], FIRST, scale))}</svg>'
        f'<p><label>layers of the back <input type="range" min="0" max="{len(cuts) - 1}" '
        f'value="{place}" aria-valuetext="{FIRST} of {LAYERS} layers"></label> '
        f"<output>{FIRST} of {LAYERS} layers</output></p>"
        + choice("threat", "attack", THREATS)
        + choice("made", "trained on", MADE)
        + f'<script type="application/json">{records}</script>'
        '<script src="../_static/move-the-cut.js"></script>'
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


def drawn(values: list[Any], n_b: int, scale: float) -> Iterator[str]:
    """Yield the layers, with the back in another colour, and a bar for each network."""
    width = (WIDTH + 60) / LAYERS
    for layer in range(LAYERS):
        kind = "layer back" if layer >= LAYERS - n_b else "layer"
        place = f'x="{LEFT + layer * width:g}" y="12"'
        yield f'<rect class="{kind}" {place} width="{width - 4:g}" height="22"/>'
    yield f'<text x="{LEFT - 10}" y="28" text-anchor="end">front and back</text>'
    for row, (name, value) in enumerate(zip(SHOWN, values, strict=True)):
        y = TOP + row * STEP
        end = value * scale
        yield f'<g class="bar"><text x="{LEFT - 10}" y="{y + 14}" text-anchor="end">{SHOWN[name]}'
        place = f'x="{LEFT}" y="{y}" height="18"'
        yield f'</text><rect class="{name}" {place} width="{max(1, end):g}"/>'
        yield f'<text class="value" x="{LEFT + 6 + end:g}" y="{y + 14}">{value:.1%}</text></g>'


def choice(name: str, legend: str, options: dict[str, str]) -> str:
    """Return a group of radio buttons, the first of them chosen."""
    buttons = [
        f'<label><input type="radio" name="{name}" value="{value}"'
        f"{' checked' * (value == next(iter(options)))}> {words}</label>"
        for value, words in options.items()
    ]
    return f"<fieldset><legend>{legend}</legend>{' '.join(buttons)}</fieldset>"
