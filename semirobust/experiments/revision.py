"""Tables S2 to S4 of the later revision: the same networks under several attacks.

Each network is attacked itself (white-box), on the same images. Beside the accuracy stand rho_j on
those attacked images, and what the revision calls the sensitivity of a layer: the relative change

    mean ‖h_j(x + delta) - h_j(x)‖_1 / mean ‖h_j(x)‖_1.
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from semirobust.attacks.ball import evaluating
from semirobust.data import Samples, batches, subset
from semirobust.edge import information
from semirobust.edge.estimator import Edge
from semirobust.evaluation.report import robust_accuracy
from semirobust.experiments.row import BLOCK, Contender, lineup
from semirobust.experiments.study import Progress, Study, perturbed
from semirobust.layers import activations
from semirobust.types import Attack


@dataclass(frozen=True, kw_only=True)
class Attacked:
    """Settings of one row.

    Args:
        study: Its networks are scored.
        attacks: With their names in the table.
        images: Test images, for accuracy, dependence and sensitivity alike.
    """

    study: Study
    attacks: tuple[tuple[str, Attack], ...]
    images: int = 1000

    @property
    def title(self) -> str:
        """Return what tells the row from others at a glance."""
        study = self.study
        return f"{study.architecture.name} {study.data.name} {study.protocol} seed {study.seed}"


def run(
    row: Attacked, root: str | Path | None = None, *, download: bool = False
) -> Generator[Progress, None, dict[str, list[dict[str, Any]]]]:
    """Train what is missing and return the tables "accuracies", "rho" and "sensitivity"."""
    found = yield from lineup(row.study, root, download=download)
    few = subset(found.clean.test, row.images)
    tables: dict[str, list[dict[str, Any]]] = {"accuracies": [], "rho": [], "sensitivity": []}
    for one in found.contenders:
        who = {"network": one.name, **one.where}
        scored(one, who, few, None, "none", tables)
        for name, attack in row.attacks:
            report = robust_accuracy(one.network, few.x, few.y, {name: attack}, batch=250)
            tables["accuracies"].append({**who, "attack": name, **report.as_record()})
            images = Samples(perturbed(one.network, few, attack), few.labels)
            scored(one, who, few, images, name, tables)
    return tables


def scored(
    one: Contender,
    who: dict[str, Any],
    clean: Samples,
    images: Samples | None,
    attack: str,
    tables: dict[str, list[dict[str, Any]]],
) -> None:
    """Add rho_j of a network on attacked images, and the sensitivity of its layers to them."""
    preset = "paper"
    shown = images or clean
    edge, block = Edge.preset(preset), BLOCK[preset]
    found = information.rho(one.network, shown.x, shown.y, edge=edge, a=one.a, block=block)
    for record in information.records({one.name: found}):
        tables["rho"].append({**who, "attack": attack, "preset": preset, **record})
    if images:
        for j, change in sensitivity(one.network, clean, images).items():
            tables["sensitivity"].append({**who, "attack": attack, "j": j, "change": change})


@torch.no_grad()
def sensitivity(network: nn.Sequential, clean: Samples, images: Samples) -> dict[int, float]:
    """Return {j: relative L1 change of h_j from clean to attacked images}.

    Departure: change and size are summed over units and images before the division, because single
    images leave some layers without any activation.
    """
    if len(clean) != len(images):
        raise ValueError(f"need pairs of images, got {len(clean)} clean, {len(images)} attacked")
    moved: dict[int, float] = {}
    size: dict[int, float] = {}
    with evaluating(network):
        for (x, _, _), (x_adv, _, _) in zip(batches(clean, 250), batches(images, 250), strict=True):
            h, g = activations(network, x), activations(network, x_adv)
            for j in h:
                moved[j] = moved.get(j, 0.0) + float((g[j] - h[j]).abs().sum())
                size[j] = size.get(j, 0.0) + float(h[j].abs().sum())
    return {j: moved[j] / size[j] if size[j] else 0.0 for j in moved}
