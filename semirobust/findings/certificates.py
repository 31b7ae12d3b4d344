"""What the chapters on certificates found, computed from the records they show.

Of MixTrain: how far bounding a few samples falls short of bounding all. Of certified fronts:
whether a front that is certified no less as a whole passes on less to another f_b.
"""

import pandas as pd

from semirobust.findings.tables import SMOKE, Tables, noise
from semirobust.findings.words import NONE, how_often, percent
from semirobust.results.profiles import DEFAULT
from semirobust.results.values import Words
from semirobust.results.verdicts import GRANTED, Word, decide, estimate

PLACE = ["data", "epsilon"]
SHARE = "verified any"


def shortfalls(networks: pd.DataFrame, reports: pd.DataFrame) -> pd.DataFrame:
    """Return verified shares of k bounded samples a batch beside those of all of them.

    ``symbolic`` is that of as many epochs, or the most below them (``its epochs``); ``short`` is
    in points, ``±`` two standard errors of it, as if the two had met different images.
    """
    few = networks[networks["method"].str.startswith("mixtrain")]
    few = few.assign(k=few["method"].str.removeprefix("mixtrain-").astype(int))
    few = few.groupby([*PLACE, "epochs", "k"])[SHARE].mean().reset_index()
    every = networks[networks["method"] == "symbolic"]
    every = every.groupby([*PLACE, "epochs"])[SHARE].mean().reset_index()
    every = every.assign(its=every["epochs"]).rename(columns={SHARE: "symbolic"})
    found = pd.merge_asof(
        few.sort_values("epochs"), every.sort_values("epochs"), on="epochs", by=PLACE
    ).sort_values([*PLACE, "epochs", "k"])
    own = reports[reports["evaluation"] == "pgd and interval"]
    tested = own.groupby(PLACE)["n"].min().rename("n").reset_index()
    found = found.merge(tested, on=PLACE, how="left")
    found["short"] = (100 * (found["symbolic"] - found[SHARE])).round(1)
    shares = zip(found[SHARE], found["symbolic"], found["n"], strict=True)
    found["±"] = [round(100 * noise(*three), 1) for three in shares]
    found["its epochs"] = found["its"].astype("Int64")
    found["on"] = found["data"] + " " + found["epsilon"].map("{:.2g}".format)
    found = found.rename(columns={SHARE: "k samples"})
    found[["k samples", "symbolic"]] = percent(found[["k samples", "symbolic"]])
    columns = ["k samples", "symbolic", "its epochs", "short", "±"]
    return found.set_index(["on", "epochs", "k"])[columns].astype(object).fillna(NONE)


def passed_on(transfer: pd.DataFrame, bracket: pd.DataFrame, *, a: int) -> pd.DataFrame:
    """Return in how many seeds each front is worse than that of IBP, as a front and as a whole.

    ``transfer`` are networks with an f_b trained behind each front of ``a`` links, ``bracket`` the
    ends of gamma of the fronts' own networks.
    """
    clean = transfer[(transfer["tail"] == "standard") & (transfer["a"] == a)]
    whole = bracket[bracket["readout"] == "whole network"]
    front = clean.pivot(index="seed", columns="front", values=SHARE)
    gamma = whole.pivot(index="seed", columns="front", values="gamma_cert")
    found = []
    for name in [column for column in front if column != "ibp"]:
        seeds = front[["ibp", name]].dropna().index
        less = [how_often(table[name][seeds] < table["ibp"][seeds]) for table in (front, gamma)]
        found.append({"front": name, "passes on less": less[0], "is certified less": less[1]})
    return pd.DataFrame(found).set_index("front")


def mixed(main: pd.DataFrame, tables: Tables, profile: str) -> Words:
    """Return what MixTrain reaches and costs, from networks of one data set and radius."""
    if profile == DEFAULT:
        return Words(SMOKE)
    data, epsilon = main["data"].iloc[0], main["epsilon"].iloc[0]
    tested = int(tables["reports"].query("data == @data and epsilon == @epsilon")["n"].min())
    mean = main.groupby("method")[[SHARE, "attacked"]].mean()
    few, every = (mean.loc[method] for method in ("mixtrain-5", "symbolic"))
    by_seed = main.pivot(index="seed", columns="method", values=SHARE)
    more = {
        "holds": "which is more",
        "undecided": "whether that is more is undecided",
        "does not hold": "which is not more",
    }[_larger(by_seed["symbolic"], by_seed["mixtrain-5"], tested)]
    cost = tables["costs"].query("data == @data").set_index("method")["cpu_seconds"]
    saved, paid = cost["symbolic"] / cost["mixtrain-5"], cost["mixtrain-5"] / cost["pgd-7"]
    shares = mean[SHARE].astype(float).to_dict()
    return Words(
        f"Bounding five samples of each batch trains a network that is certified on "
        f"{few[SHARE]:.1%} of the test images ({data}, radius {epsilon:g}) and stands the attacks "
        f"on {few['attacked']:.1%}. Bounding every sample certifies {every[SHARE]:.1%}; {more}. "
        f"Intervals certify {shares['ibp']:.1%}, and adversarial training "
        f"{shares['pgd-7']:.1%}. An epoch takes {1 / saved:.1%} of the time of bounding "
        f"every sample, and {paid:.1f} times that of adversarial training with seven steps."
    )


def transferred(tables: Tables, ties: "pd.Series[float]", profile: str, *, a: int) -> Words:
    """Return what a certified front passes on, and whether ρ (``ties``: Spearman) foretells it."""
    if profile == DEFAULT:
        return Words(SMOKE)
    clean = tables["transfer"].query("tail == 'standard'")
    cuts = clean.groupby(["front", "a"])[SHARE].mean().unstack()
    at = clean[clean["a"] == a]
    by_seed, tested = at.pivot(index="seed", columns="front", values=SHARE), int(at["n"].min())
    if _larger(by_seed["ibp"], by_seed["standard"], tested) != "holds":
        raise ValueError("no sentence for a certified front that passes on no more than a standard")
    counted = passed_on(tables["transfer"], tables["bracket"], a=a).loc["mixtrain-5"]
    better = {
        "holds": "passes on less than that of IBP",
        "undecided": "may pass on less than that of IBP, which is undecided",
        "does not hold": "passes on no less than that of IBP",
    }[_larger(by_seed["ibp"], by_seed["mixtrain-5"], tested)]
    low, high = ties.min(), ties.max()
    rho = "of both signs" if low < 0 < high else "all of one sign"
    standard = cuts.loc["standard"].max()
    return Words(
        f"A front trained for certificates (IBP) passes some of them on: with a back trained on "
        f"clean images {cuts.loc['ibp'].min():.1%} to {cuts.loc['ibp'].max():.1%} of the test "
        f"images are certified, by the cut; behind a standard front {standard:.1%} "
        f"at most. Being certified as a whole is another thing: behind {a} links, the front of "
        f"MixTrain {better} ({by_seed['mixtrain-5'].mean():.1%} and {by_seed['ibp'].mean():.1%}; "
        f"less in {counted['passes on less']} seeds), though as a whole it is certified less in "
        f"{counted['is certified less']}. Does ρ foretell the certified share? Its rank "
        f"correlations go from {low:+.2f} to {high:+.2f} by the networks compared, {rho}; "
        f"these are few and not independent, so we cannot tell."
    )


def _larger(one: "pd.Series[float]", other: "pd.Series[float]", tested: int) -> Word:
    """Return whether the first share is larger, over shared seeds, as if of different images."""
    both = pd.concat([one, other], axis=1, keys=["one", "other"]).dropna()
    variance = (noise(both["one"].mean(), both["other"].mean(), tested) / 2) ** 2
    gaps = (both["one"] - both["other"]).tolist()
    return decide(estimate(gaps, variance, granted=GRANTED["points"]), (0, float("inf"))).word
