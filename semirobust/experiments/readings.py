"""On which images rho_j is read: one set of networks, four sets of images.

The paper reads rho_j on attacked images and does not say whom they attack. Networks read on the
same images differ in how well those images fool them; so the same rows are read on clean images,
on images attacked against the standard and against the robust network, and on images attacked
against the very network that is read. The controls, whose f_a is not semirobust, are
read too: they show what rho says by itself.
"""

from dataclasses import dataclass
from functools import partial

from semirobust.data import subset
from semirobust.experiments.audits import OfRow, at_one_cut
from semirobust.experiments.audits import of_row as at_deepest_cut
from semirobust.experiments.nodes import Memory, made
from semirobust.experiments.row import dependence
from semirobust.experiments.scales import smoke
from semirobust.experiments.settings import table_1
from semirobust.experiments.stages import Lineup
from semirobust.experiments.study import Run, perturbed
from semirobust.training.fitting import accuracy

OWN = "the network itself"


@dataclass(frozen=True, kw_only=True)
class Reading(OfRow):
    images: int = 5000  # test images
    presets: tuple[str, ...] = ("paper",)  # "published": every convolution, with H(ŷ | y) beside it


def readings(profile: str) -> tuple[Reading, ...]:
    """Return the rows of Table 1 whose rho is read on four sets of images: those made online."""
    if profile == "smoke":
        return (Reading(row=smoke("alexnet", "online"), images=250),)
    return tuple(
        Reading(row=row, images=1000 if row.study.data.name == "imagenette" else 5000)
        for row in table_1(profile)
        if row.study.protocol == "online" and not row.label
    )


def run(row: Reading) -> Run:
    """Return the table "rho": one record for each network, set of images and layer.

    Every record holds the accuracy of its network on its images.
    """
    nodes, memory = of_row(row), Memory()
    samples = yield from made(nodes.data, memory)
    networks = yield from at_one_cut(nodes, memory)
    test, study = subset(samples.test, row.images), row.row.study
    # as the images of Table 1 were: in the precision of the standard network
    attacked = partial(
        perturbed, samples=test, attack=study.attack, precision=study.standard.precision
    )
    shared = {"none": test, **{each.name: attacked(each.network) for each in networks[:2]}}
    table = []
    for contender in networks:
        network, name = contender.network, contender.name
        own = shared[name] if name in shared else attacked(network)
        for against, images in {**shared, OWN: own}.items():
            about = {"against": against, "accuracy": accuracy(network, images)}
            for preset in row.presets:
                table += [{**about, **one} for one in dependence(contender, images, preset)]
    return {"rho": table}


def of_row(row: Reading) -> Lineup:
    return at_deepest_cut(row, ("robust", *row.row.controls))
