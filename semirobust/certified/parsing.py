"""A network read as a chain of the operators that bounds know, with its weights as they are now."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn.functional import max_pool2d
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.prune import BasePruningMethod

from semirobust.certified.operators import (
    Branches,
    Convolution,
    Dense,
    MaxPool,
    Operator,
    Pair,
    Positive,
    Relu,
    Scale,
)
from semirobust.layers import DEPENDS_ON_MODE
from semirobust.models import Normalise, WideBlock, residual_blocks

Operators: TypeAlias = tuple[Operator, ...]


def operators(module: nn.Module) -> Operators:
    """Return the operators of a network in their order.

    Refused are a module that depends on a mode and is in training mode, a weight that pruning has
    not written yet, and a kind of module that no bound is known for.
    """
    _check(module)
    kind = type(module)
    if is_parametrized(module):  # torch derives a class of its own for it
        kind = kind.__mro__[1]
    parsers = PARSERS | dict.fromkeys(residual_blocks(), _residual)
    if kind in parsers:
        return parsers[kind](module)
    if isinstance(module, nn.Sequential):
        return tuple(operator for child in module for operator in operators(child))
    known = ", ".join(sorted({"BasicBlock", "Bottleneck", *(kind.__name__ for kind in PARSERS)}))
    raise ValueError(f"no bound is known for {type(module).__name__}; known: {known}")


def _check(module: nn.Module) -> None:
    if module.training and isinstance(module, DEPENDS_ON_MODE):
        raise ValueError(f"{type(module).__name__} is in training mode: call network.eval()")
    if any(isinstance(hook, BasePruningMethod) for hook in module._forward_pre_hooks.values()):
        raise ValueError(
            "torch.nn.utils.prune leaves the weight stale until the next forward pass: call "
            "prune.remove, or mask by torch.nn.utils.parametrize"
        )


def _convolution(module: nn.Conv2d) -> Operators:
    if module.padding_mode != "zeros" or isinstance(module.padding, str) or module.groups > 1:
        raise ValueError("bounds know convolutions in one group, padded with zeros by a number")
    stride, padding, dilation = map(_pair, (module.stride, module.padding, module.dilation))
    return (Convolution(module.weight, module.bias, stride, padding, dilation),)


def _pair(value: tuple[int, ...]) -> Pair:
    return (value[0], value[1])


def _batch_norm(module: nn.BatchNorm2d | nn.BatchNorm1d) -> Operators:
    if module.running_mean is None or module.running_var is None:
        raise ValueError("batch norm without running statistics has no bound: track them")
    scale = (module.running_var + module.eps).rsqrt()
    scale = scale if module.weight is None else scale * module.weight
    shift = -module.running_mean * scale
    size = shift.abs() if module.bias is None else shift.abs() + module.bias.abs()
    shift = shift if module.bias is None else shift + module.bias
    shape = (-1, 1, 1) if isinstance(module, nn.BatchNorm2d) else (-1,)
    return (Scale(scale.view(shape), shift.view(shape), size.view(shape)),)


def _normalise(module: Normalise) -> Operators:
    scale = 1 / torch.as_tensor(module.deviation)
    shift = -module.mean * scale
    return (Scale(scale, shift, shift.abs()),)


def _max_pool(module: nn.MaxPool2d) -> Operators:
    names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
    return (MaxPool(partial(max_pool2d, **{name: getattr(module, name) for name in names})),)


def _residual(module: Any) -> Operators:
    pairs = [(module.conv1, module.bn1), (module.conv2, module.bn2)]
    if hasattr(module, "conv3"):
        pairs.append((module.conv3, module.bn3))
    branch: Operators = ()
    for convolution, norm in pairs:
        relu = (Relu(),) if branch else ()
        branch = (*branch, *relu, *operators(convolution), *operators(norm))
    shortcut = () if module.downsample is None else operators(module.downsample)
    return Branches((branch, shortcut)), Relu()


def _wide(module: WideBlock) -> Operators:
    first, branch = operators(module.first), operators(module.branch)
    if module.shortcut is None:
        return (Branches(((*first, *branch), ())),)
    return *first, Branches((branch, operators(module.shortcut)))


PARSERS: dict[type[nn.Module], Callable[..., Operators]] = {
    nn.Conv2d: _convolution,
    nn.Linear: lambda module: (Dense(module.weight, module.bias),),
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm1d: _batch_norm,
    Normalise: _normalise,
    nn.Flatten: lambda module: (Positive(module),),
    nn.AvgPool2d: lambda module: (Positive(module),),
    nn.AdaptiveAvgPool2d: lambda module: (Positive(module),),
    nn.ReLU: lambda _: (Relu(),),
    nn.MaxPool2d: _max_pool,
    WideBlock: _wide,
    nn.Dropout: lambda _: (),
    nn.Identity: lambda _: (),
}
