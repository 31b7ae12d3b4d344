"""What a training step minimises: clean loss, Madry's, TRADES, and ATTA with carried perturbations.

A method is a frozen dataclass of settings that is called with the network and a batch and returns
the mean loss. Whatever has to be remembered between epochs lies in the batch's ``memory``, which
the training checkpoints; the method itself keeps nothing.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from semirobust.attacks import gradient as attacks
from semirobust.attacks.ball import project
from semirobust.attacks.objectives import divergence_from
from semirobust.types import Attack, Classifier, Images, Labels, Logits


class Batch(NamedTuple):
    """One batch of training, with its place in the data and the epoch (from 1)."""

    x: Images
    y: Labels
    places: Tensor
    epoch: int
    memory: dict[str, Tensor]
    generator: Generator
    smoothing: float = 0.0  # of the labels

    def loss(self, logits: Logits) -> Tensor:
        """Return the mean cross-entropy, the labels smoothed."""
        return cross_entropy(logits, self.y, label_smoothing=self.smoothing)


class Method(Protocol):
    """What is called for the loss of a batch."""

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the mean loss of the batch."""
        ...


@dataclass(frozen=True, kw_only=True)
class Plain:
    """Cross-entropy on the samples as they are: standard training, or training on a static set."""

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        return batch.loss(network(batch.x))


@dataclass(frozen=True, kw_only=True)
class Online:
    """Cross-entropy on examples made against the network as it is now: Madry et al. (2018).

    As the attack, ``NFGSM`` costs one gradient, ``PGD`` one for every step.
    """

    attack: Attack

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        x_adv = self.attack(network, batch.x, batch.y, generator=batch.generator)
        return batch.loss(network(x_adv))


@dataclass(frozen=True, kw_only=True)
class Trades:
    """Cross-entropy on clean inputs + beta KL(clean || attacked): Zhang et al. (2019), Eq. 5."""

    attack: attacks.TRADES = field(default_factory=lambda: attacks.TRADES(epsilon=8 / 255))
    beta: float = 6.0

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        x_adv = self.attack(network, batch.x, batch.y, generator=batch.generator)
        return trades_loss(network, batch, x_adv, self.beta)


def trades_loss(network: nn.Module, batch: Batch, x_adv: Images, beta: float) -> Tensor:
    """Return the mean of CE(F(x), y) + beta KL(F(x) || F(x_adv)), in one forward pass."""
    clean, attacked = network(torch.cat([batch.x, x_adv])).chunk(2)
    divergence = divergence_from(clean)(attacked, batch.y).mean()
    return batch.loss(clean) + beta * divergence


@dataclass(frozen=True, kw_only=True)
class Atta:
    """Few attack steps a batch, from where the last epoch left the sample: Zheng et al. (2020).

    The attack has no random start; perturbations begin anew every ``reset`` epochs.
    """

    attack: attacks.PGD = field(
        default_factory=lambda: attacks.PGD(
            epsilon=8 / 255, step_size=4 / 255, steps=3, random_start=False
        )
    )
    reset: int = 10

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        return batch.loss(network(carried_on(self.attack, self.reset, network, batch)))


@dataclass(frozen=True, kw_only=True)
class AttaTrades:
    """ATTA's carried perturbations in the loss of TRADES, as in the paper's later revision."""

    attack: attacks.TRADES = field(
        default_factory=lambda: attacks.TRADES(epsilon=8 / 255, step_size=4 / 255, steps=3)
    )
    beta: float = 6.0
    reset: int = 10

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        x_adv = carried_on(self.attack, self.reset, network, batch)
        return trades_loss(network, batch, x_adv, self.beta)


CARRIED_BYTES = 2**31  # perturbations that would take more are kept in half precision
SMOOTHED = (Plain, Online, Trades, Atta, AttaTrades)  # the methods whose loss smooths labels


def carried_on(
    attack: attacks.PGD | attacks.TRADES, reset: int, network: Classifier, batch: Batch
) -> Images:
    """Return examples from where the last epoch left them, and remember where they are now."""
    memory, x = batch.memory, batch.x
    if "delta" not in memory:
        size = int(memory["size"])
        kind = torch.half if size * x[0].numel() * 4 > CARRIED_BYTES else torch.float
        memory["delta"] = torch.zeros(size, *x.shape[1:], dtype=kind, device=x.device)
    fresh = (batch.epoch - 1) % reset == 0
    delta = torch.zeros_like(x) if fresh else memory["delta"][batch.places].to(x.dtype)
    start = project(x + delta, x, attack.epsilon)
    x_adv = attack(network, x, batch.y, generator=batch.generator, start=start)
    memory["delta"][batch.places] = (x_adv - x).to(memory["delta"].dtype)
    return x_adv
