"""What is Table 1? The printed accuracies against every reading that our rows give of them.

A reading says how the networks were made robust (stored examples, and whose; fresh ones) and what
attacked them (transfer; white-box). The printed cells do not say. Which reading lies nearest?
"""

from collections.abc import Mapping

import pandas as pd

from semirobust.findings.tables import SMOKE
from semirobust.results.profiles import DEFAULT
from semirobust.results.published import published_numbers
from semirobust.results.values import Words

CELLS = ("robust", "spliced", "tuned")
THREATS = {"static": "transfer", "whitebox": "white-box"}
MADE = {"static": "stored", "online": "fresh"}


def readings(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return printed accuracy beside ours: one row a cell of Table 1, reading and profile."""
    printed = published_numbers("Table 1").query("quantity in @CELLS")
    ours = tables["networks"]
    ours = ours[ours["network"].isin(CELLS) & (ours["front"].isna() | (ours["front"] == "robust"))]
    maker = ours.get("setting", pd.Series(index=ours.index, dtype=object)).fillna("")
    ours = ours[(maker == "") | maker.str.startswith("stored")]
    kind = ours["protocol"].map(MADE).where(maker == "", maker)
    long = ours.assign(kind=kind).melt(
        ["model", "data", "n_b", "network", "kind", "seed"], [*THREATS], "threat", "ours"
    )
    long = long[(long["threat"] != "static") | (long["kind"] != "fresh")]
    long["reading"] = long["kind"] + " examples, " + long["threat"].map(THREATS)
    found = []
    for cell in printed.to_dict("records"):
        same = (long["model"] == cell["model"]) & (long["data"] == cell["data"])
        same &= long["network"] == cell["quantity"]
        same &= (long["n_b"] == cell["n_b"]) | long["n_b"].isna()
        for reading, part in long[same].groupby("reading"):
            about = {name: cell[name] for name in ("model", "data", "quantity")}
            about |= {"reading": reading, "printed": cell["value"] / 100}
            found.append({**about, "ours": part["ours"].mean(), "seeds": part["seed"].nunique()})
    return pd.DataFrame(found)


def distances(cells: pd.DataFrame) -> pd.DataFrame:
    """Return each reading's mean distance to the printed cells, over those that all readings have.

    A reading of few rows is compared on these; ``cells`` says on how many.
    """
    place = ["model", "data", "quantity"]
    wide = cells.pivot_table("ours", place, "reading", sort=False).dropna()
    printed = cells.groupby(place, sort=False)["printed"].first().reindex(wide.index)
    found = wide.sub(printed, axis=0).abs().mean().rename("distance").to_frame()
    found["signed"] = wide.sub(printed, axis=0).mean()
    return found.assign(cells=len(wide)).sort_values("distance")


def fits(cells: pd.DataFrame, profile: str) -> Words:
    """Return which reading of Table 1 lies nearest to what is printed."""
    if profile == DEFAULT:
        return Words(SMOKE)
    table = distances(cells)
    near, n = table.iloc[0], int(table["cells"].iloc[0])
    others = [f"*{name}* {100 * apart:.0f}" for name, apart in table["distance"].iloc[1:].items()]
    side = "below" if near["signed"] < 0 else "above"
    return Words(
        f"Its accuracies lie nearest to *{near.name}*, {100 * near['distance']:.0f} points away "
        f"on average ({', '.join(others)} points), which makes this reading likely and proves "
        f"nothing.\n\nOf the 27 printed accuracies {n} have rows of ours in every reading. The "
        f"nearest reading is {abs(100 * near['signed']):.0f} points {side} them on average."
    )
