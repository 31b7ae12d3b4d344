"""Table S1 of the later revision: how far f_a alone goes, by linear connectivity (Algorithm S1).

One row is one robust network; its record holds one table, the scores of the combinations of each
f_a, with λ from scored images (as published), from training images, and random.
"""

from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from semirobust.attacks.gradient import FGSM, PGD
from semirobust.data import subset
from semirobust.experiments.study import Progress, Study, parts, robust_network
from semirobust.layers import cut
from semirobust.theory.algorithm_s1 import BATCH, attacked, scores
from semirobust.training.fitting import accuracy

Named = tuple[str, FGSM | PGD]


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Settings of one row.

    Args:
        study: Its robust network of the online protocol is taken; its ``n_b`` are the cuts.
        attacks: With their names in the table.
        images: Test images that are scored.
        solving: Training images on which the honest λ is solved.
        batch: Images of a batch where λ is solved as published.
    """

    study: Study
    attacks: tuple[Named, ...]
    images: int = 500
    solving: int = 2000
    batch: int = 128

    @property
    def title(self) -> str:
        """Return what tells the row from others at a glance."""
        study = self.study
        return f"{study.architecture.name} {study.data.name} linear seed {study.seed}"


def run(
    row: Linear, root: str | Path | None = None, *, download: bool = False
) -> Generator[Progress, None, dict[str, list[dict[str, Any]]]]:
    """Train what is missing and return the table "scores"."""
    samples = parts(row.study, root, download=download)
    network = yield from robust_network(row.study, samples)
    test, train = subset(samples.test, row.images), subset(samples.train, row.solving)
    cuts = [cut(network, n_b) for n_b in row.study.n_b]
    layers = dict(zip(cuts, row.study.n_b, strict=True))
    table = []
    for name, attack in row.attacks:
        seen = attacked(network, test, attack, generator=torch.Generator().manual_seed(0))
        whole = {"attack": name, "deep_clean": accuracy(network, test, batch=BATCH)}
        whole["deep"] = accuracy(network, seen, batch=BATCH)
        found = scores(network, cuts, train, test, attack, batch=row.batch)
        table += [{**whole, "n_b": layers[one.a], **asdict(one)} for one in found]
    return {"scores": table}
