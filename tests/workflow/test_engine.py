"""The grid under Snakemake: what is done stays done, whatever is killed, damaged or lost.

Most tests run a grid of toys (``toy.py``) through the real launcher, Snakefile and artefacts.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import toy
from filelock import FileLock, Timeout

from semirobust.results import artefacts
from semirobust.workflow import engine
from semirobust.workflow.engine import Job

pytest.importorskip("snakemake", reason="the extra `repro` is not installed")

GRID = {
    "digits": ("data", []),
    "f": ("standard", ["digits"]),
    "x_adv": ("examples", ["f"]),
    "f*1": ("robust", ["x_adv"]),
    "f*2": ("robust", ["x_adv"]),
    "t1": ("tuned", ["f*1"]),
    "t2": ("tuned", ["f*2"]),
    "t3": ("tuned", ["f*2"]),
    "table": ("table", ["t1", "t2", "t3"]),
}
STEPS = 2
LEFT = []  # launchers that a test has started


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TOY", str(tmp_path / "graph.json"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    choose()
    yield tmp_path
    while LEFT:
        process = LEFT.pop()
        if process.returncode is None:  # of a test that failed
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def choose(**changes):
    """Write the graph of toys, with changed settings of some nodes."""
    graph = {
        name: {"stage": stage, "upstream": upstream, "steps": STEPS, **changes.get(name, {})}
        for name, (stage, upstream) in GRID.items()
    }
    Path(os.environ["TOY"]).write_text(json.dumps(graph))


def jobs():
    made = {name: toy.artefact(name) for name in toy.graph()}
    return [
        Job(
            stage=artefact.stage,
            key=artefact.key,
            words=(name,),
            inputs=tuple(f"{made[u].stage}/{made[u].key}" for u in toy.graph()[name]["upstream"]),
            about=name,
        )
        for name, artefact in made.items()
    ]


def document(gpus=0):
    """Return a plan of which every command makes a toy."""
    plan = engine.plan(engine.ordered(jobs()), jobs()[-1:], gpus=gpus)
    for job in plan["jobs"]:
        job["command"] = job["command"].replace("-m semirobust", toy.__file__)
    return plan


LAUNCH = """
import json, sys
from semirobust.workflow import engine
document, on, gpus, more = json.loads(sys.stdin.read())
sys.exit(engine.launch(document, on=on, gpus=gpus, more=more))
"""


def asked(*more, on="smoke", gpus=0):
    """Return what ``LAUNCH`` reads."""
    return json.dumps([document(gpus), on, gpus, more])


def started(*more, on="smoke", gpus=0):
    """Start the launcher as a process that leads a group of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    process.stdin.write(asked(*more, on=on, gpus=gpus))
    process.stdin.close()
    process.stdin = None
    LEFT.append(process)
    return process


def ended(process):
    shown, _ = process.communicate(timeout=240)
    return process.returncode, shown


def ran(*more, **how):
    return ended(started(*more, **how))


def states():
    return Counter(one.state for one in engine.standings(jobs()))


def count():
    """Return how often each step of each toy was taken."""
    return Counter((name, step) for name, step, *_ in toy.steps())


def wait_for(name):
    end = time.monotonic() + 300
    while not toy.steps(name):
        assert time.monotonic() < end, f"{name} was never begun"
        time.sleep(0.02)


def only_once(but=0):
    """Return whether each step was taken, and at most ``but`` of them twice."""
    taken = count()
    return len(taken) == STEPS * len(GRID) and sum(taken.values()) <= STEPS * len(GRID) + but


def test_the_plan_of_the_paper_has_as_many_jobs_as_the_grid_has_artefacts(tmp_path, monkeypatch):
    """Counted once more, by hand: from the settings of the rows alone."""
    from semirobust.experiments import registry as experiments
    from semirobust.workflow import jobs as grid

    monkeypatch.setenv("SEMIROBUST_RESULTS", str(tmp_path / "results"))
    rows = experiments.rows("table-1", "paper")
    found = Counter(job.stage for job in grid.jobs("table-1", "paper"))
    studies = [row.study for row in rows]
    static = [study.protocol == "static" for study in studies]
    tuned = [len(row.study.n_b) * (1 + len(row.controls)) for row in rows]
    assert found["standard"] == len({repr((s.architecture, s.data, s.standard)) for s in studies})
    assert found["robust"] == len(rows)
    assert found["attacked"] == len(rows) - sum(static)
    assert found["tuned"] == sum(n * row.study.trials for row, n in zip(rows, tuned, strict=True))
    assert {row.study.trials for row in rows} == {10}
    assert found["evaluation"] == sum(
        2 + len(row.study.n_b) + n for row, n in zip(rows, tuned, strict=True)
    )
    assert found["record"] == len(rows)
    ordered = engine.ordered(grid.jobs("table-1", "paper"))
    assert len(ordered) == sum(found.values())
    place = {job.name: i for i, job in enumerate(ordered)}
    assert all(place[name] < place[job.name] for job in ordered for name in job.inputs)


def test_a_job_whose_input_nobody_makes_is_named():
    with pytest.raises(ValueError, match="tuned/b needs robust/a, which no job makes"):
        engine.ordered([Job(stage="tuned", key="b", words=(), inputs=("robust/a",))])


def test_the_cost_to_come_is_that_of_like_jobs():
    one = Job(stage="tuned", key="a", words=())
    done = engine.Standing(one, "done", "", 4.0)
    more = engine.Standing(one, "done", "", 6.0)
    due = engine.Standing(one, "missing", "", None)
    strange = engine.Standing(Job(stage="robust", key="b", words=()), "missing", "", None)
    assert engine.estimate([done, more, due, due, strange]) == (10.0, 1)


def test_without_snakemake_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(engine, "find_spec", lambda _: None)
    with pytest.raises(RuntimeError, match=r"semirobust\[repro\]"):
        engine.launch({}, on="smoke", gpus=0)


@pytest.mark.slow
def test_a_grid_runs_from_nothing_and_a_second_run_does_nothing(store):
    status, shown = ran()
    assert status == 0, shown
    assert only_once()
    assert states() == {"done": len(GRID)}
    before = {path: path.stat().st_mtime_ns for path in (store / "artifacts").glob("*/*/*.json")}
    status, shown = ran()
    assert (status, "Nothing to be done" in shown) == (0, True), shown
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.slow
def test_nothing_is_made_again_for_lost_metadata_shuffled_times_or_force(store):
    ran()
    shutil.rmtree(store / "artifacts" / ".snakemake")
    for path in (store / "artifacts").glob("*/*/manifest.json"):
        moment = time.time() - hash(path.parent.name) % 1000
        os.utime(path, (moment, moment))
    assert ran()[0] == 0
    assert only_once()
    assert ran("--forceall")[0] == 0
    assert only_once()


@pytest.mark.slow
def test_a_blank_in_the_snakefile_makes_nothing_again(store, monkeypatch):
    ran()
    shutil.copytree(engine.WORKFLOW, store / "workflow")
    monkeypatch.setattr(engine, "WORKFLOW", store / "workflow")
    with (store / "workflow" / "Snakefile").open("a") as file:
        file.write("\n\n")
    assert engine.launch(document(), on="smoke", gpus=0) == 0
    assert only_once()


@pytest.mark.slow
def test_a_changed_setting_makes_exactly_the_dependants_anew(store):
    ran()
    before = count()
    choose(**{"f*2": {"setting": 1}})
    assert ran()[0] == 0
    again = {name for name, _ in count() - before}
    assert again == {"f*2", "t2", "t3", "table"}


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["leader", "group"])
def test_after_a_kill_the_grid_goes_on_and_nothing_is_made_twice(store, whom):
    choose(**{name: {"seconds": 0.5} for name in GRID})
    process = started()
    wait_for("f*1")
    if whom == "group":
        os.killpg(process.pid, signal.SIGKILL)
    else:  # Snakemake itself: the jobs that it started live on
        snakemake = children(process.pid)
        process.kill()
        for pid in snakemake:
            os.kill(pid, signal.SIGKILL)
    process.communicate()
    status, shown = ran()
    assert status == 0, shown
    assert only_once(but=2 if whom == "group" else 0)


def children(pid):
    words = ["ps", "-o", "pid=", "--ppid", str(pid)]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return [int(word) for word in told.split()]


@pytest.mark.slow
def test_when_a_job_fails_the_others_finish_and_the_mended_one_runs_alone(store):
    choose(**{"f*1": {"broken": True}})
    status, shown = ran()
    assert status != 0
    assert "f*1 cannot be made: its learning rate is too large" in shown
    assert states() == {"done": 6, "failed": 1, "missing": 2}
    (failed,) = [one for one in engine.standings(jobs()) if one.state == "failed"]
    assert "its learning rate is too large" in failed.reason
    before = count()
    choose()
    assert ran()[0] == 0
    assert {name for name, _ in count() - before} == {"f*1", "t1", "table"}


@pytest.mark.slow
def test_a_flipped_byte_upstream_stops_its_dependants_with_the_name_of_the_file(store):
    choose(**{"f*2": {"broken": True}})
    ran()
    path = toy.artefact("f*1").folder / "payload"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    shutil.rmtree(toy.artefact("t1").folder)
    status, shown = ran()
    assert status != 0
    assert f"{path} is not what was published" in shown
    assert count()["t1", "0"] == 1  # of the first run


@pytest.mark.slow
def test_a_truncated_manifest_is_written_again_without_work(store):
    ran()
    manifest = toy.artefact("f").folder / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:30])
    assert ran()[0] == 0
    assert only_once()
    assert manifest.read_bytes() == whole


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1, 2, 4])
def test_gpus_are_counted_and_each_job_has_one_of_its_own(store, limit):
    choose(**{name: {"seconds": 0.3} for name in GRID})
    assert ran(on="node", gpus=limit)[0] == 0
    spans = [(w[2], float(w[3]), float(w[4])) for w in toy.steps() if w[0].startswith(("f*", "t"))]
    for device, start, _ in (span for span in spans if span[0] != "-"):
        running = [other for other, begin, end in spans if begin <= start < end]
        assert running.count(device) == 1
        assert len(running) <= limit
    assert {device for device, *_ in spans} - {"-"} <= set(map(str, range(limit)))


@pytest.mark.slow
def test_a_second_launcher_is_refused_in_one_line(store):
    lock = store / "artifacts" / ".repro.lock"
    first = started()
    wait_for("digits")
    with pytest.raises(Timeout), FileLock(lock, timeout=0):
        pass
    assert ended(first)[0] == 0
    with FileLock(lock):
        status, shown = ran()
    assert status == 1
    assert "another `semirobust repro` works in" in shown
    assert shown.count("\n") == 1


@pytest.mark.slow
def test_what_a_process_without_engine_makes_is_used(store):
    subprocess.run([sys.executable, toy.__file__, "t1"], check=True)
    assert ran()[0] == 0
    assert only_once()
    assert artefacts.state(toy.artefact("t1").folder / "manifest.json")[0] == "done"
