"""PGD and AutoAttack on the same images, where a record has both."""

from functools import partial

import pandas as pd

from semirobust.findings.tables import NONE, SHOWN, Tables, named, short, varying
from semirobust.results.frames import mean_and_spread
from semirobust.results.pairing import paired


def on_the_same_images(
    tables: Tables,
    protocol: str | None = None,
    *,
    first: str = "whitebox",
    second: str = "autoattack",
) -> pd.DataFrame:
    """Return two accuracies of each network on the images that both columns have.

    ``broken since`` is the share of images that stood the first attack and not the second, and
    ``missed`` of those that stood the second alone.
    """
    pairs = named(paired(tables["reports"], first, second))
    if protocol is not None:
        pairs = pairs[pairs["protocol"] == protocol]
    one, other = SHOWN[first], SHOWN[second]
    shares = {
        one: [a.mean() for a in pairs[first]],
        other: [b.mean() for b in pairs[second]],
        "broken since": [(a & ~b).mean() for a, b in zip(pairs[first], pairs[second], strict=True)],
        "missed": [(b & ~a).mean() for a, b in zip(pairs[first], pairs[second], strict=True)],
    }
    pairs = pairs.assign(network=short(pairs["label"]), images=pairs["n"].astype(str), **shares)
    by = [*varying(pairs), "cut", "network", "images"]
    groups = pairs.groupby(by, sort=False, dropna=False)
    found = groups[list(shares)].agg(partial(mean_and_spread, alone="")).replace("", NONE)
    return found.rename_axis(index={"cut": "n_b"})
