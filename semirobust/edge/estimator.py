"""EDGE: mutual information from a dependence graph (Noshad et al., 2019), with its null beside it.

Samples are hashed to cells (``hashing``); the cells of X and of Y are the two sides of a bipartite
graph in which each sample is an edge, and the estimate of I(X; Y) is a sum over the edges' counts
(``counting``). With labels it is Σ_y π(y) Î(X; Y | y), π the classes' shares. All in bits.

No estimate can exceed log₂ n for n samples per class, and independent samples give far more than
zero when cells are many. So every result (``dependence``) carries its ceiling and a permutation
null, the estimates after the pairing of X and Y has been shuffled within each class.

- "calibrated" (the default settings): cells of equal shares, entropies corrected for cells not
  seen, no clipping but at the entropies themselves, the mean over several sets of directions. It
  depends neither on scale, nor on the order of the samples, nor on which side is called X.
- "paper": the arguments published with the semirobustness experiments, with a fixed shift.
- "edge-4.4.1": the defaults of the published program: ten members, even shifts, normalised width.

The two published ones give what the published program gives. They raise every log-ratio below 0.001
to 0.001, which no equation asks for: a channel of ten letters that carries 1.966 bits is estimated
at 2.39. Their null keeps the widths that were found for the true pairing.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log2
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from semirobust.edge import counting, device, hashing, projection
from semirobust.edge.counting import Formula
from semirobust.edge.dependence import Dependence, Estimates, combined
from semirobust.edge.hashing import member_shifts
from semirobust.edge.projection import Coordinates, Directions, Index, Rows

Graph: TypeAlias = counting.DependenceGraph | device.DependenceGraph

UNPROJECTED = 6  # the published program projects only what is wider
OPTIONS = {
    "hashing": ("rank", "width"),
    "projection": ("random", "principal"),
    "correction": ("chao-wang-jost", "none"),
}
LEAST = {"projections": 1, "members": 1, "permutations": 0, "directions": 1}


@dataclass(frozen=True, kw_only=True)
class Edge:
    """Settings of the estimate; call it with samples: ``Edge.preset("paper")(x, y, labels)``.

    Args:
        hashing: Cut coordinates by "rank" or, as published, by "width".
        projection: "random" directions, or the "principal" ones of each class.
        directions: Number of directions per side; None for the published floor(log2(N / 10)).
            Samples that are not wider are used as they are (published: both sides up to 6).
        projections: Number of sets of random directions whose estimates are averaged.
        members: Number of widths and shifts of the ensemble, combined by their median.
        normalise: Adapt the width to a first estimate (published, off in the paper).
        stochastic: Draw the members' shifts instead of spacing them evenly, as published.
        smoothness: Factor of the widths, EDGE's gamma.
        lower: Least log-ratio of a cell; None for no limit.
        upper: Largest log-ratio of a cell, EDGE's U; None for no limit.
        correction: Bias correction of the entropies: "chao-wang-jost" or "none".
        permutations: Number of shuffles of the null; 0 for none.
        double: Project in double precision even where the input is single.
        seed: Seed of directions, widths, shifts and shuffles.
    """

    hashing: Literal["rank", "width"] = "rank"
    projection: Literal["random", "principal"] = "random"
    directions: int | None = 2
    projections: int = 5
    members: int = 1
    normalise: bool = False
    stochastic: bool = False
    smoothness: float = 1.0
    lower: float | None = None
    upper: float | None = None
    correction: Literal["chao-wang-jost", "none"] = "chao-wang-jost"
    permutations: int = 200
    double: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in OPTIONS.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {known}, got {getattr(self, name)!r}")
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if self.correction != "none" and (self.lower, self.upper) != (None, None):
            raise ValueError('limits of log-ratios need correction="none"')
        if self.hashing == "rank" and (self.members > 1 or self.normalise):
            raise ValueError('members and normalise need hashing="width"')

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "Edge":
        """Return the settings "calibrated", "paper" or "edge-4.4.1", with changes by keyword.

        Example:
            >>> Edge.preset("paper", permutations=50).permutations
            50
        """
        if name not in PRESETS:
            raise ValueError(f"preset is one of {tuple(PRESETS)}, got {name!r}")
        return replace(PRESETS[name], **changes)

    def __call__(self, x: ArrayLike, y: ArrayLike, labels: ArrayLike | None = None) -> Dependence:
        """Return the estimate of I(x; y), or of Σ_y π(y) I(x; y | y) where labels are given.

        Args:
            x: Samples, N x d or N x ..., NumPy or torch, of any real type; never written to.
            y: As many samples, of any width.
            labels: Classes 0..K-1 of the samples.

        Example:
            >>> i = np.arange(400) % 8  # three bits, of which x and y have the middle one in common
            >>> round(Edge(permutations=0, correction="none")(i // 2, i % 4).value, 9)
            1.0
        """
        result = self.measure(*self.coordinates(x, y, labels))
        for category, message in result.doubts():
            warnings.warn(message, category, stacklevel=2)
        return result

    def coordinates(
        self, x: ArrayLike, y: ArrayLike, labels: ArrayLike | None = None
    ) -> tuple[dict[int, Coordinates], dict[int, Coordinates]]:
        """Return the projected samples of X and of Y, class by class."""
        on = device if device.holds(x) and device.holds(y) else projection
        xs, ys = on.as_rows(x, "x"), on.as_rows(y, "y")
        if len(xs) != len(ys):
            raise ValueError(f"x and y must have as many rows, got {len(xs)} and {len(ys)}")
        classes = projection.classes(labels, len(xs))
        u: dict[int, Coordinates] = {}
        v: dict[int, Coordinates] = {}
        for n in sorted({projection.size(rows) for rows in classes.values()}):
            group = {c: rows for c, rows in classes.items() if projection.size(rows) == n}
            sides = self.directions_of(xs.shape[1], ys.shape[1], n, f"class {min(group)}")
            u |= self.projected(xs, group, sides[:1], "x")[0]
            v |= self.projected(ys, group, sides[1:], "y")[0]
        return {c: u[c] for c in classes}, {c: v[c] for c in classes}

    def measure(
        self,
        u: Mapping[int, Coordinates],
        v: Mapping[int, Coordinates],
        *,
        shares: Mapping[int, float] | None = None,
    ) -> Dependence:
        """Return the estimate from the coordinates of each class, however they were projected.

        ``shares`` are the classes' weights π(y); without them, their shares of the samples.
        """
        estimates: dict[tuple[int, ...], Estimates] = {}
        sizes = {c: samples.values.shape[-1] for c, samples in u.items()}
        for n in sorted(set(sizes.values())):
            group = tuple(c for c in u if sizes[c] == n)
            estimates[group] = self._estimates([u[c] for c in group], [v[c] for c in group])
        return combined(self, estimates, shares)

    def sides(self, dx: int, dy: int, n: int, of: str) -> tuple[int | None, int | None]:
        """Return the number of directions of X and of Y; None where coordinates are used as is."""
        direct = [
            d <= self.directions if self.directions else max(dx, dy) <= UNPROJECTED
            for d in (dx, dy)
        ]
        least = 20 if self.directions is None and not all(direct) else 4
        if n < least:
            raise ValueError(f"{of} has {n} samples; the estimate needs at least {least}")
        m = [self.directions or projection.number_of_directions(n, d) for d in (dx, dy)]
        return None if direct[0] else m[0], None if direct[1] else m[1]

    def directions_of(self, dx: int, dy: int, n: int, of: str) -> tuple[Directions, Directions]:
        """Return both sides' directions for n samples of widths dx and dy."""
        mx, my = self.sides(dx, dy, n, of)
        if self.projection == "principal" or (mx is None and my is None):
            return Directions(mx), Directions(my)
        if self.directions is None:
            seeds = range(self.seed, self.seed + self.projections)
            drawn = [projection.published_directions(dx, dy, n, seed) for seed in seeds]
            normals = [np.stack(one) for one in zip(*drawn, strict=True)]
            return Directions(mx, normals[0]), Directions(my, normals[1])
        draw = projection.random_directions
        x, y = (
            Directions(m, None if m is None else draw(d, m, self.seed, self.projections))
            for m, d in ((mx, dx), (my, dy))
        )
        return x, y

    def projected(
        self,
        x: Rows | Tensor,
        classes: Mapping[int, Index],
        directions: Sequence[Directions],
        name: str,
    ) -> list[dict[int, Coordinates]]:
        """Return the coordinates of classes of one size along each of some directions."""
        on = device if isinstance(x, Tensor) else projection
        groups = list(classes.values())
        found = []
        for values in on.along(x, groups, directions, seed=self.seed, double=self.double):
            if not device.finite(values):
                raise ValueError(projection.where_not_finite(projection.as_rows(x, name), name))
            pairs = zip(classes, values, strict=True)
            found.append({c: Coordinates(one, x.shape[1]) for c, one in pairs})
        return found

    def _estimates(self, u: list[Coordinates], v: list[Coordinates]) -> Estimates:
        """Return the estimates of classes with one number of samples."""
        n, classes = u[0].values.shape[-1], len(u)
        sets = max(len(u[0].values), len(v[0].values))
        shape = (sets, self.members, classes)
        graph = self._graph(_stacked(u, sets), _stacked(v, sets), (u[0].d, v[0].d))
        values, alone = graph.information()
        shuffles = graph.null(
            sets=sets * self.members, permutations=self.permutations, seed=(self.seed, n)
        )
        h_x, h_y = (np.minimum(h, log2(n)).reshape(shape) for h in graph.entropies())
        values, shuffles = values.reshape(shape), shuffles.reshape(-1, *shape)
        if self.correction != "none":
            # I <= min(H(X), H(Y)), which a corrected difference of entropies passes where few
            # samples are alone in their cells. A shuffle keeps both, so that p stays exact.
            values, shuffles = (np.minimum(one, np.minimum(h_x, h_y)) for one in (values, shuffles))
        means = [
            _median(number.reshape(shape), 1).mean(axis=0)
            for number in (np.minimum(h_x, h_y), h_x, h_y, alone, graph.constant())
        ]
        null = _median(shuffles, 2).mean(axis=1)
        return Estimates(np.full(classes, n), _median(values, 1), null, *means)

    def _graph(self, u: Any, v: Any, d: tuple[int, int]) -> Graph:
        """Return the cells of sets x classes x m x n; rows are sets, members, classes."""
        formula = Formula.plug_in(u.shape[-1], lower=self.lower, upper=self.upper)
        if self.correction != "none":
            formula = Formula.chao_wang_jost(u.shape[-1])
        on, count = (device, device) if isinstance(u, Tensor) else (hashing, counting)
        if self.hashing == "rank":
            x, y = (count.cells(on.rank_codes(one)) for one in (u, v))
            return count.DependenceGraph(x, y, formula)
        width = [
            self.smoothness * on.widths(*one, self.seed) for one in zip((u, v), d, strict=True)
        ]
        graph = self._width_graph((u, v), width, formula)
        if self.normalise:
            sets, classes = u.shape[:2]
            first = np.median(graph.information()[0].reshape(sets, self.members, classes), axis=1)
            factor: Any = (0.4 * 2 ** (-np.sqrt(2 * first) + 1 / (2 * first)))[..., None]
            if isinstance(u, Tensor):
                factor = torch.from_numpy(factor).to(u.device)
            graph = self._width_graph((u, v), [factor * one for one in width], formula)
        return graph

    def _width_graph(self, sides: tuple[Any, Any], width: list[Any], formula: Formula) -> Graph:
        """Return the cells of all members for these widths."""
        on, count = (device, device) if isinstance(sides[0], Tensor) else (hashing, counting)
        mx, my = (u.shape[-2] for u in sides)
        drawn = list(member_shifts(self.members, mx, my, self.seed, stochastic=self.stochastic))
        x, y = (
            device.stack(
                [on.width_codes(u, scale * epsilon, shifts[i]) for scale, *shifts in drawn]
            )
            for i, (u, epsilon) in enumerate(zip(sides, width, strict=True))
        )
        return count.DependenceGraph(count.cells(x), count.cells(y), formula)


def _median(values: Any, axis: int) -> Any:
    """Return the median over members, of which there is often one."""
    return np.median(values, axis) if values.shape[axis] > 1 else values.take(0, axis)


def _stacked(classes: list[Coordinates], sets: int) -> Any:
    """Return the coordinates of some classes as sets x classes x m x n."""
    values = device.stack([coordinates.values for coordinates in classes])
    if isinstance(values, Tensor):
        return values.expand(sets, *values.shape[1:])
    return np.broadcast_to(values, (sets, *values.shape[1:]))


PUBLISHED = Edge(
    hashing="width",
    directions=None,
    projections=1,
    lower=0.001,
    upper=10.0,
    correction="none",
    double=False,
    seed=3334,
)
PRESETS = {
    "calibrated": Edge(),
    "paper": PUBLISHED,
    "edge-4.4.1": replace(PUBLISHED, members=10, normalise=True),
}
