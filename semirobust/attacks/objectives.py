"""What an attack climbs: one number for every sample, larger where the network is more wrong.

All of them read logits. Cross-entropy is what networks are trained on; it underflows where logits
are large, and its gradient vanishes there. The margin does not. The difference-of-logits ratio
(Croce and Hein, 2020, Eq. 6 and 7) is the margin over a difference of logits, so that neither a
shift nor a scale of the logits changes it.
"""

from collections.abc import Callable, Collection
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from semirobust.types import Features, Labels, Logits

Objective: TypeAlias = Callable[[Logits, Labels], Tensor]
TINY = 1e-12


def cross_entropy(logits: Logits, y: Labels) -> Tensor:
    """Return -log softmax(logits)_y."""
    return functional.cross_entropy(logits, y, reduction="none")


def margin(logits: Logits, y: Labels) -> Tensor:
    """Return logit_y - max of the others: positive exactly where the network is right.

    Example:
        >>> margin(torch.tensor([[3.0, 1.0, 2.0]]), torch.tensor([0]))
        tensor([1.])
    """
    return own(logits, y) - others(logits, y).amax(dim=1)


def negative_margin(logits: Logits, y: Labels) -> Tensor:
    """Return max of the others - logit_y, the objective of Carlini and Wagner (2017)."""
    return -margin(logits, y)


def dlr(logits: Logits, y: Labels) -> Tensor:
    """Return the difference-of-logits ratio, -margin / (largest - third largest logit).

    With two classes there is no third, and the ratio is constant: the margin itself is used.
    """
    if logits.shape[1] < 3:
        return negative_margin(logits, y)
    ranked = logits.sort(dim=1, descending=True)[0]
    return negative_margin(logits, y) / (ranked[:, 0] - ranked[:, 2] + TINY)


def towards(target: Labels) -> Objective:
    """Return the objective logit_target - logit_y: the margin towards one other class."""

    def objective(logits: Logits, y: Labels) -> Tensor:
        return own(logits, target) - own(logits, y)

    return objective


def dlr_towards(target: Labels) -> Objective:
    """Return the targeted ratio, (z_t - z_y) / (z_1 - (z_3 + z_4) / 2), z_1 >= z_2 >= ... sorted.

    With fewer than four classes the smallest logit stands for those that are missing; with two the
    ratio would be constant, and the margin itself is used.
    """
    difference = towards(target)

    def objective(logits: Logits, y: Labels) -> Tensor:
        classes = logits.shape[1]
        if classes < 3:
            return difference(logits, y)
        ranked = logits.sort(dim=1, descending=True)[0]
        low = (ranked[:, 2] + ranked[:, min(3, classes - 1)]) / 2
        return difference(logits, y) / (ranked[:, 0] - low + TINY)

    return objective


def divergence_from(clean: Logits) -> Objective:
    """Return the objective KL(softmax(clean) || softmax(logits)), the inner loss of TRADES."""
    log_clean = clean.log_softmax(dim=1)

    def objective(logits: Logits, y: Labels) -> Tensor:  # noqa: ARG001  TRADES asks for no label
        log_p = logits.log_softmax(dim=1)
        return functional.kl_div(log_p, log_clean, reduction="none", log_target=True).sum(dim=1)

    return objective


def squared_distance_from(clean: Features) -> Objective:
    """Return the objective ‖h - clean‖^2, of features in the place of logits."""
    return lambda h, _: ((h - clean) ** 2).flatten(1).sum(dim=1)


def own(logits: Logits, y: Labels) -> Tensor:
    return logits.gather(1, y[:, None])[:, 0]


def others(logits: Logits, y: Labels) -> Tensor:
    """Return the logits with -inf in the place of the label."""
    return logits.scatter(1, y[:, None], -torch.inf)


def check_choice(name: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")


OBJECTIVES: dict[str, Objective] = {
    "cross-entropy": cross_entropy,
    "margin": negative_margin,
    "dlr": dlr,
}
TARGETED: dict[str, Callable[[Labels], Objective]] = {"dlr": dlr_towards, "margin": towards}
