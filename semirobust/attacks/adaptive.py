"""Attacks that know how a network was put together: (f_a*, f_b) through the cut and from its parts.

A spliced network may hide its weakness from a plain search. So its features at the cut are driven
away from the clean ones, and searches also begin where the networks it was made of are fooled.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Generator, nn

from semirobust.attacks.apgd import APGD
from semirobust.attacks.ball import (
    check_radius,
    check_steps,
    fooled,
    input_gradient,
    prepared,
    project,
    uniform_in_ball,
)
from semirobust.attacks.gradient import PGD, strong_pgd
from semirobust.attacks.noise import sample_noise
from semirobust.attacks.objectives import squared_distance_from
from semirobust.layers import split
from semirobust.types import Attack, Classifier, Images, Labels


@dataclass(frozen=True, kw_only=True)
class FeaturePGD:
    """Ascent on ‖f_a(x + delta) - f_a(x)‖^2, the change of the features at the cut.

    ``front`` is f_a of the network under attack, and shares its weights.
    """

    front: nn.Module = field(repr=False)
    epsilon: float
    step_size: float
    steps: int = 20

    def __post_init__(self) -> None:
        check_radius(self.epsilon)
        check_steps(steps=self.steps)

    def __call__(
        self, network: Classifier, x: Images, y: Labels, *, generator: Generator
    ) -> Images:
        """Return for each sample the first point on the way that fools, or the last one."""
        x = x.detach()
        result = uniform_in_ball(x, self.epsilon, sample_noise(generator, x))
        with prepared(network, x, y) as classifier, prepared(self.front, x, y * 0):
            with torch.no_grad():
                clean = self.front(x)
            for _ in range(self.steps):
                left = (~fooled(classifier, result, y)).nonzero()[:, 0]
                if not len(left):
                    break
                objective = squared_distance_from(clean[left])
                ascent = input_gradient(self.front, result[left], y[left], objective).sign()
                moved = result[left] + self.step_size * ascent
                result[left] = project(moved, x[left], self.epsilon)
        return result


@dataclass(frozen=True, kw_only=True)
class FromElsewhere:
    """PGD that begins at the points where it fools another network, the source."""

    source: Classifier = field(repr=False)
    attack: PGD

    @property
    def epsilon(self) -> float:
        return self.attack.epsilon

    def __call__(
        self, network: Classifier, x: Images, y: Labels, *, generator: Generator
    ) -> Images:
        start = self.attack(self.source, x, y, generator=generator)
        unmoved = Generator(device=generator.device).manual_seed(0)
        return self.attack(network, x, y, generator=unmoved, start=start)


def adaptive_attacks(
    network: nn.Sequential, a: int, epsilon: float, sources: Mapping[str, Classifier]
) -> dict[str, Attack]:
    """Return the attacks of check 15 on (f_a, f_b), for ``robust_accuracy``.

    ``sources`` are the networks it was made of, by name, such as f and f*.
    """
    ascent = strong_pgd(epsilon, stop_when_fooled=False)
    return {
        "end to end": APGD(epsilon=epsilon),
        "features at the cut": FeaturePGD(
            front=split(network, a)[0], epsilon=epsilon, step_size=epsilon / 4
        ),
        **{
            f"from {name}": FromElsewhere(source=source, attack=ascent)
            for name, source in sources.items()
        },
    }
