"""Algorithm 1 at one cut of a study: f_b retrained behind the frozen f_a* or that of a control.

Every trial is an artefact of its own, its record and its f_b: trials run in any number of
processes, and whoever asks for more of them gets the earlier ones as they are.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load as from_safetensors
from torch import nn

from semirobust.algorithm1 import Algorithm1, Measure, Trial, trials
from semirobust.data import DataSet, Samples, batches
from semirobust.experiments.study import (
    Front,
    Progress,
    Study,
    content,
    device_name,
    robust_artefact,
    score,
    seeded,
    stepped,
)
from semirobust.layers import cut, splice, split
from semirobust.results.artefacts import Artefact, Held, held, publish
from semirobust.training.fitting import Epoch, accuracy, load_weights, packed

CACHE_BYTES = 1_500_000_000  # a larger block of activations is computed anew in every epoch
F_B = "f_b.safetensors"
Networks = dict[str, nn.Sequential]


class Cut(NamedTuple):
    """What all trials at one cut and behind one front share.

    ``target`` (Acc*) and ``features`` (h_a of the stored examples) are computed when a trial first
    asks for them, and once.
    """

    study: Study
    samples: DataSet
    networks: Networks
    a: int
    front: Front
    measure: Measure
    target: Callable[[], float]
    features: Callable[[], DataSet | None]


def tuned_artefact(
    study: Study, n_b: int, front: Front, measure: Measure, number: int = 0
) -> Artefact:
    """Return what one trial at one cut is named by."""
    about = (*robust_artefact(study).about, seeded(study, study.standard), study.attack)
    about = (*about, study.tuning, study.tolerance, n_b, front, number)
    return Artefact(stage="tuned", about=about, code=(tuned_networks, measure, Samples))


def tuned_networks(
    study: Study,
    samples: DataSet,
    networks: Networks,
    *,
    n_b: int,
    measure: Measure,
    front: Front = "robust",
    numbers: Sequence[int] | None = None,
) -> Generator[Progress, None, list[Trial]]:
    """Run Algorithm 1 at one cut and return its trials.

    Args:
        study: Its settings.
        samples: The static examples, or the clean images of the online protocol.
        networks: "standard", "robust" and "random".
        n_b: Trainable layers of f_b.
        measure: Reads rho_j of a finished trial.
        front: Whose f_a is frozen; another than "robust" is a control.
        numbers: Which trials; by default all of the study, from 0.
    """
    a = cut(networks["standard"], n_b)
    target = cache(partial(score(study, samples), networks["robust"]))
    features = cache(partial(cached, split(networks[front], a)[0], samples))
    at = Cut(study, samples, networks, a, front, measure, target, features)
    inputs = {str(name): content(networks[name]) for name in ("standard", "robust", front)}
    inputs["samples"] = content(samples)
    outcomes = []
    for number in range(study.trials) if numbers is None else numbers:
        with held(tuned_artefact(study, n_b, front, measure, number), inputs) as work:
            if work.record is None:
                trial, made = _tried(at, number, work.folder)
                stage = f"f_b={n_b} behind {front} f_a, trial {number + 1}"
                made = [step._replace(stage=stage) for step in made]
                yield from made
                epochs = [(step.stage, asdict(step.epoch)) for step in made]
                facts = {"epochs": epochs, "trial": as_record(trial)}
                f_b = packed(split(trial.network, a)[1])
                publish(work, {F_B: f_b}, facts, device=device_name())
            else:
                for stage, epoch in work.facts["epochs"]:
                    yield Progress(stage, Epoch(**epoch), taken_up=True)
                trial = _restored(at, work)
            outcomes.append(trial)
    return outcomes


def _tried(at: Cut, number: int, folder: Path) -> tuple[Trial, list[Progress]]:
    """Return a trial with its epochs."""
    made: list[Progress] = []

    def tune(network: nn.Sequential, number: int) -> Iterator[Epoch]:
        for step in _fit_f_b(at, network, number, folder):
            made.append(step)
            yield step.epoch

    (trial,) = trials(
        Algorithm1(a=at.a, tolerance=at.study.tolerance, first=number),
        at.networks[at.front],
        at.networks["standard"],
        target=at.target(),
        tune=tune,
        accuracy=score(at.study, at.samples),
        measure=at.measure,
    )
    return trial, made


def _fit_f_b(at: Cut, network: nn.Sequential, number: int, folder: Path) -> Iterator[Progress]:
    """Fit f_b of a network: on cached h_a where they are small enough, else behind f_a."""
    training, path = seeded(at.study, at.study.tuning, number), folder / "checkpoint.pt"
    features = at.features() if at.study.protocol == "static" else None
    if features is None:
        check = score(at.study, at.samples)
        return stepped("", network, at.samples.train, training, path, a=at.a, validate=check)
    stored = partial(accuracy, samples=features.validation)
    return stepped("", split(network, at.a)[1], features.train, training, path, validate=stored)


def as_record(trial: Trial) -> dict[str, Any]:
    """Return a trial without its network."""
    fields = ("number", "spliced_accuracy", "accuracy", "epochs", "accuracies", "rho")
    return {name: getattr(trial, name) for name in fields}


def _restored(at: Cut, work: Held) -> Trial:
    """Return a trial as it was published."""
    record = work.facts["trial"]
    network = splice(at.networks[at.front], at.networks["standard"], at.a)
    rho = {int(j): value for j, value in record["rho"].items()}
    more = {"rho": rho, "accuracies": tuple(record["accuracies"]), "network": network}
    trial = Trial(**{**record, **more})
    load_weights(split(network, at.a)[1], from_safetensors(work.payload(F_B)), work.folder / F_B)
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
