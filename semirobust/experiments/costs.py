"""What missing rows will take, from what recorded rows have taken: seconds an operation, by stage.

A record says how many seconds each of its stages took. Jobs of a stage are taken to cost in
proportion to the operations of their passes, so networks, sizes of images, epochs and steps of an
attack that differ are accounted for; what else a job does is taken to be alike.

Before a profile has such records, those of a card's training steps tell what trainings will take;
what scores networks comes on top.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import torch
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from semirobust.experiments import registry as experiments
from semirobust.experiments.nodes import Node, listed
from semirobust.experiments.study import Study
from semirobust.models import Architecture
from semirobust.results import records as results
from semirobust.results.documents import document
from semirobust.training.fitting import Training
from semirobust.training.methods import AttaTrades, Trades

TRAIN = {"cifar10": 45_000, "cifar100": 45_000, "imagenette": 8_522, "digits": 1_147}  # images
RECORD = "record.json"  # of an artefact that is there
BATCH = 128  # of the steps that are recorded of a card
PEAK = {"NVIDIA H100 80GB HBM3": 989.0, "Tesla T4": 8.1}  # 10^12 products a second, by the makers:
# bfloat16 where a card has it, else float32
ON_CPU = ("smoke", "cpu")  # profiles that no card is needed for
Rates = Mapping[str, float]  # seconds for a unit of ``work``, by stage


class Missing(NamedTuple):
    """A row that is not recorded, with the seconds of a process that it will take, where known."""

    experiment: str
    title: str
    seconds: float | None


def missing(name: str, profile: str, known: Rates) -> list[Missing]:
    """Return the rows of an experiment that are to come; what rows share counts with the first."""
    found, seen = [], set[str]()
    for row in experiments.rows(name, profile):
        if experiments.is_recorded(name, row):
            continue
        amounts: dict[str, float] = defaultdict(float)
        for node in nodes(name, row):
            if node.artefact.key not in seen and not (node.artefact.folder / RECORD).exists():
                amounts[node.stage] += work(node, row)
            seen.add(node.artefact.key)
        amounts[_last(name)] += _unit(row)
        costs = [known[stage] * amount for stage, amount in amounts.items() if stage in known]
        known_all = len(costs) == len(amounts) and (sum(costs) > 0 or not amounts)
        found.append(Missing(name, row.title, sum(costs) if known_all else None))
    return found


def rates(profile: str) -> tuple[str, Rates]:
    """Return the device that most rows of a profile were recorded on, and its rates.

    Where a profile for a card has no record that says its stages, they are those of ``by_steps``.
    """
    records = [*_recorded(profile)]
    devices = Counter(record.provenance["device"] for _, _, record in records)
    device = max(devices, key=devices.__getitem__, default="")
    seconds: dict[str, float] = defaultdict(float)
    amounts: dict[str, float] = defaultdict(float)
    for name, row, record in records:
        origin = record.provenance
        if origin["device"] == device and ("stages" in origin or not nodes(name, row)):
            seconds[_last(name)] += origin["seconds"]
            amounts[_last(name)] += _unit(row)
            for stage, one in origin.get("stages", {}).items():
                seconds[stage] += one["seconds"]
            for node in nodes(name, row):
                amounts[node.stage] += work(node, row)
    found = {stage: seconds[stage] / amounts[stage] for stage in seconds if amounts[stage]}
    return (device, found) if found or profile in ON_CPU else by_steps()


def by_steps() -> tuple[str, Rates]:
    """Return the card whose training steps are recorded, and rates of trainings alone."""
    path = results.results_root() / "benchmarks" / "gpu.json"
    if not path.exists():
        return "", {}
    recorded = document(path)
    (step,) = (one for one in recorded["steps"] if step_of(one) == ("vgg16", "plain", BATCH))
    rate = step["graph_ms"] / 1000 / BATCH / gflop(Architecture(name="vgg16"))
    stages = {_last(name): 0.0 for name in experiments.EXPERIMENTS}
    for name in experiments.EXPERIMENTS:
        for row in experiments.rows(name, "smoke"):
            for node in nodes(name, row):
                trains = _study(row) is not None and any(True for _ in _trainings(node.settings))
                stages[node.stage] = max(stages.get(node.stage, 0.0), rate * trains)
    return str(recorded["provenance"]["device"]), stages


def of_trainings_alone(known: Rates) -> bool:
    return 0.0 in known.values()


def step_of(recorded: Mapping[str, Any]) -> tuple[str, str, int]:
    return recorded["network"], recorded["method"], recorded["batch"]


def _recorded(profile: str) -> Iterator[tuple[str, Any, results.Record]]:
    for name, known in experiments.EXPERIMENTS.items():
        if profile in known.profiles:
            rows = {results.key(row): row for row in known.rows(profile)}
            for record in experiments.recorded(name, profile):
                yield name, rows[record.key], record


def _last(name: str) -> str:
    """Return the stage that the last step of a record is: it is no artefact."""
    return f"record of {name}"


def nodes(name: str, row: Any) -> list[Node]:
    """Return what jobs make of a row."""
    return [node for node in listed(experiments.targets(name, row)) if node.make]


def _study(row: Any) -> Study | None:
    return getattr(getattr(row, "row", row), "study", None)


def _unit(row: Any) -> float:
    study = _study(row)
    return gflop(study.architecture) if study else 1.0


def work(node: Node, row: Any) -> float:
    """Return the operations in 10^9 of a training, and of one image for what is no training."""
    study, trainings = _study(row), [*_trainings(node.settings)]
    if study is None or not trainings:
        return _unit(row)
    train = study.data.train or TRAIN[study.data.name]
    return gflop(study.architecture) * train * sum(map(passes, trainings))


def _trainings(settings: Any) -> Iterator[Training]:
    if isinstance(settings, Training):
        yield settings
    elif isinstance(settings, Study):  # of a trial of Algorithm 1
        yield settings.tuning
    elif isinstance(settings, tuple):
        for one in settings:
            yield from _trainings(one)


def passes(training: Training) -> int:
    """Return how often a training takes a sample forward and backward."""
    attack = getattr(training.method, "attack", None)
    steps = getattr(attack, "steps", 1) if attack else 0
    return training.epochs * (1 + steps + isinstance(training.method, Trades | AttaTrades))


def seconds_on(
    card: str,
    architecture: Architecture,
    trainings: Iterable[Training],
    *,
    images: int,
    scored: int,
) -> float:
    """Return what a card takes for trainings on images, from steps that were recorded on another.

    It is taken to reach as much of its peak, and to wait for every launch of a kernel besides.
    ``scored`` are images that pass in attacks that score.
    """
    recorded = document(results.results_root() / "benchmarks" / "gpu.json")
    steps = {(one["network"], one["method"], one["batch"]): one for one in recorded["steps"]}
    step = steps["vgg16", "plain", BATCH]
    operations = gflop(architecture) / gflop(Architecture(name="vgg16"))
    slower = PEAK[recorded["provenance"]["device"]] / PEAK[card]
    milliseconds = step["eager_ms"] + step["graph_ms"] * operations * slower
    passed = images * sum(map(passes, trainings)) + scored
    return float(milliseconds / 1000 * passed / BATCH)


@cache
def gflop(architecture: Architecture) -> float:
    """Return the operations in 10^9 of one forward and backward pass of one image."""
    with torch.device("meta"):
        network = architecture.build().train()
        x = torch.empty(2, architecture.channels, architecture.size, architecture.size)
        y = torch.zeros(2, dtype=torch.long)
        with FlopCounterMode(display=False) as count:
            cross_entropy(network(x), y).backward()  # type: ignore[no-untyped-call]
    return count.get_total_flops() / 2e9
