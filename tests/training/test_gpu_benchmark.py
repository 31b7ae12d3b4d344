"""The benchmark for a GPU: every part works, and its record says what it must."""

import json

import gpu
import pytest


@pytest.mark.slow
def test_every_part_of_the_benchmark_runs_on_a_cpu(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_RESULTS", str(tmp_path))
    monkeypatch.setenv("SEMIROBUST_GRAPH", "1")
    gpu.main(["--tiny"])
    document = json.loads((tmp_path / "benchmarks" / "gpu.json").read_bytes())
    assert set(gpu.PARTS) < set(document)
    assert [(row["network"], row["method"]) for row in document["steps"]] == [
        (network, method) for network in gpu.NETWORKS for method in gpu.METHODS
    ]
    assert all(row["eager_to_graph"] == row["eager_to_eager"] == 0 for row in document["steps"])
    assert document["autoattack"][0]["standing"] == 1
    assert {row["preset"] for row in document["rho"]} == {"paper", "calibrated"}
    assert 0 <= document["cifar10"][0]["PGD-50"] <= document["cifar10"][0]["clean"] + 0.3
    assert {"device", "arithmetic", "versions"} <= set(document["provenance"])
