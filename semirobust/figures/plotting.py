"""Figures: records in, axes out; the only module that draws.

Every function takes records (dicts or a frame of them) and optional axes, labels them with the
paper's symbol and the unit, and returns the axes through ``told``, which keeps the records for the
table and the text beside the figure. Importing this module sets the style of the book: colours that
colour-blind readers tell apart, on white, which the page inverts where it is dark.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from semirobust.figures.words import told

Records: TypeAlias = pd.DataFrame | Iterable[Mapping[str, Any]]

GREY, COLOUR, LINE = "#b8b8b8", "#2a6f97", "#333333"
STYLE = {
    "figure.dpi": 130,
    "axes.grid": True,
    "grid.alpha": 0.35,
    "axes.axisbelow": True,
    "axes.edgecolor": LINE,
    "axes.labelcolor": LINE,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
}
sns.set_theme(context="notebook", style="ticks", palette="colorblind", font_scale=0.85, rc=STYLE)


def _frame(records: Records) -> pd.DataFrame:
    return records if isinstance(records, pd.DataFrame) else pd.DataFrame(list(records))


def axes_of(ax: Axes | None, *, width: float = 4.5, height: float = 3.2) -> Axes:
    """Return the axes, new ones of this size in inches where there are none."""
    if ax is None:
        ax = plt.subplots(figsize=(width, height), layout="constrained")[1]
    sns.despine(ax=ax)
    return ax


# Dependence: what an estimate is made of.


def plot_parts(
    records: Records, *, by: str = "j", legend: bool = True, ax: Axes | None = None
) -> Axes:
    """Draw each estimate as its null (grey) plus its excess, under its ceiling (dashes)."""
    data, ax = _frame(records), axes_of(ax)
    place = range(len(data))
    excess = data["value"] - data["null_mean"]
    ax.bar(place, data["null_mean"], color=GREY, label="left when shuffled")
    ax.bar(place, excess, bottom=data["null_mean"], color=COLOUR, label="excess")
    ax.hlines(
        data["ceiling"],
        [p - 0.4 for p in place],
        [p + 0.4 for p in place],
        colors=LINE,
        linestyles="dashed",
        label="ceiling",
    )
    ax.set_xticks(list(place), [str(value) for value in data[by]])
    ax.set(xlabel=by, ylabel="bits")
    if legend:
        ax.legend(frameon=False, fontsize="small")
    return told(ax, data, x=by, y=("value", "null_mean", "ceiling"))


def plot_truth(records: Records, *, ax: Axes | None = None) -> Axes:
    """Draw estimates (columns ``estimator``, ``value``) against the ``truth`` in bits."""
    data, ax = _frame(records), axes_of(ax)
    sns.lineplot(data, x="truth", y="value", hue="estimator", marker="o", errorbar="sd", ax=ax)
    ax.axline((0, 0), slope=1, color=LINE, linestyle="dashed", linewidth=1)
    ax.set(xlabel="true information in bits", ylabel="estimate in bits")
    ax.legend(frameon=False, fontsize="small", title=None)
    return told(ax, data, x="truth", y="value", by="estimator")


def plot_sizes(records: Records, *, x: str = "samples per class", ax: Axes | None = None) -> Axes:
    """Draw value, null and ceiling against the size in column ``x``."""
    data, ax = _frame(records), axes_of(ax)
    for name, colour, style, wide, label in (
        ("ceiling", LINE, "dashed", 1.5, "ceiling"),
        ("value", COLOUR, "solid", 5.0, "estimate"),
        ("null_mean", GREY, "solid", 1.5, "shuffled"),
    ):
        ax.plot(data[x], data[name], color=colour, linestyle=style, linewidth=wide, label=label)
    ax.set(xscale="log", xlabel=x, ylabel="bits", ylim=(0, None))
    ax.set_xticks(list(data[x]), [str(value) for value in data[x]], minor=False)
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize="small")
    return told(ax, data, x=x, y=("ceiling", "value", "null_mean"))


def plot_replica(records: Records, *, ax: Axes | None = None) -> Axes:
    """Draw published values of ρ against noise of the same sizes (columns ``noise``, ``rho``)."""
    data, ax = _frame(records), axes_of(ax)
    sns.scatterplot(data, x="noise", y="rho", hue="data", style="network", ax=ax)
    ax.axline((4, 4), slope=1, color=LINE, linestyle="dashed", linewidth=1)
    ax.set(xlabel="independent noise, bits", ylabel="published ρ, bits")
    ax.legend(frameon=False, fontsize="x-small", ncols=2)
    return told(ax, data, x="noise", y="rho", by="data", points=True)


# Theory: gamma by depth, the scale of A2, constants of Theorem 3, losses along a line.

MARKERS = ("o", "s", "^", "D", "v", "P")


def _series(data: pd.DataFrame, by: str) -> Iterator[tuple[str, pd.DataFrame, Any, str]]:
    """Yield each value of a column with its rows, colour and marker."""
    groups = data.groupby(by, sort=False)
    palette = sns.color_palette("colorblind")
    for (name, part), colour, marker in zip(groups, palette, MARKERS, strict=False):
        yield str(name), part, colour, marker


def plot_gamma(records: Records, *, ax: Axes | None = None) -> Axes:
    """Draw γ_j (column ``gamma``, interval ``low``..``high``) by layer ``j``, a line a readout."""
    data, ax = _frame(records), axes_of(ax)
    for name, part, colour, marker in _series(data, "readout"):
        ax.plot(part["j"], part["gamma"], color=colour, marker=marker, markersize=4, label=name)
        ax.fill_between(part["j"], part["low"], part["high"], color=colour, alpha=0.15, linewidth=0)
    ax.axhline(0, color=LINE, linewidth=0.6)
    ax.set(xlabel="layer j", ylabel="γ_j")
    ax.set_xticks(sorted(data["j"].unique()))
    ax.legend(frameon=False, fontsize="x-small")
    return told(ax, data, x="j", y="gamma", by="readout")


def plot_slack(records: Records, *, ax: Axes | None = None) -> Axes:
    """Draw ρ (``rho``, in bits) against U - 1 (``slack``) with the bounds of Lemma 1."""
    data, ax = _frame(records), axes_of(ax)
    excess = (data["slack"] - 1).sort_values()
    ax.scatter(data["slack"] - 1, data["rho"], s=12, color=COLOUR, label="pairs of layers")
    ax.plot(excess, excess / np.log(2), color=LINE, linestyle="dashed", label="(U - 1) / ln 2")
    ax.plot(excess, np.log2(1 + excess), color=LINE, label="log₂ U")
    ax.plot(excess, excess, color=GREY, label="U - 1, in bits no bound")
    ax.set(xlabel="U - 1", ylabel="ρ in bits")
    ax.legend(frameon=False, fontsize="x-small")
    return told(ax, data, x="slack", y="rho", points=True)


def plot_growth(records: Records, *, by: str = "network", ax: Axes | None = None) -> Axes:
    """Draw the growth of the score per layer beside what A2 requires (``growth``, ``required``)."""
    data, ax = _frame(records), axes_of(ax)
    for name, part, colour, marker in _series(data, by):
        ax.plot(part["j"], part["growth"], color=colour, marker=marker, label=f"{name}: growth")
        ax.plot(part["j"], part["required"], color=colour, linestyle="dashed")
    ax.axhline(2, color=LINE, linewidth=0.6)
    ax.annotate("largest growth of a bounded score", (data["j"].min(), 2.02), fontsize="x-small")
    ax.set(xlabel="layer j", ylabel="change of the score")
    ax.set_xticks(sorted(data["j"].unique()))
    ax.legend(frameon=False, fontsize="x-small")
    return told(ax, data, x="j", y=("growth", "required"), by=by)


def plot_radius(curves: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw accuracy under attack by radius (the index, in 255ths), a line a column."""
    ax = axes_of(ax, width=6.4)
    long = curves.rename_axis("radius").reset_index().melt("radius", None, "network", "accuracy")
    lines = {"x": "radius", "y": "accuracy", "hue": "network", "style": "network"}
    sns.lineplot(long, **lines, markers=True, dashes=True, ax=ax)
    ax.axhline(0.1, color=LINE, linestyle="dotted", linewidth=1)
    ax.set(xscale="symlog", ylim=(-0.05, 1.05), xlabel="radius over 255", ylabel="accuracy")
    ax.set_xlim(curves.index.min() - 0.1, 1.1 * curves.index.max())  # no blank on the left of 0
    ax.set_xticks(list(curves.index), [str(radius) for radius in curves.index])
    ax.legend(title=None, fontsize="x-small")
    return told(ax, long, x="radius", y="accuracy", by="network")


# Experiments: accuracies by threat model, rho_j by depth.

THREATS = {"clean": "clean", "static": "static transfer", "whitebox": "white-box PGD-20"}
MADE = {"static": "stored examples", "online": "examples made in training"}
ORDER = ("standard", "robust", "spliced", "tuned", "frozen standard f_a", "frozen random f_a")


def with_labels(networks: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a column ``label``: controls are named by the f_a that is frozen."""
    control = networks["front"].isin(["standard", "random"])
    label = networks["network"].where(~control, "frozen " + networks["front"].astype(str) + " f_a")
    return networks.assign(label=label)


def plot_accuracies(networks: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the accuracy of each network under each threat model, mean and spread over seeds."""
    ax = axes_of(ax, width=6.4, height=3.2)
    table = with_labels(networks)
    long = table.melt(["label"], list(THREATS), var_name="threat", value_name="accuracy")
    order = [label for label in ORDER if label in set(table["label"])]
    sns.pointplot(
        long.replace({"threat": THREATS}),
        y="label",
        x="accuracy",
        hue="threat",
        order=order,
        palette="colorblind",
        markers=list(MARKERS[: len(THREATS)]),
        linestyle="none",
        dodge=0.4,
        errorbar="sd",
        ax=ax,
    )
    ax.set(xlim=(-0.03, 1.03), ylabel="", xlabel="accuracy on test images")
    ax.grid(visible=True, axis="y", alpha=0.3)
    sns.move_legend(ax, "lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, title=None)
    return told(ax, table, x="label", y=tuple(THREATS))


def plot_protocols(networks: pd.DataFrame, *, title: str = "") -> Figure:
    """Draw the accuracies under both protocols side by side, of the deepest cut."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.1), sharey=True, layout="constrained")
    deepest = networks["n_b"].isna() | (networks["n_b"] == networks["n_b"].max())
    for ax, (protocol, part) in zip(axes, networks[deepest].groupby("protocol"), strict=True):
        plot_accuracies(part, ax=ax)
        ax.get_legend().remove()
        ax.set_title(f"made robust to {MADE[str(protocol)]}", fontsize="medium")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, title=title)
    return figure


def plot_rho(rho: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw ρ_j by layer, a line a network, with the shuffled null of each as a dashed line."""
    ax = axes_of(ax, width=6.4, height=3.0)
    table = with_labels(rho)
    palette = dict(zip(ORDER, sns.color_palette("colorblind"), strict=False))
    for marker, (label, part) in zip(MARKERS, table.groupby("label", sort=False), strict=False):
        mean = part.groupby("j")[["value", "null_mean"]].mean()
        colour = palette[str(label)]
        ax.plot(mean.index, mean["value"], color=colour, marker=marker, markersize=4, label=label)
        ax.plot(mean.index, mean["null_mean"], color=colour, linestyle="dashed", linewidth=1)
    ax.set(xlabel="layer j", ylabel="ρ_j in bits (dashed: shuffled)")
    ax.legend(frameon=False, fontsize="x-small", ncols=2)
    return told(ax, table, x="j", y=("value", "null_mean"), by="label")


def plot_constants(records: Records, *, ax: Axes | None = None) -> Axes:
    """Draw constants γ_n (column ``gamma``) by number of layers ``n``, a line a ``kind``."""
    data, ax = _frame(records), axes_of(ax)
    for name, part, colour, marker in _series(data, "kind"):
        ax.plot(part["n"], part["gamma"], color=colour, marker=marker, markersize=4, label=name)
    ax.set(xlabel="number of layers n", ylabel="γ_n")
    ax.set_yscale("symlog", linthresh=1)
    ax.set_xticks(sorted(data["n"].unique()))
    ax.legend(frameon=False, fontsize="x-small")
    return told(ax, data, x="n", y="gamma", by="kind")


def plot_line(records: Records, *, ax: Axes | None = None) -> Axes:
    """Draw the loss between two networks (``t``, ``loss``) beside its expansion at t = 0."""
    data, ax = _frame(records), axes_of(ax)
    ax.plot(data["t"], data["loss"], color=COLOUR, marker="o", markersize=3, label="loss")
    ax.plot(data["t"], data["expansion"], color=LINE, linestyle="dashed", label="expansion (9)")
    ax.set(xlabel="t, from f_b* (0) to f̃_b (1)", ylabel="mean cross-entropy")
    ax.legend(frameon=False, fontsize="x-small")
    return told(ax, data, x="t", y=("loss", "expansion"))


def plot_bounds(records: Records, *, ax: Axes | None = None) -> Axes:
    """Draw bounds (columns ``bound``, ``value``) on a logarithmic axis, a row each."""
    data, ax = _frame(records), axes_of(ax, height=2.4)
    place = range(len(data))[::-1]
    ax.barh(list(place), data["value"], color=[LINE, *[COLOUR] * (len(data) - 1)], height=0.6)
    ax.set_yticks(list(place), list(data["bound"]))
    ax.set(xscale="log", xlabel="difference of losses, nats")
    return told(ax, data, x="bound", y="value")
