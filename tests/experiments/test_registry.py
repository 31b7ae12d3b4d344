"""Experiments: settings whose names stay, tables that fit together, records that reproduce."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from semirobust.attacks.gradient import PGD
from semirobust.data import Part
from semirobust.experiments import readings, stages
from semirobust.experiments import registry as experiments
from semirobust.experiments.row import network_file
from semirobust.models import Architecture
from semirobust.results import records as results
from semirobust.training.fitting import Training


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("SEMIROBUST_RESULTS", str(tmp_path / "results"))
    return tmp_path


def tiny(protocol="static"):
    row = experiments.rows("table-1", "smoke")[0]
    brief = Training(epochs=1, learning_rate=0.05, batch=32)
    study = replace(
        row.study,
        architecture=Architecture(name="cnn", width=0.25),
        data=Part(train=120, validation=60, test=250),
        protocol=protocol,
        attack=PGD(epsilon=16 / 255, step_size=8 / 255, steps=2),
        n_b=(2,),
        standard=brief,
        robust=brief,
        tuning=brief,
    )
    return replace(row, study=study, images=50)


def test_keys_of_published_settings_are_pinned():
    """A changed key orphans recorded results: add fields with defaults instead."""
    found = {row.title: results.key(row) for row in experiments.rows("table-1", "cpu")}
    assert found["vgg16 cifar10 static seed 0"] == "0e964dbf43ad"
    assert found["vgg16 cifar10 online seed 0"] == "10c0186a68d9"
    assert len(set(found.values())) == len(found)


def test_every_row_has_a_title_of_its_own():
    for name, experiment in experiments.EXPERIMENTS.items():
        for profile in experiment.profiles:
            rows = experiments.rows(name, profile)
            assert len({row.title for row in rows}) == len(rows)
            assert len({results.key(row) for row in rows}) == len(rows)


def test_every_row_attacks_an_image_of_every_class():
    for name, experiment in experiments.EXPERIMENTS.items():
        for profile in experiment.profiles:
            for row in experiments.rows(name, profile):
                study = getattr(row, "study", None)
                for few in ("images", "autoattack") if study else ():
                    n = getattr(row, few, None)
                    assert n is None or n >= study.architecture.classes, (name, row.title)


def test_unknown_experiments_and_profiles_list_the_known_ones():
    with pytest.raises(ValueError, match="known: table-1"):
        experiments.rows("table-7", "smoke")
    with pytest.raises(ValueError, match="known: smoke, cpu, gpu, paper"):
        experiments.rows("table-1", "huge")


def test_rho_is_read_on_images_attacked_against_each_network(store):
    """From a finished row and from nothing the same; attacked itself each fares worst."""
    row = readings.Reading(row=tiny(), images=250, presets=("paper", "published"))
    from_nothing = experiments.finish(readings.run(row))["rho"]
    experiments.finish(stages.run(row.row))
    for path in network_file(row.row, "robust").parent.iterdir():
        path.write_bytes(b"")  # whoever evaluates reads these files; no experiment does
    resumed = []
    assert experiments.finish(readings.run(row), resumed.append)["rho"] == from_nothing
    assert all(step.resumed for step in resumed)
    table = pd.DataFrame(from_nothing).fillna({"front": "-"})
    assert (table["value"] <= table["ceiling"] + 1e-9).all()
    published = table[table["taps"] == "convolutions"]
    assert set(table["taps"].dropna()) == {"convolutions"}
    assert len(published) == len(table) / 2  # a chain of single layers has as many of both
    assert not published["value"].isin(table[table["taps"].isna()]["value"]).all()
    assert published["answers"].between(0, 3.33).all()  # at most log2 of ten classes
    assert table[table["taps"].isna()]["answers"].isna().all()
    scores = table.groupby(["network", "front", "against"])["accuracy"].first().unstack()
    assert len(scores) == 5
    assert (scores[readings.OWN] <= scores["none"]).all()
    assert (scores[readings.OWN] <= scores[["standard", "robust"]].min(axis=1) + 0.02).all()


def test_a_row_fills_its_tables_and_its_record_reproduces(store, monkeypatch):
    row = tiny()
    path = experiments.run_and_record("table-1", row, "smoke")
    record = results.load("table-1", path.stem)
    names = [entry["network"] for entry in record.metrics["networks"]]
    assert names == ["standard", "robust", "spliced", "tuned", "tuned"]
    for entry in record.metrics["networks"]:
        assert entry["whitebox"] <= entry["clean"] + 1e-9 or entry["clean"] < 0.3
    assert {entry["preset"] for entry in record.metrics["rho"]} == {"paper", "calibrated"}
    for entry in record.metrics["rho"]:
        assert entry["value"] <= entry["ceiling"] + 1e-9
    for report in record.metrics["reports"]:
        assert report["protocol"] == "whitebox"
        assert all(canary["passed"] for canary in report["canaries"])
    (trial, control) = record.metrics["trials"]
    assert (trial["front"], control["front"]) == ("robust", "standard")
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(store / "elsewhere"))
    again = experiments.finish(stages.run(row))
    assert json.loads(json.dumps(again)) == record.metrics
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(store / "artifacts"))
    assert record.provenance["cpu_seconds"] > 0
    epochs = record.provenance["epochs"]["computed"]
    assert epochs >= 2
    assert record.provenance["epochs"]["taken_up"] == 0
    path.unlink()
    experiments.run_and_record("table-1", row, "smoke")
    record = results.load("table-1", path.stem)
    assert record.provenance["epochs"] == {"computed": 0, "taken_up": epochs}


def test_a_record_that_is_missing_is_named_with_the_command_that_makes_it():
    with pytest.raises(FileNotFoundError, match="semirobust run table-1"):
        experiments.tables("table-1", "cpu", only="vgg16")


def test_live_runs_the_first_rows_into_the_working_directory_and_touches_no_record(
    store, monkeypatch
):
    first = tiny("online")
    other = replace(first, study=replace(first.study, seed=1))
    known = experiments.EXPERIMENTS["table-1"]
    monkeypatch.setitem(
        experiments.EXPERIMENTS, "table-1", known._replace(rows=lambda _: (first, other))
    )
    monkeypatch.chdir(store)
    results.save("table-1", first, {"networks": []}, profile="cpu", origin={})
    found = experiments.tables("table-1", "cpu", live=True)
    assert set(found["networks"]["network"]) == {"standard", "robust", "spliced", "tuned"}
    assert set(found["networks"]["seed"]) == {0}
    path = store / experiments.LIVE / "table-1" / f"{results.key(first)}.json"
    assert results.read(path)["provenance"]["epochs"]["computed"] > 0
    assert results.load("table-1", results.key(first)).metrics == {"networks": []}
    changed = path.stat().st_mtime_ns
    again = experiments.tables("table-1", "cpu", live=True)
    assert again["networks"].equals(found["networks"])
    assert path.stat().st_mtime_ns == changed
