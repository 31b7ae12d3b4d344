"""Rows at full size stand beside a chapter's own, each setting and protocol apart."""

import pytest

from semirobust import findings
from semirobust.experiments import registry as experiments
from semirobust.results import records as results


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_RESULTS", str(tmp_path))


def record(title, whitebox, experiment="table-1"):
    (row,) = [row for row in experiments.rows(experiment, "gpu") if row.title == title]
    who = [("standard", None, None), ("robust", None, None), ("tuned", 4, "robust")]
    networks = [
        {
            "network": name,
            "n_b": n_b,
            "front": front,
            "clean": 0.8,
            "static": 0.5,
            "whitebox": value,
        }
        for (name, n_b, front), value in zip(who, whitebox, strict=True)
    ]
    reports = [{"column": "whitebox", "n": 1000}]
    tables = {"networks": networks, "reports": reports, "rho": [], "trials": []}
    about = {"protocol": row.study.protocol, "seed": row.study.seed}
    tables["networks"] = [{**one, **about} for one in networks]
    results.save(experiment, row, tables, profile="gpu", origin={})


def shown(only="vgg16", profile="cpu"):
    return findings.at_full_size("table-1", profile, findings.protocols, only=only)


def test_settings_and_protocols_are_told_apart(store):
    record("vgg16 cifar10 online seed 0", (0.0, 0.4, 0.4))
    record("vgg16 cifar10 online f_b on clean images seed 0", (0.0, 0.4, 0.1))
    record("vgg16 cifar10 static seed 0", (0.0, 0.0, 0.0))
    found = shown()["white-box"]
    assert len(found) == 9
    assert found["online", "–", "4", "tuned"] == "40.0%"
    assert found["online", "f_b on clean images", "4", "tuned"] == "10.0%"
    assert found["static", "–", "4", "tuned"] == "0.0%"


def test_seeds_are_averaged_and_where_nothing_is_recorded_a_line_says_so(store):
    for seed, value in enumerate((0.3, 0.5)):
        record(f"vgg16 cifar10 online seed {seed}", (0.0, value, value))
    assert shown()["white-box"]["online", "–", "robust"] == "40.0 ± 14.1%"
    assert shown(only="vit") == "No row at full size is recorded."
    assert "profile smoke shows none" in shown(profile="smoke")


def test_recorded_attacks_and_images_have_a_row_each():
    under = findings.at_full_size("revision", "cpu", findings.attacks)
    assert list(under.columns) == ["clean", "FGSM", "PGD"]
    left = under.apply(lambda column: column.str.rstrip("%").astype(float))
    assert (left["PGD"] <= left["FGSM"] + 2).all()
    read = findings.at_full_size("readings", "cpu", findings.images)
    assert {"none", "standard", "robust", "itself"} <= set(read.index.get_level_values("against"))
