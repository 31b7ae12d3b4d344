"""What is measured of a joined network: everything that might tell how robust it is."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, nn

from semirobust.data import DataSet, subset
from semirobust.evaluation.report import robust_accuracy
from semirobust.experiments.nodes import Memory, Node, made
from semirobust.experiments.rests import rest_of
from semirobust.experiments.row import PRESETS, Contender, answers, dependence, tables_of
from semirobust.experiments.stages import Entry, Lineup
from semirobust.experiments.study import Content, Run, Tables
from semirobust.layers import cut
from semirobust.theory.semirobustness import Search, gamma, linear_readout
from semirobust.training.fitting import accuracy
from semirobust.types import Attack

TABLES = ("networks", "reports", "rho", "rates")


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What is measured of every network."""

    whitebox: Attack  # against the very network
    images: int = 1000  # test images that are attacked
    read: int = 2000  # test images, attacked against the robust network, on which rho is read
    fitting: int = 2000  # training images of the readout whose gamma_a is searched
    searched: int = 200  # test images of that search
    search: Search
    presets: tuple[str, ...] = PRESETS


def evaluations(
    measures: Measures, entries: list[Entry], nodes: Lineup, whole: dict[str, Node]
) -> list[Node]:
    """Return the nodes that measure networks, whole ones as if cut at the deepest cut."""
    images = {"samples": nodes.data, "attacked": nodes.attacked}
    deepest = max(entry.where.get("n_b", 1) for entry in entries)
    return [
        Node(
            stage="evaluation",
            settings=(measures, {"n_b": deepest, **entry.where}),
            needs={
                **images,
                "source": whole[entry.where.get("origin", "robust")],
                "network": entry.network,
            },
            make=measured,
            read=tables_of,
            where={"network": entry.where["network"]},
        )
        for entry in entries
    ]


def measured(
    measures: Measures,
    where: dict[str, Any],
    *,
    samples: DataSet,
    attacked: DataSet,
    source: nn.Sequential,
    network: nn.Sequential,
) -> Content:
    """Return one network's records in the tables "networks", "reports" and "rho"."""
    n_b, frozen = where["n_b"], where.get("frozen", "front")
    a, few = cut(network, n_b), subset(samples.test, measures.images)
    report = robust_accuracy(network, few.x, few.y, {"whitebox": measures.whitebox}, batch=500)
    seen = subset(attacked.test, measures.read)
    contender = Contender(where["network"], network, where, a)
    rho = [
        {**record, **where, "preset": preset}
        for preset in measures.presets
        for record in dependence(contender, seen, preset)
    ]
    train = subset(samples.train, measures.fitting)
    is_map = network[:a](train.x[:1]).dim() == 4
    readout = linear_readout(network, a, train, pooled=is_map)
    some = subset(samples.test, measures.searched)
    margin = gamma(network, a, readout, some, measures.search, generator=Generator().manual_seed(0))
    found = {
        **where,
        "clean": accuracy(network, samples.test),
        "whitebox": report.accuracy,
        "whitebox_two_errors": report.two_errors,
        "gamma_a": margin.value,
        "answers": answers(network, seen),
        "seen": accuracy(network, seen),
        "distance": distance(*(rest_of(each, n_b, frozen) for each in (network, source))),
    }
    reports = [{**where, "column": "whitebox", **report.as_record()}]
    return {}, {"networks": [found], "reports": reports, "rho": rho}


@torch.no_grad()
def distance(one: nn.Module, other: nn.Module) -> float:
    """Return ‖w - w'‖ / ‖w'‖ over the weights of two parts of one kind."""
    pairs = list(zip(one.parameters(), other.parameters(), strict=True))
    apart = sum(float((w - v).square().sum()) for w, v in pairs)
    return (apart / sum(float(v.square().sum()) for _, v in pairs)) ** 0.5


def collected(nodes: Lineup, memory: Memory) -> Run:
    """Make the evaluations of a lineup, and join their tables; add the rates that were tried."""
    tables: Tables = {name: [] for name in TABLES}
    for entry, target in zip(nodes.entries, nodes.targets, strict=False):
        for table, records in (yield from made(target, memory)).items():
            tables[table] += records
        rest = entry.network.needs.get("rest")
        if rest is not None:
            tables["rates"] += [{**entry.where, **rate} for rate in memory[rest].value.rates]
    return tables


def standing(report: dict[str, Any]) -> NDArray[np.float64]:
    """Return 1 for every image that stood the attack, and 0 for the others."""
    return np.array(list(report["standing"]), dtype=float)


def retention(
    kept: NDArray[np.float64], target: NDArray[np.float64], standard: NDArray[np.float64]
) -> tuple[float | None, float | None]:
    """Return R = (Acc~ - Acc_std) / (Acc* - Acc_std) of flags, with its standard error.

    All flags are of the same images, so the error is that of a ratio of paired means (delta
    method). None where the target is not robust above twice its error.

    Example:
        >>> retention(np.repeat([1.0, 0], 4), np.ones(8), np.zeros(8))[0]
        0.5
    """
    whole, n = (target - standard).mean(), len(target)
    if whole <= 2 * (target - standard).std() / n**0.5 or whole <= 0:
        return None, None
    share = float((kept - standard).mean() / whole)
    left = (kept - standard) - share * (target - standard)
    return share, float(left.std(ddof=1) / n**0.5 / whole)
