"""MixTrain (Wang, Chen, Abdou and Jana 2018): training on symbolic bounds of a few samples a batch.

Stochastic robust approximation: of each batch k samples are drawn, and the verifiable loss, the
cross-entropy of the worst-case logits of the zonotope, is computed on those alone. Dynamic mixed
training: with probability p a step minimises w * verifiable + regular loss, else the regular one
alone; the weight w grows and the radius ramps up.

    w = min(50, 0.1 * 2.5^floor(max(epoch - E0, 0) / 5)),   epsilon_t = epsilon min(1, epoch / E0)

Departures. The rule for w of the 2018 paper could not be read; this is the schedule that its
authors released later inside HYDRA. Baselines are IBP and CROWN-IBP training with the loss of Gowal
et al. (2018), the same ramp, and the initialisation of Shi et al. (2021) without its regularisers;
CROWN-IBP keeps its bound to the end instead of fading into IBP.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from semirobust.attacks.ball import check_radius, check_steps
from semirobust.attacks.objectives import check_choice
from semirobust.certified.bounds import BOUNDS, Bound, ball, margins
from semirobust.certified.operators import Box
from semirobust.models import dense_links
from semirobust.training.methods import Batch
from semirobust.types import Images, Labels


def radius(epsilon: float, epoch: int, ramp: int) -> float:
    """Return the radius of an epoch (from 1): it grows in equal steps over ``ramp`` epochs.

    Example:
        >>> [radius(0.5, epoch, 4) for epoch in (1, 2, 3, 4, 5)]
        [0.125, 0.25, 0.375, 0.5, 0.5]
    """
    return epsilon * min(epoch, ramp) / ramp


def weight(epoch: int, *, ramp: int = 10, every: int = 5) -> float:
    """Return the weight of the verifiable loss in an epoch (from 1).

    Example:
        >>> [weight(epoch) for epoch in (1, 14, 15, 20, 45)]
        [0.1, 0.1, 0.25, 0.625, 50.0]
    """
    return min(50.0, 0.1 * 2.5 ** (max(epoch - ramp, 0) // every))


@dataclass(frozen=True, kw_only=True)
class MixTrain:
    """The loss of a step: the regular one, in most steps with the weighted verifiable loss.

    Args:
        k: Samples of a batch whose bounds are computed; None takes all of them.
        probability: Share of the steps that have a verifiable loss.
        ramp: Epochs E0 until the radius is reached.
        every: Epochs until the weight grows again.
    """

    epsilon: float
    k: int | None = 5
    probability: float = 0.8
    bound: Bound = "zonotope"
    ramp: int = 10
    every: int = 5

    def __post_init__(self) -> None:
        _check(self.epsilon, self.bound, self.ramp)
        if (self.k is not None and self.k < 1) or self.every < 1 or not 0 < self.probability <= 1:
            raise ValueError(
                "need k >= 1 (or None), every >= 1 and 0 < probability <= 1; "
                f"got {self.k}, {self.every} and {self.probability}"
            )

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        regular = cross_entropy(network(batch.x), batch.y)
        if self.probability < 1 and torch.rand((), generator=batch.generator) >= self.probability:
            return regular
        some: slice | Tensor = slice(None)
        if self.k is not None:
            some = torch.randperm(len(batch.y), generator=batch.generator)[: self.k]
        x, y = batch.x[some], batch.y[some]
        count_bounds(batch, len(y))
        epsilon = radius(self.epsilon, batch.epoch, self.ramp)
        robust = verifiable(network, ball(x, epsilon), y, self.bound)
        return weight(batch.epoch, ramp=self.ramp, every=self.every) * robust + regular


@dataclass(frozen=True, kw_only=True)
class Verifiable:
    """Bounds of every sample in every step: IBP and CROWN-IBP training.

    The radius is reached after ``ramp`` epochs; ``clean`` is the share of the regular loss at the
    end of the ramp, where it begins at 1.
    """

    epsilon: float
    bound: Bound = "ibp"
    ramp: int = 10
    clean: float = 0.5

    def __post_init__(self) -> None:
        _check(self.epsilon, self.bound, self.ramp)
        if not 0 <= self.clean <= 1:
            raise ValueError(f"clean is a share, 0..1; got {self.clean}")

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        reached = radius(1.0, batch.epoch, self.ramp)
        share = 1 - (1 - self.clean) * reached
        count_bounds(batch, len(batch.y))
        box = ball(batch.x, self.epsilon * reached)
        robust = verifiable(network, box, batch.y, self.bound)
        return share * cross_entropy(network(batch.x), batch.y) + (1 - share) * robust


@dataclass(frozen=True, kw_only=True)
class OnBoxes:
    """Interval training of f_b alone, on latent boxes that were computed once behind a frozen f_a.

    The samples hold three tensors each: h_a of the clean image, and the ends of its box. ``clean``
    is the share of the regular loss; the boxes grow to their size over ``ramp`` epochs.
    """

    clean: float = 0.5
    ramp: int = 5

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        h, lower, upper = batch.x.unbind(1)
        reached = radius(1.0, batch.epoch, self.ramp)
        box = Box(h + reached * (lower - h), h + reached * (upper - h))
        robust = verifiable(network, box, batch.y, "ibp")
        return self.clean * cross_entropy(network(h), batch.y) + (1 - self.clean) * robust


def verifiable(network: nn.Module, box: Box, y: Labels, bound: Bound) -> Tensor:
    """Return an upper bound of the loss over boxes, of the worst-case logits.

    These are z_k = upper bound of g_k - g_y, with z_y = 0.
    """
    return cross_entropy(-margins(network, box, y, bound), y)


def count_bounds(batch: Batch, bounds: int) -> None:
    """Add to the number of samples whose bounds were computed, in the training's memory."""
    known = batch.memory.get("bounds", torch.zeros((), dtype=torch.long))
    batch.memory["bounds"] = known + bounds


def _check(epsilon: float, bound: Bound, ramp: int) -> None:
    check_radius(epsilon)
    check_choice("bound", bound, BOUNDS)
    check_steps(ramp=ramp)


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A plain network: convolutions, then linear maps, each with a ReLU but the last.

    A convolution is its channels, kernel and stride; the padding is half the kernel.
    """

    convolutions: tuple[tuple[int, int, int], ...]
    hidden: tuple[int, ...]
    size: int
    channels: int
    classes: int = 10

    def build(self, *, seed: int = 0, tight: bool = False) -> nn.Sequential:
        """Return an untrained network; ``tight`` draws weights that keep intervals from growing."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            network = nn.Sequential(*self.links())
            for module in network.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    _draw(module, tight=tight)
        return network.eval()

    def links(self) -> list[nn.Sequential]:
        """Return the links with torch's weights."""
        inputs, side, links = self.channels, self.size, []
        for outputs, kernel, stride in self.convolutions:
            padding = (kernel - 1) // 2
            convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding)
            links.append(nn.Sequential(convolution, nn.ReLU()))
            inputs, side = outputs, (side + 2 * padding - kernel) // stride + 1
        return [*links, *dense_links(inputs * side**2, *self.hidden, self.classes)]


def _draw(module: nn.Conv2d | nn.Linear, *, tight: bool) -> None:
    """Draw weights after He et al. (2015), or of deviation √(2π) / fan-in: Shi et al. (2021)."""
    fan_in = module.weight[0].numel()
    deviation = math.sqrt(2 * math.pi) / fan_in if tight else math.sqrt(2 / fan_in)
    nn.init.normal_(module.weight, std=deviation)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


CHAINS = {
    "digits-small": Chain(convolutions=((8, 3, 1), (16, 4, 2)), hidden=(32,), size=8, channels=1),
    "digits": Chain(convolutions=((16, 3, 1), (32, 4, 2)), hidden=(64, 32), size=8, channels=1),
    "mnist-small": Chain(convolutions=((16, 4, 2), (32, 4, 2)), hidden=(100,), size=28, channels=1),
    "cifar-small": Chain(convolutions=((16, 4, 2), (32, 4, 2)), hidden=(100,), size=32, channels=3),
    "cifar-large": Chain(
        convolutions=((32, 3, 1), (32, 4, 2), (64, 3, 1), (64, 4, 2)),
        hidden=(512, 512),
        size=32,
        channels=3,
    ),
}


def with_boxes(h: Images, box: Box) -> Tensor:
    """Return h and the ends of its box as one tensor a sample, for ``OnBoxes``."""
    return torch.stack([h, box.lower, box.upper], dim=1)
