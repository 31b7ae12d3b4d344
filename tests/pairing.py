"""Two columns of accuracies on the same images, from the flags that their reports keep.

PGD is run on 1,000 test images and AutoAttack on fewer of them, so that their shares are not of the
same images. Choices of one test set are nested: in ``nested.csv`` stand, for the 1,000 images in
their order, the places in which the images of a class are taken.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FILE = Path(__file__).with_name("nested.csv")
NAMES = (  # of a network, and of the run that it is from
    *("experiment", "key", "profile", "file", "model", "data", "protocol", "seed", "setting"),
    *("network", "n_b", "front"),
)


def paired(
    reports: pd.DataFrame, first: str = "whitebox", second: str = "autoattack"
) -> pd.DataFrame:
    """Return for each network that has both columns the flags of the images that they share.

    ``n`` images; under the names of the columns an array each, True where a sample stood.
    """
    keys = [name for name in NAMES if name in reports]
    one, other = (reports.loc[reports["column"] == name] for name in (first, second))
    both = one.merge(other, on=keys, suffixes=("_first", "_second"))
    shared = [
        same_images(str(row["data"]), row["standing_first"], row["standing_second"])
        for row in both.to_dict("records")
    ]
    found = both[keys].assign(n=[len(flags) for flags, _ in shared])
    found[first] = pd.Series([flags for flags, _ in shared], found.index, dtype=object)
    found[second] = pd.Series([flags for _, flags in shared], found.index, dtype=object)
    return found


def same_images(data: str, first: str, second: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the flags of two reports on the images that both have."""
    few = min(len(first), len(second))
    one, other = (
        np.array([flag == "1" for flag in flags])[chosen(data, few, len(flags))]
        for flags in (first, second)
    )
    return one, other


def chosen(data: str, few: int, many: int) -> NDArray[np.bool_]:
    """Return which of ``many`` chosen test images a smaller choice takes too.

    Example:
        >>> int(chosen("cifar10", 100, 500).sum())
        100
    """
    if few == many:
        return np.ones(many, dtype=bool)
    places = _places()
    if data in places:
        place = places[data].to_numpy()
        classes = len(place) // (place.max() + 1)
        if few % classes == 0 and many % classes == 0 and few < many <= len(place):
            return place[place < many // classes] < few // classes
    raise ValueError(f"{FILE.name} does not say which {few} of {many} images of {data} were chosen")


@cache
def _places() -> pd.DataFrame:
    return pd.read_csv(FILE)
