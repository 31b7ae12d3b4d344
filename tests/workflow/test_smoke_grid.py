"""The smoke grid as jobs, on this machine and on Slurm, records what one run records."""

import json
import subprocess
import sys

import pytest
import test_engine
import test_slurm

ROWS = ["table-1", "--only", "alexnet", "static"]
SLURM = ["--gpus", "2", "--snakemake", *test_slurm.quick(20)]
pytestmark = pytest.mark.slow
store = test_engine.store


@pytest.mark.parametrize(
    ("on", "more"),
    [("smoke", []), pytest.param("slurm", SLURM, marks=test_slurm.pytestmark, id="slurm")],
)
def test_the_smoke_grid_records_what_one_run_records(store, monkeypatch, on, more):
    made = []
    for name, words in (("jobs", ["repro", *ROWS, "--on", on, *more]), ("run", ["run", *ROWS])):
        monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(store / name / "artifacts"))
        monkeypatch.setenv("SEMIROBUST_RESULTS", str(store / name / "results"))
        subprocess.run([sys.executable, "-m", "semirobust", *words], check=True)
        (path,) = (store / name / "results" / "table-1").glob("*.json")
        made.append((path.name, json.dumps(json.loads(path.read_bytes())["metrics"])))
    assert made[0] == made[1]
