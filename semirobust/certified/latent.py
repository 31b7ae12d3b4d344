"""Latent boxes: where h_j can go, and what that says about every readout at once.

If the boxes of differently labelled samples are disjoint, the readout that answers with the label
of the box it is in is right on all of them under every perturbation: a certificate without a probe.
Where boxes overlap, samples are left out until none do (a vertex cover of the overlap graph); the
share that is left bounds from below what the best readout of these samples reaches, and the largest
class is a trivial share that any layer reaches.

From the other side (Bhagoji et al. 2021): where perturbations of two differently labelled samples
give the same h_j, every readout is wrong on one of them. A search finds pairs that come within a
tolerance; then no readout can be right on both with a margin unless it is that steep.

Both are statements on the samples at hand, not on the distribution they come from.
"""

import torch
from torch import Generator, Tensor, nn

from semirobust.attacks.ball import evaluating, project
from semirobust.certified.bounds import Bound, ball, image
from semirobust.certified.certificates import BATCH
from semirobust.certified.operators import Box
from semirobust.certified.rounding import outward_ball
from semirobust.layers import compose
from semirobust.types import Flags, Images, Labels


@torch.no_grad()
def latent_boxes(
    network: nn.Sequential,
    j: int,
    x: Images,
    epsilon: float,
    bound: Bound = "ibp",
    *,
    outward: bool = True,
) -> Box:
    """Return a box around every h_j(x + delta) of each sample; j = 0 gives the balls.

    It holds what float32 computes (``rounding``); for training it need not be ``outward``.
    """
    around = outward_ball if outward else ball
    if j == 0:
        return around(x, epsilon)
    f_a = compose(network, 1, j)
    with evaluating(f_a):
        boxes = [
            image(f_a, around(part, epsilon), bound, outward=outward)
            for part in torch.split(x, BATCH)
        ]
    return Box(*map(torch.cat, zip(*boxes, strict=True)))


def overlaps(boxes: Box, y: Labels) -> Tensor:
    """Return the N x N graph of differently labelled samples whose boxes overlap."""
    lower, upper = boxes.lower.flatten(1), boxes.upper.flatten(1)
    touching = torch.stack(
        [
            (lower <= top).all(dim=1) & (upper >= bottom).all(dim=1)
            for bottom, top in zip(lower, upper, strict=True)
        ]
    )
    return touching & (y[:, None] != y[None])


def separated(graph: Tensor) -> Flags:
    """Return samples no two of which are joined: the busiest leave, then those that can return.

    Any such set is a certificate; the largest one is not searched for.
    """
    graph = graph.cpu()  # sample by sample
    kept = torch.ones(len(graph), dtype=torch.bool)
    degree = graph.sum(dim=1)
    left = []
    while int(degree.max()) > 0:
        busiest = int(degree.argmax())
        kept[busiest] = False
        left.append(busiest)
        degree = degree - graph[busiest].to(degree.dtype)
        degree[busiest] = 0
        degree[~kept] = 0
    for sample in reversed(left):
        kept[sample] = not bool((graph[sample] & kept).any())
    return kept


def probe_free(graph: Tensor, y: Labels) -> float:
    """Return the share of samples that some readout is right on under every perturbation."""
    largest = int(torch.bincount(y).max())
    return max(int(separated(graph).sum()), largest) / len(y)


def matched(graph: Tensor) -> int:
    """Return the size of a set of disjoint pairs of the graph; a readout loses one of each."""
    graph = graph.cpu()
    free = torch.ones(len(graph), dtype=torch.bool)
    pairs = 0
    for sample in graph.sum(dim=1).argsort().tolist():
        partners = graph[sample] & free
        if free[sample] and bool(partners.any()):
            free[[sample, int(partners.int().argmax())]] = False
            pairs += 1
    return pairs


def collisions(
    network: nn.Sequential,
    j: int,
    x: Images,
    y: Labels,
    epsilon: float,
    *,
    generator: Generator,
    steps: int = 60,
    pairs: int = 2000,
    within: float = 0.01,
) -> Tensor:
    """Return the graph of samples for which perturbations with nearly the same h_j were found.

    Of all differently labelled pairs the nearest in h_j are searched, by projected signed steps of
    both perturbed samples towards each other. ``within`` is a share of the median distance of
    differently labelled samples. The network is in evaluation mode.
    """
    f_a = compose(network, 1, j)
    with torch.no_grad():
        h = f_a(x).flatten(1)
        apart = torch.cdist(h, h)
    other = torch.triu(y[:, None] != y[None], diagonal=1)
    typical = apart[other].median()
    nearest = (
        torch.where(other, apart, torch.inf).flatten().argsort()[: min(pairs, int(other.sum()))]
    )
    first, second = nearest // len(x), nearest % len(x)
    graph = torch.zeros_like(other)
    for a, b in zip(torch.split(first, 250), torch.split(second, 250), strict=True):
        distance = least_distance(f_a, x[a], x[b], epsilon, generator, steps)
        close = distance <= within * typical
        graph[a[close], b[close]] = graph[b[close], a[close]] = True
    return graph


def least_distance(
    f_a: nn.Module, x: Images, other: Images, epsilon: float, generator: Generator, steps: int
) -> Tensor:
    """Return the least distance of f_a(x + delta) and f_a(other + delta') that descent finds."""
    draws = [torch.rand(x.shape, generator=generator).to(x) for _ in range(2)]
    shift = [epsilon * (2 * draw - 1) for draw in draws]
    ends = [project(x + shift[0], x, epsilon), project(other + shift[1], other, epsilon)]
    least = torch.full((len(x),), torch.inf).to(x)
    for step in range(steps):
        with torch.enable_grad():
            here = [end.detach().requires_grad_() for end in ends]
            apart = (f_a(here[0]) - f_a(here[1])).flatten(1).norm(dim=1)
            slopes = torch.autograd.grad(apart.sum(), here)
        least = torch.minimum(least, apart.detach())
        length = epsilon * 0.5 * (1 - step / steps)
        moved = [
            end.detach() - length * slope.sign() for end, slope in zip(here, slopes, strict=True)
        ]
        ends = [project(moved[0], x, epsilon), project(moved[1], other, epsilon)]
    return least
