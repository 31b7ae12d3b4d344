"""Sound bounds on what a chain does to a box: intervals, CROWN-IBP and the zonotope.

ibp        A box is mapped to a box, operator by operator: Gowal et al. (2018).
crown-ibp  Linear bounds of the margins, substituted backwards to the input through a linear
           relaxation of every ReLU, which intervals decide: Zhang et al. (2020).
zonotope   The same with parallel lines, slope u / (u - l), and with the boxes before every ReLU
           computed in the same way. This is the zonotope of least area with one fresh symbol for
           each unstable ReLU, the symbolic intervals of Wang et al. (2018): rows of coefficients
           substituted backwards give its generators column by column, without holding the symbols.

The margins g_y - g_k are formed before the last affine map is bounded, not after. Max pooling is
bounded by a box alone (slope 0), which is sound and coarse. Arithmetic is that of float32, not
rounded outwards: what is certified has a margin above ``ROUNDING``.
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
from semirobust.types import Images, Labels

Bound: TypeAlias = Literal["ibp", "crown-ibp", "zonotope"]
BOUNDS: tuple[Bound, ...] = get_args(Bound)
ROUNDING = 1e-4  # margin above which rounding cannot matter
TINY = 1e-12


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
    """An operator with the box before it and, where it is not affine, what stands in its place."""

    operator: Operator
    box: Box
    relaxation: Relaxation | None = None
    branches: tuple[tuple["Bounded", ...], ...] = ()

    def back(self, rows: Tensor) -> tuple[Tensor, Box]:
        """Return rows of coefficients of the input, and the offsets that the operator adds."""
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

    def through(
        self, chain: Sequence[Operator], box: Box, before: tuple[Bounded, ...] = ()
    ) -> tuple[tuple[Bounded, ...], Box]:
        """Return every operator with its bounds, those before the chain first, and the last box."""
        history = before
        for operator in chain:
            if isinstance(operator, Branches):
                ends = [self.through(branch, box, history) for branch in operator.branches]
                branches = tuple(end[0][len(history) :] for end in ends)
                bounded = Bounded(operator, box, branches=branches)
                box = reduce(Box.plus, [end[1] for end in ends])
            elif isinstance(operator, Nonlinear):
                box = self.tightened(history, box)
                bounded = Bounded(operator, box, relax(operator, box, self.bound))
                box = image_of(operator, box)
            else:
                bounded = Bounded(operator, box)
                box = image_of(operator, box)
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
    return box_by_receptive_fields(first, second, source, before, slope, distance)


def image(network: nn.Module, box: Box, bound: Bound = "ibp") -> Box:
    """Return a box that holds what the network makes of every point of a box."""
    check_choice("bound", bound, BOUNDS)
    propagation = Propagation(box, bound)
    return propagation.tightened(*propagation.through(operators(network), box))


def margins(network: nn.Module, box: Box, y: Labels, bound: Bound = "zonotope") -> Tensor:
    """Return lower bounds of g_y - g_k over a box (see ``ball``), N x K, with 0 at k = y."""
    rows, offset, start = linear_margins(network, box, y, bound)
    return offset.lower + concretise(rows, start).lower


def linear_margins(
    network: nn.Module, box: Box, y: Labels, bound: Bound
) -> tuple[Tensor, Box, Box]:
    """Return rows of coefficients below the margins, N x K, their offsets, and the box before them.

    For "crown-ibp" and "zonotope" that box is the input; for "ibp" it is what stands before the
    last affine operators.
    """
    check_choice("bound", bound, BOUNDS)
    history, end = Propagation(box, bound).through(operators(network), box)
    classes = end.lower.shape[1]
    unit = torch.eye(classes, dtype=end.lower.dtype, device=end.lower.device)
    rows = unit[y][:, None, :] - unit[None]
    if bound != "ibp":
        return *substitute(rows, history), box
    affine = takewhile(lambda bounded: isinstance(bounded.operator, Affine), reversed(history))
    last = list(affine)[::-1]
    return *substitute(rows, last), (last[0].box if last else end)
