"""AutoAttack, and two faster ensembles of attacks that are not AutoAttack.

Only the full standard set of Croce and Hein (2020) bears the name: APGD on the cross-entropy
(100 steps), targeted APGD on the difference-of-logits ratio (100 steps towards each of 9 classes),
targeted FAB (the same), Square (5,000 queries). A sample that one member fools is not given to the
next.
"""

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from torch import Tensor

from semirobust.attacks.apgd import APGD, TargetedAPGD
from semirobust.attacks.ball import (
    Norm,
    Outcome,
    Search,
    SearchAttack,
    check_radius,
    fooled,
    search_in_turn,
)
from semirobust.attacks.fab import FAB
from semirobust.attacks.noise import Noise
from semirobust.attacks.square import Square
from semirobust.types import Classifier, Images, Labels

Members: TypeAlias = dict[str, SearchAttack]


class Ensemble(SearchAttack, Protocol):
    """Attacks in turn, each given the samples that survived all before it."""

    def members(self) -> Members: ...

    def search(self, network: Classifier, x: Images, y: Labels, noise: Noise) -> Outcome:

        def clean(rows: Tensor, _: Noise) -> Outcome:
            return x[rows], fooled(network, x[rows], y[rows])

        def of(attack: SearchAttack) -> Search:
            return lambda rows, noise: attack.search(network, x[rows], y[rows], noise)

        return search_in_turn([clean, *map(of, self.members().values())], x, noise)


@dataclass(frozen=True, kw_only=True)
class AutoAttack(Ensemble):
    """The standard version: APGD-CE, APGD-T, FAB-T and Square with their official settings."""

    epsilon: float
    norm: Norm = "inf"

    def __post_init__(self) -> None:
        check_radius(self.epsilon, self.norm)

    def members(self) -> Members:
        return {
            "apgd-ce": APGD(epsilon=self.epsilon, norm=self.norm),
            "apgd-t": TargetedAPGD(epsilon=self.epsilon, norm=self.norm),
            "fab-t": FAB(epsilon=self.epsilon, norm=self.norm),
            "square": Square(epsilon=self.epsilon, norm=self.norm),
        }


@dataclass(frozen=True, kw_only=True)
class Headline(Ensemble):
    """AutoAttack's first two members, APGD-CE and APGD-T, for comparisons on many images.

    The same search: on shared images AutoAttack finds all that this finds, and FAB and Square
    rarely anything more, at three to four times the passes.
    """

    epsilon: float
    norm: Norm = "inf"

    def __post_init__(self) -> None:
        check_radius(self.epsilon, self.norm)

    def members(self) -> Members:
        whole = AutoAttack(epsilon=self.epsilon, norm=self.norm).members()
        return {name: whole[name] for name in ("apgd-ce", "apgd-t")}


@dataclass(frozen=True, kw_only=True)
class FastEnsemble(Ensemble):
    """APGD-CE (100 steps), then APGD towards the 4 likeliest classes on the margin (25 steps each).

    For ranking and for use inside a procedure. It is not AutoAttack and may state a little more
    robustness; numbers that are reported come from ``AutoAttack``.
    """

    epsilon: float
    norm: Norm = "inf"
    steps: int = 100
    targeted_steps: int = 25
    targets: int = 4

    def __post_init__(self) -> None:
        check_radius(self.epsilon, self.norm)

    def members(self) -> Members:
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
