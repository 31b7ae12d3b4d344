"""Findings of the deciding experiments: intervals, sentences, and the level of a bootstrap."""

import numpy as np
import pandas as pd
import pytest

from semirobust.findings import carriers, predicting, printed
from semirobust.findings.tables import SMOKE


def networks(model="vgg16", seeds=3, shift=0.0):
    cells = [("front", "robust", "clean", 4, 0.9), ("front", "robust", "clean", 12, 0.3)]
    cells += [("front", "robust", "adversarial", n, 1.0) for n in (4, 12)]
    cells += [("front", "standard", "adversarial", 12, 0.4), ("back", "robust", "clean", 4, 0.0)]
    names = ("frozen", "origin", "training", "n_b", "retention")
    rows = [
        {**dict(zip(names, cell, strict=True)), "model": model, "seed": seed}
        for cell in cells
        for seed in range(seeds)
    ]
    table = pd.DataFrame(rows)
    table["network"] = ["-".join(map(str, cell[:4])) for cell in cells for _ in range(seeds)]
    table["retention"] += shift * (table["seed"] - 1)
    table = table.assign(retention_two_errors=0.0)
    robust = [{"network": "robust", "model": model, "seed": seed} for seed in range(seeds)]
    read = {"whitebox": 0.25, "whitebox_two_errors": 2 * (0.25 * 0.75 / 1000) ** 0.5}
    return {"networks": pd.concat([pd.DataFrame(robust).assign(**read), table])}


def test_where_no_image_was_kept_the_interval_is_that_of_a_count_of_zero():
    """0 of 1,000 images may be 3, of the 250 that the robust network keeps: 1.2 per cent."""
    tables = networks()
    none = tables["networks"]["retention"] == 0
    tables["networks"].loc[none, "retention_two_errors"] = np.nan
    found = carriers.retained(tables).set_index("frozen").loc["back"]
    assert found["mean"] == 0
    assert found["high"] == pytest.approx(3 / 250, rel=0.03) == -found["low"]


def test_an_interval_of_three_seeds_is_students():
    found = carriers.retained(networks(shift=0.1)).iloc[1]
    assert found["mean"] == pytest.approx(0.3)
    assert found["high"] - found["mean"] == pytest.approx(4.303 * 0.1 / 3**0.5, rel=1e-3)


def test_the_sentence_follows_the_interval():
    told = carriers.carried(carriers.retained(networks(shift=0.01)), "cpu")
    assert "VGG16, narrow networks, 3 seeds" in told
    assert "carries less than half of the robustness: frozen" in told
    unsure = carriers.carried(carriers.retained(networks(shift=0.1)), "cpu")
    assert "whether half of it we cannot tell" in unsure
    wide = carriers.carried(carriers.retained(networks(shift=0.2)), "cpu")
    assert "carries some of the robustness or none, we cannot tell" in wide
    assert carriers.carried(carriers.retained(networks()), "smoke") == SMOKE


def writings(copies=0.4, apart=0.0):
    moved = {"as trained": 0.0, "16 copies": copies, "idle units": 0.2}
    moved |= {"robust head": 0.0, "standard head": apart}
    kept = {"robust head": 0.3, "standard head": 0.0}
    table = [
        {"network": n, "moved_paper": m, "moved_calibrated": 0.0, "change": 1e-12}
        | {"whitebox": kept.get(n)}
        for n, m in moved.items()
    ]
    grown = {"calibrated": 0.2, "paper": 0.1, "clean": 0.0}
    doses = [
        {"training": "clean", "seed": s, **grown, "whitebox": 0.01 * (s - 1)} for s in range(3)
    ]
    flags = [(s, w, "01" * 500) for s in range(3) for w in (0.0, 3.0)]
    reports = pd.DataFrame(flags, columns=["seed", "weight", "standing"])
    reports = reports.assign(training="clean", column="whitebox")
    return {"writings": pd.DataFrame(table), "doses": pd.DataFrame(doses), "reports": reports}


def test_what_the_interventions_say_or_that_there_is_no_sentence():
    told = carriers.caused(writings(), "cpu")
    assert "keep 30.0% and 0.0% under attack" in told
    raised = "training raises {}, robustness rises in 0 of 1"
    assert raised.format("ρ as published") in told
    assert raised.format("its excess over the null") in told
    fallen = writings()
    fallen["doses"]["calibrated"] *= -1
    again = carriers.caused(fallen, "cpu")
    assert raised.format("ρ as published") in again
    assert "more of its excess over the null would help was not tried" in again
    assert "the excess of ρ rises (+0.20 bits" in told
    assert "white-box accuracy neither rises nor falls that we can tell" in told
    with pytest.raises(ValueError, match="no sentence"):
        carriers.caused(writings(copies=0.01), "cpu")
    with pytest.raises(ValueError, match="do not share"):
        carriers.caused(writings(apart=0.3), "cpu")


def simulated(rng, effect=0.0, each=20):
    """Return networks of two architectures and three seeds; part of R is its group's own."""
    parts = []
    for model in ("vgg16", "resnet18"):
        for seed in range(3):
            x = rng.normal(size=(each, 6))
            y = x[:, 0] + effect * x[:, 5] + rng.normal(size=each) + 0.3 * rng.normal()
            columns = pd.DataFrame(x, columns=[*predicting.KNOWN, "rho"])
            parts.append(columns.assign(model=model, seed=seed, retention=y))
    return pd.concat(parts, ignore_index=True)


def test_a_rho_that_says_nothing_is_seldom_taken_to_predict():
    rng = np.random.default_rng(0)
    found = [predicting.gain(simulated(rng), ["rho"], draws=300) for _ in range(200)]
    false = np.mean([one["low"] > 0 and one["mean"] >= predicting.MARGIN for one in found])
    assert false <= 0.05
    assert np.mean([one["mean"] for one in found]) < 0.005


def test_a_rho_that_predicts_is_found():
    rng = np.random.default_rng(0)
    found = [predicting.gain(simulated(rng, 1.0), ["rho"], draws=300) for _ in range(20)]
    assert np.mean([one["low"] > 0 for one in found]) > 0.9


@pytest.mark.parametrize(
    ("mean", "low", "p", "lead"),
    [
        (0.014, 0.006, 0.002, "Not shown"),
        (0.03, -0.01, 0.2, "Not shown"),
        (0.03, 0.01, 0.01, "Yes"),
    ],
)
def test_a_gain_below_what_was_asked_for_is_not_called_one(mean, low, p, lead):
    rows = simulated(np.random.default_rng(0))
    table = pd.DataFrame({"mean": mean, "low": low, "high": 0.05, "p": p}, index=["mean ρ"])
    said = predicting.foretold(rows, table, "cpu")
    assert str(said).startswith(lead)
    assert f"{mean:+.3f} [{low:+.3f}, +0.050]" in str(said)


def test_nobody_of_the_same_architecture_or_seed_is_fitted():
    rows = simulated(np.random.default_rng(0))
    before = predicting.predicted(rows, predicting.KNOWN)
    own = (rows["model"] == "vgg16") & (rows["seed"] == 0)
    near = (rows["model"] == "vgg16") | (rows["seed"] == 0)
    changed = rows.assign(retention=rows["retention"].where(~near, 1e6))
    assert np.allclose(predicting.predicted(changed, predicting.KNOWN)[own], before[own])


def test_with_few_groups_a_group_is_never_fitted_to_itself():
    rows = simulated(np.random.default_rng(0))
    group = rows["model"].str.cat(rows["seed"].astype(str))
    rows = rows[group.isin(["vgg160", "vgg161", "resnet180"])].reset_index(drop=True)
    own = (rows["model"] == "vgg16") & (rows["seed"] == 0)  # nobody differs in both
    before = predicting.predicted(rows, predicting.KNOWN)
    assert np.isfinite(before).all()
    changed = rows.assign(retention=rows["retention"].where(~own, 1e6))
    assert np.allclose(predicting.predicted(changed, predicting.KNOWN)[own], before[own])


def test_the_nearest_reading_is_that_of_the_smallest_distance():
    cells = pd.DataFrame(
        [
            {"model": "vgg16", "data": "cifar10", "quantity": q, "reading": reading, "printed": p}
            | {"ours": p + apart, "seeds": 1}
            for q, p in (("robust", 0.8), ("tuned", 0.7))
            for reading, apart in (("fresh examples, white-box", -0.4), ("stored", 0.1))
        ]
    )
    found = printed.distances(cells)
    assert found.index[0] == "stored"
    assert found["distance"].round(6).tolist() == [0.1, 0.4]
    assert "2 have rows of ours" in printed.fits(cells, "cpu")
    assert "10 points above" in printed.fits(cells, "cpu")
