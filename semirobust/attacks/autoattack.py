"""AutoAttack, and a faster row of attacks that is not AutoAttack.

Only the full standard set of Croce and Hein (2020) bears the name: APGD on the cross-entropy
(100 steps), targeted APGD on the ratio (100 steps towards each of 9 classes), targeted FAB (the
same), Square (5,000 queries). A sample that one member fools is not given to the next.
"""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from torch import Generator

from semirobust.attacks.apgd import APGD, TargetedAPGD
from semirobust.attacks.ball import Found, Norm, Search, attacking, cascade, check_radius, fooled
from semirobust.attacks.fab import FAB
from semirobust.attacks.noise import Noise, sample_noise
from semirobust.attacks.square import Square
from semirobust.types import Classifier, Images, Labels


class Member(Protocol):
    """An attack that tells which samples it fooled."""

    def search(self, network: Classifier, x: Images, y: Labels, noise: Noise) -> Found:
        """Return the perturbed inputs, and which of them fool the network."""
        ...


Members: TypeAlias = dict[str, Member]


@dataclass(frozen=True, kw_only=True)
class AutoAttack:
    """The standard version: APGD-CE, APGD-T, FAB-T and Square with their official settings.

    Args:
        epsilon: Radius of the ball, in units of the input (8/255, not 8).
        norm: "inf" or "2".
    """

    epsilon: float
    norm: Norm = "inf"

    def __post_init__(self) -> None:
        """Reject settings that cannot be meant."""
        check_radius(self.epsilon, self.norm)

    def members(self) -> Members:
        """Return the members in their order, by name."""
        return {
            "apgd-ce": APGD(epsilon=self.epsilon, norm=self.norm),
            "apgd-t": TargetedAPGD(epsilon=self.epsilon, norm=self.norm),
            "fab-t": FAB(epsilon=self.epsilon, norm=self.norm),
            "square": Square(epsilon=self.epsilon, norm=self.norm),
        }

    def __call__(
        self, network: Classifier, x: Images, y: Labels, *, generator: Generator
    ) -> Images:
        """Return the perturbed inputs x + delta, detached from the graph."""
        return in_turn(self.members(), network, x, y, generator)


@dataclass(frozen=True, kw_only=True)
class FastEnsemble:
    """APGD-CE (100 steps), then APGD towards the 4 likeliest classes on the margin (25 steps each).

    For ranking and for use inside a procedure. It is not AutoAttack and may state a little more
    robustness; numbers that are reported come from ``AutoAttack``.

    Args:
        epsilon: Radius of the ball, in units of the input (8/255, not 8).
        norm: "inf" or "2".
        steps: Number of steps on the cross-entropy.
        targeted_steps: Number of steps towards each class.
        targets: Number of classes.
    """

    epsilon: float
    norm: Norm = "inf"
    steps: int = 100
    targeted_steps: int = 25
    targets: int = 4

    def __post_init__(self) -> None:
        """Reject settings that cannot be meant."""
        check_radius(self.epsilon, self.norm)

    def members(self) -> Members:
        """Return the members in their order, by name."""
        return {
            "apgd-ce": APGD(epsilon=self.epsilon, norm=self.norm, steps=self.steps),
            "apgd-t-margin": TargetedAPGD(
                epsilon=self.epsilon,
                norm=self.norm,
                steps=self.targeted_steps,
                targets=self.targets,
                loss="margin",
            ),
        }

    def __call__(
        self, network: Classifier, x: Images, y: Labels, *, generator: Generator
    ) -> Images:
        """Return the perturbed inputs x + delta, detached from the graph."""
        return in_turn(self.members(), network, x, y, generator)


def in_turn(
    members: Members, network: Classifier, x: Images, y: Labels, generator: Generator
) -> Images:
    """Return what the members find, each taking on the samples that stood all before it."""

    def of(member: Member) -> Search:
        return lambda rows, noise: member.search(classifier, x[rows], y[rows], noise)

    with attacking(network, x, y) as classifier:
        first: Search = lambda rows, _: (x[rows], fooled(classifier, x[rows], y[rows]))  # noqa: E731
        searches = [first, *(of(member) for member in members.values())]
        return cascade(searches, x, sample_noise(generator, x))[0]
