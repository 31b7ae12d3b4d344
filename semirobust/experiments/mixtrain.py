"""MixTrain beside its baselines, run and measured: the tables of one row.

A row is one data set, radius, method and seed. Its tables: ``networks`` (accuracies clean, under
attack, and verified by each bound; the gamma bracket), ``reports`` (what the attacks did, and
sample by sample what stands and what is certified) and ``epochs``. A row of costs has the one table
``costs``: CPU seconds and bounds of one epoch of every method.
"""

from collections.abc import Generator
from dataclasses import replace
from time import process_time
from typing import Any

from torch import Tensor, nn

from semirobust.attacks.autoattack import AutoAttack
from semirobust.attacks.ball import share
from semirobust.attacks.gradient import strong_pgd
from semirobust.certified.certificates import bracket, certified_margins, verified_by_bound
from semirobust.certified.interval_attack import IntervalGradient
from semirobust.data import DataSet, Samples, device, select, subset
from semirobust.evaluation.report import Report, robust_accuracy
from semirobust.experiments.mixtrain_settings import Certification, Cost
from semirobust.experiments.nodes import train
from semirobust.experiments.study import Progress, Run
from semirobust.training.fitting import Run as Process
from semirobust.training.fitting import accuracy, training_mode
from semirobust.types import Attack, Flags


def run(row: Certification | Cost) -> Run:
    """Train, attack and certify one network, or time an epoch of each; return the tables."""
    if isinstance(row, Cost):
        samples = select(row.row.data)  # its seconds are of the CPU
        return {"costs": [epoch_cost(row, name, samples.train) for name in row.methods]}
    samples = select(row.data, device=device())
    network, epochs = yield from trained(row, samples)
    found, reports = measured(row, network, samples.test)
    return {"networks": [found], "reports": reports, "epochs": epochs}


def trained(
    row: Certification, samples: DataSet
) -> Generator[Progress, None, tuple[nn.Sequential, list[dict[str, Any]]]]:
    """Train a row's network, or load it, and return it with its losses epoch by epoch."""
    network, epochs = row.build().to(device()), []
    about = (row.method, row.chain, row.data)
    for step in train("certified", about, network, samples.train, row.training, words=row.method):
        epochs.append({"epoch": step.epoch.epoch, "loss": step.epoch.loss})
        yield step
    return network, epochs


def measured(
    row: Certification, network: nn.Sequential, test: Samples
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return accuracies and bracket of a network, and what the attacks did."""
    margins = certified_margins(network, test.x, test.y, row.epsilon)
    flags = verified_by_bound(margins, test.y)
    attacks: dict[str, Attack] = {
        "pgd": strong_pgd(row.epsilon, restarts=2),
        "interval": IntervalGradient(chain=network, epsilon=row.epsilon),
    }
    report = robust_accuracy(network, test.x, test.y, attacks, batch=250)
    reports = [recorded("pgd and interval", report, flags["any"])]
    if row.autoattack:
        few = subset(test, row.autoattack)
        few_margins = certified_margins(network, few.x, few.y, row.epsilon)
        sure = verified_by_bound(few_margins, few.y)["any"]
        attack = AutoAttack(epsilon=row.epsilon)
        official = robust_accuracy(network, few.x, few.y, attack, batch=250)
        reports.append(recorded("autoattack", official, sure))
    between = bracket(network, test.x, test.y, margins["zonotope"], report)
    found = {
        "clean": accuracy(network, test),
        "attacked": report.accuracy,
        **{f"verified {name}": share(flag) for name, flag in flags.items()},
        **between.as_record(),
        "certificates": sum(entry["certificates"] for entry in reports),
        "broken certificates": sum(entry["broken certificates"] for entry in reports),
    }
    return found, reports


def recorded(name: str, report: Report, sure: Flags) -> dict[str, Any]:
    """Return a report with the samples that are certified, and how many of them it broke."""
    return {
        "evaluation": name,
        **report.as_record(),
        "certified": "".join("01"[flag] for flag in sure.int().tolist()),
        "certificates": int(sure.sum()),
        "broken certificates": int((sure & ~report.standing).sum()),
    }


def epoch_cost(cost: Cost, name: str, samples: Samples) -> dict[str, Any]:
    """Return CPU seconds and bounds of the first epoch of a method on an untrained network."""
    row = replace(cost.row, method=name)
    network = row.build()
    process = Process(network, samples, row.training, 0)
    with training_mode(network, 0):
        start = process_time()
        process.epoch(1)
        seconds = process_time() - start
    bounds = int(process.memory.get("bounds", Tensor([0])))
    return {"method": name, "cpu_seconds": seconds, "bounds": bounds, "samples": len(samples)}
