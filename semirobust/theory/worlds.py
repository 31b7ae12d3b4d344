"""Exact worlds, where the quantities of the theory are known: what estimates are checked on.

- *Finite*: a few inputs, a table of what an attack can turn into what, layers as tables. The
  supremum of gamma_j over all readouts, or over affine ones, is a linear programme.
- *Affine networks of two classes*: the infimum over the ball is taken coordinate by coordinate.
- *A pair of layers* given as p(g, h | y): rho and U_j are sums; or as a Gaussian pair.

Readouts of finite worlds are bounded by 1, as scores s_y = 2 p_y - 1 are. Information is in bits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linprog
from torch import Generator, Tensor, nn

from semirobust.attacks.ball import check_radius
from semirobust.data import Samples
from semirobust.theory.semirobustness import with_readout
from semirobust.types import Images, Labels

Table = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Finite:
    """A world of m inputs and two classes, y = -1 and y = +1.

    Attributes:
        p: Probability of each input with y = -1 and with y = +1, m x 2.
        reach: Whether an attack can turn input x into x', m x m; x itself is always in reach.
        layers: The tables f^(1), f^(2), ...: entry c is the code that code c is mapped to.
    """

    p: Table
    reach: NDArray[np.bool_]
    layers: tuple[Codes, ...] = ()

    def __post_init__(self) -> None:
        m = len(self.p)
        if self.p.shape != (m, 2) or not np.isclose(self.p.sum(), 1) or (self.p < 0).any():
            raise ValueError(f"p is an m x 2 table of probabilities, got a sum of {self.p.sum():g}")
        if self.reach.shape != (m, m) or not self.reach.diagonal().all():
            raise ValueError("reach is an m x m table whose diagonal is true: delta = 0 is allowed")

    def codes(self, j: int) -> Codes:
        """Return F^(j)(x) for every input; j = 0 is the input itself."""
        if not 0 <= j <= len(self.layers):
            raise ValueError(f"need 0 <= j <= {len(self.layers)}, got j={j}")
        codes = np.arange(len(self.p))
        for table in self.layers[:j]:
            codes = table[codes]
        return codes

    def gamma(self, j: int, readout: ArrayLike) -> float:
        """Return gamma_j of a readout, a table over the codes of layer j: Definition 1, Eq. 1."""
        return self._worst(np.asarray(readout, dtype=float)[self.codes(j)])

    def growth(self, j: int, before: ArrayLike, after: ArrayLike) -> float:
        """Return the least E[s_j - s_{j-1}] over all rules x -> delta(x): the left side of A2."""
        tables = zip((before, after), (self.codes(j - 1), self.codes(j)), strict=True)
        earlier, later = (np.asarray(readout, dtype=float)[codes] for readout, codes in tables)
        return self._worst(later - earlier)

    def _worst(self, value: Table) -> float:
        """Return E[inf y value(x')] over the x' in reach of each input x."""
        low = np.where(self.reach, value, np.inf).min(axis=1)
        high = np.where(self.reach, value, -np.inf).max(axis=1)
        return float(self.p[:, 1] @ low - self.p[:, 0] @ high)

    def best(self, j: int, embedding: ArrayLike | None = None) -> tuple[float, Table]:
        """Return the supremum of gamma_j over readouts |G| <= 1, and a readout that reaches it.

        With an ``embedding``, codes x d, over the readouts that are affine in it; else over all.
        """
        codes = self.codes(j)
        basis = np.eye(codes.max() + 1)
        if embedding is not None:
            points = np.asarray(embedding, dtype=float).reshape(len(basis), -1)
            basis = np.column_stack([points, np.ones(len(points))])
        x, other = np.nonzero(self.reach)
        rows = np.arange(len(x))
        constraints, m, d = [], len(self.p), basis.shape[1]
        for column, y in enumerate((-1, 1)):  # t_xy <= y G(F(x')) for every x' in reach of x
            block = np.zeros((len(x), d + 2 * m))
            block[:, :d] = -y * basis[codes[other]]
            block[rows, d + 2 * x + column] = 1
            constraints.append(block)
        held = np.hstack([np.vstack([basis, -basis]), np.zeros((2 * len(basis), 2 * m))])
        limits = np.concatenate([np.zeros(2 * len(x)), np.ones(2 * len(basis))])
        gain = np.concatenate([np.zeros(d), self.p.ravel()])
        programme = linprog(-gain, np.vstack([*constraints, held]), limits, bounds=(None, None))
        solution = np.asarray(programme.x)
        return float(gain @ solution), basis @ solution[:d]


def folded_line() -> Finite:
    """Return fifteen inputs on a line, the middle five of class +1, moved by at most one place.

    f^(1) is the distance from the middle, so one threshold separates the classes; f^(2) forgets
    what is far from the threshold; f^(3) merges the code at the threshold with one class.
    """
    distance = np.abs(np.arange(15) - 7)
    near = np.abs(np.subtract.outer(np.arange(15), np.arange(15))) <= 1
    p = np.column_stack([(distance > 2) / 20, (distance <= 2) / 10])
    layers = (distance, np.array([0, 0, 0, 1, 2, 2, 2, 2]), np.array([0, 1, 1]))
    return Finite(p, near, layers)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two consecutive layers with finitely many values: p(g, h | y), classes x g x h, and π(y)."""

    prior: Table
    p: Table

    def __post_init__(self) -> None:
        sums = [self.prior.sum(), *self.p.sum(axis=(1, 2))]
        if len(self.prior) != len(self.p) or not np.allclose(sums, 1):
            raise ValueError(f"prior and each p(g, h | y) must sum to 1, got {np.round(sums, 4)}")

    def _ratios(self) -> tuple[Table, Table]:
        """Return the weights π(y) p(g, h | y) and the ratios p(g, h | y) / (p(g | y) p(h | y))."""
        product = self.p.sum(axis=2, keepdims=True) * self.p.sum(axis=1, keepdims=True)
        held = self.p > 0
        ratio = np.divide(self.p, product, out=np.ones_like(self.p), where=held)
        return self.prior[:, None, None] * self.p, ratio

    @property
    def rho(self) -> float:
        """Σ_y π(y) I(g; h | y) in bits: the left side of A1, Eq. 5."""
        weight, ratio = self._ratios()
        return max(0.0, float((weight * np.log2(ratio)).sum()))

    def dependence(self, g: Callable[[Table], Table]) -> float:
        """Return Σ_y π(y) E[g(p(g, h | y) / (p(g | y) p(h | y)))] under the product law: Eq. 3.

        Any convex g with g(1) = 0; g(t) = t log2 t gives ``rho``.
        """
        product = self.p.sum(axis=2, keepdims=True) * self.p.sum(axis=1, keepdims=True)
        ratio = np.divide(self.p, product, out=np.ones_like(self.p), where=product > 0)
        return float((self.prior[:, None, None] * product * g(ratio)).sum())

    @property
    def slack(self) -> float:
        """U_j of A2, the mean of p(g, h | y) / (p(g | y) p(h | y)): 1 + chi-square, at least 1."""
        weight, ratio = self._ratios()
        return float((weight * ratio).sum())

    def growth(self, before: ArrayLike, after: ArrayLike, signs: ArrayLike = (-1, 1)) -> float:
        """Return E[y (G_j(h) - G_{j-1}(g))] for tables of readouts: the left side of A2."""
        change = np.asarray(after, dtype=float)[None, :] - np.asarray(before, dtype=float)[:, None]
        by_class = (self.p * change).sum(axis=(1, 2))
        return float((self.prior * np.asarray(signs) * by_class).sum())


def deterministic(prior: ArrayLike, given: ArrayLike, layer: Sequence[int]) -> Pair:
    """Return the pair of g, distributed as ``given`` (classes x values), and h = layer[g]."""
    table = np.asarray(given, dtype=float)
    p = np.zeros((*table.shape, max(layer) + 1))
    p[:, np.arange(len(layer)), layer] = table
    return Pair(np.asarray(prior, dtype=float), p)


def random_pair(seed: int, *, classes: int = 2, shape: tuple[int, int] = (3, 4)) -> Pair:
    """Return a pair whose tables are drawn from Dirichlet laws; some cells are nearly empty."""
    draw = np.random.default_rng(seed).dirichlet
    p = draw(np.full(shape[0] * shape[1], 0.4), classes).reshape(classes, *shape)
    return Pair(draw(np.ones(classes)), p)


def gaussian_pair(r: float) -> tuple[float, float]:
    """Return (rho, U) of a Gaussian pair of correlation r: -log2(1 - r²) / 2 and 1 / (1 - r²).

    Example:
        >>> gaussian_pair(0.0)
        (0.0, 1.0)
    """
    if not -1 < r < 1:
        raise ValueError(f"need -1 < r < 1, got {r}: at 1 both are infinite")
    return abs(-log2(1 - r**2) / 2), 1 / (1 - r**2)


def affine_network(widths: Sequence[int], generator: Generator) -> nn.Sequential:
    """Return a chain of affine links with normal weights, variance 1 / inputs, and small biases."""
    links: list[nn.Module] = []
    for d, k in pairwise(widths):
        link = nn.utils.skip_init(nn.Linear, d, k)  # type: ignore[no-untyped-call]
        link.weight.data = torch.randn(k, d, generator=generator) / d**0.5
        link.bias.data = torch.randn(k, generator=generator) / 10
        links.append(nn.Sequential(nn.Flatten(), link))
    return nn.Sequential(*links).requires_grad_(requires_grad=False)


def linear_gammas(rows: ArrayLike, x: ArrayLike, y: ArrayLike, epsilon: float) -> Table:
    """Return E[inf over ‖delta‖_inf <= epsilon of y w·(x + delta)] for each row w, without a box.

    The infimum of y w·delta is -epsilon ‖w‖_1, whatever x is.
    """
    W, points, signs = (np.asarray(values, dtype=float) for values in (rows, x, y))
    check_radius(epsilon)
    return (signs @ (points @ W.T)) / len(points) - epsilon * np.abs(W).sum(axis=1)


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
    whole = with_readout(network, j, readout)
    return exact_scores(whole, samples.x, samples.y, epsilon).double().mean().item()
