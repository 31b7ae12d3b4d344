"""Exact worlds: against enumeration, simulation and closed forms."""

import itertools
import math

import numpy as np
import pytest
import torch

from semirobust.theory import worlds
from semirobust.theory.worlds import Finite, Pair


def random_world(seed: int, m: int = 6) -> Finite:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(2 * m)).reshape(m, 2)
    reach = (rng.random((m, m)) < 0.3) | np.eye(m, dtype=bool)
    layers = (rng.integers(0, 4, m), rng.integers(0, 3, 4), rng.integers(0, 2, 3))
    return Finite(p, reach, layers)


def test_gamma_of_a_readout_is_the_sum_over_inputs():
    world, readout = random_world(1), np.array([0.3, -0.7, 1.0, 0.1])
    total, codes = 0.0, world.codes(1)
    for x, (column, y) in itertools.product(range(6), enumerate((-1, 1))):
        reached = [y * readout[codes[other]] for other in range(6) if world.reach[x, other]]
        total += world.p[x, column] * min(reached)
    assert world.gamma(1, readout) == pytest.approx(total)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("j", [0, 1, 2])
def test_the_best_readout_reaches_its_value_and_beats_all_signs(seed, j):
    world = random_world(seed)
    value, readout = world.best(j)
    codes = len(readout)
    assert world.gamma(j, readout) == pytest.approx(value, abs=1e-9)
    signs = (world.gamma(j, signs) for signs in itertools.product((-1, 0, 1), repeat=codes))
    assert max(signs) == pytest.approx(value, abs=1e-9)  # the optimum lies at a corner


@pytest.mark.parametrize("seed", range(10))
def test_the_supremum_over_all_readouts_cannot_rise_with_depth(seed):
    world = random_world(seed)
    values = [world.best(j)[0] for j in range(4)]
    assert all(after <= before + 1e-9 for before, after in itertools.pairwise(values))


def test_affine_readouts_rise_where_a_layer_folds():
    line = worlds.folded_line()
    affine = [line.best(j, range(line.codes(j).max() + 1))[0] for j in range(4)]
    every = [line.best(j)[0] for j in range(4)]
    assert affine == pytest.approx([0, 9 / 35, 1 / 2, 2 / 5], abs=1e-9)
    assert every == pytest.approx([3 / 5, 3 / 5, 3 / 5, 2 / 5], abs=1e-9)


def test_independent_layers_have_no_dependence_and_slack_one():
    product = np.einsum("yg,yh->ygh", *np.random.default_rng(0).dirichlet(np.ones(3), (2, 2)))
    pair = Pair(np.array([0.2, 0.8]), product)
    assert (pair.rho, pair.slack) == pytest.approx((0, 1))


def test_a_deterministic_layer_has_the_entropy_and_the_number_of_its_values():
    given = np.array([[0.5, 0.25, 0.25, 0.0], [0.1, 0.2, 0.3, 0.4]])
    pair = worlds.deterministic([0.25, 0.75], given, [0, 1, 1, 2])
    entropies = [1.0, -sum(q * math.log2(q) for q in (0.1, 0.5, 0.4))]
    assert pair.rho == pytest.approx(0.25 * entropies[0] + 0.75 * entropies[1])
    assert pair.slack == pytest.approx(0.25 * 2 + 0.75 * 3)


@pytest.mark.parametrize("seed", range(20))
def test_slack_bounds_dependence_in_both_units(seed):
    """log t <= t - 1 gives rho <= (U - 1) / ln 2 in bits; Jensen gives rho <= log2 U."""
    pair = worlds.random_pair(seed)
    assert pair.slack >= 1
    assert pair.rho <= math.log2(pair.slack) + 1e-12
    assert math.log2(pair.slack) <= (pair.slack - 1) / math.log(2) + 1e-12


def test_in_bits_dependence_can_exceed_slack_minus_one():
    """Three values, each followed by itself or the next: ratio 3/2 wherever p > 0."""
    p = (np.eye(3) + np.roll(np.eye(3), 1, axis=1))[None] / 6
    pair = Pair(np.ones(1), p)
    assert pair.slack == pytest.approx(1.5)
    assert pair.rho == pytest.approx(math.log2(1.5))
    assert pair.rho > pair.slack - 1
    assert pair.rho * math.log(2) < pair.slack - 1


def test_the_worst_growth_lets_the_adversary_choose_for_each_input():
    world, G, H = random_world(4), np.array([0.5, -1, 2, 0]), np.array([1, 0, -2.0])
    total, g, h = 0.0, world.codes(1), world.codes(2)
    for x, (column, y) in itertools.product(range(6), enumerate((-1, 1))):
        rises = [y * (H[h[z]] - G[g[z]]) for z in range(6) if world.reach[x, z]]
        total += world.p[x, column] * min(rises)
    assert world.growth(2, G, H) == pytest.approx(total)


def test_dependence_by_any_convex_function_is_that_of_equation_3():
    """Shannon's is rho, the square is chi-square = U - 1, the absolute value total variation."""
    for seed in range(5):
        pair = worlds.random_pair(seed)

        def shannon(t):
            return t * np.log2(t, out=np.zeros_like(t), where=t > 0)

        assert pair.dependence(shannon) == pytest.approx(pair.rho)
        assert pair.dependence(lambda t: (t - 1) ** 2) == pytest.approx(pair.slack - 1)
        assert 0 < pair.dependence(lambda t: abs(t - 1) / 2) < 1


def test_theorem_2_fails_for_the_g_of_equation_3_that_is_twenty_times_shannons():
    """A2 knows nothing of g: it holds, and the score grows by less than rho."""
    given = np.array([[[0.55, 0.05], [0.1, 0.3]], [[0.3, 0.1], [0.05, 0.55]]])
    pair, G, H = Pair(np.array([0.5, 0.5]), given), np.array([-0.2, 0.2]), np.array([-1.0, 1.0])
    growth = pair.growth(16 * G, 16 * H)
    rho = pair.dependence(lambda t: 20 * t * np.log2(t))
    assert growth >= 1 + pair.slack
    assert (growth, rho) == pytest.approx((4.16, 7.23), abs=0.005)
    assert pair.dependence(lambda t: t * np.log2(t)) < growth


def test_a_layer_that_is_lambda_zero_times_earlier_ones_has_no_readout_of_any_scale():
    """Lemma 2 and Theorem 3 as printed allow it, and promise a positive constant."""
    line = worlds.folded_line()
    cut = Finite(line.p, line.reach, (*line.layers[:2], np.zeros(3, dtype=int)))
    assert cut.best(1)[0] + cut.best(2)[0] == pytest.approx(1.2)
    assert cut.best(3)[0] == pytest.approx(0)
    assert all(cut.gamma(3, [c]) == pytest.approx(0) for c in (-1e6, 1, 1e6))


@pytest.mark.parametrize("bits", [1, 3, 5])
def test_dependence_as_strong_as_one_likes_passes_on_nothing(bits):
    """h_{j-1} = (y, z), h_j = z: rho is all of z, and no readout of z says anything about y."""
    m = 2**bits
    y, z = np.divmod(np.arange(2 * m), m)
    world = Finite(np.eye(2)[y] / (2 * m), np.eye(2 * m, dtype=bool), (np.arange(2 * m), z))
    given = np.array([(y == c) / m for c in (0, 1)])
    assert worlds.deterministic([0.5, 0.5], given, z.tolist()).rho == pytest.approx(bits)
    assert [world.best(j)[0] for j in (1, 2)] == pytest.approx([1, 0], abs=1e-9)


def test_two_equal_layers_less_each_other_leave_no_readout():
    """Lemma 2 with multipliers 1 and -1, neither of them 0."""
    line = worlds.folded_line()
    codes = line.codes(1)
    cut = Finite(line.p, line.reach, (line.layers[0], np.unique(codes), 0 * np.unique(codes)))
    assert cut.best(1)[0] + cut.best(2)[0] == pytest.approx(1.2)
    assert cut.best(3)[0] == pytest.approx(0, abs=1e-9)


def test_growth_is_the_mean_change_of_the_score():
    pair, before, after = worlds.random_pair(3), [0.5, -1, 2], [1, 0, -2, 3]
    total = 0.0
    for (c, y), g, h in itertools.product(enumerate((-1, 1)), range(3), range(4)):
        total += pair.prior[c] * pair.p[c, g, h] * y * (after[h] - before[g])
    assert pair.growth(before, after) == pytest.approx(total)


def test_a_gaussian_pair_agrees_with_a_fine_grid():
    r, t = 0.6, np.linspace(-5, 5, 401)
    g, h = np.meshgrid(t, t)
    joint = np.exp(-(g**2 - 2 * r * g * h + h**2) / (2 * (1 - r**2)))
    pair = Pair(np.ones(1), (joint / joint.sum())[None])
    assert (pair.rho, pair.slack) == pytest.approx(worlds.gaussian_pair(r), rel=1e-3)


def test_linear_gammas_are_reached_by_the_signs(generator):
    rng = np.random.default_rng(0)
    W, x, y = rng.normal(size=(3, 7)), rng.random((50, 7)), rng.choice([-1, 1], 50)
    attacked = np.array([(y * ((x - 0.1 * np.outer(y, np.sign(w))) @ w)).mean() for w in W])
    np.testing.assert_allclose(worlds.linear_gammas(W, x, y, 0.1), attacked)


def test_lemma_two_holds_for_the_sum_and_fails_for_other_combinations():
    rng = np.random.default_rng(1)
    y = rng.choice([-1.0, 1.0], 200)
    x, W = y[:, None] + rng.normal(size=(200, 7)), rng.random((3, 7))
    single = worlds.linear_gammas(W, x, y, 0.05)
    combined = worlds.linear_gammas(np.stack([W.sum(axis=0), 0 * W[0], -W[0]]), x, y, 0.05)
    assert (single > 0).all()
    assert combined[0] >= single.sum() - 1e-9
    assert combined[1] == 0
    assert combined[2] < 0


def test_an_affine_network_is_recovered(generator):
    chain = worlds.affine_network([12, 6, 3], generator)
    x = torch.rand(5, 3, 2, 2, generator=generator)
    W, b = worlds.affine(chain, x)
    torch.testing.assert_close(x.flatten(1) @ W.T + b, chain(x))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Finite(np.ones((2, 2)), np.eye(2, dtype=bool)), "probabilities, got a sum of 4"),
        (lambda: Finite(np.ones((2, 2)) / 4, np.zeros((2, 2), bool)), "diagonal is true"),
        (lambda: random_world(0).codes(4), "0 <= j <= 3, got j=4"),
        (lambda: Pair(np.ones(1), np.ones((1, 2, 2))), "must sum to 1"),
        (lambda: worlds.gaussian_pair(1.0), "need -1 < r < 1"),
        (lambda: worlds.linear_gammas([[1.0]], [[1.0]], [1], 8), "write 8/255"),
    ],
)
def test_refused_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
