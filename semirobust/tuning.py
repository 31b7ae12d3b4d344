"""Algorithm 1 at one cut of a study: f_b retrained behind the frozen f_a* or that of a control.

All trials of a cut and a front are one artefact: their records, and f_b of each.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as from_safetensors
from torch import nn

from semirobust.algorithm1 import Algorithm1, Measure, Trial, trials
from semirobust.artefacts import Artefact, Held, held, publish
from semirobust.data import DataSet, Samples, batches
from semirobust.layers import cut, splice, split
from semirobust.subnetwork import (
    Front,
    Progress,
    Study,
    content,
    device_name,
    packed,
    robust_artefact,
    score,
    seeded,
    stepped,
)
from semirobust.training import Epoch, accuracy, load_weights

CACHE_BYTES = 1_500_000_000  # a larger block of activations is computed anew in every epoch
Networks = dict[str, nn.Sequential]


def tuned_artefact(study: Study, n_b: int, front: Front, measure: Measure) -> Artefact:
    """Return what the trials at one cut are named by."""
    about = (*robust_artefact(study).about, seeded(study, study.standard), study.attack)
    about = (*about, study.tuning, study.trials, study.tolerance, n_b, front)
    return Artefact(stage="tuned", about=about, code=(tuned_networks, measure, Samples))


def tuned_networks(
    study: Study,
    samples: DataSet,
    networks: Networks,
    *,
    n_b: int,
    measure: Measure,
    front: Front = "robust",
) -> Generator[Progress, None, list[Trial]]:
    """Run Algorithm 1 at one cut and return its trials.

    Args:
        study: Its settings.
        samples: The static examples, or the clean images of the online protocol.
        networks: "standard", "robust" and "random".
        n_b: Trainable layers of f_b.
        measure: Reads rho_j of a finished trial.
        front: Whose f_a is frozen; another than "robust" is a control.
    """
    a = cut(networks["standard"], n_b)
    inputs = {str(name): content(networks[name]) for name in ("standard", "robust", front)}
    inputs["samples"] = content(samples)
    with held(tuned_artefact(study, n_b, front, measure), inputs) as work:
        if work.record is not None:
            for stage, epoch in work.facts["epochs"]:
                yield Progress(stage, Epoch(**epoch), taken_up=True)
            return [_restored(work, trial, networks, front, a) for trial in work.facts["trials"]]
        static = study.protocol == "static"
        features = cached(split(networks[front], a)[0], samples) if static else None
        fit_f_b = partial(_fit_f_b, study, samples, features, a=a, folder=work.folder)
        outcomes, steps = [], []
        for trial, made in _tried(
            study, samples, networks, front, a=a, measure=measure, fit_f_b=fit_f_b
        ):
            named = [step._replace(stage=_stage(n_b, front, trial)) for step in made]
            yield from named
            steps += [(step.stage, asdict(step.epoch)) for step in named]
            outcomes.append(trial)
        f_b = {_file(trial): packed(split(trial.network, a)[1]) for trial in outcomes}
        facts = {"epochs": steps, "trials": [as_record(one) for one in outcomes]}
        publish(work, f_b, facts, device=device_name())
    return outcomes


def _tried(
    study: Study,
    samples: DataSet,
    networks: Networks,
    front: Front,
    *,
    a: int,
    measure: Measure,
    fit_f_b: Callable[[nn.Sequential, int], Iterator[Progress]],
) -> Iterator[tuple[Trial, list[Progress]]]:
    """Yield the trials with the epochs of each."""
    made: list[Progress] = []

    def tune(network: nn.Sequential, number: int) -> Iterator[Epoch]:
        for step in fit_f_b(network, number):
            made.append(step)
            yield step.epoch

    right = score(study, samples)
    for trial in trials(
        Algorithm1(a=a, tolerance=study.tolerance, trials=study.trials),
        networks[front],
        networks["standard"],
        target=right(networks["robust"]),
        tune=tune,
        accuracy=right,
        measure=measure,
    ):
        yield trial, made.copy()
        made.clear()


def _fit_f_b(
    study: Study,
    samples: DataSet,
    features: DataSet | None,
    network: nn.Sequential,
    number: int,
    *,
    a: int,
    folder: Path,
) -> Iterator[Progress]:
    """Fit f_b of a network: on cached h_a where they are small enough, else behind f_a."""
    training, path = seeded(study, study.tuning, number), folder / f"checkpoint-{number}.pt"
    if features is None:
        check = score(study, samples)
        return stepped("", network, samples.train, training, path, a=a, validate=check)
    stored = partial(accuracy, samples=features.validation)
    return stepped("", split(network, a)[1], features.train, training, path, validate=stored)


def _stage(n_b: int, front: Front, trial: Trial) -> str:
    return f"f_b={n_b} behind {front} f_a, trial {trial.number + 1}"


def _file(trial: Trial) -> str:
    return f"f_b-{trial.number}.safetensors"


def as_record(trial: Trial) -> dict[str, Any]:
    """Return a trial without its network."""
    fields = ("number", "spliced_accuracy", "accuracy", "epochs", "accuracies", "rho")
    return {name: getattr(trial, name) for name in fields}


def _restored(
    work: Held, record: dict[str, Any], networks: Networks, front: Front, a: int
) -> Trial:
    """Return a trial as it was published."""
    network = splice(networks[front], networks["standard"], a)
    rho = {int(j): value for j, value in record["rho"].items()}
    more = {"rho": rho, "accuracies": tuple(record["accuracies"]), "network": network}
    trial = Trial(**{**record, **more})
    weights = from_safetensors(work.payload(_file(trial)))
    load_weights(split(network, a)[1], weights, work.folder / _file(trial))
    return trial


def cached(f_a: nn.Sequential, samples: DataSet) -> DataSet | None:
    """Return h_a of every sample in the place of the images; None where it would be too large.

    A frozen f_a and stored examples give the same h_a in every epoch: f_b trains on it directly.
    """
    with torch.no_grad():
        wide = f_a(samples.train.x[:1]).numel() * 4 * len(samples.train)
        if wide > CACHE_BYTES:
            return None
        return replace(
            samples,
            train=_through(f_a, samples.train),
            validation=_through(f_a, samples.validation),
        )


def _through(f_a: nn.Sequential, samples: Samples) -> Samples:
    return Samples(torch.cat([f_a(x) for x, _, _ in batches(samples, 250)]), samples.labels)
