"""Certified semirobustness of a first part: frozen settings in profiles, the tables of one row.

A row is one f_a: the first links of one trained network. Its tables:

bracket   gamma_j of a linear readout and of the rest of the network, from both sides, by depth,
transfer  the frozen f_a with an f_b trained in several ways: clean, attacked, verified, whether f_b
          certifies the label on the latent box, and rho at the cut with its null,
profile   the share of samples that some readout is certified to be right on, by depth, and how
          many pairs collide.
"""

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Generator as Seed
from torch import nn

from semirobust.attacks.ball import share
from semirobust.attacks.gradient import strong_pgd
from semirobust.certified.bounds import margins
from semirobust.certified.certificates import (
    bracket,
    certified_margins,
    verified,
    verified_by_bound,
)
from semirobust.certified.latent import collisions, latent_boxes, matched, overlaps, probe_free
from semirobust.certified.mixtrain import OnBoxes, with_boxes
from semirobust.data import DataSet, Samples, batches, device, select
from semirobust.edge import information
from semirobust.edge.estimator import Edge
from semirobust.evaluation.report import robust_accuracy
from semirobust.experiments.mixtrain import trained
from semirobust.experiments.mixtrain_settings import (
    DIGITS,
    ON_DIGITS,
    Certification,
    architecture,
    method_of,
)
from semirobust.experiments.nodes import train
from semirobust.experiments.study import Progress, Run
from semirobust.layers import compose, split
from semirobust.theory.semirobustness import linear_readouts, with_readout
from semirobust.types import Attack

Tail = Literal["standard", "boxes", "pgd-7"]


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """One f_a with everything that is put behind it."""

    front: Certification  # the network that f_a is taken from
    cuts: tuple[int, ...] = (1, 2, 3, 4)  # numbers of links of f_a
    tails: tuple[Tail, ...] = ("standard", "boxes")  # how f_b is trained
    epochs: int = 24  # of the training of f_b
    pairs: int = 1000  # nearest pairs that a collision is searched for

    @property
    def title(self) -> str:
        return f"front {self.front.title}"


def rows(profile: str) -> tuple[Transfer, ...]:
    methods = ("ibp", "mixtrain-5", "pgd-7", "standard")
    if profile == "smoke":
        few = replace(DIGITS, test=200)
        brief = replace(ON_DIGITS, data=few, chain="digits-small", epochs=20, ramp=5)
        fronts = (brief, replace(brief, method="standard", epochs=6))
        return tuple(Transfer(front=front, cuts=(1, 3), epochs=8, pairs=200) for front in fronts)
    if profile == "gpu":
        data = replace(DIGITS, name="cifar10", size=None)
        large = replace(ON_DIGITS, data=data, chain="cifar-large")
        return tuple(
            Transfer(front=replace(large, method=name, epsilon=2 / 255), cuts=(1, 2, 3, 4, 5))
            for name in methods
        )
    first = [Transfer(front=replace(ON_DIGITS, method=name)) for name in methods]
    seeds = [
        Transfer(front=replace(ON_DIGITS, method=name, seed=seed), cuts=(1, 3))
        for seed in range(1, 5)
        for name in methods[:2]
    ]
    return (*first, *seeds)


def run(row: Transfer) -> Run:
    samples = select(row.front.data, device=device())
    network, _ = yield from trained(row.front, samples)
    transfer = []
    for a in row.cuts:
        for tail in row.tails:
            whole = yield from spliced(row, network, samples, a, tail)
            transfer.append({"a": a, "tail": tail, **scores(row, whole, samples.test, a)})
    return {
        "bracket": brackets(row, network, samples),
        "transfer": transfer,
        "profile": profile_of(row, network, samples.test),
    }


def spliced(
    row: Transfer, network: nn.Sequential, samples: DataSet, a: int, tail: Tail
) -> Generator[Progress, None, nn.Sequential]:
    """Train an f_b from scratch behind the frozen f_a and return the whole."""
    fresh = architecture(row.front.chain).build(seed=100 + row.front.seed, tight=tail == "boxes")
    f_a, f_b = split(network, a)[0], split(fresh.to(device()), a)[1]
    whole = nn.Sequential(*f_a, *f_b)
    front, boxes = row.front, OnBoxes(ramp=max(1, row.epochs // 2))
    method = boxes if tail == "boxes" else method_of(tail, front.epsilon, 1, 1)
    training = replace(front.training, epochs=row.epochs, method=method)
    about = ("tail", front.method, front.chain, front.data, front.training, a, tail)
    if tail == "pgd-7":
        yield from train("certified", about, whole, samples.train, training, words=tail, a=a)
    else:
        behind = latents(row, network, samples.train, a, tail)
        yield from train("certified", about, f_b, behind, training, words=tail)
    return whole.eval()


@torch.no_grad()
def latents(row: Transfer, network: nn.Sequential, train: Samples, a: int, tail: Tail) -> Samples:
    """Return h_a of every sample, with the ends of its box where f_b trains on boxes."""
    f_a = compose(network, 1, a)
    h = torch.cat([f_a(x) for x, _, _ in batches(train, 250)])
    if tail == "boxes":
        boxes = latent_boxes(network, a, train.x, row.front.epsilon, outward=False)
        h = with_boxes(h, boxes)
    return Samples(h, train.labels)


def scores(row: Transfer, whole: nn.Sequential, test: Samples, a: int) -> dict[str, Any]:
    """Return what a spliced network reaches, and the dependence at its cut."""
    epsilon = row.front.epsilon
    by_bound = certified_margins(whole, test.x, test.y, epsilon, ("ibp", "zonotope"))
    flags = verified_by_bound(by_bound, test.y)
    report = robust_accuracy(whole, test.x, test.y, strong_pgd(epsilon, restarts=2), batch=250)
    edge = Edge.preset("calibrated")
    rho = information.rho(whole, test.x, test.y, edge=edge, a=a)[a + 1]
    return {
        "clean": report.clean_accuracy,
        "attacked": report.accuracy,
        **{f"verified {name}": share(flag) for name, flag in flags.items()},
        "guaranteed": guaranteed(whole, test, a, epsilon),
        "broken certificates": int((flags["any"] & ~report.standing).sum()),
        "rho": rho.value,
        "rho excess": rho.excess,
        "n": report.n,
    }


@torch.no_grad()
def guaranteed(whole: nn.Sequential, test: Samples, a: int, epsilon: float) -> float:
    """Return the share of samples whose label f_b certifies on the whole latent box of f_a.

    Assume and guarantee: f_a promises the box, f_b is right on all of it, whatever f_a is.
    """
    boxes = latent_boxes(whole, a, test.x, epsilon, "zonotope")
    found = margins(split(whole, a)[1], boxes, test.y, "ibp", outward=True)
    return share(verified(found, test.y))


def brackets(row: Transfer, network: nn.Sequential, samples: DataSet) -> list[dict[str, Any]]:
    """Return gamma_j from both sides for linear readouts by depth, and for the whole network."""
    n, test, epsilon = len(network), samples.test, row.front.epsilon
    readouts = linear_readouts(network, range(1, n + 1), samples.train)
    attack = strong_pgd(epsilon, restarts=2)
    return [
        {
            "readout": "whole network" if j == n else "linear",
            "j": j,
            **gamma_bracket(with_readout(network, j, readout), test, epsilon, attack),
        }
        for j, readout in readouts.items()
    ]


def gamma_bracket(
    whole: nn.Sequential, samples: Samples, epsilon: float, attack: Attack
) -> dict[str, Any]:
    """Return gamma of a network, between a certificate of zonotopes and an attack."""
    x, y = samples.x, samples.y
    report = robust_accuracy(whole, x, y, attack, batch=250)
    by_bound = certified_margins(whole, x, y, epsilon, ("zonotope",))
    return bracket(whole, x, y, by_bound["zonotope"], report).as_record()


def profile_of(row: Transfer, network: nn.Sequential, test: Samples) -> list[dict[str, Any]]:
    """Return by depth what every readout has in common: certified from below, found from above."""
    found, epsilon = [], row.front.epsilon
    trivial = int(torch.bincount(test.y).max()) / len(test)
    for j in range(1, len(network)):
        ends = {
            f"probe-free {bound}": probe_free(
                overlaps(latent_boxes(network, j, test.x, epsilon, bound), test.y), test.y
            )
            for bound in ("ibp", "zonotope")
        }
        seed = Seed().manual_seed(0)
        near = collisions(network, j, test.x, test.y, epsilon, generator=seed, pairs=row.pairs)
        found.append({"j": j, **ends, "trivial": trivial, "upper": 1 - matched(near) / len(test)})
    return found
