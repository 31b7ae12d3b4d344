"""The zonotope's box behind a second convolution, window by window.

A unit of a second convolution sees only a window of the first one, and that a window of the input.
Its row of coefficients is zero elsewhere, so only the windows are multiplied: the same box as from
whole rows, and on 28 x 28 pixels fifty times cheaper.
"""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, unfold

from semirobust.certified.primitives import Box, Convolution, around


def plain(*convolutions: Convolution) -> bool:
    """Return whether no convolution is dilated: what windows are written for."""
    return all(one.dilation == (1, 1) for one in convolutions)


def box_behind(
    first: Convolution, second: Convolution, source: Box, before: Box, slope: Tensor, rest: Tensor
) -> Box:
    """Return the box of ``second`` of the relaxed ReLU of ``first``.

    Args:
        first: What reads the source.
        second: What reads the ReLU.
        source: Box of the input.
        before: Box behind ``first``.
        slope: Slope of the two parallel lines of every ReLU.
        rest: Distance between them.
    """
    how = (second.stride, second.padding)
    centre = conv2d(slope * before.centre + rest / 2, second.weight, second.bias, *how)
    fresh = conv2d(rest / 2, second.weight.abs(), None, *how)
    maps = second.weight.flatten(1)
    kernel = second.weight.shape[2:]
    seen = unfold(slope, kernel, padding=second.padding, stride=second.stride).mT
    rows = maps * seen[:, :, None]  # N x windows x maps x (units of the first map in a window)
    window = torch.eye(maps.shape[1], dtype=maps.dtype, device=maps.device)
    window = window.view(-1, len(first.weight), *kernel)
    back = conv_transpose2d(window, first.weight, None, first.stride)
    radius = unfold(source.radius, back.shape[2:], **_reach(first, second)).mT[..., None]
    old = (rows @ back.flatten(1)).abs() @ radius
    return around(centre, fresh + old[..., 0].mT.reshape(fresh.shape))


def _reach(first: Convolution, second: Convolution) -> dict[str, tuple[int, int]]:
    """Return padding and stride of the windows that the second convolution has on the input."""
    (p, q), (s, t) = first.padding, first.stride
    padding = (p + second.padding[0] * s, q + second.padding[1] * t)
    return {"padding": padding, "stride": (s * second.stride[0], t * second.stride[1])}
