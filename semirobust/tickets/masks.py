"""Masks over the weights of an ordinary network: of its convolutions and linear maps, by name."""

from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from semirobust.tickets.batched import Masked
from semirobust.tickets.pruning import share_left, thinned

NamedMasks: TypeAlias = dict[str, Tensor]


def prunable(network: nn.Module) -> dict[str, nn.Conv2d | nn.Linear]:
    parts = network.named_modules()
    return {name: part for name, part in parts if isinstance(part, nn.Conv2d | nn.Linear)}


def cover(network: nn.Module, masks: NamedMasks) -> None:
    for name, part in prunable(network).items():
        parametrize.register_parametrization(part, "weight", Masked(masks[name]))


def uncover(network: nn.Module) -> None:
    """Make the weights ordinary ones again, zeros where masks hid them."""
    for part in prunable(network).values():
        parametrize.remove_parametrizations(part, "weight")


def pruned(network: nn.Module, masks: NamedMasks, rate: float) -> NamedMasks:
    """Return masks without the smallest remaining weights of each layer, the last at half rate."""
    layers = prunable(network)
    rates = [rate] * (len(layers) - 1) + [rate / 2]
    return {
        name: thinned(layer.weight[None], masks[name][None], own)[0]
        for (name, layer), own in zip(layers.items(), rates, strict=True)
    }


def scattered(masks: NamedMasks, *, seed: int) -> NamedMasks:
    """Return masks with as many weights in each layer at random places."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: mask.flatten()[torch.randperm(mask.numel(), generator=generator)].view_as(mask)
        for name, mask in masks.items()
    }


def density(network: nn.Sequential, a: int) -> float:
    """Return the share of weights of the first ``a`` links that are not zero."""
    return share_left([layer.weight for layer in prunable(network[:a]).values()])
