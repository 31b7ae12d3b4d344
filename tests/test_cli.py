"""The command line: what it prints, and what it refuses in one line."""

import json

import pytest
import torch

from semirobust import cli
from semirobust.experiments import registry as experiments
from semirobust.models import Architecture
from semirobust.training.files import save_network


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("SEMIROBUST_RESULTS", str(tmp_path / "results"))
    monkeypatch.delenv("SEMIROBUST_DATA", raising=False)
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
            "cifar10 is not under nowhere",
        ),
        (["book", "-p", "seed"], "NAME=VALUE"),
        (["evaluate", "missing.safetensors"], "no network at missing.safetensors"),
    ],
)
def test_what_cannot_be_done_is_one_line(words, message, capfd):
    status, _, err = told(capfd, *words)
    assert status == 1
    assert message in err
    assert err.count("\n") == 1


def test_a_recorded_row_is_not_run_again(capsys, monkeypatch):
    rows = experiments.rows("table-1", "smoke")
    row = next(row for row in rows if "vgg16 digits static" in row.title)
    path = cli.results.path_of("table-1", cli.results.key(row))
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    monkeypatch.setattr(experiments, "run_and_record", lambda *_, **__: 1 / 0)
    status, out, _ = told(capsys, "run", "table-1", "--only", "vgg16", "static")
    assert (status, "recorded" in out) == (0, True)


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
