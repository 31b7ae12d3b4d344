"""Assumptions A1 to B2 of Theorem 2 and Lemma 1, audited on each pair of a network's layers.

    A1:  Σ_y π(y) I(h_{j-1}; h_j | y) >= ρ_j
    A2:  E[p(h_{j-1}, h_j | y) / (p(h_{j-1} | y) p(h_j | y))] <= U_j    and
         E[s_j - s_{j-1}] >= 1 + U_j  for all δ in S

B1 and B2 of Lemma 1 are the case j = n with G_n the network's own output. s_j is the score of the
readout on layer j, in [-1, 1]. Information is in bits. Layers are continuous and each is a function
of the one before, so the true I and U_j are infinite or as fine as the arithmetic: what is measured
belongs to the codes of a hash, and cannot exceed what the number of samples allows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Generator, Tensor, nn

from semirobust.attacks.ball import evaluating
from semirobust.attacks.objectives import Objective, cross_entropy, negative_margin
from semirobust.data import Samples
from semirobust.edge.dependence import Dependence
from semirobust.edge.estimator import Edge
from semirobust.edge.hashing import rank_codes
from semirobust.edge.projection import Coordinates
from semirobust.layers import activations
from semirobust.theory.semirobustness import Gamma, Search, profile, score, with_readout
from semirobust.types import Attack, Images, Labels, Logits

SIGNIFICANT = 0.05  # of the permutation test of dependence


@dataclass(frozen=True)
class Audit:
    """The assumptions on the pair of layers j - 1 and j, whose gammas are ``before`` and ``after``.

    Attributes:
        dependence: I(h_{j-1}; h_j | y) on attacked images, with its null and ceiling.
        slack: U_j, plug-in, from the same codes.
        slack_null: U_j after the pairing was shuffled within classes: what the plug-in adds.
        growth: E[s_j - s_{j-1}] at the worst perturbations found, an upper estimate of the infimum.
    """

    j: int
    dependence: Dependence
    slack: float
    slack_null: float
    growth: float
    growth_clean: float
    before: Gamma
    after: Gamma

    @property
    def rho(self) -> float:
        """The excess over the shuffled pairing, at least 0: the ρ_j that A1 is read with."""
        return max(0.0, self.dependence.excess or 0.0)

    @property
    def a1(self) -> bool:
        """Whether dependence is there at all: A1 holds with some ρ_j > 0."""
        return self.dependence.p is not None and self.dependence.p <= SIGNIFICANT

    @property
    def required(self) -> float:
        """1 + U_j: by how much A2 asks the score to grow, 2 at least."""
        return 1 + self.slack

    @property
    def a2(self) -> bool:
        """Whether A2 holds for the score as it is; with scales it can where ``after`` > 0."""
        return self.growth >= self.required

    @property
    def conclusion(self) -> bool:
        """Whether gamma_j >= gamma_{j-1} + ρ_j, which the theorem concludes."""
        return self.after.value >= self.before.value + self.rho

    def record(self) -> dict[str, float | bool | None]:
        names = ("j", "rho", "slack", "slack_null", "growth", "growth_clean", "required")
        row = {name: getattr(self, name) for name in names}
        gammas = {"gamma before": self.before.value, "gamma": self.after.value}
        return row | gammas | {"A1": self.a1, "A2": self.a2, "conclusion": self.conclusion}


def scales(gammas: Sequence[float], slacks: Sequence[float]) -> list[float] | None:
    """Return c_a, ..., c_n with which the readouts c_j G_j meet A2 at each layer of f_b, if any do.

    With G_j in [-1, 1] and gamma_j, U_j for j > a: c_a = 1, c_j = (1 + U_j + c_{j-1}) / gamma_j.
    They exist exactly where every gamma_j > 0, so that A2 says what the theorem concludes.

    Example:
        >>> scales([0.5, 0.25], [1.0, 2.0]), scales([0.5, 0.0], [1.0, 2.0])
        ([1.0, 6.0, 36.0], None)
    """
    if min(gammas) <= 0:
        return None
    factors = [1.0]
    for gamma_j, U_j in zip(gammas, slacks, strict=True):
        factors.append((1 + U_j + factors[-1]) / gamma_j)
    return factors


@torch.no_grad()
def audit(
    network: nn.Sequential,
    readouts: Mapping[int, nn.Module],
    samples: Samples,
    attack: Attack,
    search: Search,
    *,
    searched: Samples | None = None,
    edge: Edge | None = None,
    seed: int = 0,
) -> Iterator[Audit]:
    """Yield the audit of each pair of neighbouring layers that both have a readout.

    Dependence is measured on the attack's images; the search finds the worst perturbation of each
    score, and of its growth. It costs most, so it may keep to fewer samples (``searched``). The
    readout of layer n is best left empty: the output itself.
    """
    layers = sorted(readouts)
    if len(layers) < 2 or layers != list(range(layers[0], layers[-1] + 1)):
        raise ValueError(f"readouts are needed for consecutive layers, got {layers}")
    x, y, edge = samples.x, samples.y, edge or Edge()
    scored = searched or samples
    with evaluating(network):
        h = activations(network, attack(network, x, y, generator=Generator().manual_seed(seed)))
        h[0] = x
        gammas = profile(network, readouts, scored, search, seed=seed)
        for j in layers[1:]:
            u, v = edge.coordinates(h[j - 1], h[j], y)
            both = TwoReadouts(*(with_readout(network, k, readouts[k]) for k in (j - 1, j)))
            draw = Generator().manual_seed(seed)
            worst = worst_growth(both, scored.x, scored.y, search, generator=draw)
            yield Audit(
                j=j,
                dependence=edge.measure(u, v),
                slack=coded_slack(u, v),
                slack_null=coded_slack(u, v, shuffle=np.random.default_rng(seed)),
                growth=float(worst.mean()),
                growth_clean=float(growth(both(scored.x), scored.y).mean()),
                before=gammas[j - 1],
                after=gammas[j],
            )


class TwoReadouts(nn.Module):
    """Two readouts with their logits side by side, so that one attack sees both."""

    def __init__(self, before: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.before, self.after = before, after

    def forward(self, x: Images) -> Logits:
        return torch.cat([self.before(x), self.after(x)], dim=1)


def growth_of(objective: Objective) -> Objective:
    """Return the objective on layer j less that on layer j - 1, of the logits of both."""

    def difference(logits: Logits, y: Labels) -> Tensor:
        before, after = logits.chunk(2, dim=1)
        return objective(after, y) - objective(before, y)

    return difference


growth = growth_of(score)  # s_j - s_{j-1} of every sample


def worst_growth(
    both: TwoReadouts, x: Images, y: Labels, search: Search, *, generator: Generator
) -> Tensor:
    """Return the least s_j - s_{j-1} found in the ball around each sample."""
    climbs = tuple(growth_of(objective) for objective in (cross_entropy, negative_margin))
    search = replace(search, climbs=climbs)
    return growth(both(search(both, x, y, generator=generator, scored=growth)), y)


def coded_slack(
    u: Mapping[int, Coordinates],
    v: Mapping[int, Coordinates],
    *,
    shuffle: np.random.Generator | None = None,
) -> float:
    """Return U_j from the cells of equal shares that dependence is counted in: mean over sets."""
    total, n = 0.0, sum(coordinates.values.shape[-1] for coordinates in u.values())
    for c in u:
        pairs = [rank_codes(side[c].values) for side in (u, v)]
        size = pairs[0].shape[-1]
        order = np.arange(size) if shuffle is None else shuffle.permutation(size)
        sets = max(len(pairs[0]), len(pairs[1]))
        g, h = (np.broadcast_to(codes, (sets, size)) for codes in pairs)
        values = [slack(g[s], h[s][order], np.zeros(size)) for s in range(sets)]
        total += size / n * float(np.mean(values))
    return total


def slack(g: ArrayLike, h: ArrayLike, y: ArrayLike) -> float:
    """Return U_j of Assumption A2 from paired codes: Σ_y π(y) Σ_gh p(g, h | y)² / (p(g|y) p(h|y)).

    The plug-in estimate. Where the code h is a function of the code g it is the mean number of
    codes h that a class takes; it never exceeds the number of samples of a class.

    Example:
        >>> slack([0, 0, 1, 1], [0, 1, 0, 1], [0] * 4), slack([0, 1, 2], [0, 1, 2], [0] * 3)
        (1.0, 3.0)
    """
    total, labels = 0.0, np.asarray(y)
    for c in np.unique(labels):
        codes = (np.asarray(side)[labels == c] for side in (g, h))
        (_, i), (_, j) = (np.unique(own, return_inverse=True) for own in codes)
        counts = np.zeros((i.max() + 1, j.max() + 1))
        np.add.at(counts, (i, j), 1)
        expected = np.outer(counts.sum(axis=1), counts.sum(axis=0))
        total += float((counts**2 / expected).sum()) * len(i) / len(labels)
    return total
