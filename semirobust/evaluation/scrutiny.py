"""Checks of an evaluation that attack again: more strength, more radius, no gradients, other seeds.

They are run on a few of the samples; what fails is a reason not to believe the robust accuracy.
Athalye, Carlini and Wagner (2018) and Carlini et al. (2019) list most of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import nn

from semirobust.attacks.ball import share
from semirobust.attacks.gradient import from_name, strong_pgd
from semirobust.attacks.square import Square
from semirobust.data import Samples, subset
from semirobust.evaluation.canaries import Canary, judged, plausible
from semirobust.evaluation.report import LOOKS, Report, robust_accuracy
from semirobust.evaluation.stand_in import stand_in
from semirobust.types import Attack, Classifier, Images, Labels

RADII = (0, 2, 4, 8, 16, 32, 64)  # over 255
POINT = 0.01  # of accuracy, by which an attack that should be stronger may be weaker


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Settings of an evaluation as the command line asks for it.

    Args:
        epsilon: Radius over 255.
        n: Number of samples, a stratified choice.
        probes: Samples on which the attacking checks are run; 0 leaves them out.
        queries: Of the black-box check.
        dataset: "cifar10" at 8/255 is held against the best published of this architecture.
        stand_in: Search on a copy in half precision first, which takes less time on many
            processors; what is found counts where it fools the network itself.
    """

    attack: str = "autoattack"
    epsilon: int = 8
    n: int = 1000
    seed: int = 0
    batch: int = 100
    probes: int = 100
    queries: int = 500
    dataset: str | None = None
    architecture: str | None = None
    stand_in: bool = False


def evaluate(
    network: nn.Module,
    samples: Samples,
    settings: Evaluation,
    *,
    surrogate: Classifier | None = None,
    adaptive: Mapping[str, Attack] | None = None,
) -> Report:
    """Return the white-box report of these settings with every check.

    A surrogate adds check 7, and ``adaptive_attacks`` check 15, on the samples that stood.
    """
    chosen = subset(samples, min(settings.n, len(samples)), seed=settings.seed)
    x, y, epsilon = chosen.x, chosen.y, settings.epsilon / 255
    attack = from_name(settings.attack, epsilon)
    near = stand_in(network, x[:LOOKS]) if settings.stand_in else None
    report = robust_accuracy(
        network, x, y, attack, seed=settings.seed, batch=settings.batch, stand_in=near
    )
    canaries = report.canaries
    if settings.dataset == "cifar10" and settings.epsilon == 8:
        canaries += (plausible(report.accuracy, settings.architecture),)
    if settings.probes:
        first = network, x[: settings.probes], y[: settings.probes]
        square = Square(epsilon=epsilon, queries=settings.queries)
        canaries += (
            falls_with_radius(*first),
            gains_from_steps(*first, epsilon),
            no_gain_without_gradients(network, x, y, report, square),
            agrees_over_seeds(*first, epsilon),
            knows_no_batch(network, x[:14], y[:14], epsilon),
        )
        if surrogate is not None:
            canaries += (stronger_than_transfer(network, surrogate, x, y, report, epsilon),)
        if adaptive:
            canaries += no_gain_from_knowing(network, x, y, report, adaptive)
    return replace(report, canaries=canaries)


def standing(network: Classifier, x: Images, y: Labels, attack: Attack, seed: int = 0) -> float:
    """Return the share of samples that stand one attack."""
    return robust_accuracy(network, x, y, attack, seed=seed).accuracy


def by_radius(network: Classifier, x: Images, y: Labels) -> dict[int, float]:
    """Return {radius over 255: share of samples that stand PGD with 20 steps}."""
    return {radius: standing(network, x, y, strong_pgd(radius / 255)) for radius in RADII}


def falls_with_radius(network: Classifier, x: Images, y: Labels) -> Canary:
    """Check 4: accuracy never rises with the radius, and is at most chance at 64/255."""
    with torch.no_grad():
        chance = 1 / network(x[:1]).shape[1]
    found = list(by_radius(network, x, y).values())
    falling = all(b <= a + POINT for a, b in pairwise(found))
    return judged(
        "radius",
        " ".join(f"{accuracy:.3f}" for accuracy in found),
        passed=falling and found[-1] <= chance + 2 * (chance * (1 - chance) / len(x)) ** 0.5,
    )


def gains_from_steps(network: Classifier, x: Images, y: Labels, epsilon: float) -> Canary:
    """Check 5: 100 steps are no weaker than 40, 40 no weaker than 10, two runs than one."""
    ten, forty, hundred = (
        standing(network, x, y, strong_pgd(epsilon, steps=steps, step_size=2.5 * epsilon / steps))
        for steps in (10, 40, 100)
    )
    again = standing(network, x, y, strong_pgd(epsilon, steps=10, restarts=2))
    return judged(
        "steps",
        f"{ten:.3f} {forty:.3f} {hundred:.3f}, two runs {again:.3f}",
        passed=hundred <= forty + POINT and forty <= ten + POINT and again <= ten + POINT,
    )


def no_gain_without_gradients(
    network: Classifier, x: Images, y: Labels, report: Report, square: Square
) -> Canary:
    """Check 8: Square breaks at most one per cent of what stood."""
    left, lost = report.standing, 0.0  # nothing is lost where nothing stood
    if bool(left.any()):
        kept = robust_accuracy(network, x[left], y[left], square, seed=report.seed).standing
        lost = share(~kept)
    return judged("black box", lost, passed=lost <= POINT)


def no_gain_from_knowing(
    network: Classifier, x: Images, y: Labels, report: Report, adaptive: Mapping[str, Attack]
) -> tuple[Canary, ...]:
    """Check 15: of all samples, each adaptive attack breaks at most one per cent that stood."""
    left, lost = report.standing, dict.fromkeys(adaptive, 0.0)
    if bool(left.any()):
        found = robust_accuracy(network, x[left], y[left], adaptive, seed=report.seed).broken
        lost = {name: int(flags.sum()) / report.n for name, flags in found.items()}
    return tuple(
        replace(judged("adaptive", value, passed=value <= POINT), name=f"adaptive, {name}")
        for name, value in lost.items()
    )


def agrees_over_seeds(network: Classifier, x: Images, y: Labels, epsilon: float) -> Canary:
    """Check 10: the same seed gives the same flags, and three seeds nearly the same accuracy."""
    found = [
        robust_accuracy(network, x, y, strong_pgd(epsilon), seed=seed) for seed in (0, 0, 1, 2)
    ]
    same = torch.equal(found[0].standing, found[1].standing)
    spread = max(r.accuracy for r in found) - min(r.accuracy for r in found)
    return judged("seeds", spread, passed=same and spread <= 3 * POINT)


def knows_no_batch(network: Classifier, x: Images, y: Labels, epsilon: float) -> Canary:
    """Check 13: flags are the same in batches of 1, 7 and all; one may turn by rounding."""
    attack = strong_pgd(epsilon, steps=10)
    flags = [robust_accuracy(network, x, y, attack, batch=b).standing for b in (1, 7, 100)]
    differing = max(int((flags[0] != other).sum()) for other in flags[1:])
    return judged("batch", float(differing), passed=differing <= 1)


def stronger_than_transfer(
    network: Classifier, surrogate: Classifier, x: Images, y: Labels, report: Report, epsilon: float
) -> Canary:
    """Check 7: no accuracy under attack is above the one under transfer from another network."""
    attack = strong_pgd(epsilon, stop_when_fooled=False)
    static = robust_accuracy(network, x, y, attack, seed=report.seed, surrogate=surrogate)
    return judged("transfer", static.accuracy, passed=report.accuracy <= static.accuracy + POINT)


def formatted(report: Report) -> str:
    """Return a report as a table for the terminal."""
    lines = [
        f"{'samples':<22}{report.n}, seed {report.seed}, protocol {report.protocol}",
        f"{'clean accuracy':<22}{report.clean_accuracy:.4f}",
    ]
    for name, given in report.given.items():
        count = int(report.broken[name].sum())
        lines.append(f"{name:<22}breaks {count} of {int(given.sum())}")
    radius = "any radius" if report.epsilon is None else f"{255 * report.epsilon:g}/255"
    lines += [
        f"{'robust accuracy':<22}{report.accuracy:.4f} ± {report.two_errors:.4f} "
        f"(norm {report.norm}, {radius})",
        f"{'passes':<22}{report.forward} forward, {report.backward} backward",
    ]
    for canary in report.canaries:
        verdict = "ok" if canary.passed else f"DOUBT: {canary.reason}"
        shown = canary.value if isinstance(canary.value, str) else f"{canary.value:.4g}"
        lines.append(f"{canary.name:<22}{shown}  {verdict}")
    return "\n".join(lines)
