"""Bounds (12) to (15) on the gap of two losses, by the norms of the weights.

    L(ω̃) - L(ω*) <= C E‖f̃(x) - f*(x)‖ <= C C_x Π_(j in a) ‖W_j‖_F ‖Δ‖    (Eqs. 12 to 15)

Departures. The paper's loss is a correlation, with C = 1; the cross-entropy has C = √2. (13), and
with it (15), holds for an f_b of one layer. The peeling that holds for any chain needs the norms of
every layer of f_b, biases, and for a convolution the norm of its unrolled matrix.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, prod, sqrt

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from semirobust.models import Normalise
from semirobust.theory.curvature import weights
from semirobust.types import Features, Images, Labels

LIPSCHITZ = sqrt(2)  # of the cross-entropy in the logits: ‖p - e_y‖ <= √2
Weighted = nn.Conv2d | nn.Linear
HARMLESS = nn.Linear | nn.ReLU | nn.Flatten | nn.Identity | nn.Dropout


@dataclass(frozen=True)
class NormBounds:
    """Bounds (12) to (15) on L(ω̃) - L(ω*), from the loosest assumption to the mildest.

    Attributes:
        difference: L(ω̃) - L(ω*), the truth.
        logits: √2 E‖f̃(x) - f*(x)‖: (12), nothing estimated.
        from_features: The same with the logits' difference peeled through f_b, from ‖f_a(x)‖.
        from_input: NormBounds through f_a as well, from C_x: what (15) needs to hold for any depth.
        printed: √2 C_x Π_(j in a) ‖W_j‖_F ‖Δ‖: (15) as printed.
    """

    difference: float
    logits: float
    from_features: float
    from_input: float
    printed: float


@torch.no_grad()
def weight_norm_bounds(
    f_a: nn.Module, robust: nn.Module, tuned: nn.Module, x: Images, y: Labels
) -> NormBounds:
    """Return bounds (12) to (15) for two last parts f_b*, f̃_b behind one f_a, all without norms.

    Batch norms must have been folded (``layers.fold``). C_x is the largest norm of an image, after
    the network's own normalisation.
    """
    z = normalised(f_a, x)
    h = f_a(x)
    before, after = robust(h), tuned(h)
    norm = float(z.flatten(1).norm(dim=1).max())
    at_cut = float(h.flatten(1).norm(dim=1).max())
    through_a = [(layer, layer) for layer in flat_layers(f_a)]
    through_b = list(zip(flat_layers(robust), flat_layers(tuned), strict=True))
    frobenius = prod(_norm(leaf.weight) for leaf in flat_layers(f_a) if isinstance(leaf, Weighted))
    distance = float((weights(tuned) - weights(robust)).norm())
    return NormBounds(
        difference=float(cross_entropy(after, y) - cross_entropy(before, y)),
        logits=LIPSCHITZ * float((after - before).norm(dim=1).mean()),
        from_features=LIPSCHITZ * output_distance(through_b, h, at_cut),
        from_input=LIPSCHITZ * output_distance([*through_a, *through_b], z, norm),
        printed=LIPSCHITZ * norm * frobenius * distance,
    )


@torch.no_grad()
def output_distance(
    pairs: Sequence[tuple[nn.Module, nn.Module]], h: Features, norm: float
) -> float:
    """Return a bound of ‖f̃(h) - f*(h)‖ for all h up to a norm, layer by layer.

    With n the bound of ‖h*‖ and e that of ‖h̃ - h*‖, a layer W, b takes them to

        e <- ‖W̃‖ e + ‖W̃ - W*‖ n + ‖b̃ - b*‖,     n <- ‖W*‖ n + ‖b*‖.
    """
    e = 0.0
    for own, other in pairs:
        reach, before, h = sqrt(window_overlap(own, h)), norm, own(h)
        e, norm = reach * e, reach * norm
        if isinstance(own, Weighted) and isinstance(other, Weighted):
            places = sqrt(h[0].numel() / len(own.weight))
            e = e * _norm(other.weight) + reach * before * _norm(other.weight - own.weight)
            norm *= _norm(own.weight)
            if own.bias is not None and other.bias is not None:
                e += places * _norm(other.bias - own.bias)
                norm += places * _norm(own.bias)
    return e


def _norm(values: Tensor) -> float:
    return float(values.detach().norm())


def window_overlap(leaf: nn.Module, h: Features) -> int:
    """Return how many windows of a layer share an input at most; 1 without windows.

    ‖unrolled convolution‖² <= overlap ‖kernel‖_F², and likewise for pooling, whose kernel is 1.
    """
    if isinstance(leaf, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        size, stride = (_square(value) for value in (leaf.kernel_size, leaf.stride))
        return ceil(size / stride) ** 2
    if isinstance(leaf, nn.AdaptiveAvgPool2d):
        return ceil(_square(leaf.output_size) / h.shape[-1]) ** 2
    if isinstance(leaf, HARMLESS):
        return 1
    raise ValueError(
        "peeling needs a chain of convolutions, linear maps, ReLU and pooling without batch norm; "
        f"got {type(leaf).__name__}: fold it, or take a network without shortcuts"
    )


def _square(value: int | tuple[int | None, ...] | None) -> int:
    return value if isinstance(value, int) else max(side or 1 for side in value or (1,))


def flat_layers(network: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of nested chains in order, without the input normalisation."""
    if not isinstance(network, nn.Sequential):
        yield network
        return
    for child in network:
        if not isinstance(child, Normalise):
            yield from flat_layers(child)


def normalised(network: nn.Module, x: Images) -> Tensor:
    """Return the images as the first layer sees them, after the network's own normalisation."""
    first = next((part for part in network.modules() if isinstance(part, Normalise)), None)
    return x if first is None else first(x)
