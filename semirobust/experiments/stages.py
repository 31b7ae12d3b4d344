"""The stages of a study, written once: what there is to make, from what, named by which settings.

    data -> standard -> examples -> robust -> attacked -> tuned -> evaluation

``run`` makes those of a row of Table 1 in one process, and ``workflow`` lists the same nodes as
jobs, so both end with the same numbers.
"""

from collections.abc import Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from semirobust.algorithm1 import Trial, best
from semirobust.data import device, select
from semirobust.experiments.nodes import Memory, Node, made
from semirobust.experiments.row import TABLES, Contender, Row, measured, network_file, tables_of
from semirobust.experiments.study import (
    PARTS,
    Front,
    Progress,
    Run,
    Study,
    Tables,
    attacked_parts,
    rebuilt,
    seeded,
    trained,
    with_images,
)
from semirobust.experiments.tuning import as_record, published_rho, restored, tried, unread
from semirobust.layers import cut, splice
from semirobust.models import Architecture
from semirobust.training.files import save_network
from semirobust.training.fitting import Training


class Entry(NamedTuple):
    """A network of a study, by its place in the tables."""

    name: str
    where: dict[str, Any]
    network: Node


class Lineup(NamedTuple):
    """The nodes of a study, and among them those on which the record of a row waits."""

    data: Node  # clean images
    examples: Node  # images attacked against the standard network
    attacked: Node  # to read rho on: the examples; online, test images against (f_a*, f_b*)
    robust: Node  # (f_a*, f_b*)
    entries: list[Entry]  # all networks
    targets: list[Node]  # what a record waits for: all networks, if nothing else is said


def lineup(study: Study, fronts: Sequence[Front] = ("robust",)) -> Lineup:
    """Return the nodes of a study, with Algorithm 1 at each cut behind each front."""
    read = partial(select, study.data, device=device())
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
            trials = [_trial(study, n_b, front, number, needs) for number in range(study.trials)]
            named = {f"trial {number}": trial for number, trial in enumerate(trials)}
            tuned = Node(needs=named, read=best_network)
            entries.append(Entry("tuned", {"n_b": n_b, "front": front}, tuned))
    targets = [entry.network for entry in entries]
    return Lineup(data, examples, attacked, robust, entries, targets)


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
    needs = {"clean": nodes.data, "examples": nodes.examples, "attacked": nodes.attacked}
    asked: tuple[Any, ...] = ()
    if row.headline is not None:
        asked = (row.headline,)
        needs |= {entry.name: entry.network for entry in nodes.entries[:2]}  # what others come from
    return [
        Node(
            stage="evaluation",
            settings=(measures, entry.name, entry.where, *asked),
            needs={**needs, "network": entry.network},
            make=measured,
            read=tables_of,
            where={"network": entry.name, **entry.where},
        )
        for entry in nodes.entries
    ]


def of_row(row: Row) -> Lineup:
    """Return the nodes of a row, which waits for the evaluations of all its networks."""
    fronts: tuple[Front, ...] = ("robust", *row.controls)
    nodes = lineup(row.study, fronts)
    return nodes._replace(targets=evaluations(row, nodes))


def run(row: Row) -> Run:
    """Train what is missing, measure everything, and return the four tables."""
    nodes, memory = of_row(row), Memory()
    tables: Tables = {name: [] for name in TABLES}
    for entry, evaluation in zip(nodes.entries, nodes.targets, strict=True):
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
    found = []
    for name, where, node in nodes.entries:
        network = yield from made(node, memory)
        a = cut(network, where["n_b"]) if where else 1
        found.append(Contender(name, network, where, a))
    return found
