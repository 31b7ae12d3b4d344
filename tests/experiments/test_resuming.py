"""Every experiment resumes what is valid, and nothing that other code or other samples made."""

from itertools import takewhile
from operator import attrgetter

import pytest
from tiny import CASES

from semirobust import data
from semirobust.experiments.registry import finish
from semirobust.results import code as sources

TRAINERS = {("training.fitting", "fit"), ("tickets.batched", "fit")}


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(tmp_path / "first"))
    data.select.cache_clear()
    yield tmp_path
    data.select.cache_clear()


def ran(name, steps=None):
    """Return the steps and the tables of a run, or of one that is stopped after some steps."""
    run, settings_of = CASES[name]
    seen = []
    if steps is None:
        return seen, finish(run(settings_of()), seen.append)
    progress = run(settings_of())
    seen += [next(progress) for _ in range(steps)]
    progress.close()
    return seen, None


@pytest.mark.parametrize("name", CASES)
def test_a_stopped_run_resumes_and_a_finished_one_is_not_repeated(name, store, monkeypatch):
    ran(name, steps=1)
    resumed, tables = ran(name)
    assert resumed[0].resumed
    again, same = ran(name)
    assert all(step.resumed for step in again)
    assert [step.stage for step in again] == [step.stage for step in resumed]
    assert same == tables
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(store / "second"))
    anew, uninterrupted = ran(name)
    assert not any(step.resumed for step in anew)
    assert uninterrupted == tables


@pytest.mark.parametrize("name", CASES)
def test_after_every_stop_what_was_made_counts_as_resumed(name):
    """Each run is stopped at the first step that it has to compute."""
    run, settings_of = CASES[name]
    resumed = []
    for _ in range(3):
        progress = run(settings_of())
        resumed.append(sum(1 for _ in takewhile(attrgetter("resumed"), progress)))
        progress.close()
    steps, _ = ran(name)
    made = min(3, len(steps))
    assert resumed == [min(stops, made) for stops in range(3)]
    assert [step.resumed for step in steps] == [True] * made + [False] * (len(steps) - made)


@pytest.mark.parametrize("name", CASES)
def test_what_other_code_has_trained_is_not_resumed(name, monkeypatch):
    """The digest of all code that reaches a trainer is made another: nothing else changes."""
    ran(name, steps=2)
    salt = sources.salt

    def edited(entries):
        reached = {(place.module, place.name) for place in sources.reached(entries)}
        return salt(entries) + ("-edited" if reached & TRAINERS else "")

    monkeypatch.setattr(sources, "salt", edited)
    first, _ = ran(name, steps=2)
    assert not any(step.resumed for step in first)


@pytest.mark.parametrize("name", CASES)
def test_what_was_trained_on_other_samples_is_not_resumed(name, store, monkeypatch):
    ran(name, steps=2)
    load = data.load
    monkeypatch.setattr(data, "load", lambda *words, **how: load(*words, **how, seed=1))
    data.select.cache_clear()
    steps, tables = ran(name)
    assert not any(step.resumed for step in steps)
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(store / "second"))
    assert ran(name)[1] == tables
