"""Laws of known information, and the replica of the published table."""

import numpy as np
import pytest
from sklearn.feature_selection import mutual_info_regression

from semirobust.edge.estimator import Edge
from semirobust.edge.laws import (
    CHANNEL_BITS,
    channel,
    gaussian_bits,
    gaussians,
    noise,
    published,
    relu_layer,
)

QUICK = Edge.preset("paper", permutations=0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_channel_carries_what_its_formula_says(rng):
    x, y = channel(200_000, rng)
    joint = np.histogram2d(x[:, 0], y[:, 0], bins=10)[0] / len(x)
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    assert np.sum(joint * np.log2(joint / independent)) == pytest.approx(CHANNEL_BITS, abs=0.01)
    assert pytest.approx(1.966, abs=5e-4) == CHANNEL_BITS


def test_gaussians_have_the_correlation_asked_for(rng):
    x, y = gaussians(50_000, 0.6, rng, d=2)
    correlations = np.corrcoef(x.T, y.T)[:2, 2:]
    assert correlations == pytest.approx(0.6 * np.eye(2), abs=0.02)
    assert gaussian_bits(0.6, d=2) == pytest.approx(2 * 0.3219, abs=1e-3)


@pytest.mark.parametrize("r", [0.3, 0.6, 0.9])
def test_calibrated_agrees_with_nearest_neighbours_in_one_dimension(r, rng):
    x, y = gaussians(3000, r, rng)
    peer = mutual_info_regression(x, y[:, 0], random_state=0)[0] / np.log(2)
    assert Edge(permutations=0)(x, y).value == pytest.approx(peer, abs=0.12)


def test_a_relu_layer_is_a_function_of_the_one_before(rng):
    x, y = relu_layer(300, 20, rng)
    assert x.shape == y.shape == (300, 20)
    assert np.linalg.matrix_rank(np.hstack([x, np.ones((300, 1))])) == 21
    assert x.min() == y.min() == 0


@pytest.mark.parametrize(("n", "d"), [(1000, 512), (100, 300), (50, 2000)])
@pytest.mark.filterwarnings("ignore::semirobust.edge.dependence.SaturationWarning")
def test_few_coordinates_of_noise_stand_for_wide_noise(n, d, rng):
    wide = [QUICK(*rng.standard_normal((2, n, d))).value for _ in range(5)]
    few = [noise(n, d, d, edge=QUICK, seed=seed).value for seed in range(5)]
    assert np.mean(few) == pytest.approx(np.mean(wide), abs=0.15)


def test_calibrated_noise_has_no_excess():
    found = noise(1000, 500, 500, edge=Edge())
    assert abs(found.excess) < 3 * found.null_sd


def test_published_widths_are_those_of_the_networks():
    widths = {(p.network, p.data, p.back): (p.dx, p.dy) for p in published()}
    assert len(widths) == 30
    assert widths["VGG16", "CIFAR-10", 0] == (4096, 10)
    assert widths["VGG16", "Imagenette", 11] == (128 * 112**2, 256 * 56**2)
    assert widths["ResNet-50", "CIFAR-100", 15] == (1024 * 8**2, 256 * 8**2)


def test_every_published_value_lies_below_noise_of_the_same_sizes():
    found = [(p.rho, noise(p.per_class, p.dx, p.dy, edge=QUICK).value) for p in published()]
    assert all(rho < value for rho, value in found)
