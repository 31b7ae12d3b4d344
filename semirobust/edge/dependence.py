"""What an estimate of dependence must carry: its null, its ceiling and the doubts about it.

Everything is in bits, summed over the classes with their shares π(y).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semirobust.edge.counting import Floats

TINY = 1e-9  # bits: rounding


class SaturationWarning(UserWarning):
    """The estimate is near its ceiling, or most samples are alone in their cell."""


class NullDominatedWarning(UserWarning):
    """Most of the estimate is there without any dependence."""


class UnequalSamplesWarning(UserWarning):
    """Classes have different numbers of samples, hence different ceilings and nulls."""


@dataclass(frozen=True)
class Dependence:
    """An estimate of Σ_y π(y) I(X; Y | y) with what is needed to read it.

    Attributes:
        value: The estimate.
        null_mean: Its mean after shuffling the pairing within classes; None without permutations.
        null_sd: Standard deviation of the shuffled estimates.
        p: Share of shuffles (with the true pairing among them) that reach the value.
        ceiling: Largest value the codes allow, the smaller of their entropies; at most log2 n.
        entropy_x: Entropy of the codes of X given the class.
        entropy_y: Entropy of the codes of Y given the class.
        singletons: Share of samples that are alone in their joint cell.
        spread: Standard deviation over sets of directions; None for a single set.
        per_class: The estimate of each class.
        samples: The number of samples of each class.
        notes: Classes in which all samples of an input fall in one cell.
        settings: The settings of the estimate.
    """

    value: float
    null_mean: float | None
    null_sd: float | None
    p: float | None
    ceiling: float
    entropy_x: float
    entropy_y: float
    singletons: float
    spread: float | None
    per_class: dict[int, float]
    samples: dict[int, int]
    notes: tuple[str, ...]
    settings: Any

    @property
    def excess(self) -> float | None:
        """Value minus the mean of the null: what the pairing adds; None without permutations."""
        return None if self.null_mean is None else self.value - self.null_mean

    @property
    def saturation(self) -> float:
        """Value over ceiling; 0 where the codes are constant."""
        return self.value / self.ceiling if self.ceiling > TINY else 0.0

    def record(self) -> dict[str, float | None]:
        """Return the numbers of one row of a table."""
        names = ("value", "null_mean", "null_sd", "excess", "p", "ceiling", "saturation")
        more = ("entropy_x", "entropy_y", "singletons", "spread")
        return {name: getattr(self, name) for name in names + more}

    def doubts(self) -> Iterator[tuple[type[UserWarning], str]]:
        """Yield the warnings that a reader of the value should see."""
        if self.saturation > 0.9 or self.singletons > 0.5:
            yield (
                SaturationWarning,
                f"{self.value:.2f} of at most {self.ceiling:.2f} bits, {self.singletons:.0%} of "
                "samples alone in their cell: take more samples per class or fewer cells",
            )
        if self.null_mean is not None and self.null_mean > 0.8 * self.value > TINY:
            yield (
                NullDominatedWarning,
                f"{self.null_mean:.2f} of {self.value:.2f} bits remain when the pairing is "
                "shuffled: read the excess",
            )
        fewest, most = min(self.samples.values()), max(self.samples.values())
        if most > 1.1 * fewest:
            yield (
                UnequalSamplesWarning,
                f"classes have {fewest} to {most} samples: take equal numbers",
            )


@dataclass(frozen=True)
class Estimates:
    """The estimates of some classes, which are the last axis of every field."""

    n: NDArray[np.int64]
    values: Floats  # one per set of directions
    null: Floats  # one per shuffle
    ceiling: Floats
    entropy_x: Floats
    entropy_y: Floats
    singletons: Floats
    constant: Floats  # share of the codings in which all samples of X or Y share a cell


def combined(
    settings: Any, groups: Mapping[tuple[int, ...], Estimates], shares: Mapping[int, float] | None
) -> Dependence:
    """Return Σ_y π(y) of the classes' estimates; without π, their shares of the samples."""
    classes = [c for group in groups for c in group]
    order = np.argsort(classes)
    whole = Estimates(
        *(
            np.concatenate([getattr(one, field.name) for one in groups.values()], -1)[..., order]
            for field in fields(Estimates)
        )
    )
    classes.sort()
    share = np.array([shares[c] for c in classes]) if shares else whole.n / whole.n.sum()

    def mean(values: Floats) -> Any:
        return np.cumsum(share * values, axis=-1)[..., -1]  # class by class, in their order

    values, null = mean(whole.values), mean(whole.null)
    value, shuffled = float(values.mean()), len(null) > 0
    return Dependence(
        value=value,
        null_mean=float(null.mean()) if shuffled else None,
        null_sd=float(null.std()) if shuffled else None,
        p=float((1 + np.sum(null >= value)) / (1 + len(null))) if shuffled else None,
        ceiling=float(mean(whole.ceiling)),
        entropy_x=float(mean(whole.entropy_x)),
        entropy_y=float(mean(whole.entropy_y)),
        singletons=float(mean(whole.singletons)),
        spread=float(values.std(ddof=1)) if len(values) > 1 else None,
        per_class=dict(zip(classes, whole.values.mean(axis=0).tolist(), strict=True)),
        samples=dict(zip(classes, whole.n.tolist(), strict=True)),
        notes=tuple(
            f"class {classes[place]}: constant, all samples in one cell"
            for place in np.flatnonzero(whole.constant)
        ),
        settings=settings,
    )
