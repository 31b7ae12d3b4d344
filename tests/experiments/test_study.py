"""Studies: artefacts that resume, static examples in their ball, a cache that changes nothing."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from semirobust.algorithm1 import best
from semirobust.attacks.gradient import NFGSM, PGD
from semirobust.data import Part
from semirobust.evaluation.scrutiny import Evaluation
from semirobust.experiments import nodes as nodes_of
from semirobust.experiments import registry as experiments
from semirobust.experiments import stages, tuning
from semirobust.experiments.row import Row
from semirobust.experiments.study import Study
from semirobust.layers import split
from semirobust.models import Architecture
from semirobust.results import code as sources
from semirobust.training.fitting import Training, accuracy
from semirobust.training.methods import Online

RADIUS = 16 / 255
DRIVERS = {
    ("experiments.registry", "finish"),
    ("data", "device"),
    ("experiments.study", "device_name"),
    ("experiments.study", "computed_on"),
    ("experiments.study", "gpu_memory_mb"),
    ("results.cost", "Clock"),
}


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(tmp_path))
    return tmp_path


def tiny(protocol="static", **changes):
    plain = Training(epochs=2, learning_rate=0.05, batch=32)
    online = replace(plain, method=Online(attack=NFGSM(epsilon=RADIUS)))
    chosen = plain if protocol == "static" else online
    study = Study(
        architecture=Architecture(name="cnn", width=0.25),
        data=Part(train=120, validation=60, test=250),
        protocol=protocol,
        attack=PGD(epsilon=RADIUS, step_size=RADIUS / 2, steps=2),
        n_b=(2,),
        standard=plain,
        robust=replace(chosen, epochs=4),
        tuning=chosen,
    )
    return replace(study, **changes)


class Made:
    """The nodes of a study, and what they make in one process."""

    def __init__(self, study, **how):
        self.nodes, self.memory = stages.lineup(study, **how), {}

    def __call__(self, node):
        return experiments.finish(nodes_of.made(node, self.memory))

    def network(self, name):
        return self(next(entry.network for entry in self.nodes.entries if entry.name == name))

    def trials(self):
        tuned = next(entry.network for entry in self.nodes.entries if entry.name == "tuned")
        return [self(trial) for trial in tuned.needs.values()]


def test_static_examples_lie_in_their_ball_and_are_made_once(store):
    made = Made(tiny())
    clean, examples = made(made.nodes.data), made(made.nodes.examples)
    assert (examples.test.x - clean.test.x).abs().max() <= RADIUS + 1e-6
    standard = made.network("standard")
    assert accuracy(standard, examples.test) < accuracy(standard, clean.test)
    (file,) = (store / "examples").glob("*/*.safetensors")
    before = file.stat().st_mtime_ns
    again = Made(tiny())
    assert torch.equal(again(again.nodes.examples).train.images, examples.train.images)
    assert file.stat().st_mtime_ns == before


@pytest.mark.parametrize("protocol", ["static", "online"])
def test_a_second_run_resumes_everything_and_changes_no_number(protocol):
    study = tiny(protocol)
    runs = []
    for _ in range(2):
        trial = best(Made(study).trials())
        weights = torch.cat([value.flatten() for value in trial.network.parameters()])
        runs.append((trial.accuracies, weights))
    assert runs[0][0] == runs[1][0]
    assert torch.equal(runs[0][1], runs[1][1])


def test_f_a_of_a_tuned_network_is_the_robust_one_bit_for_bit():
    made = Made(tiny("online"))
    network = made.network("tuned")
    front, robust = split(network, 2)[0], split(made.network("robust"), 2)[0]
    assert all(map(torch.equal, front.state_dict().values(), robust.state_dict().values()))
    back, start = split(network, 2)[1], split(made.network("standard"), 2)[1]
    assert not all(map(torch.equal, back.state_dict().values(), start.state_dict().values()))


def test_a_control_freezes_another_front_and_aims_at_the_same_accuracy():
    made = Made(tiny("online", tolerance=1.0), fronts=("standard",))
    (trial,) = made.trials()
    assert trial.epochs == 0  # a tolerance of 1 is always reached
    front, source = split(trial.network, 2)[0], split(made.network("standard"), 2)[0]
    assert all(map(torch.equal, front.state_dict().values(), source.state_dict().values()))


def test_training_f_b_on_cached_activations_equals_training_it_behind_f_a(monkeypatch, store):
    with_cache = best(Made(tiny()).trials())
    shutil.rmtree(store / "tuned")
    monkeypatch.setattr(tuning, "CACHE_BYTES", 0)
    without = best(Made(tiny()).trials())
    assert with_cache.accuracies == pytest.approx(without.accuracies, abs=0.02)
    for mine, theirs in zip(
        with_cache.network.parameters(), without.network.parameters(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("protocol", ["static", "online"])
def test_all_code_that_runs_while_an_artefact_is_made_is_part_of_its_name(protocol):
    """A function that runs but is not reached could change without making the artefact stale."""
    study = tiny(protocol, data=Part(train=120, validation=60, test=250))
    headline = Evaluation(attack="fgsm", epsilon=16, n=10, probes=1, queries=5)
    pgd = PGD(epsilon=RADIUS, step_size=0.1, steps=1)
    row = Row(study=study, whitebox=pgd, images=20, headline=headline)
    made, used = Made(row.study), {}
    for node in nodes_of.listed(stages.of_row(row).targets):
        for need in node.needs.values():
            made(need)
        _, ran = watched(lambda node=node: made(node))
        reached = {(place.module, place.name) for place in sources.reached(node.artefact.entries)}
        strange = {
            place
            for place in ran - reached - DRIVERS
            if place[0] not in (*sources.PLUMBING, "experiments.nodes")
        }
        assert not strange, node.stage
        used[node.stage] = used.get(node.stage, set()) | ran
    assert ("training.fitting", "fit") in used["tuned"]
    assert ("attacks.gradient", "PGD") in used["examples"]
    assert ("edge.information", "rho") in used["evaluation"]


def test_a_headline_column_has_every_check_and_renames_no_other_evaluation():
    asked = Evaluation(attack="headline", epsilon=16, n=20, probes=4, queries=20)
    plain = Row(study=tiny("online"), whitebox=PGD(epsilon=RADIUS, step_size=0.1, steps=1))
    row = replace(plain, images=20, controls=(), headline=asked)
    nodes, memory = stages.of_row(row), {}
    tables = [experiments.finish(nodes_of.made(node, memory)) for node in nodes.targets]
    reports = {
        table["networks"][0]["network"]: report
        for table in tables
        for report in table["reports"]
        if report["column"] == "headline"
    }
    assert list(reports) == ["standard", "robust", "spliced", "tuned"]
    checks = {name: {c["name"] for c in report["canaries"]} for name, report in reports.items()}
    knowing = {"end to end", "features at the cut", "from standard", "from robust"}
    assert all({"radius", "steps", "black box", "seeds", "batch"} <= s for s in checks.values())
    assert "transfer" not in checks["standard"]  # there is nothing else to transfer from
    for name in ("spliced", "tuned"):
        assert {"transfer", *(f"adaptive, {attack}" for attack in knowing)} <= checks[name]
    for table in tables:
        (network,) = table["networks"]
        assert network["headline"] <= network["clean"] + 0.2
        (report,) = (r for r in table["reports"] if r["column"] == "headline")
        assert list(report["given"]) == ["apgd-ce", "apgd-t"]
    with pytest.raises(ValueError, match=r"headline\.epsilon must be that of whitebox, 16/255"):
        replace(row, headline=replace(asked, epsilon=8))
    before = [("evaluation", *node.settings) for node in stages.of_row(plain).targets]
    measures = (plain.whitebox, plain.images, plain.autoattack, plain.presets)
    assert before[0] == ("evaluation", measures, "standard", {})


def watched(make):
    """Return what a call returns, and the definitions of the package that ran in it."""
    seen = set()

    def look(frame, event, _):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(sources.PACKAGE):
            module = ".".join(path.relative_to(sources.PACKAGE).with_suffix("").parts)
            seen.add((module, frame.f_code.co_qualname.split(".")[0]))

    sys.setprofile(look)
    try:
        result = make()
    finally:
        sys.setprofile(None)
    return result, {one for one in seen if not one[1].startswith("<")}


def test_another_seed_is_another_artefact(store):
    Made(tiny()).network("robust")
    files = set(store.glob("*/*/manifest.json"))
    Made(tiny(seed=1)).network("robust")
    assert len(set(store.glob("*/*/manifest.json"))) == 2 * len(files)


def test_trials_differ_by_their_seed_only():
    first, second = Made(tiny("online", trials=2)).trials()
    assert first.spliced_accuracy == second.spliced_accuracy
    weights = [next(iter(split(t.network, 2)[1].parameters())) for t in (first, second)]
    assert not torch.equal(*weights)


def test_a_trial_made_alone_is_the_same_and_is_not_made_again(store):
    made = Made(tiny(trials=2))
    (tuned,) = (entry.network for entry in made.nodes.entries if entry.name == "tuned")
    alone = made(tuned.needs["trial 1"])
    (file,) = (store / "tuned").glob("*/tensors.safetensors")
    before = file.stat().st_mtime_ns
    first, second = Made(tiny(trials=2)).trials()
    assert (first.number, second.number) == (0, 1)
    assert file.stat().st_mtime_ns == before
    shutil.rmtree(store / "tuned")
    _, again = Made(tiny(trials=2)).trials()
    for one in (second, again):
        assert (one.accuracies, one.rho) == (alone.accuracies, alone.rho)
        weights = (alone.network.state_dict(), one.network.state_dict())
        assert all(torch.equal(mine, weights[1][name]) for name, mine in weights[0].items())


def test_studies_that_cannot_be_meant_are_refused():
    with pytest.raises(ValueError, match='protocol is "static" or "online"'):
        tiny(protocol="offline")
    with pytest.raises(ValueError, match="n_b names no cut"):
        tiny(n_b=())
    with pytest.raises(ValueError, match=r"n_b must lie in 1\.\.3"):
        Made(tiny(n_b=(4,))).trials()
