"""Algorithm 1: retrain f_b behind a frozen f_a* until Acc reaches Acc* - k, then read rho_j.

The procedure knows no data and no attack: tuning, accuracy and measurement are passed in.
Accuracies that decide anything come from the validation split; test accuracy is measured
afterwards, once.

Departures: the listing takes rho_j as the smallest I_{j,t} over the trials, the text as that of
the trial with the best accuracy. ``rho_rule`` chooses; every trial is kept, so either can be
recomputed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from torch import nn

from semirobust.data import Samples
from semirobust.layers import splice
from semirobust.progress import watched
from semirobust.training.fitting import Epoch, Training, fit
from semirobust.training.fitting import accuracy as accuracy_under
from semirobust.types import Attack

Tune = Callable[[nn.Sequential, int], Iterator[Epoch]]
Accuracy = Callable[[nn.Sequential], float]
Measure = Callable[[nn.Sequential], dict[int, float]]


@dataclass(frozen=True, kw_only=True)
class Algorithm1:
    """Settings of Algorithm 1.

    Args:
        a: Number of links of the semirobust part f_a.
        tolerance: Stop once Acc* - Acc <= tolerance (the paper's k), accuracies in 0..1.
        trials: Number of independent trials T.
        first: Number of the first of them; another process may make those before it.
        rho_rule: "min" over the trials (the listing) or the trial of "best" accuracy (the text).
    """

    a: int
    tolerance: float = 0.0
    trials: int = 1
    first: int = 0
    rho_rule: Literal["min", "best"] = "min"

    def __post_init__(self) -> None:
        if not isinstance(self.a, int) or self.a < 1:
            raise ValueError(f"need a whole number a >= 1 of layers in the front, got {self.a}")
        if self.trials < 1 or self.first < 0:
            raise ValueError(f"need trials >= 1, first >= 0; got {self.trials} and {self.first}")
        if not 0 <= self.tolerance <= 1:
            raise ValueError(
                f"tolerance is an accuracy in 0..1: write 0.02 for 2 points, got {self.tolerance}"
            )
        if self.rho_rule not in ("min", "best"):
            raise ValueError(f'rho_rule is "min" or "best", got {self.rho_rule!r}')


@dataclass(frozen=True)
class Trial:
    """One trial; ``epochs`` is None where Acc* - k was never reached."""

    number: int
    spliced_accuracy: float
    accuracy: float
    epochs: int | None
    accuracies: tuple[float, ...]
    rho: dict[int, float]
    network: nn.Sequential


def trials(
    settings: Algorithm1,
    robust: nn.Sequential,
    standard: nn.Sequential,
    *,
    target: float,
    tune: Tune,
    accuracy: Accuracy,
    measure: Measure,
) -> Iterator[Trial]:
    """Yield the trials of Algorithm 1, each with its own network (f_a*, f̃_b).

    Args:
        settings: Where to cut, when to stop, how often.
        robust: (f_a*, f_b*), whose f_a is kept frozen; for a control, another network.
        standard: (f_a, f_b), from which f_b starts.
        target: Acc*, what (f_a*, f_b*) reaches on validation images.
        tune: Trains f_b for at most E epochs; given the network and the trial's number.
        accuracy: Under the protocol's attack, on validation images.
        measure: I(h_{j-1}; h_j | y) in bits for j = a+1..n.
    """
    enough = target - settings.tolerance  # Acc* - k
    for number in watched(range(settings.first, settings.first + settings.trials), "Algorithm 1"):
        network = splice(robust, standard, settings.a)  # (f_a*, f_b)
        reached = [accuracy(network)]
        if reached[0] < enough:
            for epoch in tune(network, number):
                found = accuracy(network) if epoch.validation is None else epoch.validation
                reached.append(found)
                if found >= enough:
                    break
        epochs = len(reached) - 1 if reached[-1] >= enough else None
        network.eval()
        yield Trial(
            number, reached[0], reached[-1], epochs, tuple(reached), measure(network), network
        )


def retrain(
    robust: nn.Sequential,
    standard: nn.Sequential,
    train: Samples,
    validation: Samples,
    *,
    settings: Algorithm1,
    training: Training,
    attack: Attack,
    measure: Measure = lambda _: {},
) -> Iterator[Trial]:
    """Yield the trials of Algorithm 1 on networks and samples of one's own.

    Args:
        robust: (f_a*, f_b*), whose f_a is kept frozen.
        standard: (f_a, f_b), from which f_b starts.
        train: What f_b is trained on.
        validation: On which accuracy decides when training stops.
        settings: Where to cut, when to stop, how often.
        training: Of f_b: its epochs are the paper's E, its method says against what.
        attack: Under which accuracy is measured.
        measure: Reads rho_j of a finished network; nothing by default.
    """
    score = partial(accuracy_under, samples=validation, attack=attack)

    def tune(network: nn.Sequential, number: int) -> Iterator[Epoch]:
        own = replace(training, seed=training.seed + number)
        return fit(network, train, own, a=settings.a, validate=score)

    target = score(robust)
    yield from trials(
        settings, robust, standard, target=target, tune=tune, accuracy=score, measure=measure
    )


def best(outcomes: Sequence[Trial]) -> Trial:
    """Return the trial with the largest accuracy, the first of equals: Acc~ of the paper."""
    if not outcomes:
        raise ValueError("no trial was run: call trials() first")
    return max(outcomes, key=lambda trial: trial.accuracy)


def rho(outcomes: Sequence[Trial], rule: Literal["min", "best"] = "min") -> dict[int, float]:
    """Return rho_j in bits: the smallest over the trials, or that of the best trial."""
    if rule == "best":
        return best(outcomes).rho
    return {j: min(trial.rho[j] for trial in outcomes) for j in best(outcomes).rho}
