"""How many samples are tried in one batch, and how often it is asked who is fooled.

Neither changes a flag or a point, because every sample has noise of its own and knows of no other.
On a CPU both are constants. A GPU is asked for as much as its memory holds, and seldom: each answer
that the host needs makes it wait for all that the device was told to do.
"""

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from semirobust.types import Classifier, Images

FULL_BATCH = 192  # samples; with fewer, calling the network costs more than its sums
ENOUGH = 1024  # the same of a GPU; more pays only where nothing is computed in vain
MOST = 4096
PATIENCE = 8  # steps on a GPU between two questions who is fooled
IMAGES = 16  # copies of its image that an attack holds for a sample
SPARE = 4  # times the memory that is counted: gradients on their way back, other processes
PROBED = 3  # samples that are sent through a network to see what it holds for one


def widest(network: Classifier, x: Images, least: int | None = None, *, most: int = MOST) -> int:
    """Return how many samples to give the network at once: ``least`` or a constant on a CPU."""
    least = FULL_BATCH if least is None else least
    if not x.is_cuda or not len(x):
        return least
    reserved = torch.cuda.memory_reserved(x.device) - torch.cuda.memory_allocated(x.device)
    free = torch.cuda.mem_get_info(x.device)[0] + reserved
    return max(least, min(most, room(network, x, free)))


def room(network: Classifier, x: Images, free: int) -> int:
    """Return for how many samples so many bytes hold all that a gradient needs, at least 1."""
    few = x[:PROBED]
    held: dict[int, int] = {}

    def noted(saved: Tensor) -> Tensor:
        if len(saved.shape) and len(saved) == len(few):  # weights are held once
            storage = saved.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
        return saved

    with torch.enable_grad(), saved_tensors_hooks(noted, lambda saved: saved):
        logits = network(few.detach().requires_grad_())
    image = few.nbytes // len(few)
    del logits  # not before: the storages of what is freed are used again
    return max(1, free // SPARE // (sum(held.values()) // len(few) + IMAGES * image))


def patience(x: Tensor) -> int:
    """Return how many steps may pass between two questions who is fooled: 1 on a CPU."""
    return PATIENCE if x.is_cuda else 1


def thinned(lost: Tensor) -> bool:
    """Return whether it pays to go on without the samples that are lost.

    On a GPU it does where half of them are: a recording is of one number of samples.
    """
    gone = int(lost.sum())
    return gone > 0 and (not lost.is_cuda or 2 * gone >= len(lost))
