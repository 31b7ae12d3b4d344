"""A device that every machine has: tensors that hold values on the CPU and say that they do not.

As on a GPU, no operation takes tensors from both sides (but for single numbers, and indices of a
tensor on the device), numpy takes none from there, and a generator of the CPU draws none there.
What multiplies matrices beside the device, on the CPU, is refused too: it was left behind.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from semirobust import data
from semirobust.tickets import batched

DEVICE = torch.device("meta")
FROM_BOTH_SIDES = ("_to_copy", "copy_", "index", "index_put_", "_index_put_impl_")
SMALL = 1000  # values; an example of a few is worked out anywhere
DRAWING = ("uniform_", "normal_")
HEAVY = ("convolution", "mm", "addmm", "bmm", "baddbmm", "native_batch_norm")


class Elsewhere(Tensor):
    """A tensor on the device."""

    held: Tensor
    is_meta = False  # it has values

    @staticmethod
    def __new__(cls, held: Tensor) -> "Elsewhere":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})

    def tolist(self) -> Any:
        return self.held.tolist()

    def __reduce_ex__(self, protocol):
        return self.held.detach().__reduce_ex__(protocol)  # a file is read to the CPU

    def __repr__(self) -> str:
        return f"elsewhere {self.held!r}"


class Watch(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Return what an operation gives, on the side where a machine would compute it."""
    leaves = tree_leaves((args, kwargs))
    there = [leaf for leaf in leaves if isinstance(leaf, Elsewhere)]
    here = [leaf for leaf in leaves if isinstance(leaf, Tensor) and not isinstance(leaf, Elsewhere)]
    name, target = func.overloadpacket.__name__, kwargs.get("device")
    _check(name, args, there, here)
    lands = torch.device(target) == DEVICE if target is not None else bool(there)
    if name == "copy_":
        lands = isinstance(args[0], Elsewhere)
    if lands and any(isinstance(leaf, torch.Generator) for leaf in leaves):
        raise RuntimeError(f"{name} draws on the device from a generator of the CPU")
    if lands and name in DRAWING:
        return args[0]  # as torch does before a layer is moved, and no draw is taken
    if target is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    args, kwargs = tree_map(_held, (args, kwargs))
    found = func(*args, **kwargs)
    known = {id(one.held): one for one in there}
    return tree_map(partial(_placed, known), found) if lands else found


def _check(name: str, args: Any, there: list[Elsewhere], here: list[Tensor]) -> None:
    """Refuse what a GPU refuses, and what should have been computed there."""
    if there and name not in FROM_BOTH_SIDES and any(one.dim() for one in here):
        shapes = [tuple(one.shape) for one in here]
        raise RuntimeError(f"{name} takes tensors of both devices, those of the CPU: {shapes}")
    if there and name.startswith("index") and not isinstance(args[0], Elsewhere):
        raise RuntimeError(f"{name} of a tensor of the CPU by an index of the device")
    if not there and name in HEAVY and any(one.numel() > SMALL for one in here):
        raise RuntimeError(f"{name} of {[tuple(one.shape) for one in here]} stayed on the CPU")


def _held(value: Any) -> Any:
    return value.held if isinstance(value, Elsewhere) else value


def _placed(known: dict[int, Elsewhere], value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return known[id(value)] if id(value) in known else Elsewhere(value)


@contextmanager
def elsewhere(monkeypatch: Any) -> Iterator[torch.device]:
    """Lend the machine that device: what asks ``data.device`` where to compute is sent there."""
    ours = data.device
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("semirobust"):
            for name, value in list(vars(module).items()):
                if value is ours:
                    monkeypatch.setattr(module, name, lambda: DEVICE)
    monkeypatch.setattr(torch, "autocast", partial(_autocast, torch.autocast))
    monkeypatch.setattr(batched, "without_compiler", lambda kind: partial(_unfused, kind))
    monkeypatch.setattr(torch, "load", partial(_load, torch.load))
    with Watch():
        yield DEVICE


def _autocast(ours: Any, kind: str, *rest: Any, **how: Any) -> Any:
    return nullcontext() if kind == DEVICE.type else ours(kind, *rest, **how)


def _load(ours: Any, *given: Any, map_location: Any = None, **how: Any) -> Any:
    if map_location != DEVICE:
        return ours(*given, map_location=map_location, **how)
    found = ours(*given, map_location="cpu", **how)
    return tree_map(lambda value: value.to(DEVICE) if isinstance(value, Tensor) else value, found)


def _unfused(ours: Any, *given: Any, fused: bool = False, **how: Any) -> Any:
    return ours(*given, **how)
