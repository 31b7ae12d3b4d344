"""Attacks: x -> x + delta with ‖delta‖_inf <= epsilon and x + delta in [0, 1].

An attack is a frozen dataclass of settings that is called like a function. It keeps no state,
leaves the network as it found it (modes, gradients, running statistics), and draws only from the
given generator: one seed for every sample, so that nothing depends on the batch a sample came in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Generator

from semirobust.attacks.apgd import APGD
from semirobust.attacks.autoattack import AutoAttack, FastEnsemble, Headline
from semirobust.attacks.ball import (
    bounds,
    check_radius,
    check_steps,
    fooled,
    input_gradient,
    prepared,
    project,
    uniform_in_ball,
    value_and_gradient,
    wrong,
)
from semirobust.attacks.carlini_wagner import CarliniWagner
from semirobust.attacks.noise import Noise, sample_noise
from semirobust.attacks.objectives import (
    OBJECTIVES,
    Objective,
    check_choice,
    cross_entropy,
    divergence_from,
)
from semirobust.attacks.square import Square
from semirobust.types import Attack, Classifier, Images, Labels

STEP_SIZE = 1 / 255  # of its I-FGSM and PGD


def iterations(epsilon: float) -> int:
    """Return the paper's number of steps, min(255 epsilon + 4, 1.25 * 255 epsilon), at least 1.

    Example:
        >>> [iterations(epsilon) for epsilon in (8 / 255, 16 / 255, 32 / 255)]
        [10, 20, 36]
    """
    return max(1, round(min(255 * epsilon + 4, 1.25 * 255 * epsilon)))


@dataclass(frozen=True, kw_only=True)
class FGSM:
    """One signed step of length epsilon on the cross-entropy: Goodfellow et al. (2015)."""

    epsilon: float

    def __post_init__(self) -> None:
        check_radius(self.epsilon)

    def __call__(
        self, network: Classifier, x: Images, y: Labels, *, generator: Generator
    ) -> Images:
        whole = IFGSM(epsilon=self.epsilon, step_size=self.epsilon, steps=1)
        return whole(network, x, y, generator=generator)


@dataclass(frozen=True, kw_only=True)
class IFGSM:
    """Signed steps from the clean input, projected: Kurakin et al. (2017), also called BIM."""

    epsilon: float
    step_size: float = STEP_SIZE
    steps: int = 10

    def __post_init__(self) -> None:
        check_radius(self.epsilon)
        check_steps(steps=self.steps)

    def __call__(
        self, network: Classifier, x: Images, y: Labels, *, generator: Generator
    ) -> Images:
        x = x.detach()
        with prepared(network, x, y) as classifier:
            return signed_ascent(classifier, x, y, x, self)


@dataclass(frozen=True, kw_only=True)
class PGD:
    """Projected gradient ascent from a random start: Madry et al. (2018), Eq. 2.1, inner part.

    ``steps=1`` with ``step_size=epsilon`` and ``random_start=False`` is FGSM.

    Args:
        restarts: Number of runs; a later run takes on the samples that stood the earlier ones.
        stop_when_fooled: Whether a sample rests at its first wrong answer. Never weaker, and cheap
            on networks that are easily fooled; leave it off where every step is to be taken, as in
            training and in rows "as published".
    """

    epsilon: float
    step_size: float = STEP_SIZE
    steps: int = 10
    random_start: bool = True
    restarts: int = 1
    loss: Literal["cross-entropy", "margin", "dlr"] = "cross-entropy"
    stop_when_fooled: bool = False

    def __post_init__(self) -> None:
        check_radius(self.epsilon)
        check_steps(steps=self.steps, restarts=self.restarts)
        check_choice("loss", self.loss, OBJECTIVES)

    def __call__(
        self,
        network: Classifier,
        x: Images,
        y: Labels,
        *,
        generator: Generator,
        start: Images | None = None,
    ) -> Images:
        """Return the perturbed inputs x + delta; ``start`` replaces the first random start."""
        x, noise = x.detach(), sample_noise(generator, x)
        with prepared(network, x, y) as classifier:
            begin = self.start(x, noise, 0) if start is None else project(start, x, self.epsilon)
            x_adv = self.ascend(classifier, x, y, begin)
            for restart in range(1, self.restarts):
                left = ~fooled(classifier, x_adv, y)
                if not left.any():
                    break
                begin = self.start(x[left], noise[left], restart)
                x_adv[left] = self.ascend(classifier, x[left], y[left], begin)
        return x_adv

    def start(self, x: Images, noise: Noise, draw: int) -> Images:
        """Return where a run begins: x, or a uniform point of the ball."""
        if not self.random_start:
            return x.detach().clone()
        return uniform_in_ball(x, self.epsilon, noise, draw=draw)

    def ascend(self, network: Classifier, x: Images, y: Labels, x_adv: Images) -> Images:
        """Return the last point of one run, or the first that fools where that ends it."""
        if self.stop_when_fooled:
            return self.ascend_until_fooled(network, x, y, x_adv)
        return signed_ascent(network, x, y, x_adv, self, OBJECTIVES[self.loss])

    def ascend_until_fooled(
        self, network: Classifier, x: Images, y: Labels, x_adv: Images
    ) -> Images:
        """Return the same run, each sample taken out of the batch once it is fooled."""
        objective, result = OBJECTIVES[self.loss], x_adv.clone()
        active = torch.arange(len(x), device=x.device)
        low, high = bounds(x, self.epsilon)
        for _ in range(self.steps):
            here, labels = result[active], y[active]
            logits, _, gradient = value_and_gradient(network, here, labels, objective)
            left = (~wrong(logits, labels)).nonzero()[:, 0]
            active, ascent = active[left], gradient[left].sign()
            if not len(active):
                break
            moved = here[left].add_(ascent, alpha=self.step_size)
            result[active] = moved.clamp_(low[active], high[active])
        return result


@dataclass(frozen=True, kw_only=True)
class NFGSM:
    """One step from a noisy input, for training only: N-FGSM, de Jorge et al. (2022), Alg. 1.

    The noise is uniform of twice the radius and the perturbation is not clipped to the ball, which
    is what keeps single-step training from collapsing. So it leaves the ball: at most
    ``(noise + step) * epsilon``. It is no attack to report accuracy under.
    """

    epsilon: float
    noise: float = 2.0
    step: float = 1.0

    def __post_init__(self) -> None:
        check_radius(self.epsilon)

    def __call__(
        self, network: Classifier, x: Images, y: Labels, *, generator: Generator
    ) -> Images:
        x = x.detach()
        shift = 2 * sample_noise(generator, x).uniform(*x.shape[1:]).to(x.dtype) - 1
        noisy = (x + self.noise * self.epsilon * shift).clamp_(0, 1)
        with prepared(network, x, y) as classifier:
            ascent = input_gradient(classifier, noisy, y).sign()
        return noisy.add(ascent, alpha=self.step * self.epsilon).clamp_(0, 1)


@dataclass(frozen=True, kw_only=True)
class TRADES:
    """Ascent on KL(p(x) || p(x + delta)), for training: Zhang et al. (2019), inner part of Eq. 5.

    At delta = 0 the divergence is least and its gradient zero: the run starts a little beside, at
    normal noise of deviation ``spread``.
    """

    epsilon: float
    step_size: float = 2 / 255
    steps: int = 10
    spread: float = 0.001

    def __post_init__(self) -> None:
        check_radius(self.epsilon)
        check_steps(steps=self.steps)

    def __call__(
        self,
        network: Classifier,
        x: Images,
        y: Labels,
        *,
        generator: Generator,
        start: Images | None = None,
    ) -> Images:
        """Return the last point of the ascent; ``start`` replaces x."""
        x = x.detach()
        shift = sample_noise(generator, x).normal(*x.shape[1:]).to(x.dtype)
        x_adv = project((x if start is None else start) + self.spread * shift, x, self.epsilon)
        with prepared(network, x, y) as classifier:
            with torch.no_grad():
                objective = divergence_from(classifier(x))
            return signed_ascent(classifier, x, y, x_adv, self, objective)


def signed_ascent(
    network: Classifier,
    x: Images,
    y: Labels,
    start: Images,
    settings: IFGSM | PGD | TRADES,
    objective: Objective = cross_entropy,
) -> Images:
    """Return where signed steps lead from ``start``, each projected to the ball around x."""
    x_adv, (low, high) = start, bounds(x, settings.epsilon)
    for _ in range(settings.steps):
        ascent = input_gradient(network, x_adv, y, objective).sign()
        x_adv = x_adv.add(ascent, alpha=settings.step_size).clamp_(low, high)
    return x_adv


def strong_pgd(epsilon: float, **changes: Any) -> PGD:
    """Return PGD with 20 steps of a quarter of the radius; a fooled sample rests."""
    settings = {"step_size": epsilon / 4, "steps": 20, "stop_when_fooled": True}
    return PGD(epsilon=epsilon, **(settings | changes))


NAMED: dict[str, Callable[[float], Attack]] = {
    "fgsm": lambda epsilon: FGSM(epsilon=epsilon),
    "i-fgsm": lambda epsilon: IFGSM(epsilon=epsilon, steps=iterations(epsilon)),
    "pgd": lambda epsilon: PGD(epsilon=epsilon, steps=iterations(epsilon)),
    "pgd-50": lambda epsilon: PGD(epsilon=epsilon, step_size=epsilon / 8, steps=50, restarts=2),
    "cw": lambda _: CarliniWagner(searches=1),
    "cw-search": lambda _: CarliniWagner(),
    "square": lambda epsilon: Square(epsilon=epsilon),
    "apgd": lambda epsilon: APGD(epsilon=epsilon),
    "headline": lambda epsilon: Headline(epsilon=epsilon),
    "fast": lambda epsilon: FastEnsemble(epsilon=epsilon),
    "autoattack": lambda epsilon: AutoAttack(epsilon=epsilon),
    "n-fgsm": lambda epsilon: NFGSM(epsilon=epsilon),
    "trades": lambda epsilon: TRADES(epsilon=epsilon),
}


def from_name(name: str, epsilon: float = 8 / 255) -> Attack:
    """Return the attack of that name with the paper's settings at this radius.

    Example:
        >>> from_name("pgd", 16 / 255).steps
        20
    """
    if name not in NAMED:
        raise ValueError(f"unknown attack {name!r}; known: {', '.join(NAMED)}")
    return NAMED[name](epsilon)
