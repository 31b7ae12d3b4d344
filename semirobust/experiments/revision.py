"""Tables S2 to S4 of the later revision: the same networks under several attacks.

Each network is attacked itself (white-box), on the same images. Beside the accuracy stand rho_j on
those attacked images, and what the revision calls the sensitivity of a layer: the relative change

    mean ‖h_j(x + delta) - h_j(x)‖_1 / mean ‖h_j(x)‖_1.
"""

from dataclasses import dataclass

import torch
from torch import nn

from semirobust.attacks.ball import evaluating
from semirobust.data import Samples, batches, subset
from semirobust.evaluation.report import robust_accuracy
from semirobust.experiments.nodes import Memory, made
from semirobust.experiments.row import dependence
from semirobust.experiments.stages import Lineup, contenders, lineup
from semirobust.experiments.study import Run, Study, Tables, perturbed, titled
from semirobust.layers import activations
from semirobust.types import Attack


@dataclass(frozen=True, kw_only=True)
class Attacked:
    study: Study
    attacks: tuple[tuple[str, Attack], ...]  # with their names in the table
    images: int = 1000  # test images, for accuracy, dependence and sensitivity alike

    @property
    def title(self) -> str:
        return titled(self.study, self.study.protocol)


def run(row: Attacked) -> Run:
    """Train what is missing and return the tables "accuracies", "rho" and "sensitivity"."""
    nodes, memory = of_row(row), Memory()
    samples = yield from made(nodes.data, memory)
    few = subset(samples.test, row.images)
    tables: Tables = {"accuracies": [], "rho": [], "sensitivity": []}
    for contender in (yield from contenders(nodes, memory)):
        network, seen = contender.network, {"none": few}
        for name, attack in row.attacks:
            who = {**contender.who, "attack": name}
            report = robust_accuracy(network, few.x, few.y, {name: attack}, batch=250)
            tables["accuracies"].append({**who, **report.as_record()})
            seen[name] = perturbed(network, few, attack)
            changes = sensitivity(network, few, seen[name])
            tables["sensitivity"] += [{**who, "j": j, "change": changes[j]} for j in changes]
        tables["rho"] += [
            {"attack": name, "preset": "paper", **record}
            for name, images in seen.items()
            for record in dependence(contender, images)
        ]
    return tables


def of_row(row: Attacked) -> Lineup:
    return lineup(row.study)


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
