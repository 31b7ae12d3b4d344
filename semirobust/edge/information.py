"""rho_j: the class-conditional information between consecutive layers, from one forward pass.

    ρ_j = Σ_y π(y) I(h_{j-1}; h_j | y),   j = a+1..n    (A1, Eq. 5)

with h_j = F^(j)(x) on the images given, clean or attacked, and always with its permutation null,
its ceiling and its excess. The input is not a layer, so the first pair is (1, 2).

Streaming. The published directions have entries Normal(0, 1/(s_i √d)) with s_i the deviation of
unit i, which is known only after all images have passed; principal directions need even more. So
the first block of images, in which the classes take turns, fixes the directions of every layer as
it passes (s_i within classes, or principal directions of the class-centred activations), and all
blocks, the first included, are projected while they pass: every image passes once, and of a layer
no more than a block is ever held. ``block=None`` holds two layers and gives the published estimate
exactly, with directions of its own for each class.

Measured effect of streaming, on a narrow trained VGG16 with 400 images of ten classes each: with
512 images in the block the published values move by -0.8 (first pair) to 0.4 bits and their excess
by at most 0.15; with 128 by -2.4. Principal directions shared by the classes find 0.03 to 1.0 bits
less than those of each class. So hold the layers for values that stand beside published ones.

Every class gives the same number of samples, because estimates from different numbers have
different ceilings and nulls; π still comes from all labels.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from semirobust.attacks.ball import evaluating
from semirobust.edge import projection
from semirobust.edge.dependence import Dependence
from semirobust.edge.estimator import Edge
from semirobust.edge.projection import Coordinates, Real
from semirobust.layers import DEPENDS_ON_MODE
from semirobust.links import as_chain
from semirobust.types import Images, Labels

BATCH = 256  # images that pass at once where layers are held


@torch.no_grad()
def rho(
    network: nn.Module,
    x: Images,
    y: Labels,
    *,
    layers: Sequence[str] | None = None,
    edge: Edge | None = None,
    a: int = 1,
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
        a: Number of layers of f_a: the first pair is (a, a+1).
        per_class: Images of each class; those of the smallest class if None.
        block: Images that pass at once; None holds two layers and projects as published.
        seed: Seed of the choice of images.
    """
    if any(part.training for part in network.modules() if isinstance(part, DEPENDS_ON_MODE)):
        raise ValueError("the network is in training mode: call network.eval()")
    edge = edge or Edge()
    labels = y.cpu().numpy()
    index = equal_numbers(labels, per_class=per_class, seed=seed)
    images = _Images(x, index, labels[index], np.bincount(labels) / len(labels))
    with evaluating(network):
        chain = _chain(network, x, layers)
        if not 1 <= a < len(chain):
            raise ValueError(f"need 1 <= a < n, got a={a}, n={len(chain)}")
        if block is None:
            found = _held(chain, images, edge, a)
        else:
            found = _streamed(chain, images, edge, a, block)
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


@dataclass(frozen=True)
class _Images:
    """Chosen images in the order in which they pass: class 0, 1, .., K-1, 0, 1, .. in turn."""

    x: Images
    index: NDArray[np.intp]
    labels: NDArray[np.integer[Any]]
    prior: NDArray[np.float64]

    @property
    def shares(self) -> dict[int, float]:
        return {c: float(share) for c, share in enumerate(self.prior)}

    def blocks(self, size: int) -> Iterator[tuple[Images, NDArray[np.integer[Any]]]]:
        """Yield images and labels, ``size`` at a time."""
        for start in range(0, len(self.index), size):
            chosen = torch.from_numpy(self.index[start : start + size])
            yield self.x[chosen.to(self.x.device)], self.labels[start : start + size]


def _held(network: nn.Sequential, images: _Images, edge: Edge, a: int) -> dict[int, Dependence]:
    """Return ρ_j with two layers held, each pair and class with directions of its own."""
    rho: dict[int, Dependence] = {}
    ((h, labels),) = images.blocks(len(images.index))
    for j, link in enumerate(network, start=1):
        # A clone, because an in-place activation would overwrite the layer before.
        parts = [link(h[start : start + BATCH].clone()) for start in range(0, len(h), BATCH)]
        following = torch.cat(parts)
        if j > a:
            u, v = edge.coordinates(h, following, labels)
            rho[j] = edge.measure(u, v, shares=images.shares)
        h = following
    return rho


def _streamed(
    network: nn.Sequential, images: _Images, edge: Edge, a: int, block: int
) -> dict[int, Dependence]:
    """Return ρ_j from the coordinates of h_a..h_n, kept while the blocks pass."""
    classes = len(images.prior)
    if block < 2 * classes:
        raise ValueError(f"a block must hold two images of each class: take {2 * classes} or more")
    per_class = len(images.index) // classes
    along: dict[int, Real] = {}
    kept: dict[int, list[Real]] = {j: [] for j in range(a, len(network) + 1)}
    for h, labels in images.blocks(block):
        for j, link in enumerate(network, start=1):
            h = link(h)  # noqa: PLW2901 (h_{j-1} becomes h_j)
            if j < a:
                continue
            rows = h.flatten(1)
            if j not in along:
                along[j] = _directions(rows, labels, edge, per_class, j)
            flat = torch.from_numpy(along[j].reshape(-1, rows.shape[1]).T).to(rows)
            kept[j].append((rows @ flat).cpu().numpy())
    u = {j: _by_class(np.concatenate(kept[j]), along[j], classes, j) for j in kept}
    return {j: edge.measure(u[j - 1], u[j], shares=images.shares) for j in list(u)[1:]}


def _directions(
    rows: Tensor, labels: NDArray[np.integer[Any]], edge: Edge, per_class: int, j: int
) -> Real:
    """Return the directions of layer j, P x m x d, from the first block; the unit ones if few."""
    d = rows.shape[1]
    m, _ = edge.sides(d, d, per_class, of="every class")
    if m is None:
        return np.eye(d)[None]
    centred = rows.float().cpu().numpy().copy()
    for c in np.unique(labels):
        centred[labels == c] -= centred[labels == c].mean(axis=0)
    whole, seed = slice(0, len(centred)), edge.seed
    if edge.directions is None:
        seed += j  # as published, layers of one width do not share directions
    if edge.projection == "principal":
        return projection.principal_directions(centred, whole, m, seed, np.float32)[None]
    normals = projection.random_directions(d, m, seed, edge.projections)
    return projection.scaled(normals, projection.deviations(centred, whole, np.float32))


def _by_class(values: Real, along: Real, classes: int, j: int) -> dict[int, Coordinates]:
    """Return the coordinates of layer j class by class; the classes took turns."""
    if not np.all(np.isfinite(values)):
        raise ValueError(f"h_{j} holds a number that is not finite")
    sets, m, d = along.shape
    turns = {c: values[c::classes] for c in range(classes)}
    return {c: Coordinates(u.T.reshape(sets, m, len(u)), d) for c, u in turns.items()}
