"""Installed anywhere: outside a checkout commands work, write where they are called, and say so."""

import os
import shutil
import subprocess
import sys
import tomllib

import pytest

from semirobust.results.records import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with the package in ``site`` and an empty ``work`` to call commands in."""
    folder = tmp_path_factory.mktemp("installed")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "semirobust", folder / "site" / "semirobust", ignore=ignored)
    (folder / "work").mkdir()
    return folder


def call(place, *words):
    own = {k: v for k, v in os.environ.items() if not k.startswith("SEMIROBUST")}
    return subprocess.run(
        [sys.executable, "-B", "-m", "semirobust", *words],
        cwd=place / "work",
        env=own | {"PYTHONPATH": str(place / "site")},
        capture_output=True,
        text=True,
        check=False,
    )


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_kept_where_it_is_called_and_can_be_evaluated_and_drawn(place):
    before = files(place / "site")
    done = call(place, "run", "table-1", "--profile", "smoke", "--only", "alexnet", "online")
    assert done.returncode == 0, done.stderr
    (record,) = (place / "work" / "results" / "table-1").glob("*.json")
    assert str(record) in done.stdout
    (network,) = (place / "work" / "artifacts" / "networks").glob("*/robust.safetensors")
    report = call(place, "evaluate", str(network), "--images", "20", "--attack", "pgd")
    assert report.returncode == 0, report.stderr
    drawn = call(place, "figure", "table-1", "alexnet", "figure.svg", "--profile", "smoke")
    assert drawn.returncode == 0, drawn.stderr
    assert record.stem in (place / "work" / "figure.svg").read_text(encoding="utf-8")
    assert files(place / "site") == before


def test_commands_without_a_network_work(place):
    for words in (["doctor"], ["status", "audit", "--profile", "smoke"], ["--version"]):
        done = call(place, *words)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["book"], "use a checkout"),
        (["run", "--all"], "use a checkout"),
        (["figure", "figure-2", "vgg16", "figure.svg"], "semirobust run figure-2"),
    ],
)
def test_what_cannot_work_here_is_told_in_one_line(place, words, told):
    done = call(place, *words)
    assert done.returncode == 1
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_every_file_of_the_package_is_part_of_a_wheel():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["semirobust"]
    package = ROOT / "semirobust"
    shipped = {path for pattern in ["**/*.py", *patterns] for path in package.glob(pattern)}
    there = {path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert there == shipped
