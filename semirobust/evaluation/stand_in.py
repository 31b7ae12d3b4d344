"""A faster stand-in for a network, on which its weak points may be looked for.

Batch norms are folded into the convolutions before them, and everything is computed in bfloat16,
channels last. Its logits differ in the third digit, so nothing is ever reported from it: a point
counts only where the network itself, in its own precision, is fooled.
"""

from copy import deepcopy
from itertools import pairwise

import torch
from torch import nn

from semirobust.attacks.ball import evaluating
from semirobust.layers import fold
from semirobust.types import Classifier, Images, Logits

CLOSE = 0.02  # of the spread of the logits: what folding and rounding may change


def stand_in(network: nn.Module, x: Images) -> Classifier:
    """Return a function that computes nearly the network's logits in less time.

    Where a batch norm does not belong to the convolution it is listed behind, folding changes the
    logits of the images x; then it is left out.
    """
    with evaluating(network), torch.no_grad():
        exact = network(x)
    for copy in (with_pooling_first(fold(network)), deepcopy(network).eval()):
        copy.requires_grad_(requires_grad=False).to(torch.bfloat16)
        faster = in_bfloat16(copy.to(memory_format=torch.channels_last))
        with torch.no_grad():
            apart = (faster(x) - exact).abs().mean()
        if apart <= CLOSE * exact.std():
            return faster
    raise ValueError(
        f"bfloat16 changes the logits by {float(apart):.3g}: search on the network itself"
    )


def in_bfloat16(network: nn.Module) -> Classifier:
    """Return the function of a network in bfloat16, with logits in the precision of x."""

    def classifier(x: Images) -> Logits:
        layout = torch.channels_last if x.dim() == 4 else torch.contiguous_format
        return network(x.to(torch.bfloat16, memory_format=layout)).to(x.dtype)

    return classifier


def with_pooling_first(network: nn.Module) -> nn.Module:
    """Return the network with each max pooling before, not behind, the ReLU of its chain, in place.

    Values and gradients are the same, and fewer numbers are compared with 0.
    """
    for part in list(network.modules()):
        if not isinstance(part, nn.Sequential):
            continue  # only in a chain is what is listed next also called next
        for (name, first), (after, second) in pairwise(list(part.named_children())):
            if isinstance(first, nn.ReLU) and isinstance(second, nn.MaxPool2d):
                setattr(part, name, second)
                setattr(part, after, first)
    return network
