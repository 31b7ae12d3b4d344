"""A faster stand-in for a network, on which its weak points may be looked for.

Batch norms are folded into the convolutions before them, and everything is computed in bfloat16,
the channels last. Its logits differ in the third digit, so nothing is ever reported from it: a
point counts only where the network itself, in its own precision, is fooled.
"""

from copy import deepcopy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from semirobust.attacks.ball import evaluating
from semirobust.types import Classifier, Images, Logits

CLOSE = 0.02  # of the spread of the logits: what folding and rounding may change


def draft(network: nn.Module, x: Images) -> Classifier:
    """Return a function that gives nearly the network's logits in less time.

    Where a batch norm does not belong to the convolution it is listed behind, folding gives other
    logits on the images x; then it is left out.
    """
    with evaluating(network), torch.no_grad():
        exact = network(x)
    for copy in (folded(deepcopy(network).eval()), deepcopy(network).eval()):
        copy.requires_grad_(requires_grad=False).to(torch.bfloat16)
        stand_in = rounded(copy.to(memory_format=torch.channels_last))
        with torch.no_grad():
            apart = (stand_in(x) - exact).abs().mean()
        if apart <= CLOSE * exact.std():
            return stand_in
    raise ValueError(
        f"bfloat16 changes the logits by {float(apart):.3g}: search on the network itself"
    )


def rounded(network: nn.Module) -> Classifier:
    """Return the function that a network in bfloat16 computes, logits in the precision of x."""

    def classifier(x: Images) -> Logits:
        layout = torch.channels_last if x.dim() == 4 else torch.contiguous_format
        return network(x.to(torch.bfloat16, memory_format=layout)).to(x.dtype)

    return classifier


def folded(module: nn.Module) -> nn.Module:
    """Return the module, changed in place: each batch norm inside the convolution before it.

    Of a ReLU and a max pooling the pooling comes first; values and gradients are the same.
    """
    before: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if before and isinstance(before[1], nn.Conv2d) and isinstance(child, nn.BatchNorm2d):
            setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
            setattr(module, name, nn.Identity())
        elif (
            isinstance(module, nn.Sequential)  # where what is listed next is called next
            and before
            and isinstance(before[1], nn.ReLU)
            and isinstance(child, nn.MaxPool2d)
        ):
            setattr(module, before[0], child)  # the largest first leaves fewer to compare with 0
            setattr(module, name, before[1])
        else:
            folded(child)
        before = name, child
    return module
