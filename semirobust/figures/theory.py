"""Figures of the theory: what an estimate of dependence is made of, gamma by depth, bounds."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from semirobust.figures.curves import draw_courses
from semirobust.figures.style import COLOUR, LINE, PALE, Records, axes_of, finished, series


def plot_parts(records: Records, *, legend: bool = True, ax: Axes | None = None) -> Axes:
    """Draw each estimate as its null (grey) plus its excess, under its ceiling (dashes)."""
    data, ax = pd.DataFrame(records), axes_of(ax)
    place = np.arange(len(data))
    excess = data["value"] - data["null_mean"]
    ax.bar(place, data["null_mean"], color=PALE, label="left when shuffled")
    ax.bar(place, excess, bottom=data["null_mean"], color=COLOUR, label="excess")
    ends = (place - 0.4, place + 0.4)
    ax.hlines(data["ceiling"], *ends, colors=LINE, linestyles="dashed", label="ceiling")
    ax.set_xticks(place, list(map(str, data["j"])))
    y = ("value", "null_mean", "ceiling")
    return finished(ax, data, ("j", "bits"), x="j", y=y, legend=legend)


def plot_truth(records: Records) -> Axes:
    """Draw estimates (columns ``estimator``, ``value``) against the ``truth`` in bits."""
    data, ax = pd.DataFrame(records), axes_of()
    draw_courses(ax, data, x="truth", y="value", by="estimator", spread=True)
    ax.axline((0, 0), slope=1, color=LINE, linestyle="dashed", linewidth=1)
    labels = ("true information in bits", "estimate in bits")
    return finished(ax, data, labels, x="truth", y="value", by="estimator")


def plot_sizes(records: Records, *, x: str = "samples per class", ax: Axes | None = None) -> Axes:
    """Draw value, null and ceiling against the size in column ``x``."""
    data, ax = pd.DataFrame(records), axes_of(ax)
    ax.plot(data[x], data["ceiling"], color=LINE, linestyle="dashed", label="ceiling")
    ax.plot(data[x], data["value"], color=COLOUR, linewidth=5, label="estimate")
    ax.plot(data[x], data["null_mean"], color=PALE, label="shuffled")
    ax.set(xscale="log", ylim=(0, None))
    ax.set_xticks(list(data[x]), list(map(str, data[x])), minor=False)
    ax.minorticks_off()
    return finished(ax, data, (x, "bits"), x=x, y=("ceiling", "value", "null_mean"))


def plot_replica(records: Records) -> Axes:
    """Draw published values of ρ against noise of the same sizes (columns ``noise``, ``rho``)."""
    data, ax = pd.DataFrame(records), axes_of()
    sns.scatterplot(data, x="noise", y="rho", hue="data", style="network", ax=ax)
    ax.axline((4, 4), slope=1, color=LINE, linestyle="dashed", linewidth=1)
    labels = ("independent noise, bits", "published ρ, bits")
    return finished(ax, data, labels, x="noise", y="rho", by="data", points=True, columns=2)


def plot_gamma(records: Records, *, ax: Axes | None = None) -> Axes:
    """Draw γ_j (column ``gamma``, interval ``low``..``high``) by layer ``j``, a line a readout."""
    data, ax = pd.DataFrame(records), axes_of(ax)
    draw_courses(ax, data, x="j", y="gamma", by="readout")
    for _, part, look, _ in series(data, "readout"):
        ax.fill_between(part["j"], part["low"], part["high"], color=look.colour, alpha=0.15, lw=0)
    ax.axhline(0, color=LINE, linewidth=0.6)
    return finished(ax, data, ("layer j", "γ_j"), x="j", y="gamma", by="readout")


def plot_slack(records: Records) -> Axes:
    """Draw ρ (``rho``, in bits) against U - 1 (``slack``) with the bounds of Lemma 1."""
    data, ax = pd.DataFrame(records), axes_of()
    excess = (data["slack"] - 1).sort_values()
    ax.scatter(data["slack"] - 1, data["rho"], s=12, color=COLOUR, label="pairs of layers")
    slope, name = 1 / np.log(2), r"$(U - 1) / \ln 2$"
    ax.plot(excess, excess * slope, color=LINE, linestyle="dashed", label=name)
    ax.plot(excess, np.log2(1 + excess), color=LINE, label=r"$\log_2 U$")
    ax.plot(excess, excess, color=PALE, label="$U - 1$, in bits no bound")
    return finished(ax, data, ("U - 1", "ρ in bits"), x="slack", y="rho", points=True)


def plot_growth(records: Records) -> Axes:
    """Draw the growth of the score per layer beside what A2 requires (``growth``, ``required``)."""
    data, ax = pd.DataFrame(records), axes_of()
    draw_courses(ax, data, x="j", y="growth", by="network", dashed="required")
    ax.plot([], [], color=LINE, linestyle="dashed", linewidth=1, label="required by A2")
    ax.axhline(2, color=LINE, linewidth=0.6)
    ax.annotate("largest growth of a bounded score", (data["j"].min(), 2.02), fontsize="x-small")
    labels = ("layer j", "change of the score")
    return finished(ax, data, labels, x="j", y=("growth", "required"), by="network")


def plot_constants(records: Records) -> Axes:
    """Draw constants γ_n (column ``gamma``) by number of layers ``n``, a line a ``kind``."""
    data, ax = pd.DataFrame(records), axes_of()
    draw_courses(ax, data, x="n", y="gamma", by="kind")
    ax.set_yscale("symlog", linthresh=1)
    return finished(ax, data, ("number of layers n", "γ_n"), x="n", y="gamma", by="kind")


def plot_line(records: Records) -> Axes:
    """Draw the loss between two networks (``t``, ``loss``) beside its expansion at t = 0."""
    data, ax = pd.DataFrame(records), axes_of()
    ax.plot(data["t"], data["loss"], color=COLOUR, marker="o", markersize=3, label="loss")
    ax.plot(data["t"], data["expansion"], color=LINE, linestyle="dashed", label="expansion (9)")
    labels = ("t, from f_b* (0) to f̃_b (1)", "mean cross-entropy")
    return finished(ax, data, labels, x="t", y=("loss", "expansion"))


def plot_bounds(records: Records) -> Axes:
    """Draw bounds (columns ``bound``, ``value``) on a logarithmic axis, a row each."""
    data, ax = pd.DataFrame(records), axes_of(height=2.4)
    place = np.arange(len(data))[::-1]
    ax.barh(place, data["value"], color=[LINE, *[COLOUR] * (len(data) - 1)], height=0.6)
    ax.set_yticks(place, list(map(str, data["bound"])))
    ax.set(xscale="log")
    labels = ("difference of losses, nats", "")
    return finished(ax, data, labels, x="bound", y="value", legend=False)
