"""Frozen settings of every table and figure, in profiles, and what is recorded of a run.

``smoke`` runs on digits in about a minute and says only that everything works; ``cpu`` shows the
phenomenon on CIFAR-10 with narrow networks.

One row is one network, data set, protocol and seed. Its record holds four flat tables: the
networks with their accuracies (one column for each threat model), the reports behind the white-box
columns, the trials of Algorithm 1, and rho_j with null and ceiling.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from torch import nn

from semirobust import information, results
from semirobust._types import Attack
from semirobust.algorithm1 import best
from semirobust.attacks import NFGSM, PGD
from semirobust.autoattack import AutoAttack
from semirobust.data import DataSet, Samples, subset
from semirobust.edge import Edge
from semirobust.evaluation import robust_accuracy
from semirobust.layers import cut, splice
from semirobust.methods import Online, Plain
from semirobust.models import Architecture
from semirobust.subnetwork import (
    Front,
    Part,
    Progress,
    Study,
    parts,
    perturbed,
    random_network,
    robust_network,
    standard_network,
    static_examples,
    tuned_networks,
)
from semirobust.training import Training, accuracy, save_network

PROTOCOLS: tuple[Literal["static", "online"], ...] = ("static", "online")
N_B = {"alexnet": (4,), "vgg16": (4, 12), "resnet18": (4, 12), "resnet50": (16,), "vit": (12,)}
WIDTH = {"alexnet": 0.5, "vgg16": 0.25, "resnet18": 0.25, "resnet50": 0.25, "vit": 0.25}
RATE = {"alexnet": 0.05, "vit": 0.02}  # no batch norm: the others stand 0.1
PRESETS = ("paper", "calibrated")
BLOCK = {"paper": None, "calibrated": 512}  # None: the published estimate exactly, layers held
TABLES = ("networks", "reports", "trials", "rho")


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
    """

    study: Study
    whitebox: PGD
    images: int = 1000
    autoattack: int | None = None
    controls: tuple[Front, ...] = ("standard", "random")
    presets: tuple[str, ...] = field(default=PRESETS)

    @property
    def title(self) -> str:
        """Return what tells the row from others at a glance."""
        study = self.study
        return f"{study.architecture.name} {study.data.name} {study.protocol} seed {study.seed}"


def table_1(profile: str) -> tuple[Row, ...]:
    """Return the rows of Table 1 in one profile, the most telling first."""
    if profile == "smoke":
        return tuple(smoke("vgg16", protocol) for protocol in PROTOCOLS)
    whole = tuple(
        cpu(network, protocol, seed=seed)
        for seed in range(3)
        for network in ("vgg16", "resnet18", "alexnet")
        for protocol in PROTOCOLS
    )
    return whole + tuple(imagenette(protocol) for protocol in PROTOCOLS)


def smoke(network: str, protocol: Literal["static", "online"], *, seed: int = 0) -> Row:
    """Return a row on digits at an eighth of the width, epsilon 16/255."""
    radius = 16 / 255
    base = Training(epochs=6, learning_rate=RATE.get(network, 0.05), batch=64)
    made = replace(base, method=Online(attack=NFGSM(epsilon=radius)))
    study = Study(
        architecture=Architecture(name=network, width=0.125),
        data=Part(name="digits", test=300, validation=100),
        protocol=protocol,
        attack=PGD(epsilon=radius, step_size=4 / 255, steps=5),
        n_b=N_B[network][-1:],
        standard=base,
        robust=replace(base, epochs=5) if protocol == "static" else made,
        tuning=replace(base if protocol == "static" else made, epochs=3),
        seed=seed,
    )
    return Row(study=study, whitebox=_strong(radius), images=200, controls=("standard",))


def cpu(network: str, protocol: Literal["static", "online"], *, seed: int = 0) -> Row:
    """Return a row on 10,000 CIFAR-10 images with a narrow network, epsilon 8/255.

    AutoAttack costs more than all the rest of an online row and is run on the first seed.
    """
    radius = 8 / 255
    base = Training(
        epochs=12,
        learning_rate=RATE.get(network, 0.1),
        precision="bfloat16",
        channels_last=network != "alexnet",
    )
    made = replace(base, method=Online(attack=NFGSM(epsilon=radius)), augment=True)
    stored = replace(base, method=Plain(), epochs=10)
    study = Study(
        architecture=Architecture(name=network, width=WIDTH[network]),
        data=Part(name="cifar10", train=10_000, validation=300),
        protocol=protocol,
        attack=PGD(epsilon=radius, step_size=2 / 255, steps=10),
        n_b=N_B[network],
        standard=replace(base, augment=True),
        robust=stored if protocol == "static" else made,
        tuning=replace(stored if protocol == "static" else made, epochs=5),
        seed=seed,
    )
    return Row(study=study, whitebox=_strong(radius), autoattack=None if seed else 100)


def imagenette(protocol: Literal["static", "online"]) -> Row:
    """Return a row on a few Imagenette images at 64 x 64 pixels, trained longer."""
    row = cpu("vgg16", protocol, seed=1)
    study = replace(
        row.study,
        data=Part(name="imagenette", size=64),
        n_b=(12,),
        standard=replace(row.study.standard, epochs=40),
        robust=replace(row.study.robust, epochs=40),
        tuning=replace(row.study.tuning, epochs=15),
        seed=0,
    )
    return replace(row, study=study, images=500, controls=("standard",))


def _strong(radius: float) -> PGD:
    return PGD(epsilon=radius, step_size=radius / 4, steps=20, stop_when_fooled=True)


EXPERIMENTS = {"table-1": table_1}
AVAILABLE = ("smoke", "cpu")  # profiles that have settings


def rows(name: str, profile: str) -> tuple[Row, ...]:
    """Return the rows of an experiment in a profile, in the order in which they run."""
    if name not in EXPERIMENTS:
        raise ValueError(f"unknown experiment {name!r}; known: {', '.join(EXPERIMENTS)}")
    if profile not in AVAILABLE:
        raise ValueError(f"no settings for profile {profile!r}; known: {', '.join(AVAILABLE)}")
    return EXPERIMENTS[name](profile)


def run(
    row: Row, root: str | Path | None = None, *, download: bool = False
) -> Generator[Progress, None, dict[str, Any]]:
    """Train what is missing, measure everything, and return the four tables."""
    study = row.study
    clean = parts(study, root, download=download)
    standard = yield from standard_network(study, clean)
    examples = static_examples(study, clean, standard)
    samples = examples if study.protocol == "static" else clean
    robust = yield from robust_network(study, samples)
    networks = {"standard": standard, "robust": robust, "random": random_network(study)}
    attacked = attacked_test(study, clean, examples, robust)
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}

    def add(name: str, network: nn.Sequential, **where: Any) -> None:
        found, reports = accuracies(row, network, clean.test, examples.test)
        tables["networks"].append({"network": name, **where, **found})
        save_network(network, study.architecture, network_file(row, name, **where))
        tables["reports"] += [{"network": name, **where, **report} for report in reports]

    for name in ("standard", "robust"):
        add(name, networks[name])
        tables["rho"] += dependence(row, name, networks[name], attacked)
    for n_b in study.n_b:
        a = cut(standard, n_b)
        spliced = splice(robust, standard, a)
        add("spliced", spliced, n_b=n_b)
        tables["rho"] += dependence(row, "spliced", spliced, attacked, a=a, n_b=n_b)
        for front in ("robust", *row.controls):
            wanted = front == "robust" and study.trials > 1
            measure = partial(published_rho, samples=attacked, a=a) if wanted else _unmeasured
            outcomes = yield from tuned_networks(
                study, samples, networks, n_b=n_b, measure=measure, front=front
            )
            tuned, where = best(outcomes).network, {"n_b": n_b, "front": front}
            add("tuned", tuned, **where)
            tables["trials"] += [{**where, **_without_network(trial)} for trial in outcomes]
            if front == "robust":
                tables["rho"] += dependence(row, "tuned", tuned, attacked, a=a, **where)
    return tables


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
    images = perturbed(robust, clean.test, study.attack, precision=study.standard.precision)
    return Samples(images, clean.test.labels)


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


def dependence(
    row: Row, name: str, network: nn.Sequential, samples: Samples, *, a: int = 1, **where: Any
) -> list[dict[str, Any]]:
    """Return one record of rho_j for each layer and preset, with null and ceiling."""
    rows = []
    for preset in row.presets:
        edge, block = Edge.preset(preset), BLOCK[preset]
        found = information.rho(network, samples.x, samples.y, edge=edge, a=a, block=block)
        rows += [
            {**where, "preset": preset, **record} for record in information.records({name: found})
        ]
    return rows


def _unmeasured(_: nn.Sequential) -> dict[int, float]:
    """Return nothing: rho of a single trial is read once, with its null."""
    return {}


def _without_network(trial: Any) -> dict[str, Any]:
    fields = ("number", "spliced_accuracy", "accuracy", "epochs", "accuracies", "rho")
    return {name: getattr(trial, name) for name in fields}


def tables(
    name: str, profile: str, *, only: str = "", root: str | Path | None = None
) -> dict[str, pd.DataFrame]:
    """Return the tables of ``TABLES`` of the rows whose title holds ``only``.

    Rows of the smoke profile are run here and now; of larger profiles those that are recorded are
    read, and how many seeds there are is for the reader to see.
    """
    chosen = [row for row in rows(name, profile) if only in row.title]
    if profile != "smoke":
        chosen = [row for row in chosen if results.path_of(name, results.key(row)).exists()]
    if not chosen:
        raise FileNotFoundError(
            f"no {only} row of {name} is recorded in profile {profile}: "
            f"semirobust run {name} --profile {profile}"
        )
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for row in chosen:
        content = _metrics(name, row, profile, root)
        about: dict[str, Any] = {
            "model": row.study.architecture.name,
            "data": row.study.data.name,
            "protocol": row.study.protocol,
            "seed": row.study.seed,
        }
        for table, parts_of in found.items():
            parts_of.append(pd.DataFrame(content[table]).assign(**about))
    return {table: pd.concat(parts_of, ignore_index=True) for table, parts_of in found.items()}


def _metrics(name: str, row: Row, profile: str, root: str | Path | None) -> dict[str, Any]:
    if profile == "smoke":
        with results.scratch_artifacts():  # nothing trained by older code is taken up
            return finish(run(row, root))
    return results.load(name, results.key(row)).metrics


def recorded(name: str, profile: str) -> list[results.Record]:
    """Return the recorded rows of an experiment in a profile, in the order of the rows."""
    keys = [results.key(row) for row in rows(name, profile)]
    return [results.load(name, key) for key in keys if results.path_of(name, key).exists()]


def run_and_record(
    name: str,
    row: Row,
    profile: str,
    root: str | Path | None = None,
    *,
    download: bool = False,
    replace_old: bool = False,
    seen: Callable[[Progress], object] = lambda _: None,
) -> Path:
    """Run a row and store its record with where and how it was computed.

    The seconds are those of this run: epochs that it took up from artefacts are counted apart.
    """
    epochs = {"computed": 0, "taken_up": 0}

    def count(step: Progress) -> None:
        epochs["taken_up" if step.taken_up else "computed"] += 1
        seen(step)

    with results.measured() as cost:
        tables = finish(run(row, root, download=download), count)
    origin = results.provenance(threads=torch.get_num_threads())
    origin |= {"seconds": cost.seconds, "cpu_seconds": cost.cpu_seconds}
    origin |= {"peak_memory_mb": cost.peak_memory_mb, "epochs": epochs}
    return results.save(name, row, tables, profile=profile, origin=origin, replace=replace_old)


def finish(
    steps: Generator[Progress, None, Any], seen: Callable[[Progress], object] = lambda _: None
) -> Any:
    """Return what a generator of progress returns, after showing each of its steps to ``seen``."""
    while True:
        try:
            seen(next(steps))
        except StopIteration as end:
            return end.value
