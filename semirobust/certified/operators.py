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
FEW = 4  # input channels below which windows are multiplied and folded faster


class Box(NamedTuple):
    """All points between two tensors of one shape, sample by sample."""

    lower: Tensor
    upper: Tensor

    @property
    def centre(self) -> Tensor:
        """Return the middle."""
        return (self.lower + self.upper) / 2

    @property
    def radius(self) -> Tensor:
        """Return half the width."""
        return (self.upper - self.lower) / 2

    def plus(self, other: "Box") -> "Box":
        """Return the box of all sums."""
        return Box(self.lower + other.lower, self.upper + other.upper)


def around(centre: Tensor, radius: Tensor) -> Box:
    """Return the box of a centre and half a width."""
    return Box(centre - radius, centre + radius)


@dataclass(frozen=True, eq=False)
class Convolution:
    """x -> w * x + b."""

    weight: Tensor
    bias: Tensor | None
    stride: Pair
    padding: Pair
    dilation: Pair

    def image(self, box: Box) -> Box:
        """Return the smallest box that holds the image."""
        how = (self.stride, self.padding, self.dilation)
        centre = conv2d(box.centre, self.weight, self.bias, *how)
        return around(centre, conv2d(box.radius, self.weight.abs(), None, *how))

    def back(self, rows: Tensor, shape: torch.Size) -> Tensor:
        """Return rows of coefficients of the output as rows of the input."""
        kernel, flat = self.weight.shape[2:], rows.flatten(0, 1)
        if shape[0] < FEW:
            windows = self.weight.flatten(1).T @ flat.flatten(2)
            flat = fold(windows, shape[1:], kernel, self.dilation, self.padding, self.stride)
        else:
            left = [  # pixels that the stride leaves over
                shape[i + 1]
                + 2 * self.padding[i]
                - self.dilation[i] * (kernel[i] - 1)
                - 1
                - (flat.shape[i + 2] - 1) * self.stride[i]
                for i in range(2)
            ]
            how = (self.stride, self.padding, left, 1, self.dilation)
            flat = conv_transpose2d(flat, self.weight, None, *how)
        return flat.view(*rows.shape[:2], *shape)

    def constant(self, rows: Tensor) -> Tensor | None:
        """Return what the bias adds to each row."""
        return None if self.bias is None else rows.sum(dim=(-1, -2)) @ self.bias


@dataclass(frozen=True, eq=False)
class Dense:
    """x -> W x + b."""

    weight: Tensor
    bias: Tensor | None

    def image(self, box: Box) -> Box:
        """Return the smallest box that holds the image."""
        centre = linear(box.centre, self.weight, self.bias)
        return around(centre, linear(box.radius, self.weight.abs()))

    def back(self, rows: Tensor, shape: torch.Size) -> Tensor:  # noqa: ARG002
        """Return rows of coefficients of the output as rows of the input."""
        return rows @ self.weight

    def constant(self, rows: Tensor) -> Tensor | None:
        """Return what the bias adds to each row."""
        return None if self.bias is None else rows @ self.bias


@dataclass(frozen=True, eq=False)
class Scale:
    """x -> s x + t with one s and t a channel: batch norm at rest, or input normalisation."""

    scale: Tensor
    shift: Tensor

    def image(self, box: Box) -> Box:
        """Return the image, which is a box; a negative scale turns it round."""
        return around(box.centre * self.scale + self.shift, box.radius * self.scale.abs())

    def back(self, rows: Tensor, shape: torch.Size) -> Tensor:  # noqa: ARG002
        """Return rows of coefficients of the output as rows of the input."""
        return rows * self.scale

    def constant(self, rows: Tensor) -> Tensor | None:
        """Return what the shift adds to each row."""
        return (rows * self.shift).flatten(2).sum(dim=2)


@dataclass(frozen=True, eq=False)
class Positive:
    """A linear map without negative weights: average pooling, or a change of shape."""

    module: Callable[[Tensor], Tensor]

    def image(self, box: Box) -> Box:
        """Return the smallest box that holds the image."""
        return Box(self.module(box.lower), self.module(box.upper))

    def back(self, rows: Tensor, shape: torch.Size) -> Tensor:
        """Return rows of coefficients of the output as rows of the input."""
        with torch.enable_grad():
            origin = rows.new_zeros((len(rows.flatten(0, 1)), *shape), requires_grad=True)
            flat = self.module(origin)
        (pulled,) = torch.autograd.grad(flat, origin, rows.flatten(0, 1), create_graph=True)
        return pulled.view(*rows.shape[:2], *shape)

    def constant(self, rows: Tensor) -> Tensor | None:  # noqa: ARG002
        """Return None: there is no bias."""
        return None


@dataclass(frozen=True, eq=False)
class Relu:
    """x -> max(x, 0)."""

    def image(self, box: Box) -> Box:
        """Return the image of a box."""
        return Box(box.lower.relu(), box.upper.relu())


@dataclass(frozen=True, eq=False)
class MaxPool:
    """Max pooling."""

    pool: Callable[[Tensor], Tensor]

    def image(self, box: Box) -> Box:
        """Return the smallest box that holds the image."""
        return Box(self.pool(box.lower), self.pool(box.upper))


@dataclass(frozen=True, eq=False)
class Branches:
    """x -> the sum of all branches of x; a branch without steps is x itself."""

    branches: tuple[tuple["Operator", ...], ...]


Affine: TypeAlias = Convolution | Dense | Scale | Positive
Nonlinear: TypeAlias = Relu | MaxPool
Operator: TypeAlias = Affine | Nonlinear | Branches
