"""Frozen settings of MixTrain beside its baselines, in profiles, the most telling rows first.

smoke  digits of 8 x 8 pixels, a minute,
cpu    the same with five seeds, and 1,000 images of MNIST at two radii,
gpu    whole CIFAR-10 at 2/255 and 8/255.
"""

from dataclasses import dataclass, replace

from torch import nn

from semirobust.attacks.gradient import PGD
from semirobust.certified.mixtrain import CHAINS, Chain, MixTrain, Verifiable
from semirobust.data import Part
from semirobust.training.fitting import Training
from semirobust.training.methods import Method, Online, Plain

CERTIFIED = ("ibp", "crown-ibp", "mixtrain-1", "mixtrain-5", "mixtrain-10", "symbolic")
METHODS = ("standard", "pgd-7", *CERTIFIED)


@dataclass(frozen=True, kw_only=True)
class Certification:
    """One training with the way it is measured."""

    method: str  # one of METHODS; what they mean is ``method_of``
    data: Part
    chain: str  # name of the network, in ``mixtrain.CHAINS``
    epsilon: float  # radius of the inf-ball, in training and in every evaluation
    epochs: int = 40
    ramp: int = 10  # epochs E0 until the radius is reached; twice as many for IBP
    every: int = 5  # epochs until MixTrain's weight grows again
    learning_rate: float = 0.003  # of Adam, with a cosine schedule
    autoattack: int | None = None  # test images of AutoAttack; None leaves it out
    seed: int = 0

    @property
    def title(self) -> str:
        words = f"{self.data.name} {self.epsilon:.3g} {self.method} seed {self.seed}"
        return f"{words}, {self.epochs} epochs"

    @property
    def training(self) -> Training:
        return Training(
            epochs=self.epochs,
            method=method_of(self.method, self.epsilon, self.ramp, self.every),
            learning_rate=self.learning_rate,
            schedule="cosine",
            batch=64,
            weight_decay=0.0,
            optimiser="adamw",
            seed=self.seed,
        )

    def build(self) -> nn.Sequential:
        """Return the untrained network; certified training starts from weights after Shi et al."""
        return architecture(self.chain).build(seed=self.seed, tight=self.method in CERTIFIED)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One epoch of every method, from untrained networks, timed in turn."""

    row: Certification
    methods: tuple[str, ...] = METHODS

    @property
    def title(self) -> str:
        return f"{self.row.data.name} {self.row.epsilon:.3g} cost"


def architecture(name: str) -> Chain:
    if name not in CHAINS:
        raise ValueError(f"unknown chain {name!r}; known: {', '.join(CHAINS)}")
    return CHAINS[name]


def method_of(name: str, epsilon: float, ramp: int, every: int) -> Method:
    """Return what a training step minimises, by its name."""
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}; known: {', '.join(METHODS)}")
    mixed = MixTrain(epsilon=epsilon, ramp=ramp, every=every)
    every_point = replace(mixed, k=None, probability=1.0)
    attack = PGD(epsilon=epsilon, step_size=epsilon / 4, steps=7)
    known: dict[str, Method] = {
        "standard": Plain(),
        "pgd-7": Online(attack=attack),
        "ibp": Verifiable(epsilon=epsilon, bound="ibp", ramp=2 * ramp),
        "crown-ibp": Verifiable(epsilon=epsilon, bound="crown-ibp", ramp=2 * ramp),
        "symbolic": every_point,
    }
    return known.get(name) or replace(mixed, k=int(name.removeprefix("mixtrain-")))


DIGITS = Part(name="digits", size=8)
ON_DIGITS = Certification(method="ibp", data=DIGITS, chain="digits", epsilon=0.1)
MNIST = Part(name="mnist", train=1000, validation=200, test=2000)


def rows(profile: str) -> tuple[Certification | Cost, ...]:
    if profile == "smoke":
        few = replace(DIGITS, test=200)
        base = replace(ON_DIGITS, data=few, chain="digits-small", epochs=8, ramp=3, every=1)
        methods = ("standard", "pgd-7", "mixtrain-1", "mixtrain-5")
        longer = replace(base, epochs=20, ramp=5)  # intervals need the time, and are cheap
        short = replace(base, data=replace(DIGITS, train=256))
        return (*(replace(base, method=name) for name in methods), longer, Cost(row=short))
    if profile == "cpu":
        return (*digits_rows(), *mnist_rows())
    data = Part(name="cifar10")
    large = replace(ON_DIGITS, data=data, chain="cifar-small", epochs=90, learning_rate=0.001)
    return tuple(
        replace(large, method=name, epsilon=epsilon, autoattack=1000)
        for epsilon in (2 / 255, 8 / 255)
        for name in METHODS
        if name != "symbolic"
    )


def digits_rows() -> tuple[Certification | Cost, ...]:
    """Return the rows on digits: one seed of all methods, five of the two that are compared.

    AutoAttack costs more than a training and is run on the second seed.
    """
    order = ("mixtrain-5", "ibp", "pgd-7", "standard", "mixtrain-1", "mixtrain-10", "crown-ibp")
    first = [replace(ON_DIGITS, method=name) for name in (*order, "symbolic")]
    seeds = [
        replace(ON_DIGITS, method=name, seed=seed, autoattack=500 if seed == 1 else None)
        for seed in range(1, 5)
        for name in ("ibp", "mixtrain-5")
    ]
    return (*first[:-1], Cost(row=ON_DIGITS), first[-1], *seeds)


def mnist_rows() -> tuple[Certification | Cost, ...]:
    """Return the rows on 1,000 MNIST images (2,000 for the test), on a schedule of 16 epochs.

    Three of them once more with three times the epochs: in 16 epochs no training comes to its end,
    and bounding few samples needs more of them than bounding all. With five, nine times as many;
    that network has most certificates, and AutoAttack tries them all.
    """
    base = replace(ON_DIGITS, data=MNIST, chain="mnist-small", learning_rate=0.002)
    base = replace(base, epochs=16, ramp=4, every=2)
    near = ("mixtrain-5", "mixtrain-10", "ibp", "pgd-7", "standard")
    far = ("mixtrain-5", "ibp", "pgd-7")
    return (
        *(replace(base, method=name) for name in near),
        *(replace(base, method=name, epsilon=0.3) for name in far),
        Cost(row=replace(base, data=replace(MNIST, train=256))),
        replace(base, method="symbolic"),
        replace(base, method="crown-ibp"),
        *(
            replace(base, method=name, epochs=48, ramp=12, every=6)
            for name in (*near[:2], "symbolic")
        ),
        replace(base, method="mixtrain-5", epochs=144, ramp=36, every=18, autoattack=MNIST.test),
    )
