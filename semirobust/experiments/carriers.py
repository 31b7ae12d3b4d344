"""What carries robustness: one part of a network frozen, the other trained, from either side.

    cell = frozen part (front, back) x its origin (robust, robust of another seed, standard)
           x training of the rest (none, clean, adversarial) x n_b x epochs

The rest always starts as that of the standard network, as f_b does in Algorithm 1, on the back side
too. It brings no robustness along, and the cells of one cut differ in what is frozen and in how
the rest is trained, nothing else; so what robustness is left was carried or trained. "none" is the
spliced network. Left out: a standard part with clean training, which is the standard network again.

The learning rate of a cell is the one that is best on validation images by what the cell trains
for: accuracy on clean images, or under attack. No attack enters a clean cell, not even to choose.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

from semirobust.attacks.autoattack import FastEnsemble
from semirobust.attacks.gradient import PGD, strong_pgd
from semirobust.experiments.measures import Measures, collected, evaluations, retention, standing
from semirobust.experiments.nodes import Node
from semirobust.experiments.rests import joined, trained_rest
from semirobust.experiments.scales import RADIUS, cpu, gpu, smoke
from semirobust.experiments.stages import Entry, Lineup, lineup
from semirobust.experiments.study import Run, Study, titled
from semirobust.theory.semirobustness import Search
from semirobust.training.fitting import Side, Training
from semirobust.training.methods import Plain
from semirobust.types import Attack

Origin: TypeAlias = Literal["robust", "another", "standard"]
Taught: TypeAlias = Literal["none", "clean", "adversarial"]


@dataclass(frozen=True, kw_only=True)
class Carriers:
    """The factorial of one architecture and seed."""

    study: Study  # whole networks, cuts, and the adversarial training of the rest
    measures: Measures
    choosing: PGD  # on validation images
    rates: tuple[float, ...]  # of which every cell takes the best
    epochs: tuple[int, ...]
    another: int  # the other seed whose robust network is cut
    few: tuple[int, ...] = (4, 12)  # the cuts at which parts of another seed are tried
    label: str = ""  # beside network, data and seed

    @property
    def title(self) -> str:
        return titled(self.study, self.label)


class Cell(NamedTuple):
    """One network of the factorial."""

    frozen: Side
    origin: Origin
    training: Taught
    n_b: int
    epochs: int | None = None

    @property
    def words(self) -> str:
        """Return its name, such as front-robust-clean-4-10."""
        return "-".join(str(value) for value in self if value is not None)


def cells(row: Carriers) -> list[Cell]:
    """Return the cells of a row, the most telling first."""
    taught: dict[Origin, tuple[Taught, ...]] = {
        "robust": ("none", "clean", "adversarial"),
        "standard": ("adversarial",),
        "another": ("none", "clean", "adversarial"),
    }
    sides: tuple[Side, ...] = ("front", "back")
    return [
        Cell(frozen, origin, training, n_b, epochs)
        for frozen in sides
        for origin, trainings in taught.items()
        for n_b in row.study.n_b
        if origin != "another" or n_b in row.few
        for training in trainings
        for epochs in ((None,) if training == "none" else row.epochs)
    ]


def of_row(row: Carriers) -> Lineup:
    """Return the nodes of a row, which waits for the evaluations of all its networks."""
    nodes = lineup(row.study)
    other = lineup(replace(row.study, seed=row.another)).robust
    other = replace(other, needs={"samples": nodes.data}, where={"network": "another"})
    whole = {entry.name: entry.network for entry in nodes.entries[:2]} | {"another": other}
    entries = [Entry(name, {"network": name}, node) for name, node in whole.items()]
    for cell in cells(row):
        where, at = {"network": cell.words, **cell._asdict()}, (cell.n_b, cell.frozen)
        parts = {"source": whole[cell.origin], "standard": whole["standard"]}
        if cell.training == "none":
            network = Node(settings=at, needs=parts, read=partial(joined, *at))
        else:
            training = trainings(row.study)[cell.training]
            how = (replace(training, epochs=cell.epochs or 1), row.rates, row.choosing, *at)
            network = trained_rest(how, parts, nodes.data, cell.words)
        entries.append(Entry("joined", where, network))
    targets = evaluations(row.measures, entries, nodes, whole)
    return nodes._replace(entries=entries, targets=targets)


def trainings(study: Study) -> dict[Taught, Training]:
    """Return how a rest is trained: as the study tunes, and the same on clean images."""
    return {"adversarial": study.tuning, "clean": replace(study.tuning, method=Plain())}


def run(row: Carriers) -> Run:
    """Train what is missing, measure everything, and return the four tables."""
    tables = yield from collected(of_row(row), {})
    flags = {report["network"]: standing(report) for report in tables["reports"]}
    for network in tables["networks"][3:]:
        target = flags[network["origin"] if network["origin"] == "another" else "robust"]
        share, error = retention(flags[network["network"]], target, flags["standard"])
        network |= {"retention": share, "retention_two_errors": 2 * error if error else None}
    return tables


def carriers(profile: str) -> tuple[Carriers, ...]:
    """Return the rows of a profile: two cuts and the smaller network first, then all cuts."""
    if profile == "smoke":
        return (_smoke(),)
    make = {"cpu": cpu, "gpu": gpu}[profile]
    grid = {
        "cpu": [(name, seed) for name in ("vgg16", "resnet18") for seed in range(3)],
        "gpu": [("vgg16", 0), ("resnet18", 0), ("vgg16", 1), ("vgg16", 2)],
    }[profile]
    whitebox = FastEnsemble(
        epsilon=RADIUS
    )  # a thousand targeted steps would cost more than all else
    whole = [make(name, "online", seed=seed).study for name, seed in grid]
    brief = [_row(study, whitebox, (4, 12), few=(12,)) for study in whole]
    every = [_row(study, whitebox, (1, 4, 8, 12), label="all cuts") for study in whole]
    longer = [_row(whole[0], whitebox, (4, 12), epochs=(30,), label="longer")]
    return (*brief, *every, *longer)


def _row(study: Study, whitebox: Attack, n_b: tuple[int, ...], **changes: Any) -> Carriers:
    chosen = {"rates": (0.1, 0.02), "epochs": (study.tuning.epochs,), **changes}
    return Carriers(
        study=replace(study, n_b=n_b),
        measures=Measures(whitebox=whitebox, search=Search(epsilon=RADIUS, restarts=2)),
        choosing=strong_pgd(RADIUS, steps=10),
        another=(study.seed + 1) % 3,
        **chosen,
    )


def _smoke() -> Carriers:
    radius = 16 / 255
    measures = Measures(
        whitebox=strong_pgd(radius),
        images=100,
        read=250,
        fitting=200,
        searched=30,
        search=Search(epsilon=radius, steps=3, restarts=1),
    )
    return Carriers(
        study=replace(smoke("alexnet", "online").study, n_b=(1, 4)),
        measures=measures,
        choosing=strong_pgd(radius, steps=5),
        rates=(0.05, 0.01),
        epochs=(2,),
        another=1,
        few=(),
    )
