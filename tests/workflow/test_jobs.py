"""The grid as jobs: made one by one they give what one run gives, to the last byte."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from semirobust import cli
from semirobust.attacks.gradient import NFGSM, PGD
from semirobust.data import Part
from semirobust.experiments import registry as experiments
from semirobust.experiments import stages
from semirobust.models import Architecture
from semirobust.results import records as results
from semirobust.training.fitting import Training
from semirobust.training.methods import Online
from semirobust.workflow import commands as grid_cli
from semirobust.workflow import engine
from semirobust.workflow import jobs as grid


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    use(tmp_path / "first", monkeypatch)
    known = experiments.EXPERIMENTS["table-1"]
    monkeypatch.setitem(experiments.EXPERIMENTS, "table-1", known._replace(rows=tiny))
    return tmp_path


def use(folder, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(folder / "artifacts"))
    monkeypatch.setenv("SEMIROBUST_RESULTS", str(folder / "results"))


def tiny(profile):
    from semirobust.experiments import scales

    radius = 16 / 255
    brief = Training(epochs=1, learning_rate=0.05, batch=32)
    online = replace(brief, method=Online(attack=NFGSM(epsilon=radius)))
    rows = []
    for protocol in ("static", "online"):
        row = scales.smoke("vgg16", protocol)
        study = replace(
            row.study,
            architecture=Architecture(name="cnn", width=0.25),
            data=Part(train=120, validation=60, test=250),
            attack=PGD(epsilon=radius, step_size=radius / 2, steps=2),
            n_b=(1, 2),
            trials=2 if protocol == "static" else 1,
            standard=brief,
            robust=brief if protocol == "static" else online,
            tuning=brief if protocol == "static" else online,
        )
        rows.append(replace(row, study=study, images=30))
    return tuple(rows)


def ran(*words):
    assert cli.main(words) == 0


def recorded():
    rows = experiments.rows("table-1", "smoke")
    return [results.load("table-1", results.key(row)).metrics for row in rows]


def test_jobs_one_by_one_and_one_run_give_the_same_bytes(store, monkeypatch):
    jobs = engine.ordered(grid.jobs("table-1", "smoke"))
    for job in jobs:
        assert not job.manifest.exists(), job
        ran(*job.words)
        assert job.manifest.exists(), job
    mine = recorded()
    use(store / "second", monkeypatch)
    ran("run", "table-1")
    assert json.dumps(mine) == json.dumps(recorded())
    monkeypatch.setenv("SEMIROBUST_RESULTS", str(store / "third"))
    ran("run", "table-1")  # another record from the artefacts of the second
    assert json.dumps(mine) == json.dumps(recorded())
    row = experiments.rows("table-1", "smoke")[0]
    record = results.load("table-1", results.key(row))
    assert record.provenance["epochs"]["computed"] == 0


def test_the_status_counts_jobs_and_knows_what_they_cost(store, capsys):
    jobs = engine.ordered(grid.jobs("table-1", "smoke"))
    for job in jobs[:2]:
        ran(*job.words)
    ran("status", "table-1", "--profile", "smoke")
    shown = capsys.readouterr().out
    assert "0 of 2 rows recorded" in shown
    assert f"jobs: 2 done, {len(jobs) - 2} missing" in shown
    ran("run", "table-1")
    ran("status", "table-1", "--profile", "smoke")
    shown = capsys.readouterr().out
    assert "2 of 2 rows recorded" in shown
    assert "jobs: 2 done, 2 missing" in shown  # the records; the table and the picture


def test_the_plan_prints_commands_that_work(store, capsys):
    ran("plan", "table-1", "--only", "online")
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("# 0 of ")
    commands = [line.split("#")[0].split() for line in lines]
    assert {words[0] for words in commands} == {"semirobust"}
    for words in commands:
        ran(*words[1:])
    ran("plan", "table-1", "--only", "online")
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_tables_and_pictures_are_those_of_the_rows(store):
    ran("run", "table-1")
    jobs = {job.stage: job for job in grid.jobs("table-1", "smoke")}
    for stage in ("table", "figure"):
        ran(*jobs[stage].words)
    folder = jobs["table"].manifest.parent
    lines = (folder / "networks.csv").read_text().splitlines()
    assert len(lines) == 1 + sum(len(metrics["networks"]) for metrics in recorded())
    assert (jobs["figure"].manifest.parent / "cnn.png").read_bytes()[:4] == b"\x89PNG"


def test_a_result_that_was_taken_away_is_due_again(store):
    ran("run", "table-1", "--only", "online")
    rows = experiments.rows("table-1", "smoke")
    (row,) = [row for row in rows if row.study.protocol == "online"]
    place = grid.Place("table-1", "smoke", results.key(row))
    assert grid.recorded(place)
    assert len(grid.jobs("table-1", "smoke", ["online"])) == 3
    results.path_of("table-1", place.key).unlink()
    assert not grid.recorded(place)
    found = Counter(job.stage for job in grid.jobs("table-1", "smoke", ["online"]))
    assert found["evaluation"] == 8


def test_other_data_than_the_grid_began_with_are_refused(store):
    node = stages.lineup(experiments.rows("table-1", "smoke")[0].study).data
    grid.keep_data(node, "a")
    grid.keep_data(node, "a")
    with pytest.raises(ValueError, match="digits is not the data set that this grid began with"):
        grid.keep_data(node, "b")


def test_a_step_that_a_row_does_not_have_is_refused(capsys):
    row = experiments.rows("table-1", "smoke")[0]
    words = ["step", "tuned", "table-1", "--row", results.key(row), "--n-b", "3"]
    assert cli.main(words) == 1
    assert "has no tuned 3: see what semirobust plan prints" in capsys.readouterr().err


def test_a_row_that_the_settings_no_longer_hold_is_named(capsys):
    assert cli.main(["step", "standard", "table-1", "--row", "0" * 12]) == 1
    assert "has no row 000000000000 in profile smoke" in capsys.readouterr().err


def test_the_launcher_gets_the_jobs_the_limit_and_further_words(store, monkeypatch):
    seen = {}

    def launch(document, **how):
        seen.update(how, jobs=document["jobs"])
        return 0

    monkeypatch.setattr(engine, "launch", launch)
    words = ["repro", "table-1", "--on", "node", "--gpus", "3", "--snakemake", "--until", "robust"]
    ran(*words)
    assert (seen["on"], seen["gpus"], seen["more"]) == ("node", 3, ["--until", "robust"])
    assert {job["gpu"] for job in seen["jobs"]} == {0, 1}
    monkeypatch.setattr(engine, "launch", lambda *_, **__: 1)
    assert cli.main(["repro", "table-1"]) == 1


@pytest.mark.slow
def test_the_pages_come_after_the_records(store):
    jobs, last = grid_cli.jobs_of(["table-1", "book"], "smoke")
    stages_of = [job.stage for job in jobs]
    assert stages_of[-1] == "book"
    assert {job.stage for job in last} == {"table", "figure", "book"}
    (chapter,) = [job for job in jobs if job.about == "31-vgg16"]
    assert {name.split("/")[0] for name in chapter.inputs} == {"record"}
