"""Checkpoints and network files: written whole, and used only as they were written.

A checkpoint begins with the digest of what follows, and says of which network, samples and machine
it is; a network file holds the digest of its weights. So a flipped bit is named, and never trained
on, and no run goes on from another one's state.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from semirobust.data import DataSet, Samples
from semirobust.models import Architecture
from semirobust.results.records import write_atomically

SIZE = 32  # bytes of a SHA-256
DAMAGED = (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OverflowError)


def content(*values: Any) -> str:
    """Return the digest of samples or weights: what something was made from, to the last bit."""
    state = sha256()
    for value in values:
        for tensor in _tensors(value):
            state.update(tensor.detach().cpu().contiguous().numpy().data)
    return state.hexdigest()[:16]


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
        return
    if isinstance(value, nn.Module):
        value = list(value.state_dict().values())
    elif isinstance(value, Samples):
        value = (value.images, value.labels)
    elif isinstance(value, DataSet):
        value = (value.train, value.validation, value.test)
    elif not isinstance(value, list | tuple):
        raise TypeError(f"a {type(value).__name__} has no digest of its content")
    for part in value:
        yield from _tensors(part)


def environment(device: torch.device) -> dict[str, str]:
    """Return what bits depend on beside code and inputs: torch, the kind of device, its arithmetic.

    A training that began in one environment is not gone on with in another.
    """
    return {
        "torch": str(torch.__version__),
        "device": device.type,
        "arithmetic": arithmetic(device),
    }


def arithmetic(device: torch.device) -> str:
    """Return in what precision float32 is multiplied: a GPU may take 10 bits of its 23."""
    if device.type != "cuda":
        return "float32"
    switches = {
        "convolutions": torch.backends.cudnn.allow_tf32,
        "products": torch.backends.cuda.matmul.allow_tf32,
    }
    return ", ".join(f"{name} in {'tf32' if on else 'float32'}" for name, on in switches.items())


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write tensors and plain values behind their digest, whole or not at all."""
    buffer = BytesIO()
    torch.save(dict(state), buffer)
    saved = buffer.getvalue()
    write_atomically(path, sha256(saved).digest() + saved)


def read_checkpoint(path: Path, own: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Return a checkpoint without its own values, which must agree; nothing is executed."""
    digest, saved = (written := path.read_bytes())[:SIZE], written[SIZE:]
    try:
        if sha256(saved).digest() != digest:
            raise ValueError("another digest")
        state: dict[str, Any] = torch.load(BytesIO(saved), map_location=device, weights_only=True)
    except (UnpicklingError, *DAMAGED) as damage:
        raise ValueError(
            f"{path} is no whole checkpoint, or was changed: delete it to start that run again"
        ) from damage
    for name, value in own.items():
        if (there := state.pop(name, None)) != value:
            raise ValueError(
                f"{path} belongs to another run ({name}: {there}, here {value}): go on with that "
                "one, or delete the file to start this one"
            )
    return state


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
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
    if not any(weight.is_meta for weight in own.values()):
        network.load_state_dict(dict(weights))


def save_network(network: nn.Sequential, architecture: Architecture, path: Path) -> None:
    """Write the weights, with what is needed to build the network again, as safetensors."""
    weights = {name: w.detach().cpu().contiguous() for name, w in network.state_dict().items()}
    words = json.dumps(asdict(architecture))
    about = {"architecture": words, "digest": _digest(words, weights)}
    write_atomically(path, to_safetensors(weights, about))


def load_network(path: Path) -> nn.Sequential:
    """Return the network of a file written by ``save_network``, in evaluation mode.

    Nothing is allocated before the file has shown that it holds weights of that size.
    """
    if not path.exists():
        raise FileNotFoundError(f"no network at {path}: run the experiment that trains it first")
    try:
        with safe_open(path, framework="pt") as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = file.metadata()
        if about["digest"] != _digest(about["architecture"], weights):
            raise ValueError("it was changed after it was written")
        architecture = Architecture(**json.loads(about["architecture"]))
        with torch.device("meta"):
            shapes = architecture.build()
    except DAMAGED as damage:
        raise ValueError(
            f"{path} is no whole network file ({_brief(damage)}): run its experiment "
            "again; a state_dict of your own is loaded into your own network, "
            "model.load_state_dict(...), for robust_accuracy(model, x, y, attack)"
        ) from damage
    load_weights(shapes, weights, path)
    network = architecture.build()
    load_weights(network, weights, path)
    return network


def name_in(path: Path) -> str:
    """Return the name of the network in a file, for which there may be a published ceiling."""
    with safe_open(path, framework="pt") as file:
        return str(json.loads(file.metadata()["architecture"])["name"])


def _brief(error: Exception) -> str:
    """Return the first line of an error."""
    return str(error).partition("\n")[0]


def _digest(architecture: str, weights: Mapping[str, Tensor]) -> str:
    """Return the digest of a network file: of its architecture, and its weights by their names."""
    digests = [architecture, *(f"{name} {content(weights[name])}" for name in sorted(weights))]
    return sha256("\n".join(digests).encode()).hexdigest()
