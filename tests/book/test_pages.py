"""Notebooks as jobs: one that fails or is killed says so, leaves nothing half, and runs again."""

import os
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from book._ext import notebooks, run
from book._ext.execution import NotebookError
from semirobust.results import artefacts


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(tmp_path / "artefacts"))
    (tmp_path / "semirobust").mkdir()
    (tmp_path / "semirobust" / "__init__.py").write_text("")
    return tmp_path


def write(checkout, code):
    cell = nbformat.v4.new_code_cell(code)
    cell.id = "only"
    content = nbformat.v4.new_notebook(cells=[cell])
    notebooks.write(notebooks.normalise(content), checkout / "notebooks" / "11-one.ipynb")


def state():
    manifest = run._artefact("notebook", "11-one", "smoke").folder / "manifest.json"
    return artefacts.state(manifest)


def copies(checkout):
    return list((checkout / "artifacts").rglob("11-one*"))


@pytest.mark.slow
def test_a_failing_notebook_tells_its_error_and_runs_again_when_mended(checkout):
    write(checkout, "1 / 0")
    with pytest.raises(NotebookError, match="ZeroDivisionError"):
        run.run_notebook("11-one", "smoke", checkout)
    found, reason = state()
    assert found == "failed"
    assert "ZeroDivisionError" in reason
    assert not copies(checkout)
    write(checkout, "print(1)")
    run.run_notebook("11-one", "smoke", checkout)
    assert state() == ("done", "")
    assert len(copies(checkout)) == 2


@pytest.mark.slow
def test_a_killed_notebook_leaves_nothing_and_runs_again(checkout):
    write(
        checkout,
        f"import pathlib, time\npathlib.Path({str(checkout / 'here')!r}).touch()\ntime.sleep(600)",
    )
    code = "import sys, pathlib\nfrom book._ext import run\n"
    code += "run.run_notebook('11-one', 'smoke', pathlib.Path(sys.argv[1]))"
    process = subprocess.Popen([sys.executable, "-c", code, checkout], start_new_session=True)
    end = time.monotonic() + 300
    while not (checkout / "here").exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    assert state() == ("running", "")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert state() == ("stopped", "")
    assert not copies(checkout)
    write(checkout, "print(1)")
    run.run_notebook("11-one", "smoke", checkout)
    assert state() == ("done", "")
