"""Work on a GPU recorded once, as a CUDA graph, and replayed without the host.

A step on a large GPU is host time: hundreds of launches of 30 microseconds each. A recording holds
them all. Recording computes nothing, so where it fails nothing has happened, and the work is done
step by step. The results are the same; ``SEMIROBUST_GRAPH=0`` does without.
"""

import os
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from semirobust.types import Classifier

Body: TypeAlias = Callable[[], Tensor]  # work on tensors that stay where they are
Step: TypeAlias = Callable[..., Sequence[Tensor]]  # tensors -> the same tensors a step later
WORTH = 8  # steps to come; a recording takes as long as a few of them


class Machine(Protocol):
    """What records; a test passes one that only calls."""

    def apart(self, body: Body) -> Tensor:
        """Do work where it will be recorded."""

    def record(self, body: Body) -> Body:
        """Return what repeats the work."""


class Cuda:
    """Records what is launched on a stream of its own, as CUDA asks."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.last: torch.cuda.CUDAGraph | None = None

    def apart(self, body: Body) -> Tensor:
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            result = body()
        torch.cuda.current_stream().wait_stream(self.stream)
        return result

    def record(self, body: Body) -> Body:
        """Return what repeats the work, in the memory of the last recording: that one is over."""
        graph = torch.cuda.CUDAGraph()
        pool = self.last.pool() if self.last else None
        with torch.cuda.graph(graph, pool=pool, stream=self.stream):
            result = body()
        self.last = graph

        def replay() -> Tensor:
            graph.replay()
            return result

        return replay


@cache
def cuda() -> Cuda:
    """Return the machine of all attacks of this process, whose recordings follow each other."""
    return Cuda()


def recordable(device: torch.device) -> bool:
    return device.type == "cuda" and os.environ.get("SEMIROBUST_GRAPH") != "0"


def attempt(machine: Machine, body: Body, what: str) -> Body | None:
    """Return what repeats the work; None where it cannot be recorded, which is said."""
    try:
        return machine.record(body)
    except RuntimeError as error:
        say(what, str(error.__context__ or error).splitlines()[0])
        return None


def say(what: str, reason: str) -> None:
    """Say why steps are not recorded; nothing else changes."""
    warnings.warn(f"{what} goes step by step, not as one CUDA graph: {reason}", stacklevel=2)


def repeated(step: Step, network: Classifier, x: Tensor, steps: int) -> Step:
    """Return a step that may be repeated so often, on a GPU as a recording."""
    worth = recordable(x.device) and steps >= WORTH
    return Repeated(step, network, cuda()) if worth else step


class Repeated:
    """A step of tensors to the same tensors, recorded for one shape at a time and then replayed.

    What it returns is overwritten by the next step. A network that counts its calls is told of
    those that it does not see.
    """

    def __init__(self, step: Step, network: Classifier, machine: Machine) -> None:
        self.step, self.machine = step, machine
        self.failed = False
        self.again = getattr(network, "again", None)
        self.held: list[Tensor] = []
        self.replay: Body | None = None

    def __call__(self, *state: Tensor) -> Sequence[Tensor]:
        if self.failed:
            return self.step(*state)
        if not self.held or self.held[0].shape != state[0].shape:
            self.replay, self.held = None, [value.clone() for value in state]
            self.replay = attempt(self.machine, self.body, "an attack")
            if self.replay is None:
                self.failed = True
                return self.step(*state)
        elif self.again:
            self.again(len(state[0]))
        put(self.held, state)
        assert self.replay
        self.replay()
        return self.held

    def body(self) -> Tensor:
        put(self.held, self.step(*self.held))
        return self.held[0]


def put(held: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Overwrite the tensors held by these values, of which some may be held ones themselves."""
    own = {id(tensor) for tensor in held}
    pairs = [(mine, value) for mine, value in zip(held, values, strict=True) if mine is not value]
    pairs = [(mine, value.clone() if id(value) in own else value) for mine, value in pairs]
    for mine, value in pairs:
        mine.copy_(value)
