"""Every stored row of the experiments: what a reader may take for granted of each number."""

import hashlib
import json
import subprocess
import tarfile
from functools import cache
from io import BytesIO
from pathlib import PurePosixPath

import pytest

from semirobust.experiments import registry as experiments
from semirobust.results import records as results

ROOT = results.ROOT / "results"
COMPARISONS = ("table-1", "figure-2", "sweep", "methods")


def files(*names):
    return sorted(path for name in names for path in ROOT.glob(f"{name}/*.json"))


def name_of(path):
    return f"{path.parent.name}-{path.stem}"


@cache
def digest_of_package(commit):
    """Return the digest that ``provenance`` calls ``files``, of the package as it was committed."""

    def git(*words):
        return subprocess.run(["git", "-C", results.ROOT, *words], check=True, capture_output=True)

    with tarfile.open(fileobj=BytesIO(git("archive", commit, "semirobust").stdout)) as package:
        modules = {
            PurePosixPath(entry.name).relative_to("semirobust"): package.extractfile(entry).read()
            for entry in package
            if entry.name.endswith(".py")
        }
    content = (str(path).encode() + b"\0" + modules[path] for path in sorted(modules))
    return hashlib.sha256(b"".join(content)).hexdigest()[:16]


def test_the_digest_of_a_committed_package_is_the_one_that_records_hold():
    here = results.provenance()
    if here["dirty"]:
        pytest.skip("the package differs from its commit")
    assert digest_of_package(here["commit"]) == here["files"]


@pytest.fixture(params=files(*experiments.EXPERIMENTS), ids=name_of)
def record(request):
    """Return one record of any experiment."""
    return json.loads(request.param.read_text(encoding="utf-8"))


@pytest.fixture(params=files(*COMPARISONS), ids=name_of)
def comparison(request):
    """Return one record of networks under the threat models of Table 1."""
    return json.loads(request.param.read_text(encoding="utf-8"))


def test_every_recorded_file_belongs_to_an_experiment():
    folders = {path.parent.name for path in ROOT.glob("*/*.json")} - {"benchmarks"}
    assert folders == set(experiments.EXPERIMENTS)


def test_the_row_has_settings_of_its_experiment(record):
    keys = [results.key(row) for row in experiments.rows(record["experiment"], record["profile"])]
    assert record["key"] in keys


def test_it_comes_from_a_clean_commit_and_says_what_it_took(record):
    origin = record["provenance"]
    assert len(origin["commit"]) == 40
    if origin["dirty"] is None:  # a machine without git, told the commit: the files must be its own
        assert origin["files"] == digest_of_package(origin["commit"])
    else:
        assert origin["dirty"] is False
    assert origin["cpu_seconds"] > 0
    assert origin["versions"]["torch"]


def test_every_canary_passed(comparison):
    for report in comparison["metrics"]["reports"]:
        assert report["protocol"] == "whitebox"
        assert {canary["name"] for canary in report["canaries"]} >= {
            "budget",
            "recomputed",
            "gradients",
        }
        assert all(canary["passed"] for canary in report["canaries"]), report["network"]


def test_no_attack_raises_accuracy_and_none_is_weaker_than_a_transfer(comparison):
    for network in comparison["metrics"]["networks"]:
        errors = 2 * network["whitebox_two_errors"] + 0.01
        assert network["whitebox"] <= network["clean"] + errors
        assert network["whitebox"] <= network["static"] + errors or network["network"] == "standard"
        if network.get("autoattack") is not None:
            both = errors + network["autoattack_two_errors"]
            assert network["autoattack"] <= network["whitebox"] + both


def test_dependence_stays_below_its_ceiling(comparison):
    for entry in comparison["metrics"]["rho"]:
        assert entry["value"] <= entry["ceiling"] + 1e-9
        assert entry["null_mean"] is not None


def test_a_trial_that_never_converged_says_none(comparison):
    for trial in comparison["metrics"]["trials"]:
        reached = trial["accuracies"]
        assert trial["accuracy"] == reached[-1]
        assert trial["epochs"] is None or trial["epochs"] == len(reached) - 1
