"""Many dense networks trained as one: layers without biases as batched matrix products.

R networks of one shape share every operation, so its overhead is paid once and not R times. Nothing
passes from one network to another, and each has its own order of samples. A batch goes network by
network (x is (R·B) x inputs, logits (R·B) x K), so any attack of the package attacks all at once.

Weights are R x in x out, one tensor a layer; masks are bool of the same shapes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parametrize

from semirobust.attacks.ball import check_steps, wrong
from semirobust.attacks.gradient import FGSM, PGD
from semirobust.data import Samples
from semirobust.training.optimisers import without_compiler
from semirobust.types import Images, Labels, Logits

Weights: TypeAlias = tuple[Tensor, ...]
Masks: TypeAlias = tuple[Tensor, ...]
CHUNK = 250  # images of an evaluation that pass at once


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Settings of one training: Adam on label-smoothed cross-entropy, half clean, half attacked.

    Without an attack it is all clean. The learning rate is constant; ``smoothing`` is the share of
    the label that is spread over all classes.
    """

    iterations: int = 50_000
    attack: FGSM | PGD | None = None
    batch: int = 60
    learning_rate: float = 1.2e-3
    smoothing: float = 0.1

    def __post_init__(self) -> None:
        check_steps(iterations=self.iterations, batch=self.batch)
        if isinstance(self.attack, PGD) and self.attack.random_start:
            raise ValueError(
                "the attack of a batched training draws nothing, so that a network meets the same "
                "examples alone: set random_start=False"
            )


class Masked(nn.Module):
    """A weight under its mask, as a parametrisation: what is pruned is 0 at every reading.

    (``torch.nn.utils.prune`` renews the weight in the next forward pass only: after a rewinding, a
    bound computed from it in between would be that of another network.)
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


class Layer(nn.Module):
    """One layer of R networks: R x B x in -> R x B x out."""

    def __init__(self, weight: Tensor, mask: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        parametrize.register_parametrization(self, "weight", Masked(mask.to(weight)))

    def forward(self, h: Tensor) -> Tensor:
        return torch.bmm(h, self.weight)


class Batched(nn.Module):
    """R dense networks with ReLU between their layers, under masks; None leaves all weights."""

    def __init__(self, weights: Sequence[Tensor], masks: Sequence[Tensor] | None = None) -> None:
        super().__init__()
        masks = full_masks(weights) if masks is None else masks
        pairs = zip(weights, masks, strict=True)
        self.layers = nn.ModuleList(Layer(weight, mask) for weight, mask in pairs)
        self.count = len(weights[0])

    def forward(self, x: Images) -> Logits:
        """Return (R·B) x K logits of (R·B) inputs, the rows of the first network first."""
        h = x.reshape(self.count, len(x) // self.count, -1)
        *hidden, last = self.layers
        for layer in hidden:
            h = layer(h).relu()
        return last(h).flatten(0, 1)

    def weights(self) -> Weights:
        """Return the weights, those that masks hide included."""
        hidden = (layer.get_parameter("parametrizations.weight.original") for layer in self.layers)
        return tuple(weight.detach().clone() for weight in hidden)


def full_masks(weights: Sequence[Tensor]) -> Masks:
    return tuple(torch.ones_like(weight, dtype=torch.bool) for weight in weights)


def glorot_weights(sizes: Sequence[int], seeds: Sequence[int]) -> Weights:
    """Return initial weights, one network a seed: normal with variance 2 / (in + out), Glorot."""
    generators = [Generator().manual_seed(seed) for seed in seeds]
    return tuple(
        torch.stack([torch.randn(pair, generator=generator) for generator in generators])
        * (2 / sum(pair)) ** 0.5
        for pair in pairwise(sizes)
    )


def placed(weights: Sequence[Tensor], like: Tensor) -> Weights:
    """Return weights or masks on the device of another tensor."""
    return tuple(weight.to(like.device) for weight in weights)


def chain(weights: Sequence[Tensor], masks: Sequence[Tensor], number: int) -> nn.Sequential:
    """Return one of R networks as a chain of ordinary links, with zeros where it was pruned."""
    links = []
    for layer, (weight, mask) in enumerate(zip(weights, masks, strict=True), start=1):
        value = (weight[number] * mask[number]).T
        linear = nn.utils.skip_init(  # type: ignore[no-untyped-call]
            nn.Linear, value.shape[1], value.shape[0], bias=False, dtype=value.dtype
        )
        linear.weight = nn.Parameter(value.detach().clone(memory_format=torch.contiguous_format))
        between = [nn.ReLU()] if layer < len(weights) else []
        links.append(nn.Sequential(nn.Flatten(), linear, *between))
    return nn.Sequential(*links).eval()


def sample_orders(count: int, batch: int, seeds: Sequence[int]) -> Iterator[Tensor]:
    """Yield R x batch indices without end: each network's own shuffles, whole batches."""
    if batch > count:
        raise ValueError(f"a batch of {batch} is larger than the {count} training samples")
    generators = [Generator().manual_seed(seed) for seed in seeds]
    while True:
        shuffled = torch.stack(
            [torch.randperm(count, generator=generator) for generator in generators]
        )
        yield from torch.split(shuffled[:, : count - count % batch], batch, dim=1)


def clean_and_attacked(network: Batched, attack: FGSM | PGD | None, x: Images, y: Labels) -> Images:
    """Return R x (B or 2 B) x inputs: the clean images of each network, then the attacked ones."""
    clean = x.view(network.count, -1, x.shape[1])
    if attack is None:
        return clean
    x_adv = attack(network, x, y, generator=Generator())
    return torch.cat([clean, x_adv.view_as(clean)], dim=1)


def fit(
    weights: Sequence[Tensor],
    masks: Sequence[Tensor],
    samples: Samples,
    steps: Steps,
    seeds: Sequence[int],
    *,
    a: int = 0,
    every: int | None = None,
) -> Iterator[tuple[int, Weights]]:
    """Train R networks and yield the steps taken with the weights, every so many and at the end.

    The weights that are given are left as they are; those outside the masks keep their value and
    have no effect. The samples are the same for all networks, their order has one seed a network.
    The first ``a`` layers stand still, the paper's f_a.
    """
    if not 0 <= a < len(weights):
        raise ValueError(f"need 0 <= a < n, got a={a}, n={len(weights)}")
    network, images = Batched(weights, masks), samples.x.flatten(1).to(weights[0].dtype)
    trained = [weight for layer in network.layers[a:] for weight in layer.parameters()]
    network.layers[:a].requires_grad_(False)  # noqa: FBT003
    adam = without_compiler(torch.optim.Adam)(trained, lr=steps.learning_rate, fused=True)
    order = sample_orders(len(samples), steps.batch, seeds)
    for iteration in range(1, steps.iterations + 1):
        index = next(order).to(images.device)
        step(network, adam, images[index.flatten()], samples.labels[index], steps)
        if iteration == steps.iterations or (every and iteration % every == 0):
            yield iteration, network.weights()


def step(network: Batched, adam: torch.optim.Optimizer, x: Images, y: Labels, steps: Steps) -> None:
    """Take one step of every network on its own mean loss; y is R x B."""
    with parametrize.cached():
        both = clean_and_attacked(network, steps.attack, x, y.flatten())
        labels = y.repeat(1, both.shape[1] // y.shape[1]).flatten()
        logits = network(both.flatten(0, 1))
        loss = cross_entropy(logits, labels, label_smoothing=steps.smoothing, reduction="sum")
        adam.zero_grad(set_to_none=True)
        (loss / both.shape[1]).backward()  # type: ignore[no-untyped-call]
    adam.step()


def correct(
    weights: Sequence[Tensor],
    masks: Sequence[Tensor],
    samples: Samples,
    attack: FGSM | PGD | None = None,
    *,
    seed: int = 0,
) -> Tensor:
    """Return, R x N, which samples each network classifies correctly, under an attack if given."""
    images = samples.x.flatten(1).to(weights[0].dtype)
    network = Batched(weights, masks).requires_grad_(False)  # noqa: FBT003
    generator, flags = Generator().manual_seed(seed), []
    with parametrize.cached():
        for index in torch.split(torch.arange(len(samples), device=images.device), CHUNK):
            each = index.repeat(network.count)
            x, y = images[each], samples.labels[each]
            if attack is not None:
                x = attack(network, x, y, generator=generator)
            with torch.no_grad():
                flags.append(~wrong(network(x), y).view(network.count, -1))
    return torch.cat(flags, dim=1)
