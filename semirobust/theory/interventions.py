"""Other networks that compute the same: what rho is of the writing, and not of the function.

Each intervention changes how layers are written and leaves the logits where they were, up to
rounding: units copied, idle units added, or the last hidden layer projected on what is read from
it. The reverse, ``two_paths``, leaves every hidden layer as it is and changes what is read.
"""

from collections.abc import Iterable
from copy import deepcopy

import torch
from torch import Tensor, nn

from semirobust.attacks.ball import evaluating
from semirobust.data import Samples, batches
from semirobust.layers import splice

BOUND = 1e-6  # of the change of a logit over the largest: weights are single precision


class Units(nn.Module):
    """The units ``start`` to ``stop`` of a layer (channels of a map)."""

    def __init__(self, start: int, stop: int) -> None:
        super().__init__()
        self.start, self.stop = start, stop

    def forward(self, h: Tensor) -> Tensor:
        return h[:, self.start : self.stop]


class Mean(nn.Module):
    """The mean over the copies of a layer: its reader's weights divided by their number."""

    def __init__(self, copies: int) -> None:
        super().__init__()
        self.copies = copies

    def forward(self, h: Tensor) -> Tensor:
        return h.reshape(len(h), self.copies, -1, *h.shape[2:]).mean(dim=1)


class Together(nn.Module):
    """Links side by side as one: each reads its units, and their outputs are one layer."""

    def __init__(self, *links: tuple[nn.Module, nn.Module]) -> None:
        super().__init__()
        self.links = nn.ModuleList(nn.Sequential(read, link) for read, link in links)

    def forward(self, h: Tensor) -> Tensor:
        return torch.cat([link(h) for link in self.links], dim=1)


def copied(network: nn.Sequential, layers: Iterable[int], copies: int) -> nn.Sequential:
    """Return the network with every unit of some hidden layers written ``copies`` times."""
    chain, again = list(deepcopy(network)), hidden(network, layers)
    for j in range(1, len(chain) + 1):
        read = Mean(copies) if j - 1 in again else nn.Identity()
        link = chain[j - 1]
        chain[j - 1] = Together(*[(read, link)] * (copies if j in again else 1))
    return nn.Sequential(*chain).eval()


def with_idle_units(
    network: nn.Sequential, spare: nn.Sequential, layers: Iterable[int], x: Tensor
) -> nn.Sequential:
    """Return the network with the units of ``spare`` beside its own in some hidden layers.

    They read what the network's own units read, and nobody reads them. ``x`` shows the widths.
    """
    chain, wider = list(deepcopy(network)), hidden(network, layers)
    units = widths(network, x)
    for j in range(1, len(chain) + 1):
        read = Units(0, units[j - 1]) if j - 1 in wider else nn.Identity()
        links = [(read, chain[j - 1])]
        if j in wider:
            links.append((read, deepcopy(spare[j - 1])))
        chain[j - 1] = Together(*links)
    return nn.Sequential(*chain).eval()


def projected(network: nn.Sequential) -> nn.Sequential:
    """Return the network with h_{n-1} projected on the span of the rows that the head reads."""
    chain = list(deepcopy(network))
    head = next(part for part in chain[-1].modules() if isinstance(part, nn.Linear))
    rows = head.weight.detach().double()
    onto = nn.utils.skip_init(nn.Linear, head.in_features, head.in_features, bias=False)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        onto.weight.copy_(torch.linalg.pinv(rows) @ rows)
    chain[-2] = nn.Sequential(chain[-2], nn.Flatten(), onto.to(head.weight.device))
    return nn.Sequential(*chain).eval()


def two_paths(one: nn.Sequential, other: nn.Sequential, *, x: Tensor) -> list[nn.Sequential]:
    """Return two networks with the same hidden layers, the units of both networks side by side.

    The head of the first reads the units of ``one`` and is its head; that of the second those of
    ``other``. So they compute ``one`` and ``other``, and every rho_j with j < n is the same.
    """
    first, second = (list(deepcopy(network)) for network in (one, other))
    units = widths(one, x)
    body: list[nn.Module] = [
        Together((nn.Identity(), first[0]), (nn.Identity(), second[0])),
        *(
            Together((Units(0, d), first[j]), (Units(d, 2 * d), second[j]))
            for j, d in list(units.items())[:-2]
        ),
    ]
    d = units[len(one) - 1]
    heads = ((Units(0, d), first[-1]), (Units(d, 2 * d), second[-1]))
    whole = [nn.Sequential(*body, nn.Sequential(*head)).eval() for head in heads]
    return [whole[0], splice(whole[0], whole[1], len(one) - 1)]


@torch.no_grad()
def widths(network: nn.Sequential, x: Tensor) -> dict[int, int]:
    """Return {j: number of units (channels) of h_j}."""
    found, h = {}, x[:1]
    with evaluating(network):
        for j, link in enumerate(network, start=1):
            h = link(h)
            found[j] = h.shape[1]
    return found


def hidden(network: nn.Sequential, layers: Iterable[int]) -> set[int]:
    chosen = set(layers)
    if not chosen or not chosen <= set(range(1, len(network))):
        raise ValueError(f"hidden layers are 1..{len(network) - 1}, got {sorted(chosen)}")
    return chosen


@torch.no_grad()
def exact_logits(network: nn.Sequential, samples: Samples) -> Tensor:
    """Return the logits of all samples in double precision, where rounding hides no difference."""
    double = deepcopy(network).double().eval()
    return torch.cat([double(x.double()) for x, _, _ in batches(samples, 250)])


def change(logits: Tensor, network: nn.Sequential, samples: Samples) -> float:
    """Return how far a network's logits lie from given ones at most, over the largest of these."""
    apart = (exact_logits(network, samples) - logits).abs().max()
    return float(apart / logits.abs().max())
