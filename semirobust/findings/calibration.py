"""How often the rule of ``results.verdicts`` decides, where the truth is known: by simulation.

Networks are compared on the same images. A seed's networks differ by the effect and a normal draw
over seeds; of ``n`` images one then wins some and the other some, and a share of the images is won
or lost by every seed alike. The claim is that the difference is at least 0.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from semirobust.results.verdicts import GRANTED, decide, estimate, image_variance, over_scales


def differences(
    effect: float,
    seeds: int,
    *,
    images: int = 1000,
    spread: float = 0.01,
    disagree: float = 0.2,
    shared: float = 0.5,
    generator: np.random.Generator,
) -> list[NDArray[np.float64]]:
    """Return by seed what each image adds to the difference: 1 won, -1 lost, 0 alike.

    ``spread`` is the standard deviation over seeds, ``disagree`` the share of images on which the
    networks differ, ``shared`` that of the images which mean the same to every seed.
    """
    truth = effect + spread * generator.standard_normal(seeds)
    alike = generator.random(images)
    own = generator.random((seeds, images))
    u = np.where(generator.random(images) < shared, alike, own)
    won = (disagree + truth[:, None]).clip(0) / 2
    lost = (disagree - truth[:, None]).clip(0) / 2
    return list((u < won).astype(float) - (u > 1 - lost))


def decisions(effect: float, *seeds: int, draws: int, seed: int = 0, **world: Any) -> Counter[str]:
    """Return how many of so many draws end in each word; several ``seeds`` are several sizes."""
    generator = np.random.default_rng(seed)
    words: Counter[str] = Counter()
    for _ in range(draws):
        sizes = []
        for S in seeds:
            terms = differences(effect, S, generator=generator, **world)
            values = [float(one.mean()) for one in terms]
            found = estimate(values, image_variance(terms), granted=GRANTED["points"])
            sizes.append(decide(found, (0.0, np.inf)))
        words[over_scales(sizes, seeds).word] += 1
    return words


def power(
    effects: Sequence[float], seeds: Sequence[int], draws: int, **world: Any
) -> Iterator[dict[str, float]]:
    """Yield the share of draws decided either way, for each number of seeds and true difference."""
    for S in seeds:
        for effect in effects:
            words = decisions(effect, S, draws=draws, **world)
            decided = draws - words["undecided"]
            yield {"seeds": S, "effect": effect, "decided": decided / draws} | {
                word: words[word] / draws for word in ("holds", "does not hold")
            }
