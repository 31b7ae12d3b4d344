"""A tiny row of every experiment: all code runs, in about a second."""

from dataclasses import replace

from semirobust.attacks.gradient import NFGSM, PGD
from semirobust.data import Part
from semirobust.evaluation.scrutiny import Evaluation
from semirobust.experiments import (
    audits,
    carriers,
    certified,
    interventions,
    linear,
    readings,
    revision,
    rewinding,
    scales,
    sparse,
    tickets,
)
from semirobust.experiments.measures import Measures
from semirobust.experiments.mixtrain_settings import Certification
from semirobust.experiments.registry import EXPERIMENTS
from semirobust.models import Architecture
from semirobust.theory.semirobustness import Search
from semirobust.training.fitting import Training
from semirobust.training.methods import Online

RADIUS = 16 / 255
ATTACK = PGD(epsilon=RADIUS, step_size=RADIUS / 2, steps=2)


def row(protocol="online"):
    brief = Training(epochs=1, learning_rate=0.05, batch=32)
    method = Online(attack=NFGSM(epsilon=RADIUS)) if protocol == "online" else brief.method
    whole = scales.smoke("vgg16", protocol)
    study = replace(
        whole.study,
        architecture=Architecture(name="cnn", width=0.25),
        data=Part(train=120, validation=60, test=250),
        attack=ATTACK,
        n_b=(2,),
        standard=brief,
        robust=replace(brief, epochs=2, method=method),
        tuning=brief,
    )
    return replace(whole, study=study, images=30, controls=(), presets=("paper",))


def checked():
    """Return a row on stored examples with every check and adaptive attacks at the cut."""
    asked = Evaluation(attack="headline", epsilon=16, dataset="digits", probes=5, queries=20)
    return replace(row("static"), images=10, headline=asked, presets=("paper", "published"))


def hunt():
    whole = tickets.hunts("smoke")[0]
    steps = replace(whole.tickets.steps, iterations=3)
    few = replace(whole.tickets, steps=steps, levels=2, trials=2, hidden=(20, 10))
    return replace(whole, tickets=few, data=Part(name="digits", test=60))


def rewound():
    return rewinding.Rewinding(
        architecture=Architecture(name="cnn", width=0.25),
        data=Part(name="digits", train=80, test=80),
        training=Training(epochs=2, learning_rate=0.05, batch=40),
        whitebox=ATTACK,
        n_b=(2,),
        early=1,
        levels=1,
        rate=0.5,
        images=80,
    )


def certification():
    return Certification(
        method="mixtrain-1",
        data=Part(name="digits", size=8, train=128, test=40),
        chain="digits-small",
        epsilon=0.1,
        epochs=2,
        ramp=1,
        every=1,
    )


def audited():
    search = Search(epsilon=RADIUS, steps=1, restarts=1)
    return audits.Audited(row=row(), search=search, fitting=100, images=60, searched=10)


def factorial():
    search = Search(epsilon=RADIUS, steps=1, restarts=1)
    measures = Measures(
        whitebox=ATTACK,
        images=30,
        read=250,
        fitting=60,
        searched=10,
        search=search,
    )
    study = row().study
    attacked = replace(study.tuning, method=study.robust.method)
    return carriers.Carriers(
        study=replace(study, tuning=attacked),
        measures=measures,
        choosing=ATTACK,
        rates=(0.05, 0.01),
        epochs=(1,),
        another=1,
        few=(),
    )


def intervened():
    of = factorial()
    return interventions.Intervened(
        study=of.study,
        measures=of.measures,
        choosing=ATTACK,
        rate=0.05,
        copies=(2,),
        weights=(0.0, 1.0),
    )


ROWS = {
    "table-1": row,
    "headline": checked,
    "audit": audited,
    "readings": lambda: readings.Reading(row=row(), images=250),
    "revision": lambda: revision.Attacked(
        study=row().study, attacks=(("PGD", ATTACK),), images=250
    ),
    "linear": lambda: linear.Linear(
        study=row().study, attacks=(("PGD", ATTACK),), images=50, solving=50, batch=50
    ),
    "carriers": factorial,
    "interventions": intervened,
    "tickets": hunt,
    "sparse": lambda: sparse.Join(hunt=hunt(), levels=(2,), cuts=(1,), read=1, images=20),
    "rewinding": rewound,
    "mixtrain": certification,
    "certified": lambda: certified.Transfer(
        front=certification(), cuts=(1,), tails=("standard", "boxes"), epochs=1, pairs=20
    ),
}
CASES = {name: (EXPERIMENTS[name].run, settings) for name, settings in ROWS.items()}
