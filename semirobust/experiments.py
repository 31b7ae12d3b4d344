"""Frozen settings of every table and figure, in the profiles smoke, cpu, gpu and paper.

``smoke`` runs on digits in about a minute and says only that everything works; ``cpu`` shows the
phenomenon on CIFAR-10 with narrow networks; ``gpu`` takes the full width; ``paper`` the settings
of the paper, as far as it states them.
"""

from dataclasses import replace
from typing import Literal

from semirobust.attacks import NFGSM, PGD
from semirobust.methods import Online, Plain
from semirobust.models import Architecture
from semirobust.subnetwork import Part, Study
from semirobust.training import Training

PROFILES = ("smoke", "cpu", "gpu", "paper")
N_B = {"alexnet": (4,), "vgg16": (4, 12), "resnet18": (4, 12), "resnet50": (16,), "vit": (12,)}
WIDTH = {"alexnet": 0.5, "vgg16": 0.25, "resnet18": 0.25, "resnet50": 0.25, "vit": 0.25}
RATE = {"alexnet": 0.05, "vit": 0.02}  # no batch norm: the others stand 0.1


def smoke(network: str, protocol: Literal["static", "online"], *, seed: int = 0) -> Study:
    """Return a study of digits at an eighth of the width, epsilon 16/255."""
    radius = 16 / 255
    base = Training(epochs=6, learning_rate=RATE.get(network, 0.05), batch=64)
    made = replace(base, method=Online(attack=NFGSM(epsilon=radius)))
    return Study(
        architecture=Architecture(name=network, width=0.125),
        data=Part(name="digits", test=300, validation=100),
        protocol=protocol,
        attack=PGD(epsilon=radius, step_size=4 / 255, steps=5),
        n_b=N_B[network][-1:],
        standard=base,
        robust=replace(base, epochs=5) if protocol == "static" else made,
        tuning=replace(base if protocol == "static" else made, epochs=3),
        seed=seed,
    )


def cpu(network: str, protocol: Literal["static", "online"], *, seed: int = 0) -> Study:
    """Return a study of 10,000 CIFAR-10 images with a narrow network, epsilon 8/255."""
    radius = 8 / 255
    base = Training(
        epochs=12,
        learning_rate=RATE.get(network, 0.1),
        precision="bfloat16",
        channels_last=network != "alexnet",
    )
    made = replace(base, method=Online(attack=NFGSM(epsilon=radius)), augment=True)
    stored = replace(base, method=Plain(), epochs=10)
    return Study(
        architecture=Architecture(name=network, width=WIDTH[network]),
        data=Part(name="cifar10", train=10_000, validation=300),
        protocol=protocol,
        attack=PGD(epsilon=radius, step_size=2 / 255, steps=10),
        n_b=N_B[network],
        standard=replace(base, augment=True),
        robust=stored if protocol == "static" else made,
        tuning=replace(stored if protocol == "static" else made, epochs=5),
        seed=seed,
    )
