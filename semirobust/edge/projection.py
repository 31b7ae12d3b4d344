"""Projection: wide samples on a few directions, in blocks that stay in the cache.

An input is read twice, once for the deviations of its columns and once for a thin matrix product,
and nothing of its size is ever allocated. Directions are random, as EDGE draws them (entries
Normal(0, 1/(s_i √d)), s_i the deviation of column i), or the principal ones.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import floor, log2, sqrt
from typing import Any, TypeAlias

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[Any]  # N x d, any real type
Real: TypeAlias = NDArray[np.floating[Any]]
Index: TypeAlias = NDArray[np.intp] | slice  # the rows of a class

BLOCK = 2**21  # bytes of input that are worked on at once
LANES = 8  # a thin product runs fastest when its columns fill registers
TINY = 1e-4  # deviations below this are not divided by
OVERSAMPLED = 10  # columns beyond those asked for in the search for principal directions
POWER = 6  # readings of the rows in that search


@dataclass(frozen=True)
class Coordinates:
    """Projected samples, P x m x n for P sets of directions, and the width d they come from."""

    values: Any  # an array, or a tensor where the samples were on a device
    d: int


def blocks(x: Rows, index: Index, kind: Any) -> Iterator[tuple[slice, Real]]:
    """Yield the chosen rows of x in floating blocks that fit the cache, with their places."""
    n, step = size(index), max(LANES, BLOCK // (x.shape[1] * np.dtype(kind).itemsize))
    for start in range(0, n, step):
        place = slice(start, min(start + step, n))
        if isinstance(index, slice):
            chosen = x[index.start + place.start : index.start + place.stop]
        else:
            chosen = x[index[place]]
        yield place, chosen.astype(kind, copy=False)


def deviations(x: Rows, index: Index, kind: Any) -> NDArray[np.float64]:
    """Return the population standard deviation of each column over the chosen rows.

    The two moments are summed in one reading. Where they nearly cancel, a second reading sums the
    squares of the distances from the mean.
    """
    mean, square = _moments(x, index, kind, None)
    if kind == np.float32 and not np.all(np.isfinite(square)):  # squares beyond single precision
        return deviations(x, index, np.float64)
    variance = square - mean**2
    if np.any(variance < np.sqrt(np.finfo(kind).eps) * mean**2):
        shift, variance = _moments(x, index, kind, mean.astype(kind))
        variance -= shift**2
    return np.sqrt(np.maximum(variance, 0))


def _moments(
    x: Rows, index: Index, kind: Any, centre: Real | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second, n = np.zeros(x.shape[1]), np.zeros(x.shape[1]), 0
    for _, block in blocks(x, index, kind):
        values = block if centre is None else block - centre
        first += np.ones(len(values), kind) @ values
        second += np.einsum("ij,ij->j", values, values)
        n += len(values)
    return first / n, second / n


@dataclass(frozen=True)
class Directions:
    """How samples become m coordinates: random or principal directions; None for none at all."""

    m: int | None
    normals: Real | None = None  # standard normal entries, P x m x d; None of principal directions


def along(
    x: Rows, groups: Sequence[Index], directions: Sequence[Directions], *, seed: int, double: bool
) -> list[Real]:
    """Return classes of one size along each of some directions, classes x P x m x n.

    All random directions are taken in the same two readings.
    """
    kind = np.float32 if x.dtype == np.float32 and not double else np.float64
    with np.errstate(invalid="ignore", over="ignore"):
        found = together(directions, lambda normals: coordinates(x, groups, normals, kind))
        for place, (m, normals) in enumerate((one.m, one.normals) for one in directions):
            if m is None:
                found[place] = np.stack(
                    [np.ascontiguousarray(x[rows].T, np.float64)[None] for rows in groups]
                )
            elif normals is None:
                axes = (principal_directions(x, rows, m, seed, kind)[None] for rows in groups)
                pairs = zip(groups, axes, strict=True)
                found[place] = np.stack([project(x, *pair, kind) for pair in pairs])
    return found


def together(directions: Sequence[Directions], read: Callable[[Real], Any]) -> list[Any]:
    """Return the parts of one reading of all random directions; None in the places of others."""
    drawn = [one.normals for one in directions if one.normals is not None]
    if not drawn:
        return [None for _ in directions]
    values, ends = read(np.concatenate(drawn, axis=1)), np.cumsum([g.shape[1] for g in drawn])
    parts = (values[:, :, end - g.shape[1] : end] for end, g in zip(ends, drawn, strict=True))
    return [None if one.normals is None else next(parts) for one in directions]


def coordinates(x: Rows, groups: Sequence[Index], normals: Real, kind: Any) -> Real:
    """Return classes of one size, each on directions of its own, classes x P x m x n.

    As many classes as fit the cache are worked on at once: read once, for deviations and product.
    """
    n, d = size(groups[0]), x.shape[1]
    together = BLOCK // (n * d * np.dtype(kind).itemsize)
    if together < 1:
        along = (scaled(normals, deviations(x, rows, kind)) for rows in groups)
        return np.stack([project(x, *each, kind) for each in zip(groups, along, strict=True)])
    flat = normals.reshape(-1, d)
    thin = np.zeros((d, -(-len(flat) // LANES) * LANES), kind)
    thin[:, : len(flat)] = flat.T
    found = np.empty((len(groups), n, thin.shape[1]), kind)
    for start in range(0, len(groups), together):
        some = groups[start : start + together]
        block = neighbours(x, some).astype(kind, copy=False).reshape(len(some), n, d)
        s = _spread(block)
        np.matmul(
            block,
            thin / (np.where(s < TINY, 1.0, s) * sqrt(d)).astype(kind)[..., None],
            out=found[start : start + len(some)],
        )
    ordered = np.ascontiguousarray(found[..., : len(flat)].transpose(0, 2, 1))
    return ordered.reshape(len(groups), *normals.shape[:-1], n)


def neighbours(x: Any, groups: Sequence[Index]) -> Any:
    """Return the rows of several classes, without a copy where they are neighbours."""
    slices = [rows for rows in groups if isinstance(rows, slice)]
    if len(slices) == len(groups) and all(a.stop == b.start for a, b in pairwise(slices)):
        return x[slices[0].start : slices[-1].stop]
    return x[np.concatenate([np.r_[rows] for rows in groups])]


def _spread(block: Real) -> NDArray[np.float64]:
    """Return the deviations of the columns of each class, from classes x n x d."""
    n, kind = block.shape[1], block.dtype
    mean = np.matmul(np.ones(n, kind), block).astype(np.float64) / n
    square = np.einsum("cij,cij->cj", block, block).astype(np.float64) / n
    variance = square - mean**2
    if not np.all(np.isfinite(square)) or np.any(variance < np.sqrt(np.finfo(kind).eps) * mean**2):
        variance = block.astype(np.float64).var(axis=1)
    return np.sqrt(np.maximum(variance, 0))


def project(x: Rows, index: Index, directions: Real, kind: Any) -> Real:
    """Return the chosen rows times the directions (P x m x d), P x m x n."""
    flat = directions.reshape(-1, directions.shape[-1])
    k, d = flat.shape
    thin = np.zeros((d, -(-k // LANES) * LANES), kind)
    thin[:, :k] = flat.T
    product = np.empty((size(index), thin.shape[1]), kind)
    for place, block in blocks(x, index, kind):
        np.matmul(block, thin, out=product[place])
    return np.ascontiguousarray(product[:, :k].T).reshape(*directions.shape[:-1], -1)


def number_of_directions(n: int, d: int) -> int:
    """Return m = min(d, ⌊log₂(N / 10)⌋), the published number of directions (0 if N < 20)."""
    return max(0, min(d, floor(log2(n / 10))))


def published_directions(dx: int, dy: int, n: int, seed: int) -> tuple[Real, Real]:
    """Return the standard normal entries of X's and Y's directions, m x d, from one stream.

    The published program draws them unit by unit: d x m, then transposed.
    """
    stream = RandomState(seed)
    x = stream.standard_normal((dx, number_of_directions(n, dx)))
    return x.T, stream.standard_normal((dy, number_of_directions(n, dy))).T


def random_directions(d: int, m: int, seed: int, sets: int) -> Real:
    """Return standard normal entries, sets x m x d.

    They depend on the width alone, not on the side, so that X and Y may swap.
    """
    return np.random.default_rng((seed, d)).standard_normal((sets, m, d))


def scaled(directions: Real, s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return directions whose entries are Normal(0, 1/(s_i √d)); s_i counts as 1 if below 1e-4."""
    return directions / (np.where(s < TINY, 1.0, s) * sqrt(len(s)))


def principal_directions(
    x: Rows, index: Index, m: int, seed: int, kind: Any
) -> NDArray[np.float64]:
    """Return the first m principal directions of the chosen rows, m x d, by a randomised search.

    Halko, Martinsson and Tropp (2011), Algorithm 4.4, with power iterations on the columns' side
    from a Gaussian start that lives on the columns: the order of the rows does not matter and one
    block at a time is centred. The largest entry of a direction is positive.
    """
    d, mean = x.shape[1], _moments(x, index, kind, None)[0].astype(kind)
    basis = np.random.default_rng((seed, d)).standard_normal((d, min(m + OVERSAMPLED, d)))
    for _ in range(POWER):
        image = np.zeros(basis.shape)
        for _, block in blocks(x, index, kind):
            image += (block - mean).T @ ((block - mean) @ basis.astype(kind))
        basis, stretch = np.linalg.qr(image)
    turn = np.linalg.svd(stretch)[0][:, :m]
    rows = (basis @ turn).T
    largest = np.take_along_axis(rows, np.abs(rows).argmax(axis=1, keepdims=True), axis=1)
    return rows * np.where(largest < 0, -1.0, 1.0)


def as_rows(x: Any, name: str) -> Rows:
    """Return samples as an N x d array of a real type, without a copy where that is possible."""
    if hasattr(x, "detach"):  # a tensor; half precisions have no counterpart everywhere
        x = x.detach().cpu()
        x = (x.float() if x.is_floating_point() and x.element_size() < 4 else x).numpy()
    rows = np.asarray(x)
    if rows.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold real numbers, got {rows.dtype}")
    if rows.ndim == 0 or rows.size == 0:
        raise ValueError(f"{name} must hold samples in rows, got shape {rows.shape}")
    return rows.reshape(len(rows), -1)


def classes(labels: Any, n: int) -> dict[int, Index]:
    """Return the rows of each class 0..K-1, as a slice where they are neighbours."""
    if labels is None:
        return {0: slice(0, n)}
    y = np.asarray(labels.detach().cpu() if hasattr(labels, "detach") else labels)
    if y.shape != (n,) or y.dtype.kind not in "iu":
        raise ValueError(f"labels must be {n} whole numbers, got {y.dtype} of shape {y.shape}")
    if y.min() < 0:
        raise ValueError(f"labels must be 0 or more, got {y.min()}")
    counts = np.bincount(y)
    if not counts.all():
        raise ValueError(f"class {np.flatnonzero(counts == 0)[0]} has no samples: number 0..K-1")
    by_class = np.split(np.argsort(y, kind="stable"), np.cumsum(counts)[:-1])
    return {c: _as_slice(rows) for c, rows in enumerate(by_class)}


def _as_slice(rows: NDArray[np.intp]) -> Index:
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows


def size(rows: Index) -> int:
    """Return the number of rows of an index."""
    return rows.stop - rows.start if isinstance(rows, slice) else len(rows)


def where_not_finite(x: Rows, name: str) -> str:
    """Return the place of the first number that is not finite, in words."""
    for place, block in blocks(x, slice(0, len(x)), np.float64):
        bad = np.argwhere(~np.isfinite(block))
        if len(bad):
            i, j = int(bad[0][0]), int(bad[0][1])
            return f"{name} is {block[i, j]} in row {place.start + i}, column {j}"
    return f"{name} is too large for its precision: divide it by a constant"
