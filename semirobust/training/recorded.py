"""Training steps on a GPU recorded once, as a CUDA graph, and replayed without the host.

At batch 128 a step on a large GPU is host time: hundreds of launches of 30 microseconds each. A
recording holds them all: attack, loss, backward pass, optimiser, averages. What differs from step
to step lies in tensors that stay where they are: images, labels, seeds of the noise, the rate.

Recording computes nothing. So where it fails nothing has happened, and training goes on step by
step. The weights are those of the same steps without it; ``SEMIROBUST_GRAPH=0`` does without it.
"""

import os
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

import torch
from torch import Generator, Tensor

from semirobust.attacks.gradient import NFGSM, PGD
from semirobust.attacks.noise import Noise, sample_noise
from semirobust.training.methods import Batch, Method, Online, Plain

Body = Callable[[], Tensor]  # a whole step on tensors that stay where they are -> its loss
WARM_UP = 3  # steps taken as they are: momenta exist afterwards, and libraries have chosen kernels


class Machine(Protocol):
    """What records; a test passes one that only calls."""

    def apart(self, body: Body) -> Tensor:
        """Take a step where it will be recorded."""

    def record(self, body: Body) -> Body:
        """Return what repeats a step."""


class Cuda:
    """Records what is launched on a stream of its own, as CUDA asks."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def apart(self, body: Body) -> Tensor:
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            result = body()
        torch.cuda.current_stream().wait_stream(self.stream)
        return result

    def record(self, body: Body) -> Body:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self.stream):
            result = body()

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay


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
            self.replay = self.attempt(body)
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

    def attempt(self, body: Body) -> Body | None:
        try:
            return self.machine.record(body)
        except RuntimeError as error:
            say(str(error.__context__ or error).splitlines()[0])
            return None


def recorded(method: Method, optimiser: torch.optim.Optimizer, device: torch.device) -> Any:
    """Return how steps are recorded on a device; None where they are not."""
    if device.type != "cuda" or os.environ.get("SEMIROBUST_GRAPH") == "0":
        return None
    if not isinstance(optimiser, torch.optim.SGD):
        return say("only SGD takes its rate from the device")
    attack = method.attack if isinstance(method, Online) else None
    steady = type(attack) is PGD and attack.restarts == 1 and not attack.stop_when_fooled
    if not (isinstance(method, Plain) or type(attack) is NFGSM or steady):
        return say(f"{method} is not known to launch the same in every step")
    return Recorded(Cuda(), draws=attack is not None)


def say(reason: str) -> None:
    """Say why steps are not recorded; nothing else changes."""
    warnings.warn(f"training goes step by step, not as one CUDA graph: {reason}", stacklevel=2)
