"""MixTrain beside its baselines: frozen settings in profiles, and the tables of one row.

A row is one data set, radius, method and seed. Its tables: ``networks`` (accuracies clean, under
attack, and verified by each bound; the gamma bracket), ``reports`` (what the attacks did, and
sample by sample what stands and what is certified) and ``epochs``. A row of costs has the one table
``costs``: CPU seconds and bounds of one epoch of every method.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time
from typing import Any

from filelock import FileLock
from torch import Tensor, nn

from semirobust._types import Attack, Flags
from semirobust.attacks import PGD
from semirobust.autoattack import AutoAttack
from semirobust.certified import bracket, verified_by
from semirobust.data import DataSet, Samples, subset
from semirobust.evaluation import Report, robust_accuracy
from semirobust.interval_attack import IntervalGradient
from semirobust.methods import Method, Online, Plain
from semirobust.mixtrain import CHAINS, Chain, MixTrain, Verifiable
from semirobust.results import artifacts_root, key
from semirobust.subnetwork import Part, Progress
from semirobust.ticket_experiments import selected
from semirobust.training import Run, Training, accuracy, fit, training_mode

Tables = dict[str, list[dict[str, Any]]]
SCRUTINISED = ("ibp", "mixtrain-5")  # by AutoAttack on digits
CERTIFIED = ("ibp", "crown-ibp", "mixtrain-1", "mixtrain-5", "mixtrain-10", "symbolic")
METHODS = ("standard", "pgd-7", *CERTIFIED)


@dataclass(frozen=True, kw_only=True)
class Certification:
    """One training with the way it is measured.

    Args:
        method: One of ``METHODS``; what they mean is ``method_of``.
        data: What it is trained and tested on.
        chain: Name of the network, in ``mixtrain.CHAINS``.
        epsilon: Radius of the inf-ball, in training and in every evaluation.
        epochs: Passes over the training part.
        ramp: Epochs E0 until the radius is reached (half as long for MixTrain as for IBP).
        every: Epochs until MixTrain's weight grows again.
        learning_rate: Of Adam, with a cosine schedule.
        autoattack: Test images of AutoAttack; None leaves it out.
        seed: Of the initial weights and of the training.
    """

    method: str
    data: Part
    chain: str
    epsilon: float
    epochs: int = 40
    ramp: int = 10
    every: int = 5
    learning_rate: float = 0.003
    autoattack: int | None = None
    seed: int = 0

    @property
    def title(self) -> str:
        """Return what tells the row from others at a glance."""
        return f"{self.data.name} {self.epsilon:.3g} {self.method} seed {self.seed}"

    @property
    def about(self) -> dict[str, Any]:
        """Return the columns that every record of the row gets."""
        named = {"data": self.data.name, "epsilon": self.epsilon, "method": self.method}
        return {**named, "seed": self.seed}

    @property
    def training(self) -> Training:
        """Return the settings of the training."""
        return Training(
            epochs=self.epochs,
            method=method_of(self.method, self.epsilon, self.ramp, self.every),
            learning_rate=self.learning_rate,
            schedule="cosine",
            batch=64,
            weight_decay=0.0,
            optimiser="adamw",
            seed=self.seed,
        )

    def build(self) -> nn.Sequential:
        """Return the untrained network; certified training starts from weights after Shi et al."""
        return architecture(self.chain).build(seed=self.seed, tight=self.method in CERTIFIED)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One epoch of every method, from untrained networks, timed in turn."""

    row: Certification
    methods: tuple[str, ...] = METHODS

    @property
    def title(self) -> str:
        """Return what tells the row from others at a glance."""
        return f"{self.row.data.name} {self.row.epsilon:.3g} cost"

    @property
    def about(self) -> dict[str, Any]:
        """Return the columns that every record of the row gets."""
        return {"data": self.row.data.name, "epsilon": self.row.epsilon}


def architecture(name: str) -> Chain:
    """Return a network's description by its name."""
    if name not in CHAINS:
        raise ValueError(f"unknown chain {name!r}; known: {', '.join(CHAINS)}")
    return CHAINS[name]


def method_of(name: str, epsilon: float, ramp: int, every: int) -> Method:
    """Return what a training step minimises, by its name."""
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}; known: {', '.join(METHODS)}")
    mixed = MixTrain(epsilon=epsilon, ramp=ramp, every=every)
    every_point = replace(mixed, k=None, probability=1.0)
    attack = PGD(epsilon=epsilon, step_size=epsilon / 4, steps=7)
    known: dict[str, Method] = {
        "standard": Plain(),
        "pgd-7": Online(attack=attack),
        "ibp": Verifiable(epsilon=epsilon, bound="ibp", ramp=2 * ramp),
        "crown-ibp": Verifiable(epsilon=epsilon, bound="crown-ibp", ramp=2 * ramp),
        "symbolic": every_point,
    }
    return known.get(name) or replace(mixed, k=int(name.removeprefix("mixtrain-")))


DIGITS = Part(name="digits", size=8)
MNIST = Part(name="mnist", train=1000, validation=200, test=2000)


def rows(profile: str) -> tuple[Certification | Cost, ...]:
    """Return the rows of a profile, the most telling first."""
    if profile == "smoke":
        base = Certification(
            method="ibp", data=DIGITS, chain="digits", epsilon=0.1, epochs=10, ramp=3, every=1
        )
        few = ("standard", "pgd-7", "ibp", "mixtrain-1", "mixtrain-5")
        return (*(replace(base, method=name) for name in few), Cost(row=base, methods=METHODS))
    if profile == "cpu":
        return (*digits_rows(), *mnist_rows())
    large = Certification(
        method="ibp",
        data=Part(name="cifar10"),
        chain="cifar-small",
        epsilon=2 / 255,
        epochs=90,
        learning_rate=0.001,
        autoattack=1000,
    )
    return tuple(
        replace(large, method=name, epsilon=epsilon)
        for epsilon in (2 / 255, 8 / 255)
        for name in METHODS
        if name != "symbolic"
    )


def digits_rows() -> tuple[Certification | Cost, ...]:
    """Return the rows on digits: one seed of all methods, five of the two that are compared."""
    base = Certification(method="ibp", data=DIGITS, chain="digits", epsilon=0.1)
    order = ("mixtrain-5", "ibp", "pgd-7", "standard", "mixtrain-1", "mixtrain-10", "crown-ibp")
    first = [
        replace(base, method=name, autoattack=500 if name in SCRUTINISED else None)
        for name in (*order, "symbolic")
    ]
    seeds = [
        replace(base, method=name, seed=seed)
        for seed in range(1, 5)
        for name in ("ibp", "mixtrain-5")
    ]
    return (*first[:-1], Cost(row=base), first[-1], *seeds)


def mnist_rows() -> tuple[Certification | Cost, ...]:
    """Return the rows on 1,000 MNIST images (2,000 for the test), on a schedule of 16 epochs."""
    base = Certification(
        method="ibp",
        data=MNIST,
        chain="mnist-small",
        epsilon=0.1,
        epochs=16,
        ramp=4,
        every=2,
        learning_rate=0.002,
    )
    near = ("mixtrain-5", "mixtrain-10", "ibp", "pgd-7", "standard")
    far = ("mixtrain-5", "ibp", "pgd-7")
    return (
        *(replace(base, method=name) for name in near),
        *(replace(base, method=name, epsilon=0.3) for name in far),
        Cost(row=replace(base, data=replace(MNIST, train=256))),
        replace(base, method="symbolic"),
        replace(base, method="crown-ibp"),
    )


def run(
    row: Certification | Cost, root: str | Path | None = None, *, download: bool = False
) -> Generator[Progress, None, Tables]:
    """Train, attack and certify one network, or time an epoch of each; return the tables."""
    if isinstance(row, Cost):
        samples = selected(row.row.data, root, download=download)
        return {"costs": [epoch_cost(row, name, samples.train) for name in row.methods]}
    samples = selected(row.data, root, download=download)
    network, epochs = yield from trained(row, samples)
    found, reports = measured(row, network, samples.test)
    return {"networks": [found], "reports": reports, "epochs": epochs}


def trained(
    row: Certification, samples: DataSet
) -> Generator[Progress, None, tuple[nn.Sequential, list[dict[str, Any]]]]:
    """Train a row's network, or take it up, and return it with its losses epoch by epoch."""
    network, epochs = row.build(), []
    about = ("certified", row.chain, row.data, row.training)
    for step in fitted(row.method, about, network, samples.train, row.training):
        epochs.append({"epoch": step.epoch.epoch, "loss": step.epoch.loss})
        yield step
    return network, epochs


def fitted(
    stage: str,
    about: tuple[Any, ...],
    network: nn.Sequential,
    samples: Samples,
    training: Training,
    *,
    a: int = 0,
) -> Iterator[Progress]:
    """Fit with a checkpoint named by ``about``; a finished one gives back its epochs at once."""
    path = artifacts_root() / "training" / f"{key(about)}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        known = path.stat().st_mtime_ns if path.exists() else None
        for epoch in fit(network, samples, training, a=a, checkpoint=path):
            yield Progress(stage, epoch, known == path.stat().st_mtime_ns)


def measured(
    row: Certification, network: nn.Sequential, test: Samples
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return accuracies and bracket of a network, and what the attacks did."""
    flags = verified_by(network, test.x, test.y, row.epsilon)
    attacks: dict[str, Attack] = {
        "pgd": strong(row.epsilon),
        "interval": IntervalGradient(chain=network, epsilon=row.epsilon),
    }
    report = robust_accuracy(network, test.x, test.y, attacks, batch=250)
    reports = [recorded("pgd and interval", report, flags["any"])]
    if row.autoattack:
        few = subset(test, row.autoattack)
        sure = verified_by(network, few.x, few.y, row.epsilon)["any"]
        official = robust_accuracy(
            network, few.x, few.y, AutoAttack(epsilon=row.epsilon), batch=250
        )
        reports.append(recorded("autoattack", official, sure))
    between = bracket(network, test.x, test.y, row.epsilon, "zonotope", report)
    found = {
        "clean": accuracy(network, test),
        "attacked": report.accuracy,
        **{f"verified {name}": share(flag) for name, flag in flags.items()},
        **between.as_record(),
        "certificates": sum(entry["certificates"] for entry in reports),
        "broken certificates": sum(entry["broken certificates"] for entry in reports),
    }
    return found, reports


def strong(epsilon: float) -> PGD:
    """Return the attack that every network meets: PGD, 20 steps, two restarts."""
    step = epsilon / 4
    return PGD(epsilon=epsilon, step_size=step, steps=20, restarts=2, stop_when_fooled=True)


def recorded(name: str, report: Report, sure: Flags) -> dict[str, Any]:
    """Return a report with the samples that are certified, and how many of them it broke."""
    return {
        "evaluation": name,
        **report.as_record(),
        "certified": "".join("01"[flag] for flag in sure.int().tolist()),
        "certificates": int(sure.sum()),
        "broken certificates": int((sure & ~report.standing).sum()),
    }


def share(flags: Tensor) -> float:
    """Return the share of flagged samples."""
    return float(flags.double().mean())


def epoch_cost(cost: Cost, name: str, samples: Samples) -> dict[str, Any]:
    """Return CPU seconds and bounds of the first epoch of a method on an untrained network."""
    row = replace(cost.row, method=name)
    network = row.build()
    process = Run(network, samples, row.training, 0)
    with training_mode(network, 0):
        start = process_time()
        process.epoch(1)
        seconds = process_time() - start
    bounds = int(process.memory.get("bounds", Tensor([0])))
    return {"method": name, "cpu_seconds": seconds, "bounds": bounds, "samples": len(samples)}
