"""Sound bounds on what a chain does to a box: intervals, CROWN-IBP and the zonotope.

ibp        A box is mapped to a box, step by step: Gowal et al. (2018).
crown-ibp  The margins as lines in the input, pulled back through lines below and above every
           ReLU; where these lie is decided by intervals: Zhang et al. (2020).
zonotope   The same with parallel lines, slope u / (u - l), and with the boxes before every ReLU
           computed in the same way. This is the zonotope of least area with one fresh symbol for
           each unstable ReLU, the symbolic intervals of Wang et al. (2018): rows of coefficients
           pulled back give its generators column by column, without holding the symbols.

The margins g_y - g_k are formed before the last affine map is bounded, not after. Max pooling is
bounded by a box alone (slope 0), which is sound and coarse. Arithmetic is that of float32, not
rounded outwards: what is certified has a margin above ``LEAST``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from semirobust.attacks.ball import check_radius
from semirobust.certified import windows
from semirobust.certified.anatomy import steps
from semirobust.certified.primitives import (
    Affine,
    Bend,
    Box,
    Convolution,
    Rectifier,
    Scale,
    Step,
    Sum,
    around,
)
from semirobust.types import Images, Labels

Bound: TypeAlias = Literal["ibp", "crown-ibp", "zonotope"]
BOUNDS: tuple[Bound, ...] = get_args(Bound)
LEAST = 1e-4  # margin above which rounding cannot matter
TINY = 1e-12


def ball(x: Images, epsilon: float) -> Box:
    """Return the inf-ball around each image within the data's range [0, 1]."""
    check_radius(epsilon)
    return Box((x - epsilon).clamp(0, 1), (x + epsilon).clamp(0, 1))


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines below and above a bend: slope * x + an intercept out of a box."""

    below: Tensor
    above: Tensor
    intercept: Box

    def back(self, rows: Tensor) -> tuple[Tensor, Box]:
        """Return rows before the bend that lie below the given ones, and what they leave over.

        The second box is right at its upper end only where the two lines are parallel.
        """
        rest = spread(rows, self.intercept)
        if self.below is self.above:
            return rows * self.below[:, None], rest
        low = rows.clamp(min=0) * self.below[:, None]
        return low + rows.clamp(max=0) * self.above[:, None], rest


@dataclass(frozen=True, eq=False)
class Passed:
    """A step that was passed, with the box before it and what stands for a bend."""

    step: Step
    box: Box
    lines: Lines | None = None
    branches: tuple[tuple["Passed", ...], ...] = ()

    def back(self, rows: Tensor) -> tuple[Tensor, Box]:
        """Return rows of coefficients before the step, and what the step adds to them."""
        shape = self.box.lower.shape[1:]
        if isinstance(self.step, Sum):
            pulled = [substituted(rows, branch) for branch in self.branches]
            return _total([one[0] for one in pulled]), _sums([one[1] for one in pulled])
        if isinstance(self.step, Bend):
            if self.lines is None:
                raise ValueError("intervals know no lines: choose crown-ibp or zonotope")
            if not isinstance(self.step, Rectifier):
                rest = spread(rows, self.lines.intercept)
                return rows.new_zeros((len(rest.lower), rows.shape[1], *shape)), rest
            return self.lines.back(rows)
        added = self.step.constant(rows)
        rest = _nothing(rows) if added is None else Box(added, added)
        return self.step.back(rows, shape), rest


def _total(parts: Sequence[Tensor]) -> Tensor:
    return sum(parts[1:], start=parts[0])


def _sums(parts: Sequence[Box]) -> Box:
    return Box(_total([one.lower for one in parts]), _total([one.upper for one in parts]))


def _nothing(rows: Tensor) -> Box:
    zero = rows.new_zeros(rows.shape[:2])
    return Box(zero, zero)


def spread(rows: Tensor, box: Box) -> Box:
    """Return the least and the largest value of each row of coefficients over a box, N x rows."""
    flat = rows.flatten(2)
    centre = (flat @ box.centre.flatten(1)[:, :, None])[:, :, 0]
    return around(centre, (flat.abs() @ box.radius.flatten(1)[:, :, None])[:, :, 0])


def substituted(rows: Tensor, history: Sequence[Passed]) -> tuple[Tensor, Box]:
    """Return rows of coefficients pulled back to where the history begins, and the rest."""
    rest = _nothing(rows)
    for passed in reversed(history):
        rows, more = passed.back(rows)
        rest = rest.plus(more)
    return rows, rest


def lines(step: Bend, box: Box, bound: Bound) -> Lines | None:
    """Return the lines that enclose a bend over a box; intervals have none."""
    if bound == "ibp":
        return None
    if not isinstance(step, Rectifier):
        image = step.image(box)
        flat = torch.zeros_like(image.lower)
        return Lines(flat, flat, image)
    low, high = box.lower.clamp(max=0), box.upper.clamp(min=0)
    above = high / (high - low).clamp(min=TINY)
    below = above if bound == "zonotope" else (high > -low).to(high.dtype)
    return Lines(below, above, Box(torch.zeros_like(low), -above * low))


@dataclass(frozen=True, eq=False)
class Walk:
    """A way of bounding, from one input box on."""

    origin: Box
    bound: Bound

    def through(
        self, parts: Sequence[Step], box: Box, before: tuple[Passed, ...] = ()
    ) -> tuple[tuple[Passed, ...], Box]:
        """Return all steps as passed, and the box behind them."""
        history = before
        for step in parts:
            if isinstance(step, Sum):
                ends = [self.through(branch, box, history) for branch in step.branches]
                branches = tuple(end[0][len(history) :] for end in ends)
                passed = Passed(step, box, branches=branches)
                box = _sums([end[1] for end in ends])
            elif isinstance(step, Bend):
                box = self.tightened(history, box)
                passed = Passed(step, box, lines(step, box, self.bound))
                box = step.image(box)
            else:
                passed = Passed(step, box)
                box = step.image(box)
            history = (*history, passed)
        return history, box

    def tightened(self, history: tuple[Passed, ...], box: Box) -> Box:
        """Return the zonotope's box where it differs from the interval's: behind a bend."""
        bent = any(one.lines is not None or one.branches for one in history)
        if self.bound != "zonotope" or not bent or isinstance(history[-1].step, Bend):
            return box
        found = through_windows(history)
        if found is not None:
            return found
        shape = box.lower.shape[1:]
        every = torch.eye(shape.numel(), dtype=box.lower.dtype, device=box.lower.device)
        rows, rest = substituted(every.view(1, -1, *shape), history)
        found = rest.plus(spread(rows, self.origin))
        return Box(found.lower.view(-1, *shape), found.upper.view(-1, *shape))


def through_windows(history: Sequence[Passed]) -> Box | None:
    """Return the box behind a second convolution, or None where the history is another."""
    bare = list(dropwhile(lambda one: isinstance(one.step, Scale), history))
    if len(bare) != 3 or bare[1].lines is None or not isinstance(bare[1].step, Rectifier):
        return None
    (first, second), bent = (bare[0].step, bare[2].step), bare[1].lines
    if not (isinstance(first, Convolution) and isinstance(second, Convolution)):
        return None
    if not windows.plain(first, second):
        return None
    rest = bent.intercept.upper
    return windows.box_behind(first, second, bare[0].box, bare[1].box, bent.above, rest)


def image(network: nn.Module, box: Box, bound: Bound = "ibp") -> Box:
    """Return a box that holds what the network makes of every point of a box."""
    _check(bound)
    walk = Walk(box, bound)
    return walk.tightened(*walk.through(steps(network), box))


def margins(network: nn.Module, box: Box, y: Labels, bound: Bound = "zonotope") -> Tensor:
    """Return lower bounds of g_y - g_k over a box, N x K, with 0 at k = y.

    Args:
        network: A chain of links that ends in logits.
        box: Where the input may lie; see ``ball``.
        y: Labels.
        bound: "ibp", "crown-ibp" or "zonotope".
    """
    rows, rest, start = margin_rows(network, box, y, bound)
    return rest.lower + spread(rows, start).lower


def margin_rows(network: nn.Module, box: Box, y: Labels, bound: Bound) -> tuple[Tensor, Box, Box]:
    """Return lines below the margins, N x K rows and rests, and the box that they are lines in.

    For "crown-ibp" and "zonotope" that is the input; for "ibp" what stands before the last affine
    steps.
    """
    _check(bound)
    history, end = Walk(box, bound).through(steps(network), box)
    classes = end.lower.shape[1]
    own = torch.eye(classes, dtype=end.lower.dtype, device=end.lower.device)
    rows = own[y][:, None, :] - own[None]
    if bound == "ibp":
        last = list(takewhile(lambda one: isinstance(one.step, Affine), reversed(history)))[::-1]
        return *substituted(rows, last), (last[0].box if last else end)
    return *substituted(rows, history), box


def worst_case(network: nn.Module, box: Box, y: Labels, bound: Bound) -> Tensor:
    """Return the worst-case logits z_k = upper bound of g_k - g_y, with z_y = 0: for a loss."""
    return -margins(network, box, y, bound)


def _check(bound: Bound) -> None:
    if bound not in BOUNDS:
        raise ValueError(f"bound must be one of {', '.join(BOUNDS)}; got {bound!r}")
