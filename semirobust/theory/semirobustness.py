"""Definition 1 and Theorem 1 measured: readouts G_j behind F^(j), and their gamma_j (Eq. 1).

    γ_j = E_(x, y) [ inf over δ in S_x of  s_y(G_j ∘ F^(j)(x + δ)) ],    s_y = 2 p_y - 1

Definition 1 is written for y in {-1, +1}. With k classes a readout gives logits, p are their
softmax probabilities and s_y in [-1, 1] is the score; with two classes s_y = y tanh(margin / 2).

The infimum is searched by attack, so what is measured is an upper estimate of gamma_j of *this*
readout; Definition 1 asks only that some readout exists, so it is a lower estimate of the supremum
over readouts. Where the network is affine and has two classes, the infimum is known exactly.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy as mean_cross_entropy

from semirobust.attacks.ball import (
    check_radius,
    check_steps,
    evaluating,
    prepared,
    project,
    uniform_in_ball,
    value_and_gradient,
)
from semirobust.attacks.noise import sample_noise
from semirobust.attacks.objectives import Objective, cross_entropy, negative_margin
from semirobust.data import Samples, batches
from semirobust.layers import compose
from semirobust.training.fitting import Training, fit
from semirobust.training.methods import Online
from semirobust.training.optimisers import without_compiler
from semirobust.types import Attack, Classifier, Features, Images, Labels, Logits

NORMAL = 1.96  # half-width of a 95 % interval, in standard errors
BATCH = 500
LBFGS = without_compiler(torch.optim.LBFGS)


def score(logits: Logits, y: Labels) -> Tensor:
    """Return s_y = 2 p_y - 1 of every sample, in [-1, 1].

    Example:
        >>> score(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))
        tensor([0.])
    """
    return 2 * logits.softmax(dim=1).gather(1, y[:, None])[:, 0] - 1


@dataclass(frozen=True, kw_only=True)
class Search:
    """The attack of Definition 1: the point of S_x with the lowest score among all that it visits.

    Runs of signed steps climb the given objectives in turn, the first from x and the others from
    uniform points of the ball. The score itself is flat where it is saturated, so its gradient is
    not used; the cross-entropy and the margin have the same worst points. The steps have a quarter
    of the radius if no size is given.
    """

    epsilon: float
    step_size: float | None = None
    steps: int = 10
    restarts: int = 3
    climbs: tuple[Objective, ...] = (cross_entropy, negative_margin)

    def __post_init__(self) -> None:
        check_radius(self.epsilon)
        check_steps(steps=self.steps, restarts=self.restarts, climbs=len(self.climbs))

    def __call__(
        self,
        network: Classifier,
        x: Images,
        y: Labels,
        *,
        generator: Generator,
        scored: Objective = score,
    ) -> Images:
        noise = sample_noise(generator, x)
        step = self.epsilon / 4 if self.step_size is None else self.step_size
        lowest, best = torch.full((len(x),), torch.inf).to(x), x.detach().clone()
        with prepared(network, x, y) as classifier:
            for run in range(self.restarts):
                climb, x_adv = self.climbs[run % len(self.climbs)], x.detach()
                if run:
                    x_adv = uniform_in_ball(x, self.epsilon, noise, draw=run)
                for _ in range(self.steps + 1):  # the last point is scored, not moved
                    logits, _, ascent = value_and_gradient(classifier, x_adv, y, climb)
                    found = scored(logits, y)
                    better = found < lowest
                    lowest[better], best[better] = found[better], x_adv[better]
                    x_adv = project(x_adv + step * ascent.sign(), x, self.epsilon)
        return best


@dataclass(frozen=True)
class Gamma:
    """An estimate of gamma_j for one readout: the mean over the samples of the lowest score found.

    Attributes:
        low: Lower end of the 95 % interval over the draw of the samples.
        high: Upper end. A stronger attack may still lower all three.
        clean: The same mean without perturbation: how useful the readout is.
        accuracy: Share of samples that the readout gives their label at the point found.
    """

    value: float
    low: float
    high: float
    clean: float
    accuracy: float
    n: int


@torch.no_grad()
def gamma(
    network: nn.Sequential,
    j: int,
    readout: nn.Module,
    samples: Samples,
    attack: Attack,
    *,
    generator: Generator,
) -> Gamma:
    """Return gamma_j of the readout on layer j, from above: Definition 1, Eq. 1."""
    if len(samples) < 2:
        raise ValueError(f"an interval needs at least 2 samples, got {len(samples)}")
    whole = with_readout(network, j, readout)
    clean, worst, right = [], [], []
    with evaluating(whole):
        for x, y, _ in batches(samples, BATCH):
            logits = whole(attack(whole, x, y, generator=generator))
            clean.append(score(whole(x), y))
            worst.append(score(logits, y))
            right.append(logits.argmax(dim=1) == y)
    scores = torch.minimum(torch.cat(worst), torch.cat(clean)).double()  # delta = 0 is allowed
    value, half = scores.mean().item(), NORMAL * scores.std().item() / sqrt(len(scores))
    return Gamma(
        value=value,
        low=max(value - half, -1.0),
        high=min(value + half, 1.0),
        clean=torch.cat(clean).double().mean().item(),
        accuracy=torch.cat(right).double().mean().item(),
        n=len(scores),
    )


def profile(
    network: nn.Sequential,
    readouts: Mapping[int, nn.Module],
    samples: Samples,
    attack: Attack,
    *,
    seed: int = 0,
) -> dict[int, Gamma]:
    """Return {j: gamma_j} of one readout for each layer, every layer with the same noise."""
    return {
        j: gamma(network, j, readout, samples, attack, generator=Generator().manual_seed(seed))
        for j, readout in readouts.items()
    }


def with_readout(network: nn.Sequential, j: int, readout: nn.Module) -> nn.Sequential:
    """Return G_j ∘ F^(j) as a chain of j + 1 links; j = 0 reads the input itself."""
    if j == 0:
        return nn.Sequential(readout)
    return nn.Sequential(*compose(network, 1, j), readout)


def linear_readout(
    network: nn.Sequential,
    j: int,
    samples: Samples,
    *,
    pooled: bool = False,
    penalty: float = 1e-3,
    steps: int = 50,
) -> nn.Sequential:
    """Return a linear readout of layer j fitted to clean samples: logistic regression.

    The units are standardised for the fit, and the scaling is folded into the weights. j = 0 reads
    the input. ``pooled`` reads the mean over space of each channel instead of every unit, where
    the layer has maps; half of the penalty multiplies the squared weights; ``steps`` bounds the
    iterations of L-BFGS.
    """
    one = layer_features(network, j, samples.take(torch.arange(1)), nn.Identity())
    view = nn.Sequential(*[nn.AdaptiveAvgPool2d(1)] * (pooled and one.dim() == 4), nn.Flatten())
    h = layer_features(network, j, samples, view).double()
    mean, scale = h.mean(dim=0), h.std(dim=0).clamp_min(1e-3)
    weight, bias = logistic((h - mean) / scale, samples.labels, penalty=penalty, steps=steps)
    head = nn.utils.skip_init(nn.Linear, *reversed(weight.shape))  # type: ignore[no-untyped-call]
    with torch.no_grad():
        head.weight.copy_(weight / scale)
        head.bias.copy_(bias - weight @ (mean / scale))
    return nn.Sequential(*view, head).to(samples.labels.device).eval()


def linear_readouts(
    network: nn.Sequential, layers: Iterable[int], samples: Samples, *, pooled: bool = False
) -> dict[int, nn.Module]:
    """Return a linear readout of each layer; that of layer n is empty, the output itself."""
    return {
        j: nn.Sequential()
        if j == len(network)
        else linear_readout(network, j, samples, pooled=pooled)
        for j in layers
    }


@torch.no_grad()
def layer_features(network: nn.Sequential, j: int, samples: Samples, view: nn.Module) -> Features:
    """Return the view of h_j of every sample, N x d."""
    whole = with_readout(network, j, view)
    with evaluating(whole):
        return torch.cat([whole(x) for x, _, _ in batches(samples, BATCH)])


def logistic(h: Features, y: Labels, *, penalty: float, steps: int) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the penalised multinomial logistic regression of y on h."""
    weight = h.new_zeros(int(y.max()) + 1, h.shape[1], requires_grad=True)
    bias = h.new_zeros(len(weight), requires_grad=True)
    solver = LBFGS([weight, bias], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        loss = mean_cross_entropy(h @ weight.T + bias, y) + penalty / 2 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        solver.step(closure)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()


def robust_readout(
    network: nn.Sequential,
    j: int,
    readout: nn.Module,
    samples: Samples,
    attack: Attack,
    settings: Training,
) -> nn.Module:
    """Return a copy of the readout after adversarial training behind the frozen F^(j)."""
    whole = nn.Sequential(
        nn.Sequential(*with_readout(network, j, nn.Sequential())), deepcopy(readout)
    )
    for _ in fit(whole, samples, replace(settings, method=Online(attack=attack)), a=1):
        pass
    return whole[1]


def nested_gamma(found: dict[int, Gamma]) -> dict[int, float]:
    """Return max over k >= j of gamma_k: the family of readouts G_k ∘ F^(j+1,k), k = j..n.

    Every readout of a later layer is one of the earlier layer too, with the links between put in
    front of it; so for this family gamma_j cannot rise with depth (Theorem 1).

    Example:
        >>> flat = {j: Gamma(v, v, v, v, 1.0, 9) for j, v in ((1, 0.2), (2, 0.5), (3, 0.4))}
        >>> nested_gamma(flat)
        {1: 0.5, 2: 0.5, 3: 0.4}
    """
    return {j: max(found[k].value for k in found if k >= j) for j in found}


def gamma_records(curves: Mapping[str, Mapping[int, Gamma | float]]) -> list[dict[str, Any]]:
    """Return one row per readout and layer: its name, j, gamma and the interval's ends if known."""
    rows = []
    for name, curve in curves.items():
        for j, found in curve.items():
            ends = {"gamma": found, "low": found, "high": found}
            if isinstance(found, Gamma):
                ends = {"gamma": found.value, "low": found.low, "high": found.high}
            rows.append({"readout": name, "j": j, **ends})
    return rows
