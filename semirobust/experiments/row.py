"""One row of a table: standard, robust, spliced and tuned network, each under every threat model.

Its record holds four flat tables: the networks with their accuracies (one column for each threat
model), the reports behind the white-box columns, the trials of Algorithm 1, and rho_j with null and
ceiling.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from semirobust.algorithm1 import best
from semirobust.attacks.autoattack import AutoAttack
from semirobust.attacks.gradient import PGD
from semirobust.data import DataSet, Samples, subset
from semirobust.edge import information
from semirobust.edge.estimator import Edge
from semirobust.evaluation.report import robust_accuracy
from semirobust.experiments.study import (
    Front,
    Progress,
    Study,
    content,
    device_name,
    parts,
    random_network,
    robust_artefact,
    robust_network,
    standard_network,
    static_examples,
    stored_examples,
)
from semirobust.experiments.tuning import as_record, tuned_networks
from semirobust.layers import cut, splice
from semirobust.results import records as results
from semirobust.results.artefacts import Artefact, held, publish
from semirobust.training.fitting import accuracy, save_network
from semirobust.types import Attack

PRESETS = ("paper", "calibrated")
BLOCK = {"paper": None, "calibrated": 512}  # None: the published estimate exactly, layers held
TABLES = ("networks", "reports", "trials", "rho")
Tables = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A study with the way it is measured.

    Args:
        study: What is trained.
        whitebox: Attack of the white-box column, made against the very network under evaluation.
        images: Test images of that column.
        autoattack: Test images of the AutoAttack column; None leaves it out.
        controls: Other networks whose f_a is frozen in the place of f_a*.
        presets: Settings of the dependence estimates, by name.
        label: What tells the row from others of its experiment, beside network, data and protocol.
    """

    study: Study
    whitebox: PGD
    images: int = 1000
    autoattack: int | None = None
    controls: tuple[Front, ...] = ("standard", "random")
    presets: tuple[str, ...] = field(default=PRESETS)
    label: str = ""

    @property
    def title(self) -> str:
        """Return what tells the row from others at a glance."""
        study = self.study
        words = (study.architecture.name, study.data.name, study.protocol, self.label)
        return " ".join([*filter(None, words), f"seed {study.seed}"])


class Contender(NamedTuple):
    """One of a study's networks; ``where`` says at which cut and behind whose f_a."""

    name: str
    network: nn.Sequential
    where: dict[str, Any]
    a: int = 1


class Lineup(NamedTuple):
    """All networks of a study, the images on which rho is read, and the trials."""

    clean: DataSet
    examples: DataSet
    attacked: Samples
    contenders: list[Contender]
    trials: list[dict[str, Any]]


def run(
    row: Row, root: str | Path | None = None, *, download: bool = False
) -> Generator[Progress, None, dict[str, Any]]:
    """Train what is missing, measure everything, and return the four tables."""
    found = yield from lineup(row.study, root, fronts=("robust", *row.controls), download=download)
    tables: Tables = {name: [] for name in TABLES}
    tables["trials"] = found.trials
    for one in found.contenders:
        file = network_file(row, one.name, **one.where)
        save_network(one.network, row.study.architecture, file)
        for table, records in evaluated(row, one, found).items():
            tables[table] += records
    return tables


def evaluation_artefact(row: Row, name: str, where: dict[str, Any]) -> Artefact:
    """Return what the evaluation of one of a row's networks is named by."""
    about = (results.key(row), row.whitebox, row.images, row.autoattack, row.presets, name, where)
    return Artefact(stage="evaluation", about=about, code=(evaluated, Samples))


def evaluated(row: Row, one: Contender, found: Lineup) -> Tables:
    """Return one network's records in the tables "networks", "reports" and "rho"."""
    clean, examples, attacked = found.clean.test, found.examples.test, found.attacked
    inputs = {"network": content(one.network), "samples": content(clean, examples, attacked)}
    with held(evaluation_artefact(row, one.name, one.where), inputs) as work:
        if work.record is not None:
            return work.facts
        who = {"network": one.name, **one.where}
        columns, reports = accuracies(row, one.network, clean, examples)
        read = one.where.get("front", "robust") == "robust"
        rho = dependence(row, one, attacked) if read else []
        reports = [{**who, **report} for report in reports]
        facts = {"networks": [{**who, **columns}], "reports": reports, "rho": rho}
        return publish(work, {}, facts, device=device_name())


def lineup(
    study: Study,
    root: str | Path | None = None,
    *,
    fronts: tuple[Front, ...] = ("robust",),
    numbers: Sequence[int] | None = None,
    download: bool = False,
) -> Generator[Progress, None, Lineup]:
    """Train the standard and the robust network, and run Algorithm 1 at each cut and front.

    Args:
        study: Its settings.
        root: Folder of the data sets.
        fronts: Whose f_a are frozen.
        numbers: Which trials; by default all of the study, from 0.
        download: Whether torchvision fetches what is missing.
    """
    clean = parts(study, root, download=download)
    standard = yield from standard_network(study, clean)
    examples = static_examples(study, clean, standard)
    samples = examples if study.protocol == "static" else clean
    robust = yield from robust_network(study, samples)
    networks = {"standard": standard, "robust": robust, "random": random_network(study)}
    attacked = attacked_test(study, clean, examples, robust)
    found = [Contender(name, networks[name], {}) for name in ("standard", "robust")]
    records: list[dict[str, Any]] = []
    for n_b in study.n_b:
        a = cut(standard, n_b)
        found.append(Contender("spliced", splice(robust, standard, a), {"n_b": n_b}, a))
        for front in fronts:
            measure = partial(measured_by(study, front), samples=attacked, a=a)
            outcomes = yield from tuned_networks(
                study, samples, networks, n_b=n_b, measure=measure, front=front, numbers=numbers
            )
            where = {"n_b": n_b, "front": front}
            found.append(Contender("tuned", best(outcomes).network, where, a))
            records += [{**where, **as_record(trial)} for trial in outcomes]
    return Lineup(clean, examples, attacked, found, records)


def network_file(row: Row, name: str, **where: Any) -> Path:
    """Return where the weights of one of a row's networks are kept, for `semirobust evaluate`."""
    words = "-".join([name, *(str(value) for value in where.values())])
    return results.artifacts_root() / "networks" / results.key(row) / f"{words}.safetensors"


def attacked_test(
    study: Study, clean: DataSet, examples: DataSet, robust: nn.Sequential
) -> Samples:
    """Return the test images on which rho is read, the same for all networks of a study.

    static: the stored examples; online: examples against (f_a*, f_b*).
    """
    if study.protocol == "static":
        return examples.test
    return stored_examples(attacked_artefact(study), study, {"test": clean.test}, robust)["test"]


def attacked_artefact(study: Study) -> Artefact:
    """Return what the test images of the online protocol are named by."""
    about = (*robust_artefact(study).about, study.attack)
    return Artefact(stage="attacked", about=about, code=(attacked_test, Samples))


def accuracies(
    row: Row, network: nn.Sequential, clean: Samples, examples: Samples
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Return one accuracy for each threat model, in 0..1, and the reports of the white-box ones."""
    found = {"clean": accuracy(network, clean), "static": accuracy(network, examples)}
    asked: dict[str, tuple[Attack, int]] = {"whitebox": (row.whitebox, row.images)}
    if row.autoattack:
        asked["autoattack"] = (AutoAttack(epsilon=row.whitebox.epsilon), row.autoattack)
    reports = []
    for column, (attack, images) in asked.items():
        few = subset(clean, images)
        report = robust_accuracy(network, few.x, few.y, {column: attack}, batch=250)
        found[column] = report.accuracy
        found[f"{column}_two_errors"] = report.two_errors
        reports.append({"column": column, **report.as_record()})
    return found, reports


def published_rho(network: nn.Sequential, *, samples: Samples, a: int) -> dict[int, float]:
    """Return rho_j in bits as the paper estimates it, without the null."""
    edge = Edge.preset("paper", permutations=0)
    found = information.rho(network, samples.x, samples.y, edge=edge, a=a, block=None)
    return {j: one.value for j, one in found.items()}


def dependence(row: Row, one: Contender, samples: Samples) -> list[dict[str, Any]]:
    """Return one record of rho_j for each layer and preset, with null and ceiling."""
    rows = []
    for preset in row.presets:
        edge, block = Edge.preset(preset), BLOCK[preset]
        found = information.rho(one.network, samples.x, samples.y, edge=edge, a=one.a, block=block)
        records = information.records({one.name: found})
        rows += [{**one.where, "preset": preset, **record} for record in records]
    return rows


def measured_by(study: Study, front: Front) -> Callable[..., dict[int, float]]:
    """Return what reads rho_j of each trial: where there is only one, nothing does."""
    return published_rho if front == "robust" and study.trials > 1 else unmeasured


def unmeasured(_: nn.Sequential, *, samples: Samples, a: int) -> dict[int, float]:  # noqa: ARG001
    """Return nothing: rho of a single trial is read once, with its null."""
    return {}
