"""Recorded comparisons: what they say of AutoAttack, and how a chapter shows them."""

import json

import numpy as np
import pytest

from semirobust.findings import peers


def row(method, radius, *, accuracy=0.5, differs=0, network="robust", seconds=2.5):
    return {
        "network": network,
        "epsilon_255": radius,
        "method": method,
        "accuracy": accuracy,
        "overstated": 1,
        "differs": differs,
        "forward": 1500,
        "backward": 500,
        "cpu_seconds": seconds,
    }


def test_a_method_s_radii_stand_beside_each_other_and_its_costs_are_summed(monkeypatch, tmp_path):
    (tmp_path / "benchmarks").mkdir()
    rows = [row(method, radius, differs=2) for radius in (4, 8) for method in ("ours", "theirs")]
    rows += [row("ours", 4, network="standard"), row("theirs", 4, network="standard", seconds=10)]
    (tmp_path / "benchmarks" / "some.json").write_text(json.dumps({"evaluation": rows}))
    monkeypatch.setattr(peers, "PAIRS", (("theirs", "ours"), ("absent", "ours")))
    monkeypatch.setenv("SEMIROBUST_RESULTS", str(tmp_path))
    table = peers.evaluations("some")
    assert list(table.loc["robust"].index) == ["ours", "theirs"]
    assert table.loc[("robust", "ours")].to_dict() == {
        "4/255": "50.0%",
        "8/255": "50.0%",
        "over-stated": 2,
        "differ": 4,
        "CPU s": 5.0,
        "passes, thousands": 4.0,
    }
    times = peers.ratios("some").loc[("theirs", "ours")]
    assert times.to_dict() == {"robust": 1.0, "standard": 4.0, "both": 2.0}
    with pytest.raises(FileNotFoundError, match="no comparison 'other' is recorded; recorded: so"):
        peers.evaluations("other")


def test_recorded_autoattack_is_never_more_optimistic_than_torchattacks():
    table = peers.recorded("evaluation-cifar10")["evaluation"]
    assert {(entry["network"], entry["epsilon_255"]) for entry in table} == {
        (network, radius) for network in ("standard", "robust") for radius in (4, 8, 12)
    }
    for entry in table:
        official = entry["method"].startswith("AutoAttack")
        assert not official or entry["differs"] <= 1, entry  # half a per cent of 200
        assert entry["AutoAttack_missed"] == 0 or official, entry


def test_beside_rho_stands_how_much_the_answers_differ_within_a_class():
    """Ten answers hold log2 10 bits at most."""
    found = peers.checked("cpu").droplevel(["seed", "front"])
    assert [*found.index[:4]] == ["standard", "robust", "spliced", "tuned"]
    read = found["ρ_n as published"] != "–"
    assert ((found["H(ŷ | y)"] != "–") == read).all()
    assert found.loc[read, "H(ŷ | y)"].astype(float).between(0, np.log2(10)).all()
