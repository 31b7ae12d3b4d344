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
        "A2 does not hold, and A1 does not tell robust networks from others. No scores in "
        f"[-1, 1] can meet A2, and those of none of {len(pairs)} pairs of layers do; under attack "
        f"the score grows at {int((pairs['growth'] > 0).sum())} of them. With a scale for each "
        f"layer A2 can be met exactly where γ is positive, at {scaled}; the conclusion holds at "
        f"{held}. A1 holds at {int(tied['robust'].sum())} of {len(tied)} pairs of robust networks, "
        f"and at {both} of these in the standard network as well."
    )
