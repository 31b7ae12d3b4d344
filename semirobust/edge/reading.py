"""Coordinates of the layers of a network from images that pass: class by class, or in a stream.

Held: of a few classes at a time, as many as fit ``HELD`` bytes, a layer is made, read along its
directions as Y of the pair before it and as X of the pair after it, and given up for the next. The
published directions have entries Normal(0, 1/(s_i √d)) with s_i the deviation of unit i within the
class, which is known only when all images of the class have passed.

Streamed: the first block of images, in which the classes take turns, fixes the directions of every
layer as it passes (s_i within classes, or principal directions of the class-centred activations),
and all blocks, the first included, are projected while they pass: every image passes once, and of a
layer no more than a block is ever held.

Where the images lie on an accelerator, so does all of this, in double precision.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from semirobust.edge import device, projection
from semirobust.edge.dependence import Dependence
from semirobust.edge.estimator import Edge
from semirobust.edge.projection import Coordinates, Directions, Real
from semirobust.layers import weighted
from semirobust.progress import watched
from semirobust.types import Images

BATCH = 256  # images that pass at once where layers are held
HELD = 2**31  # bytes of layers held at once; one class at least


@dataclass(frozen=True)
class Passing:
    """A network in parts, the images that pass it, and what of it is read.

    The first part is f_a, of which the last layer is read. A layer is the output of a part, or
    that of a convolution or linear map inside it.
    """

    parts: Sequence[nn.Module]
    a: int
    convolutions: bool
    x: Images
    index: NDArray[np.intp]  # n x K, the images in the order in which they pass in a stream
    prior: NDArray[np.float64]
    on_device: bool

    @property
    def shares(self) -> dict[int, float]:
        return {c: float(share) for c, share in enumerate(self.prior)}

    @property
    def first(self) -> int:
        """The number j of the first layer that is read."""
        return len(weighted(self.parts[0])) if self.convolutions else self.a

    def images(self, index: NDArray[np.intp]) -> Images:
        return self.x[torch.from_numpy(index.ravel()).to(self.x.device)]

    def passed(self, part: nn.Module, h: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return what a part makes of h, and the layers read on the way."""
        if not self.convolutions:
            h = part(h)
            return h, [h]
        caught: dict[int, Tensor] = {}

        def catch(place: int, _layer: nn.Module, _inputs: object, output: Any) -> None:
            value = output[0] if isinstance(output, tuple) else output  # an attention gives two
            caught[place] = value.clone()  # an in-place activation would overwrite it

        layers = weighted(part)[-1 if part is self.parts[0] else 0 :]
        hooks = [layer.register_forward_hook(partial(catch, k)) for k, layer in enumerate(layers)]
        try:
            return part(h), [caught[place] for place in sorted(caught)]
        finally:
            for hook in hooks:
                hook.remove()

    def through(self, part: nn.Module, h: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the same of many images, a batch at a time."""
        held: list[Tensor] = []
        for start in range(0, len(h), BATCH):
            some, layers = self.passed(part, h[start : start + BATCH])
            outputs = [some, *layers] if self.convolutions else layers
            held = held or [one.new_empty(len(h), *one.shape[1:]) for one in outputs]
            for whole, one in zip(held, outputs, strict=True):
                whole[start : start + BATCH] = one
        return held[0], held[1:] if self.convolutions else held

    def sizes(self) -> tuple[list[int], int]:
        """Return the numbers of units of the layers, and the most bytes an image holds at once."""
        h, units, most = self.x[:1], [], 0
        for part in self.parts:
            before = h.nbytes
            h, layers = self.passed(part, h.clone())
            units += [layer.numel() for layer in layers]
            read = sum(layer.nbytes for layer in layers) if self.convolutions else 0
            most = max(most, before + h.nbytes + read)
        return units, most


def held(passing: Passing, edge: Edge, *, memory: int = HELD) -> dict[int, Dependence]:
    """Return ρ_j, each pair and class with directions of its own."""
    n, classes = passing.index.shape
    units, most = passing.sizes()
    first = passing.first
    layers = range(first, first + len(units))
    roles: dict[int, list[Directions]] = {j: [] for j in layers}  # as Y of a pair, then as X
    for j, dx, dy in zip(layers[1:], units, units[1:], strict=False):
        as_x, as_y = edge.directions_of(dx, dy, n, "every class")
        roles[j - 1].append(as_x)
        roles[j].append(as_y)
    found: dict[int, list[dict[int, Coordinates]]] = {j: [{} for _ in roles[j]] for j in layers}
    together = max(1, memory // (n * most))
    for start in watched(range(0, classes, together), "layers"):
        group = range(start, min(start + together, classes))
        places = {c: slice(k * n, (k + 1) * n) for k, c in enumerate(group)}
        h, j = passing.images(passing.index.T[group.start : group.stop]), first
        for part in passing.parts:
            h, read = passing.through(part, h)
            for j, layer in enumerate(read, start=j):  # noqa: B020 (counts on through the parts)
                rows = layer.flatten(1) if passing.on_device else projection.as_rows(layer, "")
                for role, some in enumerate(edge.projected(rows, places, roles[j], f"h_{j}")):
                    found[j][role] |= some
            j += 1
    return {
        j: edge.measure(found[j - 1][-1], found[j][0], shares=passing.shares)
        for j in watched(layers[1:], "rho")
    }


def streamed(passing: Passing, edge: Edge, block: int) -> dict[int, Dependence]:
    """Return ρ_j from directions that the first block fixes."""
    n, classes = passing.index.shape
    if block < 2 * classes:
        raise ValueError(f"a block must hold two images of each class: take {2 * classes} or more")
    along: dict[int, Real] = {}
    flat: dict[int, Tensor] = {}
    kept: dict[int, list[Any]] = {}
    labels = np.tile(np.arange(classes), n)
    for start in watched(range(0, n * classes, block), "images"):
        some = slice(start, start + block)
        for j, rows in _layers(passing, passing.images(passing.index.ravel()[some])):
            if j not in along:
                along[j] = _directions(rows, labels[some], edge, passing, j)
                flat[j] = torch.from_numpy(along[j].reshape(-1, rows.shape[1]).T).to(rows)
            values = rows @ flat[j]
            kept.setdefault(j, []).append(values if passing.on_device else values.cpu().numpy())
    u = {j: _by_class(kept[j], along[j], classes, j) for j in kept}
    return {
        j: edge.measure(u[j - 1], u[j], shares=passing.shares) for j in watched(list(u)[1:], "rho")
    }


def _layers(passing: Passing, h: Images) -> Iterator[tuple[int, Tensor]]:
    """Yield the layers of a block of images with their numbers, as rows."""
    j = passing.first
    for part in passing.parts:
        h, layers = passing.passed(part, h)
        for layer in layers:
            rows = layer.flatten(1)
            yield j, rows.double() if passing.on_device else rows
            j += 1


def _directions(
    rows: Tensor, labels: NDArray[np.integer[Any]], edge: Edge, passing: Passing, j: int
) -> Real:
    """Return the directions of layer j, P x m x d, from the first block; the unit ones if few."""
    d = rows.shape[1]
    m, _ = edge.sides(d, d, len(passing.index), of="every class")
    if m is None:
        return np.eye(d)[None]
    seed = edge.seed
    if edge.directions is None:
        seed += j  # as published, layers of one width do not share directions
    if edge.projection == "random":
        normals = projection.random_directions(d, m, seed, edge.projections)
        if passing.on_device:
            return projection.scaled(normals, device.deviations_within(rows, labels))
    centred = rows.float().cpu().numpy().copy()
    for c in np.unique(labels):
        centred[labels == c] -= centred[labels == c].mean(axis=0)
    whole = slice(0, len(centred))
    if edge.projection == "principal":
        return projection.principal_directions(centred, whole, m, seed, np.float32)[None]
    return projection.scaled(normals, projection.deviations(centred, whole, np.float32))


def _by_class(parts: list[Any], along: Real, classes: int, j: int) -> dict[int, Coordinates]:
    """Return the coordinates of layer j class by class; the classes took turns."""
    sets, m, d = along.shape
    values = torch.cat(parts) if isinstance(parts[0], Tensor) else np.concatenate(parts)
    if not device.finite(values):
        raise ValueError(f"h_{j} holds a number that is not finite")
    turns = {c: values[c::classes] for c in range(classes)}
    return {c: Coordinates(u.T.reshape(sets, m, len(u)), d) for c, u in turns.items()}
