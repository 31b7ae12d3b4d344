"""On which images rho_j is read: one set of networks, four sets of images.

The paper reads rho_j on attacked images and does not say whom they attack. Networks read on the
same images differ in how well those images fool them; so the same rows are read on clean images,
on images attacked against the standard and against the robust network, and on images attacked
against the very network that is read. The controls, whose f_a is not semirobust, are
read too: they show what rho says by itself.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semirobust.data import Samples, subset
from semirobust.experiments.audits import OfRow, at_one_cut, deepest
from semirobust.experiments.nodes import Memory, made
from semirobust.experiments.row import Contender, dependence
from semirobust.experiments.settings import smoke, table_1
from semirobust.experiments.stages import Lineup
from semirobust.experiments.study import Run, perturbed
from semirobust.training.fitting import accuracy

OWN = "the network itself"


@dataclass(frozen=True, kw_only=True)
class Reading(OfRow):
    """Settings of one row."""

    images: int = 5000  # test images


def readings(profile: str) -> tuple[Reading, ...]:
    """Return the rows of Table 1 whose rho is read on four sets of images: those made online."""
    if profile == "smoke":
        return (Reading(row=smoke("alexnet", "online"), images=250),)
    return tuple(
        Reading(row=row, images=1000 if row.study.data.name == "imagenette" else 5000)
        for row in table_1(profile)
        if row.study.protocol == "online"
    )


def run(row: Reading, root: str | Path | None = None, *, download: bool = False) -> Run:
    """Return the table "rho": one record for each network, set of images and layer.

    Every record holds the accuracy of its network on its images.
    """
    nodes, memory = of_row(row, root, download=download), Memory()
    samples = yield from made(nodes.data, memory)
    networks = yield from at_one_cut(nodes, memory)
    test = subset(samples.test, row.images)
    shared = {"none": test}
    for network in networks[:2]:
        shared[network.name] = attacked(row, network, test)
    table = []
    for network in networks:
        name = network.name
        own = shared[name] if name in shared else attacked(row, network, test)
        for against, images in {**shared, OWN: own}.items():
            table += [{"against": against, **record} for record in read(network, images)]
    return {"rho": table}


def of_row(row: Reading, root: str | Path | None = None, *, download: bool = False) -> Lineup:
    return deepest(row.row, root, fronts=("robust", *row.row.controls), download=download)


def attacked(row: Reading, contender: Contender, test: Samples) -> Samples:
    """Return images attacked against a network as those of Table 1 were: in its precision."""
    study = row.row.study
    return perturbed(contender.network, test, study.attack, precision=study.standard.precision)


def read(contender: Contender, images: Samples) -> list[dict[str, Any]]:
    """Return rho_j of a network as published, with its null, and the accuracy on these images."""
    reached = accuracy(contender.network, images)
    return [{"accuracy": reached, **record} for record in dependence(contender, images)]
