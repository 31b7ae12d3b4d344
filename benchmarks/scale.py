"""What a job of the grid costs besides its work: process, artefact, engine.

Run ``OMP_NUM_THREADS=1 python benchmarks/scale.py``; under ``.ci/slurm`` Slurm is measured as well.
CPU seconds are those of all processes that a launch started; on Slurm, whose daemons start the
jobs, only wall seconds mean anything. Writes ``results/benchmarks/scale.json``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

from semirobust.experiments import registry as experiments
from semirobust.results import records as results
from semirobust.results.artefacts import Artefact, held, publish
from semirobust.results.records import provenance, results_root, write_atomically
from semirobust.workflow import engine
from semirobust.workflow.engine import Job

JOBS = {"laptop": 200, "slurm": 20}  # further jobs of a launch
QUICK = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1")
QUICK = (*QUICK, "--seconds-between-status-checks", "1", "--latency-wait", "5")


def spent() -> tuple[float, float]:
    """Return CPU seconds of finished children, and the time."""
    found = getrusage(RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime, perf_counter()


def cost(command: list[str]) -> dict[str, float]:
    """Return what a command takes."""
    cpu, wall = spent()
    subprocess.run(command, check=True, capture_output=True)
    return {"cpu_seconds": spent()[0] - cpu, "seconds": spent()[1] - wall}


def launched(folder: Path, jobs: int, on: str, *more: str) -> dict[str, float]:
    """Return what a launch of jobs that only touch a file takes."""
    os.environ["SEMIROBUST_ARTIFACTS"] = str(folder / f"{on}-{jobs}")
    made = [Job(stage="tuned", key=f"job{i}", words=()) for i in range(jobs)]
    document = engine.plan(made, made, gpus=0)
    for job, one in zip(made, document["jobs"], strict=True):
        one["command"] = f"touch {job.manifest}"
    cpu, wall = spent()
    if engine.launch(document, on=on, gpus=0, more=more):
        raise RuntimeError("the launch failed")
    return {"cpu_seconds": spent()[0] - cpu, "seconds": spent()[1] - wall}


def engine_cost(folder: Path, on: str, *more: str) -> dict[str, float]:
    """Return the cost of a launch, and of each further job in it."""
    one, many = launched(folder, 1, on, *more), launched(folder, JOBS[on] + 1, on, *more)
    each = {f"{name}_per_job": (many[name] - one[name]) / JOBS[on] for name in one}
    return {**{f"{name}_of_launch": value for name, value in one.items()}, **each}


def artefact_cost(folder: Path, megabytes: int) -> dict[str, float]:
    """Return milliseconds of publishing a payload, and of taking it up."""
    os.environ["SEMIROBUST_ARTIFACTS"] = str(folder / "one")
    content = os.urandom(megabytes * 1_000_000)
    one = Artefact(stage="standard", about=(megabytes,), code=())
    start = process_time()
    with held(one, {"samples": "a"}) as work:
        publish(work, {"payload": content})
    middle = process_time()
    with held(one, {"samples": "a"}) as work:
        work.payload("payload")
    times = {"publish_ms": middle - start, "take_up_ms": process_time() - middle}
    return {"megabytes": megabytes} | {name: 1000 * value for name, value in times.items()}


def main() -> None:
    """Measure, write and print."""
    path = results_root() / "benchmarks" / "scale.json"
    row = results.key(experiments.rows("table-1", "smoke")[0])
    step = [sys.executable, "-m", "semirobust", "step", "data", "table-1", "--row", row]
    with TemporaryDirectory() as name:
        folder = Path(name)
        document = {
            "artefact": [artefact_cost(folder, size) for size in (1, 100)],
            "snakemake": engine_cost(folder, "laptop"),
        }
        if os.environ.get("SEMIROBUST_SLURM") == "loopback":
            document["slurm"] = engine_cost(folder, "slurm", *QUICK)
        os.environ["SEMIROBUST_ARTIFACTS"] = str(folder / "step")
        document["step"] = cost(step)
        document["plan"] = cost([*step[:3], "plan", "table-1", "--profile", "paper"])
    document["provenance"] = provenance(threads=1)
    write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
