"""One row of a table: settings, and how each of its networks is measured.

A record holds four flat tables: the networks with their accuracies (one column for each threat
model), the reports behind the white-box columns, the trials of Algorithm 1, and rho_j with null and
ceiling.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from semirobust.attacks.adaptive import adaptive_attacks
from semirobust.attacks.autoattack import AutoAttack
from semirobust.attacks.gradient import PGD
from semirobust.data import DataSet, Samples, batches, subset
from semirobust.edge import information
from semirobust.edge.estimator import Edge
from semirobust.evaluation.report import Report, robust_accuracy
from semirobust.evaluation.scrutiny import Evaluation, evaluate
from semirobust.experiments.study import Content, Front, Study, titled
from semirobust.layers import cut
from semirobust.results import records as results
from semirobust.training.fitting import accuracy
from semirobust.types import Attack

PRESETS = ("paper", "calibrated")
# Settings of the estimate, and how it is read: "paper" holds layers, the published estimate exactly
# of links; "published" reads every convolution before what follows it, as the published program.
READ: dict[str, tuple[str, dict[str, Any]]] = {
    "paper": ("paper", {"block": None}),
    "calibrated": ("calibrated", {"block": 512}),
    "published": ("paper", {"block": None, "taps": "convolutions"}),
}
TABLES = ("networks", "reports", "trials", "rho")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A study with the way it is measured."""

    study: Study
    whitebox: PGD  # made against the very network under evaluation
    images: int = 1000  # test images of the white-box column
    autoattack: int | None = None  # test images of its column; None leaves it out
    controls: tuple[Front, ...] = ("standard", "random")  # other networks whose f_a is frozen
    presets: tuple[str, ...] = field(default=PRESETS)  # how dependence is read; "published" more
    label: str = ""  # beside network, data and protocol
    headline: Evaluation | None = None  # of a column with every check; None leaves it out

    def __post_init__(self) -> None:
        asked, radius = self.headline, 255 * self.whitebox.epsilon
        if asked is not None and abs(asked.epsilon - radius) > 1e-6:
            raise ValueError(f"headline.epsilon must be that of whitebox, {radius:g}/255")

    @property
    def title(self) -> str:
        return titled(self.study, self.study.protocol, self.label)


class Contender(NamedTuple):
    """One of a study's networks; ``where`` says at which cut and behind whose f_a."""

    name: str
    network: nn.Sequential
    where: dict[str, Any]
    a: int = 1

    @property
    def who(self) -> dict[str, Any]:
        return {"network": self.name, **self.where}


def network_file(row: Row, name: str, **where: Any) -> Path:
    """Return where the weights of one of a row's networks are kept, for `semirobust evaluate`."""
    words = "-".join([name, *(str(value) for value in where.values())])
    return results.artifacts_root() / "networks" / results.key(row) / f"{words}.safetensors"


def measured(
    measures: tuple[PGD, int, int | None, tuple[str, ...]],
    name: str,
    where: dict[str, Any],
    headline: Evaluation | None = None,
    *,
    clean: DataSet,
    examples: DataSet,
    attacked: DataSet,
    network: nn.Sequential,
    **sources: nn.Sequential,
) -> Content:
    """Return one network's records in the tables "networks", "reports" and "rho".

    A headline column is also attacked through the cut, and from the ``sources`` of the network.
    """
    whitebox, images, autoattack, presets = measures
    a = cut(network, where["n_b"]) if "n_b" in where else 1
    contender = Contender(name, network, where, a)
    columns = {"clean": accuracy(network, clean.test), "static": accuracy(network, examples.test)}
    attacks: dict[str, tuple[Attack, int]] = {"whitebox": (whitebox, images)}
    if autoattack:
        attacks["autoattack"] = (AutoAttack(epsilon=whitebox.epsilon), autoattack)
    found = {}
    for column, (attack, n) in attacks.items():
        few = subset(clean.test, n)
        found[column] = robust_accuracy(network, few.x, few.y, {column: attack}, batch=250)
    if headline is not None:
        found["headline"] = doubted(contender, clean.test, headline, sources)
    reports = []
    for column, report in found.items():
        columns[column] = report.accuracy
        columns[f"{column}_two_errors"] = report.two_errors
        reports.append({**contender.who, "column": column, **report.as_record()})
    read = presets if where.get("front", "robust") == "robust" else ()
    rho = [
        {"preset": preset, **record}
        for preset in read
        for record in dependence(contender, attacked.test, preset)
    ]
    return {}, {"networks": [{**contender.who, **columns}], "reports": reports, "rho": rho}


def doubted(
    contender: Contender, test: Samples, headline: Evaluation, sources: dict[str, nn.Sequential]
) -> Report:
    """Return the report of a headline column: every check, and adaptive attacks at the cut."""
    network = contender.network
    others = {name: other for name, other in sources.items() if other is not network}
    adaptive = {}
    if "n_b" in contender.where:  # two networks were joined
        adaptive = adaptive_attacks(network, contender.a, headline.epsilon / 255, others)
    surrogate = others.get("standard")
    return evaluate(network, test, headline, surrogate=surrogate, adaptive=adaptive)


def dependence(
    contender: Contender, samples: Samples, preset: str = "paper"
) -> list[dict[str, Any]]:
    """Return one record of rho_j for each layer behind the cut, with null and ceiling.

    Those of "published" say too how much the answers differ within the classes of these images: on
    attacked ones that is who was fooled, and any rho near the output contains it.
    """
    network, a = contender.network, contender.a
    name, how = READ[preset]
    rho = information.rho(network, samples.x, samples.y, edge=Edge.preset(name), a=a, **how)
    records = information.records({contender.name: rho})
    more: dict[str, Any] = dict(contender.where)
    if preset == "published":
        more |= {"taps": how["taps"], "answers": answers(network, samples)}
    return [{**more, **record} for record in records]


@torch.no_grad()
def answers(network: nn.Sequential, samples: Samples) -> float:
    """Return H(ŷ | y) in bits: how much the answers differ among images of one class.

    It is part of the last rho_j as it is read on attacked images: who was fooled.
    """
    given = torch.cat([network(x).argmax(dim=1) for x, _, _ in batches(samples, 500)])
    table = np.zeros((int(samples.y.max()) + 1, int(given.max()) + 1))
    np.add.at(table, (samples.y.cpu().numpy(), given.cpu().numpy()), 1)
    joint = table / table.sum()
    within = joint / np.maximum(joint.sum(axis=1, keepdims=True), 1e-300)
    return float(-(joint * np.log2(np.where(within > 0, within, 1))).sum())


def tables_of(content: Content, **_: object) -> dict[str, list[dict[str, Any]]]:
    return {name: content[1][name] for name in TABLES if name in content[1]}
