"""Tickets of convolutional networks: pruning with rewinding to an early epoch, joined under a cut.

Deep networks have no tickets at their first weights; at those of an early epoch they do (Frankle et
al. 2020). So every level, the dense one included, starts from the weights and statistics after a
few epochs of the dense network, under its mask, and takes the whole training from there. "New
weights" are those of another seed after as many epochs. Masks are parametrisations of every
convolution and linear map; the last one is pruned at half the rate. Under each cut the first links
are frozen, as in ``sparse``.
"""

from collections.abc import Generator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from semirobust.attacks.gradient import NFGSM, PGD, strong_pgd
from semirobust.data import DataSet, Part, Samples, device, select, subset
from semirobust.evaluation.report import robust_accuracy
from semirobust.experiments.nodes import train
from semirobust.experiments.row import Contender, dependence
from semirobust.experiments.study import Progress, Run, Tables, perturbed, titled
from semirobust.layers import cut, splice
from semirobust.models import Architecture
from semirobust.tickets.masks import (
    NamedMasks,
    cover,
    density,
    prunable,
    pruned,
    scattered,
    uncover,
)
from semirobust.training.fitting import Training
from semirobust.training.methods import Online, Plain


@dataclass(frozen=True, kw_only=True)
class Rewinding:
    architecture: Architecture
    data: Part
    training: Training  # of every level, against an attack
    whitebox: PGD  # of the test images
    n_b: tuple[int, ...]  # trainable layers of f_b, one cut each
    early: int = 2  # epoch that is rewound to
    levels: int = 20
    rate: float = 0.2  # share of its remaining weights that a layer loses at a level
    images: int = 1000  # test images that are attacked
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.early < self.training.epochs:
            raise ValueError(
                f"need 0 < early < {self.training.epochs} epochs of training, got {self.early}"
            )

    @property
    def title(self) -> str:
        return titled(self)


def rewindings(profile: str) -> tuple[Rewinding, ...]:
    """Return the rows of a profile: digits at a sixteenth of the width, CIFAR-10 at a quarter."""
    radius = (16 if profile == "smoke" else 8) / 255
    method = Online(attack=NFGSM(epsilon=radius))
    row = Rewinding(
        architecture=Architecture(name="vgg16", width=0.25),
        data=Part(name="cifar10"),
        training=Training(
            epochs=30, method=method, augment=True, precision="bfloat16", channels_last=True
        ),
        whitebox=strong_pgd(radius),
        n_b=(12,),
    )
    if profile == "smoke":
        brief = replace(row, levels=1, rate=0.8, early=1, images=50)
        return (
            replace(
                brief,
                architecture=Architecture(name="vgg16", width=0.0625),
                data=Part(name="digits", train=500, test=100),
                training=Training(epochs=2, learning_rate=0.05, batch=50, method=method),
            ),
        )
    if profile == "cpu":
        data = Part(name="cifar10", train=5000, validation=300)
        training = replace(row.training, epochs=5)
        brief = replace(row, levels=2, rate=0.75, early=1, images=500)
        return (replace(brief, data=data, training=training),)
    return tuple(replace(row, seed=seed) for seed in range(3))


def run(row: Rewinding) -> Run:
    """Return the tables "levels", "networks" and "rho": tickets, and what stands behind them."""
    samples = select(row.data, device=device())
    few, fitted = subset(samples.test, row.images), partial(_fitted, row, samples)
    early = yield from _early(row, samples, seed=row.seed)
    dense = ticket = yield from fitted("dense", early)
    masks = {name: part.weight != 0 for name, part in prunable(dense).items()}
    levels = [{"level": 0, **scored(row, dense, few)}]
    for level in range(1, row.levels + 1):
        masks = pruned(ticket, masks, row.rate)
        ticket = yield from fitted(f"level {level}", early, masks)
        levels.append({"level": level, **scored(row, ticket, few)})
    other = yield from _early(row, samples, seed=row.seed + 1)
    new = yield from fitted("new weights", other, masks)
    random = yield from fitted("random mask", early, scattered(masks, seed=row.seed))
    fronts = {"dense": dense, "ticket": ticket, "new weights": new, "random mask": random}
    return {"levels": levels, **(yield from _joined(row, samples, fronts, few))}


def _early(
    row: Rewinding, samples: DataSet, *, seed: int
) -> Generator[Progress, None, nn.Sequential]:
    """Return a dense network after the early epochs, from which all levels start."""
    brief, start = replace(row.training, epochs=row.early), row.architecture.build(seed=seed)
    return (yield from _fitted(row, samples, f"early {seed}", start, training=brief))


def _fitted(
    row: Rewinding,
    samples: DataSet,
    words: str,
    network: nn.Sequential,
    masks: NamedMasks | None = None,
    *,
    training: Training | None = None,
    a: int = 0,
) -> Generator[Progress, None, nn.Sequential]:
    """Return a trained copy with ordinary weights."""
    copy = deepcopy(network).to(device())
    if masks is not None:
        cover(copy, masks)
    settings = (row.architecture, row.data, row.seed, words)
    method = training or row.training
    yield from train("rewound", settings, copy, samples.train, method, words=words, a=a)
    if masks is not None:
        uncover(copy)
    return copy


def _joined(
    row: Rewinding, samples: DataSet, fronts: dict[str, nn.Sequential], few: Samples
) -> Run:
    """Return the tables "networks" and "rho" of f_b standard and trained behind each f_a."""
    tables: Tables = {"networks": [], "rho": []}
    clean = replace(row.training, method=Plain())
    start = row.architecture.build(seed=row.seed)
    standard = yield from _fitted(row, samples, "standard", start, training=clean)
    for n_b in row.n_b:
        a = cut(standard, n_b)
        for name, front in fronts.items():
            spliced = splice(front, standard, a)
            stage = f"f_b={n_b} behind {name}"
            tuned = yield from _fitted(row, samples, stage, spliced, a=a)
            about = {"front": name, "n_b": n_b, "share": density(front, a)}
            for back, network in (("standard", spliced), ("under attack", tuned)):
                tables["networks"].append({**about, "back": back, **scored(row, network, few)})
            read = Contender("tuned", tuned, about, a)
            tables["rho"] += dependence(read, perturbed(tuned, few, row.whitebox), "calibrated")
    return tables


def scored(row: Rewinding, network: nn.Sequential, few: Samples) -> dict[str, float]:
    """Return clean and white-box accuracy, and gamma of the rest of the network from above."""
    report = robust_accuracy(network, few.x, few.y, row.whitebox, batch=250)
    return {
        "remaining": density(network, len(network)),
        "clean": report.clean_accuracy,
        "whitebox": report.accuracy,
        "whitebox_two_errors": report.two_errors,
        "gamma_attack": 2 * report.accuracy - 1,
    }
