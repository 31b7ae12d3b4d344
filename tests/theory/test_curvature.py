"""Curvature and peeling: against dense Hessians, quadratic losses and unrolled convolutions."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from semirobust import models
from semirobust.layers import fold, split
from semirobust.theory import curvature, norm_bounds
from semirobust.theory.curvature import lanczos


def dense(seed: int = 0, widths: tuple[int, ...] = (6, 5, 3), activation=nn.Tanh) -> nn.Sequential:
    generator = torch.Generator().manual_seed(seed)
    links: list[nn.Module] = []
    for d, k in pairwise(widths):
        link = nn.utils.skip_init(nn.Linear, d, k)
        link.weight.data = torch.randn(k, d, generator=generator) / d**0.5
        link.bias.data = 0.3 * torch.randn(k, generator=generator)
        links.append(nn.Sequential(link, activation()) if k != widths[-1] else link)
    return nn.Sequential(*links).double()


def batch(d: int = 6, n: int = 40, classes: int = 3):
    generator = torch.Generator().manual_seed(9)
    x = torch.randn(n, d, generator=generator).double()
    return x, torch.arange(n) % classes


def quadratic(A: torch.Tensor, b: torch.Tensor):
    return lambda w: w @ A @ w / 2 + b @ w


def symmetric(n: int, generator: torch.Generator) -> torch.Tensor:
    A = torch.randn(n, n, generator=generator).double()
    return A + A.T


def shaken(network: nn.Module, amount: float, seed: int) -> nn.Module:
    """Move every weight, and the running statistics of batch norms, in place."""
    generator = torch.Generator().manual_seed(seed)
    for value in network.state_dict().values():
        if value.is_floating_point():
            drawn = torch.randn(value.shape, generator=generator)
            value.add_(amount * (value.std(correction=0) * drawn + drawn.abs()))
    return network


def test_products_are_those_of_the_dense_hessian(generator):
    network, (x, y) = dense(), batch()
    loss, w = curvature.loss_of(network, x, y), curvature.weights(network)
    H = torch.autograd.functional.hessian(loss, w)
    v = torch.randn(w.shape, generator=generator).double()
    torch.testing.assert_close(curvature.hessian_product(loss, w)(v), H @ v)


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_lanczos_finds_the_extreme_eigenvalues_of_the_dense_hessian(activation, generator):
    network, (x, y) = dense(activation=activation), batch()
    loss, w = curvature.loss_of(network, x, y), curvature.weights(network)
    values = torch.linalg.eigvalsh(torch.autograd.functional.hessian(loss, w))
    found = curvature.lambda_max(loss, w, generator=generator)
    assert found.converged
    assert found.largest == pytest.approx(values[-1].item(), rel=1e-4)
    assert found.least == pytest.approx(values[0].item(), abs=1e-4 * values[-1].item())


@pytest.mark.parametrize("n", [1, 2, 7, 30])
def test_lanczos_with_as_many_steps_as_dimensions_is_exact(n, generator):
    A = symmetric(n, generator)
    found = lanczos(A.mv, torch.randn(n, generator=generator).double(), tolerance=0)
    values = torch.linalg.eigvalsh(A)
    assert (found.least, found.largest) == pytest.approx((values[0].item(), values[-1].item()))
    assert found.residual == 0


@pytest.mark.parametrize(
    "spectrum", [[3.0] * 9, [0.0] * 9, [-2.0, -1.0, -1.0], [5.0, 5.0, 1.0, 1.0]]
)
def test_lanczos_stops_early_where_eigenvalues_repeat(spectrum, generator):
    A = torch.diag(torch.tensor(spectrum).double())
    found = lanczos(A.mv, torch.randn(len(spectrum), generator=generator).double())
    assert (found.least, found.largest) == pytest.approx((min(spectrum), max(spectrum)))
    assert found.converged
    assert found.steps <= len(set(spectrum))


def test_too_few_steps_are_said_to_have_not_converged(generator):
    A = torch.diag(torch.linspace(0, 1, 200).double())
    found = lanczos(A.mv, torch.randn(200, generator=generator).double(), steps=4)
    assert not found.converged
    assert abs(found.largest - 1) <= 1  # some eigenvalue is as near as the residual says
    assert found.residual > 1e-3


def test_more_steps_never_lower_the_largest_value(generator):
    A, start = symmetric(60, generator), torch.randn(60, generator=generator).double()
    values = [lanczos(A.mv, start, steps=k, tolerance=0).largest for k in (2, 5, 10, 20, 40)]
    assert values == sorted(values)


def test_a_linear_loss_has_no_curvature(generator):
    w = torch.ones(5).double()
    assert curvature.lambda_max(lambda v: (2 * v).sum(), w, generator=generator).largest == 0


def test_the_loss_of_the_own_weights_is_the_networks_and_the_network_stays():
    network, (x, y) = dense(), batch()
    loss, w = curvature.loss_of(network, x, y), curvature.weights(network)
    expected = nn.functional.cross_entropy(network(x), y)
    torch.testing.assert_close(loss(w), expected)
    loss(w + 1)
    torch.testing.assert_close(curvature.weights(network), w)


def test_the_expansion_along_a_line_is_exact_for_a_quadratic_loss(generator):
    A = symmetric(6, generator)
    w, other, b = torch.randn(3, 6, generator=generator).double()
    rows = curvature.along(quadratic(A, b), w, other, points=5)
    assert [row["t"] for row in rows] == [0, 0.25, 0.5, 0.75, 1]
    assert [row["loss"] for row in rows] == pytest.approx([row["expansion"] for row in rows])


def test_the_line_ends_at_both_losses():
    (x, y), one, two = batch(), dense(0), dense(1)
    loss = curvature.loss_of(one, x, y)
    rows = curvature.along(loss, curvature.weights(one), curvature.weights(two), points=3)
    assert rows[0]["loss"] == pytest.approx(nn.functional.cross_entropy(one(x), y).item())
    assert rows[-1]["loss"] == pytest.approx(nn.functional.cross_entropy(two(x), y).item())


def test_the_bound_is_reached_along_the_top_eigenvector(generator):
    A = symmetric(6, generator)
    A = A @ A
    top = torch.linalg.eigh(A)[1][:, -1]
    found = curvature.taylor(quadratic(A, 0 * top), 0 * top, 3 * top, generator=generator)
    assert found.bound == pytest.approx(found.difference)
    assert found.distance == pytest.approx(3)
    assert curvature.orders(found.bound, found.difference) == pytest.approx(0, abs=1e-6)


def test_the_bound_as_printed_fails_away_from_a_stationary_point(generator):
    A, b = torch.eye(3).double(), torch.ones(3).double()
    found = curvature.taylor(quadratic(A, b), 0 * b, b, generator=generator)
    assert found.difference > found.bound
    assert found.with_line == pytest.approx(found.difference)


def test_weighted_by_y_the_bound_fails_though_every_gradient_vanishes(generator):
    """(11): l(w; +1) = |w|²/2 and l(w; -1) = w_2²/2, from 0 to (1, 0); both λ_max are 1."""
    losses = {1: lambda w: (w @ w) / 2, -1: lambda w: w[1] ** 2 / 2}
    origin, moved = torch.zeros(2).double(), torch.tensor([1.0, 0.0]).double()
    found = {
        y: curvature.taylor(loss, origin, moved, generator=generator) for y, loss in losses.items()
    }
    assert [(one.slope, one.lambda_max) for one in found.values()] == [(0, pytest.approx(1))] * 2
    left = sum(y * one.difference for y, one in found.items()) / 2
    right = sum(y * one.bound for y, one in found.items()) / 2
    assert (left, right) == pytest.approx((0.25, 0))


def test_the_bound_as_printed_fails_where_the_curvature_grows(generator):
    w = torch.zeros(4).double()
    found = curvature.taylor(lambda v: (v**4).sum(), w, w + 1, generator=generator)
    assert (found.slope, found.bound) == (0, 0)
    assert found.with_line >= 4
    assert found.difference == 4


@pytest.mark.parametrize("seed", range(4))
def test_the_bound_with_the_whole_line_holds_on_smooth_networks(seed, generator):
    (x, y), one, two = batch(), dense(seed), dense(seed + 10)
    loss = curvature.loss_of(one, x, y)
    found = curvature.taylor(
        loss, curvature.weights(one), curvature.weights(two), generator=generator, points=9
    )
    assert found.converged
    assert found.difference <= found.with_line


CHAINS = [("cnn", 0.5), ("mlp", 0.2), ("alexnet", 0.25), ("vgg16", 0.125)]


@pytest.mark.parametrize(("name", "width"), CHAINS, ids=str)
@pytest.mark.parametrize("amount", [0.003, 0.03])
def test_peeled_bounds_hold_in_their_order(name, width, amount, generator):
    network = fold(shaken(models.build(name, width=width), 0.05, 1))
    f_a, f_b = split(network, 2)
    other = shaken(split(fold(network), 2)[1], amount, 2)
    x = torch.rand(8, 3, 32, 32, generator=generator)
    found = norm_bounds.weight_norm_bounds(f_a, f_b, other, x, torch.arange(8))
    assert found.difference <= found.logits + 1e-6
    assert found.logits <= found.from_features * (1 + 1e-5)
    assert found.from_features <= found.from_input * (1 + 1e-5)


def test_peeling_one_layer_is_the_norm_of_its_change(generator):
    one, two = (nn.utils.skip_init(nn.Linear, 4, 3, bias=False) for _ in range(2))
    for link in (one, two):
        link.weight.data = torch.randn(3, 4, generator=generator)
        link.requires_grad_(requires_grad=False)
    found = norm_bounds.output_distance([(one, two)], torch.ones(1, 4), 5.0)
    assert found == pytest.approx(5 * (one.weight - two.weight).norm().item())


def test_peeling_equal_networks_gives_zero():
    network = models.build("cnn", width=0.25)
    pairs = [(leaf, leaf) for leaf in norm_bounds.flat_layers(network)]
    assert norm_bounds.output_distance(pairs, torch.zeros(1, 3, 32, 32), 7.0) == 0


def test_the_bound_as_printed_fails_for_two_layers():
    """f_a the identity on one number, f_b* = (1, 100), f̃_b = (2, 100): 100 apart, not 1."""
    parts = [nn.utils.skip_init(nn.Linear, 1, 1, bias=False) for _ in range(5)]
    f_a, robust, tuned = (
        nn.Sequential(parts[0]),
        nn.Sequential(*parts[1:3]),
        nn.Sequential(*parts[3:]),
    )
    for link, value in zip(parts, (1, 1, 100, 2, 100), strict=True):
        link.weight.data.fill_(value)
    found = norm_bounds.weight_norm_bounds(
        f_a, robust, tuned, torch.ones(1, 1), torch.zeros(1, dtype=torch.long)
    )
    assert found.logits == pytest.approx(100 * math.sqrt(2))
    assert found.printed == pytest.approx(math.sqrt(2))
    assert found.from_input >= found.logits


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(3, 1, 1), (4, 2, 1), (3, 2, 0), (2, 2, 0)]
)
@pytest.mark.parametrize("constant", [True, False])
def test_a_convolution_stretches_no_more_than_its_windows_allow(
    size, stride, padding, constant, generator
):
    link = nn.utils.skip_init(nn.Conv2d, 2, 3, size, stride, padding, bias=False)
    draw = torch.ones if constant else torch.randn
    link.weight.data = draw(link.weight.shape, **({} if constant else {"generator": generator}))
    x = torch.zeros(1, 2, 9, 9)
    unrolled = torch.autograd.functional.jacobian(link, x).flatten(0, 3).flatten(1)
    stretch = torch.linalg.matrix_norm(unrolled, 2).item()
    kernel = link.weight.norm().item()
    assert stretch <= math.sqrt(norm_bounds.window_overlap(link, x)) * kernel * (1 + 1e-5)
    if constant and stride < size:
        assert stretch > kernel  # the norm of the kernel alone, as printed, is no bound


def test_a_pool_that_enlarges_repeats_its_inputs():
    pool, x = nn.AdaptiveAvgPool2d(2), torch.ones(1, 1, 1, 1)
    assert pool(x).norm() == pytest.approx(math.sqrt(norm_bounds.window_overlap(pool, x)))


@pytest.mark.parametrize("name", ["vgg16", "resnet18", "resnet50", "wrn34-10"])
def test_folding_batch_norms_keeps_the_function(name, generator):
    network = shaken(models.build(name, width=0.125), 0.05, 3).double()
    x = torch.rand(2, 3, 32, 32, generator=generator).double()
    torch.testing.assert_close(fold(network)(x), network(x))


def test_folding_leaves_no_batch_norm_in_a_chain_and_the_network_alone():
    network = models.build("vgg16", width=0.125)
    count = len(list(network.parameters()))
    folded = fold(network)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
    assert len(list(network.parameters())) == count


def test_refused_arguments(generator):
    with pytest.raises(ValueError, match="start must not be zero"):
        lanczos(torch.eye(3).mv, torch.zeros(3))
    x, network = torch.rand(2, 3, 32, 32, generator=generator), models.build("vgg16", width=0.125)
    f_a, f_b = split(network, 2)
    with pytest.raises(ValueError, match="got BatchNorm2d: fold it"):
        norm_bounds.weight_norm_bounds(f_a, f_b, f_b, x, torch.zeros(2, dtype=torch.long))
    f_a, f_b = split(fold(models.build("resnet18", width=0.125)), 2)
    with pytest.raises(ValueError, match="got BasicBlock"):
        norm_bounds.weight_norm_bounds(f_a, f_b, f_b, x, torch.zeros(2, dtype=torch.long))
