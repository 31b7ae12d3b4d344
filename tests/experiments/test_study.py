"""Studies: artefacts that resume, static examples in their ball, a cache that changes nothing."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from semirobust.algorithm1 import best
from semirobust.attacks.gradient import NFGSM, PGD
from semirobust.experiments import registry as experiments
from semirobust.experiments import study as subnetwork
from semirobust.experiments import tuning
from semirobust.experiments.study import Part, Study, parts
from semirobust.layers import split
from semirobust.models import Architecture
from semirobust.results import code as sources
from semirobust.training.fitting import Training, accuracy
from semirobust.training.methods import Online

RADIUS = 16 / 255


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
        data=Part(train=120, validation=60, test=100),
        protocol=protocol,
        attack=PGD(epsilon=RADIUS, step_size=RADIUS / 2, steps=2),
        n_b=(2,),
        standard=plain,
        robust=replace(chosen, epochs=4),
        tuning=chosen,
    )
    return replace(study, **changes)


def prepared(study):
    clean = parts(study)
    standard = experiments.finish(subnetwork.standard_network(study, clean))
    examples = subnetwork.static_examples(study, clean, standard)
    samples = examples if study.protocol == "static" else clean
    robust = experiments.finish(subnetwork.robust_network(study, samples))
    return clean, samples, {"standard": standard, "robust": robust}


def tuned(study, samples, networks, **how):
    return experiments.finish(
        tuning.tuned_networks(study, samples, networks, n_b=2, **{"measure": unmeasured, **how})
    )


def test_static_examples_lie_in_their_ball_and_are_made_once(store):
    study = tiny()
    clean, examples, networks = prepared(study)
    assert (examples.test.x - clean.test.x).abs().max() <= RADIUS + 1e-6
    assert accuracy(networks["standard"], examples.test) < accuracy(
        networks["standard"], clean.test
    )
    (file,) = (store / "examples").glob("*/*.safetensors")
    before = file.stat().st_mtime_ns
    prepared(study)
    assert file.stat().st_mtime_ns == before


@pytest.mark.parametrize("protocol", ["static", "online"])
def test_a_second_run_takes_everything_up_and_changes_no_number(protocol):
    study = tiny(protocol)
    runs = []
    for _ in range(2):
        _, samples, networks = prepared(study)
        trial = best(tuned(study, samples, networks))
        weights = torch.cat([value.flatten() for value in trial.network.parameters()])
        runs.append((trial.accuracies, weights))
    assert runs[0][0] == runs[1][0]
    assert torch.equal(runs[0][1], runs[1][1])


def test_f_a_of_a_tuned_network_is_the_robust_one_bit_for_bit():
    study = tiny("online")
    _, samples, networks = prepared(study)
    network = best(tuned(study, samples, networks)).network
    front, robust = split(network, 2)[0], split(networks["robust"], 2)[0]
    assert all(map(torch.equal, front.state_dict().values(), robust.state_dict().values()))
    back, start = split(network, 2)[1], split(networks["standard"], 2)[1]
    assert not all(map(torch.equal, back.state_dict().values(), start.state_dict().values()))


def test_a_control_freezes_another_front_and_aims_at_the_same_accuracy():
    study = tiny("online", tolerance=1.0)
    _, samples, networks = prepared(study)
    (trial,) = tuned(study, samples, networks, front="standard")
    assert trial.epochs == 0  # a tolerance of 1 is always reached
    front, source = split(trial.network, 2)[0], split(networks["standard"], 2)[0]
    assert all(map(torch.equal, front.state_dict().values(), source.state_dict().values()))


def test_training_f_b_on_cached_activations_equals_training_it_behind_f_a(monkeypatch, store):
    study = tiny()
    _, samples, networks = prepared(study)
    with_cache = best(tuned(study, samples, networks))
    shutil.rmtree(store / "tuned")
    monkeypatch.setattr(tuning, "CACHE_BYTES", 0)
    without = best(tuned(study, samples, networks))
    assert with_cache.accuracies == pytest.approx(without.accuracies, abs=0.02)
    for mine, theirs in zip(
        with_cache.network.parameters(), without.network.parameters(), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("protocol", ["static", "online"])
def test_all_code_that_runs_while_an_artefact_is_made_is_part_of_its_name(protocol):
    """A function that runs but is not reached could change without making the artefact stale."""
    study = tiny(protocol)
    clean = parts(study)
    networks, used = {}, {}

    def made(artefact, make):
        done, ran = watched(make)
        reached = {(one.module, one.name) for one in sources.reached(artefact.entries)}
        used[artefact.stage] = ran
        driver = {("experiments.registry", "finish")}
        strange = {one for one in ran - reached - driver if one[0] not in sources.PLUMBING}
        assert not strange, artefact.stage
        return done

    networks["standard"] = made(
        subnetwork.standard_artefact(study),
        lambda: experiments.finish(subnetwork.standard_network(study, clean)),
    )
    examples = made(
        subnetwork.examples_artefact(study),
        lambda: subnetwork.static_examples(study, clean, networks["standard"]),
    )
    samples = examples if protocol == "static" else clean
    networks["robust"] = made(
        subnetwork.robust_artefact(study),
        lambda: experiments.finish(subnetwork.robust_network(study, samples)),
    )
    made(
        tuning.tuned_artefact(study, 2, "robust", unmeasured),
        lambda: tuned(study, samples, networks, measure=unmeasured),
    )
    assert ("training.fitting", "fit") in used["tuned"]
    assert ("attacks.gradient", "PGD") in used["examples"]


def unmeasured(_):
    return {}


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
    prepared(tiny())
    files = set(store.glob("*/*/manifest.json"))
    prepared(tiny(seed=1))
    assert len(set(store.glob("*/*/manifest.json"))) == 2 * len(files)


def test_trials_differ_by_their_seed_only():
    study = tiny("online", trials=2)
    _, samples, networks = prepared(study)
    first, second = tuned(study, samples, networks)
    assert first.spliced_accuracy == second.spliced_accuracy
    weights = [next(iter(split(t.network, 2)[1].parameters())) for t in (first, second)]
    assert not torch.equal(*weights)


def test_a_trial_made_alone_is_the_same_and_is_not_made_again(store):
    study = tiny(trials=2)
    _, samples, networks = prepared(study)
    (alone,) = tuned(study, samples, networks, numbers=(1,))
    (file,) = (store / "tuned").glob("*/f_b.safetensors")
    before = file.stat().st_mtime_ns
    first, second = tuned(study, samples, networks)
    assert (first.number, second.number) == (0, 1)
    assert file.stat().st_mtime_ns == before
    shutil.rmtree(store / "tuned")
    _, again = tuned(study, samples, networks)
    for one in (second, again):
        assert (one.accuracies, one.rho) == (alone.accuracies, alone.rho)
        weights = (alone.network.state_dict(), one.network.state_dict())
        assert all(torch.equal(mine, weights[1][name]) for name, mine in weights[0].items())


def test_studies_that_cannot_be_meant_are_refused():
    with pytest.raises(ValueError, match='protocol is "static" or "online"'):
        tiny(protocol="offline")
    with pytest.raises(ValueError, match="n_b names no cut"):
        tiny(n_b=())
    study = tiny(n_b=(4,))
    _, samples, networks = prepared(study)
    with pytest.raises(ValueError, match=r"n_b must lie in 1\.\.3"):
        experiments.finish(
            tuning.tuned_networks(study, samples, networks, n_b=4, measure=unmeasured)
        )
