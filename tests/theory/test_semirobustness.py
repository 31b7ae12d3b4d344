"""Readouts and gamma_j: against affine networks, where the infimum over the ball is known."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from semirobust import data, models
from semirobust.attacks.ball import project
from semirobust.data import Samples
from semirobust.layers import compose
from semirobust.theory import semirobustness, worlds
from semirobust.theory.semirobustness import Search
from semirobust.training.fitting import Training

EPSILON = 0.1


def affine_chain(generator: torch.Generator, classes: int = 2, scale: float = 1.0):
    """Three affine links from 2x3x3 images to logits."""
    widths = [18, 7, 5, classes]
    links = [nn.utils.skip_init(nn.Linear, d, k) for d, k in pairwise(widths)]
    for link in links:
        link.requires_grad_(requires_grad=False)
        link.weight.data = scale * torch.randn(link.weight.shape, generator=generator)
        link.bias.data = torch.randn(link.bias.shape, generator=generator)
    return nn.Sequential(nn.Sequential(nn.Flatten(), links[0]), *links[1:])


@pytest.fixture
def two_classes(generator):
    """Unequal classes, and images on the faces of the box."""
    images = torch.rand(61, 2, 3, 3, generator=generator)
    images[:10], images[10:20] = images[:10].round(), 1.0
    return Samples(images, (torch.rand(61, generator=generator) < 0.3).long())


@pytest.fixture
def relu_net():
    return models.build("cnn", width=0.25, seed=3)


def few(n: int = 40) -> Samples:
    return data.subset(data.load("digits").test, n)


@pytest.mark.parametrize("scale", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("j", [0, 1, 2, 3])
def test_gamma_by_attack_equals_the_exact_value_on_affine_networks(j, scale, two_classes):
    network = affine_chain(torch.Generator().manual_seed(1), scale=scale)
    readout = network[j:]
    exact = worlds.exact_gamma(network, j, readout, two_classes, EPSILON)
    found = semirobustness.profile(network, {j: readout}, two_classes, Search(epsilon=EPSILON))[j]
    assert found.value == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_gamma_by_attack_is_never_below_the_exact_value(steps, two_classes):
    network = affine_chain(torch.Generator().manual_seed(1), scale=0.3)
    attack = Search(epsilon=EPSILON, steps=steps, restarts=1)
    exact = worlds.exact_gamma(network, 3, nn.Sequential(), two_classes, EPSILON)
    found = semirobustness.profile(network, {3: nn.Sequential()}, two_classes, attack)[3]
    assert found.value >= exact - 1e-5
    assert (found.value > exact + 1e-3) == (steps < 4)  # a quarter of the radius a step


def test_the_exact_worst_point_is_a_corner(two_classes):
    """Slow twin: all corners of the ball within the box, one sample at a time."""
    network = affine_chain(torch.Generator().manual_seed(2), scale=0.3)
    x, y = two_classes.x[18:22], two_classes.y[18:22]
    signs = 2 * torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 10) - 1  # the first 10 of 18
    low, high = (x - EPSILON).clamp(0, 1), (x + EPSILON).clamp(0, 1)
    W, b = worlds.affine(network, x)
    difference = (W[1] - W[0]) * (2 * y[:, None] - 1)
    ends = torch.where(difference > 0, low.flatten(1), high.flatten(1))
    for z, own, end, label in zip(x.flatten(1), difference, ends, y, strict=True):
        corners = end.repeat(len(signs), 1)
        corners[:, :10] = (z[:10] + EPSILON * signs).clamp(0, 1)
        least = (corners @ own).min() + (b[1] - b[0]) * (2 * label - 1)
        exact = worlds.exact_scores(network, z.view(1, 2, 3, 3), label[None], EPSILON)
        torch.testing.assert_close(exact[0], torch.tanh(least / 2))


def test_the_score_of_two_classes_is_a_hyperbolic_tangent(generator):
    logits, y = torch.randn(50, 2, generator=generator), torch.arange(50) % 2
    margin = (2 * y - 1) * (logits[:, 1] - logits[:, 0])
    torch.testing.assert_close(semirobustness.score(logits, y), torch.tanh(margin / 2))


def test_a_uniform_readout_scores_by_the_number_of_classes():
    torch.testing.assert_close(
        semirobustness.score(torch.zeros(1, 8), torch.tensor([5])), torch.tensor([-0.75])
    )


def test_the_rest_of_the_network_has_one_gamma_at_every_depth(relu_net):
    readouts = {j: relu_net[j:] for j in range(5)}
    found = semirobustness.profile(relu_net, readouts, few(), Search(epsilon=0.05, steps=3))
    assert len({round(one.value, 6) for one in found.values()}) == 1


def test_nested_readouts_cannot_rise_with_depth(relu_net):
    readouts = {j: semirobustness.linear_readout(relu_net, j, few()) for j in range(1, 5)}
    found = semirobustness.profile(relu_net, readouts, few(), Search(epsilon=0.05, steps=3))
    values = list(semirobustness.nested_gamma(found).values())
    assert values == sorted(values, reverse=True)
    assert all(one.value <= best for one, best in zip(found.values(), values, strict=True))


def test_a_nested_value_is_reached_by_a_readout_of_that_layer(relu_net):
    deep = semirobustness.linear_readout(relu_net, 3, few())
    shallow = nn.Sequential(*compose(relu_net, 2, 3), deep)
    found = semirobustness.profile(
        relu_net, {1: shallow, 3: deep}, few(), Search(epsilon=0.05, steps=3)
    )
    assert found[1].value == pytest.approx(found[3].value, abs=1e-6)


def test_more_restarts_and_a_larger_radius_never_raise_gamma(relu_net):
    readouts = {2: semirobustness.linear_readout(relu_net, 2, few())}

    def value(**settings) -> float:
        return semirobustness.profile(relu_net, readouts, few(), Search(**settings))[2].value

    one = value(epsilon=0.05, steps=3, restarts=1)
    assert value(epsilon=0.05, steps=3, restarts=3) <= one
    assert value(epsilon=0.1, steps=6, step_size=0.05 / 4, restarts=1) <= one
    assert value(epsilon=0.0) == pytest.approx(
        semirobustness.profile(relu_net, readouts, few(), Search(epsilon=0.05))[2].clean
    )


def test_the_search_stays_in_the_ball_and_the_box(relu_net, generator):
    samples = few(10)
    found = Search(epsilon=0.1)(relu_net, samples.x, samples.y, generator=generator)
    torch.testing.assert_close(found, project(found, samples.x, 0.1))


def test_the_search_returns_the_lowest_score_it_visits(relu_net, generator):
    samples, seen = few(11), []

    def listening(z: torch.Tensor) -> torch.Tensor:
        logits = relu_net(z)
        seen.append(semirobustness.score(logits, samples.y).detach())
        return logits

    found = Search(epsilon=0.1, step_size=0.07)(
        listening, samples.x, samples.y, generator=generator
    )
    lowest = torch.stack(seen).amin(dim=0)
    torch.testing.assert_close(semirobustness.score(relu_net(found), samples.y).detach(), lowest)


def test_a_saturated_network_is_still_attacked(two_classes):
    """Scores of exactly 1 in single precision have no gradient; the margin has."""
    network = affine_chain(torch.Generator().manual_seed(1), scale=5.0)
    exact = worlds.exact_gamma(network, 3, nn.Sequential(), two_classes, EPSILON)
    found = semirobustness.profile(
        network, {3: nn.Sequential()}, two_classes, Search(epsilon=EPSILON)
    )[3]
    assert found.value == pytest.approx(exact, abs=1e-5)


def test_logistic_regression_is_stationary(generator):
    h, y = torch.randn(80, 3, generator=generator).double(), torch.arange(80) % 5 // 2
    weight, bias = semirobustness.logistic(h, y, penalty=0.1, steps=200)
    p = (h @ weight.T + bias).softmax(dim=1) - nn.functional.one_hot(y, 3)
    assert (p.T @ h / 80 + 0.1 * weight).abs().max() < 1e-5
    assert p.mean(dim=0).abs().max() < 1e-5


def test_a_linear_readout_of_separable_classes_is_right(relu_net):
    samples = few(100)
    readout = semirobustness.linear_readout(relu_net, 2, samples)
    h = semirobustness.layer_features(relu_net, 2, samples, readout)
    assert (h.argmax(dim=1) == samples.y).all()


@pytest.mark.parametrize(("j", "width"), [(1, 4), (2, 8)])
def test_a_pooled_readout_has_one_weight_a_channel(j, width, relu_net):
    readout = semirobustness.linear_readout(relu_net, j, few(), pooled=True)
    assert readout[-1].weight.shape == (10, width)


def test_a_pooled_readout_of_a_flat_layer_reads_every_unit(relu_net):
    flat = [semirobustness.linear_readout(relu_net, 3, few(), pooled=p) for p in (True, False)]
    assert torch.equal(flat[0][-1].weight, flat[1][-1].weight)


def test_a_hardened_readout_resists_better_and_the_network_stays(relu_net):
    samples, attack = few(100), Search(epsilon=0.05, steps=2, restarts=1)
    before = {name: value.clone() for name, value in relu_net.state_dict().items()}
    readout = semirobustness.linear_readout(relu_net, 1, samples)
    settings = Training(epochs=5, learning_rate=0.05, batch=25)
    hard = semirobustness.robust_readout(relu_net, 1, readout, samples, attack, settings)
    found = semirobustness.profile(relu_net, {1: readout}, samples, attack)[1]
    better = semirobustness.profile(relu_net, {1: hard}, samples, attack)[1]
    assert better.value > found.value + 0.1
    assert all(torch.equal(before[name], value) for name, value in relu_net.state_dict().items())


def test_the_interval_holds_the_mean_and_shrinks_with_the_samples(relu_net):
    readouts, attack = {4: nn.Sequential()}, Search(epsilon=0.02, steps=2)
    small, large = (
        semirobustness.profile(relu_net, readouts, few(n), attack)[4] for n in (20, 180)
    )
    assert small.low < small.value < small.high
    assert (large.high - large.low) < 0.6 * (small.high - small.low)
    assert (small.n, large.n) == (20, 180)


def test_refused_arguments(relu_net, two_classes, generator):
    with pytest.raises(ValueError, match="write 8/255"):
        Search(epsilon=8)
    with pytest.raises(ValueError, match="restarts must be at least 1 and whole"):
        Search(epsilon=0.1, restarts=0)
    with pytest.raises(ValueError, match="at least 2 samples"):
        semirobustness.profile(
            relu_net, {4: nn.Sequential()}, few(10).take(torch.tensor([0])), Search(epsilon=0)
        )
    with pytest.raises(ValueError, match="not affine"):
        worlds.affine(relu_net, few(12).x)
    with pytest.raises(ValueError, match="two classes, got 3"):
        worlds.exact_scores(affine_chain(generator, 3), two_classes.x, two_classes.y, EPSILON)
    with pytest.raises(ValueError, match="1 <= i <= j <= n"):
        semirobustness.with_readout(relu_net, 9, nn.Sequential())


def test_interval_arithmetic_of_gamma_is_the_normal_one(relu_net):
    samples = few(50)
    found = semirobustness.profile(relu_net, {4: nn.Sequential()}, samples, Search(epsilon=0.0))[4]
    scores = semirobustness.score(relu_net(samples.x), samples.y).double()
    assert found.value == pytest.approx(scores.mean().item())
    assert found.high - found.value == pytest.approx(1.96 * scores.std().item() / math.sqrt(50))
