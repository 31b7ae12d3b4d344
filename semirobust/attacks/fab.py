"""FAB-T: the nearest point across the boundary to one other class after another.

Croce and Hein (2020), "Minimally distorted adversarial examples with a fast adaptive boundary
attack". Between the label y and a target t the network is taken to be linear; the point is moved
onto the plane logit_t = logit_y, a little beyond, and is drawn towards the clean input. Where the
network is fooled, the point steps back towards the clean input, and the next crossing is nearer.

Departure: a sample leaves as soon as it is fooled within the radius, because flags are all that is
asked; the paper goes on to the smallest distance. No flag changes.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from semirobust.attacks.apgd import likeliest_others
from semirobust.attacks.ball import (
    Norm,
    Outcome,
    SearchAttack,
    check_radius,
    check_steps,
    distance,
    fooled,
    norms,
    per_sample,
    search_each_target,
    value_and_gradient,
)
from semirobust.attacks.noise import Noise
from semirobust.attacks.objectives import towards
from semirobust.attacks.replay import repeated
from semirobust.attacks.width import patience, thinned, widest
from semirobust.types import Classifier, Flags, Images, Labels

TINY = 1e-12
ROUNDS = 50  # of Newton's method; 5 are the most that were seen
RECORDED_ROUNDS = 12  # where nobody can be asked whether one more is needed


class Crossing(NamedTuple):
    """Where the search stands with every sample that it still moves."""

    rows: Tensor
    x: Images
    y: Labels
    target: Labels
    point: Images
    found: Images  # the first point in the ball that fools; x before
    lost: Flags


@dataclass(frozen=True, kw_only=True)
class FAB(SearchAttack):
    """The targeted fast adaptive boundary attack, towards at most ``targets`` classes.

    Args:
        most_clean: Largest weight of the clean input in a step (their alpha_max).
        beyond: How far past the plane a projection goes (their eta).
        back: Part of the way from the clean input kept after a success (their beta).
    """

    epsilon: float
    norm: Norm = "inf"
    steps: int = 100
    targets: int = 9
    most_clean: float = 0.1
    beyond: float = 1.05
    back: float = 0.9

    def __post_init__(self) -> None:
        check_radius(self.epsilon, self.norm)
        check_steps(steps=self.steps, targets=self.targets)

    def search(self, network: Classifier, x: Images, y: Labels, noise: Noise) -> Outcome:
        """Return points inside the ball that fool, x where there is none, and which fool."""
        targets = likeliest_others(network, x, y)[:, : self.targets]

        def run(rows: Tensor, target: Labels, _: Noise) -> Outcome:
            return self.cross_boundary(network, x[rows], y[rows], target)

        return search_each_target(run, targets, x, noise, widest(network, x))

    def cross_boundary(self, network: Classifier, x: Images, y: Labels, target: Labels) -> Outcome:
        """Return points of the ball beyond the boundary to one class each, else x, and which."""
        result, broken = x.clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
        often = patience(x)

        def moved(*state: Tensor) -> Crossing:
            rows, x, y, target, point, found, lost = Crossing(*state)
            point = self.next_point(network, x, y, target, point)
            crossed = fooled(network, point, y)
            first = crossed & (distance(point, x, self.norm) <= self.epsilon) & ~lost
            found = torch.where(per_sample(first, x), point, found)
            kept = per_sample(torch.where(crossed, self.back, 1.0).to(x.dtype), x)
            return Crossing(rows, x, y, target, x + kept * (point - x), found, lost | first)

        move = repeated(moved, network, x, self.steps)
        state = Crossing(torch.arange(len(x), device=x.device), x, y, target, x, x, broken)
        for step in range(self.steps):
            state = Crossing(*(move if step else moved)(*state))
            if (step + 1) % often == 0 and thinned(state.lost):
                gone, left = state.lost.nonzero()[:, 0], (~state.lost).nonzero()[:, 0]
                result[state.rows[gone]], broken[state.rows[gone]] = state.found[gone], True
                if not len(left):
                    return result, broken
                state = Crossing(*(value[left] for value in state))
        result[state.rows], broken[state.rows] = state.found, state.lost
        return result, broken

    def next_point(
        self, network: Classifier, x: Images, y: Labels, target: Labels, point: Images
    ) -> Images:
        """Return the next point: beyond the plane, between the projections of point and of x."""
        _, value, w = value_and_gradient(network, point, y, towards(target))
        w = w.nan_to_num()
        at_clean = value + (w * (x - point)).flatten(1).sum(dim=1)
        start, needed = torch.cat([point, x]), torch.cat([value, at_clean])
        from_point, from_clean = to_plane(start, torch.cat([w, w]), needed, self.norm).chunk(2)
        here, there = (norms(move, float(self.norm)) for move in (from_point, from_clean))
        share = (here / (here + there).clamp_min(TINY)).clamp(0, self.most_clean)
        alpha = per_sample(share, x)
        near, far = x + self.beyond * from_clean, point + self.beyond * from_point
        return ((1 - alpha) * far + alpha * near).clamp(0, 1)


def to_plane(x: Images, w: Tensor, value: Tensor, norm: Norm) -> Tensor:
    """Return the smallest move of x, inside the box, to the plane value + <w, move> = 0.

    Coordinate i moves with a speed of its own (1 for the inf-norm, |w_i| for the 2-norm) until it
    meets the box, so that the value changes by sum_i a_i min(time, r_i), a concave function of time
    with slopes a_i and arrivals r_i. Newton's method from 0 never passes its root and meets it
    after finitely many pieces. Where the box does not reach the plane, every coordinate arrives.
    """
    w, flat = (-value.sign()[:, None] * w.flatten(1)), x.flatten(1)
    speed = torch.ones_like(w) if norm == "inf" else w.abs()
    room = torch.where(w > 0, 1 - flat, flat)
    slope, arrival = w.abs() * speed, room / speed.clamp_min(TINY)
    time, needed = torch.zeros_like(value), value.abs()
    recording = x.is_cuda and torch.cuda.is_current_stream_capturing()
    often = RECORDED_ROUNDS + 1 if recording else patience(x)
    for step in range(RECORDED_ROUNDS if recording else ROUNDS):
        missing = needed - (slope * torch.minimum(time[:, None], arrival)).sum(dim=1)
        still = torch.where(arrival > time[:, None], slope, 0).sum(dim=1)
        going = (missing > 1e-6 * needed) & (still > 0)
        advance = torch.where(going, missing / still.clamp_min(TINY), 0)
        if step % often == often - 1 and not going.any():
            break
        time = time + advance
    move = w.sign() * speed * torch.minimum(time[:, None], arrival)
    return move.view_as(x)
