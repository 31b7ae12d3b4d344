"""rho_j: the class-conditional information between consecutive layers, from one forward pass.

    ρ_j = Σ_y π(y) I(h_{j-1}; h_j | y),   j = a+1..n    (A1, Eq. 5)

with h_j = F^(j)(x) on the images given, clean or attacked, and always with its permutation null,
its ceiling and its excess. The input is not a layer, so the first pair is (1, 2).

``block=None`` holds layers, a few classes at a time, and gives the published estimate exactly, with
directions of its own for each class; else the images stream through (``reading``).

The paper reads the outputs of convolutions, before norm, activation and pooling, in the order of
the program's list of layers: ``taps="convolutions"`` (linear maps among them), with which ρ_j of a
residual network has a value for each convolution of a block. The default reads the links, after all
that belongs to them, because h_j is what the rest of the network gets. The two differ by 0.2 to 0.7
bits on a VGG16.

Measured effect of streaming, on a narrow trained VGG16 with 400 images of ten classes each: with
512 images in the block the published values move by -0.8 (first pair) to 0.4 bits and their excess
by at most 0.15; with 128 by -2.4. Principal directions shared by the classes find 0.03 to 1.0 bits
less than those of each class. So hold the layers for values that stand beside published ones.

Every class gives the same number of samples, because estimates from different numbers have
different ceilings and nulls; π still comes from all labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from semirobust.attacks.ball import evaluating
from semirobust.data import check_labels
from semirobust.edge import device, projection
from semirobust.edge.dependence import Dependence
from semirobust.edge.estimator import Edge
from semirobust.edge.reading import Passing, held, streamed
from semirobust.layers import DEPENDS_ON_MODE, compose
from semirobust.links import as_chain
from semirobust.types import Images, Labels

Taps: TypeAlias = Literal["links", "convolutions"]

TAPS = ("links", "convolutions")


@torch.no_grad()
def rho(
    network: nn.Module,
    x: Images,
    y: Labels,
    *,
    layers: Sequence[str] | None = None,
    edge: Edge | None = None,
    a: int = 1,
    taps: Taps = "links",
    per_class: int | None = None,
    block: int | None = 512,
    seed: int = 0,
) -> dict[Any, Dependence]:
    """Return {j: ρ_j} for j = a+1..n on the images x, or {name: ρ} of named layers but the first.

    Args:
        network: A chain of n links in evaluation mode; every module keeps its mode. Another network
            is cut into links by ``as_chain``.
        x: Images, on the device of the network.
        y: Their classes, 0..K-1.
        layers: Names of modules between whose outputs it is read, such as ("layer2", "layer3").
        edge: Settings of the estimate; the calibrated ones if None.
        a: Number of links of f_a: the first pair is its last layer and the next one.
        taps: What a layer is: the output of a "links" member, or as published that of each of the
            "convolutions" and linear maps on the main branch, which j then counts.
        per_class: Images of each class; those of the smallest class if None.
        block: Images that pass at once; None holds layers and projects as published, in double.
        seed: Seed of the choice of images.
    """
    if any(part.training for part in network.modules() if isinstance(part, DEPENDS_ON_MODE)):
        raise ValueError("the network is in training mode: call network.eval()")
    if taps not in TAPS or (layers and taps != "links"):
        raise ValueError(f"taps is one of {TAPS}, the first one with layers=; got {taps!r}")
    check_labels(y)
    edge = edge or Edge()
    labels = y.cpu().numpy()
    prior = np.bincount(labels) / len(labels)
    index = equal_numbers(labels, per_class=per_class, seed=seed).reshape(-1, len(prior))
    with evaluating(network):
        chain = _chain(network, x, layers)
        if not 1 <= a < len(chain):
            raise ValueError(f"need 1 <= a < n, got a={a}, n={len(chain)}")
        parts = [compose(chain, 1, a), *list(chain)[a:]]
        passing = Passing(parts, a, taps == "convolutions", x, index, prior, device.holds(x))
        if block is None:
            found = held(passing, replace(edge, double=True))
        else:
            found = streamed(passing, edge, block)
    return {layers[j - 1]: value for j, value in found.items()} if layers else found


def _chain(network: nn.Module, x: Images, layers: Sequence[str] | None) -> nn.Sequential:
    """Return the links between which ρ_j is read; of named layers those up to the last."""
    if layers is None and isinstance(network, nn.Sequential):
        return network
    if layers is not None and len(layers) < 2:
        raise ValueError(f"layers names the two ends of each pair, at least two; got {layers}")
    chain = as_chain(network, x[:2], links=layers)
    return chain[: len(layers)] if layers else chain


def compare(
    networks: Mapping[str, nn.Sequential], x: Images, y: Labels, **how: Any
) -> dict[str, dict[int, Dependence]]:
    """Return ρ_j of several networks on the same images, with the same directions and shuffles.

    Meant for the controls of Algorithm 1: (f_a, f_b), (f_a*, f_b*), (f_a*, f_b) and (f_a*, f̃_b).
    A ρ that is as high where the network is not robust says nothing about robustness.
    """
    return {name: rho(network, x, y, **how) for name, network in networks.items()}


def records(networks: Mapping[str, Mapping[int, Dependence]]) -> list[dict[str, Any]]:
    """Return one row per network and layer: its name, j, samples per class and the numbers."""
    return [
        {"network": name, "j": j, "per_class": min(rho_j.samples.values()), **rho_j.record()}
        for name, layers in networks.items()
        for j, rho_j in layers.items()
    ]


def equal_numbers(
    labels: NDArray[np.integer[Any]], *, per_class: int | None, seed: int
) -> NDArray[np.intp]:
    """Return images with as many of each class, the classes taking turns.

    Fewer per class are the first of those that more would give.
    """
    classes = projection.classes(labels, len(labels))
    smallest = min(classes, key=lambda c: projection.size(classes[c]))
    available = projection.size(classes[smallest])
    n = per_class or available
    if n > available:
        raise ValueError(f"class {smallest} has {available} images, asked for {n} per class")
    rng = np.random.default_rng(seed)
    everything = np.arange(len(labels))
    return np.stack([rng.permutation(everything[rows])[:n] for rows in classes.values()], 1).ravel()
