"""Robust accuracy with everything a sceptic asks for beside it.

A sample counts as robust if the network is right on it, and on every point that any of the attacks
found. Samples that one attack breaks are not given to the next, so the worst case over all attacks
is what is reported, sample by sample, and costs no more than it must.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias, cast

import torch
from torch import Generator, Tensor

from semirobust.attacks.apgd import APGD
from semirobust.attacks.ball import Norm, Outcome, SearchAttack, fooled, prepared, share
from semirobust.attacks.noise import Noise, sample_noise
from semirobust.attacks.width import widest
from semirobust.data import check_labels
from semirobust.evaluation.canaries import (
    Canary,
    gives_logits,
    has_gradients,
    is_function,
    recomputed,
    snapshot,
    stands_in,
    unchanged,
    within_budget,
)
from semirobust.progress import watched
from semirobust.types import Attack, Classifier, Flags, Images, Labels, Logits

Protocol: TypeAlias = Literal["whitebox", "static"]
LOOKS = 50  # samples on which gradients and answers are looked at
CLOSING = "on the network itself"  # a short search for what a stand-in hides


@dataclass
class Counted:
    """A network that counts the samples that go through it, forwards and backwards."""

    network: Classifier
    forward: int = 0
    backward: int = 0

    def __call__(self, x: Images) -> Logits:
        """Return the logits; count the samples, and once more when their gradient comes back."""
        logits = self.network(x)
        self.forward += len(x)
        if logits.requires_grad:
            logits.register_hook(self.returned)  # type: ignore[no-untyped-call]
        return logits

    def again(self, samples: int) -> None:
        """Count samples of a call, there and back, that a recording makes in its place."""
        self.forward, self.backward = self.forward + samples, self.backward + samples

    def returned(self, gradient: Tensor) -> None:
        self.backward += len(gradient)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What an evaluation found; ``check()`` lists what speaks against believing it.

    Args:
        protocol: "whitebox": the network itself was attacked; "static": another in its place.
        epsilon: Largest radius among the attacks, in input units; None where one has none.
        given: Which samples each attack was given: those that stood all before it.
        standing: Which samples stood everything: the robust ones.
        x_adv: The points that broke them, or the last that were tried.
        forward: Samples that went forwards through the attacked network.
    """

    protocol: Protocol
    attacks: dict[str, str]
    epsilon: float | None
    norm: Norm
    seed: int
    clean: Flags
    given: dict[str, Flags]
    broken: dict[str, Flags]
    standing: Flags
    x_adv: Images = field(repr=False)
    forward: int
    backward: int
    canaries: tuple[Canary, ...]

    @property
    def n(self) -> int:
        return len(self.clean)

    @property
    def accuracy(self) -> float:
        return share(self.standing)

    @property
    def clean_accuracy(self) -> float:
        return share(self.clean)

    @property
    def two_errors(self) -> float:
        """Return two standard errors of the accuracy, from the number of samples alone."""
        return 2 * (self.accuracy * (1 - self.accuracy) / max(self.n, 1)) ** 0.5

    def check(self) -> list[Canary]:
        """Return the checks that failed, each with its reason; an empty list is good news."""
        return [canary for canary in self.canaries if not canary.passed]

    def as_record(self) -> dict[str, Any]:
        """Return everything but the images, as JSON knows it."""
        return {
            "protocol": self.protocol,
            "norm": self.norm,
            "epsilon_255": None if self.epsilon is None else round(255 * self.epsilon, 6),
            "seed": self.seed,
            "n": self.n,
            "clean_accuracy": self.clean_accuracy,
            "accuracy": self.accuracy,
            "two_standard_errors": self.two_errors,
            "attacks": self.attacks,
            "given": {name: int(flags.sum()) for name, flags in self.given.items()},
            "broken": {name: int(flags.sum()) for name, flags in self.broken.items()},
            "standing": "".join("01"[flag] for flag in self.standing.int().tolist()),
            "forward_passes": self.forward,
            "backward_passes": self.backward,
            "canaries": [asdict(canary) for canary in self.canaries],
        }


def robust_accuracy(
    network: Classifier,
    x: Images,
    y: Labels,
    attacks: Attack | Mapping[str, Attack],
    *,
    seed: int = 0,
    batch: int = 100,
    surrogate: Classifier | None = None,
    stand_in: Classifier | None = None,
) -> Report:
    """Return the report of the worst case over all attacks, with the checks that need no attack.

    Attacks are run in their order. The seed is of the samples' noise, and nothing else is random;
    no flag depends on the batch, and a GPU is given as much as its memory holds. A ``surrogate`` is
    attacked in the place of the network (protocol "static"). A ``stand_in`` is a faster copy on
    which the search is made (see ``stand_in``): what is found counts where it fools the network;
    what does not is searched for there again, and what stands it all once more, more briefly.
    """
    if surrogate is not None and stand_in is not None:
        raise ValueError("a surrogate is attacked itself: leave out stand_in")
    named = dict(attacks) if isinstance(attacks, Mapping) else {type(attacks).__name__: attacks}
    if not len(y):
        raise ValueError("need at least 1 image to evaluate")
    check_labels(y)
    if not named:
        raise ValueError("no attack was given: clean accuracy is training.accuracy")
    before, target = snapshot(network), network if surrogate is None else surrogate
    with prepared(network, x, y) as classifier, prepared(target, x, y) as attacked:
        counted = Counted(attacked)
        clean = ~scored(classifier, x, y, batch)
        judge = None if surrogate is None else classifier
        counted_too = None if stand_in is None else Counted(stand_in)
        search = WorstCase(
            counted, judge, counted_too, x, y, clean.clone(), x.detach().clone(), batch
        )
        for name, member in members(named, seed).items():
            search.run(name, member, torch.Generator().manual_seed(seed))
        epsilon, norm = threat(named)
        if stand_in is not None and epsilon is not None:
            named[CLOSING] = closing = APGD(epsilon=epsilon, norm=norm, steps=20)
            search.stand_in = None
            search.run(CLOSING, closing, torch.Generator().manual_seed(seed))
        lost = scored(classifier, search.x_adv, y, batch)
        looks: tuple[Canary, ...] = (
            has_gradients(classifier, x[:LOOKS], y[:LOOKS]),
            is_function(classifier, x[:LOOKS]),
            gives_logits(classifier, x[:LOOKS]),
        )
        if stand_in is not None:
            missed = search.broken.get(CLOSING, lost[:0])
            looks += stands_in(classifier, stand_in, x[:LOOKS], y[:LOOKS], missed)
    return Report(
        protocol="whitebox" if surrogate is None else "static",
        attacks={name: repr(attack) for name, attack in named.items()},
        epsilon=epsilon,
        norm=norm,
        seed=seed,
        clean=clean,
        given=search.given,
        broken=search.broken,
        standing=search.standing & ~lost,
        x_adv=search.x_adv,
        forward=counted.forward + (counted_too.forward if counted_too else 0),
        backward=counted.backward + (counted_too.backward if counted_too else 0),
        canaries=(
            within_budget(search.x_adv, x, epsilon, norm),
            recomputed(~search.standing, lost),
            unchanged(before, snapshot(network)),
            *looks,
        ),
    )


@dataclass
class WorstCase:
    """Where the search for the worst case stands."""

    attacked: Classifier
    judge: Classifier | None  # whose answer counts, where another network is attacked
    stand_in: Classifier | None
    x: Images
    y: Labels
    standing: Flags
    x_adv: Images
    batch: int
    given: dict[str, Flags] = field(default_factory=dict)
    broken: dict[str, Flags] = field(default_factory=dict)

    def run(self, name: str, member: SearchAttack, generator: Generator) -> None:
        """Give one attack the samples that stand, a batch at a time."""
        noise = sample_noise(generator, self.x)
        self.given[name], self.broken[name] = self.standing, torch.zeros_like(self.standing)
        batch = widest(self.attacked, self.x, self.batch)
        for rows in watched(torch.split(self.standing.nonzero()[:, 0], batch), name):
            self.x_adv[rows], self.broken[name][rows] = self.outcome(member, rows, noise[rows])
        self.standing = self.standing & ~self.broken[name]

    def outcome(self, member: SearchAttack, rows: Tensor, noise: Noise) -> Outcome:
        """Return the points that one attack finds on some samples, and which of them count."""
        x, y = self.x[rows], self.y[rows]
        x_adv, lost = member.search(self.stand_in or self.attacked, x, y, noise)
        if self.judge is not None:
            lost = fooled(self.judge, x_adv, y)
        if self.stand_in is not None:
            claimed, lost = lost, fooled(self.attacked, x_adv, y)
            again = claimed & ~lost
            if again.any():
                x_adv[again], lost[again] = member.search(
                    self.attacked, x[again], y[again], noise[again]
                )
        return x_adv, lost


@dataclass(frozen=True)
class Called(SearchAttack):
    """An attack that only returns points, with a search that tells which of them fool."""

    attack: Attack
    generator: Generator

    def search(self, network: Classifier, x: Images, y: Labels, noise: Noise) -> Outcome:  # noqa: ARG002
        x_adv = self.attack(network, x, y, generator=self.generator)
        return x_adv, fooled(network, x_adv, y)


def members(attacks: Mapping[str, Attack], seed: int) -> dict[str, SearchAttack]:
    """Return the attacks by name, an ensemble as its members."""
    named: dict[str, SearchAttack] = {}
    for name, attack in attacks.items():
        if hasattr(attack, "members"):
            lead = f"{name}: " if len(attacks) > 1 else ""
            named |= {lead + part: member for part, member in attack.members().items()}
        elif hasattr(attack, "search"):
            named[name] = cast("SearchAttack", attack)
        else:
            named[name] = Called(attack, torch.Generator().manual_seed(seed))
    return named


def threat(attacks: Mapping[str, Attack]) -> tuple[float | None, Norm]:
    """Return the largest radius among the attacks, None where one has none, and their norm."""
    radii = [getattr(attack, "epsilon", None) for attack in attacks.values()]
    known = [radius for radius in radii if radius is not None]
    two = [getattr(a, "norm", "2" if hasattr(a, "kappa") else "inf") for a in attacks.values()]
    norm: Norm = "2" if "2" in two else "inf"
    return (max(known) if len(known) == len(radii) else None), norm


def scored(network: Classifier, x: Images, y: Labels, batch: int) -> Flags:
    """Return which samples fool the network, a batch at a time."""
    pairs = zip(torch.split(x, batch), torch.split(y, batch), strict=True)
    parts = [fooled(network, some, labels) for some, labels in pairs]
    return torch.cat(parts) if len(x) else torch.zeros(0, dtype=torch.bool, device=x.device)
