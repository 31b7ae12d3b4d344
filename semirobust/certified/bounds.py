"""Sound bounds on what a chain does to a box: intervals, CROWN-IBP and the zonotope.

ibp        A box is mapped to a box, operator by operator: Gowal et al. (2018).
crown-ibp  Linear bounds of the margins, substituted backwards to the input through a linear
           relaxation of every ReLU, which intervals decide: Zhang et al. (2020).
zonotope   The same with parallel lines, slope u / (u - l), and with the boxes before every ReLU
           computed in the same way. This is the zonotope of least area with one fresh symbol for
           each unstable ReLU, the symbolic intervals of Wang et al. (2018): rows of coefficients
           substituted backwards give its generators column by column, without holding the symbols.

The margins g_y - g_k are formed before the last affine map is bounded, not after. Max pooling is
bounded by a box alone (slope 0), which is sound and coarse. ``outward`` bounds hold for what
float32 computes (``rounding``); training, which needs none of this, is in float32 itself. No
bound is in the TF32 of a GPU, whatever the network may be run in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import dropwhile, takewhile
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from semirobust.attacks.ball import check_radius
from semirobust.attacks.objectives import check_choice
from semirobust.certified.operators import (
    TINY,
    Affine,
    Box,
    Branches,
    Convolution,
    Nonlinear,
    Operator,
    Relu,
    Scale,
    around,
    back,
    constant,
    image_of,
)
from semirobust.certified.parsing import operators
from semirobust.certified.receptive_fields import box_by_receptive_fields
from semirobust.certified.rounding import in_float64, of_sum, off_by
from semirobust.data import float32_kept
from semirobust.types import Images, Labels

Bound: TypeAlias = Literal["ibp", "crown-ibp", "zonotope"]
BOUNDS: tuple[Bound, ...] = get_args(Bound)


def ball(x: Images, epsilon: float) -> Box:
    """Return the inf-ball around each image within the data's range [0, 1]."""
    check_radius(epsilon)
    return Box((x - epsilon).clamp(0, 1), (x + epsilon).clamp(0, 1))


@dataclass(frozen=True, eq=False)
class Relaxation:
    """Two lines around a nonlinearity over a box: slope * x, and an intercept out of a box."""

    below: Tensor
    above: Tensor
    intercept: Box

    def back(self, rows: Tensor) -> tuple[Tensor, Box]:
        """Return rows of the input that lie below the given rows of the output, and their offsets.

        The upper end of the offsets is right only where the two lines are parallel.
        """
        offset = concretise(rows, self.intercept)
        if self.below is self.above:
            return rows * self.below[:, None], offset
        low = rows.clamp(min=0) * self.below[:, None]
        return low + rows.clamp(max=0) * self.above[:, None], offset


@dataclass(frozen=True, eq=False)
class Bounded:
    """An operator with the box before it and, where it is not affine, what stands in its place.

    ``off`` is what rounding may add to its output; None where rounding is left out.
    """

    operator: Operator
    box: Box
    off: Tensor | None = None
    relaxation: Relaxation | None = None
    branches: tuple[tuple["Bounded", ...], ...] = ()

    def back(self, rows: Tensor) -> tuple[Tensor, Box]:
        """Return rows of coefficients of the input, and the offsets that the operator adds."""
        before, offset = self.exactly_back(rows)
        if self.off is None:
            return before, offset
        return before, offset.plus(concretise(rows, Box(-self.off, self.off)))

    def exactly_back(self, rows: Tensor) -> tuple[Tensor, Box]:
        shape = self.box.lower.shape[1:]
        if isinstance(self.operator, Branches):
            ends = [substitute(rows, branch) for branch in self.branches]
            parts, offsets = zip(*ends, strict=True)
            return reduce(torch.add, parts), reduce(Box.plus, offsets)
        if isinstance(self.operator, Nonlinear):
            if self.relaxation is None:
                raise ValueError("intervals know no lines: choose crown-ibp or zonotope")
            if not isinstance(self.operator, Relu):
                offset = concretise(rows, self.relaxation.intercept)
                return rows.new_zeros((len(offset.lower), rows.shape[1], *shape)), offset
            return self.relaxation.back(rows)
        added = constant(self.operator, rows)
        offset = _zero(rows) if added is None else Box(added, added)
        return back(self.operator, rows, shape), offset


def _zero(rows: Tensor) -> Box:
    zero = rows.new_zeros(rows.shape[:2])
    return Box(zero, zero)


def concretise(rows: Tensor, box: Box) -> Box:
    """Return the least and the largest value of each row of coefficients over a box, N x rows."""
    flat = rows.flatten(2)
    centre = (flat @ box.centre.flatten(1)[:, :, None])[:, :, 0]
    return around(centre, (flat.abs() @ box.radius.flatten(1)[:, :, None])[:, :, 0])


def substitute(rows: Tensor, chain: Sequence[Bounded]) -> tuple[Tensor, Box]:
    """Return rows of the chain's output as rows of its input, and their offsets."""
    offset = _zero(rows)
    for bounded in reversed(chain):
        rows, more = bounded.back(rows)
        offset = offset.plus(more)
    return rows, offset


def relax(operator: Nonlinear, box: Box, bound: Bound) -> Relaxation | None:
    """Return the lines that enclose a nonlinearity over a box; intervals have none."""
    if bound == "ibp":
        return None
    if not isinstance(operator, Relu):
        ends = image_of(operator, box)
        flat = torch.zeros_like(ends.lower)
        return Relaxation(flat, flat, ends)
    low, high = box.lower.clamp(max=0), box.upper.clamp(min=0)
    above = high / (high - low).clamp(min=TINY)
    below = above if bound == "zonotope" else (high > -low).to(high.dtype)
    return Relaxation(below, above, Box(torch.zeros_like(low), -above * low))


@dataclass(frozen=True, eq=False)
class Propagation:
    """A way of bounding, from one input box on."""

    origin: Box
    bound: Bound
    outward: bool = False  # rounding is added

    def through(
        self, chain: Sequence[Operator], box: Box, before: tuple[Bounded, ...] = ()
    ) -> tuple[tuple[Bounded, ...], Box]:
        """Return every operator with its bounds, those before the chain first, and the last box."""
        history = before
        for operator in chain:
            if isinstance(operator, Branches):
                ends = [self.through(branch, box, history) for branch in operator.branches]
                branches = tuple(end[0][len(history) :] for end in ends)
                after = reduce(Box.plus, [end[1] for end in ends])
                off = of_sum(after) if self.outward else None
                bounded, box = Bounded(operator, box, off, branches=branches), widened(after, off)
            elif isinstance(operator, Nonlinear):
                box = self.tightened(history, box)
                lines = relax(operator, box, self.bound)
                bounded = Bounded(operator, box, relaxation=lines)
                box = image_of(operator, box)
            else:
                off = off_by(operator, box) if self.outward else None
                bounded = Bounded(operator, box, off)
                box = widened(image_of(operator, box), off)
            history = (*history, bounded)
        return history, box

    def tightened(self, history: tuple[Bounded, ...], box: Box) -> Box:
        """Return the zonotope's box where it differs from the interval's: behind a relaxation."""
        relaxed = any(bounded.relaxation is not None or bounded.branches for bounded in history)
        if self.bound != "zonotope" or not relaxed or isinstance(history[-1].operator, Nonlinear):
            return box
        tight = second_convolution(history)
        if tight is not None:
            return tight
        shape = box.lower.shape[1:]
        units = torch.eye(shape.numel(), dtype=box.lower.dtype, device=box.lower.device)
        rows, offset = substitute(units.view(1, -1, *shape), history)
        tight = offset.plus(concretise(rows, self.origin))
        return Box(tight.lower.view(-1, *shape), tight.upper.view(-1, *shape))


def widened(box: Box, by: Tensor | None) -> Box:
    return box if by is None else Box(box.lower - by, box.upper + by)


def second_convolution(history: Sequence[Bounded]) -> Box | None:
    """Return the zonotope's box behind convolution, ReLU, convolution; None behind all else."""
    last = list(dropwhile(lambda bounded: isinstance(bounded.operator, Scale), history))
    if len(last) != 3:
        return None
    first, relu, second = (bounded.operator for bounded in last)
    source, before, relaxation = last[0].box, last[1].box, last[1].relaxation
    if not (isinstance(first, Convolution) and isinstance(second, Convolution)):
        return None
    if relaxation is None or not isinstance(relu, Relu):
        return None
    if not first.dilation == second.dilation == (1, 1):  # dilated windows are not implemented
        return None
    slope, distance = relaxation.above, relaxation.intercept.upper
    off, own = last[0].off, last[2].off
    box = box_by_receptive_fields(first, second, source, before, slope, distance, off=off)
    return widened(box, own)


@float32_kept()
def image(network: nn.Module, box: Box, bound: Bound = "ibp", *, outward: bool = False) -> Box:
    """Return a box that holds what the network makes of every point of a box."""
    propagation, history, end = propagated(network, box, bound, outward=outward)
    return propagation.tightened(history, end)


def propagated(
    network: nn.Module, box: Box, bound: Bound, *, outward: bool
) -> tuple[Propagation, tuple[Bounded, ...], Box]:
    """Return a propagation from a box on, every operator with its bounds, and the last box."""
    check_choice("bound", bound, BOUNDS)
    chain = operators(network)
    if outward:
        chain, box = in_float64(chain), Box(box.lower.double(), box.upper.double())
    propagation = Propagation(box, bound, outward)
    return propagation, *propagation.through(chain, box)


@float32_kept()
def margins(
    network: nn.Module,
    box: Box,
    y: Labels,
    bound: Bound = "zonotope",
    *,
    outward: bool = False,
) -> Tensor:
    """Return lower bounds of g_y - g_k over a box (see ``ball``), N x K, with 0 at k = y."""
    rows, offset, start = linear_margins(network, box, y, bound, outward=outward)
    return offset.lower + concretise(rows, start).lower


@float32_kept()
def linear_margins(
    network: nn.Module, box: Box, y: Labels, bound: Bound, *, outward: bool = False
) -> tuple[Tensor, Box, Box]:
    """Return rows of coefficients below the margins, N x K, their offsets, and the box before them.

    For "crown-ibp" and "zonotope" that box is the input; for "ibp" it is what stands before the
    last affine operators.
    """
    propagation, history, end = propagated(network, box, bound, outward=outward)
    classes = end.lower.shape[1]
    unit = torch.eye(classes, dtype=end.lower.dtype, device=end.lower.device)
    rows = unit[y][:, None, :] - unit[None]
    if bound != "ibp":
        return *substitute(rows, history), propagation.origin
    affine = takewhile(lambda bounded: isinstance(bounded.operator, Affine), reversed(history))
    last = list(affine)[::-1]
    return *substitute(rows, last), (last[0].box if last else end)
