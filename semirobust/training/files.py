"""Networks and checkpoints as files: written whole or not at all, checked when they are read."""

import json
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from semirobust.models import Architecture
from semirobust.results.records import write_atomically


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values, whole or not at all."""
    buffer = BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def read_checkpoint(path: Path, **own: Any) -> dict[str, Any]:
    """Return a checkpoint without its ``own`` values, which must agree; nothing is executed."""
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception as damage:
        raise ValueError(
            f"{path} is no whole checkpoint: delete it to start that run again"
        ) from damage
    if any(state.pop(name) != value for name, value in own.items()):
        raise ValueError(f"{path} belongs to other settings: delete it, or choose another file")
    return state


def load_weights(network: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Load weights whose names and shapes must be the network's own."""
    own = network.state_dict()
    strange = sorted(own.keys() ^ weights.keys()) or [
        name for name, weight in weights.items() if own[name].shape != weight.shape
    ]
    if strange:
        raise ValueError(
            f"{path} is of another network (first difference: {strange[0]}): check its name, "
            "width, classes and image size"
        )
    network.load_state_dict(weights)


def save_network(network: nn.Sequential, architecture: Architecture, path: Path) -> None:
    """Write the weights, with what is needed to build the network again, as safetensors."""
    write_atomically(path, packed(network, {"architecture": json.dumps(asdict(architecture))}))


def packed(network: nn.Module, about: dict[str, str] | None = None) -> bytes:
    """Return the weights, with words about them, as the content of a safetensors file."""
    state = network.state_dict()
    return to_safetensors({name: w.cpu().contiguous() for name, w in state.items()}, about)


def load_network(path: Path) -> nn.Sequential:
    """Return the network of a file written by ``save_network``, in evaluation mode."""
    if not path.exists():
        raise FileNotFoundError(f"no network at {path}: run the experiment that trains it first")
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = json.loads(file.metadata()["architecture"])
    except (SafetensorError, KeyError, TypeError) as damage:
        raise ValueError(
            f"{path} is no whole network file ({damage}): delete it and run its experiment again"
        ) from damage
    network = Architecture(**about).build()
    load_weights(network, weights, path)
    return network
