"""The ball, the box and the gradient to the input: what every attack shares.

An attack looks for x + delta with ‖delta‖ <= epsilon and x + delta in [0, 1]. It runs the network
in evaluation mode, differentiates to the input only, and leaves everything as it found it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral
from typing import Literal, Protocol, TypeAlias

import torch
from torch import Generator, Tensor, nn

from semirobust.attacks.noise import Noise, sample_noise
from semirobust.attacks.objectives import Objective, cross_entropy
from semirobust.data import Samples, batches
from semirobust.types import Attack, Classifier, Flags, Images, Labels, Logits

Norm: TypeAlias = Literal["inf", "2"]
Outcome: TypeAlias = tuple[Images, Flags]  # x + delta, and which samples it is known to fool
Search: TypeAlias = Callable[[Tensor, Noise], Outcome]  # the rows to search for -> what was found
TRUSTED = ContextVar("TRUSTED", default=False)  # within ``trusting``


class SearchAttack(Protocol):
    """An attack that also tells which samples it fooled; called, it returns the points alone."""

    def search(self, network: Classifier, x: Images, y: Labels, noise: Noise) -> Outcome:
        """Return the perturbed inputs, and which of them fool the network."""

    def __call__(
        self, network: Classifier, x: Images, y: Labels, *, generator: Generator
    ) -> Images:
        with prepared(network, x, y) as classifier:
            return self.search(classifier, x.detach(), y, sample_noise(generator, x))[0]


def project(x_adv: Tensor, x: Images, epsilon: float, norm: Norm = "inf") -> Images:
    """Return the nearest point to x_adv of the inf-ball around x, within the unit box.

    For the 2-norm, x_adv is drawn back along its ray to the ball, then clamped to the box. The
    clamp only shortens delta, because x itself lies in the box.
    """
    if norm == "inf":
        return x_adv.clamp(x - epsilon, x + epsilon).clamp(0, 1)
    delta = x_adv - x
    shrink = (epsilon / norms(delta).clamp_min(1e-12)).clamp_max(1)
    return (x + delta * per_sample(shrink, x)).clamp(0, 1)


def bounds(x: Images, epsilon: float) -> tuple[Images, Images]:
    """Return the ends of the inf-ball within the unit box, to which ``project`` clamps."""
    return (x - epsilon).clamp_(0, 1), (x + epsilon).clamp_(0, 1)


def per_sample(values: Tensor, x: Tensor) -> Tensor:
    """Return one value a sample, shaped so that it multiplies the samples x."""
    return values.view(-1, *[1] * (x.dim() - 1))


def norms(delta: Tensor, order: float = 2) -> Tensor:
    flat = delta.flatten(1)
    if order == float("inf"):  # several times faster than vector_norm on a CPU
        return flat.abs().amax(dim=1)
    return torch.linalg.vector_norm(flat, ord=order, dim=1)


def distance(x_adv: Images, x: Images, norm: Norm) -> Tensor:
    return norms(x_adv - x, float(norm))


def steepest_direction(gradient: Tensor, norm: Norm) -> Tensor:
    """Return the direction of unit norm in which the objective rises fastest."""
    if norm == "inf":
        return gradient.sign()
    gradient = gradient.nan_to_num()  # the sign of what is no number is 0
    return gradient / per_sample(norms(gradient).clamp_min(1e-12), gradient)


def uniform_in_ball(x: Images, epsilon: float, noise: Noise, *, draw: int = 0) -> Images:
    """Return a uniform point of the inf-ball around x, brought into the box."""
    shift = (2 * noise.uniform(*x.shape[1:], draw=draw) - 1).to(x.dtype)
    return project(x + epsilon * shift, x, epsilon)


def random_on_sphere(x: Images, epsilon: float, norm: Norm, noise: Noise) -> Images:
    """Return a random point at distance epsilon from x, brought into the box."""
    raw = 2 * noise.uniform(*x.shape[1:]) - 1 if norm == "inf" else noise.normal(*x.shape[1:])
    length = norms(raw, float(norm)).clamp_min(1e-12)
    return project(x + epsilon * (raw / per_sample(length, x)).to(x.dtype), x, epsilon, norm)


def input_gradient(
    network: Classifier, x: Images, y: Labels, objective: Objective = cross_entropy
) -> Tensor:
    """Return the gradient of the summed objective with respect to x; the weights get none."""
    return value_and_gradient(network, x, y, objective)[2]


def value_and_gradient(
    network: Classifier, x: Images, y: Labels, objective: Objective = cross_entropy
) -> tuple[Logits, Tensor, Tensor]:
    """Return logits, the objective of every sample, and its gradient with respect to x."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits = network(x)
        values = objective(logits, y)
        gradient = torch.autograd.grad(values.sum(), x)[0]
    return logits.detach(), values.detach(), gradient


@torch.no_grad()
def fooled(network: Classifier, x: Images, y: Labels) -> Flags:
    """Return which samples the network misclassifies."""
    return wrong(network(x), y)


def wrong(logits: Logits, y: Labels) -> Flags:
    """Return which logits do not have their largest entry at the label; a tie or NaN is wrong."""
    own = logits.gather(1, y[:, None])
    return (~(logits < own)).sum(dim=1) != 1


def share(flags: Flags) -> float:
    """Return the share of samples that are flagged, 0 of none."""
    return float(flags.double().mean()) if len(flags) else 0.0


def perturbed_batches(
    network: Classifier,
    samples: Samples,
    attack: Attack,
    *,
    generator: Generator,
    batch: int = 250,
) -> Iterator[tuple[Images, Labels]]:
    """Yield the samples after an attack on the network, with their labels, a batch at a time."""
    for x, y, _ in batches(samples, batch):
        yield attack(network, x, y, generator=generator), y


@contextmanager
def evaluating(network: Classifier) -> Iterator[None]:
    """Hold every module of the network in evaluation mode; give each its own mode back after.

    Running statistics stand still, and a part that the caller had frozen stays frozen. A plain
    function has no modes and is left alone.
    """
    modules = network.modules() if isinstance(network, nn.Module) else ()
    training = [module for module in modules if module.training]
    try:
        for module in training:
            module.training = False
        yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def trusting(*, valid: bool) -> Iterator[None]:
    """Let attacks ask no questions about batches of samples that were found valid as a whole.

    A question about a batch makes the host wait for the device; training asks once a run.
    """
    before = TRUSTED.set(valid)
    try:
        yield
    finally:
        TRUSTED.reset(before)


@contextmanager
def prepared(network: Classifier, x: Images, y: Labels) -> Iterator[Classifier]:
    """Yield the network in evaluation mode, for a batch of valid images and labels."""
    if TRUSTED.get():
        with evaluating(network):
            yield network
        return
    largest = check_batch(x, y)

    def classifier(z: Images) -> Logits:
        logits = network(z)
        if largest >= logits.shape[1]:
            raise ValueError(
                f"labels must lie in 0..{logits.shape[1] - 1} for this network, got {largest}; "
                "build it with classes= of the data set"
            )
        return logits

    with evaluating(network):
        yield classifier


def check_batch(x: Images, y: Labels) -> int:
    """Refuse what are no images and labels, and return the largest label, -1 of an empty batch."""
    if len(x) != len(y):
        raise ValueError(f"need one label for every image, got {len(x)} images, {len(y)} labels")
    if len(x) == 0:
        return -1
    low, high, first, last = torch.stack([x.min(), x.max(), y.min(), y.max()]).tolist()
    if not (low >= 0 and high <= 1):  # written so that NaN is refused as well
        raise ValueError(
            f"images must be finite and lie in [0, 1], got {low:.4g}..{high:.4g}; "
            "divide bytes by 255, and leave the normalisation to the network's first link"
        )
    if first < 0:
        raise ValueError(f"labels must lie in 0..classes-1, got {int(first)}")
    return int(last)


def search_in_turn(searches: Sequence[Search], x: Images, noise: Noise) -> Outcome:
    """Return what several searches find, each given the samples that survived all before it.

    A sample that survives them all keeps the point of the last search.
    """
    result, broken = x.detach().clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for number, search in enumerate(searches):
        rows = (~broken).nonzero()[:, 0]
        if not len(rows):
            break
        result[rows], broken[rows] = search(rows, noise[rows].stream(number))
    return result, broken


def search_each_target(
    run: Callable[[Tensor, Labels, Noise], Outcome],
    targets: Labels,
    x: Images,
    noise: Noise,
    width: int,
) -> Outcome:
    """Return what a search finds towards each of the classes ``targets``, N x T, in turn.

    A sample goes on to its next class only where all before it failed. Where the samples left are
    fewer than ``width``, several classes are tried in one batch, which finds the same with fewer
    calls of the network.
    """
    result, broken = x.detach().clone(), torch.zeros(len(x), dtype=torch.bool, device=x.device)
    number, count = 0, targets.shape[1]
    while number < count and not broken.all():
        rows = (~broken).nonzero()[:, 0]
        group = range(number, min(count, number + max(1, width // len(rows))))
        streams = Noise(torch.cat([noise[rows].stream(k).seeds for k in group]))
        target = targets[rows, group.start : group.stop].T.flatten()
        points, lost = run(rows.repeat(len(group)), target, streams)
        lost = lost.view(len(group), len(rows))
        first = torch.where(lost.any(dim=0), lost.int().argmax(dim=0), len(group) - 1)
        place = first * len(rows) + torch.arange(len(rows), device=x.device)
        result[rows], broken[rows] = points[place], lost.any(dim=0)
        number += len(group)
    return result, broken


def check_radius(epsilon: float, norm: Norm = "inf") -> None:
    """Refuse a radius that is not in input units, such as 8 for 8/255."""
    if norm not in ("inf", "2"):
        raise ValueError(f'norm must be "inf" or "2", got {norm!r}')
    if not epsilon >= 0 or (norm == "inf" and epsilon > 1):
        raise ValueError(f"epsilon is in input units, 0..1: write 8/255, not 8; got {epsilon}")


def check_steps(**counts: int) -> None:
    for name, count in counts.items():
        if not isinstance(count, Integral) or count < 1:
            raise ValueError(f"{name} must be at least 1 and whole, got {count}")
