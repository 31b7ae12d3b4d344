"""How each job of the grid is made: one artefact of one row, or what is drawn from recorded rows.

A job may find that it is done, take up a checkpoint, or begin; what it needs and is not there it
makes as well, so every command works on its own.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from semirobust.experiments import registry as experiments
from semirobust.experiments import row as comparison
from semirobust.experiments.registry import finish
from semirobust.experiments.row import lineup
from semirobust.experiments.study import (
    Front,
    Study,
    content,
    parts,
    robust_network,
    standard_network,
    static_examples,
)
from semirobust.results import records as results
from semirobust.results.artefacts import Artefact, held, publish

Frames = dict[str, pd.DataFrame]


class Place(NamedTuple):
    """Where a row stands: experiment, profile, and the row's key."""

    experiment: str
    profile: str
    key: str

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words of the command line that choose the row."""
        return self.experiment, "--profile", self.profile, "--row", self.key


class Where(NamedTuple):
    """Which of a row's networks; None where it does not matter."""

    network: str | None = None
    n_b: int | None = None
    front: Front | None = None
    trial: int | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words of the command line that choose the network."""
        named = zip(("--network", "--n-b", "--front", "--trial"), self, strict=True)
        return tuple(str(word) for pair in named if pair[1] is not None for word in pair)

    @property
    def columns(self) -> dict[str, Any]:
        """Return what a table says of it."""
        found = {"n_b": self.n_b, "front": self.front}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def told(self) -> str:
        """Return it in words; trials count from 1 there."""
        trial = None if self.trial is None else f"trial {self.trial + 1}"
        found = (self.network, self.n_b, self.front, trial)
        return " ".join(str(word) for word in found if word is not None)


def data_artefact(study: Study) -> Artefact:
    """Return what is kept of a data set: its digest, so that another one is noticed."""
    return Artefact(stage="data", about=(study.data,), code=(parts,))


def record_artefact(place: Place) -> Artefact:
    """Return what says that a row is recorded."""
    return Artefact(stage="record", about=tuple(place), code=())


def table_artefact(experiment: str, profile: str, rows: Sequence[Any]) -> Artefact:
    """Return what the tables of rows are named by."""
    about = (experiment, profile, [results.key(row) for row in rows])
    return Artefact(stage="table", about=about, code=(make_table,))


def figure_artefact(experiment: str, profile: str, rows: Sequence[Any]) -> Artefact:
    """Return what the pictures of rows are named by."""
    about = (experiment, profile, [results.key(row) for row in rows])
    return Artefact(stage="figure", about=about, code=(make_figure,))


def recorded(place: Place) -> bool:
    """Return whether a row is recorded, and let the manifest say the same."""
    path = results.path_of(place.experiment, place.key)
    artefact = record_artefact(place)
    if not path.exists():
        (artefact.folder / "manifest.json").unlink(missing_ok=True)
        return False
    digest = sha256(path.read_bytes()).hexdigest()
    with held(artefact, {"result": digest}) as work:
        if work.record is None:
            publish(work, {})
    return True


def step(
    stage: str,
    place: Place,
    where: Where,
    root: str | Path | None = None,
    *,
    download: bool = False,
) -> None:
    """Make one artefact of a row, and whatever it needs that is not there."""
    row = row_of(place)
    if stage == "record":
        if not recorded(place):
            with held(record_artefact(place), {"result": "not there yet"}):
                experiments.run_and_record(
                    place.experiment, row, place.profile, root, download=download
                )
            recorded(place)
        return
    study = row.study
    clean = parts(study, root, download=download)
    if stage == "data":
        keep_data(study, content(clean))
        return
    if stage == "robust" and study.protocol == "online":
        finish(robust_network(study, clean))
        return
    standard = finish(standard_network(study, clean))
    if stage != "standard":
        samples = static_examples(study, clean, standard)
        if stage == "robust":
            finish(robust_network(study, samples))
        elif stage != "examples":
            _at_one_cut(stage, row, where, root)


def _at_one_cut(stage: str, row: Any, where: Where, root: str | Path | None) -> None:
    """Make what lies behind the robust network: attacked images, a trial, or one evaluation."""
    study = replace(row.study, n_b=(where.n_b,)) if where.n_b else row.study
    chosen = (where.front,) if where.front else ()
    numbers = None if where.trial is None else (where.trial,)
    found = finish(lineup(study, root, fronts=chosen, numbers=numbers))
    if stage == "evaluation":
        for one in found.contenders:
            if (one.name, one.where) == (where.network, where.columns):
                comparison.evaluated(row, one, found)


def keep_data(study: Study, digest: str) -> None:
    """Keep the digest of a data set, or refuse another one than the grid began with."""
    with held(data_artefact(study), {}) as work:
        if work.record is None:
            publish(work, {}, facts=digest)
        elif work.facts != digest:
            raise ValueError(
                f"{study.data.name} is not the data set that this grid began with: bring back the "
                f"former files, or delete {work.folder} to begin anew"
            )


def row_of(place: Place) -> Any:
    """Return a row by its key."""
    for row in experiments.rows(place.experiment, place.profile):
        if results.key(row) == place.key:
            return row
    raise ValueError(
        f"{place.experiment} has no row {place.key} in profile {place.profile}: the settings have "
        "changed; write the plan again"
    )


def make_table(tables: Frames) -> dict[str, bytes]:
    """Return tables as CSV files."""
    return {f"{name}.csv": table.to_csv(index=False).encode() for name, table in tables.items()}


def make_figure(tables: Frames) -> dict[str, bytes]:
    """Return one picture of accuracies for each network that has both protocols."""
    from semirobust.figures import plotting

    found = {}
    for model, part in tables["networks"].groupby("model"):
        if part["protocol"].nunique() == 2:
            memory = BytesIO()
            figure = plotting.plot_protocols(part, title=str(model))
            figure.savefig(memory, format="png", dpi=160, metadata={"Software": None})
            found[f"{model}.png"] = memory.getvalue()
    return found


def summarise(stage: str, experiment: str, profile: str, only: Sequence[str] = ()) -> None:
    """Make the tables or the pictures of recorded rows, unless they are of these already."""
    rows = chosen_rows(experiment, profile, only)
    name, make = {"table": (table_artefact, make_table), "figure": (figure_artefact, make_figure)}[
        stage
    ]
    found = [results.load(experiment, results.key(row)).metrics for row in rows]
    inputs = {"results": sha256(json.dumps(found).encode()).hexdigest()}
    with held(name(experiment, profile, rows), inputs) as work:
        if work.record is None:
            publish(work, make(experiments.joined(zip(rows, found, strict=True))))


def chosen_rows(experiment: str, profile: str, only: Sequence[str] = ()) -> list[Any]:
    """Return the rows of an experiment whose titles hold all the words."""
    rows = experiments.rows(experiment, profile)
    found = [row for row in rows if all(word in row.title for word in only)]
    if not found:
        raise ValueError(f"no row of {experiment} has all of: {', '.join(only)}")
    return found
