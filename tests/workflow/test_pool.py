"""Processes that live on and share the jobs: their order, what fails, and what is never lost."""

import json
import os
import signal
import subprocess
import sys
from functools import partial

import pytest
import toy

from semirobust import cli
from semirobust.workflow import pool
from semirobust.workflow.engine import Job

GRID = {
    "digits": [],
    "f": ["digits"],
    "f*": ["digits"],
    "t1": ["f", "f*"],
    "t2": ["f", "f*"],
}


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("SEMIROBUST_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("TOY", str(tmp_path / "graph.json"))
    choose()
    return tmp_path


def choose(**changes):
    nodes = {
        name: {"stage": "toy", "upstream": upstream, "seconds": 0.01, **changes.get(name, {})}
        for name, upstream in GRID.items()
    }
    toy.graph_file().write_text(json.dumps(nodes))


def jobs():
    made = {name: toy.artefact(name) for name in GRID}
    return [
        Job(
            stage="toy",
            key=made[name].key,
            words=(name,),
            inputs=tuple(f"toy/{made[one].key}" for one in upstream),
            about=name,
        )
        for name, upstream in GRID.items()
    ]


def environment_of_a_worker(words):
    raise ValueError(os.environ["TQDM_DISABLE"])


def test_workers_show_no_bars():
    (ended, *_) = pool.run(jobs(), environment_of_a_worker, processes=2)
    assert ended.reason == "ValueError: 1"


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


def make(words):
    toy.made(words[0])


def make_or_die(words):
    if words[0] == "f" and not (toy.ledger().parent / "died").exists():
        (toy.ledger().parent / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    toy.made(words[0])


def make_one_at_a_time(words, *, folder):
    """Fail as a full GPU does where another process is at work."""
    try:
        (folder / "busy").mkdir()
    except FileExistsError:
        raise OutOfMemoryError("CUDA out of memory") from None
    try:
        toy.made(words[0])
    finally:
        (folder / "busy").rmdir()


def ran(made=make, processes=2, **options):
    return {one.job.about: one for one in pool.run(jobs(), made, processes=processes, **options)}


def test_what_has_its_inputs_is_made_and_once():
    ended = ran()
    assert {name: one.reason for name, one in ended.items()} == dict.fromkeys(GRID, "")
    steps = [(name, step) for name, step, *_ in toy.steps()]
    assert len(steps) == len(set(steps)) == 2 * len(GRID)
    assert ran() == {}


def test_first_come_first_made_where_there_is_one_process():
    assert list(ran(processes=1)) == list(GRID)


def test_a_job_that_fails_stops_only_what_waits_for_it(capfd):
    choose(f={"broken": True})
    ended = ran()
    assert "its learning rate is too large" in ended["f"].reason
    assert ended["t1"].reason == f"waits for {jobs()[1].name}"
    assert ended["f*"].reason == ""
    assert "Traceback" in capfd.readouterr().err
    choose()
    assert list(ran()) == ["f", "t1", "t2"]


def test_a_process_that_dies_fails_its_job_alone_and_is_replaced():
    ended = ran(make_or_die, processes=1)
    assert ended["f"].reason == "its process ended with status -9"
    assert ended["f*"].reason == ""
    assert list(ran(make_or_die)) == ["f", "t1", "t2"]


def test_jobs_that_do_not_fit_beside_others_are_made_with_fewer_processes(store, capfd):
    choose(**{name: {"seconds": 0.2} for name in GRID})
    ended = ran(partial(make_one_at_a_time, folder=store), processes=2)
    assert {one.reason for one in ended.values()} == {""}
    assert "CUDA out of memory" in capfd.readouterr().err
    assert len(ended) == len(GRID)


def test_devices_are_given_in_turn(monkeypatch):
    choose(**{name: {"seconds": 0.2} for name in GRID})
    ran(processes=2, devices=("3", "5"))
    assert {words[2] for words in toy.steps()} == {"3", "5"}


def test_no_process_at_all_is_refused():
    with pytest.raises(ValueError, match="need one process or more, got 0"):
        list(pool.run(jobs(), make, processes=0))


START = """
import sys
from test_pool import jobs, make
from semirobust.workflow import pool
list(pool.run(jobs(), make, processes=2))
"""


def test_after_a_killed_run_no_step_is_taken_twice():
    choose(**{name: {"seconds": 0.3, "steps": 4} for name in ("f", "f*")})
    process = subprocess.Popen([sys.executable, "-c", START], env=_with_paths())
    while not toy.steps("f"):
        assert process.poll() is None
    process.kill()
    process.wait()
    ended = ran()
    assert {one.reason for one in ended.values()} == {""}
    steps = [(name, step) for name, step, *_ in toy.steps()]
    assert len(set(steps)) == len(steps) == 2 * 4 + 3 * 2


def _with_paths():
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def test_what_a_pool_cannot_do_is_said(capsys):
    assert cli.main(["run", "table-1", "--jobs", "2", "--replace"]) == 1
    assert "--replace runs in one process" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_record_what_one_records(store, monkeypatch, capsys):
    words = ("run", "table-1", "--only", "alexnet", "online")
    assert cli.main([*words, "--jobs", "2"]) == 0
    assert "0 of 13 jobs are done" in capsys.readouterr().out
    sharing = json.loads((store / "artifacts" / "sharing.json").read_text())
    assert sharing["processes"] == 2
    assert 0 < sharing["work_seconds"] <= 2 * sharing["wall_seconds"]
    (shared,) = (store / "results" / "table-1").iterdir()
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(store / "other"))
    monkeypatch.setenv("SEMIROBUST_RESULTS", str(store / "elsewhere"))
    assert cli.main(words) == 0
    alone = store / "elsewhere" / "table-1" / shared.name
    records = [json.loads(path.read_text()) for path in (shared, alone)]
    assert records[0]["metrics"] == records[1]["metrics"]
    stages = [record["provenance"]["stages"] for record in records]
    assert {name: one["jobs"] for name, one in stages[0].items()} == {
        name: one["jobs"] for name, one in stages[1].items()
    }
