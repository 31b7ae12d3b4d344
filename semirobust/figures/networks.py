"""Figures of the four networks and the controls: accuracies by threat model, rho_j by depth."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from semirobust.figures.alt_text import with_data
from semirobust.figures.curves import draw_courses
from semirobust.figures.style import LINE, NETWORKS, THREATS, axes_of, finished, set_rows


def with_labels(networks: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a column ``label``: controls are named by the f_a that is frozen."""
    control = networks["front"].isin(["standard", "random"])
    label = networks["network"].where(~control, "frozen " + networks["front"].astype(str) + " f_a")
    return networks.assign(label=label)


def plot_accuracies(networks: pd.DataFrame) -> Axes:
    """Draw the accuracy of each network under each threat model, mean and spread over seeds."""
    ax, table = axes_of(width=6.4), with_labels(networks)
    labels = [label for label in NETWORKS if label in set(table["label"])]
    for row, label in enumerate(labels):
        look, part = NETWORKS[label], table[table["label"] == label]
        for shift, (threat, (_, mark)) in zip((-0.2, 0, 0.2), THREATS.items(), strict=True):
            marks = look.marks(**{"markersize": 6, **mark})
            spread = part[threat].std() if len(part) > 1 else np.nan
            ax.errorbar(part[threat].mean(), row + shift, xerr=spread, linestyle="none", **marks)
    ax.set(xlim=(-0.03, 1.03))
    set_rows(ax, labels, "accuracy on test images")
    ax.grid(visible=True, axis="y", alpha=0.3)
    names, marks = zip(*THREATS.values(), strict=True)
    handles = [Line2D([], [], color=LINE, linestyle="none", **mark) for mark in marks]
    ax.legend(handles, names, ncols=len(names), loc="lower left", bbox_to_anchor=(0, 1))
    return with_data(ax, table, x="label", y=tuple(THREATS))


def plot_rho(rho: pd.DataFrame) -> Axes:
    """Draw ρ_j by layer, a line a network, with the shuffled null of each as a dashed line."""
    ax, table = axes_of(width=6.4, height=3.0), with_labels(rho)
    draw_courses(ax, table, x="j", y="value", by="label", dashed="null_mean")
    labels = ("layer j", "ρ_j in bits (dashed: shuffled)")
    return finished(ax, table, labels, x="j", y=("value", "null_mean"), by="label", columns=2)


def plot_radius(curves: pd.DataFrame) -> Axes:
    """Draw accuracy under attack by radius (the index, in 255ths), a line a column."""
    ax = axes_of(width=6.4)
    long = curves.rename_axis("radius").reset_index().melt("radius", None, "network", "accuracy")
    draw_courses(ax, long, x="radius", y="accuracy", by="network")
    ax.axhline(0.1, color=LINE, linestyle="dotted", linewidth=1)
    ax.set(xscale="symlog", ylim=(-0.05, 1.05))
    ax.set_xlim(curves.index.min() - 0.1, 1.1 * curves.index.max())  # no blank on the left of 0
    ax.set_xticks(list(curves.index), [str(radius) for radius in curves.index])
    labels = ("radius over 255", "accuracy")
    return finished(ax, long, labels, x="radius", y="accuracy", by="network")
