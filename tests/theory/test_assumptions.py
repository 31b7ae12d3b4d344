"""The audit of Theorem 2's assumptions: on networks whose answers are known."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from semirobust import data, models
from semirobust.attacks.gradient import FGSM
from semirobust.edge.estimator import Edge
from semirobust.edge.projection import Coordinates
from semirobust.theory import assumptions, semirobustness
from semirobust.theory.assumptions import TwoReadouts, audit
from semirobust.theory.semirobustness import Search
from semirobust.theory.worlds import Finite

EPSILON = 0.03
SEARCH = Search(epsilon=EPSILON, steps=3, restarts=1)
QUICK = Edge(permutations=50, projections=2)


def random_world(seed: int, m: int = 6) -> Finite:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(2 * m)).reshape(m, 2)
    reach = (rng.random((m, m)) < 0.2) | np.eye(m, dtype=bool)
    return Finite(p, reach, (rng.integers(0, 5, m), rng.integers(0, 4, 5), rng.integers(0, 3, 4)))


@pytest.fixture(scope="module")
def samples():
    return data.subset(data.load("digits").test, 200)


@pytest.fixture(scope="module")
def network():
    return models.build("cnn", width=0.25, seed=2)


def rows(network, readouts, samples, **settings):
    attack = FGSM(epsilon=EPSILON)
    return list(audit(network, readouts, samples, attack, SEARCH, edge=QUICK, **settings))


def test_every_pair_of_consecutive_readouts_has_a_row(network, samples):
    readouts = {j: semirobustness.linear_readout(network, j, samples) for j in (1, 2, 3)} | {
        4: nn.Sequential()
    }
    found = rows(network, readouts, samples)
    assert [row.j for row in found] == [2, 3, 4]
    assert all(before.after == after.before for before, after in pairwise(found))
    assert all(-2 <= row.growth <= row.growth_clean <= 2 for row in found)
    assert all(1 - 1e-9 <= row.slack_null <= row.slack for row in found)


def test_a_readout_that_is_the_same_function_does_not_grow(network, samples):
    readouts = {j: network[j:] for j in (2, 3, 4)}
    found = rows(network, readouts, samples)
    assert all(row.growth == pytest.approx(0, abs=1e-6) for row in found)
    assert not any(row.a2 for row in found)


def test_bounded_scores_never_meet_the_second_assumption(network, samples):
    readouts = {j: semirobustness.linear_readout(network, j, samples) for j in (1, 2, 3)}
    found = rows(network, readouts, samples)
    assert all(row.required >= 2 for row in found)
    assert not any(row.a2 for row in found)


def test_an_equal_layer_depends_as_much_as_its_codes_hold(samples):
    """Link 2 copies link 1: U is the number of cells, information their entropy."""
    front = nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.utils.skip_init(nn.Linear, 12, 10))
    torch.nn.init.eye_(front[2].weight.data)
    front[2].bias.data.zero_()
    copying = nn.Sequential(front, nn.Identity())
    readouts = {1: nn.Sequential(), 2: nn.Sequential()}
    row = rows(copying, readouts, samples)[0]
    assert row.a1
    assert row.dependence.value == pytest.approx(row.dependence.ceiling)
    assert row.rho == pytest.approx(row.dependence.value - row.dependence.null_mean)
    assert row.slack > 2 * row.slack_null


def test_a_constant_layer_carries_nothing(network, samples):
    constant = nn.Sequential(
        network[0], nn.Sequential(nn.Flatten(), nn.utils.skip_init(nn.Linear, 1024, 10))
    )
    constant[1][1].weight.data.zero_()
    constant[1][1].bias.data.zero_()
    readouts = {1: semirobustness.linear_readout(constant, 1, samples), 2: nn.Sequential()}
    row = rows(constant, readouts, samples)[0]
    assert (row.rho, row.a1) == (0, False)
    assert row.slack == pytest.approx(1)


def test_the_least_growth_is_below_that_of_the_clean_images(network, samples, generator):
    ends = [
        semirobustness.with_readout(network, j, semirobustness.linear_readout(network, j, samples))
        for j in (1, 2)
    ]
    both, x, y = TwoReadouts(*ends), samples.x, samples.y
    found = assumptions.worst_growth(both, x, y, SEARCH, generator=generator)
    assert (found <= assumptions.growth(both(x), y) + 1e-6).all()
    assert found.mean() < assumptions.growth(both(x), y).mean() - 0.1


def world_of(seed: int, readouts: int):
    """A random world of three layers with |G_j| <= 1 and gamma_j, and how many codes each has."""
    world, rng = random_world(seed), np.random.default_rng(seed + 100)
    sizes = [int(world.codes(j).max()) + 1 for j in range(4)]
    G = [rng.uniform(-1, 1, size) for size in sizes]
    if readouts:  # the best of each layer, so that more gammas are positive
        G = [world.best(j)[1] for j in range(4)]
    return world, G, [world.gamma(j, G[j]) for j in range(4)], sizes


def test_with_a_scale_for_each_layer_a2_can_be_met_exactly_where_every_gamma_is_positive():
    """U_j of a layer that is a function of the one before: at most the number of its codes."""
    met = []
    for seed in range(40):
        world, G, gammas, sizes = world_of(seed, readouts=seed % 2)
        factors = assumptions.scales(gammas[1:], sizes[1:])
        met.append(factors is not None)
        assert met[-1] == (min(gammas[1:]) > 0)
        for j in range(1, 4) if factors else ():
            growth = world.growth(j, factors[j - 1] * G[j - 1], factors[j] * G[j])
            assert growth >= 1 + sizes[j] - 1e-9
    assert 5 < sum(met) < 35


def test_a_layer_whose_gamma_is_not_positive_meets_a2_in_no_scale():
    """growth <= c_j gamma_j - c_{j-1} gamma_{j-1}, so behind a semirobust layer it is at most 0."""
    tried = 0
    for seed in range(40):
        world, G, gammas, _ = world_of(seed, readouts=seed % 2)
        for j in range(1, 4):
            for c in np.geomspace(1e-3, 1e3, 7):
                growth = world.growth(j, G[j - 1], c * G[j])
                assert growth <= c * gammas[j] - gammas[j - 1] + 1e-9
                if gammas[j] <= 0 <= gammas[j - 1]:
                    tried += 1
                    assert growth <= 1e-9
    assert tried > 20


def test_slack_of_coordinates_weighs_classes_and_averages_sets():
    same = Coordinates(np.stack([np.arange(4.0), np.zeros(4)])[:, None], 1)  # 4 cells, then 1
    single = Coordinates(np.zeros((2, 1, 12)), 1)
    found = assumptions.coded_slack({0: same, 1: single}, {0: same, 1: single})
    assert found == pytest.approx(0.25 * (4 + 1) / 2 + 0.75 * 1)


def test_scores_may_be_searched_on_fewer_images_than_dependence_is_measured_on(network, samples):
    readouts, few = (
        {3: semirobustness.linear_readout(network, 3, samples), 4: nn.Sequential()},
        samples.take(torch.arange(30)),
    )
    whole, part = (rows(network, readouts, samples, searched=one)[0] for one in (None, few))
    assert (part.after.n, whole.after.n) == (30, 200)
    assert part.dependence.value == whole.dependence.value
    assert part.growth != whole.growth


@pytest.mark.parametrize("layers", [(1, 3), (2,), ()])
def test_readouts_with_gaps_are_refused(layers, network, samples):
    with pytest.raises(ValueError, match="consecutive layers"):
        rows(network, dict.fromkeys(layers, nn.Sequential()), samples)


def test_slack_of_independent_codes_is_one_and_of_equal_codes_their_number():
    g = [i for i in range(4) for _ in range(3)]
    h = [i for _ in range(4) for i in range(3)]
    assert assumptions.slack(g, h, [0] * 12) == 1
    assert assumptions.slack(g, g, [0] * 12) == 4


def test_slack_weighs_classes_by_their_share():
    g = [0, 1, 2, 0, 0, 0, 0, 0, 0]
    assert assumptions.slack(g, g, [0] * 3 + [1] * 6) == pytest.approx(3 / 3 + 2 / 3)


def test_slack_of_codes_that_never_repeat_is_the_number_of_samples():
    assert assumptions.slack(range(50), range(50), [0] * 50) == 50
