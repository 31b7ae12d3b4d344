"""Who keeps how much accuracy, under which threat model: both protocols beside the paper.

The picture is an SVG that a page may take into its text: the ink is the colour of the text around
it, and the records that were drawn stand in its description.
"""

import re
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from semirobust.figures.alt_text import INK, drawing, in_words, told, with_data
from semirobust.figures.networks import with_labels
from semirobust.figures.style import NETWORKS, Look, set_rows
from semirobust.results.documents import document, value_at
from semirobust.results.records import write_atomically

SHOWN = {
    "robust": "robust",
    "spliced": "spliced",
    "tuned": "retrained",
    "frozen standard f_a": "standard front",
}
MADE = {"static": "trained on stored examples", "online": "trained on fresh examples"}
THREATS = {"whitebox": "white-box", "static": "transfer"}
PAPER = "the paper"
NAMED = "{} {:.1%}, {}"  # a mark, with the runs that it is the mean of
MARKS = {
    "white-box": "white-box: PGD on the network itself",
    "transfer": "transfer: stored examples",
    PAPER: "the paper, Table 1",
}
GRID: dict[Any, Any] = {"grid.color": INK, "grid.alpha": 0.25}


def plot_protocols(
    networks: pd.DataFrame, *, paper: Mapping[str, float] | None = None, title: str = ""
) -> Figure:
    """Draw the mean accuracy of each network under each protocol, of the deepest cut.

    Lines go from the lowest to the highest seed. ``paper`` has published accuracies by network,
    drawn beside the static protocol.
    """
    deepest = networks["n_b"].isna() | (networks["n_b"] == networks["n_b"].max())
    table = with_labels(networks[deepest])
    table = table.assign(network=table["label"].map(SHOWN)).dropna(subset=["network"])
    keys = [name for name in ("protocol", "network", "seed", "key") if name in table]
    table = table.rename(columns=THREATS)
    long = table.melt(keys, [*THREATS.values()], "threat", "accuracy").dropna(subset="accuracy")
    printed = [
        {"protocol": "static", "network": SHOWN[name], "threat": PAPER, "accuracy": value}
        for name, value in (paper or {}).items()
        if name in SHOWN
    ]
    if printed:
        long = pd.concat([long, pd.DataFrame(printed)], ignore_index=True)
    panels = [name for name in MADE if name in set(long["protocol"])]
    with plt.rc_context(GRID):
        size = (5.6, 0.5 + 2.0 * len(panels))
        figure, axes = plt.subplots(
            len(panels), 1, figsize=size, sharex=True, squeeze=False, layout="constrained"
        )
        for ax, name in zip(axes[:, 0], panels, strict=True):
            _panel(ax, long[long["protocol"] == name], MADE[name])
            ax.xaxis.label.set_visible(name == panels[-1])
        threats = [name for name in MARKS if name in set(long["threat"])]
        handles = [Line2D([], [], label=MARKS[name], **_mark(name, Look(INK))) for name in threats]
        figure.legend(handles=handles, loc="outside upper left", fontsize="small")
        if title:
            figure.suptitle(title)
    return figure


def _panel(ax: Axes, part: pd.DataFrame, title: str) -> None:
    """Draw a row for each network: filled marks for white-box, open ones for transfer."""
    labels = [label for label, name in SHOWN.items() if name in set(part["network"])]
    for row, label in enumerate(labels):
        look = NETWORKS[label]
        for threat in MARKS:
            chosen = (part["network"] == SHOWN[label]) & (part["threat"] == threat)
            accuracy = part.loc[chosen, "accuracy"]
            ax.hlines(row, accuracy.min(), accuracy.max(), color=look.colour, linewidth=2)
            (mark,) = ax.plot(accuracy.mean(), row, **_mark(threat, look))
            runs = part.loc[chosen].get("key", pd.Series(dtype=object)).dropna()
            behind = "run " + ", ".join(map(str, runs)) if len(runs) else "Table 1"
            mark.set_gid(NAMED.format(threat, accuracy.mean(), behind))
    ax.set(xlim=(-0.03, 1.0))
    set_rows(ax, [SHOWN[label] for label in labels], "accuracy on test images")
    ax.set_title(title, x=0, ha="left")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    with_data(ax, part, x="threat", y="accuracy", by="network")


def _mark(threat: str, look: Look) -> dict[str, Any]:
    """Return the marks of ``style``; an outline is in the ink of the page, an open mark empty."""
    if threat == PAPER:
        return {"marker": "D", "color": INK, "linestyle": "none", "markersize": 7}
    face = look.colour if threat == "white-box" else "none"
    ink = Look(look.colour, INK if look.outline else None)
    sizes: dict[str, Any] = {"markersize": 8, "markeredgewidth": 1.8, "linestyle": "none"}
    return ink.marks(markerfacecolor=face, **sizes)


def caption(networks: pd.DataFrame) -> str:
    """Return what is found, and which runs of one network on one data set are drawn."""
    drawn = networks["n_b"].isna() | (networks["n_b"] == networks["n_b"].max())
    stored = networks[drawn & (networks["protocol"] == "static")]
    found = "Accuracy by network and threat model"
    if len(stored):
        kept, passed = (stored[name].max() for name in ("whitebox", "static"))
        found = (
            f"Networks trained on stored examples score up to {passed:.1%} on stored test images, "
            f"and at most {kept:.1%} when attacked themselves"
        )
    settings = document(networks["file"].iloc[0])["settings"]
    width = value_at(settings, "study.architecture.width") or 1
    images = value_at(settings, "study.data.train")
    radius = round(255 * value_at(settings, "study.attack.epsilon"))
    runs = networks.drop_duplicates("file")["protocol"].value_counts()
    seeds = [f"{runs[name]} {MADE[name]}" for name in MADE if name in runs]
    model, data = (in_words(networks[column].iloc[0]) for column in ("model", "data"))
    return (
        f"{found}. {model}, {width:.0%} of its width, "
        f"{f'{images:,}' if images else 'all'} training images of {data}, ε = {radius}/255, the "
        f"back {networks['n_b'].max():g} layers. Runs: {' and '.join(seeds)}; marks are "
        "their means, lines go from the lowest to the highest."
    )


def save_svg(figure: Figure, file: Path, *, caption: str, keys: Iterable[str]) -> None:
    """Write a figure as SVG in the ink of the page, with its words and records; its data as CSV.

    As PNG it is the card that other sites show: the question above it, on white.
    """
    if file.suffix == ".png":
        figure.set_size_inches(8, 4.2)
        figure.suptitle(
            "Does a robust half make a robust whole?", fontsize="x-large", x=0.99, ha="right"
        )
        card = BytesIO()
        figure.savefig(card, dpi=150, facecolor="white", metadata={"Description": caption})
        write_atomically(file, card.getvalue())
        return
    table, words = told(figure.panels)  # type: ignore[attr-defined]
    svg = drawing(figure, box=None, Title=caption, Description=words, Keywords=[*keys])
    svg = svg.replace(INK, "currentColor")
    svg = re.sub("<svg ", f'<svg color="{INK}" role="img" ', svg, count=1)
    write_atomically(file, svg.encode())
    write_atomically(file.with_suffix(".csv"), table.encode())
