"""C&W: the smallest 2-norm perturbation that fools (Carlini and Wagner, 2017, Sec. VI-A).

    minimise ‖delta‖^2 + c * max(logit_y - max of the others + kappa, 0),  x + delta in [0, 1]

by Adam, for the smallest c that still fools, found by bisection for each sample.

Departures: the box is kept by projecting after every step, where the paper writes x + delta as a
tanh, under which a pixel at exactly 0 or 1 has gradient zero and never moves. Adam's rate falls to
zero within a search, and at the end each point is drawn towards the clean input as far as it fools.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from semirobust.attacks.ball import (
    Outcome,
    SearchAttack,
    check_radius,
    check_steps,
    norms,
    per_sample,
    value_and_gradient,
    wrong,
)
from semirobust.attacks.noise import Noise
from semirobust.attacks.objectives import margin
from semirobust.types import Classifier, Flags, Images, Labels, Logits


@dataclass(frozen=True, kw_only=True)
class CarliniWagner(SearchAttack):
    """C&W with bisection over c; ``searches=1`` keeps c as it is given, as the paper's tables do.

    ``searches`` values of c are tried, ``steps`` of Adam each. A result counts within the 2-ball of
    radius ``epsilon``; None counts them all.
    """

    c: float = 1.0
    kappa: float = 0.0
    steps: int = 50
    learning_rate: float = 0.01
    searches: int = 9
    epsilon: float | None = None

    def __post_init__(self) -> None:
        check_radius(0 if self.epsilon is None else self.epsilon, "2")
        check_steps(steps=self.steps, searches=self.searches)
        for name in ("c", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not self.kappa >= 0:
            raise ValueError(f"kappa must not be negative, got {self.kappa}")

    def search(self, network: Classifier, x: Images, y: Labels, noise: Noise) -> Outcome:
        """Return the nearest points found that fool, x where there is none, and which fool."""
        nearest, length = x.detach().clone(), torch.full_like(x.flatten(1)[:, 0], torch.inf)
        low, high = torch.zeros_like(length), torch.full_like(length, torch.inf)
        c = torch.full_like(length, self.c)
        for _ in range(self.searches):
            point, found = self.descend(network, x, y, c)
            nearer = found < length
            nearest = torch.where(per_sample(nearer, x), point, nearest)
            length = torch.minimum(length, found)
            low = torch.where(found.isfinite(), low, c)
            high = torch.where(found.isfinite(), c, high)
            c = torch.where(high.isfinite(), (low + high) / 2, 10 * c)
        nearest, length = self.shrunk(network, x, y, nearest)
        counts = length <= (torch.inf if self.epsilon is None else self.epsilon)
        counts &= length.isfinite()
        return torch.where(per_sample(counts, x), nearest, x), counts

    @torch.no_grad()
    def shrunk(
        self, network: Classifier, x: Images, y: Labels, point: Images
    ) -> tuple[Images, Tensor]:
        """Return the point nearest to x on the segment that still fools, and its distance."""
        low, high = torch.zeros_like(x.flatten(1)[:, 0]), torch.full_like(x.flatten(1)[:, 0], 1.0)
        for _ in range(10):
            share = (low + high) / 2
            lost = self.fools(network(x + per_sample(share, x) * (point - x)), y)
            low, high = torch.where(lost, low, share), torch.where(lost, share, high)
        point = x + per_sample(high, x) * (point - x)
        lost = self.fools(network(point), y)
        return point, torch.where(lost, norms(point - x), torch.inf)

    def fools(self, logits: Logits, y: Labels) -> Flags:
        return wrong(logits, y) & (margin(logits, y) <= -self.kappa)

    def descend(
        self, network: Classifier, x: Images, y: Labels, c: Tensor
    ) -> tuple[Images, Tensor]:
        """Return the nearest fooling point of one search and its distance (inf: there was none)."""

        def hinge(logits: Logits, y: Labels) -> Tensor:
            return (margin(logits, y) + self.kappa).clamp_min(0)

        nearest, length = x, torch.full_like(c, torch.inf)
        point = x.detach().clone()
        adam = torch.optim.Adam([point])
        for step in range(self.steps + 1):
            logits, _, gradient = value_and_gradient(network, point, y, hinge)
            distance = norms(point - x)
            nearer = self.fools(logits, y) & (distance < length)
            nearest = torch.where(per_sample(nearer, x), point, nearest)
            length = torch.where(nearer, distance, length)
            point.grad = per_sample(c, x) * gradient + 2 * (point - x)
            rate = self.learning_rate * (1 + math.cos(math.pi * step / self.steps)) / 2
            adam.param_groups[0]["lr"] = rate
            adam.step()
            point.clamp_(0, 1)
        return nearest, length
