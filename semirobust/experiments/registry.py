"""The experiments by name: what their rows are, how a row is run, and what is recorded of it.

An experiment is two functions: frozen settings of its rows in a profile (each with a ``title``),
and a generator of progress that runs one row and returns its flat tables.
"""

from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch

from semirobust.experiments import audits, readings, revision, rewinding, settings, sparse
from semirobust.experiments import certified as transfer_experiments
from semirobust.experiments import linear as connectivity
from semirobust.experiments import mixtrain as certified_experiments
from semirobust.experiments import mixtrain_settings as certified_settings
from semirobust.experiments import row as comparison
from semirobust.experiments import tickets as ticket_experiments
from semirobust.experiments.study import Progress, device_name
from semirobust.results import frames
from semirobust.results import records as results
from semirobust.results.profiles import DEFAULT, PROFILES

Tables = dict[str, list[dict[str, Any]]]


class Experiment(NamedTuple):
    """One experiment.

    Attributes:
        text: What it answers, in a line.
        rows: Profile -> frozen settings, in the order in which they run.
        run: (row, root, download=) -> generator of progress that returns the tables.
        profiles: Those that have settings.
    """

    text: str
    rows: Callable[[str], tuple[Any, ...]]
    run: Callable[..., Generator[Progress, None, Any]]
    profiles: tuple[str, ...] = ("smoke", "cpu")


EXPERIMENTS: dict[str, Experiment] = {
    "table-1": Experiment(
        "Table 1: Algorithm 1, both protocols, with controls",
        settings.table_1,
        comparison.run,
        PROFILES,
    ),
    "figure-2": Experiment("Figure 2: rho_j by size of f_b", settings.figure_2, comparison.run),
    "methods": Experiment("how f_b is trained", settings.methods, comparison.run),
    "sweep": Experiment("attack and radius", settings.sweep, comparison.run),
    "revision": Experiment("Tables S2 to S4: three attacks", settings.revision, revision.run),
    "audit": Experiment("assumptions of Theorem 2 on these networks", settings.audits, audits.run),
    "readings": Experiment("rho on four sets of images", readings.readings, readings.run, PROFILES),
    "linear": Experiment("Table S1: Algorithm S1", settings.connectivity, connectivity.run),
    "tickets": Experiment(
        "robust winning tickets", ticket_experiments.hunts, ticket_experiments.run, PROFILES[:3]
    ),
    "sparse": Experiment("a sparse semirobust f_a", sparse.joins, sparse.run, PROFILES[:3]),
    "rewinding": Experiment(
        "tickets of VGG16 under a cut", rewinding.rewindings, rewinding.run, PROFILES[:3]
    ),
    "mixtrain": Experiment(
        "MixTrain beside its baselines",
        certified_settings.rows,
        certified_experiments.run,
        PROFILES[:3],
    ),
    "certified": Experiment(
        "certified semirobustness: brackets, transfer, readouts at large",
        transfer_experiments.rows,
        transfer_experiments.run,
        PROFILES[:3],
    ),
}


def experiment(name: str) -> Experiment:
    """Return an experiment by its name."""
    if name not in EXPERIMENTS:
        raise ValueError(f"unknown experiment {name!r}; known: {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def rows(name: str, profile: str) -> tuple[Any, ...]:
    """Return the rows of an experiment in a profile, in the order in which they run."""
    known = experiment(name).profiles
    if profile not in known:
        raise ValueError(f"{name} has no profile {profile!r}; known: {', '.join(known)}")
    return experiment(name).rows(profile)


def tables(
    name: str, profile: str, *, only: str = "", root: str | Path | None = None
) -> dict[str, pd.DataFrame]:
    """Return the tables of the rows whose title holds ``only``, one frame each.

    Rows of the smoke profile are run here and now; of larger profiles those that are recorded are
    read, and how many seeds there are is for the reader to see.
    """
    chosen = [row for row in rows(name, profile) if only in row.title]
    if profile != DEFAULT:
        chosen = [row for row in chosen if results.path_of(name, results.key(row)).exists()]
    if not chosen:
        raise FileNotFoundError(
            f"no {only} row of {name} is recorded in profile {profile}: "
            f"semirobust run {name} --profile {profile}"
        )
    return joined((row, _metrics(name, row, profile, root)) for row in chosen)


def joined(runs: Iterable[tuple[Any, Tables]]) -> dict[str, pd.DataFrame]:
    """Return the tables of several rows, one frame each, with the columns that name the row."""
    return frames.joined((frames.columns(results.describe(row)), found) for row, found in runs)


def _metrics(name: str, row: Any, profile: str, root: str | Path | None) -> dict[str, Any]:
    if profile == DEFAULT:
        return finish(experiment(name).run(row, root))
    return results.load(name, results.key(row)).metrics


def recorded(name: str, profile: str) -> list[results.Record]:
    """Return the recorded rows of an experiment in a profile, in the order of the rows."""
    keys = [results.key(row) for row in rows(name, profile)]
    return [results.load(name, key) for key in keys if results.path_of(name, key).exists()]


def run_and_record(
    name: str,
    row: Any,
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
        tables = finish(experiment(name).run(row, root, download=download), count)
    origin = results.provenance(device=device_name(), threads=torch.get_num_threads())
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
