"""What training refuses before its first step; it asks once a run, and no batch again."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from semirobust.data import Samples, check_labels
from semirobust.training.methods import Method, Plain


def checked(samples: Samples, method: Method) -> tuple[bool, int]:
    """Return whether an attack may trust the images, and the largest label; refuse bad labels."""
    if len(samples) < 2:
        raise ValueError(f"training takes two samples or more, got {len(samples)}")
    check_labels(samples.labels)
    highest = int(samples.labels.max())
    images = samples.images
    if images.dtype == torch.uint8 or isinstance(method, Plain):  # which attacks nothing
        return True, highest
    low, high = images.aminmax()
    return bool(low >= 0) and bool(high <= 1), highest


@contextmanager
def refusing(network: nn.Module, highest: int) -> Iterator[None]:
    """Refuse a network that has fewer logits than there are classes, at its first call."""

    def check(_module: nn.Module, _inputs: object, logits: Tensor) -> None:
        hook.remove()
        if highest >= logits.shape[1]:
            raise ValueError(
                f"labels must lie in 0..{logits.shape[1] - 1} for this network, got {highest}; "
                "build it with classes= of the data set"
            )

    hook = network.register_forward_hook(check)
    try:
        yield
    finally:
        hook.remove()
