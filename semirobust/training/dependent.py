"""A training that raises the dependence between consecutive layers: cross-entropy - λ InfoNCE.

    InfoNCE(h_{j-1}; h_j | y) = E[ log2( e^s(u_i, v_i) / mean_k e^s(u_i, v_k) ) ],  k in i's class

bounds I(h_{j-1}; h_j | y) from below for every critic s (van den Oord et al. 2018); at most log2 of
the images of a class in the batch. The critic here has no weights: the cosine of fixed random
directions of both layers, of channels averaged over space and centred in their class, divided by a
temperature. So whatever the term gains, the network's own weights have gained.
"""

from dataclasses import dataclass
from functools import cache
from math import log

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from semirobust.layers import activations
from semirobust.training.methods import Batch
from semirobust.types import Attack, Features, Labels


@dataclass(frozen=True, kw_only=True)
class Dependent:
    """Cross-entropy minus ``weight`` times the mean InfoNCE of the pairs of layers after ``a``."""

    a: int
    weight: float
    attack: Attack | None = None  # on the images of the batch; None for clean ones
    directions: int = 64
    temperature: float = 0.2

    def __post_init__(self) -> None:
        if self.a < 1 or self.weight < 0 or self.temperature <= 0:
            raise ValueError(f"need a >= 1, weight >= 0 and temperature > 0, got {self}")

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        x = batch.x
        if self.attack is not None:
            x = self.attack(network, x, batch.y, generator=batch.generator)
        if not isinstance(network, nn.Sequential):
            raise TypeError(f"layers are read from a chain of links, got {type(network).__name__}")
        h = activations(network, x)
        loss = cross_entropy(h[len(h)], batch.y)
        if self.weight == 0:
            return loss
        pairs = [(h[j - 1], h[j]) for j in range(self.a + 1, len(h) + 1)]
        bits = [self.information(u, v, batch.y) for u, v in pairs]
        return loss - self.weight * torch.stack(bits).mean()

    def information(self, u: Features, v: Features, y: Labels) -> Tensor:
        """Return InfoNCE(u; v | y) in bits, a lower bound of I(u; v | y) in expectation."""
        same = y[:, None] == y
        critic = self.directed(u, same) @ self.directed(v, same).T / self.temperature
        chosen = critic.masked_fill(~same, -torch.inf)
        nats = critic.diagonal() - chosen.logsumexp(dim=1) + same.sum(dim=1).log()
        return nats.mean() / log(2)

    def directed(self, h: Features, same: Tensor) -> Features:
        """Return unit vectors: channels averaged over space, centred in their class, directed."""
        rows = h.float().flatten(2).mean(dim=2) if h.dim() > 2 else h.float()
        share = same.float() / same.sum(dim=1, keepdim=True)
        along = fixed_directions(rows.shape[1], self.directions, rows.device)
        return normalize((rows - share @ rows) @ along, dim=1)


@cache
def fixed_directions(units: int, directions: int, device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(units)
    return torch.randn(units, directions, generator=generator).to(device)
