"""Masks over an ordinary network: exact counts, the largest weights, zeros that are dense ones."""

import pytest
import torch

from semirobust.models import build
from semirobust.tickets.masks import cover, density, prunable, pruned, scattered, uncover
from semirobust.tickets.pruning import remaining


def full(network):
    return {name: part.weight != 0 for name, part in prunable(network).items()}


def images():
    return torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_a_covered_network_equals_its_dense_zeros():
    network, x = build("vgg16", width=0.0625), images()
    masks = scattered(pruned(network, full(network), 0.5), seed=0)
    before = network(x)
    cover(network, masks)
    covered = network(x)
    uncover(network)
    assert torch.equal(covered, network(x))
    assert not torch.equal(covered, before)
    assert all(torch.equal(part.weight != 0, masks[n]) for n, part in prunable(network).items())


def test_thinning_keeps_exact_counts_and_the_largest_of_each_layer():
    network = build("cnn", width=0.25)
    masks = full(network)
    counts = {name: mask.numel() for name, mask in masks.items()}
    for level in (1, 2, 3):
        before, masks = masks, pruned(network, masks, 0.4)
        for number, (name, part) in enumerate(prunable(network).items()):
            rate = 0.4 if number < len(masks) - 1 else 0.2
            assert int(masks[name].sum()) == remaining(counts[name], rate, level)
            gone = before[name] & ~masks[name]
            assert part.weight[gone].abs().max() <= part.weight[masks[name]].abs().min()


def test_scattering_moves_a_mask_and_keeps_its_counts():
    network = build("cnn", width=0.25)
    masks = pruned(network, full(network), 0.5)
    moved = scattered(masks, seed=0)
    assert {name: int(mask.sum()) for name, mask in moved.items()} == {
        name: int(mask.sum()) for name, mask in masks.items()
    }
    assert any(not torch.equal(moved[name], masks[name]) for name in masks)


def test_the_share_of_the_front_counts_its_own_links_only():
    network = build("cnn", width=0.25)
    with torch.no_grad():
        next(iter(prunable(network[1]).values())).weight.zero_()
    assert density(network, 1) == 1
    sizes = [part.weight.numel() for part in prunable(network).values()]
    assert density(network, 2) == pytest.approx(sizes[0] / sum(sizes[:2]))
