"""The operators that bounds know: affine maps, ReLU and max pooling, and branches that are summed.

An affine operator maps a box to the smallest box that holds its image (the centre by the map, the
radius by its absolute weights), and rows of coefficients of its output to rows of its input, by its
transpose; what its bias adds to each row is apart. A residual block is a sum of branches.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, fold, linear

Pair: TypeAlias = tuple[int, int]
TINY = 1e-12
FEW = 4  # input channels below which windows are multiplied and folded faster


class Box(NamedTuple):
    """All points between two tensors of one shape, sample by sample."""

    lower: Tensor
    upper: Tensor

    @property
    def centre(self) -> Tensor:
        return (self.lower + self.upper) / 2

    @property
    def radius(self) -> Tensor:
        """Half the width."""
        return (self.upper - self.lower) / 2

    def plus(self, other: "Box") -> "Box":
        """Return the box of all sums."""
        return Box(self.lower + other.lower, self.upper + other.upper)


def around(centre: Tensor, radius: Tensor) -> Box:
    return Box(centre - radius, centre + radius)


@dataclass(frozen=True, eq=False)
class Convolution:
    """x -> w * x + b."""

    weight: Tensor
    bias: Tensor | None
    stride: Pair
    padding: Pair
    dilation: Pair


@dataclass(frozen=True, eq=False)
class Dense:
    """x -> W x + b."""

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True, eq=False)
class Scale:
    """x -> s x + t with one s and t a channel: batch norm at rest, or input normalisation."""

    scale: Tensor
    shift: Tensor
    size: Tensor  # of what t is a difference of


@dataclass(frozen=True, eq=False)
class Positive:
    """A linear map without negative weights: average pooling, or a change of shape."""

    function: Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Relu:
    """x -> max(x, 0)."""


@dataclass(frozen=True, eq=False)
class MaxPool:
    """Max pooling."""

    function: Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Branches:
    """x -> the sum of all branches of x; a branch without operators is x itself."""

    branches: tuple[tuple["Operator", ...], ...]


Affine: TypeAlias = Convolution | Dense | Scale | Positive
Nonlinear: TypeAlias = Relu | MaxPool
Operator: TypeAlias = Affine | Nonlinear | Branches


def image_of(operator: Affine | Nonlinear, box: Box) -> Box:
    """Return the smallest box that holds the operator's image of a box."""
    match operator:
        case Convolution(weight, bias):
            geometry = (operator.stride, operator.padding, operator.dilation)
            centre = conv2d(box.centre, weight, bias, *geometry)
            return around(centre, conv2d(box.radius, weight.abs(), None, *geometry))
        case Dense(weight, bias):
            centre = linear(box.centre, weight, bias)
            return around(centre, linear(box.radius, weight.abs()))
        case Scale(scale, shift):  # a negative scale turns the box round
            return around(box.centre * scale + shift, box.radius * scale.abs())
        case Positive(rising) | MaxPool(rising):
            return Box(rising(box.lower), rising(box.upper))
        case Relu():
            return Box(box.lower.relu(), box.upper.relu())


def absolute(operator: Affine, values: Tensor) -> Tensor:
    """Return |W| h + |b| for values h that are not negative."""
    match operator:
        case Convolution(weight, bias):
            geometry = (operator.stride, operator.padding, operator.dilation)
            return conv2d(values, weight.abs(), None if bias is None else bias.abs(), *geometry)
        case Dense(weight, bias):
            return linear(values, weight.abs(), None if bias is None else bias.abs())
        case Scale(scale, _, size):
            return values * scale.abs() + size
        case Positive(rising):
            return rising(values)


def back(operator: Affine, rows: Tensor, shape: torch.Size) -> Tensor:
    """Return rows of coefficients of the output as rows of the input, which has this shape."""
    match operator:
        case Convolution():
            flat = _transposed(operator, rows.flatten(0, 1), shape)
            return flat.view(*rows.shape[:2], *shape)
        case Dense(weight):
            return rows @ weight
        case Scale(scale):
            return rows * scale
        case Positive(function):
            with torch.enable_grad():
                origin = rows.new_zeros((len(rows.flatten(0, 1)), *shape), requires_grad=True)
                flat = function(origin)
            (slope,) = torch.autograd.grad(flat, origin, rows.flatten(0, 1), create_graph=True)
            return slope.view(*rows.shape[:2], *shape)


def _transposed(operator: Convolution, rows: Tensor, shape: torch.Size) -> Tensor:
    kernel, stride, padding = operator.weight.shape[2:], operator.stride, operator.padding
    if shape[0] < FEW:
        windows = operator.weight.flatten(1).T @ rows.flatten(2)
        return fold(windows, shape[1:], kernel, operator.dilation, padding, stride)
    left = [  # pixels that the stride leaves over
        shape[i + 1]
        + 2 * padding[i]
        - operator.dilation[i] * (kernel[i] - 1)
        - 1
        - (rows.shape[i + 2] - 1) * stride[i]
        for i in range(2)
    ]
    geometry = (stride, padding, left, 1, operator.dilation)
    return conv_transpose2d(rows, operator.weight, None, *geometry)


def constant(operator: Affine, rows: Tensor) -> Tensor | None:
    """Return what the bias or the shift adds to each row; None where there is none."""
    match operator:
        case Convolution(bias=Tensor() as bias):
            return rows.sum(dim=(-1, -2)) @ bias
        case Dense(bias=Tensor() as bias):
            return rows @ bias
        case Scale(shift=shift):
            return (rows * shift).flatten(2).sum(dim=2)
    return None
