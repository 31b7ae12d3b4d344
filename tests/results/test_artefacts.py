"""Artefacts: made once, by one process, and used only while they are valid."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import toy

from semirobust.results import artefacts, gpus
from semirobust.results.artefacts import Artefact, held, publish
from semirobust.results.records import write_atomically

ONE = {"one": {"stage": "trained", "upstream": [], "steps": 6, "seconds": 0.1}}
TWO = {**ONE, "two": {"stage": "tuned", "upstream": ["one"]}}


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TOY", str(tmp_path / "graph.json"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    chosen(ONE)
    return tmp_path


def chosen(graph):
    Path(os.environ["TOY"]).write_text(json.dumps(graph))


def started(name, **more):
    return subprocess.Popen(
        [sys.executable, toy.__file__, name],
        env=os.environ | more,
        stderr=subprocess.PIPE,
        text=True,
    )


def ran(name):
    return ended(started(name))


def ended(process):
    _, message = process.communicate(timeout=60)
    return process.returncode, message


def wait_for_step(step):
    end = time.monotonic() + 30
    while not any(int(words[1]) >= step for words in toy.steps()):
        assert time.monotonic() < end, "no step was taken"
        time.sleep(0.01)


def test_a_second_run_finds_what_there_is_and_makes_nothing(store):
    assert [ran("one")[0] for _ in range(2)] == [0, 0]
    assert [int(words[1]) for words in toy.steps()] == list(range(6))
    names = sorted(path.name for path in toy.artefact("one").folder.iterdir())
    assert names == [".lock", "manifest.json", "payload", "record.json"]


def test_of_processes_that_want_the_same_one_works_and_the_others_wait(store):
    for process in [started("one") for _ in range(3)]:
        assert ended(process)[0] == 0
    assert len(toy.steps()) == 6


def test_a_killed_run_goes_on_where_it_stopped(store):
    process = started("one")
    wait_for_step(2)
    manifest = toy.artefact("one").folder / "manifest.json"
    assert artefacts.state(manifest) == ("running", "")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert artefacts.state(manifest) == ("stopped", "")
    assert ran("one")[0] == 0
    counts = Counter(int(words[1]) for words in toy.steps())
    assert set(counts) == set(range(6))
    assert sum(counts.values()) <= 7  # the step whose checkpoint was not written yet


def test_in_a_folder_that_cannot_be_written_nobody_is_at_work(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    (tmp_path / ".lock").touch()
    monkeypatch.setattr(artefacts, "FileLock", refused)
    assert artefacts.state(tmp_path / "manifest.json") == ("missing", "")


def test_a_flipped_byte_upstream_stops_with_the_name_of_the_file(store):
    chosen(TWO)
    assert ran("one")[0] == 0
    path = toy.artefact("one").folder / "payload"
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)
    status, message = ran("two")
    assert status == 1
    assert str(path) in message
    assert message.count("\n") == 1
    assert not toy.steps("two")


@pytest.mark.parametrize("lost", [["manifest.json"], ["record.json"]])
@pytest.mark.parametrize("how", ["deleted", "truncated"])
def test_a_lost_or_truncated_record_is_published_again_without_work(store, lost, how):
    assert ran("one")[0] == 0
    folder = toy.artefact("one").folder
    whole = json.loads((folder / "manifest.json").read_bytes())
    for name in lost:
        if how == "deleted":
            (folder / name).unlink()
        else:
            (folder / name).write_bytes((folder / name).read_bytes()[:40])
    assert ran("one")[0] == 0
    assert len(toy.steps()) == 6
    assert json.loads((folder / "manifest.json").read_bytes()) == whole


def test_without_any_record_the_payload_is_not_trusted(store):
    assert ran("one")[0] == 0
    for name in ("manifest.json", "record.json"):
        (toy.artefact("one").folder / name).write_bytes(b"{")
    assert ran("one")[0] == 0
    assert len(toy.steps()) == 12


@pytest.mark.parametrize("how", ["a changed fact", "another artefact's", "a changed input"])
def test_a_record_that_is_not_what_was_published_is_named_and_not_used(store, how):
    chosen({**TWO, "other": TWO["one"] | {"stage": "trained"}})
    assert ran("one")[0] == 0
    folder = toy.artefact("one").folder
    text = (folder / "record.json").read_text()
    if how == "another artefact's":
        assert ran("other")[0] == 0
        changed = (toy.artefact("other").folder / "record.json").read_text()
    else:
        old, new = ('"facts": null', '"facts": 1')
        if how == "a changed input":
            old, new = '"inputs": {}', '"inputs": {"samples": "b"}'
        changed = text.replace(old, new)
        assert changed != text
    for name in ("record.json", "manifest.json"):
        (folder / name).write_text(changed)
        status, message = ran("two")
        assert status == 1
        assert f"{folder / 'record.json'} is not what was published" in message
        assert message.count("\n") == 1
    assert artefacts.state(folder / "manifest.json")[0] == "damaged"
    assert not toy.steps("two")


def test_a_result_tells_in_which_environments_its_artefacts_were_made(store):
    one, two = (Artefact(stage="trained", about=(name,), code=()) for name in ("one", "two"))
    with held(one, {}) as work:
        publish(work, {}, device="cpu", arithmetic="float32", threads=1)
    with artefacts.witnessed() as seen:
        with held(one, {}):
            pass
        with held(two, {}) as work:
            publish(work, {}, device="H100", arithmetic="tf32", threads=4)
        with held(two, {}):
            pass
    found = artefacts.environments(seen)
    assert [(one["device"], one["threads"], one["artefacts"]) for one in found] == [
        ("H100", 4, 2),
        ("cpu", 1, 1),
    ]
    assert {one["torch"] for one in found} == {seen[0]["versions"]["torch"]}


LEFT = """
import os, sys
from pathlib import Path
from semirobust.results import records
records.os.fsync = lambda _: os.kill(os.getpid(), 9)
records.write_atomically(Path(sys.argv[1]), b"new")
"""


def test_what_a_killed_writer_left_is_removed_by_the_next_and_the_old_file_stays(tmp_path):
    path = tmp_path / "file.json"
    write_atomically(path, b"old")
    subprocess.run([sys.executable, "-c", LEFT, str(path)], check=False)
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.glob(".file.json.*"))) == 1
    write_atomically(path, b"new")
    assert [(left.name, left.read_bytes()) for left in tmp_path.glob("*file*")] == [
        ("file.json", b"new")
    ]


def test_a_changed_setting_makes_exactly_the_dependants_anew(store):
    graph = {**TWO, "other": {"stage": "trained", "upstream": []}}
    chosen(graph)
    for name in graph:
        ran(name)
    before = len(toy.steps("one")), len(toy.steps("other"))
    graph["two"]["setting"] = 1
    chosen(graph)
    for name in graph:
        ran(name)
    assert (len(toy.steps("one")), len(toy.steps("other"))) == before
    assert len(toy.steps("two")) == 4


def test_what_was_made_from_other_inputs_is_made_again_and_its_checkpoint_forgotten(store):
    one = Artefact(stage="trained", about=("one",), code=())
    with held(one, {"samples": "a"}) as work:
        (work.folder / "checkpoint").write_text("half")
    with held(one, {"samples": "a"}) as work:
        assert (work.folder / "checkpoint").read_text() == "half"
    with held(one, {"samples": "b"}) as work:
        assert not (work.folder / "checkpoint").exists()
        publish(work, {"payload": b"of b"})
    with held(one, {"samples": "b"}) as work:
        assert work.payload("payload") == b"of b"
    with held(one, {"samples": "a"}) as work:
        assert work.record is None


def test_an_edit_of_the_code_or_of_a_default_is_another_artefact():
    def of(function, *about):
        return Artefact(stage="trained", about=about, code=(function,)).key

    assert of(artefacts.held) == of(artefacts.publish)  # what only stores does not count
    from semirobust.training import fitting as training
    from semirobust.training.methods import Plain

    assert of(training.fit) != of(training.accuracy)
    assert of(training.fit, Plain()) != of(training.fit)


def test_the_state_tells_the_reason_of_a_failure(store):
    manifest = toy.artefact("one").folder / "manifest.json"
    assert artefacts.state(manifest) == ("missing", "")
    chosen({"one": {**ONE["one"], "broken": True}})
    status, message = ran("one")
    assert status == 1
    state, reason = artefacts.state(manifest)
    assert state == "failed"
    assert reason == "ValueError: one cannot be made: its learning rate is too large"
    assert reason.split(": ", 1)[1] in message
    chosen(ONE)
    assert ran("one")[0] == 0
    assert artefacts.state(manifest) == ("done", "")


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_no_more_gpus_are_used_at_a_time_than_there_are_and_none_twice(store, limit):
    graph = {f"n{i}": {"stage": "t", "upstream": [], "steps": 1, "seconds": 0.3} for i in range(6)}
    chosen(graph)
    processes = [started(name, SEMIROBUST_GPUS=str(limit)) for name in graph]
    assert [ended(process)[0] for process in processes] == [0] * 6
    spans = [(words[2], float(words[3]), float(words[4])) for words in toy.steps()]
    assert {device for device, *_ in spans} <= set(map(str, range(limit)))
    for device, start, _ in spans:
        running = [other for other, begin, end in spans if begin <= start < end]
        assert len(running) <= limit
        assert running.count(device) == 1


def test_gpus_that_are_already_chosen_are_shared_out(store, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_GPUS", "2")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    with gpus.gpu_slot() as device:
        assert device == os.environ["CUDA_VISIBLE_DEVICES"] == "5"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5,7"


def test_without_a_limit_no_gpu_is_chosen(monkeypatch):
    monkeypatch.delenv("SEMIROBUST_GPUS", raising=False)
    with gpus.gpu_slot() as device:
        assert device is None
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
