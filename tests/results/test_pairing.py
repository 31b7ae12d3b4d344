"""The flags of two attacks on the same images: which of the larger choice the smaller one takes."""

from itertools import pairwise

import numpy as np
import pytest
from pairing import chosen, paired, same_images

from semirobust.data import data_root, folder, load, subset
from semirobust.results.frames import frame


@pytest.mark.parametrize("data", ["cifar10", "cifar100"])
def test_smaller_choices_are_parts_of_larger_ones(data):
    sizes = {"cifar10": (50, 100, 500, 1000), "cifar100": (100, 500, 1000)}[data]
    for few, many in pairwise(sizes):
        assert chosen(data, few, many).sum() == few
        within = chosen(data, many, 1000)
        whole = np.zeros(1000, dtype=bool)
        whole[within] = chosen(data, few, many)
        assert np.array_equal(whole, chosen(data, few, 1000))


@pytest.mark.parametrize("data", ["cifar10", "cifar100"])
def test_the_places_are_those_of_the_very_images(data):
    if folder(data_root(), data) is None:
        pytest.skip(f"{data} is not here")
    test = load(data).test
    large, small = (subset(test, n).images for n in (1000, 500))
    assert (large[chosen(data, 500, 1000)] == small).all()


def test_what_is_not_known_is_refused():
    with pytest.raises(ValueError, match="does not say which 20 of 30 images of digits"):
        chosen("digits", 20, 30)
    with pytest.raises(ValueError, match="which 55 of 1000 images of cifar10"):
        chosen("cifar10", 55, 1000)
    one, other = same_images("digits", "0110", "0100")
    assert one.tolist() == [False, True, True, False]
    assert other.tolist() == [False, True, False, False]


def test_recorded_pgd_and_autoattack_agree_image_by_image():
    """On other images than its own, AutoAttack would leave much that PGD breaks."""
    pairs = paired(frame("table-1", "reports"))
    assert len(pairs) > 20
    alone = [(b & ~a).sum() for a, b in zip(pairs["whitebox"], pairs["autoattack"], strict=True)]
    assert sum(alone) <= 0.002 * pairs["n"].sum()
    wrong = [(b & ~np.roll(a, 1)).sum() for a, b in pairs[["whitebox", "autoattack"]].to_numpy()]
    assert sum(wrong) > 20 * (sum(alone) + 1)
