"""Figures of sparse networks: an accuracy by the share of weights that remain.

Kept apart from ``plotting`` for its length; the style is set there.
"""

import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from semirobust.figures.plotting import MARKERS
from semirobust.figures.words import told

PERCENT = (100, 50, 20, 10, 5, 2, 1)


def plot_densities(
    records: pd.DataFrame,
    *,
    by: str = "reset",
    y: str = "pgd",
    panels: str = "row",
    label: str = "",
) -> Figure:
    """Draw ``y`` by the share of weights left, mean and spread over trials, two panels in a line.

    Args:
        records: One row a network, with its ``share`` in 0..1.
        by: Column whose values are the series.
        y: Column that is drawn.
        panels: Column whose values are the panels.
        label: Name of the second axis.
    """
    names = list(records[panels].unique())
    lines, columns = -(-len(names) // 2), min(len(names), 2)
    size = (6.4 if columns == 1 else 6.8, 3.2 * lines)
    figure, axes = plt.subplots(
        lines, columns, figsize=size, sharex=True, layout="constrained", squeeze=False
    )
    for spare in range(len(names), axes.size):
        axes.flat[spare].remove()
        axes.flat[spare - columns].tick_params(labelbottom=True)  # the last of its column now
    for ax, name in zip(axes.flat, names, strict=False):
        _panel(ax, records[records[panels] == name], by, y)
        ax.set(title=name, xlabel="weights left, %", ylabel=label or y)
    axes[0][0].set_xlim(115, 85 * records["share"].min())  # shared; dense on the left
    return figure


def _panel(ax: Axes, records: pd.DataFrame, by: str, y: str) -> None:
    data = records.assign(share=100 * records["share"])
    order = list(data[by].unique())
    sns.lineplot(
        data,
        x="share",
        y=y,
        hue=by,
        style=by,
        hue_order=order,
        markers=list(MARKERS[: len(order)]),
        dashes=False,
        palette="colorblind",
        errorbar="sd",
        markersize=5,
        ax=ax,
    )
    ax.set(xscale="log", ylim=(0, None))
    ax.set_xticks(PERCENT, [str(tick) for tick in PERCENT])
    ax.minorticks_off()
    ax.legend(fontsize="x-small", title=None)
    told(ax, records, x="share", y=y, by=by)
