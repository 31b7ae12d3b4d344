"""Random numbers that belong to a sample: its noise does not depend on the batch it came in.

A generator gives each sample one 63-bit seed. Everything else follows from (seed, draw, position)
by a hash without state, the finaliser of SplitMix64 (Steele, Lea and Flood, 2014): the same sample
meets the same noise alone, among seven or among a hundred, and after its neighbours were dropped.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from semirobust.data import onto

PIECE = 1 << 22  # numbers hashed at a time, of eight bytes and held about three times over
WEYL = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed integer: 2^64 over the golden ratio
FIRST, SECOND = -4658895280553007687, -7723592293110705685  # 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def scrambled(z: Tensor) -> Tensor:
    """Return the 64-bit integers z after SplitMix64's finaliser (products wrap around)."""
    z = z.bitwise_xor(shifted_right(z, 30)).mul_(FIRST)
    z.bitwise_xor_(shifted_right(z, 27)).mul_(SECOND)
    return z.bitwise_xor_(shifted_right(z, 31))


def shifted_right(z: Tensor, bits: int) -> Tensor:
    """Return z shifted to the right with zeros coming in, as if it were unsigned."""
    return (z >> bits).bitwise_and_((1 << (64 - bits)) - 1)


@dataclass(frozen=True)
class Noise:
    """One stream of random numbers for each sample; ``draw`` numbers what is taken from it."""

    seeds: Tensor

    def __getitem__(self, chosen: Tensor) -> "Noise":
        return Noise(self.seeds[chosen])

    def stream(self, number: int) -> "Noise":
        """Return other streams of the same samples, for another use."""
        return Noise(scrambled(scrambled(~self.seeds) + number))

    def uniform(self, *shape: int, draw: int | Tensor = 0) -> Tensor:
        """Return numbers in [0, 1), N x shape, float32; a draw may be one number a sample."""
        size = math.prod(shape)
        position = torch.arange(size, device=self.seeds.device) * WEYL
        start = scrambled(scrambled(self.seeds) + draw)[:, None]
        numbers = torch.empty(len(start), size, device=start.device)
        rows = max(1, PIECE // max(1, size))
        for seeds, part in zip(torch.split(start, rows), torch.split(numbers, rows), strict=True):
            bits = shifted_right(scrambled(seeds + position), 40)
            torch.div(bits, 1 << 24, out=part)
        return numbers.view(len(start), *shape)

    def normal(self, *shape: int, draw: int = 0) -> Tensor:
        """Return standard normal numbers, N x shape, float32."""
        centred = 2 * self.uniform(*shape, draw=draw) - 1 + 1 / (1 << 24)
        return math.sqrt(2) * torch.erfinv(centred)

    def below(self, bound: int, *shape: int, draw: int = 0) -> Tensor:
        """Return integers in 0..bound-1, N x shape."""
        return (bound * self.uniform(*shape, draw=draw)).long()


def sample_noise(generator: Generator | Noise, x: Tensor) -> Noise:
    """Return the noise of the samples x, one seed each drawn from the generator, if not before."""
    if isinstance(generator, Noise):
        return generator
    seeds = torch.randint((1 << 63) - 1, (len(x),), generator=generator, device=generator.device)
    return Noise(onto(seeds, x.device))
