"""Robust tickets, run and measured: frozen settings, and the tables of one row.

A row is one data set and one training. Its tables: ``levels`` (a record for each network of each
level) and ``autoattack`` (dense networks and final tickets under the official white-box attack).
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from semirobust.attacks.autoattack import AutoAttack
from semirobust.attacks.gradient import FGSM, PGD
from semirobust.data import DataSet, Part, Samples, device, select, subset, to_bytes
from semirobust.evaluation.report import robust_accuracy
from semirobust.experiments.nodes import kept
from semirobust.experiments.study import PARTS, Making, Progress, Run
from semirobust.results.artefacts import Artefact
from semirobust.tickets.batched import Masks, Steps, Weights, chain, correct, full_masks
from semirobust.tickets.pruning import Tickets, last_networks, levels, restored, share_left
from semirobust.training.files import content
from semirobust.training.fitting import Epoch

TRAININGS = ("pgd", "fgsm")


@dataclass(frozen=True, kw_only=True)
class Hunt:
    """A search for tickets with the way it is measured."""

    tickets: Tickets
    data: Part
    epsilon: float = 0.3  # radius of every attack, in input units
    side: int = 28  # height and width that grey images are averaged to
    images: int | None = 100  # test images of AutoAttack; None leaves it out
    attacked: int = 1  # trials whose networks AutoAttack is run on

    @property
    def title(self) -> str:
        words = f"{self.data.name} {self.training} {self.epsilon:g}"
        return f"{words}, {self.tickets.steps.iterations} steps"

    @property
    def training(self) -> str:
        attack = self.tickets.steps.attack
        return "standard" if attack is None else type(attack).__name__.lower()

    @property
    def strong(self) -> PGD:
        """Return the attack of the test images: 20 steps of a sixth of the radius, as published."""
        return PGD(epsilon=self.epsilon, step_size=self.epsilon / 6, steps=20)


def hunt(
    name: str, training: str, iterations: int, *, epsilon: float = 0.3, **settings: Any
) -> Hunt:
    """Return a row: 10 steps of a sixth of the radius, as published, for PGD."""
    attacks = {
        "standard": None,
        "fgsm": FGSM(epsilon=epsilon),
        "pgd": PGD(epsilon=epsilon, step_size=epsilon / 6, steps=10, random_start=False),
    }
    steps = Steps(iterations=iterations, attack=attacks[training])
    return Hunt(tickets=Tickets(steps=steps), data=Part(name=name), epsilon=epsilon, **settings)


def hunts(profile: str) -> tuple[Hunt, ...]:
    """Return the rows of a profile.

    The images of digits have 8 x 8 pixels, on which a radius of 0.3 leaves nothing to recognise:
    0.1 is taken there. The cpu profile cuts MNIST to 10,000 images of 14 x 14 pixels and has a row
    at 0.1 as well, because so few steps do not reach far at 0.3.
    """
    if profile == "smoke":
        row = hunt("digits", "pgd", 40, epsilon=0.1, side=8, images=None)
        few = replace(row.tickets, levels=5, trials=2, rates=(0.5, 0.5, 0.3), looks=2)
        return (replace(row, tickets=few),)
    if profile == "cpu":
        digits = [hunt("digits", kind, 200, epsilon=0.1, side=8) for kind in TRAININGS]
        mnist = [_cut(hunt("mnist", kind, 200, side=14)) for kind in TRAININGS]
        near = _cut(hunt("mnist", "pgd", 160, epsilon=0.1, side=14))
        longer = _cut(hunt("mnist", "pgd", 800, side=14))
        return (digits[0], mnist[0], near, digits[1], mnist[1], longer, *_of_fashion())
    return tuple(
        hunt(name, kind, iterations, images=1000, attacked=5)
        for iterations in (5_000, 50_000)
        for name in ("mnist", "fashion-mnist")
        for kind in TRAININGS
    )


def _of_fashion() -> Iterator[Hunt]:
    kinds = (("pgd", 800, 0.1), ("pgd", 160, 0.1), ("pgd", 200, 0.3), ("fgsm", 200, 0.3))
    for kind, iterations, epsilon in kinds:
        yield _cut(hunt("fashion-mnist", kind, iterations, epsilon=epsilon, side=14))


def _cut(row: Hunt) -> Hunt:
    """Return a row small enough for one core."""
    tickets = replace(row.tickets, resets=("original", "random"), looks=4)
    data = Part(name=row.data.name, train=10_000, validation=250, test=1000)
    return replace(row, tickets=tickets, data=data)


def grey(samples: Samples, side: int) -> Samples:
    """Return samples as one channel of side x side pixels, averaged, in bytes."""
    x = adaptive_avg_pool2d(samples.x.mean(dim=1, keepdim=True), side)
    return Samples(to_bytes(x), samples.labels)


def parts(row: Hunt) -> DataSet:
    colour = select(row.data, device=device())
    grey_parts: dict[str, Any] = {name: grey(getattr(colour, name), row.side) for name in PARTS}
    return replace(colour, **grey_parts)


class Found(NamedTuple):
    """What a hunt finds: records of all levels, tickets of the published ones, last networks."""

    records: list[dict[str, Any]]
    tickets: dict[int, Weights]
    last: dict[str, Weights]


def run(row: Hunt) -> Run:
    samples = parts(row)
    found = yield from hunted(row, samples)
    return {
        "levels": found.records,
        "autoattack": attacked(row, found, samples.test) if row.images else [],
    }


def hunted(row: Hunt, samples: DataSet) -> Generator[Progress, None, Found]:
    about = (row.tickets, row.data, row.side, row.epsilon)
    artefact = Artefact(stage="tickets", about=about, code=(pruned, Samples))
    make = partial(pruned, row, samples)
    tensors, facts = yield from kept(artefact, {"samples": content(samples)}, make)

    def weights(name: Any) -> Weights:
        layers = range(len(row.tickets.rates))
        return tuple(tensors[f"{name}.{layer}"] for layer in layers)

    tickets = {level: weights(level) for level in facts["tickets"]}
    return Found(facts["levels"], tickets, {reset: weights(reset) for reset in row.tickets.resets})


def pruned(row: Hunt, samples: DataSet, *, folder: Path) -> Making:
    """Prune level by level; a level is a step of progress."""
    path, records = folder / "checkpoint.pt", []
    score = partial(scores, samples=samples.test, row=row)
    for level in levels(row.tickets, samples.train, samples.validation, score, checkpoint=path):
        records += level.records
        best = max(record["validation"] for record in level.records)
        share = level.records[0]["share"]
        yield Progress(f"{share:.1%} left", Epoch(level.number, 0.0, best), level.resumed)
    state = restored(path, row.tickets, samples.train)
    groups: dict[Any, Weights] = {**state.tickets, **last_networks(row.tickets, state)}
    tensors = {f"{name}.{j}": w for name, group in groups.items() for j, w in enumerate(group)}
    return tensors, {"levels": records, "tickets": list(state.tickets)}


def scores(weights: Weights, masks: Masks, *, samples: Samples, row: Hunt) -> dict[str, Tensor]:
    """Return accuracies in 0..1 of every network: clean, under FGSM, under 20 steps of PGD."""
    attacks = {"clean": None, "fgsm": FGSM(epsilon=row.epsilon), "pgd": row.strong}
    flags = {name: correct(weights, masks, samples, attack) for name, attack in attacks.items()}
    return {name: flag.double().mean(dim=1) for name, flag in flags.items()}


def attacked(row: Hunt, found: Found, test: Samples) -> list[dict[str, Any]]:
    """Return AutoAttack's records of the dense networks and of the last level's, one each."""
    few, official = subset(test, row.images or len(test)), AutoAttack(epsilon=row.epsilon)
    records = []
    for reset, weights in {"dense": found.tickets[0], **found.last}.items():
        for trial in range(min(row.attacked, row.tickets.trials)):
            network = chain(weights, full_masks(weights), trial)
            report = robust_accuracy(network, few.x, few.y, official, batch=250)
            records.append(
                {
                    "reset": reset,
                    "trial": trial,
                    "share": share_left([weight[trial] for weight in weights]),
                    "accuracy": report.accuracy,
                    "two_errors": report.two_errors,
                    "clean": report.clean_accuracy,
                    "images": report.n,
                    "failed_checks": [canary.name for canary in report.check()],
                }
            )
    return records
