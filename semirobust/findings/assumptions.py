"""What the audit of the paper's assumptions found, computed from its pairs of layers."""

import pandas as pd

from semirobust.findings.tables import SMOKE
from semirobust.results.profiles import DEFAULT
from semirobust.results.values import Words

RUN = ["model", "data", "protocol", "seed", "j"]


def audited(pairs: pd.DataFrame, profile: str) -> Words:
    """Return how often A1, A2 and the conclusion of Theorem 2 hold in audited networks."""
    if profile == DEFAULT:
        return Words(SMOKE)
    if pairs["A2"].any():
        raise ValueError("no sentence for an A2 that holds with scores in [-1, 1]")
    tied = pairs.set_index([*RUN, "network"])["A1"].unstack("network").astype(bool)
    both = int((tied["robust"] & tied["standard"]).sum())
    if 2 * both < tied["robust"].sum():
        raise ValueError("no sentence for an A1 that holds mostly in robust networks")
    scaled, held = int((pairs["gamma"] > 0).sum()), int(pairs["conclusion"].sum())
    return Words(
        f"In one scale A2 holds at none of {len(pairs)} pairs of layers, as it must be for scores "
        f"in [-1, 1], and the score grows under attack at {int((pairs['growth'] > 0).sum())}. With "
        f"a scale for each layer A2 can be met where γ is positive, at {scaled}, and the "
        f"conclusion holds at {held}. A1 does not tell robust networks apart: it holds in them at "
        f"{int(tied['robust'].sum())} pairs of {len(tied)}, and at {both} of these in the standard "
        f"network as well."
    )
