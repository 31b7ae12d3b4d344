"""What the chapter on tickets found: sparse networks in tables, and against dense ones."""

import pandas as pd
from scipy.special import stdtrit

from semirobust.findings.tables import SMOKE
from semirobust.findings.words import mean_and_spread
from semirobust.results.profiles import DEFAULT
from semirobust.results.values import Words
from semirobust.results.verdicts import decide, estimate


def summary(records: pd.DataFrame, by: list[str], columns: list[str]) -> pd.DataFrame:
    """Return mean and, from two networks on, standard deviation of columns, with the count."""
    groups = records.groupby(by, sort=False)
    return groups[columns].agg(mean_and_spread).assign(networks=groups.size()).reset_index()


def against_dense(networks: pd.DataFrame) -> pd.DataFrame:
    """Return accuracies under PGD of sparse fronts beside the dense one, by row, cut and back.

    ``noise`` is half of the 95 % interval (Student) of the ticket's difference over the trials.
    """
    by = ["row", "a", "share", "back", "trial"]
    sparse = networks[networks["front"] != "dense"].round({"share": 3})
    table = sparse.pivot_table(index=by, columns="front", values="pgd")
    dense = networks[networks["front"] == "dense"].set_index(["row", "a", "back", "trial"])["pgd"]
    table = table.join(dense.rename("dense"))
    table["ticket - dense"] = table["ticket"] - table["dense"]
    table["ticket - mask"] = table["ticket"] - table["random mask"]
    groups = table.groupby(by[:-1])
    wide = stdtrit(groups.size() - 1, 0.975)
    return groups.mean().assign(noise=groups["ticket - dense"].sem() * wide)


def kept(levels: pd.DataFrame, fronts: pd.DataFrame, profile: str) -> Words:
    """Return what tickets of one row keep, and how often they do as well as a dense front.

    ``levels`` are the networks of one row, ``fronts`` comparisons of ``against_dense``.
    """
    if profile == DEFAULT:
        return Words(SMOKE)
    last = levels[levels["level"] == levels["level"].max()]
    trials = last.pivot(index="trial", columns="reset", values="pgd")
    gain = estimate((trials["original"] - trials["random"]).tolist())
    low, high = gain.interval()
    word = decide(gain, (0, float("inf"))).word
    if word != "holds":
        raise ValueError(f"no sentence for first values that help by {low:.1%} to {high:.1%}")
    dense = levels.loc[levels["level"] == 0, "pgd"].mean()
    mean, gap, wide = trials.mean(), fronts["ticket - dense"], fronts["noise"]
    behind = fronts.index.get_level_values("back") == "standard"
    worse, better = gap < -wide, gap > wide
    return Words(
        f"With {last['share'].mean():.1%} of the weights left, networks reset to their first "
        f"values keep {mean['original']:.1%} under PGD on {levels['data'].iloc[0]}, where fresh "
        f"values give {mean['random']:.1%} and all weights {dense:.1%}: the first values are worth "
        f"{100 * gain.mean:.1f} points [{100 * low:.1f}, {100 * high:.1f}]. Frozen as a front, a "
        f"ticket is worse than the dense front in {int(worse[behind].sum())} of "
        f"{int(behind.sum())} comparisons behind a standard back, and in "
        f"{int(worse[~behind].sum())} of {int((~behind).sum())} behind one that was trained "
        f"there, where it is better in {int(better[~behind].sum())}; the others are undecided. It "
        f"beats a random mask of its size in {int((fronts['ticket - mask'] > 0).sum())} of "
        f"{len(fronts)}."
    )
