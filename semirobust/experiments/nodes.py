"""What takes long is made once: artefacts of tensors and facts, and the nodes of a graph of them.

An artefact is named by settings and code, valid for the very inputs it was made from, and resumed
where it was stopped. ``kept`` makes one of given values, ``train`` one that is a trained network;
``made`` makes a node with all it needs. Everything is a generator of progress that returns a value:
``network = yield from ...``.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache, partial
from inspect import isgeneratorfunction
from typing import Any

from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from semirobust.data import DataSet, Samples, device
from semirobust.experiments.study import (
    Content,
    Progress,
    computed_on,
    fitted,
    gpu_memory_mb,
    loaded,
)
from semirobust.results.artefacts import Artefact, held, inputs_first, publish, read
from semirobust.training.files import content
from semirobust.training.fitting import Epoch, Side, Training

TENSORS = "tensors.safetensors"


def kept(
    artefact: Artefact, inputs: Mapping[str, str], make: Callable[..., Any]
) -> Generator[Progress, None, Content]:
    """Return the tensors and facts of an artefact, made now or before, after its progress.

    ``make`` returns them; a generator of progress that does is given ``folder``, for checkpoints.
    """
    with held(artefact, inputs) as work:
        if work.record is None:
            gpu_memory_mb()
            epochs: list[Any] = []
            if isgeneratorfunction(make):
                tensors, facts = yield from _noted(make(folder=work.folder), epochs)
            else:
                tensors, facts = make()
            files = {TENSORS: packed(tensors)} if tensors else {}
            origin = {**computed_on(), "gpu_memory_mb": gpu_memory_mb()}
            facts = publish(work, files, {**facts, "progress": epochs}, **origin)
            return _placed(tensors), facts
        for words, epoch in work.facts["progress"]:
            yield Progress(words, Epoch(**epoch), resumed=True)
        there = TENSORS in work.record["files"]
        return _placed(from_safetensors(work.payload(TENSORS)) if there else {}), work.facts


def _placed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors where studies compute, whether they were made or read."""
    return {name: tensor.to(device()) for name, tensor in tensors.items()}


def _noted(
    steps: Generator[Progress, None, Content], epochs: list[Any]
) -> Generator[Progress, None, Content]:
    """Pass the steps on, and note their epochs."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value
        epochs.append([step.stage, asdict(step.epoch)])
        yield step


def packed(tensors: Mapping[str, Tensor]) -> bytes:
    return to_safetensors({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})


def train(
    stage: str,
    settings: tuple[Any, ...],
    network: nn.Sequential,
    samples: Samples,
    training: Training,
    *,
    words: str,
    a: int = 0,
    frozen: Side = "front",
) -> Generator[Progress, None, nn.Sequential]:
    """Train a network in place, but for its frozen side, or load what came of it before."""
    about = (*settings, training, a, frozen)
    artefact = Artefact(stage=stage, about=about, code=(fitted, Samples))
    inputs = {"network": content(network), "samples": content(samples)}
    make = partial(fitted, words, network, samples, training, a=a, frozen=frozen)
    weights, _ = yield from kept(artefact, inputs, make)
    return loaded(network, training, weights)


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """Something that is made once, from what other nodes make."""

    stage: str = ""  # its kind; empty for what is so quickly computed that it is not stored
    settings: tuple[Any, ...] = ()  # on which its content depends, beside those of what it needs
    needs: "dict[str, Node]" = field(default_factory=dict)  # as make and read name them
    make: Callable[..., Any] | None = None  # (settings, needs) -> content, as ``kept`` takes it
    read: Callable[..., Any]  # (content, needs) -> value; without a content if not stored
    code: tuple[Any, ...] = ()  # functions that ``make`` is given and that are part of the name
    where: dict[str, Any] = field(default_factory=dict)  # which of its stage in a row

    @property
    def about(self) -> tuple[Any, ...]:
        return (*self.settings, *((need.stage, *need.about) for need in self.needs.values()))

    @cached_property
    def artefact(self) -> Artefact:
        code = (self.make or self.read, self.read, *self.code, Samples)
        return Artefact(stage=self.stage, about=self.about, code=code)


@dataclass(frozen=True, eq=False)
class Value:
    """What a node has made, with its digest."""

    value: Any

    @cached_property
    def digest(self) -> str:
        return _content_of(self.value) if isinstance(self.value, DataSet) else content(self.value)


@lru_cache(maxsize=4)
def _content_of(samples: DataSet) -> str:
    """Return the digest of a data set, which does not change; many jobs of a process read it."""
    return content(samples)


Memory = dict[Node, Value]


def made(node: Node, memory: Memory) -> Generator[Progress, None, Any]:
    """Return what a node makes: from memory, from its artefact, or made now with what it needs."""
    if node not in memory:
        needs = {}
        for name, need in node.needs.items():
            needs[name] = yield from made(need, memory)
        read = node.read
        if node.make is not None:
            inputs = {name: memory[need].digest for name, need in node.needs.items()}
            make = partial(node.make, *node.settings, **needs)
            read = partial(read, (yield from kept(node.artefact, inputs, make)))
        memory[node] = Value(read(**needs))
    return memory[node].value


def stored(nodes: Iterable[Node]) -> list[Node]:
    """Return the nodes that have a stage, and in the place of others the nearest that have one."""
    return [
        near for node in nodes for near in ([node] if node.stage else stored(node.needs.values()))
    ]


def listed(targets: Iterable[Node]) -> list[Node]:
    """Return all nodes with a stage that the targets are made from, and they, inputs first."""
    return inputs_first(stored(targets), lambda node: stored(node.needs.values()))


def spent(targets: Iterable[Node]) -> dict[str, dict[str, float]]:
    """Return what the artefacts took that targets are made from, added up by stage.

    Seconds are those of the processes that made them, which may have shared a GPU.
    """
    found: dict[str, dict[str, float]] = {}
    for node in listed(targets):
        record = read(node.artefact.folder / "record.json") if node.make else None
        if record is not None:
            one = found.setdefault(node.stage, {"jobs": 0, "seconds": 0.0, "gpu_memory_mb": 0.0})
            one["jobs"] += 1
            one["seconds"] = round(one["seconds"] + record["cost"]["seconds"], 3)
            memory = record["provenance"].get("gpu_memory_mb") or 0.0
            one["gpu_memory_mb"] = max(one["gpu_memory_mb"], memory)
    return found
