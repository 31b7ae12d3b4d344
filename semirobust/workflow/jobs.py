"""The grid of an experiment as jobs: what each row needs, and how each of it is made.

The jobs make, one by one and in any number of processes, the artefacts that ``experiments.run``
makes in one: both call the same functions, so both end with the same numbers.

    data -> standard -> examples -> robust -> attacked -> tuned -> evaluation -> record -> table
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from semirobust.experiments import registry as experiments
from semirobust.experiments import revision
from semirobust.experiments import row as comparison
from semirobust.experiments.row import attacked_artefact, evaluation_artefact
from semirobust.experiments.study import (
    Front,
    Study,
    examples_artefact,
    robust_artefact,
    standard_artefact,
)
from semirobust.experiments.tuning import tuned_artefact
from semirobust.results import records as results
from semirobust.results.artefacts import Artefact
from semirobust.workflow.engine import Job
from semirobust.workflow.stages import (
    Place,
    Where,
    chosen_rows,
    data_artefact,
    figure_artefact,
    record_artefact,
    recorded,
    table_artefact,
)


def jobs(
    experiment: str, profile: str, only: Sequence[str] = (), *, download: bool = False
) -> list[Job]:
    """Return every job of an experiment; of recorded rows only the record itself.

    Args:
        experiment: Its name.
        profile: One of its profiles.
        only: Words that the titles of the rows must hold.
        download: The job that reads a data set fetches it where it is missing.
    """
    found: dict[str, Job] = {}
    records = []
    rows = chosen_rows(experiment, profile, only)
    for row in rows:
        place = Place(experiment, profile, results.key(row))
        needed = [] if recorded(place) else list(_of_row(row, place))
        record = _job(record_artefact(place), place, Where(), row, needed=_last(row, needed))
        records.append(record)
        for job in (*needed, record):
            found.setdefault(job.name, job)
    names = tuple(job.name for job in records)
    drawn = [table_artefact(experiment, profile, rows)]
    if experiments.experiment(experiment).run == comparison.run:
        drawn.append(figure_artefact(experiment, profile, rows))
    for artefact in drawn:
        chosen = ("--only", *only) if only else ()
        words = ("step", artefact.stage, experiment, "--profile", profile, *chosen)
        about = f"{artefact.stage} of {experiment}"
        job = Job(stage=artefact.stage, key=artefact.key, words=words, inputs=names, about=about)
        found[job.name] = job
    return [_downloading(job) if download else job for job in found.values()]


def _downloading(job: Job) -> Job:
    return replace(job, words=(*job.words, "--download")) if job.stage == "data" else job


def fronts(row: Any) -> tuple[Front, ...]:
    """Return whose f_a is frozen at each cut of a row, as its experiment runs it."""
    if isinstance(row, comparison.Row):
        return ("robust", *row.controls)
    return ("robust",) if isinstance(row, revision.Attacked) else ()


def _last(row: Any, needed: list[Job]) -> list[Job]:
    """Return the jobs on which the record of a row waits."""
    stages = ("evaluation", "tuned") if fronts(row) else ("robust",)
    return [job for job in needed if job.stage in stages]


def _of_row(row: Any, place: Place) -> Iterator[Job]:
    """Yield the jobs of a row's networks, inputs first."""
    study: Study | None = getattr(row, "study", None)
    if study is None:
        return
    data = _job(data_artefact(study), place, Where(), row)
    standard = _job(standard_artefact(study), place, Where(), row, needed=[data])
    examples = _job(examples_artefact(study), place, Where(), row, needed=[standard])
    static = study.protocol == "static"
    source = examples if static else data
    robust = _job(robust_artefact(study), place, Where(), row, needed=[source])
    yield data
    if static or fronts(row):
        yield from (standard, examples)
    yield robust
    if not fronts(row):
        return
    ready = [examples, robust]
    if not static:
        ready.append(_job(attacked_artefact(study), place, Where(), row, needed=ready))
        yield ready[-1]
    yield from _networks(row, place, study, ready)


def _networks(row: Any, place: Place, study: Study, ready: list[Job]) -> Iterator[Job]:
    """Yield the trials at each cut and front, and the evaluation of every network."""
    is_row = isinstance(row, comparison.Row)
    for name in ("standard", "robust") if is_row else ():
        yield _evaluation(row, place, Where(name), ready)
    for n_b in study.n_b:
        if is_row:
            yield _evaluation(row, place, Where("spliced", n_b), ready)
        for front in fronts(row):
            measure = comparison.measured_by(study, front)
            tried = []
            for number in range(study.trials):
                artefact = tuned_artefact(study, n_b, front, measure, number)
                where = Where(None, n_b, front, number)
                tried.append(_job(artefact, place, where, row, needed=ready))
            yield from tried
            if is_row:
                yield _evaluation(row, place, Where("tuned", n_b, front), [*ready, *tried])


def _evaluation(row: comparison.Row, place: Place, where: Where, needed: list[Job]) -> Job:
    artefact = evaluation_artefact(row, str(where.network), where.columns)
    return _job(artefact, place, where, row, needed=needed)


def _job(
    artefact: Artefact, place: Place, where: Where, row: Any, *, needed: list[Job] | None = None
) -> Job:
    return Job(
        stage=artefact.stage,
        key=artefact.key,
        words=("step", artefact.stage, *place.words, *where.words),
        inputs=tuple(job.name for job in needed or ()),
        about=f"{row.title} {where.told}".strip(),
    )
