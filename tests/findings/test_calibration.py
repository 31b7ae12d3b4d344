"""The rule that decides claims, tried in worlds whose truth is known."""

import numpy as np
import pytest

from semirobust.findings.calibration import decisions, differences, power

DRAWS = 10_000


@pytest.mark.parametrize(
    ("spread", "seeds"),
    [(0.04, [1]), (0.04, [2]), (0.0, [3]), (0.02, [3]), (0.05, [3]), (0.05, [5]), (0.05, [3, 1])],
    ids=str,
)
def test_where_there_is_no_difference_it_decides_in_at_most_one_of_twenty(seeds, spread):
    """Several numbers are seeds of several sizes, any of which might decide by chance."""
    words = decisions(0.0, *seeds, draws=DRAWS, spread=spread, images=200)
    assert sum(words.values()) == DRAWS
    assert DRAWS - words["undecided"] <= 0.05 * DRAWS


def test_a_large_difference_is_found_and_more_seeds_find_smaller_ones():
    rows = list(power([-0.3, 0.03, 0.06], [3, 5], 200, images=500))
    by = {(row["seeds"], row["effect"]): row for row in rows}
    assert by[3, -0.3]["does not hold"] == by[5, -0.3]["does not hold"] == 1
    assert by[5, 0.03]["holds"] > by[3, 0.03]["holds"] + 0.1
    assert by[3, 0.06]["holds"] > by[3, 0.03]["holds"]
    assert all(row["decided"] == row["holds"] + row["does not hold"] for row in rows)


def test_images_that_all_seeds_share_agree_between_them():
    generator = np.random.default_rng(0)
    one, other = differences(0.0, 2, spread=0.0, shared=1.0, generator=generator)
    assert (one == other).all()
    one, other = differences(0.0, 2, spread=0.0, shared=0.0, generator=generator)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.1
    assert abs(one).mean() == pytest.approx(0.2, abs=0.03)
