"""One row of Table 1 at each scale, from which the experiments' rows are put together.

smoke   digits, a minute; says only that everything works,
cpu     CIFAR-10 (10,000 images) and narrow networks; shows the phenomenon,
gpu     all of CIFAR-10, CIFAR-100 or Imagenette, whole width: minutes of a data-centre GPU,
paper   the settings of the paper and its later revision, as far as they are given: days.

A key is the hash of what differs from the defaults, so a published row is never edited in place.
"""

from dataclasses import replace
from typing import Any, Literal, TypeAlias

from semirobust.attacks.gradient import NFGSM, PGD, strong_pgd
from semirobust.data import Part
from semirobust.experiments.row import Row
from semirobust.experiments.study import Study
from semirobust.models import Architecture
from semirobust.training.fitting import Training
from semirobust.training.methods import Online, Plain

Protocol: TypeAlias = Literal["static", "online"]
PROTOCOLS: tuple[Protocol, ...] = ("static", "online")
RADIUS = 8 / 255
N_B = {"alexnet": (4,), "vgg16": (4, 12), "resnet18": (4, 12), "resnet50": (16,), "vit": (12,)}
WIDTH = {"alexnet": 0.5, "vgg16": 0.25, "resnet18": 0.25, "resnet50": 0.25, "vit": 0.25}
AUTOATTACK = {"vgg16": 100}  # images; where it is dearer 50; of every class at least one
SMOKE = {  # width of the network; images to train on, images to attack, epochs
    "alexnet": (0.125, 800, 100, 12),
    "vgg16": (0.125, 800, 200, 6),
    "resnet18": (0.125, 300, 100, 6),
    "resnet50": (0.0625, 128, 30, 3),
    "vit": (0.0625, 128, 30, 3),
}
CLASSES = {"cifar10": 10, "cifar100": 100, "imagenette": 10}
RATE = {"alexnet": 0.05, "vit": 0.02}  # no batch norm: the others stand 0.1


def smoke(network: str, protocol: Protocol, *, seed: int = 0) -> Row:
    """Return a row on digits with a very narrow network, epsilon 16/255."""
    radius = 16 / 255
    width, train, images, epochs = SMOKE[network]
    base = Training(epochs=epochs, learning_rate=RATE.get(network, 0.05), batch=64)
    made = replace(base, method=Online(attack=NFGSM(epsilon=radius)))
    study = Study(
        architecture=Architecture(name=network, width=width),
        data=Part(name="digits", train=train, validation=images // 2, test=250),
        protocol=protocol,
        attack=PGD(epsilon=radius, step_size=4 / 255, steps=5),
        n_b=N_B[network][-1:],
        standard=base,
        robust=replace(base, epochs=epochs - 1) if protocol == "static" else made,
        tuning=replace(base if protocol == "static" else made, epochs=epochs // 2),
        seed=seed,
    )
    return Row(study=study, whitebox=strong_pgd(radius), images=images, controls=("standard",))


def cpu(network: str, protocol: Protocol, *, seed: int = 0, data: str = "cifar10") -> Row:
    """Return a row on 10,000 images with a narrow network, epsilon 8/255.

    AutoAttack costs more than all the rest of an online row and is run on the first seed.
    """
    base = Training(
        epochs=12,
        learning_rate=RATE.get(network, 0.1),
        precision="bfloat16",
        channels_last=network != "alexnet",
    )
    made = replace(base, method=Online(attack=NFGSM(epsilon=RADIUS)), augment=True)
    stored = replace(base, method=Plain(), epochs=10)
    study = Study(
        architecture=Architecture(name=network, classes=CLASSES[data], width=WIDTH[network]),
        data=Part(name=data, train=10_000, validation=300),
        protocol=protocol,
        attack=PGD(epsilon=RADIUS, step_size=2 / 255, steps=10),
        n_b=N_B[network],
        standard=replace(base, augment=True),
        robust=stored if protocol == "static" else made,
        tuning=replace(stored if protocol == "static" else made, epochs=5),
        seed=seed,
    )
    return Row(
        study=study,
        whitebox=strong_pgd(RADIUS),
        autoattack=None if seed else max(AUTOATTACK.get(network, 50), CLASSES[data]),
    )


def imagenette(protocol: Protocol) -> Row:
    """Return a row on a few Imagenette images at 64 x 64 pixels, trained longer."""
    row = cpu("vgg16", protocol, seed=1)
    study = replace(
        row.study,
        architecture=replace(row.study.architecture, size=64),
        data=Part(name="imagenette", size=64),
        n_b=(12,),
        standard=replace(row.study.standard, epochs=40),
        robust=replace(row.study.robust, epochs=40),
        tuning=replace(row.study.tuning, epochs=15),
        seed=0,
    )
    return replace(row, study=study, images=500, controls=("standard",))


def gpu(network: str, protocol: Protocol, *, seed: int = 0, data: str = "cifar10") -> Row:
    """Return a row at whole width on all images, in batches for a data-centre GPU."""
    row, large = cpu(network, protocol, data=data), data == "imagenette"
    batch = 128 if large else 512
    study = replace(
        row.study,
        architecture=Architecture(name=network, classes=CLASSES[data], size=224 if large else 32),
        data=Part(name=data, size=224) if large else Part(name=data, validation=2000),
        **_trained(row.study, (20, 20, 10), batch=batch),
        seed=seed,
    )
    return replace(row, study=study, autoattack=500, controls=("standard",))


def paper(network: str, data: str, protocol: Protocol) -> Row:
    """Return a published row of Table 1; the first version does not give its rates.

    Those of the later revision are taken.
    """
    row = gpu(network, protocol, data=data)
    as_published = {"learning_rate": 0.01, "schedule": "step", "precision": "float32", "batch": 512}
    trainings = _trained(row.study, (120, 120, 10), **as_published)
    method = Online(attack=row.study.attack)
    if protocol == "online":
        trainings |= {n: replace(trainings[n], method=method) for n in ("robust", "tuning")}
    size = row.study.architecture.size
    study = replace(
        row.study,
        data=Part(name=data, size=size if size > 32 else None),
        n_b=N_B[network] if network == "vgg16" else N_B[network][-1:],
        trials=10,
        **trainings,
    )
    return replace(row, study=study, autoattack=1000, controls=("standard", "random"))


def _trained(study: Study, epochs: tuple[int, int, int], **changes: Any) -> dict[str, Any]:
    names = ("standard", "robust", "tuning")
    return {
        name: replace(getattr(study, name), epochs=n, **changes)
        for name, n in zip(names, epochs, strict=True)
    }
