"""APGD: projected ascent that chooses its own step size (Croce and Hein, 2020, Alg. 1).

The step starts at twice the radius. At checkpoints it is halved, and the run goes back to its best
point, where too few of the last steps rose (fewer than 3/4) or where neither the step nor the best
value changed since the checkpoint before. Samples leave the batch as soon as they are fooled, which
changes no flag, because no sample knows of another.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Literal, TypeAlias

import torch
from torch import Generator, Tensor

from semirobust.attacks.ball import (
    Found,
    Norm,
    attacking,
    cascade,
    check_radius,
    check_steps,
    into_ball,
    on_sphere,
    per_sample,
    steepest,
    target_by_target,
    value_and_gradient,
    wrong,
)
from semirobust.attacks.noise import Noise, sample_noise
from semirobust.attacks.objectives import OBJECTIVES, Objective, dlr_towards, others, towards
from semirobust.types import Classifier, Images, Labels

RISING = 0.75  # share of the steps between two checkpoints that must rise
MOMENTUM = 0.25
Aim: TypeAlias = Callable[[Tensor], Objective]  # the rows that stand -> what they climb


@dataclass(frozen=True, kw_only=True)
class APGD:
    """APGD on one loss.

    Args:
        epsilon: Radius of the ball, in units of the input (8/255, not 8).
        norm: "inf" or "2".
        steps: Number of steps of one run.
        restarts: Number of runs, each from its own random point of the sphere.
        loss: What is climbed: "cross-entropy", "margin" or "dlr".
    """

    epsilon: float
    norm: Norm = "inf"
    steps: int = 100
    restarts: int = 1
    loss: Literal["cross-entropy", "margin", "dlr"] = "cross-entropy"

    def __post_init__(self) -> None:
        """Reject settings that cannot be meant."""
        check_radius(self.epsilon, self.norm)
        check_steps(steps=self.steps, restarts=self.restarts)
        if self.loss not in OBJECTIVES:
            raise ValueError(f"loss must be one of {', '.join(OBJECTIVES)}; got {self.loss!r}")

    def __call__(
        self, network: Classifier, x: Images, y: Labels, *, generator: Generator
    ) -> Images:
        """Return the perturbed inputs x + delta, detached from the graph."""
        with attacking(network, x, y) as classifier:
            return self.search(classifier, x, y, sample_noise(generator, x))[0]

    def search(self, network: Classifier, x: Images, y: Labels, noise: Noise) -> Found:
        """Return the perturbed inputs, and which of them fool the network."""
        objective = OBJECTIVES[self.loss]

        def run(rows: Tensor, noise: Noise) -> Found:
            start = on_sphere(x[rows], self.epsilon, self.norm, noise)
            return climb(network, x[rows], y[rows], start, lambda _: objective, self)

        return cascade([run] * self.restarts, x, noise)


@dataclass(frozen=True, kw_only=True)
class TargetedAPGD:
    """APGD towards one other class after another, the likeliest first; called APGD-T.

    Args:
        epsilon: Radius of the ball, in units of the input.
        norm: "inf" or "2".
        steps: Number of steps towards each class.
        targets: Number of classes tried, at most all the others.
        loss: "dlr" for the targeted ratio, "margin" for logit_target - logit_y.
    """

    epsilon: float
    norm: Norm = "inf"
    steps: int = 100
    targets: int = 9
    loss: Literal["dlr", "margin"] = "dlr"

    def __post_init__(self) -> None:
        """Reject settings that cannot be meant."""
        check_radius(self.epsilon, self.norm)
        check_steps(steps=self.steps, targets=self.targets)
        if self.loss not in ("dlr", "margin"):
            raise ValueError(f"loss must be one of dlr, margin; got {self.loss!r}")

    def __call__(
        self, network: Classifier, x: Images, y: Labels, *, generator: Generator
    ) -> Images:
        """Return the perturbed inputs x + delta, detached from the graph."""
        with attacking(network, x, y) as classifier:
            return self.search(classifier, x, y, sample_noise(generator, x))[0]

    def search(self, network: Classifier, x: Images, y: Labels, noise: Noise) -> Found:
        """Return the perturbed inputs, and which of them fool the network."""
        ranked = likeliest_others(network, x, y)[:, : self.targets]
        objective = dlr_towards if self.loss == "dlr" else towards

        def run(rows: Tensor, target: Labels, noise: Noise) -> Found:
            start = on_sphere(x[rows], self.epsilon, self.norm, noise)
            aim = lambda left: objective(target[left])  # noqa: E731
            return climb(network, x[rows], y[rows], start, aim, self)

        return target_by_target(run, ranked, x, noise)


@torch.no_grad()
def likeliest_others(network: Classifier, x: Images, y: Labels) -> Labels:
    """Return the classes but the label, the likeliest on the clean input first, N x (K-1)."""
    return others(network(x), y).argsort(dim=1, descending=True)[:, :-1]


@dataclass(frozen=True)
class Standing:
    """What is known of the samples that still stand; one row each."""

    rows: Tensor
    x: Images
    y: Labels
    x_adv: Images
    previous: Images
    gradient: Tensor
    value: Tensor
    best: Images
    best_gradient: Tensor
    best_value: Tensor
    step: Tensor
    rises: Tensor  # steps since the checkpoint that rose
    halved: Tensor  # whether the last checkpoint halved the step
    mark: Tensor  # the best value at the last checkpoint

    def __getitem__(self, kept: Tensor) -> "Standing":
        """Return the rows that are kept."""
        return Standing(**{name.name: getattr(self, name.name)[kept] for name in fields(self)})


def climb(
    network: Classifier,
    x: Images,
    y: Labels,
    start: Images,
    aim: Aim,
    settings: APGD | TargetedAPGD,
) -> Found:
    """Return each sample's first point that fools the network, or else its best, and which did."""
    result, broken = start.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    standing, windows = begun(x, y, start, settings.epsilon), checkpoints(settings.steps)
    for step in range(settings.steps + 1):
        logits, value, gradient = value_and_gradient(
            network, standing.x_adv, standing.y, aim(standing.rows)
        )
        lost = wrong(logits, standing.y)
        if lost.any():
            gone = standing.rows[lost]
            result[gone], broken[gone] = standing.x_adv[lost], True
            standing, value, gradient = standing[~lost], value[~lost], gradient[~lost]
            if not len(standing.rows):
                break
        standing = scored(standing, value, gradient)
        if step in windows:
            standing = adapted(standing, windows[step])
        standing = moved(standing, settings, momentum=MOMENTUM if step else 0.0)
    result[standing.rows] = standing.best
    return result, broken


def checkpoints(steps: int) -> dict[int, int]:
    """Return {w_j: w_j - w_{j-1}}, the steps w_j at which the step size is judged, and windows.

    The windows begin at 0.22 of all steps and shrink by 0.03 of them, down to 0.06.

    Example:
        >>> list(checkpoints(100))
        [22, 41, 57, 70, 80, 87, 93, 99]
    """
    window, least, shrink = (max(int(share * steps), 1) for share in (0.22, 0.06, 0.03))
    windows, step = {}, window
    while step <= steps:
        windows[step] = window
        window = max(window - shrink, least)
        step += window
    return windows


def begun(x: Images, y: Labels, start: Images, epsilon: float) -> Standing:
    """Return the state before anything was asked of the network."""
    rows = torch.arange(len(x), device=x.device)
    none = torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device)
    return Standing(
        rows=rows, x=x, y=y, x_adv=start, previous=start, gradient=torch.zeros_like(x), value=none,
        best=start, best_gradient=torch.zeros_like(x), best_value=none,
        step=torch.full_like(none, 2 * epsilon), rises=torch.zeros_like(rows),
        halved=torch.ones_like(rows, dtype=torch.bool), mark=none,
    )  # fmt: skip


def scored(standing: Standing, value: Tensor, gradient: Tensor) -> Standing:
    """Return the state with the present point counted, and kept where it is the best so far."""
    better = value > standing.best_value
    image = per_sample(better, standing.x)
    return replace(
        standing,
        gradient=gradient,
        value=value,
        rises=standing.rises + ((value > standing.value) & standing.value.isfinite()),
        best=torch.where(image, standing.x_adv, standing.best),
        best_gradient=torch.where(image, gradient, standing.best_gradient),
        best_value=torch.where(better, value, standing.best_value),
    )


def adapted(standing: Standing, window: int) -> Standing:
    """Return the state after a checkpoint: where it stalls, the step halved, the best point."""
    stuck = ~standing.halved & (standing.best_value <= standing.mark)
    halve = (standing.rises < RISING * window) | stuck
    image = per_sample(halve, standing.x)
    return replace(
        standing,
        step=torch.where(halve, standing.step / 2, standing.step),
        x_adv=torch.where(image, standing.best, standing.x_adv),
        gradient=torch.where(image, standing.best_gradient, standing.gradient),
        value=torch.where(halve, standing.best_value, standing.value),
        rises=torch.zeros_like(standing.rises),
        halved=halve,
        mark=standing.best_value,
    )


def moved(standing: Standing, settings: APGD | TargetedAPGD, *, momentum: float) -> Standing:
    """Return the state one step on: a projected step, then a part of the last one added to it."""
    x, x_adv, norm = standing.x, standing.x_adv, settings.norm
    ascent = per_sample(standing.step, x) * steepest(standing.gradient, norm)
    z = into_ball(x_adv + ascent, x, settings.epsilon, norm)
    mixed = x_adv + (1 - momentum) * (z - x_adv) + momentum * (x_adv - standing.previous)
    return replace(standing, x_adv=into_ball(mixed, x, settings.epsilon, norm), previous=x_adv)
