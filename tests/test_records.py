"""Every stored row of the experiments: what a reader may take for granted of each number."""

import json

import pytest

from semirobust import experiments, results

ROOT = results.ROOT / "results"
FILES = sorted(
    path
    for name in ("table-1", "figure-2", "sweep", "methods")
    for path in ROOT.glob(f"{name}/*.json")
)


@pytest.fixture(params=FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def record(request):
    return json.loads(request.param.read_text(encoding="utf-8"))


def test_the_row_has_settings_of_its_experiment(record):
    keys = [results.key(row) for row in experiments.rows(record["experiment"], record["profile"])]
    assert record["key"] in keys


def test_it_comes_from_a_clean_commit_and_says_what_it_took(record):
    origin = record["provenance"]
    assert origin["dirty"] is False
    assert len(origin["commit"]) == 40
    assert origin["cpu_seconds"] > 0
    assert origin["versions"]["torch"]


def test_every_canary_passed(record):
    for report in record["metrics"]["reports"]:
        assert report["protocol"] == "whitebox"
        assert {canary["name"] for canary in report["canaries"]} >= {
            "budget",
            "recomputed",
            "gradients",
        }
        assert all(canary["passed"] for canary in report["canaries"]), report["network"]


def test_no_attack_raises_accuracy_and_none_is_weaker_than_a_transfer(record):
    for network in record["metrics"]["networks"]:
        errors = 2 * network["whitebox_two_errors"] + 0.01
        assert network["whitebox"] <= network["clean"] + errors
        assert network["whitebox"] <= network["static"] + errors or network["network"] == "standard"
        if network.get("autoattack") is not None:
            both = errors + network["autoattack_two_errors"]
            assert network["autoattack"] <= network["whitebox"] + both


def test_dependence_stays_below_its_ceiling(record):
    for entry in record["metrics"]["rho"]:
        assert entry["value"] <= entry["ceiling"] + 1e-9
        assert entry["null_mean"] is not None


def test_a_trial_that_never_converged_says_none(record):
    for trial in record["metrics"]["trials"]:
        reached = trial["accuracies"]
        assert trial["accuracy"] == reached[-1]
        assert trial["epochs"] is None or trial["epochs"] == len(reached) - 1
