"""Training steps on a GPU recorded once, as a CUDA graph: see ``attacks.replay``.

A recording holds attack, loss, backward pass, optimiser and averages. What differs from step to
step lies in tensors that stay where they are: images, labels, seeds of the noise, the rate.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Generator, Tensor

from semirobust.attacks.gradient import NFGSM, PGD
from semirobust.attacks.noise import Noise, sample_noise
from semirobust.attacks.replay import Body, Cuda, Machine, attempt, recordable, say
from semirobust.training.methods import Batch, Method, Online, Plain

WARM_UP = 3  # steps taken as they are: momenta exist afterwards, and libraries have chosen kernels
TRAINING = "training"


class Recorded:
    """Steps of one shape: the first taken as they are, the next recorded, all others replayed."""

    def __init__(self, machine: Machine, *, draws: bool) -> None:
        self.machine, self.draws = machine, draws  # whether a step draws noise, once
        self.inputs: list[Tensor] = []
        self.taken = 0
        self.replay: Body | None = None

    def __call__(self, step: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
        """Take a step and return its loss, which the next step overwrites."""
        body = partial(step, self.filled(batch))
        self.taken += 1
        if self.taken <= WARM_UP:
            return self.machine.apart(body)
        if self.taken == WARM_UP + 1:
            self.replay = attempt(self.machine, body, TRAINING)
        return self.replay() if self.replay else body()

    def filled(self, batch: Batch) -> Batch:
        """Return a batch of tensors that stay where they are, with the values of this one."""
        values = [batch.x, batch.y]
        if self.draws:
            values.append(sample_noise(batch.generator, batch.x).seeds)
        if not self.inputs:
            self.inputs = [value.clone() for value in values]
        for held, value in zip(self.inputs, values, strict=True):
            held.copy_(value)
        x, y, *seeds = self.inputs
        # the attacks that are recorded hand their generator to ``sample_noise`` and no one else
        drawn: Any = Noise(seeds[0]) if seeds else batch.generator
        return batch._replace(x=x, y=y, generator=cast(Generator, drawn))


def recorded(method: Method, optimiser: torch.optim.Optimizer, device: torch.device) -> Any:
    """Return how steps are recorded on a device; None where they are not."""
    if not recordable(device):
        return None
    if not isinstance(optimiser, torch.optim.SGD):
        return say(TRAINING, "only SGD takes its rate from the device")
    attack = method.attack if isinstance(method, Online) else None
    steady = type(attack) is PGD and attack.restarts == 1 and not attack.stop_when_fooled
    if not (isinstance(method, Plain) or type(attack) is NFGSM or steady):
        return say(TRAINING, f"{method} is not known to launch the same in every step")
    return Recorded(Cuda(), draws=attack is not None)
