"""Table S1 of the later revision: how far f_a alone goes, by linear connectivity (Algorithm S1).

One row is one robust network; its record holds one table, the scores of the combinations of each
f_a, with λ from scored images (as published), from training images, and random.
"""

from dataclasses import asdict, dataclass

import torch

from semirobust.attacks.gradient import FGSM, PGD
from semirobust.data import subset
from semirobust.experiments.nodes import Memory, made
from semirobust.experiments.stages import Lineup, lineup
from semirobust.experiments.study import Run, Study, titled
from semirobust.layers import cut
from semirobust.theory.algorithm_s1 import BATCH, attacked, scores
from semirobust.training.fitting import accuracy


@dataclass(frozen=True, kw_only=True)
class Linear:
    study: Study  # its robust network (online) is taken; its n_b are the cuts
    attacks: tuple[tuple[str, FGSM | PGD], ...]  # with their names in the table
    images: int = 500  # test images that are scored
    solving: int = 2000  # training images on which the honest λ is solved
    batch: int = 128  # images of a batch where λ is solved as published

    @property
    def title(self) -> str:
        return titled(self.study, "linear")


def run(row: Linear) -> Run:
    """Train what is missing and return the table "scores"."""
    nodes, memory = of_row(row), Memory()
    samples = yield from made(nodes.data, memory)
    network = yield from made(nodes.robust, memory)
    test, train = subset(samples.test, row.images), subset(samples.train, row.solving)
    layers = {cut(network, n_b): n_b for n_b in row.study.n_b}
    table = []
    for name, attack in row.attacks:
        seen = attacked(network, test, attack, generator=torch.Generator().manual_seed(0))
        whole = {"attack": name, "deep_clean": accuracy(network, test, batch=BATCH)}
        whole["deep"] = accuracy(network, seen, batch=BATCH)
        found = scores(network, list(layers), train, test, attack, batch=row.batch)
        table += [{**whole, "n_b": layers[score.a], **asdict(score)} for score in found]
    return {"scores": table}


def of_row(row: Linear) -> Lineup:
    """Return the nodes of a row, which waits for its robust network alone."""
    nodes = lineup(row.study)
    return nodes._replace(targets=[nodes.robust])
