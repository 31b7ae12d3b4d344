"""One study of a subnetwork: its settings, and how its networks and examples are made.

Two protocols (two threat models; every number names its own):

static   examples are made once against the standard network and stored as bytes; networks train on
         them and are chosen by the stored validation examples (a transfer evaluation),
online   examples are made during training against the network as it is.

What follows from what stands in ``stages``.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from semirobust.attacks.autoattack import AutoAttack
from semirobust.attacks.ball import perturbed_batches
from semirobust.attacks.carlini_wagner import CarliniWagner
from semirobust.attacks.gradient import FGSM, IFGSM, PGD
from semirobust.data import DataSet, Part, Samples, device, to_bytes
from semirobust.models import Architecture
from semirobust.training.files import arithmetic
from semirobust.training.fitting import Epoch, Precision, Side, Training, accuracy, fit
from semirobust.types import Attack

PARTS = ("train", "validation", "test")
StaticAttack: TypeAlias = PGD | FGSM | IFGSM | CarliniWagner | AutoAttack
Front: TypeAlias = Literal["robust", "standard", "random"]
Tables: TypeAlias = dict[str, list[dict[str, Any]]]


class Progress(NamedTuple):
    """One finished epoch of a training; ``resumed`` where an earlier run had finished it."""

    stage: str
    epoch: Epoch
    resumed: bool = False


Content: TypeAlias = tuple[dict[str, Tensor], dict[str, Any]]  # of an artefact: tensors and facts
Making: TypeAlias = Generator[Progress, None, Content]
Run: TypeAlias = Generator[Progress, None, Tables]


@dataclass(frozen=True, kw_only=True)
class Study:
    """Settings of one study: one network, one data set, one protocol, one seed."""

    architecture: Architecture
    data: Part
    protocol: Literal["static", "online"]  # which examples it is made robust to
    attack: StaticAttack  # of the static examples; online, PGD for the validation
    n_b: tuple[int, ...]  # trainable layers of f_b, one cut each
    standard: Training  # of (f_a, f_b)
    robust: Training  # of (f_a*, f_b*)
    tuning: Training  # of f_b behind the frozen f_a*; its epochs are the paper's E
    trials: int = 1  # the paper's T
    tolerance: float = 0.0  # the paper's k, in 0..1
    seed: int = 0  # of the initial weights and of every training

    def __post_init__(self) -> None:
        if self.protocol not in ("static", "online"):
            raise ValueError(f'protocol is "static" or "online", got {self.protocol!r}')
        if not self.n_b:
            raise ValueError("n_b names no cut: give the trainable layers of f_b, such as (4, 12)")
        if self.protocol == "online" and not isinstance(self.attack, PGD):
            raise ValueError("the online protocol validates under PGD: give it as its attack")


def titled(row: Any, *words: str) -> str:
    names = (row.architecture.name, row.data.name, *filter(None, words))
    return f"{' '.join(names)} seed {row.seed}"


def device_name() -> str:
    return torch.cuda.get_device_name() if device().type == "cuda" else "cpu"


def gpu_memory_mb() -> float | None:
    """Return the most memory that this process had on its GPU since it was last asked."""
    if device().type != "cuda":
        return None
    peak = torch.cuda.max_memory_allocated() / 1024**2
    torch.cuda.reset_peak_memory_stats()
    return round(peak, 1)


def computed_on() -> dict[str, Any]:
    """Return what the provenance of a number says of the machine: device, arithmetic, threads."""
    threads = torch.get_num_threads()
    return {"device": device_name(), "arithmetic": arithmetic(device()), "threads": threads}


def seeded(study: Study, training: Training, trial: int = 0) -> Training:
    return replace(training, seed=1000 * study.seed + trial)


def fitted(
    words: str,
    network: nn.Sequential,
    samples: Samples,
    training: Training,
    *,
    folder: Path,
    a: int = 0,
    frozen: Side = "front",
) -> Making:
    """Train a network, but for its frozen side of a cut, and return its weights."""
    yield from stepped(words, network, samples, training, folder, a=a, frozen=frozen)
    return network.state_dict(), {}


def stepped(
    words: str,
    network: nn.Sequential,
    samples: Samples,
    training: Training,
    folder: Path,
    *,
    a: int = 0,
    frozen: Side = "front",
    validate: Callable[[nn.Sequential], float] | None = None,
) -> Iterator[Progress]:
    """Fit with a checkpoint in a folder; epochs that it holds already count as resumed."""
    path = folder / "checkpoint.pt"
    known = path.stat().st_mtime_ns if path.exists() else None
    fitting = fit(
        network, samples, training, a=a, frozen=frozen, validate=validate, checkpoint=path
    )
    for epoch in fitting:
        yield Progress(words, epoch, known == path.stat().st_mtime_ns)


def trained(
    words: str,
    architecture: Architecture,
    seed: int,
    training: Training,
    *,
    samples: DataSet,
    folder: Path,
) -> Making:
    """Train a network from its initial weights on images, clean or static examples."""
    network = architecture.build(seed=seed).to(device())
    return (yield from fitted(words, network, samples.train, training, folder=folder))


def rebuilt(
    architecture: Architecture, seed: int, training: Training, content: Content, **_: object
) -> nn.Sequential:
    """Return the network that ``trained`` has made."""
    return loaded(architecture.build(seed=seed).to(device()), training, content[0])


def loaded(network: nn.Sequential, training: Training, weights: dict[str, Tensor]) -> nn.Sequential:
    """Load the weights of a finished training, and return the network as that left it."""
    if training.channels_last:
        network.to(memory_format=torch.channels_last)
    network.load_state_dict(weights)
    return network.eval()


def attacked_parts(
    attack: StaticAttack,
    precision: Precision,
    parts: tuple[str, ...],
    *,
    samples: DataSet,
    network: nn.Sequential,
) -> Content:
    """Return the images of parts of a data set, attacked once against a network."""
    made = {
        name: perturbed(network, getattr(samples, name), attack, precision=precision).images
        for name in parts
    }
    return made, {}


def with_images(content: Content, *, samples: DataSet, **_: object) -> DataSet:
    """Return the data set with attacked images in the place of its own."""
    here = samples.test.labels.device
    made: dict[str, Any] = {
        name: Samples(images.to(here), getattr(samples, name).labels)
        for name, images in content[0].items()
    }
    return replace(samples, **made)


def perturbed(
    network: nn.Module, samples: Samples, attack: Attack, *, precision: Precision = "float32"
) -> Samples:
    """Return attacked images as bytes; rounding never leaves a ball of a whole number of 255ths."""
    generator = torch.Generator().manual_seed(0)
    half = precision == "bfloat16"
    with torch.autocast(samples.labels.device.type, torch.bfloat16, enabled=half):
        attacked = perturbed_batches(network, samples, attack, generator=generator)
        images = torch.cat([to_bytes(x_adv) for x_adv, _ in attacked])
    return Samples(images, samples.labels)


def score(study: Study, samples: DataSet) -> Callable[[nn.Sequential], float]:
    """Return what the protocol chooses by: accuracy on stored examples, or under its attack."""
    if study.protocol == "online" and isinstance(study.attack, PGD):
        attack = replace(study.attack, stop_when_fooled=True)
        return partial(accuracy, samples=samples.validation, attack=attack)
    return partial(accuracy, samples=samples.validation)
