"""Signs that a robust accuracy is not what it seems: each a check with its value and its reason.

They look at what an evaluation used and left behind; checks that attack again are in `scrutiny`.
"""

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from semirobust.attacks.ball import Norm, distance, input_gradient, share
from semirobust.types import Classifier, Flags, Images, Labels

SLACK = 1e-6  # of the radius, for rounding
ALIKE = 0.8  # mean cosine of gradients with a stand-in's: 0.93 (ResNet-50) to 0.99 after rounding
HIDDEN = 0.01  # share of samples that a stand-in may hide from the search
DISAGREE = 1 / 200  # share of flags that rounding in another batch may turn
CEILINGS = {"resnet18": 0.586, "resnet50": 0.516}  # CIFAR-10, inf-norm, 8/255: best published
CEILING = 0.737  # of any architecture
REASONS = {  # what a failure would mean
    "left as found": "the attack or the network changes state, "
    "so what was scored is another network",
    "budget": "points outside the ball or the box belong to another threat model",
    "recomputed": "scoring the same points again gives other answers: "
    "the network is not a function",
    "gradients": "gradients vanish or are cut off, so attacks that follow them find nothing",
    "deterministic": "answers are random: attack their mean over many draws, and score the mean",
    "logits": "a softmax at the end flattens the loss that attacks climb; leave it out",
    "radius": "robust where nothing can be told apart: the attack is led astray, gradients masked",
    "steps": "more effort finds less: the steps do not climb what they should",
    "black box": "an attack that sees only answers breaks what gradients could not",
    "seeds": "the number is an accident of a seed, or the network is random",
    "batch": "answers depend on the neighbours in the batch: is a norm in training mode?",
    "adaptive": "an attack that knows how the network was put together breaks what others could "
    "not",
    "stand-in": "its gradients are not the network's, so a search on it is led elsewhere",
    "hidden": "the stand-in hides what the network itself shows: search there from the start",
    "transfer": "points made on another network do more harm than points made on this one",
}


@dataclass(frozen=True, kw_only=True)
class Canary:
    """One check: what was looked at, what was seen, and what a failure would mean."""

    name: str
    passed: bool
    value: float | str
    reason: str


def judged(name: str, value: float | str, *, passed: bool) -> Canary:
    """Return a check with the reason that belongs to its name."""
    return Canary(name=name, passed=passed, value=value, reason=REASONS[name])


def snapshot(network: Classifier) -> dict[str, list[Any]]:
    """Return all that an evaluation must leave as it was, by name."""
    parts = network if isinstance(network, nn.Module) else nn.Module()
    weights = list(parts.parameters())
    numpys: Any = np.random.get_state()  # noqa: NPY002
    return {
        "modes": [module.training for module in parts.modules()],
        "requires_grad": [weight.requires_grad for weight in weights],
        "gradients": [None if w.grad is None else w.grad.clone() for w in weights],
        "weights and statistics": [v.detach().clone() for v in [*weights, *parts.buffers()]],
        "generators": [torch.get_rng_state(), numpys[1].tobytes(), random.getstate()],
    }


def unchanged(before: dict[str, list[Any]], after: dict[str, list[Any]]) -> Canary:
    """Check 2: modes, gradients, statistics and global generators are as they were."""
    changed = [name for name, values in before.items() if not all(map(_equal, values, after[name]))]
    return judged("left as found", ", ".join(changed) or "all", passed=not changed)


def _equal(a: Any, b: Any) -> bool:
    both = isinstance(a, Tensor) and isinstance(b, Tensor)
    return torch.equal(a, b) if both else bool(a == b)


def within_budget(x_adv: Images, x: Images, epsilon: float | None, norm: Norm) -> Canary:
    """Check 1: every point lies in the ball and in the box."""
    furthest = float(distance(x_adv, x, norm).max()) if len(x) else 0.0
    inside = bool(((x_adv >= 0) & (x_adv <= 1)).all())
    return judged(
        "budget", furthest, passed=inside and (epsilon is None or furthest <= epsilon + SLACK)
    )


def recomputed(claimed: Flags, scored: Flags) -> Canary:
    """Check 1: the stored points, scored again, give the flags of the search."""
    differing = share(claimed != scored)
    return judged("recomputed", differing, passed=differing <= DISAGREE)


def has_gradients(network: Classifier, x: Images, y: Labels) -> Canary:
    """Check 9: no sample has a cross-entropy gradient of zero."""
    gradient = gradient_or_none(network, x, y)
    missing = ~gradient.flatten(1).any(dim=1) | ~gradient.flatten(1).isfinite().all(dim=1)
    return judged("gradients", share(missing), passed=not missing.any())


def gradient_or_none(network: Classifier, x: Images, y: Labels) -> Tensor:
    """Return the gradient of the cross-entropy, zero where none comes back to the input."""
    try:
        return input_gradient(network, x, y)
    except RuntimeError as blocked:
        if "require" not in str(blocked) and "unused" not in str(blocked):
            raise
        return torch.zeros_like(x)


def stands_in(
    network: Classifier, stand_in: Classifier, x: Images, y: Labels, missed: Flags
) -> tuple[Canary, Canary]:
    """A stand-in's gradients point where the network's do, and it hid at most one per cent."""
    own, near = (gradient_or_none(one, x, y).flatten(1) for one in (network, stand_in))
    cosine = float(cosine_similarity(own, near).mean()) if len(x) else 1.0
    hidden = share(missed)
    return (
        judged("stand-in", cosine, passed=cosine >= ALIKE),
        judged("hidden", hidden, passed=hidden <= HIDDEN),
    )


@torch.no_grad()
def is_function(network: Classifier, x: Images) -> Canary:
    """Check 10: the same images give the same logits twice."""
    apart = float((network(x) - network(x)).abs().max()) if len(x) else 0.0
    return judged("deterministic", apart, passed=apart <= 1e-5)


@torch.no_grad()
def gives_logits(network: Classifier, x: Images) -> Canary:
    """Check 11: the network ends in logits, not in probabilities."""
    answers = network(x)
    sums = answers.sum(dim=1)
    probable = bool((answers >= 0).all() and (sums - 1).abs().max() < 1e-3) if len(x) else False
    return judged("logits", float(sums.mean()) if len(x) else 0.0, passed=not probable)


def plausible(accuracy: float, architecture: str | None = None) -> Canary:
    """Check 14: CIFAR-10 under the inf-norm, 8/255, is no better than the best published."""
    ceiling = CEILINGS.get(architecture or "", CEILING)
    return Canary(
        name="plausible",
        passed=accuracy <= ceiling,
        value=accuracy,
        reason=f"above {ceiling}, the best published: needs an adaptive attack and a reason",
    )
