"""Hashing: from the coordinates of samples to the codes that are counted.

Each coordinate is cut into intervals, and a sample's code is the tuple of its intervals:

- by *width*, as the published program of EDGE does (Noshad et al., 2019, Section 3.2: a p-stable
  hash): ⌊(u_j + b_j) / ε_j⌋, with ε_j in proportion to a mean distance to the k-th nearest value;
- by *rank*: intervals of equal shares of the samples. Samples with few distinct values keep them.
  Ranks know neither the scale nor the order of the samples.

Coordinates come as ... x m x n: m coordinates of n samples, for any number of sets and classes.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import exp, floor, isqrt, log
from typing import Any

import numpy as np
import torch
from numpy.random import RandomState
from numpy.typing import NDArray

from semirobust.edge.counting import Codes, run_lengths
from semirobust.edge.projection import TINY, Real

DRAWN = 500  # values whose neighbours set the width


def widths(u: Real, d: int, seed: int) -> Real:
    """Return ε_j of every coordinate (... x m x n) before the smoothness enters.

    ε_j = 0.4 · 18 m / max(1 + ln d, 1) · e_j, where e_j is 1e-4 plus the mean distance, over 500
    values drawn with replacement, to the k-th nearest value (the point itself is the first).
    """
    m, n = u.shape[-2:]
    k = neighbours(n, m)
    drawn, times = drawn_values(n, seed)
    ordered, q = np.sort(u, axis=-1), u.take(drawn, axis=-1)
    # The k nearest are k consecutive values: the first window whose middle is not below q.
    middles = np.ascontiguousarray(ordered[..., :-k] + ordered[..., k:])
    first = torch.searchsorted(*map(torch.from_numpy, (middles, 2 * q))).numpy()
    low = np.take_along_axis(ordered, first, axis=-1)
    high = np.take_along_axis(ordered, first + (k - 1), axis=-1)
    far = np.maximum(q - low, high - q).astype(np.float64) @ times / DRAWN
    return width_of(far, m, d)


def width_of(far: Any, m: int, d: int) -> Any:
    """Return 0.4 · 18 m / max(1 + ln d, 1) · (far + 1e-4)."""
    return 0.4 * 18 * m / max(1 + log(d), 1) * (far + TINY)


@lru_cache(maxsize=16)
def drawn_values(n: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return which of n values are drawn, and how often: 500 times in all, with replacement."""
    drawn, times = np.unique(RandomState(seed).choice(n, DRAWN), return_counts=True)
    return drawn, times.astype(np.float64)


def neighbours(n: int, m: int) -> int:
    """Return k = ⌊0.43 N^(2/3 + 0.17 m/(m+1)) exp(-1 / max(10⁴, m⁴))⌋."""
    return floor(0.43 * n ** (2 / 3 + 0.17 * m / (m + 1)) * exp(-1 / max(1e4, m**4)))


def member_shifts(
    members: int, mx: int, my: int, seed: int, *, stochastic: bool
) -> Iterator[tuple[float, Real, Real]]:
    """Yield scale and shifts, in widths, of each member: linspace(1, 1.1, L), and l/L or 0.1 U."""
    stream = RandomState(seed) if stochastic else None
    for member, scale in enumerate(np.linspace(1, 1.1, members)):
        if stream is not None:
            yield float(scale), 0.1 * stream.uniform(size=mx), 0.1 * stream.uniform(size=my)
        else:
            yield float(scale), np.full(mx, member / members), np.full(my, member / members)


def width_codes(u: Real, epsilon: Real, shift: Real) -> Codes:
    """Return the codes ⌊(u + shift ε) / ε⌋ of coordinates ... x m x n."""
    epsilon = epsilon.astype(u.dtype)[..., None]
    return joint_codes(np.floor((u + shift.astype(u.dtype)[:, None] * epsilon) / epsilon))


def rank_codes(u: Real) -> Codes:
    """Return codes by rank of coordinates ... x m x n: about √n cells of equal shares.

    Where the samples take at most 2 √n distinct values, each of them is a cell. Otherwise each
    coordinate is cut in ⌊√n^(1/m)⌋ intervals by the mean rank, so that equal values stay together.
    """
    m, n = u.shape[-2:]
    value, middle = _ties(u)
    distinct = joint_codes(value)
    cut = max(2, floor(isqrt(n) ** (1 / m) + TINY))
    equal_shares = joint_codes(cut * middle // (2 * n))
    few = np.empty((*u.shape[:-2], 1), dtype=bool)
    for place in np.ndindex(u.shape[:-2]):
        few[place] = len(np.unique(distinct[place])) <= 2 * isqrt(n)
    return np.where(few, distinct, equal_shares)


def _ties(u: Real) -> tuple[Codes, Codes]:
    """Return the number of each sample's value, and twice its mean rank from 0, ... x m x n.

    Values nearer than the rounding errors of a projection count as equal.
    """
    n, lines = u.shape[-1], u.reshape(-1, u.shape[-1])
    near = np.abs(lines).max(axis=1, keepdims=True) * (1e-6 if u.dtype == np.float32 else 1e-11)
    order = np.argsort(lines, axis=-1)
    ordered = np.take_along_axis(lines, order, axis=-1)
    number = np.zeros(lines.shape, dtype=np.int64)
    np.cumsum(np.diff(ordered, axis=-1) > near, axis=-1, out=number[:, 1:])
    starts, lengths = run_lengths(number)
    middle = np.repeat(2 * (starts % n) + lengths, lengths).reshape(lines.shape)
    back = np.argsort(order, axis=-1)
    number, middle = (np.take_along_axis(values, back, axis=-1) for values in (number, middle))
    return number.reshape(u.shape), middle.reshape(u.shape)


def joint_codes(numbers: NDArray[Any]) -> Codes:
    """Return one code for each tuple of whole numbers, ... x m x n to ... x n; no two collide."""
    codes, span = np.zeros(numbers.shape[:-2] + numbers.shape[-1:], dtype=np.int64), 1
    for line in np.moveaxis(numbers - numbers.min(axis=-1, keepdims=True), -2, 0):
        reach, column = int(line.max()) + 1, line
        if span * reach >= 2**62:  # too far apart to multiply: number what occurs
            codes, column = _numbered(codes), _numbered(line)
            span = reach = line.size
        codes = codes * reach + column.astype(np.int64)
        span *= reach
    return codes


def _numbered(column: NDArray[Any]) -> Codes:
    numbers = np.empty(column.shape, dtype=np.int64)
    for place in np.ndindex(column.shape[:-1]):
        numbers[place] = np.unique(column[place], return_inverse=True)[1]
    return numbers
