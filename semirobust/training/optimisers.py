"""The optimiser of a run; on a GPU, SGD is one kernel that reads its rate from the device."""

import inspect
from collections.abc import Iterable
from typing import Any, Literal, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Kind = Literal["sgd", "adamw"]
Known = TypeVar("Known", bound=Optimizer)
OWN = ("lr", "fused", "foreach")  # options that follow the device and not a checkpoint


def without_compiler(kind: type[Known]) -> type[Known]:
    """Return the same optimiser, without the wrappers by which it would load torch's compiler.

    They only tell the compiler, which nothing here uses, what to leave out; loading it takes
    longer than loading torch.
    """
    wrapped = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    own = {name: inspect.unwrap(getattr(kind, name)) for name in wrapped}
    own["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return cast(type[Known], type(kind.__name__, (kind,), own))


SGD = without_compiler(torch.optim.SGD)
AdamW = without_compiler(torch.optim.AdamW)


def optimiser_of(
    weights: Iterable[nn.Parameter],
    kind: Kind,
    device: torch.device,
    *,
    momentum: float,
    weight_decay: float,
) -> Optimizer:
    """Return an optimiser of weights, to be given a rate by ``set_rate`` before every step."""
    if kind == "adamw":
        return AdamW(weights, weight_decay=weight_decay)
    cuda = device.type == "cuda"
    return SGD(
        weights,
        lr=torch.zeros((), device=device) if cuda else 0.0,
        momentum=momentum,
        nesterov=momentum > 0,
        weight_decay=weight_decay,
        fused=cuda or None,
    )


def set_rate(optimiser: Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def restore(optimiser: Optimizer, state: dict[str, Any]) -> None:
    """Take up momenta and whatever else of a state does not depend on the device."""
    own = [{name: group[name] for name in OWN} for group in optimiser.param_groups]
    optimiser.load_state_dict(state)
    for group, options in zip(optimiser.param_groups, own, strict=True):
        group.update(options)
