"""What rounding adds to a bound, so that it holds for float32 as it is computed.

Every map of the network is taken to be off by as much as float32 may err in it: behind an affine
map of n terms, added up in any order,

    |d| <= c (|W| |h| + |b|),    c = n u / (1 - n u),    u = 2^-24,

with |h| the largest values of the box before it (Higham 2002, chapter 3). These d are one more box
at every map, which intervals and rows of coefficients carry to the margins like the box of the
image. The bounds themselves are computed in float64, whose error of the same form is a 2^-29th of d
for each pass: a share ``OWN`` of d is added for it.

So a certified margin is positive for the network in exact arithmetic and as float32 computes it, at
every image of the ball as float32 rounds it. Not covered is a network that is run in TF32 (no bound
is: ``data.float32_kept``), in bfloat16, or with convolutions by Winograd's or Fourier's transform,
which a GPU may choose: their errors have other constants.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from semirobust.attacks.ball import check_radius
from semirobust.certified.operators import (
    TINY,
    Affine,
    Box,
    Branches,
    Convolution,
    Dense,
    Operator,
    Positive,
    Scale,
    absolute,
)
from semirobust.types import Images

FLOAT32 = 2.0**-24  # largest relative error of one operation
OWN = 2.0**-20  # of the error in float32: what the bounds' own arithmetic adds


def outward_ball(x: Images, epsilon: float) -> Box:
    """Return the inf-ball around each image within [0, 1], with the points that float32 makes."""
    check_radius(epsilon)
    exact, reach = x.double(), epsilon + 2 * FLOAT32
    return Box((exact - reach).clamp(0, 1), (exact + reach).clamp(0, 1))


def in_float64(chain: tuple[Operator, ...]) -> tuple[Operator, ...]:
    """Return the operators with the same weights in float64."""
    return tuple(map(_double, chain))


def _double(operator: Operator) -> Operator:
    match operator:
        case Branches(branches):
            return Branches(tuple(map(in_float64, branches)))
        case Convolution(weight, bias) | Dense(weight, bias):
            bias = None if bias is None else bias.double()
            return replace(operator, weight=weight.double(), bias=bias)
        case Scale(scale, shift, size):
            return Scale(scale.double(), shift.double(), size.double())
    return operator


def off_by(operator: Affine, box: Box) -> Tensor:
    """Return what float32 may err by in an affine map of a box."""
    size = _size(box)
    n = _terms(operator, size)
    return n * FLOAT32 / (1 - n * FLOAT32) * (1 + OWN) * absolute(operator, size) + TINY


def of_sum(box: Box) -> Tensor:
    """Return what float32 may err by where two branches add up to a box."""
    return 2 * FLOAT32 * _size(box) + TINY


def _terms(operator: Affine, size: Tensor) -> int:
    """Return how many terms each output of an affine map adds up, generously."""
    match operator:
        case Convolution(weight) | Dense(weight):
            return weight[0].numel() + 2
        case Scale():
            return 16
        case Positive(nn.Flatten()):
            return 0
    return size[0, 0].numel() + 2  # a mean of all pixels at most


def _size(box: Box) -> Tensor:
    return torch.maximum(box.lower.abs(), box.upper.abs())
