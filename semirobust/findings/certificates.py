"""What the chapters on certificates found, computed from the records they show.

Of MixTrain: how far bounding a few samples falls short of bounding all. Of certified fronts:
whether a front that is certified no less as a whole passes on less to another f_b.
"""

import pandas as pd

from semirobust.findings.tables import NONE, how_often, noise

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
    found = found.rename(columns={SHARE: "k samples"}).round({"k samples": 3, "symbolic": 3})
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
