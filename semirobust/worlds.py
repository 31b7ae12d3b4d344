"""Worlds in which the quantities of the theory are known exactly: what estimates are checked on.

Affine networks of two classes: the infimum over the ball is taken coordinate by coordinate.
"""

import torch
from torch import Tensor, nn

from semirobust._types import Images, Labels
from semirobust.ball import check_radius
from semirobust.data import Samples
from semirobust.probes import through


def affine(network: nn.Module, x: Images) -> tuple[Tensor, Tensor]:
    """Return W and b with network(x) = W x + b, or refuse a network that is not affine on x."""
    x = x.detach()
    origin = torch.zeros_like(x[:1])
    with torch.no_grad():
        b = network(origin)[0]
    W = torch.autograd.functional.jacobian(lambda z: network(z)[0], origin).flatten(1)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        gap = (x.flatten(1) @ W.T + b - network(x)).abs().max().item()
    largest = 1 + (W.abs().sum(dim=1) + b.abs()).max().item()
    if gap > 1e-4 * largest:
        raise ValueError(f"the network is not affine: it differs from W x + b by {gap:.2g}")
    return W, b


def worst_margins(weights: Tensor, bias: Tensor, x: Images, epsilon: float) -> Tensor:
    """Return min over delta in S_x of w·(x + delta) + b for each row of weights, N x rows.

    S_x is the inf-ball within the unit box; each coordinate goes to the end that hurts.
    """
    z = x.flatten(1)
    low, high = (z - epsilon).clamp(0, 1), (z + epsilon).clamp(0, 1)
    return low @ weights.clamp_min(0).T + high @ weights.clamp_max(0).T + bias


def exact_scores(network: nn.Module, x: Images, y: Labels, epsilon: float) -> Tensor:
    """Return inf over delta in S_x of s_y, exactly, for an affine network of two classes.

    s_y = tanh(margin / 2) grows with the margin, and the least margin of an affine map is known.
    """
    check_radius(epsilon)
    W, b = affine(network, x)
    if len(W) != 2:
        raise ValueError(f"the exact value is known for two classes, got {len(W)}")
    up = worst_margins((W[1] - W[0])[None], (b[1] - b[0])[None], x, epsilon)[:, 0]
    down = worst_margins((W[0] - W[1])[None], (b[0] - b[1])[None], x, epsilon)[:, 0]
    return torch.tanh(torch.where(y == 1, up, down) / 2)


def exact_gamma(
    network: nn.Sequential, j: int, readout: nn.Module, samples: Samples, epsilon: float
) -> float:
    """Return gamma_j of the readout exactly, where G_j ∘ F^(j) is affine with two classes."""
    whole = through(network, j, readout)
    return exact_scores(whole, samples.x, samples.y, epsilon).double().mean().item()
