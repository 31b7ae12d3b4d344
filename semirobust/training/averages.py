"""Moving averages of weights and running statistics, evaluated in the place of the last ones.

m <- decay m + (1 - decay) w after every step, begun with the weights after the first: Izmailov et
al. (2018) with exponential weights. For adversarial training: Rebuffi et al. (2021).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Averages:
    """The averages of what links learn; between epochs they stand in the network itself."""

    def __init__(self, links: Iterable[nn.Module], decay: float) -> None:
        state = [value for link in links for value in link.state_dict().values()]
        self.live = [value for value in state if value.is_floating_point()]
        self.aside = [value.clone() for value in self.live]  # averages, or while they are shown
        self.decay, self.begun = decay, False  # in the network, its last weights

    @torch.no_grad()
    def update(self) -> None:
        """Take a step's outcome into the averages."""
        if not self.begun:
            self.restore(self.live)
        elif self.live:
            torch._foreach_lerp_(self.aside, self.live, 1 - self.decay)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Put the last weights back into the network for the block, for training to go on."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    @torch.no_grad()
    def swap(self) -> None:
        for live, aside in zip(self.live, self.aside, strict=True):
            kept = live.clone()
            live.copy_(aside)
            aside.copy_(kept)

    @torch.no_grad()
    def restore(self, values: list[Tensor]) -> None:
        """Go on from values for what is kept aside."""
        for aside, value in zip(self.aside, values, strict=True):
            aside.copy_(value)
        self.begun = True
