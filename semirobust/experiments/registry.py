"""The experiments by name: what their rows are, how a row is run, and what is recorded of it.

An experiment is two functions: frozen settings of its rows in a profile (each with a ``title``),
and ``run``, a generator of progress that runs one row and returns its flat tables. Where a row
waits for nodes of ``stages``, a third one, ``of_row``, lists them.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pandas as pd

from semirobust.experiments import (
    audits,
    carriers,
    certified,
    interventions,
    linear,
    mixtrain,
    mixtrain_settings,
    readings,
    revision,
    rewinding,
    settings,
    sparse,
    stages,
    tickets,
)
from semirobust.experiments.nodes import Node, spent
from semirobust.experiments.stages import Lineup
from semirobust.experiments.study import Progress, Run, Tables, computed_on
from semirobust.results import frames
from semirobust.results import records as results
from semirobust.results.artefacts import environments, witnessed
from semirobust.results.cost import Clock, peak_memory_mb
from semirobust.results.profiles import DEFAULT, PROFILES


class Experiment(NamedTuple):
    """One experiment."""

    text: str  # what it answers, in a line
    rows: Callable[[str], tuple[Any, ...]]  # profile -> settings, in the order in which they run
    module: ModuleType  # whose ``run`` runs a row
    profiles: tuple[str, ...] = PROFILES[:3]  # those that have settings

    @property
    def run(self) -> Callable[..., Run]:
        """Row -> generator of progress that returns the tables."""
        return self.module.run

    @property
    def nodes(self) -> Callable[..., Lineup] | None:
        """Row -> its lineup, where jobs can make what a record waits for."""
        return getattr(self.module, "of_row", None)


LIVE = Path("results", "live")  # apart from what is recorded, also in a checkout
AT_LARGE = "certified semirobustness: brackets, transfer, readouts at large"
ALGORITHM_1 = "Table 1: Algorithm 1, both protocols, with controls"
EXPERIMENTS = {
    "table-1": Experiment(ALGORITHM_1, settings.table_1, stages, PROFILES),
    "headline": Experiment("every check, rho as published", settings.headlines, stages),
    "figure-2": Experiment("Figure 2: rho_j by size of f_b", settings.figure_2, stages),
    "methods": Experiment("how f_b is trained", settings.methods, stages),
    "sweep": Experiment("attack and radius", settings.sweep, stages),
    "revision": Experiment(
        "Tables S2 to S4: three attacks",
        settings.revision,
        revision,
    ),
    "audit": Experiment(
        "assumptions of Theorem 2 on these networks",
        settings.audits,
        audits,
    ),
    "readings": Experiment("rho on four sets of images", readings.readings, readings, PROFILES),
    "linear": Experiment("Table S1: Algorithm S1", settings.connectivity, linear),
    "carriers": Experiment("what carries robustness", carriers.carriers, carriers),
    "interventions": Experiment("is rho a cause", interventions.rows, interventions),
    "tickets": Experiment("robust winning tickets", tickets.hunts, tickets),
    "sparse": Experiment("a sparse semirobust f_a", sparse.joins, sparse),
    "rewinding": Experiment(
        "tickets of VGG16 under a cut",
        rewinding.rewindings,
        rewinding,
    ),
    "mixtrain": Experiment(
        "MixTrain beside its baselines",
        mixtrain_settings.rows,
        mixtrain,
    ),
    "certified": Experiment(AT_LARGE, certified.rows, certified),
}


def experiment(name: str) -> Experiment:
    """Return an experiment by its name."""
    if name not in EXPERIMENTS:
        raise ValueError(f"unknown experiment {name!r}; known: {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def targets(name: str, row: Any) -> list[Node]:
    """Return the nodes on which the record of a row waits; none where one process makes it all."""
    nodes = experiment(name).nodes
    return nodes(row).targets if nodes else []


def rows(name: str, profile: str, only: Sequence[str] = ()) -> tuple[Any, ...]:
    """Return the rows in a profile whose titles hold all the words, in the order they run in."""
    known = experiment(name).profiles
    if profile not in known:
        raise ValueError(f"{name} has no profile {profile!r}; known: {', '.join(known)}")
    found = experiment(name).rows(profile)
    return tuple(row for row in found if all(word in row.title for word in only))


def is_recorded(name: str, row: Any) -> bool:
    return results.path_of(name, results.key(row)).exists()


def tables(
    name: str, profile: str, *, only: str = "", live: bool = False
) -> dict[str, pd.DataFrame]:
    """Return the tables of the rows whose title holds ``only``, one frame each.

    Rows of the smoke profile are run here and now; of larger profiles those that are recorded are
    read, and how many seeds there are is for the reader to see. ``live`` runs those of the first
    seed and data set instead, and records them in ``LIVE`` of the working directory.
    """
    chosen = rows(name, profile, [only])
    if live and profile != DEFAULT:
        found = [(row, record.metrics) for row, record in _live(name, _first(chosen), profile)]
    elif profile == DEFAULT:
        found = [(row, finish(experiment(name).run(row))) for row in chosen]
    else:
        there = [row for row in chosen if is_recorded(name, row)]
        found = [(row, results.load(name, results.key(row)).metrics) for row in there]
    if not found:
        about = f" --only {only}" if only else ""
        raise FileNotFoundError(
            f"no {only} row of {name} is recorded in profile {profile}: "
            f"semirobust run {name} --profile {profile}{about} --download"
        )
    return joined(found)


def _first(chosen: Sequence[Any]) -> list[Any]:
    """Return the rows that share model, data and seed with the first of them."""
    named = [frames.columns(results.describe(row)) for row in chosen]
    run = [tuple(one.get(name) for name in ("model", "data", "seed")) for one in named]
    return [row for row, one in zip(chosen, run, strict=True) if one == run[0]]


def _live(name: str, chosen: Iterable[Any], profile: str) -> Iterator[tuple[Any, results.Record]]:
    with results.results_in(LIVE):
        for row in chosen:
            if not is_recorded(name, row):
                run_and_record(name, row, profile)
            yield row, results.load(name, results.key(row))


def joined(runs: Iterable[tuple[Any, Tables]]) -> dict[str, pd.DataFrame]:
    """Return the tables of several rows, one frame each, with the columns that name the row.

    Beside rows of a setting the others have a dash in its column.
    """
    found = frames.joined((frames.columns(results.describe(row)), tables) for row, tables in runs)
    return {name: table.fillna({"setting": "–"}) for name, table in found.items()}


def recorded(name: str, profile: str) -> list[results.Record]:
    """Return the recorded rows of an experiment in a profile, in the order of the rows."""
    there = [row for row in rows(name, profile) if is_recorded(name, row)]
    return [results.load(name, results.key(row)) for row in there]


def run_and_record(
    name: str,
    row: Any,
    profile: str,
    *,
    replace_old: bool = False,
    seen: Callable[[Progress], object] = lambda _: None,
) -> Path:
    """Run a row and store its record with where and how it was computed.

    The seconds are those of this run; epochs that it resumed from artefacts ("taken_up") are
    counted apart, and what the artefacts took, whoever made them, stands by stage. Artefacts that
    were made with another torch, on another device, in another arithmetic or by more threads are
    told apart in "environments".
    """
    epochs, clock = {"computed": 0, "taken_up": 0}, Clock()

    def count(step: Progress) -> None:
        epochs["taken_up" if step.resumed else "computed"] += 1
        seen(step)

    with witnessed() as seen_artefacts:
        tables = finish(experiment(name).run(row), count)
    cost = {**clock.spent(), "peak_memory_mb": peak_memory_mb()}
    origin = results.provenance(**computed_on()) | cost
    origin |= {"epochs": epochs, "stages": spent(targets(name, row))}
    origin["environments"] = environments(seen_artefacts)
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
