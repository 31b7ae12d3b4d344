"""A sparse semirobust f_a: tickets, and networks as sparse that are none, under a frozen cut.

The first a layers of a network that was trained under attack are frozen, and a dense f_b stands
behind them: that of a standard network as it is (spliced), or trained from there on clean images or
under attack. Beside the ticket stand its mask on new initial weights, a random mask with as many
weights in each layer, and the dense network, all trained under the same attack. So what is gained
by the mask and what by the initial weights can be told apart, layer by layer.

f_a is read as well: gamma_a between a certificate and an attack, and rho_j behind the cut.
All fronts and trials train as one batched network.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from semirobust.certified.certificates import Bracket, bracket, certified_margins
from semirobust.data import DataSet, Samples, subset
from semirobust.edge import information
from semirobust.evaluation.report import robust_accuracy
from semirobust.experiments.study import Progress, perturbed
from semirobust.experiments.tickets import Hunt, checkpoint, hunts, parts, scores
from semirobust.experiments.tickets import run as hunted
from semirobust.layers import split
from semirobust.theory.semirobustness import linear_readout, with_readout
from semirobust.tickets.batched import Masks, Weights, chain, fit, full_masks
from semirobust.tickets.pruning import initial_weights, restored, seeds_of, sizes_of
from semirobust.training.fitting import Epoch

FRESH = 500  # draw of the new initial weights, past those of any level


@dataclass(frozen=True, kw_only=True)
class Join:
    """Settings of one row.

    Args:
        hunt: Where the tickets come from.
        levels: Their levels.
        cuts: Number of layers of f_a, one cut each.
        read: Trials whose gamma and rho are read.
        images: Test images of gamma.
    """

    hunt: Hunt
    levels: tuple[int, ...] = (8, 15, 18)
    cuts: tuple[int, ...] = (1, 2)
    read: int = 2
    images: int = 300

    @property
    def title(self) -> str:
        """Return what tells the row from others at a glance."""
        return self.hunt.title


@dataclass(frozen=True)
class Front:
    """Where an f_a comes from: its name, its level and the networks of all trials."""

    name: str
    level: int
    weights: Weights

    def about(self, a: int, trial: int) -> dict[str, Any]:
        """Return what tells this f_a from others, with the share of its weights that remain."""
        layers = [weight[trial] for weight in self.weights[:a]]
        left = sum(int((layer != 0).sum()) for layer in layers)
        share = left / sum(layer.numel() for layer in layers)
        return {"front": self.name, "level": self.level, "a": a, "trial": trial, "share": share}


def joins(profile: str) -> tuple[Join, ...]:
    """Return the rows of a profile: those of tickets that were trained under PGD."""
    rows = [row for row in hunts(profile) if row.training == "pgd"]
    if profile == "smoke":
        return tuple(Join(hunt=row, levels=(5,), read=1, images=60) for row in rows)
    if profile == "cpu":
        return tuple(Join(hunt=row, levels=(11, 18), read=1, images=200) for row in rows)
    return tuple(Join(hunt=row) for row in rows)


def run(
    row: Join, root: str | Path | None = None, *, download: bool = False
) -> Generator[Progress, None, dict[str, list[dict[str, Any]]]]:
    """Return the tables "networks", "gamma" and "rho" of a row."""
    tables: dict[str, list[dict[str, Any]]] = {"networks": [], "gamma": [], "rho": []}
    yield from hunted(replace(row.hunt, images=None), root, download=download)
    samples = parts(row.hunt, root, download=download)
    standard = trained(row.hunt, samples.train, attack=False)
    sources = fronts(row, samples.train)
    yield Progress("fronts trained", Epoch(0, 0.0))
    for a in row.cuts:
        for name, weights in backs(row.hunt, sources, standard, samples.train, a):
            tables["networks"] += accuracies(row.hunt, sources, weights, samples.test, a, name)
            if name == "under attack":
                tables["gamma"] += readings(row, sources, weights, samples, a)
                tables["rho"] += dependence(row, sources, weights, samples.test, a)
            yield Progress(f"a={a}, f_b {name}", Epoch(a, 0.0))
    return tables


def trained(
    hunt: Hunt, train: Samples, masks: Masks | None = None, *, draw: int = 0, attack: bool = True
) -> Weights:
    """Return networks trained like a level of the hunt, one a trial, zero where a mask hides."""
    settings = hunt.tickets
    first = initial_weights(settings, sizes_of(train, settings), draw=draw)
    masks = full_masks(first) if masks is None else masks
    steps = settings.steps if attack else replace(settings.steps, attack=None)
    *_, (_, weights) = fit(first, masks, train, steps, seeds_of(settings, draw))
    return tuple(weight * mask for weight, mask in zip(weights, masks, strict=True))


def fronts(row: Join, train: Samples) -> list[Front]:
    """Return the dense networks, and for each level the ticket and the two that are none."""
    state = restored(checkpoint(row.hunt), row.hunt.tickets)
    found = [Front("dense", 0, state.tickets[0])]
    for level in row.levels:
        masks = tuple(weight != 0 for weight in state.tickets[level])
        other = shuffled(masks, seeds_of(row.hunt.tickets, FRESH + level))
        found += [
            Front("ticket", level, state.tickets[level]),
            Front("new weights", level, trained(row.hunt, train, masks, draw=FRESH)),
            Front("random mask", level, trained(row.hunt, train, other)),
        ]
    return found


def shuffled(masks: Masks, seeds: Sequence[int]) -> Masks:
    """Return masks with as many weights in each layer of each network, at random places."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    moved = []
    for mask in masks:
        flat = mask.flatten(1)
        order = [torch.randperm(flat.shape[1], generator=generator) for generator in generators]
        moved.append(flat.gather(1, torch.stack(order).to(flat.device)).view_as(mask))
    return tuple(moved)


def backs(
    hunt: Hunt, sources: Sequence[Front], standard: Weights, train: Samples, a: int
) -> Iterator[tuple[str, Weights]]:
    """Yield (f_a of every source, f_b) with f_b standard, trained clean, trained under attack."""
    f_a = [torch.cat([source.weights[layer] for source in sources]) for layer in range(a)]
    f_b = [weight.repeat(len(sources), 1, 1) for weight in standard[a:]]
    spliced = (*f_a, *f_b)
    seeds = seeds_of(hunt.tickets, FRESH + a) * len(sources)
    yield "standard", spliced
    for name, attack in (("clean", None), ("under attack", hunt.tickets.steps.attack)):
        steps = replace(hunt.tickets.steps, attack=attack)
        *_, (_, weights) = fit(spliced, full_masks(spliced), train, steps, seeds, a=a)
        yield name, weights


def accuracies(
    hunt: Hunt, sources: Sequence[Front], weights: Weights, test: Samples, a: int, back: str
) -> list[dict[str, Any]]:
    """Return one record for each source and trial: clean, FGSM and PGD accuracy of the whole."""
    found = scores(weights, full_masks(weights), samples=test, row=hunt)
    trials = hunt.tickets.trials
    return [
        {
            **source.about(a, trial),
            "back": back,
            **{name: float(values[place * trials + trial]) for name, values in found.items()},
        }
        for place, source in enumerate(sources)
        for trial in range(trials)
    ]


def readings(
    row: Join, sources: Sequence[Front], weights: Weights, samples: DataSet, a: int
) -> list[dict[str, Any]]:
    """Return gamma_a of each f_a from both sides, for a linear readout and for its dense f_b.

    Every part of the network behind f_a is a readout of it too; f_b was trained under attack.
    """
    few, trials = subset(samples.test, row.images), row.hunt.tickets.trials
    found = []
    for place, source in enumerate(sources):
        for trial in range(row.read):
            whole_chain = chain(weights, full_masks(weights), place * trials + trial)
            f_a, f_b = split(whole_chain, a)
            for name, readout in (("linear", linear_readout(f_a, a, samples.train)), ("f_b", f_b)):
                bracket = between(with_readout(f_a, a, readout), few, row.hunt)
                about = {**source.about(a, trial), "readout": name}
                found.append({**about, **bracket.as_record()})
    return found


def between(network: nn.Sequential, few: Samples, hunt: Hunt) -> Bracket:
    """Return gamma of a readout behind f_a, between a certificate and an attack."""
    report = robust_accuracy(network, few.x, few.y, hunt.strong, batch=250)
    margins = certified_margins(network, few.x, few.y, hunt.epsilon, ("zonotope",))
    return bracket(network, few.x, few.y, margins["zonotope"], report)


def dependence(
    row: Join, sources: Sequence[Front], weights: Weights, test: Samples, a: int
) -> list[dict[str, Any]]:
    """Return rho_j behind the cut, j = a+1..n, on test images attacked in each network."""
    found = []
    for place, source in enumerate(sources):
        for trial in range(row.read):
            network = chain(weights, full_masks(weights), place * row.hunt.tickets.trials + trial)
            images = perturbed(network, test, row.hunt.strong)
            attacked = Samples(images, test.labels)
            rho = information.rho(network, attacked.x, attacked.y, a=a)
            about = source.about(a, trial)
            found += [{**record, **about} for record in information.records({"tuned": rho})]
    return found
