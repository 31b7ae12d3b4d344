"""Chains: composing, cutting, splicing, and reading every layer once."""

import pytest
import torch
from torch import nn

from semirobust import layers, models


@pytest.fixture
def chain():
    return models.build("cnn", width=0.25)


def test_the_parts_make_the_whole(chain, generator):
    x = torch.rand(3, 3, 32, 32, generator=generator)
    for a in range(1, len(chain)):
        f_a, f_b = layers.split(chain, a)
        torch.testing.assert_close(f_b(f_a(x)), chain(x), rtol=0, atol=0)


def test_composing_shares_weights(chain):
    assert layers.compose(chain, 2, 3)[0] is chain[1]


@pytest.mark.parametrize(("i", "j"), [(0, 1), (2, 1), (1, 5)])
def test_composing_refuses_layers_that_do_not_exist(chain, i, j):
    with pytest.raises(ValueError, match="need 1 <= i <= j <= n"):
        layers.compose(chain, i, j)


@pytest.mark.parametrize("a", [0, 4])
def test_a_split_needs_two_parts(chain, a):
    with pytest.raises(ValueError, match="need 1 <= a < n"):
        layers.split(chain, a)


def test_what_is_no_chain_is_told_how_to_become_one():
    with pytest.raises(TypeError, match=r"Flatten is no chain of links: as_chain\(network, x\)"):
        layers.split(nn.Flatten(), 1)


def test_a_splice_takes_each_part_from_its_source_and_shares_nothing(generator):
    front, back = models.build("cnn", width=0.25), models.build("cnn", width=0.25, seed=1)
    spliced = layers.splice(front, back, 2)
    x = torch.rand(2, 3, 32, 32, generator=generator)
    expected = layers.split(back, 2)[1](layers.split(front, 2)[0](x))
    torch.testing.assert_close(spliced(x), expected, rtol=0, atol=0)
    own = {weight.data_ptr() for weight in spliced.parameters()}
    assert not own & {weight.data_ptr() for net in (front, back) for weight in net.parameters()}


def test_a_splice_refuses_networks_of_different_kinds(chain):
    with pytest.raises(ValueError, match="two networks of one kind"):
        layers.splice(chain, models.build("mlp", width=0.1), 1)


def test_activations_are_those_of_the_subnetworks_even_after_in_place_links(generator):
    with torch.random.fork_rng():
        chain = nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True), nn.Linear(3, 2))
    x = torch.randn(5, 3, generator=generator)
    h = layers.activations(chain, x)
    assert list(h) == [1, 2, 3]
    for j in h:
        torch.testing.assert_close(h[j], layers.compose(chain, 1, j)(x))


@pytest.mark.parametrize(
    ("name", "counted"),
    [("alexnet", 8), ("vgg16", 16), ("resnet18", 18), ("resnet50", 50), ("cnn", 4), ("mlp", 3)],
)
def test_trainable_layers_are_counted_as_the_paper_counts(name, counted):
    network = models.build(name, width=0.125)
    assert sum(layers.trainable_layers(link) for link in network) == counted


def test_sixteen_layers_of_resnet50_are_five_blocks_and_the_classifier():
    network = models.build("resnet50", width=0.125)
    assert len(network) - layers.cut(network, 16) == 6


def test_a_count_inside_a_block_takes_the_nearest_boundary():
    network = models.build("resnet18", width=0.125)  # 4 layers would cut a block of two in half
    f_b = layers.split(network, layers.cut(network, 4))[1]
    assert sum(layers.trainable_layers(link) for link in f_b) == 3


@pytest.mark.parametrize("n_b", [0, 16, 99, 3.5])
def test_a_cut_outside_the_network_is_refused(n_b):
    with pytest.raises(ValueError, match=r"n_b must lie in 1\.\.15"):
        layers.cut(models.build("vgg16", width=0.125), n_b)
