"""A sparse semirobust f_a: tickets, and networks as sparse that are none, under a frozen cut.

The first a layers of a network that was trained under attack are frozen, and a dense f_b stands
behind them: that of a standard network as it is (spliced), or trained from there on clean images or
under attack. Beside the ticket stand its mask on new initial weights, a random mask with as many
weights in each layer, and the dense network, all trained under the same attack. So what is gained
by the mask and what by the initial weights can be told apart, layer by layer.

f_a is read as well: gamma_a between a certificate and an attack, and rho_j behind the cut.
All fronts and trials train as one batched network.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from semirobust.data import Samples, subset
from semirobust.experiments.certified import gamma_bracket
from semirobust.experiments.nodes import kept
from semirobust.experiments.row import Contender, dependence
from semirobust.experiments.study import Making, Progress, Run, Tables, perturbed
from semirobust.experiments.tickets import Found, Hunt, hunted, hunts, parts, scores
from semirobust.layers import split
from semirobust.results.artefacts import Artefact
from semirobust.theory.semirobustness import linear_readout, with_readout
from semirobust.tickets.batched import Masks, Steps, Weights, chain, fit, full_masks, placed
from semirobust.tickets.pruning import initial_weights, seeds_of, share_left, sizes_of
from semirobust.training.files import content
from semirobust.training.fitting import Epoch

FRESH = 500  # draw of the new initial weights, past those of any level


@dataclass(frozen=True, kw_only=True)
class Join:
    hunt: Hunt  # where the tickets come from
    levels: tuple[int, ...] = (8, 15, 18)  # of the tickets
    cuts: tuple[int, ...] = (1, 2)  # numbers of layers of f_a
    read: int = 2  # trials whose gamma and rho are read
    images: int = 300  # test images of gamma

    @property
    def title(self) -> str:
        return self.hunt.title


@dataclass(frozen=True)
class Front:
    """Where an f_a comes from: its name, its level and the networks of all trials."""

    name: str
    level: int
    weights: Weights

    def about(self, a: int, trial: int) -> dict[str, Any]:
        """Return what tells this f_a from others, with the share of its weights that remain."""
        share = share_left([weight[trial] for weight in self.weights[:a]])
        return {"front": self.name, "level": self.level, "a": a, "trial": trial, "share": share}


def joins(profile: str) -> tuple[Join, ...]:
    """Return the rows of a profile: those of tickets that were trained under PGD."""
    rows = [row for row in hunts(profile) if row.training == "pgd"]
    if profile == "smoke":
        return tuple(Join(hunt=row, levels=(5,), read=1, images=60) for row in rows)
    if profile == "cpu":
        return tuple(Join(hunt=row, levels=(11, 18), read=1, images=200) for row in rows)
    return tuple(Join(hunt=row) for row in rows)


def run(row: Join) -> Run:
    """Return the tables "networks", "gamma" and "rho" of a row."""
    tables: Tables = {"networks": [], "gamma": [], "rho": []}
    hunt, samples = row.hunt, parts(row.hunt)
    few, trials = subset(samples.test, row.images), hunt.tickets.trials
    found = yield from hunted(hunt, samples)
    standard = yield from trained(hunt, samples.train, "standard", attack=False)
    sources = yield from fronts(row, found, samples.train)
    for a in row.cuts:
        backs = yield from joined(hunt, sources, standard, samples.train, a)
        for back, weights in backs.items():
            scored = scores(weights, full_masks(weights), samples=samples.test, row=hunt)
            tables["networks"] += [
                {
                    **source.about(a, trial),
                    "back": back,
                    **{name: float(each[place * trials + trial]) for name, each in scored.items()},
                }
                for place, source in enumerate(sources)
                for trial in range(trials)
            ]
        weights = backs["under attack"]
        for place, source in enumerate(sources):
            for trial in range(row.read):
                network = chain(weights, full_masks(weights), place * trials + trial)
                about = source.about(a, trial)
                gamma = gammas(hunt, network, a, samples.train, few)
                tables["gamma"] += [{**about, **record} for record in gamma]
                images = perturbed(network, samples.test, hunt.strong)
                read = Contender("tuned", network, about, a)
                tables["rho"] += dependence(read, images, "calibrated")
    return tables


def gammas(
    hunt: Hunt, network: nn.Sequential, a: int, train: Samples, few: Samples
) -> list[dict[str, Any]]:
    """Return gamma_a from both sides, for a linear readout and for the f_b trained under attack.

    Every part of the network behind f_a is a readout of it too.
    """
    f_a, f_b = split(network, a)
    readouts = {"linear": linear_readout(f_a, a, train), "f_b": f_b}
    return [
        {
            "readout": name,
            **gamma_bracket(with_readout(f_a, a, readout), few, hunt.epsilon, hunt.strong),
        }
        for name, readout in readouts.items()
    ]


def trained(
    hunt: Hunt,
    train: Samples,
    words: str,
    masks: Masks | None = None,
    *,
    draw: int = 0,
    attack: bool = True,
) -> Generator[Progress, None, Weights]:
    """Return networks trained like a level of the hunt, one a trial, zero where a mask hides."""
    settings = hunt.tickets
    drawn = initial_weights(settings, sizes_of(train, settings), draw=draw)
    first = placed(drawn, train.labels)
    masks = full_masks(first) if masks is None else masks
    steps = settings.steps if attack else replace(settings.steps, attack=None)
    seeds = seeds_of(settings, draw)
    weights = yield from _fitted(hunt, words, first, masks, train, steps=steps, seeds=seeds)
    return tuple(weight * mask for weight, mask in zip(weights, masks, strict=True))


def _fitted(
    hunt: Hunt,
    words: str,
    first: Weights,
    masks: Masks,
    train: Samples,
    *,
    steps: Steps,
    seeds: Sequence[int],
    a: int = 0,
) -> Generator[Progress, None, Weights]:
    """Return trained weights, made now or before; all networks train as one."""
    about = (hunt.data, hunt.side, words, steps, list(seeds), a)
    artefact = Artefact(stage="sparse", about=about, code=(last_weights, Samples))
    inputs = {"weights": content(first), "masks": content(masks), "samples": content(train)}
    make = partial(last_weights, words, first, masks, train, steps=steps, seeds=seeds, a=a)
    tensors, _ = yield from kept(artefact, inputs, make)
    return tuple(tensors[str(layer)] for layer in range(len(first)))


def last_weights(
    words: str,
    first: Weights,
    masks: Masks,
    train: Samples,
    *,
    steps: Steps,
    seeds: Sequence[int],
    a: int,
    folder: Path,  # noqa: ARG001
) -> Making:
    """Return the weights at the end of a training; it is short, and begins anew when stopped."""
    *_, (_, weights) = fit(first, masks, train, steps, seeds, a=a)
    yield Progress(words, Epoch(steps.iterations, 0.0))
    return {str(layer): weight for layer, weight in enumerate(weights)}, {}


def fronts(row: Join, found: Found, train: Samples) -> Generator[Progress, None, list[Front]]:
    """Return the dense networks, and for each level the ticket and the two that are none."""
    fronts = [Front("dense", 0, found.tickets[0])]
    for level in row.levels:
        masks = tuple(weight != 0 for weight in found.tickets[level])
        other = shuffled(masks, seeds_of(row.hunt.tickets, FRESH + level))
        new = yield from trained(row.hunt, train, f"new weights, level {level}", masks, draw=FRESH)
        random = yield from trained(row.hunt, train, f"random mask, level {level}", other)
        fronts += [
            Front("ticket", level, found.tickets[level]),
            Front("new weights", level, new),
            Front("random mask", level, random),
        ]
    return fronts


def shuffled(masks: Masks, seeds: Sequence[int]) -> Masks:
    """Return masks with as many weights in each layer of each network, at random places."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    moved = []
    for mask in masks:
        flat = mask.flatten(1)
        order = [torch.randperm(flat.shape[1], generator=generator) for generator in generators]
        moved.append(flat.gather(1, torch.stack(order).to(flat.device)).view_as(mask))
    return tuple(moved)


def joined(
    hunt: Hunt, sources: Sequence[Front], standard: Weights, train: Samples, a: int
) -> Generator[Progress, None, dict[str, Weights]]:
    """Return (f_a of every source, f_b) with f_b standard, trained clean, trained under attack."""
    f_a = [torch.cat([source.weights[layer] for source in sources]) for layer in range(a)]
    f_b = [weight.repeat(len(sources), 1, 1) for weight in standard[a:]]
    spliced = (*f_a, *f_b)
    seeds = seeds_of(hunt.tickets, FRESH + a) * len(sources)
    found = {"standard": spliced}
    for name, attack in (("clean", None), ("under attack", hunt.tickets.steps.attack)):
        steps, words = replace(hunt.tickets.steps, attack=attack), f"a={a}, f_b {name}"
        found[name] = yield from _fitted(
            hunt, words, spliced, full_masks(spliced), train, steps=steps, seeds=seeds, a=a
        )
    return found
