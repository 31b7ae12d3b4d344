"""Robust winning tickets: iterative magnitude pruning under attack (Cosentino et al. 2019).

Train, take away the smallest remaining weights of each layer, reset what remains, train again:

    m_{l+1} = m_l without its ⌊r n_l⌋ smallest |w|,    n_{l+1} = n_l - ⌊r n_l⌋,    w <- reset(w)

The reset is "original" (the first initialisation: the lottery ticket), "random" (a fresh one), or
"continued" (none). Continued networks have been trained on for all levels before: ``trained``
counts the steps behind a network's weights, and no comparison with the others is a fair one.

Departures from the authors' program, as far as it is described: exactly ⌊r n⌋ weights go at a level
(there, one more); shares are of all weights; attacks are told the true labels (there, the
predicted ones, which an evaluation must not use). Adam begins anew at each level. The attack of the
training starts at the clean image. All trials and resets of a level train as one batched network.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import floor
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from semirobust.attacks.objectives import check_choice
from semirobust.data import Samples
from semirobust.results.records import key
from semirobust.tickets.batched import (
    Masks,
    Steps,
    Weights,
    correct,
    fit,
    full_masks,
    glorot_weights,
    placed,
)
from semirobust.training.files import (
    content,
    environment,
    read_checkpoint,
    write_checkpoint,
)

Reset: TypeAlias = Literal["original", "random", "continued"]
Measure: TypeAlias = Callable[[Weights, Masks], dict[str, Tensor]]  # one number a network
RESETS: tuple[Reset, ...] = ("original", "random", "continued")
PUBLISHED = (0, 3, 8, 11, 15, 18)  # levels of the paper's 100, 51.3, 16.9, 8.7, 3.6 and 1.8 %
HIDDEN = (300, 100)


@dataclass(frozen=True, kw_only=True)
class Tickets:
    """Settings of iterative pruning; level 0 is dense, and each reset has so many trials.

    A trial has initial weights and an order of samples of its own.

    Args:
        rates: Share of its remaining weights that a layer loses at a level.
        looks: How often a training is scored on validation images.
    """

    steps: Steps
    levels: int = 20
    trials: int = 5
    resets: tuple[Reset, ...] = RESETS
    rates: tuple[float, ...] = (0.2, 0.2, 0.1)
    hidden: tuple[int, ...] = HIDDEN
    looks: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.rates) != len(self.hidden) + 1:
            raise ValueError(
                f"rates needs one share a layer, {len(self.hidden) + 1}; got {len(self.rates)}"
            )
        if not all(0 <= rate < 1 for rate in self.rates):
            raise ValueError(f"rates are shares in 0..1, such as 0.2 for 20 %; got {self.rates}")
        for reset in self.resets:
            check_choice("reset", reset, RESETS)


@dataclass(frozen=True)
class Level:
    """One finished level: a record for each network, and whether an earlier run had done it."""

    number: int
    records: list[dict[str, Any]]
    resumed: bool = False


@dataclass
class State:
    """Where a run stands: all networks of the last level, and tickets of the published ones."""

    weights: Weights
    masks: Masks
    history: list[list[dict[str, Any]]] = field(default_factory=list)
    tickets: dict[int, Weights] = field(default_factory=dict)


def restored(path: Path, settings: Tickets, train: Samples) -> State:
    """Return the state of a checkpoint, which must be of these settings and samples."""
    return State(**read_checkpoint(path, _own(settings, train), train.labels.device))


def _own(settings: Tickets, train: Samples) -> dict[str, str]:
    """Return what another run differs in."""
    about = {"settings": key(settings), "samples": content(train)}
    return about | environment(train.labels.device)


def last_networks(settings: Tickets, state: State) -> dict[str, Weights]:
    """Return the networks of the last level by their reset, with zeros where they were pruned."""
    shown = [weight * mask for weight, mask in zip(state.weights, state.masks, strict=True)]
    parts = zip(*(torch.split(weight, settings.trials) for weight in shown), strict=True)
    return dict(zip(settings.resets, parts, strict=True))


def remaining(count: int, rate: float, levels: int) -> int:
    """Return how many of ``count`` weights remain: n - ⌊r n⌋ at each level.

    Example:
        >>> [remaining(1000, 0.2, level) for level in (0, 1, 2, 3)]
        [1000, 800, 640, 512]
    """
    for _ in range(levels):
        count -= floor(rate * count + 1e-9)
    return count


def thinned(weight: Tensor, mask: Tensor, rate: float) -> Tensor:
    """Return the mask without the smallest remaining weights of each network, a share ``rate``."""
    size = weight.detach().abs().masked_fill(~mask, -1.0).flatten(1)
    kept = size.topk(remaining(int(mask[0].sum()), rate, 1), dim=1).indices
    return torch.zeros_like(size, dtype=torch.bool).scatter(1, kept, value=True).view_as(mask)


def pruned(weights: Sequence[Tensor], masks: Sequence[Tensor], rates: Sequence[float]) -> Masks:
    return tuple(thinned(*layer) for layer in zip(weights, masks, rates, strict=True))


def share_left(weights: Sequence[Tensor]) -> float:
    """Return the share of weights that are not zero."""
    left = sum(int((weight != 0).sum()) for weight in weights)
    return left / sum(weight.numel() for weight in weights)


def initial_weights(settings: Tickets, sizes: Sequence[int], *, draw: int = 0) -> Weights:
    """Return initial weights of the trials; draw 0 is the original one."""
    return glorot_weights(sizes, seeds_of(settings, draw))


def seeds_of(settings: Tickets, draw: int) -> list[int]:
    """Return one seed a trial, of the weights of a draw or of the order of a level."""
    return [1_000_000 * settings.seed + 1000 * draw + trial for trial in range(settings.trials)]


def sizes_of(samples: Samples, settings: Tickets) -> tuple[int, ...]:
    inputs = samples.images[0].numel()
    return (inputs, *settings.hidden, int(samples.labels.max()) + 1)


def reset_weights(settings: Tickets, sizes: Sequence[int], level: int, weights: Weights) -> Weights:
    """Return the weights from which a level trains, the resets one after the other."""
    parts = zip(*(torch.split(weight, settings.trials) for weight in weights), strict=True)
    anew = {
        "original": initial_weights(settings, sizes),
        "random": initial_weights(settings, sizes, draw=level),
    }
    after = [anew.get(reset, own) for reset, own in zip(settings.resets, parts, strict=True)]
    here = [placed(part, weights[0]) for part in after]
    return tuple(torch.cat(layer) for layer in zip(*here, strict=True))


def levels(
    settings: Tickets,
    train: Samples,
    validation: Samples,
    measure: Measure,
    *,
    checkpoint: Path | None = None,
) -> Iterator[Level]:
    """Prune and train, and yield one record a level, those of a checkpoint first.

    The validation part is scored during training, and decides only how many steps are said to be
    needed; ``measure`` reads the trained networks of a level on test images.
    """
    own = _own(settings, train) if checkpoint else {}
    if checkpoint and checkpoint.exists():
        state = restored(checkpoint, settings, train)
    else:
        first = initial_weights(settings, sizes_of(train, settings))
        state = State(first, full_masks(first))
    state.weights = placed(state.weights, train.labels)
    state.masks = placed(state.masks, train.labels)
    for number, records in enumerate(state.history):
        yield Level(number, records, resumed=True)
    for number in range(len(state.history), settings.levels + 1):
        _advance(state, settings, number, train, validation, measure)
        if checkpoint:
            write_checkpoint(checkpoint, {**own, **vars(state)})
        yield Level(number, state.history[-1])


def _advance(
    state: State,
    settings: Tickets,
    number: int,
    train: Samples,
    validation: Samples,
    measure: Measure,
) -> None:
    """Do one level: prune and reset (but for the first), train, score, read, remember."""
    if number:
        sizes = sizes_of(train, settings)
        state.masks = pruned(state.weights, state.masks, settings.rates)
        state.weights = reset_weights(settings, sizes, number, state.weights)
    steps, masks, looks = settings.steps, state.masks, []
    every = max(1, steps.iterations // settings.looks)
    seeds = seeds_of(settings, number) * (len(state.weights[0]) // settings.trials)
    for taken, state.weights in fit(state.weights, masks, train, steps, seeds, every=every):  # noqa: B020
        flags = correct(state.weights, masks, validation, steps.attack)
        looks.append((taken, flags.double().mean(dim=1)))
    accuracies = measure(state.weights, masks)
    state.history.append(level_records(settings, number, masks, looks, accuracies))
    if not number:  # the dense networks of all resets are the same
        state.weights = tuple(weight.repeat(len(settings.resets), 1, 1) for weight in state.weights)
        state.masks = full_masks(state.weights)
    if number in (*PUBLISHED, settings.levels):
        state.tickets[number] = last_networks(settings, state)[settings.resets[0]]


def level_records(
    settings: Tickets,
    number: int,
    masks: Masks,
    looks: Sequence[tuple[int, Tensor]],
    accuracies: dict[str, Tensor],
) -> list[dict[str, Any]]:
    """Return one record a network: weights left, steps to the best validation score, accuracies."""
    left = sum(int(mask[0].sum()) for mask in masks)
    total = sum(mask[0].numel() for mask in masks)
    scores = torch.stack([score for _, score in looks])
    networks = [(reset, trial) for reset in settings.resets for trial in range(settings.trials)]
    rows = []
    for place, (reset, trial) in enumerate(networks):
        own = place % scores.shape[1]
        best = int(scores[:, own].argmax())
        rows.append(
            {
                "level": number,
                "reset": reset,
                "trial": trial,
                "remaining": left,
                "share": left / total,
                "trained": settings.steps.iterations * (number + 1 if reset == "continued" else 1),
                "iterations": looks[best][0],
                "validation": float(scores[best, own]),
                **{name: float(values[own]) for name, values in accuracies.items()},
            }
        )
    return rows
