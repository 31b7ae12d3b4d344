"""Notebooks and the book as the last jobs of the grid."""

from hashlib import sha256
from pathlib import Path

from semirobust.companion import book, execution, notebooks
from semirobust.companion.notebooks import DEFAULT, Notebook
from semirobust.results.artefacts import Artefact, held, publish
from semirobust.results.records import ROOT
from semirobust.workflow.engine import Job


def jobs(profile: str, records: dict[str, list[str]]) -> list[Job]:
    """Return one job a notebook, and one for the book.

    Args:
        profile: Of the grid.
        records: The jobs that record the rows of each experiment of the plan.
    """
    found = []
    for notebook in notebooks.notebooks():
        artefact = notebook_artefact(notebook.name, profile)
        _keep_true(notebook, profile)
        needed = tuple(name for one in notebook.experiments for name in records.get(one, []))
        words = ("step", "notebook", notebook.name, "--profile", profile)
        found.append(_job(artefact, words, notebook.name, needed))
    artefact = Artefact(stage="book", about=(profile,), code=())
    (artefact.folder / "manifest.json").unlink(missing_ok=True)  # build() knows what changed
    words = ("step", "book", "html", "--profile", profile)
    return [*found, _job(artefact, words, "the book", tuple(job.name for job in found))]


def _job(artefact: Artefact, words: tuple[str, ...], about: str, needed: tuple[str, ...]) -> Job:
    return Job(stage=artefact.stage, key=artefact.key, words=words, inputs=needed, about=about)


def notebook_artefact(name: str, profile: str) -> Artefact:
    """Return what says that a notebook has run."""
    return Artefact(stage="notebook", about=(name, profile), code=())


def _chosen(profile: str) -> str | None:
    """Return the profile of a notebook: the largest that has a result, unless all is small."""
    return DEFAULT if profile == DEFAULT else None


def _keep_true(notebook: Notebook, profile: str) -> None:
    """Let the manifest say whether the kept copy of a notebook is current."""
    artefact = notebook_artefact(notebook.name, profile)
    record = execution.current(notebook, _chosen(profile))
    if record is None:
        (artefact.folder / "manifest.json").unlink(missing_ok=True)
    else:
        _publish(artefact, record.digest)


def _publish(artefact: Artefact, digest: str) -> None:
    with held(artefact, {"digest": digest}) as work:
        if work.record is None:
            publish(work, {})


def run_notebook(name: str, profile: str, root: Path = ROOT) -> None:
    """Run a notebook of a checkout unless its copy is current, and say so."""
    found = {one.name: one for one in notebooks.notebooks(root)}
    if name not in found:
        raise ValueError(f"no notebook {name!r}; known: {', '.join(found)}")
    with held(notebook_artefact(name, profile), {"digest": "of a run that is due"}):
        list(execution.execute([found[name]], profile=_chosen(profile)))
    _keep_true(found[name], profile)


def build_book(profile: str) -> Path:
    """Build the book from what was run, and return its first page."""
    built = book.build(_chosen(profile), execute=False)
    digest = sha256(built.index.read_bytes()).hexdigest()
    _publish(Artefact(stage="book", about=(profile,), code=()), digest)
    return built.index
