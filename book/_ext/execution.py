"""How notebooks run: papermill in one-thread processes, a record beside every executed copy.

A notebook runs again only when its run digest changed: the digest of ``notebooks``, the
versions of the main dependencies and the kind of device. The kernel is the running interpreter,
whatever kernels the machine knows, and starts in the root of the checkout.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from nbformat import NotebookNode

from book._ext import notebooks
from book._ext.executed import Execution, in_git, kept, recorded, whole
from book._ext.notebooks import Notebook, Parameters
from semirobust.results.code import hashed
from semirobust.results.profiles import DEFAULT
from semirobust.results.records import provenance, write_atomically

KERNEL = "semirobust"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class NotebookError(RuntimeError):
    """Notebooks stopped; the message holds their names, the cell and the traceback."""


def device() -> tuple[str, str]:
    """Return the kind and the name of the device that notebooks will find."""
    import torch

    if torch.cuda.is_available():
        return "cuda", torch.cuda.get_device_name()
    return "cpu", "CPU"


def run_digest(code: str, versions: Mapping[str, str | None], kind: str) -> str:
    """Return the digest that decides on running again: the code's, the versions, the device."""
    python = ".".join(map(str, sys.version_info[:2]))
    return hashed([code, dict(versions), python, kind])


@dataclass(frozen=True)
class Plan:
    """A notebook with the profile and the values it will run with, and the digest of its code."""

    notebook: Notebook
    profile: str
    values: dict[str, Any]
    code: str


def plans(
    chosen: Iterable[Notebook], profile: str | None = None, overrides: Parameters | None = None
) -> list[Plan]:
    """Return what to run; a parameter that no notebook has is refused in one line."""
    chosen, overrides = list(chosen), dict(overrides or {})
    known = sorted({name for notebook in chosen for name in notebook.parameters})
    unknown = sorted(set(overrides) - set(known))
    if unknown:
        raise ValueError(f"unknown parameter {', '.join(unknown)}; known: {', '.join(known)}")
    return [_plan(notebook, profile, overrides) for notebook in chosen]


def _plan(notebook: Notebook, profile: str | None, overrides: Parameters) -> Plan:
    own = {name: overrides[name] for name in notebook.parameters if name in overrides}
    chosen = profile or notebook.largest_profile()
    values = notebooks.settle(notebook, chosen, own)
    return Plan(notebook, chosen, values, notebooks.digest(notebook, values))


def execute(
    chosen: Iterable[Notebook],
    *,
    profile: str | None = None,
    overrides: Parameters | None = None,
    jobs: int = 1,
    replace: bool = False,
) -> Iterator[Execution]:
    """Run what changed, ``jobs`` notebooks at a time; yield the record of each that ran.

    Args:
        chosen: The notebooks.
        profile: One profile for all; by default each runs in the largest that has a result.
        overrides: Values for parameters, given to the notebooks that have them.
        jobs: How many run side by side, each on one thread.
        replace: Run also what has not changed.

    Raises:
        NotebookError: At the end, when notebooks failed; their former copies stay.
    """
    kind, name = device()
    origin = provenance(device=name, threads=1)
    digests = {
        plan.notebook.name: (plan, run_digest(plan.code, origin["versions"], kind))
        for plan in plans(chosen, profile, overrides)
    }
    due = {
        notebook: (plan, digest)
        for notebook, (plan, digest) in digests.items()
        if replace or not _is_current(plan, digest)
    }
    failures: list[str] = []
    for notebook, outcome in _run_all([plan for plan, _ in due.values()], jobs):
        if isinstance(outcome, Outcome):
            yield keep(*due[notebook], outcome, origin)
        else:
            failures.append(f"{notebook}: {outcome}")
    if failures:
        raise NotebookError("\n\n".join(failures) + f"\n\n{len(failures)} failed; old copies kept")


def _is_current(plan: Plan, digest: str) -> bool:
    record = recorded(plan.notebook, plan.profile)
    return record is not None and record.digest == digest


def current(notebook: Notebook, profile: str | None = None) -> Execution | None:
    """Return the record of a notebook's kept copy where that would not have to run again."""
    plan = _plan(notebook, profile, {})
    digest = run_digest(plan.code, provenance()["versions"], device()[0])
    return recorded(notebook, plan.profile) if _is_current(plan, digest) else None


@dataclass(frozen=True)
class Outcome:
    """What a process hands back: the executed notebook and how long it took."""

    content: NotebookNode
    seconds: float


def _run_all(todo: list[Plan], jobs: int) -> Iterator[tuple[str, Outcome | str]]:
    if not todo:
        return
    with (
        TemporaryDirectory() as folder,
        ProcessPoolExecutor(
            max_workers=jobs,
            mp_context=get_context("spawn"),
            initializer=_prepare,
            initargs=(folder,),
        ) as pool,
    ):
        running = {pool.submit(run, plan): plan for plan in todo}
        for future in as_completed(running):
            yield running[future].notebook.name, future.result()


def _prepare(folder: str) -> None:
    """Give this process a kernel that is the running interpreter, and one thread."""
    kernel = Path(folder, "kernels", KERNEL, "kernel.json")
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    specification = {
        "argv": command,
        "display_name": KERNEL,
        "language": "python",
        "metadata": {"supported_encryption": ["curve"]},
    }
    write_atomically(kernel, json.dumps(specification).encode())
    paths = [folder, *filter(None, [os.environ.get("JUPYTER_PATH")])]
    os.environ |= {"JUPYTER_PATH": os.pathsep.join(paths), "IPYTHONDIR": f"{folder}/ipython"}
    os.environ |= {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "PYTHONHASHSEED": "0"}
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def run(plan: Plan) -> Outcome | str:
    """Return the outcome of one notebook, run by papermill, or in words why there is none."""
    from papermill import PapermillExecutionError, execute_notebook
    from traitlets.config import Config

    defaults, start = plan.notebook.parameters, perf_counter()
    changed = {name: value for name, value in plan.values.items() if value != defaults[name]}
    try:
        content = execute_notebook(
            str(plan.notebook.path),
            None,
            changed,
            kernel_name=KERNEL,
            language="python",
            progress_bar=False,
            config=Config({"KernelManager": {"transport_encryption": "auto"}}),
            cwd=str(plan.notebook.root),
        )
    except PapermillExecutionError as error:
        trace = COLOUR.sub("", "\n".join(error.traceback))
        return f"cell [{error.exec_count}] stopped, {error.ename}: {error.evalue}\n{trace}"
    except RuntimeError as death:  # nbclient's, when a kernel does not start or is killed
        return f"its kernel died: {death}"
    return Outcome(notebooks.normalise(content), perf_counter() - start)


def keep(plan: Plan, digest: str, outcome: Outcome, origin: dict[str, Any]) -> Execution:
    """Store the executed copy, then its record, which names the copy it belongs to."""
    record = Execution(
        notebook=plan.notebook.name,
        profile=plan.profile,
        parameters=plan.values,
        code=plan.code,
        digest=digest,
        seconds=round(outcome.seconds, 1),
        date=datetime.now(UTC).date().isoformat(),
        provenance=origin,
    )
    copy, path = kept(plan.notebook, plan.profile)
    notebooks.write(outcome.content, copy)
    document = asdict(record) | {"copy": hashlib.sha256(copy.read_bytes()).hexdigest()}
    write_atomically(path, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())
    return record


def save_outputs(chosen: Iterable[Notebook]) -> list[Path]:
    """Write the outputs of the default profile into ``notebooks/``; return the files that changed.

    The notebook's metadata names the digest and the versions that made the outputs, so that a book
    built from them alone can say where they come from and whether they are still true.
    """
    changed = []
    for notebook in chosen:
        record = recorded(notebook, DEFAULT)
        if record is None or record.code != _plan(notebook, DEFAULT, {}).code:
            raise ValueError(
                f"{notebook.name} has no current {DEFAULT} run: run it in that profile first"
            )
        executed = notebooks.read(kept(notebook, DEFAULT)[0])
        merged = notebooks.merge(notebooks.read(notebook.path), executed)
        origin = {"code": record.code, "versions": record.provenance["versions"]}
        own = merged.metadata.get("semirobust", {})
        merged.metadata["semirobust"] = {**own, "record": origin}
        if notebooks.write(merged, notebook.path):
            changed.append(notebook.path)
        changed += _save_larger(notebook)
    return changed


def _save_larger(notebook: Notebook) -> list[Path]:
    """Put the copy of the largest recorded profile where git keeps it; return what changed."""
    profile = notebook.largest_profile()
    files = kept(notebook, profile)
    if profile == DEFAULT or not whole(*files):
        return []
    changed = []
    for path, target in zip(files, in_git(notebook, profile), strict=True):
        if not target.exists() or target.read_bytes() != path.read_bytes():
            write_atomically(target, path.read_bytes())
            changed.append(target)
    return changed
