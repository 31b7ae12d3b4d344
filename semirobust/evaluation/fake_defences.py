"""Three defences that do not defend: what an evaluation has to see through.

Each looks robust under a plain gradient attack (Athalye, Carlini and Wagner, 2018): logits so large
that the cross-entropy underflows, inputs rounded so that no gradient passes, and inputs with noise
so that no two answers agree.
"""

import torch
from torch import Tensor, nn

from semirobust.types import Images, Logits


class LargeLogits(nn.Module):
    """The network with its logits times a constant: the same answers, and gradients of zero."""

    def __init__(self, network: nn.Module, factor: float = 1000.0) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, x: Images) -> Logits:
        return self.factor * self.network(x)


class RoundedInput(nn.Module):
    """The network behind a rounding of its input: a staircase, flat wherever one looks."""

    def __init__(self, network: nn.Module, levels: int = 16) -> None:
        super().__init__()
        self.network, self.levels = network, levels

    def forward(self, x: Images) -> Logits:
        return self.network(torch.round(x * (self.levels - 1)) / (self.levels - 1))


class NoisyInput(nn.Module):
    """The network behind noise on its input, drawn from a generator of its own at every pass."""

    def __init__(self, network: nn.Module, spread: float = 0.05, seed: int = 0) -> None:
        super().__init__()
        self.network, self.spread = network, spread
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self, x: Images) -> Logits:
        noise: Tensor = torch.randn(x.shape, generator=self.generator).to(x)
        return self.network(x + self.spread * noise)


FAKE_DEFENCES: dict[str, type[nn.Module]] = {
    "logits x 1000": LargeLogits,
    "input rounded to 16 levels": RoundedInput,
    "input noise": NoisyInput,
}
