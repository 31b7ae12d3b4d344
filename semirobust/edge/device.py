"""The same estimate where the activations are: projection, hashing, counting and null on tensors.

Functions have the names and the results of their NumPy twins in ``projection``, ``hashing`` and
``counting`` (the tests hold them to 1e-12). Directions, drawn values and shuffles come from the
same streams and go up once; of a layer nothing comes down, of a pair a few numbers a class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import floor, isqrt, log2, sqrt
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from semirobust.edge import hashing, projection
from semirobust.edge.counting import Floats, Formula
from semirobust.edge.projection import TINY, Directions, Index, Real

BAND = 2**25  # double precision numbers of a layer that are worked on at once
CHUNK = 2**24  # codes recounted at once by the null


def holds(x: Any) -> bool:
    """Return whether samples lie on an accelerator on which all of this runs."""
    return isinstance(x, Tensor) and x.is_cuda


def finite(values: Any) -> bool:
    """Return whether all numbers of an array or a tensor are finite."""
    return bool((torch if isinstance(values, Tensor) else np).isfinite(values).all())


def stack(parts: Sequence[Any]) -> Any:
    """Return arrays or tensors as one, along a new second axis."""
    return torch.stack(list(parts), 1) if isinstance(parts[0], Tensor) else np.stack(parts, 1)


def as_rows(x: Tensor, name: str) -> Tensor:
    """Return samples as an N x d tensor."""
    if x.is_complex() or x.dim() == 0 or x.numel() == 0:
        raise ValueError(f"{name} must hold real samples in rows, got {x.dtype} {tuple(x.shape)}")
    return x.detach().reshape(len(x), -1)


def along(
    x: Tensor, groups: Sequence[Index], directions: Sequence[Directions], **how: Any
) -> list[Tensor]:
    """Return classes of one size along each of some directions, classes x P x m x n, in double."""
    if any(one.m is not None and one.normals is None for one in directions):  # principal ones
        host = projection.as_rows(x, "x")
        return [
            torch.from_numpy(one).to(x.device, torch.float64)
            for one in projection.along(host, groups, directions, **how)
        ]
    n, d = projection.size(groups[0]), x.shape[1]
    classes = projection.neighbours(x, groups).reshape(len(groups), n, d)
    found = []
    for one, values in zip(
        directions, projection.together(directions, lambda g: _random(classes, g)), strict=True
    ):
        found.append(classes.double().mT.unsqueeze(1) if one.m is None else values)
    return found


def _random(classes: Tensor, normals: Real) -> Tensor:
    """Return classes (C x n x d) on random directions, a band of units at a time: read once."""
    sets, m, d = normals.shape
    count, n, _ = classes.shape
    thin = torch.from_numpy(normals).to(classes.device).reshape(sets * m, d)
    found = thin.new_zeros(count, n, len(thin))
    band = max(1, BAND // (count * n))
    for start in range(0, d, band):
        units = slice(start, start + band)
        part = classes[:, :, units].double()
        s = part.var(dim=1, correction=0).sqrt()
        s = torch.where(s < TINY, 1.0, s) * sqrt(d)
        found.baddbmm_(part, (thin[:, units] / s[:, None]).mT)
    return found.reshape(count, n, sets, m).permute(0, 2, 3, 1).contiguous()


def deviations_within(rows: Tensor, labels: NDArray[Any]) -> NDArray[np.float64]:
    """Return the deviations of the columns from the means of the classes."""
    y = torch.from_numpy(np.unique(labels, return_inverse=True)[1]).to(rows.device)
    x = rows.double()
    sums = x.new_zeros(int(y.max()) + 1, x.shape[1]).index_add_(0, y, x)
    centred = x - (sums / y.bincount()[:, None])[y]
    s: NDArray[np.float64] = centred.var(dim=0, correction=0).sqrt().cpu().numpy()
    return s


def widths(u: Tensor, d: int, seed: int) -> Tensor:
    """Return ε_j of every coordinate before the smoothness enters."""
    m, n = u.shape[-2:]
    k = hashing.neighbours(n, m)
    drawn, times = (torch.from_numpy(one).to(u.device) for one in hashing.drawn_values(n, seed))
    ordered, q = u.sort(dim=-1).values, u[..., drawn].contiguous()
    first = torch.searchsorted(ordered[..., :-k] + ordered[..., k:], 2 * q)
    low, high = ordered.gather(-1, first), ordered.gather(-1, first + (k - 1))
    far = torch.maximum(q - low, high - q).double() @ times / hashing.DRAWN
    width: Tensor = hashing.width_of(far, m, d)
    return width


def width_codes(u: Tensor, epsilon: Tensor, shift: Real) -> Tensor:
    """Return the codes ⌊(u + shift ε) / ε⌋ of coordinates ... x m x n."""
    epsilon, moved = epsilon.to(u)[..., None], torch.from_numpy(shift).to(u)[:, None]
    return joint_codes(torch.floor((u + moved * epsilon) / epsilon))


def rank_codes(u: Tensor) -> Tensor:
    """Return codes by rank of coordinates ... x m x n: about √n cells of equal shares."""
    m, n = u.shape[-2:]
    near = u.abs().amax(dim=-1, keepdim=True) * (1e-6 if u.dtype == torch.float32 else 1e-11)
    ordered, order = u.sort(dim=-1)
    number = _numbered(ordered.diff(dim=-1) > near)
    middle = torch.searchsorted(number, number) + torch.searchsorted(number, number, right=True)
    value, middle = (torch.empty_like(number).scatter_(-1, order, one) for one in (number, middle))
    distinct = joint_codes(value)
    cut = max(2, floor(isqrt(n) ** (1 / m) + TINY))
    few = ranked(distinct).amax(dim=-1, keepdim=True) < 2 * isqrt(n)
    return torch.where(few, distinct, joint_codes(cut * middle // (2 * n)))


def joint_codes(numbers: Tensor) -> Tensor:
    """Return one code for each tuple of whole numbers, ... x m x n to ... x n; no two collide."""
    numbers = numbers - numbers.amin(dim=-1, keepdim=True)
    reaches = numbers.movedim(-2, 0).flatten(1).amax(dim=1).tolist()
    codes = torch.zeros_like(numbers[..., 0, :], dtype=torch.int64)
    span = 1
    for line, largest in zip(numbers.unbind(dim=-2), reaches, strict=True):
        reach, column = int(largest) + 1, line
        if span * reach >= 2**62:
            codes, column = ranked(codes), ranked(line)
            span = reach = line.numel()
        codes = codes * reach + column.long()
        span *= reach
    return codes


def _numbered(new: Tensor) -> Tensor:
    """Return the number of each value, from 0, where ``new`` says which differ from the last."""
    return torch.nn.functional.pad(new.long(), (1, 0)).cumsum(dim=-1)


def ranked(values: Tensor) -> Tensor:
    """Return the number of each value among the distinct ones of its row, in ascending order."""
    ordered, order = values.sort(dim=-1)
    return torch.empty_like(order).scatter_(-1, order, _numbered(ordered.diff(dim=-1) != 0))


@dataclass(frozen=True)
class Cells:
    """The occupied cells of each row: the rank of every sample's cell, and the cells' counts."""

    ranks: Tensor  # B x n
    counts: Tensor  # B x K


def cells(codes: Tensor) -> Cells:
    """Return the occupied cells of each row of codes; all axes but the last are rows."""
    ranks = ranked(codes.reshape(-1, codes.shape[-1]))
    counts = ranks.new_zeros(len(ranks), int(ranks.max()) + 1)
    return Cells(ranks, counts.scatter_add_(1, ranks, torch.ones_like(ranks)))


@dataclass(frozen=True)
class DependenceGraph:
    """X's and Y's cells of the same samples, with what each joint cell's log-ratio needs."""

    x: Cells
    y: Cells
    formula: Formula

    def information(self) -> tuple[Floats, Floats]:
        """Return Î of each row in bits, and the share of its samples alone in their joint cell."""
        return self._sums(self._left() + self.y.ranks)

    def entropies(self) -> tuple[Floats, Floats]:
        """Return the entropies of X's and of Y's cells, row by row."""
        x, y = (self._entropy(side.counts) for side in (self.x, self.y))
        return x, y

    def constant(self) -> Any:
        """Return whether a row of X or of Y lies in a single cell."""
        n = self.x.ranks.shape[-1]
        return ((self.x.counts[:, 0] == n) | (self.y.counts[:, 0] == n)).cpu().numpy()

    def null(self, *, sets: int, permutations: int, seed: tuple[int, int]) -> Floats:
        """Return Î after shuffling Y's samples against X's, permutations x B."""
        rows, n = self.x.ranks.shape
        if permutations == 0:
            return np.empty((0, rows))
        x, y = _in_own_order(self.x, sets), _in_own_order(self.y, sets)
        graph = DependenceGraph(*((y, x) if _larger(x.ranks, y.ranks) else (x, y)), self.formula)
        left, right = graph._left(), graph.y.ranks.view(1, sets, -1, n)
        index = shuffles(seed, rows // sets, n, permutations, str(left.device))
        found = []
        for some in torch.split(index, max(1, CHUNK // left.numel())):
            where = some.long()[:, None].expand(-1, sets, -1, -1)
            joint = left + right.expand(len(some), -1, -1, -1).gather(-1, where).flatten(1, 2)
            found.append(graph._sums(joint.reshape(-1, n))[0].reshape(len(some), -1))
        return np.concatenate(found)

    def _left(self) -> Tensor:
        return self.x.ranks * self.y.counts.shape[-1]

    def _table(self) -> Tensor:
        return torch.from_numpy(self.formula.table).to(self.x.ranks.device)

    def _entropy(self, counts: Tensor) -> Floats:
        sums = (counts * self._table()[counts]).sum(dim=-1)
        once, twice = ((counts == times).sum(dim=-1) for times in (1, 2))
        return self._bits(sums, once, twice)

    def _bits(self, sums: Tensor, once: Tensor, twice: Tensor) -> Floats:
        counts = torch.stack([sums, once.double(), twice.double()])
        return self.formula.entropy(*counts.cpu().numpy())

    def _sums(self, joint: Tensor) -> tuple[Floats, Floats]:
        """Return Î and the share of single samples of rows of joint codes, B or a multiple of B."""
        rows, n = joint.shape
        x, y, g = self.x.counts, self.y.counts, self._table()
        if x.shape[-1] * y.shape[-1] < 2**31:
            joint = joint.int()  # half the work of the sort
        joint = joint.sort(dim=-1).values
        new = torch.nn.functional.pad(joint.diff(dim=-1) != 0, (1, 0), value=True)
        starts = new.view(-1).nonzero()[:, 0]
        lengths = starts.diff(append=starts.new_tensor([rows * n]))
        row, terms = starts // n, g[lengths]

        def per_row(weights: Tensor) -> Tensor:
            return g.new_zeros(rows).index_add_(0, row, weights.double())

        once = per_row(lengths == 1)
        if self.formula.clips:
            i = joint.view(-1)[starts].long()
            own, k = row % len(x), y.shape[-1]
            terms = terms + (log2(n) - g[x[own, i // k]] - g[y[own, i % k]])
            sums = per_row(lengths * terms.clamp(self.formula.lower, self.formula.upper))
            values, alone = (torch.stack([sums, once]) / n).cpu().numpy()
            return values, alone
        both = self._bits(per_row(lengths * terms), once, per_row(lengths == 2))
        marginals = np.add(*self.entropies())
        return np.tile(marginals, rows // len(x)) - both, (once / n).cpu().numpy()


def _in_own_order(cells: Cells, sets: int) -> Cells:
    """Return the cells with each class's samples sorted by their ranks in all codings."""
    ranks = cells.ranks.view(sets, -1, cells.ranks.shape[-1])
    order = ranks[-1].argsort(dim=-1, stable=True)
    for key in reversed(ranks[:-1].unbind()):
        order = order.gather(-1, key.gather(-1, order).argsort(dim=-1, stable=True))
    ordered = ranks.gather(-1, order.expand_as(ranks))
    return Cells(ordered.reshape(cells.ranks.shape), cells.counts)


def _larger(x: Tensor, y: Tensor) -> bool:
    """Return whether x's bytes come after y's, as NumPy's ``tobytes`` orders them."""
    place = (x != y).view(-1).to(torch.uint8).argmax()
    first, second = (int(side.view(-1)[place]).to_bytes(8, "little") for side in (x, y))
    return first > second


@lru_cache(maxsize=2)
def shuffles(seed: tuple[int, int], classes: int, n: int, permutations: int, place: str) -> Tensor:
    """Return the shuffles that the NumPy twin draws, permutations x classes x n, on a device."""
    index = np.broadcast_to(np.arange(n, dtype=np.int32), (permutations, classes, n))
    return torch.from_numpy(np.random.default_rng(seed).permuted(index, axis=-1)).to(place)
