"""Is rho a cause? It is moved with the function left alone, left alone, and raised in training.

Moved: the robust network with its hidden layers behind the cut written otherwise (units copied,
idle units, what nobody reads projected out), every logit checked. Left alone: two networks with the
same hidden layers, of which one head reads the robust path and one the standard path. Raised: f_b
trained behind the robust front with λ InfoNCE(h_{j-1}; h_j | y), on clean images and against the
attack; if dependence carried robustness over, more of it would carry over more.
"""

from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from semirobust.attacks.gradient import PGD
from semirobust.data import DataSet, subset
from semirobust.evaluation.report import robust_accuracy
from semirobust.experiments.carriers import Carriers, carriers, trainings
from semirobust.experiments.measures import Measures, collected, evaluations
from semirobust.experiments.nodes import Memory, Node, made
from semirobust.experiments.rests import How, trained_rest
from semirobust.experiments.row import Contender, dependence, tables_of
from semirobust.experiments.stages import Entry, Lineup, lineup
from semirobust.experiments.study import Content, Run, Study, titled
from semirobust.layers import cut
from semirobust.models import Architecture
from semirobust.theory.interventions import (
    BOUND,
    change,
    copied,
    exact_logits,
    projected,
    two_paths,
    with_idle_units,
)
from semirobust.training.dependent import Dependent
from semirobust.training.fitting import Training
from semirobust.types import Attack

READ = {"paper": "value", "calibrated": "excess"}  # what is read of each preset


@dataclass(frozen=True, kw_only=True)
class Intervened:
    """The interventions on one architecture and seed, at one cut."""

    study: Study  # whole networks, and the adversarial training of f_b; its first cut is taken
    measures: Measures
    choosing: PGD  # on validation images; recorded only
    rate: float
    copies: tuple[int, ...] = (4, 16)
    weights: tuple[float, ...] = (0.0, 0.1, 0.3, 1.0, 3.0)  # of InfoNCE, in nats of loss per bit
    label: str = ""  # beside network, data and seed

    @property
    def title(self) -> str:
        return titled(self.study, self.label)


def of_row(row: Intervened) -> Lineup:
    """Return the nodes of a row, which waits for the writings and for every dose."""
    nodes, n_b = lineup(row.study), row.study.n_b[0]
    whole = {entry.name: entry.network for entry in nodes.entries[:2]}
    written = Node(
        stage="writings",
        settings=(row.measures, row.copies, n_b, row.study.architecture),
        needs={"samples": nodes.data, "attacked": nodes.attacked, **whole},
        make=writings,
        read=tables_of,
    )
    entries = [Entry("robust", {"network": "robust", "n_b": n_b}, whole["robust"])]
    parts = {"source": whole["robust"], "standard": whole["standard"]}
    for training in ("clean", "adversarial"):
        for weight in row.weights:
            how: How = (dosed(row, training, weight), (row.rate,), row.choosing, n_b, "front")
            words = f"{training}-{weight:g}"
            where = {"network": words, "training": training, "weight": weight, "n_b": n_b}
            entries.append(Entry("dosed", where, trained_rest(how, parts, nodes.data, words)))
    targets = evaluations(row.measures, entries, nodes, whole)
    return nodes._replace(entries=entries, targets=[*targets, written])


def dosed(row: Intervened, training: Any, weight: float) -> Training:
    """Return the training of f_b with so much InfoNCE in its loss."""
    chosen = trainings(row.study)[training]
    attack: Attack | None = getattr(chosen.method, "attack", None)
    a = cut(row.study.architecture.build(), row.study.n_b[0])
    return replace(chosen, method=Dependent(a=a, weight=weight, attack=attack))


def writings(
    measures: Measures,
    copies: tuple[int, ...],
    n_b: int,
    architecture: Architecture,
    *,
    samples: DataSet,
    attacked: DataSet,
    standard: nn.Sequential,
    robust: nn.Sequential,
) -> Content:
    """Return the tables "writings", "paths" and "rho" of the robust network written otherwise.

    Raises:
        ArithmeticError: A logit has moved by more than rounding on some test image.
    """
    a, n, x = cut(robust, n_b), len(robust), samples.test.x[:2]
    layers, seen = range(a, n), subset(attacked.test, measures.read)
    spare = architecture.build(seed=1).to(x.device)
    networks = {"as trained": robust, "projected": projected(robust)}
    networks |= {f"{k} copies": copied(robust, layers, k) for k in copies}
    networks["idle units"] = with_idle_units(robust, spare, layers, x)
    paths = two_paths(robust, standard, x=x)
    heads = dict(zip(("robust head", "standard head"), paths, strict=True))
    exact = {"standard head": exact_logits(standard, samples.test)}
    own = exact_logits(robust, samples.test)
    table, reports, few = [], [], subset(samples.test, measures.images)
    for name, network in (networks | heads).items():
        moved = change(exact.get(name, own), network, samples.test)
        if moved > BOUND:
            raise ArithmeticError(f"{name}: a logit has moved by {moved:.2g} of the largest")
        table.append({"network": name, "change": moved, "images": len(samples.test)})
        if name in ("as trained", *heads):
            report = robust_accuracy(
                network, few.x, few.y, {"whitebox": measures.whitebox}, batch=500
            )
            table[-1] |= {"whitebox": report.accuracy}
            reports.append({"network": name, "column": "whitebox", **report.as_record()})
    rho = [
        {**record, "preset": preset}
        for name, network in (networks | heads).items()
        for preset in measures.presets
        for record in dependence(Contender(name, network, {"n_b": n_b}, a), seen, preset)
    ]
    return {}, {"networks": table, "reports": reports, "rho": rho}


def run(row: Intervened) -> Run:
    """Return "writings", "written" (their rho) and "doses", beside the tables of ``carriers``."""
    nodes, memory = of_row(row), Memory()
    tables = yield from collected(nodes, memory)
    written = yield from made(nodes.targets[-1], memory)
    tables |= {"writings": moved(written["networks"], written["rho"]), "written": written["rho"]}
    tables["reports"] += written["reports"]
    tables["doses"] = doses(tables["networks"], tables["rho"])
    return tables


def moved(networks: list[dict[str, Any]], rho: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to every writing how far hidden rho_j moved, in bits: as published, and its excess.

    It is the mean over hidden layers of the change from the network as trained; of the standard
    head, from the robust head, and there the largest.
    """
    last = max(record["j"] for record in rho)
    value = {(r["network"], r["preset"], r["j"]): r for r in rho if r["j"] < last}
    for network in networks:
        name = network["network"]
        head = name == "standard head"
        beside, of = ("robust head", max) if head else ("as trained", fmean)
        for preset, column in READ.items():
            pairs = [(value[name, p, j], value[beside, p, j]) for _, p, j in value if p == preset]
            apart = [here[column] - there[column] for here, there in pairs]
            network[f"moved_{preset}"] = of(map(abs, apart)) if head else fmean(apart)
    return networks


def doses(networks: list[dict[str, Any]], rho: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each training how rho and accuracies grow from no dose to the largest.

    A growth is the slope of a straight line over the doses in their order, from 0 to 1: the doses
    are not spaced evenly, and an effect need not be linear in them.
    """
    table = []
    for training in dict.fromkeys(n["training"] for n in networks if "training" in n):
        chosen = sorted((n for n in networks if n.get("training") == training), key=_weight)
        at = np.linspace(0, 1, len(chosen))
        grown = {name: slope(at, [n[name] for n in chosen]) for name in ("clean", "whitebox")}
        for preset, column in READ.items():
            means = [
                fmean(r[column] for r in rho if (r["network"], r["preset"]) == (name, preset))
                for name in (n["network"] for n in chosen)
            ]
            grown[preset] = slope(at, means)
        table.append({"training": training, **grown})
    return table


def _weight(network: dict[str, Any]) -> float:
    return float(network["weight"])


def slope(x: NDArray[np.float64], y: list[float]) -> float:
    return float(np.polyfit(x, np.asarray(y), 1)[0])


def rows(profile: str) -> tuple[Intervened, ...]:
    """Return the rows of VGG16, whose links are layers, at the cut in front of the last four."""
    if profile == "smoke":
        (row,) = carriers("smoke")
        return (_of(row, 0.05, n_b=4, weights=(0.0, 1.0)),)
    return tuple(_of(row, 0.1, n_b=4) for row in carriers(profile) if _is_chain(row))


def _is_chain(row: Carriers) -> bool:
    return row.study.architecture.name == "vgg16" and not row.label


def _of(row: Carriers, rate: float, *, n_b: int, **changes: Any) -> Intervened:
    study = replace(row.study, n_b=(n_b,))
    return Intervened(
        study=study, measures=row.measures, choosing=row.choosing, rate=rate, **changes
    )
