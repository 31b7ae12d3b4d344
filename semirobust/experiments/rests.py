"""Two networks joined at a cut, and the rest trained: one side frozen, whichever it is."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from semirobust.attacks.gradient import PGD
from semirobust.data import DataSet
from semirobust.experiments.nodes import Node
from semirobust.experiments.study import Content, Making, Progress
from semirobust.layers import cut, splice, split
from semirobust.training.fitting import Side, Training, accuracy, fit
from semirobust.training.methods import Plain

How: TypeAlias = tuple[Training, tuple[float, ...], PGD, int, Side]  # settings of ``taught``


def trained_rest(how: How, parts: dict[str, Node], samples: Node, words: str) -> Node:
    """Return the node of a joined network whose rest was trained at the best of several rates."""
    rest = Node(
        stage="rest",
        settings=how,
        needs={**parts, "samples": samples},
        make=taught,
        read=partial(restored, *how),
        where={"network": words},
    )
    return Node(needs={"rest": rest}, read=_network)


class Rest(NamedTuple):
    """A joined network, and what each learning rate reached on validation images."""

    network: nn.Sequential
    rates: list[dict[str, float]]


def _network(rest: Rest) -> nn.Sequential:
    return rest.network


def joined(
    n_b: int, frozen: Side, *, source: nn.Sequential, standard: nn.Sequential
) -> nn.Sequential:
    """Return the frozen part of ``source`` with the rest of the standard network."""
    a = cut(standard, n_b)
    return splice(source, standard, a) if frozen == "front" else splice(standard, source, a)


def rest_of(network: nn.Sequential, n_b: int, frozen: Side) -> nn.Sequential:
    f_a, f_b = split(network, cut(network, n_b))
    return f_b if frozen == "front" else f_a


def taught(
    training: Training,
    rates: tuple[float, ...],
    attack: PGD,
    n_b: int,
    frozen: Side,
    *,
    samples: DataSet,
    source: nn.Sequential,
    standard: nn.Sequential,
    folder: Path,
) -> Making:
    """Train the rest at each rate, and return the best with what each reached."""
    a, held_out = cut(standard, n_b), replace(attack, stop_when_fooled=True)
    chosen_by = "clean" if isinstance(training.method, Plain) else "robust"
    found: list[dict[str, float]] = []
    best: dict[str, Tensor] = {}
    for rate in rates:
        network = joined(n_b, frozen, source=source, standard=standard)
        own, file = replace(training, learning_rate=rate), folder / f"checkpoint-{rate}.pt"
        known = file.stat().st_mtime_ns if file.exists() else None
        for epoch in fit(network, samples.train, own, a=a, frozen=frozen, checkpoint=file):
            words = f"all but the {frozen}, n_b = {n_b}, rate {rate}"
            yield Progress(words, epoch, known == file.stat().st_mtime_ns)
        reached = {
            "rate": rate,
            "clean": accuracy(network, samples.validation),
            "robust": accuracy(network, samples.validation, attack=held_out),
        }
        if all(reached[chosen_by] > other[chosen_by] for other in found):
            best = rest_of(network, n_b, frozen).state_dict()
        found.append(reached)
    return best, {"rates": found}


def restored(
    training: Training,
    _: tuple[float, ...],
    __: PGD,
    n_b: int,
    frozen: Side,
    content: Content,
    *,
    source: nn.Sequential,
    standard: nn.Sequential,
    **___: object,
) -> Rest:
    weights, facts = content
    network = joined(n_b, frozen, source=source, standard=standard)
    if training.channels_last:
        network.to(memory_format=torch.channels_last)
    rest_of(network, n_b, frozen).load_state_dict(weights)
    return Rest(network.eval(), facts["rates"])
