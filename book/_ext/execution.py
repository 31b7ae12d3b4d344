"""How notebooks run: papermill in one-thread processes, a record beside every executed copy.

A notebook runs again only when its run digest changed: the digest of ``notebooks``, the
versions of the main dependencies and the kind of device. The kernel is the running interpreter,
whatever kernels the machine knows, and starts in the notebook's folder, as Jupyter's do.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, TypeAlias

from nbformat import NotebookNode

from book._ext import notebooks
from book._ext.executed import IN_GIT, Execution, kept, recorded, whole
from book._ext.notebooks import Notebook, Parameters
from semirobust.results.code import hashed
from semirobust.results.profiles import DEFAULT, PROFILES
from semirobust.results.records import provenance, write_atomically

KERNEL, COPIED = "semirobust", "copied"  # a kernel, and how it starts where there are many
Executed: TypeAlias = tuple[NotebookNode, float]  # and the seconds that it took
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class NotebookError(RuntimeError):
    """Notebooks stopped; the message holds their names, the cell and the traceback."""


def device() -> tuple[str, str]:
    import torch

    if torch.cuda.is_available():
        return "cuda", torch.cuda.get_device_name()
    return "cpu", "CPU"


def run_digest(code: str, versions: Mapping[str, str | None], kind: str) -> str:
    """Return the digest that decides on running again: the code's, the versions, the device."""
    python = ".".join(map(str, sys.version_info[:2]))
    return hashed([code, dict(versions), python, kind])


@cache
def _surroundings() -> tuple[dict[str, str | None], str]:
    return provenance()["versions"], device()[0]


@dataclass(frozen=True)
class Plan:
    """A notebook with the profile and the values it will run with, and the digest of its code."""

    notebook: Notebook
    profile: str
    values: dict[str, Any]
    code: str

    @property
    def digest(self) -> str:
        return run_digest(self.code, *_surroundings())

    def current(self) -> Execution | None:
        """Return the record of the run that is kept, unless it would have to be done again."""
        record = recorded(self.notebook, self.profile)
        return record if record and record.digest == self.digest else None


def plans(
    chosen: Iterable[Notebook], profile: str | None = None, overrides: Parameters | None = None
) -> list[Plan]:
    """Return what to run; a parameter that no notebook has is refused in one line."""
    chosen, overrides = list(chosen), dict(overrides or {})
    known = sorted({name for notebook in chosen for name in notebook.parameters})
    unknown = sorted(set(overrides) - set(known))
    if unknown:
        raise ValueError(f"unknown parameter {', '.join(unknown)}; known: {', '.join(known)}")
    return [plan(notebook, profile, overrides) for notebook in chosen]


def plan(
    notebook: Notebook, profile: str | None = None, overrides: Parameters | None = None
) -> Plan:
    """Return how a notebook runs: by default in the largest profile that has a result."""
    profile = profile or notebook.largest_profile()
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; known: {', '.join(PROFILES)}")
    values = notebook.values(profile, overrides)
    return Plan(notebook, profile, values, notebooks.digest(notebook, values))


def execute(
    chosen: Iterable[Notebook],
    *,
    profile: str | None = None,
    overrides: Parameters | None = None,
    jobs: int = 1,
) -> Iterator[Execution]:
    """Run what changed, ``jobs`` notebooks at a time; yield the record of each that ran.

    By default each runs in the largest profile that has a result. Overrides are given to the
    notebooks that have such a parameter.

    Raises:
        NotebookError: At the end, when notebooks failed; their former copies stay.
    """
    due = [plan for plan in plans(chosen, profile, overrides) if not plan.current()]
    origin = provenance(device=device()[1], threads=1)
    failures: list[str] = []
    for plan, outcome in _run_all(due, jobs):
        try:
            content, seconds = outcome.result()
        except NotebookError as error:
            failures.append(f"{plan.notebook.name}: {error}")
        else:
            yield keep(plan, content, seconds, origin)
    if failures:
        raise NotebookError("\n\n".join(failures) + f"\n\n{len(failures)} failed; old copies kept")


def _run_all(todo: list[Plan], jobs: int) -> Iterator[tuple[Plan, Future[Executed]]]:
    if not todo:
        return
    from ipykernel.kernelspec import write_kernel_spec

    about: dict[str, Any] = {"supported_encryption": ["curve"]}
    if copied := sys.platform == "linux" and len(todo) > jobs:
        about["kernel_provisioner"] = {"provisioner_name": COPIED}
    with TemporaryDirectory() as folder:
        write_kernel_spec(Path(folder, "kernels", KERNEL), {"metadata": about})
        start, given = get_context("spawn"), (folder, str(todo[0].notebook.root), copied)
        with ProcessPoolExecutor(jobs, start, initializer=_prepare, initargs=given) as pool:
            running = {pool.submit(run, plan): plan for plan in todo}
            for future in as_completed(running):
                yield running[future], future


def _prepare(folder: str, root: str, copied: bool) -> None:  # noqa: FBT001
    """Give this process the kernels of a folder, the package of a checkout, and one thread."""
    for name, first in (("JUPYTER_PATH", folder), ("PYTHONPATH", root)):
        os.environ[name] = os.pathsep.join([first, *filter(None, [os.environ.get(name)])])
    os.environ |= {"IPYTHONDIR": f"{folder}/ipython", "TQDM_DISABLE": "1"}
    os.environ |= {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    for name, usual in (("OMP_NUM_THREADS", "1"), ("PYTHONHASHSEED", "0")):
        os.environ.setdefault(name, usual)
    if copied:
        from book._ext import kernels

        kernels.offer(COPIED)


def _channels(folder: str) -> dict[str, str]:
    """Return how to reach a kernel: by files of its own; a port can be taken before it is used."""
    if os.name == "posix":
        return {"transport": "ipc", "ip": f"{folder}/kernel"}
    return {"transport_encryption": "auto"}


def run(plan: Plan) -> Executed:
    """Return one notebook as papermill ran it, and the seconds that it took."""
    from papermill import PapermillExecutionError, execute_notebook
    from traitlets.config import Config

    defaults, start = plan.notebook.parameters, perf_counter()
    changed = {name: value for name, value in plan.values.items() if value != defaults[name]}
    try:
        with TemporaryDirectory() as folder:
            content = execute_notebook(
                str(plan.notebook.path),
                None,
                changed,
                kernel_name=KERNEL,
                language="python",
                progress_bar=False,
                config=Config({"KernelManager": _channels(folder)}),
                cwd=str(plan.notebook.path.parent),
            )
    except PapermillExecutionError as error:
        trace = COLOUR.sub("", "\n".join(error.traceback))
        stopped = f"cell [{error.exec_count}] stopped, {error.ename}: {error.evalue}"
        raise NotebookError(f"{stopped}\n{trace}") from None
    except RuntimeError as death:  # nbclient's, when a kernel does not start or is killed
        raise NotebookError(f"its kernel died: {death}") from None
    return notebooks.normalise(content), perf_counter() - start


def keep(plan: Plan, content: NotebookNode, seconds: float, origin: dict[str, Any]) -> Execution:
    """Store the executed copy, then its record, which names the copy it belongs to."""
    record = Execution(
        notebook=plan.notebook.name,
        profile=plan.profile,
        parameters=plan.values,
        code=plan.code,
        digest=plan.digest,
        seconds=round(seconds, 1),
        date=datetime.now(UTC).date().isoformat(),
        provenance=origin,
    )
    copy, path = kept(plan.notebook, plan.profile)
    notebooks.write(content, copy)
    document = asdict(record) | {"copy": hashlib.sha256(copy.read_bytes()).hexdigest()}
    write_atomically(path, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())
    return record


def save_outputs(chosen: Iterable[Notebook]) -> list[Path]:
    """Put outputs where git keeps them; return the files that changed.

    Those of the default profile go into ``notebooks/``, the copy of the largest under ``results/``.
    The notebook's metadata names the digest and the versions that made the outputs, so that a book
    built from them alone can say where they come from and whether they are still true.
    """
    changed = []
    for notebook in chosen:
        record = recorded(notebook, DEFAULT)
        if record is None or record.code != plan(notebook, DEFAULT).code:
            run_it = f"has no current {DEFAULT} run: run it in that profile first"
            raise ValueError(f"{notebook.name} {run_it}")
        executed = notebooks.read(kept(notebook, DEFAULT)[0])
        merged = notebooks.merge(notebooks.read(notebook.path), executed)
        origin = {"code": record.code, "versions": record.provenance["versions"]}
        merged.metadata["semirobust"] = {**notebook.about, "record": origin}
        if notebooks.write(merged, notebook.path):
            changed.append(notebook.path)
        profile = notebook.largest_profile()
        files = kept(notebook, profile)
        if profile != DEFAULT and whole(*files):
            pairs = zip(files, kept(notebook, profile, IN_GIT), strict=True)
            changed += [
                target for path, target in pairs if notebooks.update(target, path.read_bytes())
            ]
    return changed
