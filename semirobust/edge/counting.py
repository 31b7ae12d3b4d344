"""Counting cells: information, entropies and the permutation null of two coded samples.

Codes come as B rows of n samples; each row is an estimate of its own. With N_i, M_j and N_ij the
counts of the cells of X, of Y and of both, the plug-in estimate is

    Î = Σ_ij (N_ij / N) log₂ ω_ij,   ω_ij = N N_ij / (N_i M_j)    (Noshad et al., 2019, Eqs. 6, 9)

with the log-ratios clipped where limits are given. It is too large by about the number of joint
cells over 2 N ln 2. The corrected one is Ĥ(X) + Ĥ(Y) - Ĥ(X, Y) with the entropies of Chao, Wang
and Jost (2013), which add to Σ_i (N_i / N) (ψ(N) - ψ(N_i)) what cells not yet seen must hold, from
the numbers of cells seen once and twice.
"""

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import digamma, hyperu

from semirobust.progress import watched

Codes = NDArray[np.int64]  # B x n
Floats = NDArray[np.float64]

CHUNK = 2**20  # codes recounted at once by the null


@dataclass(frozen=True)
class Cells:
    """The occupied cells of each row: the rank of every sample's cell, and the cells' counts."""

    ranks: Codes  # B x n, the cells of a row numbered in ascending order of their codes
    counts: Codes  # B x K, zero beyond the last cell of a row


@dataclass(frozen=True)
class Formula:
    """How counts of N samples become bits: g(count), the limits of a log-ratio, the correction."""

    table: Floats  # g over 0..N: log₂, or ψ / ln 2 if corrected
    corrected: bool = False
    lower: float | None = None
    upper: float | None = None

    @classmethod
    def plug_in(
        cls, n: int, *, lower: float | None = None, upper: float | None = None
    ) -> "Formula":
        """Return g = log₂, with limits of the log-ratios."""
        table = np.log2(np.maximum(np.arange(n + 1), 1))
        return cls(table, lower=lower, upper=upper)

    @classmethod
    def chao_wang_jost(cls, n: int) -> "Formula":
        """Return g = ψ / ln 2 with the correction for cells not seen."""
        return cls(np.concatenate([[0.0], digamma(np.arange(1, n + 1)) / log(2)]), corrected=True)

    @property
    def clips(self) -> bool:
        """Whether any limit is set; without one the sum splits into three entropies."""
        return self.lower is not None or self.upper is not None

    def entropy(self, sums: Floats, once: Floats, twice: Floats) -> Floats:
        """Return Ĥ in bits from Σ N_i g(N_i) and the numbers of cells seen once and twice."""
        n = len(self.table) - 1
        entropy = self.table[n] - sums / n
        if not self.corrected:
            return entropy
        numbers, place = np.unique(once * (n + 1) + twice, return_inverse=True)  # few among many
        return entropy + unseen_entropy(n, *np.divmod(numbers, n + 1))[place]


def unseen_entropy(n: int, once: Floats, twice: Floats) -> Floats:
    """Return the entropy of cells not seen among n samples, in bits.

    (f1 / n) (1 - A)^(1-n) [-ln A - Σ_{r<n} (1 - A)^r / r] with A = 2 f2 / ((n - 1) f1 + 2 f2), or
    2 / ((n - 1)(f1 - 1) + 2) where f2 = 0: Chao, Wang and Jost (2013), Eqs. 7 and 8. The bracket
    cancels; it equals Σ_{k>=0} (1 - A)^(n+k) / (n + k), whose sum is written as an integral (an
    exponential integral) with the first terms of Euler and Maclaurin: right to 1e-5 of itself.
    """
    doubled = np.where(twice > 0, 2 * twice, 2.0)
    missed = doubled / ((n - 1) * np.where(twice > 0, once, np.maximum(once - 1, 0)) + doubled)
    A = np.minimum(missed, 1 - 1e-12)
    a = -np.log1p(-A)
    ends = 1 / (2 * n) + (a / n + 1 / n**2) / 12
    ends -= (a**3 / n + 3 * a**2 / n**2 + 6 * a / n**3 + 6 / n**4) / 720
    return once / n * (1 - A) * (hyperu(1, 1, a * n) + ends) / log(2)


def run_lengths(rows: NDArray[np.integer]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where each run of equal values starts in the flattened sorted rows, and its length."""
    new = np.empty(rows.shape, dtype=bool)
    new[..., 0] = True
    np.not_equal(rows[..., 1:], rows[..., :-1], out=new[..., 1:])
    starts = np.flatnonzero(new)
    lengths = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=lengths[:-1])
    lengths[-1] = rows.size - starts[-1]
    return starts, lengths


def cells(codes: Codes) -> Cells:
    """Return the occupied cells of each row of codes; all axes but the last are rows."""
    n = codes.shape[-1]
    codes = codes.reshape(-1, n)
    order = np.argsort(codes, axis=-1)
    starts, lengths = run_lengths(np.take_along_axis(codes, order, axis=-1))
    row = starts // n
    first = np.searchsorted(row, np.arange(len(codes)))  # each row's first run
    rank = np.arange(len(starts)) - first[row]
    ranks = np.empty_like(codes)
    np.put_along_axis(ranks, order, np.repeat(rank, lengths).reshape(codes.shape), axis=-1)
    counts = np.zeros((len(codes), int(rank.max()) + 1), dtype=np.int64)
    counts[row, rank] = lengths
    return Cells(ranks, counts)


def entropy(cells: Cells, formula: Formula) -> Floats:
    """Return the entropy of each row's cells in bits."""
    counts = cells.counts
    sums: Floats = (counts * formula.table[counts]).sum(axis=-1)
    once, twice = ((counts == times).sum(axis=-1, dtype=np.float64) for times in (1, 2))
    return formula.entropy(sums, once, twice)


@dataclass(frozen=True)
class DependenceGraph:
    """X's and Y's cells of the same samples, with what each joint cell's log-ratio needs."""

    x: Cells
    y: Cells
    formula: Formula

    def information(self) -> tuple[Floats, Floats]:
        """Return Î of each row in bits, and the share of its samples alone in their joint cell."""
        return self._sums(self._left_codes() | self.y.ranks.astype(self._dtype()))

    def constant(self) -> NDArray[np.bool_]:
        """Return whether a row of X or of Y lies in a single cell."""
        n = self.x.ranks.shape[-1]
        return (self.x.counts[:, 0] == n) | (self.y.counts[:, 0] == n)

    def entropies(self) -> tuple[Floats, Floats]:
        """Return the entropies of X's and of Y's cells, row by row."""
        return entropy(self.x, self.formula), entropy(self.y, self.formula)

    def null(self, *, sets: int, permutations: int, seed: tuple[int, int]) -> Floats:
        """Return Î after shuffling Y's samples against X's, permutations x B.

        Rows come as ``sets`` codings of the same classes, and all codings of a class share a
        shuffle. Shuffling leaves the counts of X and Y alone, so only joint cells are recounted.
        Both sides are first put into an order of their own, and the side to be shuffled is chosen
        by its content: neither the order of the samples nor which side is called X matters.
        """
        if permutations == 0:
            return np.empty((0, len(self.x.ranks)))
        x, y = _in_own_order(self.x, sets), _in_own_order(self.y, sets)
        graph = DependenceGraph(
            *((y, x) if x.ranks.tobytes() > y.ranks.tobytes() else (x, y)), self.formula
        )
        left, right = graph._left_codes(), graph.y.ranks.astype(graph._dtype())
        values, generator = np.empty((permutations, len(left))), np.random.default_rng(seed)
        step = max(1, CHUNK // left.size)
        for start in watched(range(0, permutations, step), "null"):
            count = min(step, permutations - start)
            joint = left | _shuffled(right, sets, count, generator)
            estimates, _ = graph._sums(joint.reshape(-1, left.shape[-1]))
            values[start : start + count] = estimates.reshape(count, -1)
        return values

    def _bits(self) -> int:
        return int(self.y.counts.shape[-1] - 1).bit_length()

    def _dtype(self) -> type[np.unsignedinteger]:
        cells_of_x = self.x.counts.shape[-1]
        return np.uint32 if cells_of_x << self._bits() <= 2**32 else np.uint64

    def _left_codes(self) -> NDArray[np.unsignedinteger]:
        return (self.x.ranks << self._bits()).astype(self._dtype())

    def _sums(self, joint: NDArray[np.unsignedinteger]) -> tuple[Floats, Floats]:
        """Return Î and the share of single samples of rows of joint codes, B or a multiple of B."""
        rows, n = joint.shape
        joint = np.sort(joint, axis=-1)
        starts, lengths = run_lengths(joint)
        row = starts // n
        terms = self.formula.table[lengths]
        once: Floats = np.bincount(row, weights=lengths == 1, minlength=rows).astype(np.float64)
        if self.formula.clips:
            terms += self._expected(joint.ravel()[starts], row % len(self.x.ranks))
            np.clip(terms, self.formula.lower, self.formula.upper, out=terms)
            return np.bincount(row, weights=lengths * terms, minlength=rows) / n, once / n
        sums: Floats = np.bincount(row, weights=lengths * terms, minlength=rows).astype(np.float64)
        twice: Floats = np.bincount(row, weights=lengths == 2, minlength=rows).astype(np.float64)
        marginals: Floats = np.add(*self.entropies())
        both = self.formula.entropy(sums, once, twice)
        return np.tile(marginals, rows // len(marginals)) - both, once / n

    def _expected(self, joint: NDArray[np.unsignedinteger], row: NDArray[np.intp]) -> Floats:
        """Return log₂ N - g(N_i) - g(M_j) of each joint cell."""
        g, n, bits = self.formula.table, self.x.ranks.shape[-1], self._bits()
        i = row * self.x.counts.shape[-1] + (joint >> bits).astype(np.intp)
        j = row * self.y.counts.shape[-1] + (joint & ((1 << bits) - 1)).astype(np.intp)
        return (np.log2(n) - g[self.x.counts]).ravel()[i] - g[self.y.counts].ravel()[j]


def _in_own_order(cells: Cells, sets: int) -> Cells:
    """Return the cells with each class's samples sorted by their ranks in all codings."""
    ranks = cells.ranks.reshape(sets, -1, cells.ranks.shape[-1])
    order = np.lexsort(ranks[::-1], axis=-1)
    ordered = np.take_along_axis(ranks, order[None], axis=-1)
    return Cells(ordered.reshape(cells.ranks.shape), cells.counts)


def _shuffled(
    ranks: NDArray[np.unsignedinteger], sets: int, count: int, generator: Generator
) -> NDArray[np.unsignedinteger]:
    """Return ``count`` shuffles of the samples of every class, count x B x n."""
    classes, n = len(ranks) // sets, ranks.shape[-1]
    if sets == 1:
        return generator.permuted(np.broadcast_to(ranks, (count, *ranks.shape)), axis=-1)
    index = np.broadcast_to(np.arange(n), (count, 1, classes, n))
    index = generator.permuted(index, axis=-1)
    apart = ranks.reshape(1, sets, classes, n)
    return np.take_along_axis(apart, index, axis=-1).reshape(count, -1, n)
