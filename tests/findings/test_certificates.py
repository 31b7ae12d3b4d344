"""What the chapters on certificates count: few samples against all, fronts seed by seed."""

import pandas as pd
import pytest

from semirobust.findings.certificates import passed_on, shortfalls


def test_few_samples_are_held_against_all_of_them_after_as_many_epochs_at_most():
    rows = [("mixtrain-5", 16, 0.5), ("mixtrain-5", 48, 0.7), ("symbolic", 16, 0.6)]
    networks = pd.DataFrame(
        [{"method": m, "epochs": e, "verified any": share} for m, e, share in rows]
    ).assign(data="mnist", epsilon=0.1)
    reports = pd.DataFrame(
        [{"data": "mnist", "epsilon": 0.1, "evaluation": "pgd and interval", "n": 100}]
    )
    found = shortfalls(networks, reports)
    assert found.loc[("mnist 0.1", 16, 5), "short"] == 10.0
    assert found.loc[("mnist 0.1", 48, 5), ["its epochs", "short"]].tolist() == [16, -10.0]
    assert found.loc[("mnist 0.1", 16, 5), "±"] == pytest.approx(13.9)
    assert (shortfalls(networks[:2], reports)["symbolic"] == "–").all()


def test_a_front_is_counted_where_it_passes_on_less_though_certified_more():
    seeds = [{"seed": seed, "front": front} for seed in range(3) for front in ("ibp", "mixed")]
    less = {"ibp": 0.5, "mixed": 0.4}
    transfer = pd.DataFrame(
        [{**one, "tail": "standard", "a": 3, "verified any": less[one["front"]]} for one in seeds]
    )
    bracket = pd.DataFrame(
        [{**one, "readout": "whole network", "gamma_cert": -less[one["front"]]} for one in seeds]
    )
    found = passed_on(transfer, bracket, a=3)
    assert found.loc["mixed"].tolist() == ["3 of 3", "0 of 3"]
