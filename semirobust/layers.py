"""F^(i,j), split, splice and activations: the only place where 1 is subtracted.

A network is an ``nn.Sequential`` of n links; link j is the paper's f^(j) and counts from 1. A link
is a convolution or linear map with the norm, activation and pooling that follow it, or a residual
or attention block (inside a block h_j is no function of h_{j-1} alone).
"""

from copy import deepcopy
from itertools import pairwise

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from semirobust.types import Activations, Images

SHORTCUTS = ("downsample", "shortcut")
DEPENDS_ON_MODE = (_BatchNorm, _DropoutNd)


def length(network: nn.Sequential) -> int:
    """Return n, the number of links; what is no chain has none."""
    if not isinstance(network, nn.Sequential):
        raise TypeError(
            f"{type(network).__name__} is no chain of links: as_chain(network, x) makes one"
        )
    return len(network)


def compose(network: nn.Sequential, i: int, j: int) -> nn.Sequential:
    """Return F^(i,j) = f^(j) ∘ ... ∘ f^(i), sharing weights with ``network``."""
    if not 1 <= i <= j <= length(network):
        raise ValueError(f"need 1 <= i <= j <= n, got i={i}, j={j}, n={len(network)}")
    return nn.Sequential(*list(network)[i - 1 : j])


def split(network: nn.Sequential, a: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Return f_a = F^(a) and f_b = F^(a+1,n), sharing weights with ``network``."""
    if not 1 <= a < length(network):
        raise ValueError(f"need 1 <= a < n, got a={a}, n={len(network)}")
    return compose(network, 1, a), compose(network, a + 1, len(network))


def splice(front: nn.Sequential, back: nn.Sequential, a: int) -> nn.Sequential:
    """Return (f_a of ``front``, f_b of ``back``) as a new network; both sources stay."""
    if len(front) != len(back):
        raise ValueError(f"need two networks of one kind, got n={len(front)} and n={len(back)}")
    f_a, f_b = split(front, a)[0], split(back, a)[1]
    return nn.Sequential(*deepcopy(list(f_a)), *deepcopy(list(f_b)))


def activations(network: nn.Sequential, x: Images) -> Activations:
    """Return {j: h_j} for j = 1..n from one forward pass, each a tensor of its own."""
    h: Activations = {}
    for j, link in enumerate(network, start=1):
        x = link(x)
        h[j] = x.clone()  # an in-place activation of the next link would overwrite it
    return h


def trainable_layers(link: nn.Module) -> int:
    """Return how many convolutions and linear maps a link holds on its main branch."""
    return len(weighted(link))


def weighted(link: nn.Module) -> list[nn.Module]:
    """Return the convolutions and linear maps on the main branch of a link, in order.

    Shortcut projections do not count, so a bottleneck counts three and ResNet-50 fifty. An
    encoder block counts three: the attention and two linear maps.
    """
    if isinstance(link, nn.Conv2d | nn.Linear | nn.MultiheadAttention):
        return [link]
    branch = [child for name, child in link.named_children() if name not in SHORTCUTS]
    return [layer for child in branch for layer in weighted(child)]


def cut(network: nn.Sequential, n_b: int) -> int:
    """Return the a for which f_b = F^(a+1,n) holds the last ``n_b`` trainable layers.

    Where the count falls inside a block the nearest boundary is taken, the smaller f_b on a tie.

    Example:
        >>> chain = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
        >>> cut(chain, 1)
        2
    """
    counts = [trainable_layers(link) for link in network]
    n = sum(counts)
    if n_b != int(n_b) or not 1 <= n_b < n:
        raise ValueError(
            f"n_b must lie in 1..{n - 1}, whole, for a network of {n} layers, got {n_b}"
        )
    held = {a: sum(counts[a:]) for a in range(1, len(counts))}
    return min(held, key=lambda a: (abs(held[a] - n_b), -a))


def fold(network: nn.Module) -> nn.Module:
    """Return a copy whose batch norms are part of the layers before them: the same function.

    Pairs are found in chains and, as attributes in order, in residual blocks.
    """
    copy = deepcopy(network).eval()
    for part in list(copy.modules()):
        for (name, layer), (after, norm) in pairwise(list(part.named_children())):
            if not isinstance(norm, _BatchNorm):
                continue
            if isinstance(layer, nn.Conv2d):
                setattr(part, name, fuse_conv_bn_eval(layer, norm))
            elif isinstance(layer, nn.Linear):
                setattr(part, name, fuse_linear_bn_eval(layer, norm))
            else:
                continue
            setattr(part, after, nn.Identity())
    return copy
