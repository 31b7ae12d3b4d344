"""The stages of the experiments as jobs of an engine: which there are, and how each is made.

The jobs make, one by one and in any number of processes, the nodes of ``experiments.stages`` that
one run makes: so both end with the same numbers. A job may find that it is done, resume from a
checkpoint, or begin; what it needs and is not there it makes as well, so every command works on its
own. After the nodes of its rows come record, table and figure.
"""

import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from semirobust.experiments import registry as experiments
from semirobust.experiments import stages
from semirobust.experiments.nodes import Memory, Node, listed, made, stored
from semirobust.experiments.registry import finish
from semirobust.results import records as results
from semirobust.results.artefacts import Artefact, held, publish
from semirobust.training.files import content
from semirobust.workflow.engine import Job

Frames = dict[str, pd.DataFrame]


class Place(NamedTuple):
    """Where a row stands: experiment, profile, and the row's key."""

    experiment: str
    profile: str
    key: str

    @property
    def words(self) -> tuple[str, ...]:
        return self.experiment, "--profile", self.profile, "--row", self.key

    @property
    def record(self) -> Artefact:
        return Artefact(stage="record", about=tuple(self), code=())


def jobs(experiment: str, profile: str, only: Sequence[str] = ()) -> list[Job]:
    """Return every job of an experiment, row by row; of recorded rows only the record itself."""
    found: dict[str, Job] = {}
    records, rows = [], chosen_rows(experiment, profile, only)
    for row in rows:
        place = Place(experiment, profile, results.key(row))
        targets = [] if recorded(place) else experiments.targets(experiment, row)
        for node in listed(targets):
            job = _job(node, row, place)
            found.setdefault(job.name, job)
        inputs = tuple(_name(node.artefact) for node in stored(targets))
        words = ("step", "record", *place.words)
        key = place.record.key
        records.append(Job(stage="record", key=key, words=words, inputs=inputs, about=row.title))
        found[records[-1].name] = records[-1]
    drawn = SUMMARIES if is_drawn(experiment) else ("table",)
    inputs, which = tuple(job.name for job in records), ("--only", *only) if only else ()
    for stage in drawn:
        key, about = summary(stage, experiment, profile, rows).key, f"{stage} of {experiment}"
        words = ("step", stage, experiment, "--profile", profile, *which)
        job = Job(stage=stage, key=key, words=words, inputs=inputs, about=about)
        found[job.name] = job
    return list(found.values())


def _name(artefact: Artefact) -> str:
    return f"{artefact.stage}/{artefact.key}"


def _job(node: Node, row: Any, place: Place) -> Job:
    options = [(f"--{name.replace('_', '-')}", str(value)) for name, value in node.where.items()]
    which = {name: value for name, value in node.where.items() if name != "trial"}
    trial = [f"trial {node.where['trial'] + 1}"] if "trial" in node.where else []  # from 1
    return Job(
        stage=node.stage,
        key=node.artefact.key,
        words=("step", node.stage, *place.words, *chain(*options)),
        inputs=tuple(_name(need.artefact) for need in stored(node.needs.values())),
        about=" ".join(map(str, [row.title, *which.values(), *trial])),
    )


def step(stage: str, place: Place, where: dict[str, Any]) -> None:
    """Make one artefact of a row, and whatever it needs that is not there."""
    row = row_of(place, stage)
    if stage == "record":
        if not recorded(place):
            with held(place.record, {"result": "not there yet"}):
                experiments.run_and_record(place.experiment, row, place.profile)
            recorded(place)
        return
    nodes, memory = _walk(place, results.artifacts_root())
    for node in nodes:
        if (node.stage, node.where) == (stage, where):
            value = finish(made(node, memory))
            if stage == "data":
                keep_data(node, content(value))
            return
    words = " ".join([stage, *map(str, where.values())])
    raise ValueError(f"{row.title} has no {words}: see what semirobust plan prints")


@lru_cache(maxsize=1)
def _walk(place: Place, _: Path) -> tuple[list[Node], Memory]:
    """Return the nodes of a row and what is made of them: a process may make many of its jobs."""
    return listed(experiments.targets(place.experiment, row_of(place))), {}


def recorded(place: Place) -> bool:
    """Return whether a row is recorded, and let the manifest say the same."""
    path = results.path_of(place.experiment, place.key)
    if not path.exists():
        (place.record.folder / "manifest.json").unlink(missing_ok=True)
        return False
    results.read(path)  # a damaged one is named, and not counted as done
    digest = sha256(path.read_bytes()).hexdigest()
    with held(place.record, {"result": digest}) as work:
        if work.record is None:
            publish(work, {})
    return True


def keep_data(node: Node, digest: str) -> None:
    """Keep the digest of a data set, or refuse another one than the jobs began with."""
    with held(node.artefact, {}) as work:
        if work.record is None:
            publish(work, {}, facts=digest)
        elif work.facts != digest:
            raise ValueError(
                f"{node.settings[0].name} is not the data set that this grid began with: bring "
                f"back the former files, or delete {work.folder} to begin anew"
            )


def row_of(place: Place, stage: str = "record") -> Any:
    """Return the row of a place, or say which of the words of a step is unknown."""
    name, profile, key = place
    rows = experiments.rows(name, profile)
    for row in rows:
        if results.key(row) == key:
            return row
    nodes = listed(target for row in rows for target in experiments.targets(name, row))
    known = dict.fromkeys([*(node.stage for node in nodes), "record", *SUMMARIES])
    if stage not in known:
        raise ValueError(f"{name} has no step {stage!r}; known: {', '.join(known)}")
    wrong = f"has no row {key} in profile {profile}" if key else "needs --row KEY"
    command = f"semirobust plan {name} --profile {profile}"
    raise ValueError(f"step {stage} {name} {wrong}: `{command}` prints every step that is due")


def make_table(tables: Frames) -> dict[str, bytes]:
    return {f"{name}.csv": table.to_csv(index=False).encode() for name, table in tables.items()}


def make_figure(tables: Frames) -> dict[str, bytes]:
    """Return one picture of accuracies for each network that has both protocols."""
    from semirobust.figures import protocols

    found = {}
    for model, part in tables["networks"].groupby("model"):
        if part["protocol"].nunique() == 2:
            memory = BytesIO()
            figure = protocols.plot_protocols(part, title=str(model))
            figure.savefig(memory, format="png", dpi=160, metadata={"Software": None})
            found[f"{model}.png"] = memory.getvalue()
    return found


def is_drawn(experiment: str) -> bool:
    """Return whether the tables of an experiment are those of Table 1, which figures draw."""
    return experiments.experiment(experiment).run == stages.run


def check_drawn(experiment: str) -> None:
    """Refuse an experiment that no figure draws."""
    if not is_drawn(experiment):
        drawn = ", ".join(filter(is_drawn, experiments.EXPERIMENTS))
        raise ValueError(
            f"no figure draws {experiment}, whose rows are of another kind than {drawn}"
        )


SUMMARIES: dict[str, Callable[[Frames], dict[str, bytes]]] = {
    "table": make_table,
    "figure": make_figure,
}


def summary(stage: str, experiment: str, profile: str, rows: Sequence[Any]) -> Artefact:
    """Return what the tables or the pictures of rows are named by."""
    about = (experiment, profile, [results.key(row) for row in rows])
    return Artefact(stage=stage, about=about, code=(SUMMARIES[stage],))


def summarise(stage: str, experiment: str, profile: str, only: Sequence[str] = ()) -> None:
    """Make the tables or the pictures of recorded rows, unless they are of these already."""
    rows = chosen_rows(experiment, profile, only)
    if stage == "figure":
        check_drawn(experiment)
    metrics = [results.load(experiment, results.key(row)).metrics for row in rows]
    inputs = {"results": sha256(json.dumps(metrics).encode()).hexdigest()}
    with held(summary(stage, experiment, profile, rows), inputs) as work:
        if work.record is None:
            tables = experiments.joined(zip(rows, metrics, strict=True))
            publish(work, SUMMARIES[stage](tables))


def chosen_rows(experiment: str, profile: str, only: Sequence[str] = ()) -> tuple[Any, ...]:
    """Return the rows of an experiment whose titles hold all the words, or refuse words of none."""
    found = experiments.rows(experiment, profile, only)
    if not found:
        listed = f"`semirobust status {experiment} --profile {profile}` lists them"
        raise ValueError(f"no row of {experiment} has all of: {', '.join(only)}; {listed}")
    return found
