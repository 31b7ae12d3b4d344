"""The stages of a row, written once: what there is to make, from what, named by which settings.

    data -> standard -> examples -> robust -> attacked -> tuned -> evaluation

``made`` makes one node with all it needs, ``run`` those of a row of Table 1 in one process, and
``workflow`` lists the same nodes as jobs, so both end with the same numbers. Whatever takes long,
here and in the other experiments, is kept as an artefact: named by settings and code, valid for the
very inputs it was made from, resumed where it was stopped.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from semirobust.algorithm1 import Trial, best
from semirobust.data import DataSet, Samples, select
from semirobust.experiments.row import TABLES, Contender, Row, measured, network_file, tables_of
from semirobust.experiments.study import (
    Content,
    Front,
    Progress,
    Run,
    Study,
    Tables,
    attacked_parts,
    device,
    device_name,
    fitted,
    loaded,
    rebuilt,
    seeded,
    trained,
    with_images,
)
from semirobust.experiments.tuning import as_record, published_rho, restored, tried, unread
from semirobust.layers import cut, splice
from semirobust.models import Architecture
from semirobust.results.artefacts import Artefact, held, publish
from semirobust.training.fitting import Epoch, Training, save_network

TENSORS = "tensors.safetensors"
PARTS = ("train", "validation", "test")


def content(*values: Any) -> str:
    """Return the digest of samples or weights: what an artefact was made from, to the last bit."""
    state = sha256()
    for value in values:
        for tensor in _tensors(value):
            state.update(tensor.detach().cpu().contiguous().numpy().data)
    return state.hexdigest()[:16]


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
        return
    if isinstance(value, nn.Module):
        value = list(value.state_dict().values())
    elif isinstance(value, Samples):
        value = (value.images, value.labels)
    elif isinstance(value, DataSet):
        value = [getattr(value, name) for name in PARTS]
    for part in value:
        yield from _tensors(part)


def kept(
    artefact: Artefact, inputs: Mapping[str, str], make: Callable[..., Any]
) -> Generator[Progress, None, Content]:
    """Return the tensors and facts of an artefact, made now or before, after its progress.

    Args:
        artefact: What is wanted.
        inputs: Digests of the values it is made from, by name.
        make: Given ``folder``, for checkpoints, returns tensors and facts: at once, or as a
            generator after its progress.
    """
    with held(artefact, inputs) as work:
        if work.record is None:
            epochs: list[Any] = []
            result = make(folder=work.folder)
            if isinstance(result, Generator):
                result = yield from _noted(result, epochs)
            tensors, facts = result
            files = {TENSORS: packed(tensors)} if tensors else {}
            facts = publish(work, files, {**facts, "progress": epochs}, device=device_name())
            return tensors, facts
        for words, epoch in work.facts["progress"]:
            yield Progress(words, Epoch(**epoch), resumed=True)
        there = TENSORS in work.record["files"]
        return from_safetensors(work.payload(TENSORS)) if there else {}, work.facts


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
    """Return tensors as the content of a safetensors file."""
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
) -> Generator[Progress, None, nn.Sequential]:
    """Train a network in place after its first ``a`` links, or load what came of it before.

    Args:
        stage: Its kind, and the folder it lies in.
        settings: What it is named by, beside the training.
        network: As it starts.
        samples: Training part.
        training: How.
        words: What it is, for people.
        a: Number of frozen links.
    """
    artefact = Artefact(stage=stage, about=(*settings, training, a), code=(fitted, Samples))
    inputs = {"network": content(network), "samples": content(samples)}
    make = partial(fitted, words, network, samples, training, a=a)
    weights, _ = yield from kept(artefact, inputs, make)
    return loaded(network, training, weights)


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """Something that is made once, from what other nodes make.

    Args:
        stage: Its kind; empty for what is so quickly computed that it is not stored.
        settings: Every setting on which its content depends, beside those of what it needs.
        needs: What it is made from, by the names by which the two functions know it.
        make: (settings, needs, folder=) -> content; None where nothing is stored.
        read: (content, needs) -> its value; without a content where nothing is stored.
        code: Functions that ``make`` is given and that are part of the name.
        where: Which of its stage in a row.
    """

    stage: str = ""
    settings: tuple[Any, ...] = ()
    needs: "dict[str, Node]" = field(default_factory=dict)
    make: Callable[..., Any] | None = None
    read: Callable[..., Any]
    code: tuple[Any, ...] = ()
    where: dict[str, Any] = field(default_factory=dict)

    @property
    def about(self) -> tuple[Any, ...]:
        """Return its settings, and after them those of what it needs."""
        return (*self.settings, *((need.stage, *need.about) for need in self.needs.values()))

    @cached_property
    def artefact(self) -> Artefact:
        """Return what it is named by."""
        code = (self.make or self.read, self.read, *self.code, Samples)
        return Artefact(stage=self.stage, about=self.about, code=code)


@dataclass(frozen=True, eq=False)
class Value:
    """What a node has made, with its digest."""

    value: Any

    @cached_property
    def digest(self) -> str:
        """Return the digest of its tensors, computed when it is first asked for."""
        return content(self.value)


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
    found: dict[Node, None] = {}

    def visit(nodes: Iterable[Node]) -> None:
        for node in stored(nodes):
            if node not in found:
                visit(node.needs.values())
                found[node] = None

    visit(targets)
    return list(found)


class Entry(NamedTuple):
    """A network of a study, by its place in the tables."""

    name: str
    where: dict[str, Any]
    network: Node


class Lineup(NamedTuple):
    """The nodes of a study: images, networks, and the images on which rho is read.

    static: the stored examples; online: test images attacked against (f_a*, f_b*).
    """

    data: Node
    examples: Node
    attacked: Node
    robust: Node
    entries: list[Entry]


def lineup(
    study: Study,
    root: str | Path | None = None,
    *,
    fronts: Sequence[Front] = ("robust",),
    download: bool = False,
) -> Lineup:
    """Return the nodes of a study, with Algorithm 1 at each cut behind each front.

    Args:
        study: Its settings.
        root: Folder of the data sets.
        fronts: Whose f_a are frozen.
        download: Whether torchvision fetches what is missing.
    """
    read = partial(select, study.data, root, download=download, device=device())
    data = Node(stage="data", settings=(study.data,), read=read)
    standard = _network("standard", study, study.standard, data)
    examples = _attacked("examples", study, PARTS, data, standard)
    static = study.protocol == "static"
    samples = examples if static else data
    robust = _network("robust", study, study.robust, samples)
    attacked = examples if static else _attacked("attacked", study, ("test",), data, robust)
    initial = (study.architecture, study.seed + 1)
    random = Node(settings=("random", *initial), read=partial(untrained, *initial))
    networks: dict[Front, Node] = {"standard": standard, "robust": robust, "random": random}
    both = {"standard": standard, "robust": robust}
    entries = [Entry(name, {}, networks[name]) for name in ("standard", "robust")]
    for n_b in study.n_b:
        spliced = Node(settings=(n_b,), needs=both, read=partial(joined, n_b))
        entries.append(Entry("spliced", {"n_b": n_b}, spliced))
        for front in fronts:
            needs = {**both, "samples": samples, "source": networks[front], "attacked": attacked}
            trials = {
                f"trial {number}": _trial(study, n_b, front, number, needs)
                for number in range(study.trials)
            }
            tuned = Node(needs=trials, read=best_network)
            entries.append(Entry("tuned", {"n_b": n_b, "front": front}, tuned))
    return Lineup(data, examples, attacked, robust, entries)


def _network(stage: str, study: Study, training: Training, samples: Node) -> Node:
    initial = (study.architecture, study.seed, seeded(study, training))
    read = partial(rebuilt, *initial)
    return Node(
        stage=stage, settings=(stage, *initial), needs={"samples": samples}, make=trained, read=read
    )


def _attacked(stage: str, study: Study, parts: tuple[str, ...], data: Node, network: Node) -> Node:
    settings = (study.attack, study.standard.precision, parts)
    needs = {"samples": data, "network": network}
    return Node(stage=stage, settings=settings, needs=needs, make=attacked_parts, read=with_images)


def _trial(study: Study, n_b: int, front: Front, number: int, needs: dict[str, Node]) -> Node:
    own = replace(study, n_b=(n_b,), trials=1)
    measure = published_rho if front == "robust" and study.trials > 1 else unread
    return Node(
        stage="tuned",
        settings=(own, front, number),
        needs=needs,
        make=partial(tried, measure=measure),
        read=partial(restored, own),
        code=(measure,),
        where={"n_b": n_b, "front": front, "trial": number},
    )


def untrained(architecture: Architecture, seed: int) -> nn.Sequential:
    """Return a network at its initial weights."""
    return architecture.build(seed=seed).to(device())


def joined(n_b: int, *, robust: nn.Sequential, standard: nn.Sequential) -> nn.Sequential:
    """Return (f_a*, f_b)."""
    return splice(robust, standard, cut(standard, n_b))


def best_network(**trials: Trial) -> nn.Sequential:
    """Return (f_a*, f̃_b) of the best trial."""
    return best(list(trials.values())).network


def evaluations(row: Row, nodes: Lineup) -> list[Node]:
    """Return the nodes that measure each network of a row."""
    measures = (row.whitebox, row.images, row.autoattack, row.presets)
    images = {"clean": nodes.data, "examples": nodes.examples, "attacked": nodes.attacked}
    return [
        Node(
            stage="evaluation",
            settings=(measures, entry.name, entry.where),
            needs={**images, "network": entry.network},
            make=measured,
            read=tables_of,
            where={"network": entry.name, **entry.where},
        )
        for entry in nodes.entries
    ]


def of_row(row: Row, root: str | Path | None = None, *, download: bool = False) -> Lineup:
    """Return the nodes of a row's study."""
    return lineup(row.study, root, fronts=("robust", *row.controls), download=download)


def targets(row: Row, root: str | Path | None = None, *, download: bool = False) -> list[Node]:
    """Return the nodes on which the record of a row waits."""
    return evaluations(row, of_row(row, root, download=download))


def run(row: Row, root: str | Path | None = None, *, download: bool = False) -> Run:
    """Train what is missing, measure everything, and return the four tables."""
    nodes, memory = of_row(row, root, download=download), Memory()
    tables: Tables = {name: [] for name in TABLES}
    for entry, evaluation in zip(nodes.entries, evaluations(row, nodes), strict=True):
        network = yield from made(entry.network, memory)
        file = network_file(row, entry.name, **entry.where)
        save_network(network, row.study.architecture, file)
        for table, records in (yield from made(evaluation, memory)).items():
            tables[table] += records
        if entry.name == "tuned":
            trials = [memory[node].value for node in entry.network.needs.values()]
            tables["trials"] += [{**entry.where, **as_record(trial)} for trial in trials]
    return tables


def contenders(nodes: Lineup, memory: Memory) -> Generator[Progress, None, list[Contender]]:
    """Return the networks of a study, each with its cut."""
    found = []
    for name, where, node in nodes.entries:
        network = yield from made(node, memory)
        a = cut(network, where["n_b"]) if where else 1
        found.append(Contender(name, network, where, a))
    return found
