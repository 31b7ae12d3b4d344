"""The interval-gradient attack of Wang et al. (2018): symbolic bounds say where to go.

Where restarts of PGD stay, the gradient at a point is blind to what lies a little further. So a
small box around the point is grown until the bound no longer excludes another class d, and the
point moves along the sign of the symbolic coefficients of g_d - g_y over that box; then PGD again.
"""

from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor, nn

from semirobust.attacks.ball import check_radius, check_steps, fooled, prepared, project
from semirobust.attacks.gradient import strong_pgd
from semirobust.certified.bounds import Bound, concretise, linear_margins
from semirobust.certified.operators import Box
from semirobust.types import Classifier, Images, Labels


@dataclass(frozen=True, kw_only=True)
class IntervalGradient:
    """PGD with restarts, and from points that its symbolic coefficients lead to.

    ``chain`` is the network under attack, for its bounds; ``boxes`` are radii of the small box as
    shares of epsilon. Each of the ``rounds`` is a symbolic step and a run of PGD.
    """

    chain: nn.Module = field(repr=False)
    epsilon: float
    steps: int = 20
    restarts: int = 2
    rounds: int = 2
    boxes: tuple[float, ...] = (0.125, 0.25, 0.5)
    bound: Bound = "crown-ibp"

    def __post_init__(self) -> None:
        check_radius(self.epsilon)
        check_steps(steps=self.steps, restarts=self.restarts, rounds=self.rounds)
        if self.bound == "ibp":
            raise ValueError("intervals have no coefficients in the input: choose crown-ibp")
        if not self.boxes or list(self.boxes) != sorted(self.boxes):
            raise ValueError(f"boxes grow: give rising shares of epsilon, got {self.boxes}")

    def __call__(
        self, network: Classifier, x: Images, y: Labels, *, generator: Generator
    ) -> Images:
        climb = strong_pgd(self.epsilon, steps=self.steps, restarts=self.restarts)
        x_adv = climb(network, x, y, generator=generator)
        with prepared(network, x, y) as classifier:
            for _ in range(self.rounds):
                left = (~fooled(classifier, x_adv, y)).nonzero()[:, 0]
                if not len(left):
                    break
                start = self.moved(x_adv[left], x[left], y[left])
                x_adv[left] = climb.ascend(classifier, x[left], y[left], start)
        return x_adv

    @torch.no_grad()
    def moved(self, x_adv: Images, x: Images, y: Labels) -> Images:
        """Return the points one symbolic step on, towards the first class that is not excluded."""
        step, settled = torch.zeros_like(x), torch.zeros(len(y), dtype=torch.bool, device=y.device)
        for share in self.boxes:
            slope, flipped = self.slope(x_adv, x, y, share * self.epsilon)
            fresh = ~settled
            step[fresh] = share * self.epsilon * slope[fresh].sign()
            settled |= flipped
        return project(x_adv + step, x, self.epsilon)

    def slope(self, x_adv: Images, x: Images, y: Labels, radius: float) -> tuple[Tensor, Tensor]:
        """Return the coefficients of g_d - g_y for the likeliest class d, and if d is possible."""
        lower = project(x_adv - radius, x, self.epsilon)
        box = Box(lower, project(x_adv + radius, x, self.epsilon))
        rows, offset, start = linear_margins(self.chain, box, y, self.bound)
        margins = offset.lower + concretise(rows, start).lower
        margins.scatter_(1, y[:, None], torch.inf)
        least, d = margins.min(dim=1)
        return -rows[torch.arange(len(y), device=y.device), d], least < 0
