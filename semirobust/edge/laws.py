"""Laws whose information is known, and the noise replica of the published ρ.

What an estimator of dependence says is worth something only where the answer is known: letters
through a channel, Gaussian pairs, and noise, whose information is zero. The published values of ρ
stand here with the samples per class and the widths of their layers, so that independent noise of
the same sizes can be measured beside them.
"""

from dataclasses import dataclass
from math import log2

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from semirobust.edge.dependence import Dependence
from semirobust.edge.estimator import Edge
from semirobust.edge.projection import Coordinates
from semirobust.results.published import NAMES, published_numbers

Samples = NDArray[np.float64]

LETTERS = 10
RIGHT = 0.8  # probability that a letter arrives as it was sent
CHANNEL_BITS = log2(LETTERS) + RIGHT * log2(RIGHT) + (1 - RIGHT) * log2((1 - RIGHT) / 9)


def channel(n: int, generator: Generator) -> tuple[Samples, Samples]:
    """Return letters sent and received, n x 1: one in five arrives as one of the nine others.

    They share log₂ 10 + 0.8 log₂ 0.8 + 0.2 log₂ (0.2 / 9) = 1.966 bits.
    """
    sent = generator.integers(0, LETTERS, n)
    shift = np.where(generator.random(n) < RIGHT, 0, generator.integers(1, LETTERS, n))
    received = (sent + shift) % LETTERS
    return sent[:, None].astype(np.float64), received[:, None].astype(np.float64)


def gaussians(n: int, r: float, generator: Generator, *, d: int = 1) -> tuple[Samples, Samples]:
    """Return n pairs of Gaussian vectors whose coordinates correlate by r, one to one.

    They share -d/2 log₂ (1 - r²) bits.
    """
    x = generator.standard_normal((n, d))
    return x, r * x + np.sqrt(1 - r**2) * generator.standard_normal((n, d))


def gaussian_bits(r: float, *, d: int = 1) -> float:
    """Return -d/2 log₂ (1 - r²)."""
    return -d / 2 * log2(1 - r**2)


def relu_layer(n: int, d: int, generator: Generator) -> tuple[Samples, Samples]:
    """Return a layer of d rectified units and the next one, a random linear map and a ReLU of it.

    The second is a function of the first, which is continuous: they share infinitely many bits.
    """
    x = np.maximum(generator.standard_normal((n, d)), 0)
    return x, np.maximum(x @ generator.standard_normal((d, d)) / np.sqrt(d), 0)


def noise(n: int, dx: int, dy: int, *, edge: Edge, seed: int = 0) -> Dependence:
    """Return the estimate on independent Gaussian noise of widths dx and dy.

    Noise of any width, projected on random directions, is noise of few coordinates; so only these
    are drawn, and the widths enter where the estimate asks for them.
    """
    rng = np.random.default_rng(seed)
    sides = []
    for d, m in zip((dx, dy), edge.sides(dx, dy, n, of="the noise"), strict=True):
        shape = (1 if m is None else edge.projections, d if m is None else m, n)
        sides.append({0: Coordinates(rng.standard_normal(shape), d)})
    return edge.measure(*sides)


@dataclass(frozen=True)
class PublishedRho:
    """One value of the paper's Table 1: ρ_{n - back}, with what its estimate depends on."""

    network: str
    data: str
    back: int
    rho: float
    per_class: int
    dx: int
    dy: int


def published() -> list[PublishedRho]:
    """Return the values of ρ in Table 1 whose layers' widths are known.

    Layers are convolutions' outputs before pooling, as published. AlexNet's ρ_{n-3} is left out:
    its width depends on a stem for small images that the paper does not give. ResNet-50 is taken
    with a stem without stride on CIFAR; at 224 pixels all maps are larger by the same factor.
    """
    rows = published_numbers("Table 1").query("quantity.str.startswith('rho_n')")
    back = rows["quantity"].str.removeprefix("rho_n").replace("", "-0").astype(int).abs()
    names = [rows[column].map(NAMES) for column in ("model", "data")]
    return [
        PublishedRho(network, data, k, rho, PER_CLASS[data], *_widths(network, data, k))
        for network, data, k, rho in zip(*names, back, rows["value"], strict=True)
        if k == 0 or k in CHANNELS.get(network, {})
    ]


PER_CLASS = {"CIFAR-10": 1000, "CIFAR-100": 100, "Imagenette": 392}
# Channels of layers n-back-1 and n-back, and how often their maps were halved fewer than the last.
CHANNELS = {
    "VGG16": {3: (512, 512, 0, 0), 7: (512, 512, 1, 1), 11: (128, 256, 3, 2)},
    "ResNet-50": {
        3: (2048, 512, 0, 0),
        7: (512, 2048, 0, 0),
        11: (256, 256, 1, 1),
        15: (1024, 256, 1, 1),
    },
}
HEAD = {"AlexNet": 4096, "VGG16": 4096, "ResNet-50": 2048}
LAST_MAP = {"VGG16": (2, 14), "ResNet-50": (4, 7)}  # side at 32 and 224 pixels


def _widths(network: str, data: str, back: int) -> tuple[int, int]:
    """Return the numbers of units of layers n - back - 1 and n - back."""
    if back == 0:
        return HEAD[network], 100 if data == "CIFAR-100" else 10
    side = LAST_MAP[network][data == "Imagenette"]
    before, after, larger_before, larger_after = CHANNELS[network][back]
    return before * (side << larger_before) ** 2, after * (side << larger_after) ** 2
