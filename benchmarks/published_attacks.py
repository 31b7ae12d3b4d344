"""torchattacks, as the paper's program calls it, without what it leaves behind.

The library sets every module's mode, re-seeds the global generator, leaves gradients in the weights
and needs contiguous images. Here it meets a plain function behind a module of its own, and what it
touches is put back. Its AutoAttack gives APGD and FAB 10 steps where the official one gives 100.
It is a peer in tests and benchmarks; the accuracies that the book reports are the project's own.
"""

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torchattacks
from torch import Generator, nn

from semirobust.attacks.ball import check_radius, prepared
from semirobust.attacks.gradient import STEP_SIZE, iterations
from semirobust.types import Classifier, Images, Labels, Logits

NEED_CLASSES = ("AutoAttack", "APGDT", "FAB")  # attacks that ask for the number of classes


@dataclass(frozen=True, kw_only=True)
class Published:
    """One attack of torchattacks with all its settings.

    Args:
        kind: Name of its class, such as "PGD".
        settings: Its arguments.
    """

    kind: str
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not hasattr(torchattacks, self.kind):
            raise ValueError(f"torchattacks has no attack {self.kind!r}; known: {', '.join(NAMED)}")
        check_radius(self.epsilon or 0.0, "2" if self.kind == "CW" else "inf")

    @property
    def epsilon(self) -> float | None:
        """Return the radius, in input units; None where the attack has none."""
        return self.settings.get("eps")

    def __call__(
        self, network: Classifier, x: Images, y: Labels, *, generator: Generator
    ) -> Images:
        """Return the perturbed inputs, and leave network and generators as they were."""
        seed = int(torch.randint(2**31, (1,), generator=generator, device=generator.device))
        with prepared(network, x, y) as classifier, restoring(network, seed), torch.enable_grad():
            settings = dict(self.settings)
            if self.kind in NEED_CLASSES:
                with torch.no_grad():
                    settings |= {"n_classes": classifier(x[:1]).shape[1]}
            attack = getattr(torchattacks, self.kind)(Wrapped(classifier, x), **settings)
            x_adv = attack(x.contiguous(), y)
        return torch.empty_like(x).copy_(x_adv.detach())  # in the layout of x


class Wrapped(nn.Module):
    """A function behind a module with modes of its own, and a weight that tells the device."""

    def __init__(self, classifier: Classifier, x: Images) -> None:
        super().__init__()
        self.classifier = classifier
        self.device = nn.Parameter(torch.zeros(1, device=x.device), requires_grad=False)

    def forward(self, x: Images) -> Logits:
        """Return the logits of the function."""
        return self.classifier(x)


@contextmanager
def restoring(network: Classifier, seed: int) -> Iterator[None]:
    """Seed the global generators for a while; put them, and the weights' gradients, back after."""
    weights = list(network.parameters()) if isinstance(network, nn.Module) else []
    gradients = [weight.grad for weight in weights]
    numpys, plain = np.random.get_state(), random.getstate()  # noqa: NPY002  restored below
    try:
        for weight in weights:
            weight.grad = None
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the library, which is no longer maintained
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002  what the library draws from
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpys)  # noqa: NPY002
        random.setstate(plain)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient


def iterated(kind: str) -> Callable[[float], Published]:
    """Return the maker of an iterated attack with the paper's step and number of steps."""

    def made(epsilon: float) -> Published:
        steps = {"alpha": STEP_SIZE, "steps": iterations(epsilon)}
        return Published(kind=kind, settings={"eps": epsilon, **steps})

    return made


NAMED: dict[str, Callable[[float], Published]] = {
    "fgsm": lambda epsilon: Published(kind="FGSM", settings={"eps": epsilon}),
    "i-fgsm": iterated("BIM"),
    "pgd": iterated("PGD"),
    "cw": lambda _: Published(kind="CW", settings={"c": 1, "kappa": 0, "steps": 50, "lr": 0.01}),
    "autoattack": lambda epsilon: Published(
        kind="AutoAttack", settings={"eps": epsilon, "norm": "Linf", "seed": 0}
    ),
}


def published(name: str, epsilon: float = 8 / 255) -> Published:
    """Return the attack that the paper's program calls by this name, at this radius.

    Example:
        >>> published("pgd", 8 / 255).settings["steps"]
        10
    """
    if name not in NAMED:
        raise ValueError(f"unknown published attack {name!r}; known: {', '.join(NAMED)}")
    return NAMED[name](epsilon)
