"""The command line: what it prints, and what it refuses in one line."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny import CASES

from semirobust import cli
from semirobust.experiments import registry as experiments
from semirobust.models import Architecture
from semirobust.training.files import save_network


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("SEMIROBUST_RESULTS", str(tmp_path / "results"))
    for name in ("SEMIROBUST_DATA", "SEMIROBUST_DOWNLOAD"):  # which a command may set
        monkeypatch.setenv(name, "")
    return tmp_path


def told(capsys, *words):
    status = cli.main(words)
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_without_a_command_the_help_is_shown(capsys):
    status, out, _ = told(capsys)
    assert status == 0
    for name in ("doctor", "run", "status", "evaluate", "book"):
        assert name in out


def test_the_doctor_says_what_is_there(capsys, tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    status, out, _ = told(capsys, "doctor", "--data-root", str(tmp_path))
    assert status == 0
    assert f"torch          {torch.__version__.split('+')[0]}" in out
    assert "cifar10        found" in out
    assert "cifar100       not there; --download" in out


def test_the_status_lists_rows_and_what_is_missing(capsys):
    status, out, _ = told(capsys, "status", "--profile", "smoke")
    assert status == 0
    assert "table-1, profile smoke: 0 of 10 rows recorded" in out
    assert "vgg16 digits static seed 0" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "table-9"], "unknown experiment 'table-9'; known: table-1"),
        (["run", "table-1", "--profile", "big"], "known: smoke, cpu"),
        (["run", "table-1", "--only", "lenet"], "no row of table-1 has all of: lenet"),
        (
            ["run", "table-1", "--profile", "cpu", "--data-root", "nowhere"],
            f"cifar10 is not under {Path('nowhere').resolve()}: give",
        ),
        (["book", "-p", "seed"], "NAME=VALUE"),
        (["book", "--no-execute", "-p", "seed=1"], "-p changes nothing"),
        (
            ["evaluate", "own.safetensors", "--epsilon", "0.03"],
            "in 255ths: 8 for a radius of 8/255",
        ),
        (["evaluate", "own.safetensors", "--epsilon", "inf"], "in 255ths: 8 for a radius"),
        (["evaluate", "own.safetensors", "--epsilon", "nan"], "in 255ths: 8 for a radius"),
        (["evaluate", "missing.safetensors"], "no network at missing.safetensors"),
        (["evaluate", "."], ". is a folder: name a network file"),
        (["evaluate", "own.safetensors", "--seed", "-1"], "takes 0 or a larger whole number"),
        (["run", "table-1", "--jobs", "0"], "takes 1 or a larger whole number, not 0"),
        (["step", "rest", "table-1", "--n-b", "3.5"], "takes 1 or a larger whole number, not 3.5"),
        (["step", "nosuch", "table-1"], "table-1 has no step 'nosuch'; known: data, standard"),
        (["step", "record", "table-1"], "step record table-1 needs --row KEY: `semirobust plan"),
        (["step", "figure", "audit"], "no figure draws audit"),
        (["figure", "nosuch", "vgg16", "a.svg"], "unknown experiment 'nosuch'; known: table-1"),
        (["figure", "carriers", "vgg16", "a.svg"], "no figure draws carriers"),
        (["figure", "table-1", "vgg16", "a.svg", "--profile", "nosuch"], "known: smoke, cpu"),
        (["figure", "table-1", "lenet", "a.svg"], "no row of table-1 has all of: lenet, cifar10"),
        (
            ["figure", "table-1", "vgg16", "a.svg", "--profile", "smoke"],
            "semirobust run table-1 --profile smoke --only vgg16 digits",
        ),
        (["figure", "table-1", "vgg16", "a.pdf"], "an .svg or a .png: name a.pdf so"),
        (["nosuch"], "invalid choice: 'nosuch'"),
    ],
)
def test_what_cannot_be_done_is_one_line(words, message, capfd):
    status, _, err = told(capfd, *words)
    assert status == 1
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("variable", ["SEMIROBUST_ARTIFACTS", "SEMIROBUST_RESULTS"])
def test_a_folder_that_cannot_be_written_to_is_named_in_one_line(
    variable, store, capsys, monkeypatch
):
    (store / "file").write_bytes(b"")
    monkeypatch.setenv(variable, str(store / "file" / "inside"))  # refused to root, too
    tiny_table(monkeypatch)
    status, _, err = told(capsys, "run", "table-1")
    assert (status, err.count("\n")) == (1, 1)
    assert f"{store}/file" in err


def tiny_table(monkeypatch):
    """Let Table 1 have one tiny row."""
    run, row = CASES["linear"]
    monkeypatch.setitem(
        experiments.EXPERIMENTS,
        "table-1",
        experiments.Experiment("", lambda _: (row(),), SimpleNamespace(run=run)),
    )


def test_without_git_everything_but_the_commit_is_there(store, capsys, monkeypatch):
    (store / "bin").mkdir()
    monkeypatch.setenv("PATH", str(store / "bin"))
    assert shutil.which("git") is None
    tiny_table(monkeypatch)
    for words in (["doctor"], ["status", "table-1", "--profile", "smoke"], ["run", "table-1"]):
        status, _, err = told(capsys, *words)
        assert (status, err) == (0, ""), words
    (record,) = cli.results.records("table-1")
    assert record.provenance["commit"] is None
    assert record.provenance["versions"]["torch"]


def test_a_file_of_another_program_is_not_to_be_deleted(tmp_path, capsys):
    path = tmp_path / "theirs.pt"
    torch.save({"weight": torch.zeros(2)}, path)
    status, _, err = told(capsys, "evaluate", str(path))
    assert (status, err.count("\n")) == (1, 1)
    assert "load_state_dict" in err
    assert "delete" not in err
    assert path.exists()


def test_a_recorded_row_is_not_run_again(capsys, monkeypatch):
    rows = experiments.rows("table-1", "smoke")
    row = next(row for row in rows if "vgg16 digits static" in row.title)
    path = cli.results.save("table-1", row, {"networks": []}, profile="smoke", origin={})
    monkeypatch.setattr(experiments, "run_and_record", lambda *_, **__: 1 / 0)
    words = ("run", "table-1", "--only", "vgg16", "static")
    status, out, _ = told(capsys, *words)
    assert (status, "recorded" in out) == (0, True)
    path.write_text(path.read_text().replace('"networks": []', '"networks": [1]'))
    for command in (words, ("plan", "table-1"), ("repro", "table-1", "--dry-run"), ("status",)):
        status, _, err = told(capsys, *command)
        assert (status, err.count("\n")) == (1, 1), command
        assert f"{path} was changed after it was stored: bring it back from git, or delete" in err


@pytest.mark.parametrize("how", ["full", "read-only", "a name too long"])
def test_what_the_system_refuses_is_one_line(how, monkeypatch, capfd):
    number, mend = {
        "full": (errno.ENOSPC, "; free some, and the same command goes on"),
        "read-only": (errno.EROFS, "; name another place, such as by SEMIROBUST_RESULTS"),
        "a name too long": (errno.ENAMETOOLONG, ""),
    }[how]

    def refused(*_, **__):
        raise OSError(number, os.strerror(number), "results")

    monkeypatch.setattr(experiments, "rows", refused)
    status, out, err = told(capfd, "run", "table-1")
    assert out == ""
    assert (status, err.count("\n")) == (1, 1)
    assert f"{os.strerror(number)}: 'results'{mend}" in err


def test_a_reader_that_has_gone_is_told_nothing():
    reading, writing = os.pipe()
    os.close(reading)
    words = [sys.executable, "-m", "semirobust"]
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_result_of_several_environments_says_so(tmp_path, capsys, monkeypatch):
    row = experiments.rows("table-1", "smoke")[0]
    monkeypatch.setattr(experiments, "rows", lambda *_: (row,))
    parts = [
        {"torch": "2.5", "device": device, "arithmetic": "float32"} for device in ("cpu", "H100")
    ]

    def run(*_, **__):
        origin = {"environments": parts}
        return cli.results.save("table-1", row, {}, profile="smoke", origin=origin)

    monkeypatch.setattr(experiments, "run_and_record", run)
    _, out, _ = told(capsys, "run", "table-1")
    assert "; its artefacts were made by 2.5 cpu float32 and 2.5 H100 float32" in out


def test_an_evaluation_is_written_with_the_check_against_a_surrogate(capsys, tmp_path):
    files = [tmp_path / f"{name}.safetensors" for name in ("own", "other")]
    for seed, file in enumerate(files):
        architecture = Architecture(name="alexnet", width=0.125)
        save_network(architecture.build(seed=seed), architecture, file)
    report = tmp_path / "report.json"
    asked = ["evaluate", str(files[0]), "--attack", "pgd", "--images", "20", "--probes", "10"]
    asked += ["--surrogate", str(files[1]), "--seed", "3", "--stand-in", "--json", str(report)]
    status, out, _ = told(capsys, *asked)
    assert status == 0
    assert "transfer" in out
    document = json.loads(report.read_text())
    assert (document["seed"], document["n"]) == (3, 20)
    assert "commit" in document["provenance"]
    status, _, err = told(capsys, *asked)
    assert status == 1
    assert "is there already" in err
    status, _, err = told(capsys, "evaluate", str(files[0]), "--images", "5")
    assert (status, "--images holds each class: 10 or more, not 5" in err) == (1, True)
