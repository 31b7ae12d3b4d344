"""Epochs, plain or against an attack: the only place that sets modes, freezes and steps.

A run is a generator of epochs. With a checkpoint it goes on where it was stopped, and ends with the
same bits as a run that never was (on the CPU, with the same number of threads). Freezing f_a, or
f_b, means no gradient to its parameters AND evaluation mode: its running statistics stand still.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from semirobust.attacks.ball import evaluating, fooled, perturbed_batches, share, trusting
from semirobust.data import Samples, batches, check_labels
from semirobust.progress import watched
from semirobust.results.records import key
from semirobust.training.averages import Averages
from semirobust.training.checks import checked, refusing
from semirobust.training.files import (
    content,
    environment,
    load_weights,
    read_checkpoint,
    write_checkpoint,
)
from semirobust.training.methods import SMOOTHED, Atta, AttaTrades, Batch, Method, Plain
from semirobust.training.optimisers import Kind, optimiser_of, restore, set_rate
from semirobust.training.recorded import recorded
from semirobust.types import Attack, Classifier

Precision = Literal["float32", "bfloat16"]
Side = Literal["front", "back"]  # of a cut: f_a or f_b
Schedule = Literal["one-cycle", "cosine", "step", "constant"]
RATES: dict[str, Callable[[float], float]] = {
    "one-cycle": lambda t: t / 0.3 if t < 0.3 else (1 - t) / 0.7,
    "cosine": lambda t: 0.5 * (1 + math.cos(math.pi * t)),
    "step": lambda t: 1.0 if t < 1 / 3 else 0.1 if t < 2 / 3 else 0.01,
    "constant": lambda t: 1.0,  # noqa: ARG005
}


@dataclass(frozen=True, kw_only=True)
class Training:
    """Settings of one training run; the seed is of sample order, augmentation and attack noise.

    Args:
        learning_rate: Its largest value.
        schedule: Course of the rate over the run; "step" divides by 10 after each third.
        momentum: Nesterov momentum of SGD.
        augment: Random shifts, and mirror images unless ``mirror`` forbids them, as for digits.
        precision: "bfloat16" computes forward and backward passes in autocast.
        averaging: Decay of a moving average of weights and running statistics, such as 0.995,
            which is the network that is validated and left; 0 is none.
        label_smoothing: Share of a label that is spread over all classes, in the loss of weights.
    """

    epochs: int
    method: Method = field(default_factory=Plain)
    learning_rate: float = 0.1
    schedule: Schedule = "one-cycle"
    batch: int = 128
    momentum: float = 0.9
    weight_decay: float = 5e-4
    optimiser: Kind = "sgd"
    augment: bool = False
    mirror: bool = True
    precision: Precision = "float32"
    channels_last: bool = False
    seed: int = 0
    averaging: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2:
            raise ValueError(f"need epochs >= 1, batch >= 2; got {self.epochs} and {self.batch}")
        if self.schedule not in RATES:
            raise ValueError(f"unknown schedule {self.schedule!r}; known: {', '.join(RATES)}")
        if self.augment and isinstance(self.method, Atta | AttaTrades):
            raise ValueError("ATTA carries perturbations from epoch to epoch: set augment=False")
        shares = self.averaging, self.label_smoothing
        if not all(0 <= share < 1 for share in shares):
            raise ValueError(f"need 0 <= averaging < 1, the same of label_smoothing; got {shares}")
        if self.label_smoothing and not isinstance(self.method, SMOOTHED):
            known = ", ".join(method.__name__ for method in SMOOTHED)
            raise ValueError(f"label_smoothing is of the losses of {known}: set it to 0")


@dataclass(frozen=True)
class Epoch:
    """What one epoch did; ``validation`` is None where nothing was evaluated."""

    epoch: int
    loss: float
    validation: float | None = None


def fit(
    network: nn.Sequential,
    samples: Samples,
    settings: Training,
    *,
    a: int = 0,
    frozen: Side = "front",
    validate: Callable[[nn.Sequential], float] | None = None,
    checkpoint: Path | None = None,
) -> Iterator[Epoch]:
    """Train one side of a cut in place and yield one record an epoch, earlier ones first.

    Args:
        network: Is left in evaluation mode.
        samples: To train on.
        settings: How.
        a: Number of links in front of the cut; 0 trains everything.
        frozen: The side that stands still: f_a, the first ``a`` links, or f_b, the others.
        validate: Called after each epoch, for the record.
        checkpoint: A file to go on from, written after each epoch.
    """
    if len(samples) < 2:
        raise ValueError(f"need at least 2 samples to train on, got {len(samples)}")
    if settings.channels_last:
        network.to(memory_format=torch.channels_last)
    run = Run(network, samples, settings, a, frozen)
    own = run.own() if checkpoint else {}
    history = run.restore(checkpoint, own) if checkpoint else []
    yield from history
    with training_mode(network, a, frozen):
        for epoch in watched(range(len(history) + 1, settings.epochs + 1), "training"):
            with run.averages.hidden():
                loss = run.epoch(epoch)
            if not math.isfinite(loss):
                kept = f"; {checkpoint} keeps the epoch before" if checkpoint else ""
                raise FloatingPointError(
                    f"the loss is {loss} in epoch {epoch}: lower learning_rate or use float32{kept}"
                )
            with evaluating(network):
                validation = validate(network) if validate else None
            history.append(Epoch(epoch, loss, validation))
            if checkpoint:
                run.store(checkpoint, history, own)
            yield history[-1]


class Run:
    """The state of a run: weights, momenta, generator and what the method remembers."""

    def __init__(
        self,
        network: nn.Sequential,
        samples: Samples,
        settings: Training,
        a: int,
        frozen: Side = "front",
    ) -> None:
        trained, _ = sides(network, a, frozen)
        if not 0 <= a < len(network) or not trained:
            lowest = 0 if frozen == "front" else 1
            raise ValueError(f"need {lowest} <= a < n, got a={a}, n={len(network)}")
        self.valid, self.highest = checked(samples, settings.method)
        self.network, self.samples, self.settings = network, samples, settings
        self.cut = {"a": a, "frozen": frozen}
        self.generator = Generator().manual_seed(settings.seed)
        self.memory = {"size": torch.tensor(len(samples))}
        weights = [weight for link in trained for weight in link.parameters()]
        self.averages = Averages(trained if settings.averaging else (), settings.averaging)
        device = samples.labels.device
        self.optimiser = optimiser_of(
            weights,
            settings.optimiser,
            device,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        self.recorded = recorded(settings.method, self.optimiser, device)

    def epoch(self, epoch: int) -> float:
        """Take one pass over the samples and return the mean loss."""
        chosen = self.settings
        steps = math.ceil(len(self.samples) / chosen.batch)
        total = torch.zeros((), device=self.samples.labels.device)
        with trusting(valid=self.valid), refusing(self.network, self.highest):
            for step, batch in enumerate(self.batches(epoch)):
                if len(batch.y) < 2:
                    continue  # batch statistics need two samples
                over = (epoch - 1 + (step + 0.5) / steps) / chosen.epochs
                set_rate(self.optimiser, chosen.learning_rate * RATES[chosen.schedule](over))
                if self.recorded and len(batch.y) == chosen.batch:
                    loss = self.recorded(self.step, batch)
                else:
                    loss = self.step(batch)
                total += loss * len(batch.y)
        return float(total) / len(self.samples)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch as the network takes them."""
        chosen, draws = self.settings, self.generator
        own = {"augment": chosen.augment, "mirror": chosen.mirror}
        for x, y, index in batches(self.samples, chosen.batch, generator=draws, **own):
            last = chosen.channels_last and x.dim() == 4
            seen = x.contiguous(memory_format=torch.channels_last) if last else x
            yield Batch(seen, y, index, epoch, self.memory, draws, chosen.label_smoothing)

    def step(self, batch: Batch) -> Tensor:
        """Take a step and return the loss before it; nothing here makes the host wait."""
        half = self.settings.precision == "bfloat16"
        with torch.autocast(batch.x.device.type, torch.bfloat16, enabled=half):
            loss = self.settings.method(self.network, batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.averages.update()
        return loss.detach().float()

    def own(self) -> dict[str, object]:
        """Return what another run differs in: settings, initial weights, samples, environment."""
        return {
            "settings": key(self.settings),
            **self.cut,
            "network": content(self.network),
            "samples": content(self.samples),
            **environment(self.samples.labels.device),
        }

    def store(self, path: Path, history: list[Epoch], own: dict[str, object]) -> None:
        """Write the state after an epoch, whole or not at all."""
        state = {
            **own,
            "history": [asdict(epoch) for epoch in history],
            "weights": self.network.state_dict(),
            "averages": self.averages.aside,
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "memory": self.memory,
        }
        write_checkpoint(path, state)

    def restore(self, path: Path, own: dict[str, object]) -> list[Epoch]:
        """Take up the state of a checkpoint, where there is one, and return its epochs."""
        if not path.exists():
            return []
        state = read_checkpoint(path, own, self.samples.labels.device)
        load_weights(self.network, state["weights"], path)
        self.averages.restore(state["averages"])
        restore(self.optimiser, state["optimiser"])
        self.generator.set_state(state["generator"].cpu())
        self.memory = state["memory"]
        return [Epoch(**epoch) for epoch in state["history"]]


def sides(network: nn.Sequential, a: int, frozen: Side) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return the links that are trained and those that are frozen; f_a is the first ``a``."""
    if frozen not in ("front", "back"):
        raise ValueError(f'frozen is "front" or "back", got {frozen!r}')
    f_a, f_b = list(network)[:a], list(network)[a:]
    return (f_b, f_a) if frozen == "front" else (f_a, f_b)


@contextmanager
def training_mode(network: nn.Sequential, a: int, frozen: Side = "front") -> Iterator[None]:
    """Hold one side of a cut in training mode, the other frozen; leave all in evaluation mode."""
    weights = [weight for link in sides(network, a, frozen)[1] for weight in link.parameters()]
    asked = [weight.requires_grad for weight in weights]
    network.train()
    freeze(network, a, frozen)
    try:
        yield
    finally:
        network.eval()
        for weight, flag in zip(weights, asked, strict=True):
            weight.requires_grad_(flag)


def freeze(network: nn.Sequential, a: int, frozen: Side = "front") -> None:
    """Freeze f_a, or f_b: no gradients, and running statistics that stand still."""
    for link in sides(network, a, frozen)[1]:
        link.eval()
        link.requires_grad_(False)  # noqa: FBT003


@torch.no_grad()
def accuracy(
    network: Classifier,
    samples: Samples,
    *,
    attack: Attack | None = None,
    batch: int = 500,
    seed: int = 0,
) -> float:
    """Return the share of samples whose largest logit is their label's, in 0..1.

    Under an attack it is for choosing; what is to be believed comes from ``robust_accuracy``.
    """
    if not len(samples):
        raise ValueError("need at least 1 sample to score")
    check_labels(samples.labels)
    if attack is not None:
        generator = Generator().manual_seed(seed)
        attacked = perturbed_batches(network, samples, attack, generator=generator)
        return share(~torch.cat([fooled(network, x_adv, y) for x_adv, y in attacked]))
    with evaluating(network):
        right = [(network(x).argmax(dim=1) == y).sum() for x, y, _ in batches(samples, batch)]
    return int(sum(right)) / len(samples)
