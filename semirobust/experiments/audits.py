"""The assumptions of Theorem 2, audited on the networks of the experiments, pair by pair of layers.

One row takes the networks of one row of Table 1: from their files where that row was run here,
else it trains them. Readouts are linear, on the mean over space of each channel, fitted to clean
training images; that of the last layer is the network's own output (B1 and B2 of Lemma 1).
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from semirobust.data import Samples, subset
from semirobust.experiments.row import Contender, Row, lineup, network_file
from semirobust.experiments.study import Front, Progress, parts
from semirobust.layers import cut
from semirobust.theory.assumptions import audit
from semirobust.theory.semirobustness import Search, linear_readout
from semirobust.training.fitting import load_network


@dataclass(frozen=True, kw_only=True)
class OfRow:
    """Settings of what is measured on the networks of a row of Table 1, at its deepest cut."""

    row: Row

    @property
    def title(self) -> str:
        """Return what tells the row from others at a glance."""
        return self.row.title


@dataclass(frozen=True, kw_only=True)
class Audited(OfRow):
    """Settings of one row.

    Args:
        search: Finds the worst perturbation of each score and of its growth.
        fitting: Training images of the readouts.
        images: Test images on which dependence is measured.
        searched: Test images whose scores are searched, which costs most.
    """

    search: Search
    fitting: int = 2000
    images: int = 2000
    searched: int = 50


def run(
    row: Audited, root: str | Path | None = None, *, download: bool = False
) -> Generator[Progress, None, dict[str, list[dict[str, Any]]]]:
    """Return the table "pairs": one record for each network and pair of layers after the cut."""
    samples = parts(row.row.study, root, download=download)
    networks = yield from deepest(row.row, root, download=download)
    train, test = subset(samples.train, row.fitting), subset(samples.test, row.images)
    some = subset(samples.test, row.searched)
    table = []
    for name, network, _, a in networks:
        readouts = linear_readouts(network, a, train)
        attack = row.row.study.attack
        pairs = audit(network, readouts, test, attack, row.search, searched=some)
        table += [{"network": name, **pair.record()} for pair in pairs]
    return {"pairs": table}


def linear_readouts(network: nn.Sequential, a: int, train: Samples) -> dict[int, nn.Module]:
    """Return G_j for j = a..n: linear on pooled channels, and the output itself for n."""
    n = len(network)
    found: dict[int, nn.Module] = {
        j: linear_readout(network, j, train, pooled=_is_map(network, j, train)) for j in range(a, n)
    }
    return found | {n: nn.Sequential()}


def _is_map(network: nn.Sequential, j: int, samples: Samples) -> bool:
    return network[:j](samples.x[:1]).dim() == 4


def deepest(
    row: Row,
    root: str | Path | None,
    *,
    fronts: tuple[Front, ...] = ("robust",),
    download: bool,
) -> Generator[Progress, None, list[Contender]]:
    """Return the standard, robust, spliced and tuned networks of the deepest cut."""
    n_b = max(row.study.n_b)
    asked: list[tuple[str, dict[str, Any]]] = [("standard", {}), ("robust", {})]
    asked += [("spliced", {"n_b": n_b})]
    asked += [("tuned", {"n_b": n_b, "front": front}) for front in fronts]
    files = [network_file(row, name, **where) for name, where in asked]
    if all(file.exists() for file in files):
        networks = [load_network(file) for file in files]
    else:
        found = yield from lineup(row.study, root, fronts=fronts, download=download)
        made = {(one.name, *one.where.values()): one.network for one in found.contenders}
        networks = [made[name, *where.values()] for name, where in asked]
    a = cut(networks[0], n_b)
    return [
        Contender(name, network, where, a)
        for (name, where), network in zip(asked, networks, strict=True)
    ]
