"""Certificates: verified accuracy, and gamma of Definition 1 between a sound and an upper end.

For a readout G_j and the score ±1 (right or wrong at the worst point), gamma_j of Definition 1 is
2 RA - 1 with RA the robust accuracy. So with the verified accuracy VRA and RA under attack

    gamma_cert = 2 VRA - 1  <=  gamma_j(G_j)  <=  2 RA_attack - 1  <=  2 accuracy - 1.

The same with the smooth score s = 2 p_y - 1: from lower bounds m_k of the margins g_y - g_k follows
p_y >= 1 / (1 + sum of exp(-m_k)). Both brackets are statements on this readout; the upper end is no
bound on the best possible G_j. Over the draw of the samples each end has a one-sided
Clopper-Pearson limit.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import torch
from scipy.special import betaincinv
from torch import Tensor, nn

from semirobust.attacks.ball import evaluating, wrong
from semirobust.certified.bounds import BOUNDS, Bound, margins
from semirobust.certified.rounding import outward_ball
from semirobust.data import check_labels
from semirobust.evaluation.report import Report
from semirobust.theory.semirobustness import score
from semirobust.types import Flags, Images, Labels

BATCH = 25  # samples whose rows of coefficients are held at a time
ByBound: TypeAlias = Mapping[Bound, Tensor]  # N x K margins by each bound


@torch.no_grad()
def certified_margins(
    network: nn.Module,
    x: Images,
    y: Labels,
    epsilon: float,
    bounds: Iterable[Bound] = BOUNDS,
    *,
    batch: int = BATCH,
) -> dict[Bound, Tensor]:
    """Return each bound's lower bounds of g_y - g_k over the ball, N x K, with 0 at k = y.

    They hold for float32 as it is computed: see ``rounding``.
    """
    check_labels(y)
    parts = list(zip(torch.split(x, batch), torch.split(y, batch), strict=True))
    with evaluating(network):
        return {
            bound: torch.cat(
                [
                    margins(network, outward_ball(a, epsilon), b, bound, outward=True)
                    for a, b in parts
                ]
            )
            for bound in bounds
        }


def verified(lower: Tensor, y: Labels) -> Flags:
    """Return the samples with every margin, but the label's own, above 0."""
    others = lower.scatter(1, y[:, None], torch.inf)
    return others.min(dim=1).values > 0


def verified_by_bound(lower: ByBound, y: Labels) -> dict[str, Flags]:
    """Return the samples that each bound certifies, and as "any" their union."""
    flags = {str(bound): verified(values, y) for bound, values in lower.items()}
    return {**flags, "any": torch.stack(list(flags.values())).any(dim=0)}


def certified_score(lower: Tensor) -> Tensor:
    """Return a lower bound of s_y = 2 p_y - 1 over the ball from the bounds of the margins.

    Example:
        >>> certified_score(torch.tensor([[0.0, 0.0], [0.0, 100.0]]))
        tensor([0., 1.])
    """
    return 2 / (-lower).exp().sum(dim=1) - 1


def clopper_pearson(successes: int, n: int, *, upper: bool, level: float = 0.95) -> float:
    """Return the one-sided limit of a share that is passed with probability 1 - level at most.

    Example:
        >>> round(clopper_pearson(0, 59, upper=True), 3), clopper_pearson(0, 59, upper=False)
        (0.05, 0.0)
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"need 0 <= successes <= n and n >= 1, got {successes} of {n}")
    if upper:
        return 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, level))
    return 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, 1 - level))


@dataclass(frozen=True, kw_only=True)
class Bracket:
    """gamma_j of one readout from both sides, and what it is without an attack.

    ``low`` is the lower 95 % limit of gamma_cert over the draw of the samples, ``high`` the upper
    one of gamma_attack. ``smooth_`` are means of the score s_y: of its certified lower bounds, of
    the lowest that the attack visited, and without an attack.
    """

    gamma_cert: float
    gamma_attack: float
    gamma_clean: float
    low: float
    high: float
    smooth_cert: float
    smooth_attack: float
    smooth_clean: float
    n: int

    def as_record(self) -> dict[str, Any]:
        """Return all numbers by name."""
        return asdict(self)


@torch.no_grad()
def bracket(network: nn.Module, x: Images, y: Labels, lower: Tensor, report: Report) -> Bracket:
    """Return gamma of a readout and what stands before it, between certificate and attack.

    The network is G_j behind F^(j) as a chain (``theory.semirobustness.with_readout``); ``lower``
    are bounds of its margins (``certified_margins``), and the report is of an attack on it.
    """
    n = len(y)
    with evaluating(network):
        clean, attacked = network(x), network(report.x_adv)
    sure, standing = int(verified(lower, y).sum()), int(report.standing.sum())
    smooth = torch.minimum(score(clean, y), score(attacked, y))
    return Bracket(
        gamma_cert=2 * sure / n - 1,
        gamma_attack=2 * standing / n - 1,
        gamma_clean=2 * int((~wrong(clean, y)).sum()) / n - 1,
        low=2 * clopper_pearson(sure, n, upper=False) - 1,
        high=2 * clopper_pearson(standing, n, upper=True) - 1,
        smooth_cert=_mean(certified_score(lower)),
        smooth_attack=_mean(smooth),
        smooth_clean=_mean(score(clean, y)),
        n=n,
    )


def _mean(values: Tensor) -> float:
    return float(values.double().mean())
