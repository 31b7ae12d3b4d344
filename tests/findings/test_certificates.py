"""What the chapters on certificates count: few samples against all, fronts seed by seed."""

import pandas as pd
import pytest

from semirobust.findings.certificates import SHARE, mixed, passed_on, shortfalls, transferred


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


def networks_of(method, shares):
    rows = [{"method": method, "seed": seed, SHARE: share} for seed, share in enumerate(shares)]
    return pd.DataFrame(rows).assign(data="digits", epsilon=0.1, attacked=0.8)


def test_more_bounded_samples_are_called_better_where_several_seeds_decide_it():
    costs = {"mixtrain-5": 2.0, "symbolic": 20.0, "pgd-7": 1.0}
    tables = {
        "reports": pd.DataFrame([{"data": "digits", "epsilon": 0.1, "n": 10_000}]),
        "costs": pd.DataFrame(costs.items(), columns=["method", "cpu_seconds"]),
    }
    tables["costs"]["data"] = "digits"
    few, ibp, pgd = (networks_of(m, (0.6, 0.61, 0.62)) for m in ("mixtrain-5", "ibp", "pgd-7"))
    several = mixed(pd.concat([few, ibp, pgd, networks_of("symbolic", (0.8, 0.81))]), tables, "cpu")
    assert "certifies 80.5%; which is more" in several
    assert "10.0% of the time" in several
    one = mixed(pd.concat([few, ibp, pgd, networks_of("symbolic", (0.65,))]), tables, "cpu")
    assert "whether that is more is undecided" in one


def test_a_certified_front_that_passes_nothing_on_has_no_sentence():
    shares = {"ibp": 0.5, "mixtrain-5": 0.3, "standard": 0.0}
    rows = [(front, a, s) for front in shares for a in (1, 3) for s in range(3)]
    transfer = pd.DataFrame(rows, columns=["front", "a", "seed"]).assign(tail="standard", n=10_000)
    transfer[SHARE] = transfer["front"].map(shares) + transfer["seed"] / 100
    bracket = transfer.query("a == 3").assign(readout="whole network", gamma_cert=0.2)
    tables = {"transfer": transfer, "bracket": bracket}
    told = transferred(tables, pd.Series([-0.2, 0.3]), "cpu", a=3)
    assert "MixTrain passes on less than that of IBP (31.0% and 51.0%" in told
    assert "of both signs; these are few" in told
    tables["transfer"] = transfer.assign(**{SHARE: 0.1})
    with pytest.raises(ValueError, match="no sentence for a certified front"):
        transferred(tables, pd.Series([0.1, 0.2]), "cpu", a=3)
