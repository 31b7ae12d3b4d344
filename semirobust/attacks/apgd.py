"""APGD: projected ascent that chooses its own step size (Croce and Hein, 2020, Alg. 1).

The step starts at twice the radius. At checkpoints it is halved, and the run goes back to its best
point, where too few of the last steps rose (fewer than 3/4) or where neither the step nor the best
value changed since the checkpoint before. A fooled sample keeps its point and leaves the batch when
it is next asked who is fooled; no flag changes, because no sample knows of another.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from semirobust.attacks.ball import (
    Norm,
    Outcome,
    SearchAttack,
    check_radius,
    check_steps,
    per_sample,
    project,
    random_on_sphere,
    search_each_target,
    search_in_turn,
    steepest_direction,
    value_and_gradient,
    wrong,
)
from semirobust.attacks.noise import Noise
from semirobust.attacks.objectives import OBJECTIVES, TARGETED, Objective, check_choice, others
from semirobust.attacks.replay import repeated
from semirobust.attacks.width import patience, thinned, widest
from semirobust.types import Classifier, Images, Labels

RISING = 0.75  # share of the steps between two checkpoints that must rise
MOMENTUM = 0.25
Chooser: TypeAlias = Callable[[Tensor], Objective]  # the rows that remain -> their objective


@dataclass(frozen=True, kw_only=True)
class APGD(SearchAttack):
    """APGD on one loss; every run starts at a random point of the sphere of its own."""

    epsilon: float
    norm: Norm = "inf"
    steps: int = 100
    restarts: int = 1
    loss: Literal["cross-entropy", "margin", "dlr"] = "cross-entropy"

    def __post_init__(self) -> None:
        check_radius(self.epsilon, self.norm)
        check_steps(steps=self.steps, restarts=self.restarts)
        check_choice("loss", self.loss, OBJECTIVES)

    def search(self, network: Classifier, x: Images, y: Labels, noise: Noise) -> Outcome:
        objective = OBJECTIVES[self.loss]

        def run(rows: Tensor, noise: Noise) -> Outcome:
            start = random_on_sphere(x[rows], self.epsilon, self.norm, noise)
            return adaptive_ascent(network, x[rows], y[rows], start, lambda _: objective, self)

        return search_in_turn([run] * self.restarts, x, noise)


@dataclass(frozen=True, kw_only=True)
class TargetedAPGD(SearchAttack):
    """APGD towards one other class after another, the likeliest first; called APGD-T.

    At most ``targets`` classes are tried. The loss is "dlr" for the targeted ratio, "margin" for
    logit_target - logit_y.
    """

    epsilon: float
    norm: Norm = "inf"
    steps: int = 100
    targets: int = 9
    loss: Literal["dlr", "margin"] = "dlr"

    def __post_init__(self) -> None:
        check_radius(self.epsilon, self.norm)
        check_steps(steps=self.steps, targets=self.targets)
        check_choice("loss", self.loss, TARGETED)

    def search(self, network: Classifier, x: Images, y: Labels, noise: Noise) -> Outcome:
        targets = likeliest_others(network, x, y)[:, : self.targets]
        towards = TARGETED[self.loss]

        def run(rows: Tensor, target: Labels, noise: Noise) -> Outcome:
            start = random_on_sphere(x[rows], self.epsilon, self.norm, noise)
            objective = lambda left: towards(target[left])  # noqa: E731
            return adaptive_ascent(network, x[rows], y[rows], start, objective, self)

        return search_each_target(run, targets, x, noise, widest(network, x))


@torch.no_grad()
def likeliest_others(network: Classifier, x: Images, y: Labels) -> Labels:
    """Return the classes but the label, the likeliest on the clean input first, N x (K-1)."""
    return others(network(x), y).argsort(dim=1, descending=True)[:, :-1]


class AscentState(NamedTuple):
    """What the ascent knows of the samples that it still asks, one row each."""

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
    rises: Tensor  # steps since the last checkpoint that raised the value
    halved: Tensor  # whether the last checkpoint halved the step
    best_before: Tensor  # the best value at the last checkpoint
    momentum: Tensor  # part of the step before that is taken again: none of the first


def adaptive_ascent(
    network: Classifier,
    x: Images,
    y: Labels,
    start: Images,
    objective: Chooser,
    settings: APGD | TargetedAPGD,
) -> Outcome:
    """Return each sample's first fooling point, or else its best point, and which samples fool."""
    result, broken = start.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    windows, often = checkpoints(settings.steps), patience(x)

    def seen(state: AscentState) -> AscentState:
        logits, value, gradient = value_and_gradient(
            network, state.x_adv, state.y, objective(state.rows)
        )
        return with_values(state, torch.where(wrong(logits, state.y), torch.inf, value), gradient)

    def moved(*state: Tensor) -> AscentState:
        return seen(with_next_point(AscentState(*state), settings))

    move = repeated(moved, network, x, settings.steps)
    state = seen(initial_state(x, y, start, settings.epsilon))
    for step in range(settings.steps + 1):
        if (step + 1) % often == 0 and thinned(lost := state.best_value == torch.inf):
            gone, left = lost.nonzero()[:, 0], (~lost).nonzero()[:, 0]
            result[state.rows[gone]], broken[state.rows[gone]] = state.best[gone], True
            if not len(left):
                return result, broken
            state = AscentState(*(value[left] for value in state))
        if step in windows:
            state = with_adapted_step(state, windows[step])
        if step < settings.steps:
            state = AscentState(*move(*state))
    result[state.rows], broken[state.rows] = state.best, state.best_value == torch.inf
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


def initial_state(x: Images, y: Labels, start: Images, epsilon: float) -> AscentState:
    rows = torch.arange(len(x), device=x.device)
    unknown = torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device)
    return AscentState(
        rows=rows, x=x, y=y, x_adv=start, previous=start, best=start,
        gradient=torch.zeros_like(x), value=unknown,
        best_gradient=torch.zeros_like(x), best_value=unknown,
        step=torch.full_like(unknown, 2 * epsilon), rises=torch.zeros_like(rows),
        halved=torch.ones_like(rows, dtype=torch.bool), best_before=unknown,
        momentum=torch.zeros_like(unknown),
    )  # fmt: skip


def with_values(state: AscentState, value: Tensor, gradient: Tensor) -> AscentState:
    """Return the state with the values at the present point, kept where it is the best so far."""
    better = value > state.best_value
    image = per_sample(better, state.x)
    return state._replace(
        gradient=gradient,
        value=value,
        rises=state.rises + ((value > state.value) & state.value.isfinite()),
        best=torch.where(image, state.x_adv, state.best),
        best_gradient=torch.where(image, gradient, state.best_gradient),
        best_value=torch.where(better, value, state.best_value),
    )


def with_adapted_step(state: AscentState, window: int) -> AscentState:
    """Return the state after a checkpoint: where it stalls, half the step, from the best point."""
    stuck = ~state.halved & (state.best_value <= state.best_before)
    halve = (state.rises < RISING * window) | stuck
    image = per_sample(halve, state.x)
    return state._replace(
        step=torch.where(halve, state.step / 2, state.step),
        x_adv=torch.where(image, state.best, state.x_adv),
        gradient=torch.where(image, state.best_gradient, state.gradient),
        value=torch.where(halve, state.best_value, state.value),
        rises=torch.zeros_like(state.rises),
        halved=halve,
        best_before=state.best_value,
    )


def with_next_point(state: AscentState, settings: APGD | TargetedAPGD) -> AscentState:
    """Return the state after one more step, projected, with a part of the step before it."""
    x, x_adv, norm = state.x, state.x_adv, settings.norm
    momentum = per_sample(state.momentum, x)
    ascent = per_sample(state.step, x) * steepest_direction(state.gradient, norm)
    z = project(x_adv + ascent, x, settings.epsilon, norm)
    mixed = x_adv + (1 - momentum) * (z - x_adv) + momentum * (x_adv - state.previous)
    return state._replace(
        x_adv=project(mixed, x, settings.epsilon, norm),
        previous=x_adv,
        momentum=torch.full_like(state.momentum, MOMENTUM),
    )
