"""What recorded values decide: an interval over seeds and images, and one of three words.

A claim leaves a quantity a range. Its 95 % interval lies in the range (``holds``), outside
(``does not hold``), or across a limit (``undecided``). Half its width has two parts,

    h² = (t s / √S)² + (z e)²,

s the spread of S seeds with Student's t of S - 1 degrees of freedom, e the standard error that the
draw of the images leaves and all seeds share (Howe, 1974). Both networks of a difference meet the
same images, so that e is paired. What varies between seeds and images alike is in both parts, which
errs on the side of *undecided*. Fewer than three seeds hardly show a spread of their own: they are
given ``GRANTED``, more than nearly every row of three seeds shows, as if it were known, or what two
seeds show if it is more. Runs of several sizes share the error in proportion to their seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import pi, sqrt
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Word: TypeAlias = Literal["holds", "does not hold", "undecided"]
LEVEL = 0.95
ENOUGH = 3  # seeds whose own spread is used
GRANTED: Mapping[str, float] = {"points": 0.05, "share": 0.1, "bits": 0.25}
FEW = 1.5  # standard error, in images, of a count that is 0: its upper limit is 3 (rule of three)
LARGE = 1000.0  # degrees of freedom from which on Student's law is taken as normal
TAILS = np.geomspace(1e-6, 0.5, 400)  # between which errors are told apart


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds, with the two parts of its variance: over seeds, with df, and images."""

    mean: float
    seeds: int
    over_seeds: float = 0.0
    over_images: float = 0.0
    df: float = LARGE

    def half(self, above: ArrayLike) -> NDArray[np.float64]:
        """Return half the width of the interval that leaves these probabilities on each side."""
        p = 1 - np.asarray(above)
        of_seeds = quantile(p, self.df) ** 2 * self.over_seeds
        return np.sqrt(of_seeds + quantile(p, LARGE) ** 2 * self.over_images)

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the ends of the interval."""
        half = float(self.half((1 - level) / 2))
        return self.mean - half, self.mean + half


@dataclass(frozen=True)
class Decision:
    """A word, and the smallest two-sided error at which it would still not be ``undecided``."""

    word: Word
    p: float


def estimate(
    values: Sequence[float], image_variance: float = 0.0, *, granted: float = GRANTED["bits"]
) -> Estimate:
    """Return the mean of the values, one a seed, with its error; few seeds are granted a spread."""
    if not (S := len(values)):
        raise ValueError("no values, so there is nothing to estimate")
    mean = float(np.mean(values))
    shown = float(np.var(values, ddof=1)) if S > 1 else 0.0
    if S < ENOUGH:
        return Estimate(mean, S, max(granted**2, shown) / S, image_variance)
    return Estimate(mean, S, shown / S, image_variance, S - 1)


def image_variance(terms: Sequence[NDArray[np.float64]]) -> float:
    """Return what the draw of the images leaves of the variance of a mean over seeds.

    ``terms`` has one array a seed, whose mean over the images is the seed's value. Seeds that met
    different numbers of images are taken to share them all.
    """
    sizes = {len(one) for one in terms}
    rows = [np.mean(terms, axis=0)] if len(sizes) == 1 else terms
    return float(
        np.mean([max(np.var(row, ddof=1) / len(row), (FEW / len(row)) ** 2) for row in rows])
    )


def slopes(doses: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return what each image adds to a slope over doses, at even steps from 0 to 1, by its flags.

    Example:
        >>> slopes([np.array([1.0, 1.0]), np.array([1.0, 0.0])]).tolist()
        [0.0, -1.0]
    """
    at = np.linspace(-0.5, 0.5, len(doses))
    found: NDArray[np.float64] = at @ np.stack(doses) / (at @ at)
    return found


def decide(found: Estimate, within: tuple[float, float], level: float = LEVEL) -> Decision:
    """Return what an estimate decides of the claim that the quantity lies in a range."""
    low, high = within
    inside = low <= found.mean <= high
    gap = min(found.mean - low, high - found.mean) * (1 if inside else -1)
    exact = not (found.over_seeds or found.over_images)
    p = 0.0 if exact else 2 * float(np.interp(-gap, -found.half(TAILS), TAILS))
    if p > 1 - level:
        return Decision("undecided", p)
    return Decision("holds" if inside else "does not hold", p)


def together(decisions: Sequence[Decision], level: float = LEVEL) -> Decision:
    """Return what all tests of a claim decide: it holds if each holds, not if one does not.

    To hold needs every test, so its error is that of the weakest; one of k may refute by chance, so
    the error of the strongest is multiplied by k.
    """
    if not decisions:
        raise ValueError("no decisions, so there is nothing to put together")
    against = [len(decisions) * one.p for one in decisions if one.word == "does not hold"]
    if against and min(against) <= 1 - level:
        return Decision("does not hold", min(against))
    weakest = max(one.p for one in decisions)
    every = all(one.word == "holds" for one in decisions)
    return Decision("holds" if every else "undecided", weakest)


def over_scales(
    decisions: Sequence[Decision], seeds: Sequence[int], level: float = LEVEL
) -> Decision:
    """Return what runs of several sizes decide; where they contradict each other it is open.

    Any of them may decide by chance, so each is given its share of the error, that of its seeds:
    one large run costs three small ones a quarter. Where all agree, the weakest bounds the error.
    """
    most = max(one.p for one in decisions)
    if len({one.word for one in decisions} - {"undecided"}) != 1:
        return Decision("undecided", most)
    shared = (one.p * sum(seeds) / S for one, S in zip(decisions, seeds, strict=True))
    p = min(most, *shared)
    word = next(one.word for one in decisions if one.word != "undecided")
    return Decision(word if p <= 1 - level else "undecided", p)


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """Return p values adjusted for their number (Holm, 1979).

    Example:
        >>> holm([0.04, 0.01, 0.03]).round(4).tolist()
        [0.06, 0.03, 0.06]
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(steps, 1)
    return adjusted


def quantile(p: ArrayLike, df: float) -> NDArray[np.float64]:
    """Return the value that Student's t stays below with probability p.

    Example:
        >>> quantile([0.5, 0.975], 2).round(2).tolist()
        [0.0, 4.3]
    """
    angles, below = _student(df)
    return sqrt(df) * np.tan(np.interp(np.asarray(p), below, angles))


@cache
def _student(df: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return angles θ and P(t <= √df tan θ), whose density is cos^(df - 1) θ."""
    angles = np.linspace(-pi / 2, pi / 2, 4001)
    density = np.cos(angles).clip(0) ** (df - 1)
    below = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return angles, below / below[-1]
