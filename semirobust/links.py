"""Any network as a chain of links: where it can be cut, and the chain that computes the same.

A network can be cut after a value from which alone all that follows is computed. Those places are
found on its graph, traced by ``torch.fx``; a residual block, inside which two values are alive, is
one link. By default every link holds one such piece with weights, as in ``layers``: a convolution
or linear map, or a block, with the norm, activation and pooling that follow it.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from os.path import commonpath
from typing import Any, TypeAlias

import torch
from torch import fx, nn
from torch.nn import functional

from semirobust.models import Normalise, WideBlock, residual_blocks
from semirobust.types import Images

MODULES = {  # functions of a forward pass that a chain of ordinary modules may hold
    torch.relu: nn.ReLU,
    functional.relu: nn.ReLU,
    torch.flatten: nn.Flatten,
}
WHOLE = (WideBlock, Normalise)  # with the residual blocks stay modules, which bounds know
BY_HAND = "give its parts in order: as_chain(model, x, links=[stem, body, head])"


def as_chain(
    model: nn.Module, x: Images, *, links: Sequence[str | nn.Module] | None = None
) -> nn.Sequential:
    """Return a network as a chain of links, sharing its weights, in evaluation mode.

    Args:
        model: Maps images to logits.
        x: A few images, on its device, on which the chain must give the network's logits.
        links: Where to cut: the names of modules after which a link ends (such as "layer2"), or the
            modules whose composition the network is; by default after every layer or block.

    Raises:
        ValueError: The network cannot be cut, or cannot be cut there; the message says why.
    """
    model = model.eval()
    if not isinstance(x, torch.Tensor) or not len(x):
        raise ValueError("give x, a few images as a tensor: the chain is compared on them")
    links = [links] if isinstance(links, str) else links
    if links and all(isinstance(part, nn.Module) for part in links):
        chain = nn.Sequential(*(part for part in links if isinstance(part, nn.Module)))
    else:
        chain = _cut(model, [str(name) for name in links or ()])
    with torch.no_grad():
        expected, logits = model(x), chain(x)
    if logits.shape != expected.shape or not torch.allclose(logits, expected, 1e-4, 1e-5):
        raise ValueError(
            "the chain does not compute the network: its logits differ"
            + (f"; {BY_HAND}" if not links else ", check the order of the links")
        )
    return chain.eval()


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (*WHOLE, *residual_blocks())) or super().is_leaf_module(
            m, module_qualified_name
        )


@dataclass(frozen=True)
class _Piece:
    """Nodes between two places where the network can be cut, in order."""

    nodes: tuple[fx.Node, ...]
    has_weights: bool
    modules: tuple[str, ...]


_Group: TypeAlias = tuple[str, list[_Piece]]  # the pieces of a link, with its name


def _cut(model: nn.Module, names: Sequence[str]) -> nn.Sequential:
    pieces = _pieces(model)
    groups = _after(pieces, names) if names else _one_layer_each(pieces)
    entry = next(node for node in pieces[0].nodes[0].graph.nodes if node.op == "placeholder")
    chain: OrderedDict[str, nn.Module] = OrderedDict()
    for name, group in groups:
        nodes = [node for piece in group for node in piece.nodes]
        key = name.replace(".", "_")
        chain[key if key not in chain else f"{key}_{len(chain) + 1}"] = _link(model, entry, nodes)
        entry = nodes[-1]
    return nn.Sequential(chain)


def _pieces(model: nn.Module) -> list[_Piece]:
    """Return the pieces of a network between all places where it can be cut."""
    what = type(model).__name__
    try:
        graph = _Tracer().trace(model)
    except Exception as reason:
        told = str(reason).splitlines()[0]
        raise ValueError(f"{what} cannot be traced ({told}): {BY_HAND}") from reason
    nodes = [node for node in graph.nodes if node.op not in ("placeholder", "output", "get_attr")]
    entries = [node for node in graph.nodes if node.op == "placeholder" and node.users]
    (result,) = next(node for node in graph.nodes if node.op == "output").args
    if len(entries) != 1 or not isinstance(result, fx.Node):
        raise ValueError(f"{what} maps more than images to logits: wrap what it takes and returns")
    place = {node: number for number, node in enumerate([*entries, *nodes])}
    last_use = {
        node: max((place.get(user, len(place)) for user in node.users), default=0) for node in place
    }
    pieces, begun, needed = [], 0, last_use[entries[0]]
    for number, node in enumerate(nodes, start=1):
        if needed <= number and (node is result or node.users):
            pieces.append(_piece(model, nodes[begun:number]))
            begun = number
        needed = max(needed, last_use[node])
    return pieces


def _piece(model: nn.Module, nodes: Sequence[fx.Node]) -> _Piece:
    modules = [str(node.target) for node in nodes if node.op == "call_module"]
    weights = [name for name in modules if _is_layer(model.get_submodule(name))]
    return _Piece(tuple(nodes), bool(weights), tuple(weights or modules))


def _is_layer(module: nn.Module) -> bool:
    return any(weight.dim() > 1 for weight in module.parameters())


def _one_layer_each(pieces: Sequence[_Piece]) -> list[_Group]:
    """Return pieces in groups, each with one piece that has weights and those that follow it."""
    groups: list[list[_Piece]] = [[]]
    for piece in pieces:
        if piece.has_weights and any(earlier.has_weights for earlier in groups[-1]):
            groups.append([])
        groups[-1].append(piece)
    return [(_holder(group), group) for group in groups]


def _holder(group: Sequence[_Piece]) -> str:
    """Return the innermost module that holds a group's weights, or the first that has some."""
    paths = [name for piece in group if piece.has_weights for name in piece.modules]
    if not paths:
        return "link"
    return commonpath(path.replace(".", "/") for path in paths).replace("/", ".") or paths[0]


def _after(pieces: Sequence[_Piece], names: Sequence[str]) -> list[_Group]:
    """Return pieces in groups that end with the modules of these names, and the rest."""
    ends = {}
    for name in names:
        inside = [k for k, piece in enumerate(pieces) if any(_is_in(n, name) for n in piece.nodes)]
        if not inside or not _is_in(pieces[inside[-1]].nodes[-1], name):
            places = dict.fromkeys(_outer(piece.nodes[-1]) for piece in pieces)
            raise ValueError(
                f"no cut after {name!r}: the network can be cut after {', '.join(places)}"
            )
        ends[inside[-1] + 1] = name
    if len(ends) < len(names) or list(ends) != sorted(ends):
        order = ", ".join(ends[place] for place in sorted(ends))
        raise ValueError(f"name each cut once, in the order of the network: {order}")
    ends.setdefault(len(pieces), "rest")
    edges = [0, *sorted(ends)]
    return [(ends[j], list(pieces[i:j])) for i, j in pairwise(edges)]


def _is_in(node: fx.Node, name: str) -> bool:
    """Return whether a node is, or was computed inside, the module of that name."""
    stack = node.meta.get("nn_module_stack", {})
    paths = [str(path[0] if isinstance(path, tuple) else path) for path in stack.values()]
    return name in (node.name, *stack, *paths, str(node.target))


def _outer(node: fx.Node) -> str:
    """Return the outermost module whose last value a node is, or else the node's name."""
    path = str(node.target) if node.op == "call_module" else ""
    stack = list(node.meta.get("nn_module_stack", {}))
    return next((name for name in [*stack, path] if name), node.name)


def _link(model: nn.Module, entry: fx.Node, nodes: Sequence[fx.Node]) -> nn.Module:
    """Return nodes as modules in a row where they are that, else as a graph of their own."""
    row: list[nn.Module] = []
    before = entry
    for node in nodes:
        module = _module(model, node, before)
        if module is None:
            return _graph(model, entry, nodes)
        row, before = [*row, module], node
    return nn.Sequential(*row)


def _module(model: nn.Module, node: fx.Node, before: fx.Node) -> nn.Module | None:
    """Return the module that a node calls on the value before it; None where it does more."""
    if node.all_input_nodes != [before]:
        return None
    if node.op == "call_module" and len(node.args) == 1 and not node.kwargs:
        return model.get_submodule(str(node.target))
    kind: Any = MODULES.get(node.target) if callable(node.target) else None
    if kind is nn.ReLU:
        return nn.ReLU()
    return nn.Flatten() if kind is nn.Flatten and node.args[1:] == (1,) else None


def _graph(model: nn.Module, entry: fx.Node, nodes: Sequence[fx.Node]) -> fx.GraphModule:
    graph, values = fx.Graph(), {}
    values[entry] = graph.placeholder("h")
    for node in nodes:
        for constant in node.all_input_nodes:
            if constant.op == "get_attr" and constant not in values:
                values[constant] = graph.node_copy(constant)
        values[node] = graph.node_copy(node, values.__getitem__)
    graph.output(values[nodes[-1]])
    return fx.GraphModule(model, graph)
