"""On which images rho_j is read: one set of networks, four sets of images.

The paper reads rho_j on attacked images and does not say whom they attack. Networks read on the
same images differ in how well those images fool them; so the same rows are read on clean images,
on images attacked against the standard and against the robust network, and on images attacked
against the very network that is read. The controls, whose f_a is not semirobust, are
read too: they show what rho says by itself.
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from semirobust.data import Samples, subset
from semirobust.edge import information
from semirobust.edge.estimator import Edge
from semirobust.experiments.audits import OfRow, deepest
from semirobust.experiments.row import BLOCK, Contender
from semirobust.experiments.settings import smoke, table_1
from semirobust.experiments.study import Progress, parts, perturbed
from semirobust.training.fitting import accuracy

OWN = "the network itself"
PRESET = "paper"


@dataclass(frozen=True, kw_only=True)
class Reading(OfRow):
    """Settings of one row.

    Args:
        images: Test images.
    """

    images: int = 5000


def readings(profile: str) -> tuple[Reading, ...]:
    """Return the rows of Table 1 whose rho is read on four sets of images: those made online."""
    if profile == "smoke":
        return (Reading(row=smoke("alexnet", "online"), images=250),)
    return tuple(
        Reading(row=row, images=1000 if row.study.data.name == "imagenette" else 5000)
        for row in table_1(profile)
        if row.study.protocol == "online"
    )


def run(
    row: Reading, root: str | Path | None = None, *, download: bool = False
) -> Generator[Progress, None, dict[str, list[dict[str, Any]]]]:
    """Return the table "rho": one record for each network, set of images and layer.

    Every record holds the accuracy of its network on its images.
    """
    study = row.row.study
    test = subset(parts(study, root, download=download).test, row.images)
    fronts = ("robust", *row.row.controls)
    networks = yield from deepest(row.row, root, fronts=fronts, download=download)
    shared = {"none": test}
    for one in networks[:2]:
        shared[one.name] = attacked(row, one, test)
    table = []
    for one in networks:
        own = shared[one.name] if one.name in shared else attacked(row, one, test)
        for against, images in {**shared, OWN: own}.items():
            table += [{"against": against, **record} for record in read(one, images)]
    return {"rho": table}


def attacked(row: Reading, one: Contender, test: Samples) -> Samples:
    """Return images attacked against a network as those of Table 1 were: in its precision."""
    study = row.row.study
    made = perturbed(one.network, test, study.attack, precision=study.standard.precision)
    return Samples(made, test.labels)


def read(one: Contender, images: Samples) -> list[dict[str, Any]]:
    """Return rho_j of a network as published, with its null, and the accuracy on these images."""
    edge, block = Edge.preset(PRESET), BLOCK[PRESET]
    found = information.rho(one.network, images.x, images.y, edge=edge, a=one.a, block=block)
    who = {**one.where, "accuracy": accuracy(one.network, images)}
    return [{**who, **record} for record in information.records({one.name: found})]
