"""The grid on a Slurm cluster of one node with two GPUs, brought up by ``.ci/slurm``.

Run ``.ci/slurm .venv/bin/pytest tests/workflow/test_slurm.py``; elsewhere these tests are skipped.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
import test_engine as grid
import toy

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("SEMIROBUST_SLURM") != "loopback",
        reason="no Slurm on loopback: run .ci/slurm pytest tests/workflow/test_slurm.py",
    ),
]
pytest.importorskip("snakemake_executor_plugin_slurm", reason="the extra `slurm` is not installed")
store = grid.store

NAME = "semirobust" + os.environ.get("PYTEST_XDIST_WORKER", "")  # of the jobs of this process


def quick(seconds):
    """Return words with which Slurm is asked first when its jobs are done, in as many seconds.

    Asked too early, the executor waits ten seconds more, and ten more each time.
    """
    asked = ("--slurm-status-command", "squeue", "--latency-wait", "5")
    first = ("--slurm-init-seconds-before-status-checks", str(seconds))
    return (*asked, *first, "--slurm-jobname-prefix", NAME)


QUICK = quick(10)


def queue():
    """Return our jobs that Slurm still works on: identifiers, and what Snakemake says they are."""
    words = ["squeue", "-h", "-o", "%i %j %k"]
    told = subprocess.run(words, capture_output=True, text=True, check=True)
    lines = (line.split(maxsplit=2) for line in told.stdout.splitlines())
    return {job: about for job, name, about in lines if name.startswith(f"{NAME}_")}


def none_left():
    end = time.monotonic() + 60
    while queue():
        assert time.monotonic() < end, "jobs stay in the queue"
        time.sleep(0.5)


@pytest.fixture(autouse=True)
def _empty_queue():
    none_left()
    yield
    for job in queue():
        subprocess.run(["scancel", job], check=True)
    none_left()


def test_a_grid_on_slurm_uses_no_more_gpus_than_it_may_and_each_job_its_own():
    grid.choose(**{name: {"seconds": 0.5} for name in grid.GRID})
    status, shown = grid.ran(*QUICK, on="slurm", gpus=2)
    assert status == 0, shown
    assert grid.only_once()
    spans = [(w[2], float(w[3]), float(w[4])) for w in toy.steps() if w[2] != "-"]
    assert {device for device, *_ in spans} <= {"0", "1"}
    for device, start, _ in spans:
        running = [other for other, begin, end in spans if begin <= start < end]
        assert len(running) <= 2
        assert running.count(device) == 1
    assert Counter(w[2] == "-" for w in toy.steps())[True] == 2 * grid.STEPS  # data and table


def test_a_cancelled_job_is_told_and_a_second_start_makes_the_rest():
    grid.choose(**{"f*1": {"seconds": 30}})
    process = grid.started(*QUICK, on="slurm", gpus=2)
    grid.wait_for("x_adv")
    end = time.monotonic() + 300
    while not (toy.artefact("f*1").folder / "begun.json").exists():
        assert time.monotonic() < end
        time.sleep(0.2)
    (job,) = (job for job, about in queue().items() if toy.artefact("f*1").key in about)
    subprocess.run(["scancel", job], check=True)
    status, shown = grid.ended(process)
    assert status != 0, shown
    assert grid.states() == {"done": 6, "stopped": 1, "missing": 2}
    grid.choose()
    status, shown = grid.ran(*QUICK, on="slurm", gpus=2)
    assert status == 0, shown
    assert grid.only_once()


def test_after_the_death_of_the_launcher_running_jobs_are_not_made_twice():
    grid.choose(**{name: {"seconds": 2} for name in ("f*1", "f*2")})
    process = grid.started(*QUICK, on="slurm", gpus=2)
    grid.wait_for("f*1")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert queue()  # Slurm goes on
    status, shown = grid.ran(*QUICK, on="slurm", gpus=2)
    assert status == 0, shown
    assert grid.only_once()


def test_one_allocation_of_two_gpus_is_shared_out_among_the_jobs(store):
    grid.choose(**{name: {"seconds": 0.5} for name in grid.GRID})
    (store / "plan.json").write_text(grid.asked(on="node", gpus=2))
    inner = f"{sys.executable} {store / 'launch.py'} < {store / 'plan.json'}"
    (store / "launch.py").write_text(grid.LAUNCH)
    words = ["sbatch", "--wait", "--gpus=2", f"--job-name={NAME}_one", "--wrap", inner]
    words += ["-o", str(store / "out.txt")]
    done = subprocess.run(words, check=False)
    assert done.returncode == 0, (store / "out.txt").read_text()
    assert grid.only_once()
    assert {w[2] for w in toy.steps()} - {"-", "0,1"} <= {"0", "1"}
