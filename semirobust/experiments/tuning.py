"""Algorithm 1 at one cut of a study: f_b retrained behind the frozen f_a* or that of a control.

Every trial is an artefact of its own, its record and its f_b: trials run in any number of
processes, and whoever asks for more of them gets the earlier ones as they are.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from semirobust.algorithm1 import Algorithm1, Trial, trials
from semirobust.data import DataSet, Samples, batches
from semirobust.edge import information
from semirobust.edge.estimator import Edge
from semirobust.experiments.study import (
    Content,
    Front,
    Making,
    Progress,
    Study,
    score,
    seeded,
    stepped,
)
from semirobust.layers import cut, splice, split
from semirobust.training.fitting import Epoch, accuracy

RECORDED = ("number", "spliced_accuracy", "accuracy", "epochs", "accuracies", "rho")
CACHE_BYTES = 1_500_000_000  # a larger block of activations is computed anew in every epoch
Reading = Callable[..., dict[int, float]]


def tried(
    study: Study,
    front: Front,
    number: int,
    *,
    samples: DataSet,
    standard: nn.Sequential,
    robust: nn.Sequential,
    source: nn.Sequential,
    attacked: DataSet,
    folder: Path,
    measure: Reading,
) -> Making:
    """Run one trial of Algorithm 1 at the one cut of a study.

    f_b starts as that of ``standard`` behind the frozen f_a of ``source``, which is ``robust`` or a
    control, and aims at the accuracy of ``robust``. ``samples`` are the static examples, or the
    clean images of the online protocol; ``measure`` reads rho_j on the test images of ``attacked``.
    """
    a = cut(standard, study.n_b[0])
    steps: list[Progress] = []

    words = f"f_b={study.n_b[0]} behind {front} f_a, trial {number + 1}"

    def tune(network: nn.Sequential, _: int) -> Iterator[Epoch]:
        training = seeded(study, study.tuning, number)
        fit = partial(stepped, words, training=training, folder=folder)
        features = _features(source, a, samples) if study.protocol == "static" else None
        if features is None:
            fitting = fit(network, samples.train, a=a, validate=score(study, samples))
        else:
            stored = partial(accuracy, samples=features.validation)
            fitting = fit(split(network, a)[1], features.train, validate=stored)
        for step in fitting:
            steps.append(step)
            yield step.epoch

    (trial,) = trials(
        Algorithm1(a=a, tolerance=study.tolerance, first=number),
        source,
        standard,
        target=_target(study, samples, robust),
        tune=tune,
        accuracy=score(study, samples),
        measure=partial(measure, samples=attacked.test, a=a),
    )
    yield from steps
    return split(trial.network, a)[1].state_dict(), as_record(trial)


def restored(
    study: Study, content: Content, *, standard: nn.Sequential, source: nn.Sequential, **_: object
) -> Trial:
    weights, facts = content
    record = {name: facts[name] for name in RECORDED}
    record["accuracies"] = tuple(record["accuracies"])
    record["rho"] = {int(j): value for j, value in record["rho"].items()}
    a = cut(standard, study.n_b[0])
    network = splice(source, standard, a)
    split(network, a)[1].load_state_dict(weights)
    return Trial(**record, network=network.eval())


@lru_cache(maxsize=1)
def _target(study: Study, samples: DataSet, robust: nn.Sequential) -> float:
    """Return Acc*, at which all trials of a study aim."""
    return score(study, samples)(robust)


@lru_cache(maxsize=1)
def _features(source: nn.Sequential, a: int, samples: DataSet) -> DataSet | None:
    """Return h_a of all samples where they are small enough; the trials at one cut share them."""
    return cached(split(source, a)[0], samples)


def cached(f_a: nn.Sequential, samples: DataSet) -> DataSet | None:
    """Return h_a of every sample in the place of the images; None where it would be too large.

    A frozen f_a and stored examples give the same h_a in every epoch: f_b trains on it directly.
    """
    with torch.no_grad():
        wide = f_a(samples.train.x[:1]).numel() * 4 * len(samples.train)
        if wide > CACHE_BYTES:
            return None
        train, validation = (
            Samples(torch.cat([f_a(x) for x, _, _ in batches(part, 250)]), part.labels)
            for part in (samples.train, samples.validation)
        )
        return replace(samples, train=train, validation=validation)


def published_rho(network: nn.Sequential, *, samples: Samples, a: int) -> dict[int, float]:
    """Return rho_j in bits as the paper estimates it, without the null."""
    edge = Edge.preset("paper", permutations=0)
    rho = information.rho(network, samples.x, samples.y, edge=edge, a=a, block=None)
    return {j: dependence.value for j, dependence in rho.items()}


def unread(_: nn.Sequential, *, samples: Samples, a: int) -> dict[int, float]:  # noqa: ARG001
    """Return nothing: rho of a single trial is read once, with its null."""
    return {}


def as_record(trial: Trial) -> dict[str, Any]:
    return {name: getattr(trial, name) for name in RECORDED}
