"""One study of a subnetwork: standard and robust training, Algorithm 1 at each cut, the controls.

Everything trained here is an artefact: a file under ``artifacts/`` named by the settings that made
it, built once, gone on with where it was stopped, and shared by all studies that ask for the same.
Two protocols (two threat models; every number names its own):

static   examples are made once against the standard network and stored as bytes; networks train on
         them and are chosen by the stored validation examples (a transfer evaluation),
online   examples are made during training against the network as it is.

The functions are generators of progress that return what they built: ``network = yield from ...``.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from filelock import FileLock
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import nn

from semirobust import data
from semirobust._types import Attack
from semirobust.algorithm1 import Algorithm1, Measure, Trial, trials
from semirobust.attacks import PGD
from semirobust.ball import fooled
from semirobust.data import DataSet, Samples, batches, subset, to_bytes
from semirobust.layers import cut, split
from semirobust.models import Architecture
from semirobust.results import artifacts_root, key, write_atomically
from semirobust.training import Epoch, Precision, Training, accuracy, fit

CACHE_BYTES = 1_500_000_000  # a larger block of activations is computed anew in every epoch
Front: TypeAlias = Literal["robust", "standard", "random"]


class Progress(NamedTuple):
    """One finished epoch of one of a study's trainings, or one taken up from an earlier run."""

    stage: str
    epoch: Epoch
    taken_up: bool = False


Built: TypeAlias = Generator[Progress, None, nn.Sequential]


@dataclass(frozen=True, kw_only=True)
class Part:
    """How much of a data set a study uses; None is all of a part."""

    name: str = "digits"
    train: int | None = None
    validation: int | None = None
    test: int | None = None
    size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Study:
    """Settings of one study: one network, one data set, one protocol, one seed.

    Args:
        architecture: The network.
        data: What it is trained, chosen and tested on.
        protocol: "static" or "online"; which examples it is made robust to.
        attack: Makes the static examples, and the validation examples of the online protocol.
        n_b: Trainable layers of f_b, one cut each.
        standard: Training of (f_a, f_b).
        robust: Training of (f_a*, f_b*).
        tuning: Training of f_b behind the frozen f_a*; its epochs are the paper's E.
        trials: The paper's T.
        tolerance: The paper's k, in 0..1.
        seed: Of the initial weights and of every training.
    """

    architecture: Architecture
    data: Part
    protocol: Literal["static", "online"]
    attack: PGD
    n_b: tuple[int, ...]
    standard: Training
    robust: Training
    tuning: Training
    trials: int = 1
    tolerance: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Reject settings that cannot be meant."""
        if self.protocol not in ("static", "online"):
            raise ValueError(f'protocol is "static" or "online", got {self.protocol!r}')
        if not self.n_b:
            raise ValueError("n_b names no cut: give the trainable layers of f_b, such as (4, 12)")


def parts(study: Study, root: str | Path | None = None, *, download: bool = False) -> DataSet:
    """Return the samples that a study uses."""
    return _parts(study.data, root, download)


@cache
def _parts(part: Part, root: str | Path | None, download: bool) -> DataSet:  # noqa: FBT001
    whole = data.load(part.name, root, size=part.size, download=download)
    return replace(
        whole,
        train=subset(whole.train, part.train or len(whole.train)),
        validation=subset(whole.validation, part.validation or len(whole.validation)),
        test=subset(whole.test, part.test or len(whole.test)),
    )


def standard_network(study: Study, samples: DataSet) -> Built:
    """Train (f_a, f_b) on clean images."""
    network = study.architecture.build(seed=study.seed)
    about = ("standard", study.architecture, study.data, _seeded(study, study.standard))
    yield from _fitted("standard", about, network, samples.train, about[-1])
    return network


def robust_network(study: Study, samples: DataSet) -> Built:
    """Train (f_a*, f_b*): on ``samples``, which hold the static examples, or online."""
    network = study.architecture.build(seed=study.seed)
    about = ("robust", *_origin(study), _seeded(study, study.robust))
    yield from _fitted("robust", about, network, samples.train, about[-1])
    return network


def random_network(study: Study) -> nn.Sequential:
    """Return the network at its initial weights, for the control with a random f_a."""
    return study.architecture.build(seed=study.seed + 1)


def static_examples(study: Study, samples: DataSet, standard: nn.Sequential) -> DataSet:
    """Return the data set attacked once against the standard network, stored as bytes."""
    trained = ("standard", study.architecture, study.data, _seeded(study, study.standard))
    path = artifacts_root() / "static" / f"{key((*trained, study.attack))}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            attacked = {
                name: perturbed(
                    standard,
                    getattr(samples, name),
                    study.attack,
                    precision=study.standard.precision,
                )
                for name in ("train", "validation", "test")
            }
            write_atomically(path, to_safetensors(attacked))
    stored = from_safetensors(path.read_bytes())
    return replace(
        samples,
        train=Samples(stored["train"], samples.train.labels),
        validation=Samples(stored["validation"], samples.validation.labels),
        test=Samples(stored["test"], samples.test.labels),
    )


def perturbed(
    network: nn.Module,
    samples: Samples,
    attack: Attack,
    *,
    seed: int = 0,
    precision: Precision = "float32",
) -> torch.Tensor:
    """Return attacked images as bytes; rounding never leaves a ball of a whole number of 255ths."""
    generator = torch.Generator().manual_seed(seed)
    half = precision == "bfloat16"
    with torch.autocast(samples.labels.device.type, torch.bfloat16, enabled=half):
        attacked = [
            to_bytes(attack(network, x, y, generator=generator))
            for x, y, _ in batches(samples, 250)
        ]
    return torch.cat(attacked)


def share_standing(network: nn.Module, samples: Samples, attack: Attack, *, seed: int = 0) -> float:
    """Return the share of samples that an attack leaves right, for choosing; not a headline."""
    generator = torch.Generator().manual_seed(seed)
    standing = 0
    for x, y, _ in batches(samples, 250):
        x_adv = attack(network, x, y, generator=generator)
        standing += int((~fooled(network, x_adv, y)).sum())
    return standing / len(samples)


def tuned_networks(
    study: Study,
    samples: DataSet,
    networks: dict[str, nn.Sequential],
    *,
    n_b: int,
    measure: Measure,
    front: Front = "robust",
) -> Generator[Progress, None, list[Trial]]:
    """Run Algorithm 1 at one cut and return its trials.

    Args:
        study: Its settings.
        samples: The static examples, or the clean images of the online protocol.
        networks: "standard", "robust" and "random".
        n_b: Trainable layers of f_b.
        measure: Reads rho_j of a finished trial.
        front: Whose f_a is frozen; another than "robust" is a control.
    """
    a = cut(networks["standard"], n_b)
    settings = Algorithm1(a=a, tolerance=study.tolerance, trials=study.trials)
    score = _score(study, samples)
    seen: list[Progress] = []
    features = cached(split(networks[front], a)[0], samples) if study.protocol == "static" else None

    def tune(network: nn.Sequential, number: int) -> Iterator[Epoch]:
        tuning = _seeded(study, study.tuning, number)
        about = ("tuned", *_origin(study), _seeded(study, study.robust), front, a, tuning)
        stage = f"f_b={n_b} behind {front} f_a, trial {number + 1}"
        run = partial(_fitted, stage, about)
        if features is None:
            steps = run(network, samples.train, tuning, a=a, validate=score)
        else:
            stored = partial(accuracy, samples=features.validation)
            steps = run(split(network, a)[1], features.train, tuning, validate=stored)
        for step in steps:
            seen.append(step)
            yield step.epoch

    outcomes = []
    for trial in trials(
        settings,
        networks[front],
        networks["standard"],
        target=score(networks["robust"]),
        tune=tune,
        accuracy=score,
        measure=measure,
    ):
        yield from seen
        seen.clear()
        outcomes.append(trial)
    return outcomes


def cached(f_a: nn.Sequential, samples: DataSet) -> DataSet | None:
    """Return h_a of every sample in the place of the images; None where it would be too large.

    A frozen f_a and stored examples give the same h_a in every epoch: f_b trains on it directly.
    """
    with torch.no_grad():
        wide = f_a(samples.train.x[:1]).numel() * 4 * len(samples.train)
        if wide > CACHE_BYTES:
            return None
        return replace(
            samples,
            train=_through(f_a, samples.train),
            validation=_through(f_a, samples.validation),
        )


def _through(f_a: nn.Sequential, samples: Samples) -> Samples:
    return Samples(torch.cat([f_a(x) for x, _, _ in batches(samples, 250)]), samples.labels)


def _score(study: Study, samples: DataSet) -> Callable[[nn.Sequential], float]:
    """Return what the protocol chooses by: accuracy on stored examples, or under its attack."""
    if study.protocol == "static":
        return partial(accuracy, samples=samples.validation)
    attack = replace(study.attack, stop_when_fooled=True)
    return partial(share_standing, samples=samples.validation, attack=attack)


def _seeded(study: Study, training: Training, trial: int = 0) -> Training:
    return replace(training, seed=1000 * study.seed + trial)


def _origin(study: Study) -> tuple[Any, ...]:
    """Return what the robust network depends on besides its own training."""
    shared = (study.protocol, study.architecture, study.data)
    if study.protocol == "online":
        return shared
    return (*shared, _seeded(study, study.standard), study.attack)


def _fitted(
    stage: str,
    about: tuple[Any, ...],
    network: nn.Sequential,
    samples: Samples,
    training: Training,
    *,
    a: int = 0,
    validate: Callable[[nn.Sequential], float] | None = None,
) -> Iterator[Progress]:
    """Fit with a checkpoint named by ``about``; a finished one gives back its epochs at once."""
    path = artifacts_root() / "training" / f"{key(about)}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        known = path.stat().st_mtime_ns if path.exists() else None
        for epoch in fit(network, samples, training, a=a, validate=validate, checkpoint=path):
            yield Progress(stage, epoch, known == path.stat().st_mtime_ns)
