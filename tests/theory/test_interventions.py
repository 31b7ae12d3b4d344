"""Networks written otherwise compute the same, to rounding, on every image of the test part."""

from copy import deepcopy

import pytest
import torch

from semirobust import models
from semirobust.data import load
from semirobust.edge import rho
from semirobust.layers import activations
from semirobust.theory import interventions
from semirobust.theory.interventions import (
    BOUND,
    copied,
    exact_logits,
    projected,
    two_paths,
    widths,
)
from semirobust.theory.interventions import with_idle_units as idle

A = 2


def alive(seed, name="cnn"):
    """Return a network whose running statistics and biases are not those of a fresh one."""
    network = models.build(name, width=0.25, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.add_(0.1 * torch.rand(value.shape, generator=generator))
    return network


@pytest.fixture(scope="module")
def test_part():
    return load("digits").test


def change(network, other, samples):
    return interventions.change(exact_logits(network, samples), other, samples)


def written(network, x):
    layers = range(A, len(network))
    yield "copies", copied(network, layers, 4)
    yield "odd copies", copied(network, layers, 3)
    yield "idle", idle(network, models.build("cnn", width=0.25, seed=9), layers, x)
    yield "projected", projected(network)


def test_no_logit_moves_by_more_than_the_bound_on_any_test_image(test_part):
    network = alive(0)
    for name, other in written(network, test_part.x):
        assert change(network, other, test_part) <= BOUND, name
        assert torch.allclose(network(test_part.x), other(test_part.x), atol=1e-4), name


def test_a_network_that_computes_something_else_is_told(test_part):
    network = alive(0)
    other = deepcopy(network)
    with torch.no_grad():
        other[-1][1].bias[0] += 1e-3
    assert change(network, other, test_part) > BOUND


def test_hidden_layers_are_written_otherwise_and_rho_moves(test_part):
    network, x, y = alive(0), test_part.x, test_part.y
    before = rho(network, x, y, a=A, block=None)
    for name, other in written(network, x):
        after = rho(other, x, y, a=A, block=None)
        assert any(abs(after[j].value - before[j].value) > 0.001 for j in before), name
    wide = {name: widths(other, x) for name, other in written(network, x)}
    own = widths(network, x)
    assert wide["copies"][3] == 4 * own[3]
    assert wide["idle"][2] == 2 * own[2]
    assert wide["projected"] == own


def test_the_projected_layer_lies_in_the_span_of_what_the_head_reads(test_part):
    other = projected(alive(0))
    h = activations(other, test_part.x[:100])[len(other) - 1].double()
    rows = other[-1][1].weight.double()
    assert torch.linalg.matrix_rank(torch.cat([h, rows]), rtol=1e-5) <= len(rows)


@pytest.mark.parametrize("name", ["cnn", "vgg16", "resnet18"])
def test_two_heads_share_every_hidden_layer_to_the_bit_and_compute_two_networks(name, test_part):
    one, other, x = alive(0, name), alive(1, name), test_part.x[:60]
    first, second = two_paths(one, other, x=x)
    h, k = activations(first, x), activations(second, x)
    assert all(torch.equal(h[j], k[j]) for j in range(1, len(one)))
    assert change(one, first, test_part.take(torch.arange(60))) <= BOUND
    assert change(other, second, test_part.take(torch.arange(60))) <= BOUND
    assert not torch.allclose(h[len(one)], k[len(one)])


def test_the_head_is_no_hidden_layer():
    network = alive(0)
    with pytest.raises(ValueError, match=r"hidden layers are 1\.\.3, got \[4\]"):
        copied(network, [4], 2)
    with pytest.raises(ValueError, match="hidden layers"):
        interventions.hidden(network, [])
