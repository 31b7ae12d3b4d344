"""Jobs, where they stand, what they will cost, and Snakemake as what starts them.

A job is one artefact: a command that makes it, and the artefacts that must be there before. Which
jobs there are is for ``jobs`` to say; here is no torch.
"""

import json
import os
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from semirobust.results import artefacts
from semirobust.results.artefacts import inputs_first
from semirobust.results.records import artifacts_root, write_atomically

WORKFLOW = Path(__file__).resolve().parent
MACHINES = ("smoke", "laptop", "gpu1", "node", "slurm")
LOCAL = ("data", "table", "figure", "notebook", "book")  # short: they run where the launcher runs
INSTALL = "pip install 'semirobust[repro]' (and [slurm] for a cluster)"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One artefact to be made."""

    stage: str
    key: str  # no two jobs of a plan share one
    words: tuple[str, ...]  # after ``semirobust`` on the command line that makes it
    inputs: tuple[str, ...] = ()  # the jobs that must be done before, as ``stage/key``
    about: str = ""  # what it is, for people

    @property
    def name(self) -> str:
        return f"{self.stage}/{self.key}"

    @property
    def manifest(self) -> Path:
        """Return the file that says that the job is done."""
        return artifacts_root() / self.stage / self.key / "manifest.json"


class Standing(NamedTuple):
    """Where a job stands: ``artefacts.state``, with the CPU seconds that it took where known."""

    job: Job
    state: str
    reason: str
    cpu_seconds: float | None


def standings(jobs: Iterable[Job]) -> list[Standing]:
    """Return where every job stands."""
    found = []
    for job in jobs:
        state, reason = artefacts.state(job.manifest)
        manifest = artefacts.read(job.manifest) if state == "done" else None
        cost = float(manifest["cost"]["cpu_seconds"]) if manifest else None
        found.append(Standing(job, state, reason, cost))
    return found


def check(found: Iterable[Standing]) -> None:
    """Refuse damaged artefacts, which are neither done nor made again before they are deleted."""
    damaged = [one.reason for one in found if one.state == "damaged"]
    if damaged:
        more = f" (and {len(damaged) - 1} more: semirobust status)" if damaged[1:] else ""
        raise ValueError(damaged[0] + more)


def estimate(found: Sequence[Standing]) -> tuple[float, int]:
    """Return the CPU seconds that are still to come, and how many jobs they do not count.

    A job that is not done is taken to cost what jobs of its stage have cost on average.
    """
    known = defaultdict(list)
    for one in found:
        if one.cpu_seconds is not None:
            known[one.job.stage].append(one.cpu_seconds)
    due = [one.job.stage for one in found if one.state != "done"]
    seconds = sum(sum(known[stage]) / len(known[stage]) for stage in due if stage in known)
    return seconds, sum(stage not in known for stage in due)


def ordered(jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs, each once, inputs first."""
    by_name = {job.name: job for job in jobs}
    for job in by_name.values():
        for name in job.inputs:
            if name not in by_name:
                raise ValueError(f"{job.name} needs {name}, which no job makes")
    return inputs_first(by_name.values(), lambda job: [by_name[name] for name in job.inputs])


def plan(jobs: Sequence[Job], targets: Iterable[Job], *, gpus: int) -> dict[str, Any]:
    """Return what the Snakefile reads."""
    files = {job.name: f"{job.name}/manifest.json" for job in jobs}
    return {
        "stages": list(dict.fromkeys(job.stage for job in jobs)),
        "local": [stage for stage in LOCAL if any(job.stage == stage for job in jobs)],
        "targets": [files[job.name] for job in targets],
        "jobs": [
            {
                "key": job.key,
                "inputs": [files[name] for name in job.inputs],
                "command": shlex.join([sys.executable, "-m", "semirobust", *job.words]),
                "gpu": min(gpus, 1) if job.stage not in LOCAL else 0,
            }
            for job in jobs
        ],
    }


def devices() -> list[str]:
    """Return the GPUs that this machine, or this allocation, offers, as CUDA is told them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [device for device in chosen.split(",") if device]
    return [str(n) for n in range(len(list(Path("/dev").glob("nvidia[0-9]*"))))]


def launch(
    document: dict[str, Any], *, on: str, gpus: int, dry_run: bool = False, more: Sequence[str] = ()
) -> int:
    """Run a plan by Snakemake on one of ``MACHINES``, and return its exit status.

    Snakemake counts the GPUs that are used at a time, and each job takes a free one; ``more`` are
    further words for Snakemake.
    """
    if find_spec("snakemake") is None:
        raise RuntimeError(f"Snakemake is not installed: {INSTALL}, or run what plan prints")
    root = artifacts_root()
    root.mkdir(parents=True, exist_ok=True)
    content = json.dumps(document, indent=1).encode()
    file = root / "plans" / f"{sha256(content).hexdigest()[:12]}.json"
    write_atomically(file, content)
    words = ["--snakefile", str(WORKFLOW / "Snakefile"), "--directory", str(root), "--nolock"]
    words += ["--profile", str(WORKFLOW / "profiles" / "common")]
    words += ["--workflow-profile", str(WORKFLOW / "profiles" / on)]
    words += ["--config", f"plan={file}", "--resources", f"gpu={gpus}"]
    words += [*(["--dry-run"] if dry_run else []), *more]
    environment = dict(os.environ)
    if on != "slurm":  # there every job is given its GPU by Slurm
        environment["SEMIROBUST_GPUS"] = str(gpus)
    lock = root / (".dry-run.lock" if dry_run else ".repro.lock")
    command = [sys.executable, "-m", "semirobust.workflow", str(lock), *words]
    return subprocess.run(command, env=environment, check=False).returncode
