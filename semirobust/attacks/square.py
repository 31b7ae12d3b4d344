"""Square: random search with square patches, without gradients (Andriushchenko et al., 2020).

A query is accepted where it lowers the margin logit_y - max of the others. The share of the image
that a patch covers is halved at the paper's fractions of the number of queries. Queries are forward
passes, so gradients that vanish or mislead do not stop it.

A long search accepts few queries. So every sample makes several in one batch, all from its current
point, twice as many after none was accepted; what follows the first that is accepted is made again.
A patch that changes nothing costs no query. The result is that of one query after another.

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
from semirobust.attacks.width import ENOUGH, widest
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
        result = start(x, self.epsilon, noise)
        least = margins(network, result, y)
        side = torch.tensor([self.side(query, x) for query in range(self.queries)]).to(x.device)
        query, ahead = torch.ones_like(y), torch.ones_like(y)
        width = widest(network, x, most=ENOUGH)
        while len(rows := ((least > 0) & (query < self.queries)).nonzero()[:, 0]):
            most = torch.minimum(ahead[rows], self.queries - query[rows])
            reach = most.clamp_max(max(1, width // len(rows)))
            owner = torch.arange(len(rows), device=x.device).repeat_interleave(reach)
            first = reach.cumsum(0) - reach  # place of a sample's first query in the batch
            offset = torch.arange(len(owner), device=x.device) - first[owner]
            who, number = rows[owner], query[rows][owner] + offset
            current = result[who]
            points = proposed(current, x[who], self.epsilon, side[number], noise[who], number)
            value = torch.full_like(least[who], torch.inf)
            new = (points != current).flatten(1).any(dim=1).nonzero()[:, 0]
            if len(new):
                value[new] = margins(network, points[new], y[who[new]])
            place = torch.where(value < least[who], offset, self.queries)
            taken = torch.full_like(reach, self.queries).scatter_reduce_(0, owner, place, "amin")
            gained = taken < self.queries
            at = (first + taken)[gained]
            result[rows[gained]], least[rows[gained]] = points[at], value[at]
            query[rows] += torch.where(gained, taken + 1, reach)
            ahead[rows] = torch.where(gained, (reach // 2).clamp_min(1), 2 * reach)
        return result, ~(least > 0)

    def side(self, query: int, x: Images) -> int:
        """Return the side of the patch at this query, at least one pixel."""
        halvings = sum(query * 10_000 // self.queries > bound for bound in HALVINGS)
        side = round(math.sqrt(self.share / 2**halvings * x.shape[2] * x.shape[3]))
        return min(max(side, 1), min(x.shape[2:]) - 1)


def margins(network: Classifier, points: Images, y: Labels) -> Tensor:
    """Return the margins of points, least of all where the network answers with no number."""
    value = margin(network(points), y)
    return torch.where(value.isnan(), -torch.inf, value)


def random_signs(noise: Noise, *shape: int) -> Tensor:
    return 2.0 * noise.below(2, *shape) - 1


def stripes(x: Images, epsilon: float, noise: Noise) -> Images:
    """Return x with vertical stripes of height epsilon or -epsilon, channel by channel."""
    sign = random_signs(noise, x.shape[1], 1, x.shape[3]).to(x.dtype)
    return project(x + epsilon * sign, x, epsilon)


def with_random_square(
    point: Images, x: Images, epsilon: float, side: Tensor, noise: Noise, query: Tensor
) -> Images:
    """Return the points with one square set to an end of the ball, by one sign a channel."""
    height, width = x.shape[2:]
    place = noise.uniform(2 + x.shape[1], draw=query)
    top, left = ((place[:, i] * (n - side + 1)).long() for i, n in enumerate((height, width)))
    sign = (2.0 * (place[:, 2:] < 0.5) - 1).to(x.dtype)
    inside = window(top, height, side)[:, None, :, None] & window(left, width, side)[:, None, None]
    return torch.where(inside, project(x + epsilon * sign[:, :, None, None], x, epsilon), point)


def window(first: Tensor, length: int, side: Tensor) -> Tensor:
    """Return which of the positions 0..length-1 lie in first..first+side-1, N x length."""
    offset = torch.arange(length, device=first.device) - first[:, None]
    return (offset >= 0) & (offset < side[:, None])


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
    point: Images, x: Images, epsilon: float, side: Tensor, noise: Noise, query: Tensor
) -> Images:
    """Return the points with the budget of one square moved to another, as bumps: Alg. 3."""
    result = torch.empty_like(point)
    for one in torch.unique(side).tolist():  # squares of one size are cut out together
        rows = (side == one).nonzero()[:, 0]
        result[rows] = moved(point[rows], x[rows], epsilon, one, noise[rows], query[rows])
    return result


def moved(
    point: Images, x: Images, epsilon: float, side: int, noise: Noise, query: Tensor
) -> Images:
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
