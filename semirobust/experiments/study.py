"""One study of a subnetwork: standard and robust training, Algorithm 1 at each cut, the controls.

Everything trained here is an artefact: named by the settings and the code that make it, built once,
gone on with where it was stopped, and shared by all studies that ask for the same.
Two protocols (two threat models; every number names its own):

static   examples are made once against the standard network and stored as bytes; networks train on
         them and are chosen by the stored validation examples (a transfer evaluation),
online   examples are made during training against the network as it is.

The functions are generators of progress that return what they built: ``network = yield from ...``.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import nn

from semirobust import data
from semirobust.attacks.ball import fooled, perturbed_batches, share
from semirobust.attacks.gradient import PGD
from semirobust.data import DataSet, Samples, subset, to_bytes
from semirobust.models import Architecture
from semirobust.results.artefacts import Artefact, held, publish
from semirobust.training.fitting import (
    Epoch,
    Precision,
    Training,
    accuracy,
    fit,
    load_weights,
    packed,
)
from semirobust.types import Attack

WEIGHTS, EXAMPLES = "network.safetensors", "examples.safetensors"
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


def device() -> torch.device:
    """Return where studies compute: the first GPU that is visible, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name() -> str:
    """Return what a record says of the device."""
    return torch.cuda.get_device_name() if device().type == "cuda" else "cpu"


def parts(study: Study, root: str | Path | None = None, *, download: bool = False) -> DataSet:
    """Return the samples that a study uses, on its device."""
    return _parts(study.data, root, download)


@cache
def _parts(part: Part, root: str | Path | None, download: bool) -> DataSet:  # noqa: FBT001
    whole = data.load(part.name, root, size=part.size, download=download)
    return replace(
        whole,
        train=subset(whole.train, part.train or len(whole.train)).to(device()),
        validation=subset(whole.validation, part.validation or len(whole.validation)).to(device()),
        test=subset(whole.test, part.test or len(whole.test)).to(device()),
    )


def content(*values: DataSet | Samples | nn.Module | torch.Tensor) -> str:
    """Return the digest of samples or weights: what an artefact was made from, to the last bit."""
    state = sha256()
    for value in values:
        for tensor in _tensors(value):
            state.update(tensor.detach().cpu().contiguous().numpy().data)
    return state.hexdigest()[:16]


def _tensors(value: DataSet | Samples | nn.Module | torch.Tensor) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, nn.Module):
        return list(value.state_dict().values())
    if isinstance(value, Samples):
        return [value.images, value.labels]
    return [one for part in (value.train, value.validation, value.test) for one in _tensors(part)]


def standard_artefact(study: Study) -> Artefact:
    """Return what (f_a, f_b) is named by."""
    about = (study.architecture, study.data, study.seed, seeded(study, study.standard))
    return Artefact(stage="standard", about=about, code=(standard_network, Samples))


def standard_network(study: Study, samples: DataSet) -> Built:
    """Train (f_a, f_b) on clean images."""
    network = _untrained(study, samples)
    training = seeded(study, study.standard)
    yield from _fitted(standard_artefact(study), network, samples, training)
    return network


def robust_artefact(study: Study) -> Artefact:
    """Return what (f_a*, f_b*) is named by."""
    about = ("robust", *_origin(study), study.seed, seeded(study, study.robust))
    return Artefact(stage="robust", about=about, code=(robust_network, Samples))


def robust_network(study: Study, samples: DataSet) -> Built:
    """Train (f_a*, f_b*): on ``samples``, which hold the static examples, or online."""
    network = _untrained(study, samples)
    training = seeded(study, study.robust)
    yield from _fitted(robust_artefact(study), network, samples, training)
    return network


def _untrained(study: Study, samples: DataSet) -> nn.Sequential:
    return study.architecture.build(seed=study.seed).to(samples.train.labels.device)


def random_network(study: Study) -> nn.Sequential:
    """Return the network at its initial weights, for the control with a random f_a."""
    return study.architecture.build(seed=study.seed + 1).to(device())


def examples_artefact(study: Study) -> Artefact:
    """Return what the static examples are named by."""
    about = (*standard_artefact(study).about, study.attack)
    return Artefact(stage="examples", about=about, code=(static_examples, Samples))


def static_examples(study: Study, samples: DataSet, standard: nn.Sequential) -> DataSet:
    """Return the data set attacked once against the standard network, stored as bytes."""
    clean = {name: getattr(samples, name) for name in ("train", "validation", "test")}
    made = stored_examples(examples_artefact(study), study, clean, standard)
    return replace(samples, train=made["train"], validation=made["validation"], test=made["test"])


def stored_examples(
    artefact: Artefact, study: Study, clean: dict[str, Samples], network: nn.Sequential
) -> dict[str, Samples]:
    """Return samples attacked once with the study's attack, by name, stored as bytes."""
    inputs = {"samples": content(*clean.values()), "network": content(network)}
    half = study.standard.precision
    with held(artefact, inputs) as work:
        if work.record is None:
            images = {
                name: perturbed(network, part, study.attack, precision=half)
                for name, part in clean.items()
            }
            publish(work, {EXAMPLES: to_safetensors(images)}, device=device_name())
        else:
            images = from_safetensors(work.payload(EXAMPLES))
    return {name: Samples(images[name].to(one.y.device), one.y) for name, one in clean.items()}


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
        attacked = perturbed_batches(network, samples, attack, generator=generator)
        return torch.cat([to_bytes(x_adv) for x_adv, _ in attacked])


def share_standing(network: nn.Module, samples: Samples, attack: Attack, *, seed: int = 0) -> float:
    """Return the share of samples that an attack leaves right, for choosing; not a headline."""
    generator = torch.Generator().manual_seed(seed)
    attacked = perturbed_batches(network, samples, attack, generator=generator)
    return share(~torch.cat([fooled(network, x_adv, y) for x_adv, y in attacked]))


def score(study: Study, samples: DataSet) -> Callable[[nn.Sequential], float]:
    """Return what the protocol chooses by: accuracy on stored examples, or under its attack."""
    if study.protocol == "static":
        return partial(accuracy, samples=samples.validation)
    attack = replace(study.attack, stop_when_fooled=True)
    return partial(share_standing, samples=samples.validation, attack=attack)


def seeded(study: Study, training: Training, trial: int = 0) -> Training:
    """Return a training with the seed of a trial."""
    return replace(training, seed=1000 * study.seed + trial)


def _origin(study: Study) -> tuple[Any, ...]:
    """Return what the robust network depends on besides its own training."""
    shared = (study.protocol, study.architecture, study.data)
    if study.protocol == "online":
        return shared
    return (*shared, seeded(study, study.standard), study.attack)


def _fitted(
    artefact: Artefact, network: nn.Sequential, samples: DataSet, training: Training
) -> Iterator[Progress]:
    """Fit, or load what was fitted before to the same samples and yield its epochs again."""
    with held(artefact, {"samples": content(samples.train)}) as work:
        if work.record is None:
            path, epochs = work.folder / "checkpoint.pt", []
            for step in stepped(artefact.stage, network, samples.train, training, path):
                epochs.append(asdict(step.epoch))
                yield step
            publish(work, {WEIGHTS: packed(network)}, {"epochs": epochs}, device=device_name())
        else:
            if training.channels_last:
                network.to(memory_format=torch.channels_last)
            load_weights(network, from_safetensors(work.payload(WEIGHTS)), work.folder / WEIGHTS)
            for epoch in work.facts["epochs"]:
                yield Progress(artefact.stage, Epoch(**epoch), taken_up=True)


def stepped(
    stage: str,
    network: nn.Sequential,
    samples: Samples,
    training: Training,
    checkpoint: Path,
    *,
    a: int = 0,
    validate: Callable[[nn.Sequential], float] | None = None,
) -> Iterator[Progress]:
    """Fit with a checkpoint; epochs that it holds already count as taken up."""
    known = checkpoint.stat().st_mtime_ns if checkpoint.exists() else None
    for epoch in fit(network, samples, training, a=a, validate=validate, checkpoint=checkpoint):
        yield Progress(stage, epoch, known == checkpoint.stat().st_mtime_ns)
