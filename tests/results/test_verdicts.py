"""What values decide, against Student's law and by simulation."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from semirobust.results import verdicts
from semirobust.results.verdicts import Decision, decide, estimate, holm, image_variance, together


@pytest.mark.parametrize("df", [1, 2, 4, 9, 100])
def test_students_law_is_that_of_scipy(df):
    p = [0.001, 0.3, 0.5, 0.975, 0.9999]
    assert verdicts.quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=5e-4)


def test_three_seeds_without_images_are_a_t_test():
    values = [0.1, 0.3, 0.35]
    found = estimate(values)
    known = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert found.interval() == pytest.approx(tuple(known), rel=1e-4)
    p = stats.ttest_1samp(values, 0.0).pvalue
    assert decide(found, (0.0, 9.0)).p == pytest.approx(p, rel=1e-3)


def test_a_large_sample_of_images_is_mcnemars_test():
    """250 images lost and 200 won of 2,000, the same for every seed: no spread but the images'."""
    terms = np.concatenate([-np.ones(250), np.ones(200), np.zeros(1550)])
    found = estimate([terms.mean()] * 3, image_variance([terms] * 3))
    z = (250 - 200) / np.sqrt(250 + 200)
    assert decide(found, (0.0, 9.0)).p == pytest.approx(2 * stats.norm.sf(z), rel=0.02)


def test_images_that_all_seeds_share_do_not_become_more_with_the_seeds():
    rng = np.random.default_rng(0)
    shared = rng.choice([-1.0, 0.0, 1.0], 500)
    assert image_variance([shared] * 5) == pytest.approx(image_variance([shared]))
    apart = [rng.choice([-1.0, 0.0, 1.0], 500) for _ in range(5)]
    assert image_variance(apart) == pytest.approx(image_variance([shared]) / 5, rel=0.2)
    fewer = [shared, shared[:100]]
    assert image_variance(fewer) == pytest.approx(np.mean([image_variance([one]) for one in fewer]))


def test_a_count_of_zero_leaves_up_to_three():
    none = [np.zeros(100)]
    high = 1.96 * np.sqrt(image_variance(none))
    assert high == pytest.approx(stats.binomtest(0, 100).proportion_ci(0.95).high, rel=0.25)


def test_one_seed_is_granted_a_spread_and_three_are_not():
    granted = verdicts.GRANTED["points"]
    low, high = estimate([0.2, 0.2], 0.01**2, granted=granted).interval()
    assert (high - low) / 2 == pytest.approx(1.96 * np.hypot(granted / np.sqrt(2), 0.01), rel=2e-3)
    wide = estimate([0.0, 0.4], granted=granted).interval()
    assert wide[1] - wide[0] == pytest.approx(2 * 1.96 * 0.2, rel=2e-3)
    assert estimate([0.2, 0.2, 0.2], granted=granted).interval() == pytest.approx((0.2, 0.2))


def test_exact_values_are_decided_without_error():
    exact = verdicts.Estimate(0.5, 1)
    assert decide(exact, (0.5, 1)).word == "holds"
    assert decide(exact, (0.6, 1)).word == "does not hold"


def test_all_tests_of_a_claim_count():
    yes, no, open_ = (
        Decision("holds", 0.01),
        Decision("does not hold", 0.02),
        Decision("undecided", 0.3),
    )
    assert together([yes, yes]).word == "holds"
    assert together([yes, open_]).word == "undecided"
    assert together([yes, no]) == Decision("does not hold", 0.04)
    assert together([yes, yes, no]).word == "undecided"  # one of three may refute by chance
    with pytest.raises(ValueError, match="nothing to put together"):
        together([])


def test_sizes_that_contradict_each_other_leave_it_undecided():
    yes, no, open_ = (
        Decision("holds", 0.01),
        Decision("does not hold", 0.02),
        Decision("undecided", 0.3),
    )
    assert verdicts.over_scales([yes, no], [3, 3]).word == "undecided"
    assert verdicts.over_scales([open_], [1]) == open_


def test_each_size_is_given_the_share_of_the_error_that_its_seeds_have():
    yes, sure, open_ = (Decision("holds", p) for p in (0.03, 0.02, 0.3))
    open_ = replace(open_, word="undecided")
    assert verdicts.over_scales([yes], [1]) == yes
    assert verdicts.over_scales([yes, open_], [3, 1]) == Decision("holds", pytest.approx(0.04))
    assert verdicts.over_scales([open_, yes], [3, 1]).word == "undecided"
    assert verdicts.over_scales([yes, sure], [1, 1]) == yes  # both would have to be wrong


def test_holm_is_that_of_the_book():
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]).size == 0


def test_nothing_cannot_be_estimated():
    with pytest.raises(ValueError, match="no values"):
        estimate([])
