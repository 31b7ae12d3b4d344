"""Square: random search with square patches, without gradients (Andriushchenko et al., 2020).

A query is accepted where it lowers the margin logit_y - max of the others. The share of the image
that a patch covers is halved at the paper's fractions of the number of queries. Queries are forward
passes, so gradients that vanish or mislead do not stop it.

A long search accepts few queries. So several are made in one batch, all from the current points;
after the first that is accepted, for whichever sample, the rest of the batch is made again. A patch
that changes nothing costs no query. The result is that of one query after another.

Departure: every sample draws patches of its own, where the authors' program gives one patch to the
whole batch; only then is a flag independent of the batch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from semirobust.attacks.ball import (
    FULL_BATCH,
    Norm,
    Outcome,
    SearchAttack,
    check_radius,
    check_steps,
    norms,
    per_sample,
    project,
)
from semirobust.attacks.noise import Noise
from semirobust.attacks.objectives import margin
from semirobust.types import Classifier, Images, Labels

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of 10,000 queries
TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class Square(SearchAttack):
    """The square attack; the first patches cover ``share`` of the image."""

    epsilon: float
    norm: Norm = "inf"
    queries: int = 5000
    share: float = 0.8

    def __post_init__(self) -> None:
        check_radius(self.epsilon, self.norm)
        check_steps(queries=self.queries)
        if not 0 < self.share <= 1:
            raise ValueError(f"share must lie in (0, 1], got {self.share}")

    @torch.no_grad()
    def search(self, network: Classifier, x: Images, y: Labels, noise: Noise) -> Outcome:
        """Return the points of least margin seen, and which of them fool the network."""
        start, proposed = (
            (stripes, with_random_square) if self.norm == "inf" else (tiles, with_moved_square)
        )
        result, query, ahead = start(x, self.epsilon, noise), 1, 1
        least = margin(network(result), y)
        while query < self.queries:
            rows = (least > 0).nonzero()[:, 0]
            if not len(rows):
                break
            current, clean, of_rows = result[rows], x[rows], noise[rows]
            numbers = range(query, min(query + ahead, self.queries))
            points = [
                proposed(current, clean, self.epsilon, self.side(number, x), of_rows, number)
                for number in numbers
            ]
            value = margins(network, torch.stack(points), current, y[rows])
            lower = value < least[rows]
            gained = lower.any(dim=1).tolist()
            last = gained.index(True) if True in gained else len(numbers) - 1
            kept = lower[last]
            result[rows[kept]], least[rows[kept]] = points[last][kept], value[last][kept]
            query += last + 1
            ahead = 1 if gained[last] else min(2 * ahead, max(1, FULL_BATCH // len(rows)))
        return result, ~(least > 0)

    def side(self, query: int, x: Images) -> int:
        """Return the side of the patch at this query, at least one pixel."""
        halvings = sum(query * 10_000 // self.queries > bound for bound in HALVINGS)
        side = round(math.sqrt(self.share / 2**halvings * x.shape[2] * x.shape[3]))
        return min(max(side, 1), min(x.shape[2:]) - 1)


def margins(network: Classifier, points: Images, current: Images, y: Labels) -> Tensor:
    """Return the margins of Q x N points, infinite where a point is the current one."""
    new = (points != current).flatten(2).any(dim=2)
    value = torch.full(new.shape, torch.inf, dtype=points.dtype, device=points.device)
    if new.any():
        value[new] = margin(network(points[new]), y.expand(len(points), -1)[new])
    return value


def random_signs(noise: Noise, *shape: int) -> Tensor:
    return 2.0 * noise.below(2, *shape) - 1


def stripes(x: Images, epsilon: float, noise: Noise) -> Images:
    """Return x with vertical stripes of height epsilon or -epsilon, channel by channel."""
    sign = random_signs(noise, x.shape[1], 1, x.shape[3]).to(x.dtype)
    return project(x + epsilon * sign, x, epsilon)


def with_random_square(
    point: Images, x: Images, epsilon: float, side: int, noise: Noise, query: int
) -> Images:
    """Return the points with one square set to an end of the ball, by one sign a channel."""
    height, width = x.shape[2:]
    place = noise.uniform(2 + x.shape[1], draw=query)
    top, left = ((place[:, i] * (n - side + 1)).long() for i, n in enumerate((height, width)))
    sign = (2.0 * (place[:, 2:] < 0.5) - 1).to(x.dtype)
    inside = window(top, height, side)[:, None, :, None] & window(left, width, side)[:, None, None]
    return torch.where(inside, project(x + epsilon * sign[:, :, None, None], x, epsilon), point)


def window(first: Tensor, length: int, side: int) -> Tensor:
    """Return which of the positions 0..length-1 lie in first..first+side-1, N x length."""
    offset = torch.arange(length, device=first.device) - first[:, None]
    return (offset >= 0) & (offset < side)


def tiles(x: Images, epsilon: float, noise: Noise) -> Images:
    """Return x with five by five tiles of ``bump_pair``, signs at random, of norm epsilon."""
    side = max(min(x.shape[2:]) // 5, 1)
    across = [min(5, length // side) for length in x.shape[2:]]
    sign = random_signs(noise, x.shape[1], *across)
    delta = torch.kron(sign, bump_pair(side, x.device))
    low, right = (length - delta.shape[i] for i, length in enumerate(x.shape[2:], start=2))
    delta = functional.pad(delta, (right // 2, right - right // 2, low // 2, low - low // 2))
    return scaled(x, delta.to(x.dtype), epsilon)


def with_moved_square(
    point: Images, x: Images, epsilon: float, side: int, noise: Noise, query: int
) -> Images:
    """Return the points with the budget of one square moved to another, as bumps: Alg. 3."""
    side = min(max(side + 1 - side % 2, 3), *x.shape[2:])
    delta, channels = point - x, x.shape[1]
    place = noise.uniform(5 + channels, draw=query)
    corners = [(place[:, i] * (x.shape[2 + i % 2] - side + 1)).long() for i in range(4)]
    new, old = (square_index(corner, side, channels) for corner in (corners[:2], corners[2:]))
    sign = (2.0 * (place[:, 5:] < 0.5) - 1).to(x.dtype)[:, :, None, None]
    shape = bump_pair(side, x.device).to(x.dtype)
    shape = torch.where(place[:, 4, None, None, None] < 0.5, shape, shape.T) * sign
    unused = (epsilon**2 - norms(delta) ** 2).clamp_min(0) / channels
    rest = delta.clone()
    rest[old], rest[new] = 0, 0
    budget = (delta**2 - rest**2).sum(dim=(2, 3), keepdim=True) + per_sample(unused, x)
    window = unit_channels(shape + unit_channels(delta[new]))
    rest[new] = window * budget.clamp_min(0).sqrt()
    return scaled(x, rest, epsilon)


def square_index(corner: Sequence[Tensor], side: int, channels: int) -> tuple[Tensor, ...]:
    """Return the index of one square a sample, N x C x side x side."""
    sample, channel, reach = (
        torch.arange(n, device=corner[0].device) for n in (len(corner[0]), channels, side)
    )
    top, left = (first[:, None] + reach for first in corner)
    return (
        sample[:, None, None, None],
        channel[:, None, None],
        top[:, None, :, None],
        left[:, None, None],
    )


def unit_channels(patch: Tensor) -> Tensor:
    return patch / patch.flatten(2).norm(dim=2)[:, :, None, None].clamp_min(TINY)


def scaled(x: Images, delta: Tensor, epsilon: float) -> Images:
    """Return x + delta with delta stretched to norm epsilon, brought into the box."""
    return (x + epsilon * delta / per_sample(norms(delta).clamp_min(TINY), x)).clamp(0, 1)


def bump_pair(side: int, device: torch.device) -> Tensor:
    """Return the paper's eta: two bumps of opposite sign, one above the other, of norm 1."""
    top = side // 2
    both = torch.cat([bump(top, side), -bump(side - top, side)]).to(device)
    return both / both.norm()


def bump(height: int, width: int) -> Tensor:
    """Return sum of 1 / j^2 for j > d, at distance d from the middle, up to the farthest ring.

    Example:
        >>> bump(3, 3)
        tensor([[0.2500, 0.2500, 0.2500],
                [0.2500, 1.2500, 0.2500],
                [0.2500, 0.2500, 0.2500]])
    """
    rows, columns = ((torch.arange(n) - n // 2).abs() for n in (height, width))
    farthest = max(height, width) // 2 + 1
    tails = (1 / torch.arange(1, farthest + 1) ** 2).flip(0).cumsum(0).flip(0)
    return tails[torch.maximum(rows[:, None], columns)]
