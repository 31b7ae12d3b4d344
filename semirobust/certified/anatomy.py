"""A chain taken apart into the primitives that bounds know, with the weights as they are now."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn
from torch.nn.functional import max_pool2d
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.prune import BasePruningMethod
from torchvision.models.resnet import BasicBlock, Bottleneck

from semirobust.certified.primitives import (
    Convolution,
    Dense,
    Maximum,
    Mean,
    Pair,
    Rectifier,
    Scale,
    Step,
    Sum,
)
from semirobust.models import Normalise, WideBlock

DEPENDS_ON_MODE = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


def steps(network: nn.Module) -> tuple[Step, ...]:
    """Return the primitives of a chain in their order, with the weights as they are now.

    Raises:
        ValueError: A part that depends on a mode and is in training mode, a weight that pruning
            has not written yet, or a kind of part that no bound is known for.
    """
    return tuple(_parts(network))


def _parts(module: nn.Module) -> Iterator[Step]:
    _check(module)
    kind = type(module)
    if is_parametrized(module):  # torch derives a class of its own for it
        kind = kind.__mro__[1]
    if kind in READERS:
        yield from READERS[kind](module)
    elif isinstance(module, nn.Sequential):
        for child in module:
            yield from _parts(child)
    else:
        known = ", ".join(sorted(kind.__name__ for kind in READERS))
        raise ValueError(f"no bound is known for {type(module).__name__}; known: {known}")


def _check(module: nn.Module) -> None:
    if module.training and isinstance(module, DEPENDS_ON_MODE):
        raise ValueError(f"{type(module).__name__} is in training mode: call network.eval()")
    if any(isinstance(hook, BasePruningMethod) for hook in module._forward_pre_hooks.values()):
        raise ValueError(
            "torch.nn.utils.prune leaves the weight stale until the next forward pass: call "
            "prune.remove, or mask by torch.nn.utils.parametrize"
        )


def _convolution(module: nn.Conv2d) -> Iterator[Step]:
    if module.padding_mode != "zeros" or isinstance(module.padding, str) or module.groups > 1:
        raise ValueError("bounds know convolutions in one group, padded with zeros by a number")
    yield Convolution(
        module.weight,
        module.bias,
        _pair(module.stride),
        _pair(module.padding),
        _pair(module.dilation),
    )


def _pair(value: tuple[int, ...]) -> Pair:
    return (value[0], value[1])


def _batch_norm(module: nn.BatchNorm2d | nn.BatchNorm1d) -> Iterator[Step]:
    if module.running_mean is None or module.running_var is None:
        raise ValueError("batch norm without running statistics has no bound: track them")
    scale = (module.running_var + module.eps).rsqrt()
    scale = scale if module.weight is None else scale * module.weight
    shift = -module.running_mean * scale
    shift = shift if module.bias is None else shift + module.bias
    shape = (-1, 1, 1) if isinstance(module, nn.BatchNorm2d) else (-1,)
    yield Scale(scale.view(shape), shift.view(shape))


def _normalise(module: Normalise) -> Iterator[Step]:
    scale = torch.tensor(1 / module.deviation)
    yield Scale(scale, -module.mean * scale)


def _max_pool(module: nn.MaxPool2d) -> Iterator[Step]:
    yield Maximum(
        partial(
            max_pool2d,
            kernel_size=module.kernel_size,
            stride=module.stride,
            padding=module.padding,
            dilation=module.dilation,
            ceil_mode=module.ceil_mode,
        )
    )


def _residual(module: BasicBlock | Bottleneck) -> Iterator[Step]:
    pairs = [(module.conv1, module.bn1), (module.conv2, module.bn2)]
    if isinstance(module, Bottleneck):
        pairs.append((module.conv3, module.bn3))
    branch: list[Step] = []
    for convolution, norm in pairs:
        branch += [*([Rectifier()] if branch else []), *_parts(convolution), *_parts(norm)]
    shortcut = () if module.downsample is None else steps(module.downsample)
    yield Sum((tuple(branch), shortcut))
    yield Rectifier()


def _wide(module: WideBlock) -> Iterator[Step]:
    first, branch = steps(module.first), steps(module.branch)
    if module.shortcut is None:
        yield Sum(((*first, *branch), ()))
    else:
        yield from first
        yield Sum((branch, steps(module.shortcut)))


def _linear_map(module: nn.Linear) -> Iterator[Step]:
    yield Dense(module.weight, module.bias)


def _same(module: nn.Module) -> Iterator[Step]:
    yield Mean(module)


def _bend(_: nn.Module) -> Iterator[Step]:
    yield Rectifier()


def _nothing(_: nn.Module) -> Iterator[Step]:
    yield from ()


READERS: dict[type[nn.Module], Callable[..., Iterator[Step]]] = {
    nn.Conv2d: _convolution,
    nn.Linear: _linear_map,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm1d: _batch_norm,
    Normalise: _normalise,
    nn.Flatten: _same,
    nn.AvgPool2d: _same,
    nn.AdaptiveAvgPool2d: _same,
    nn.ReLU: _bend,
    nn.MaxPool2d: _max_pool,
    BasicBlock: _residual,
    Bottleneck: _residual,
    WideBlock: _wide,
    nn.Dropout: _nothing,
    nn.Identity: _nothing,
}
