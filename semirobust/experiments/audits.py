"""The assumptions of Theorem 2, audited on the networks of the experiments, pair by pair of layers.

One row takes the networks of one row of Table 1, made now or before. Readouts are linear, on the
mean over space of each channel, fitted to clean training images; that of the last layer is the
network's own output (B1 and B2 of Lemma 1).
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from semirobust.data import subset
from semirobust.experiments.nodes import Memory, made
from semirobust.experiments.row import Contender, Row
from semirobust.experiments.stages import Lineup, contenders, lineup
from semirobust.experiments.study import Front, Progress, Run
from semirobust.theory.assumptions import audit
from semirobust.theory.semirobustness import Search, linear_readouts


@dataclass(frozen=True, kw_only=True)
class OfRow:
    """Settings of what is measured on the networks of a row of Table 1, at its deepest cut."""

    row: Row

    @property
    def title(self) -> str:
        return self.row.title


@dataclass(frozen=True, kw_only=True)
class Audited(OfRow):
    search: Search  # for the worst perturbation of each score and of its growth
    fitting: int = 2000  # training images of the readouts
    images: int = 2000  # test images on which dependence is measured
    searched: int = 50  # test images whose scores are searched, which costs most


def run(row: Audited) -> Run:
    """Return the table "pairs": one record for each network and pair of layers after the cut."""
    nodes, memory = of_row(row), Memory()
    samples = yield from made(nodes.data, memory)
    networks = yield from at_one_cut(nodes, memory)
    train, test = subset(samples.train, row.fitting), subset(samples.test, row.images)
    some = subset(samples.test, row.searched)
    table = []
    for name, network, _, a in networks:
        readouts = linear_readouts(network, range(a, len(network) + 1), train, pooled=True)
        attack = row.row.study.attack
        pairs = audit(network, readouts, test, attack, row.search, searched=some)
        table += [{"network": name, **pair.record()} for pair in pairs]
    return {"pairs": table}


def of_row(row: OfRow, fronts: Sequence[Front] = ("robust",)) -> Lineup:
    """Return the nodes of a row with its deepest cut alone."""
    study = replace(row.row.study, n_b=(max(row.row.study.n_b),))
    return lineup(study, fronts)


def at_one_cut(nodes: Lineup, memory: Memory) -> Generator[Progress, None, list[Contender]]:
    """Return the networks of a study with one cut; the whole ones are read behind it too."""
    networks = yield from contenders(nodes, memory)
    return [network._replace(a=networks[-1].a) for network in networks]
