"""Bounds (9) to (11) on the gap of two losses, by curvature: two last parts f_b behind one f_a.

With ω the weights of f_b, L(ω) the mean cross-entropy of f_b on given h_a = f_a(x + δ), Δ = ω̃ - ω*:

    L(ω̃) - L(ω*) ≈ ½ Δᵀ H(ω*) Δ <= ½ λ_max ‖Δ‖²    (Eqs. 9 to 11)

Departures. The paper multiplies both sides by Y, which turns the inequality round where Y = -1;
here it is the mean loss that is bounded. The paper takes the gradient at ω* to be zero: what the
gradient adds, and the largest curvature on the line, stand beside the bound as printed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log10, prod
from typing import TypeAlias

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector

from semirobust.types import Features, Labels

Loss: TypeAlias = Callable[[Tensor], Tensor]  # weights as one vector -> the mean loss
Product: TypeAlias = Callable[[Tensor], Tensor]  # v -> H v


def weights(network: nn.Module) -> Tensor:
    return parameters_to_vector(network.parameters()).detach()


def loss_of(network: nn.Module, h: Features, y: Labels) -> Loss:
    """Return ω -> mean cross-entropy of the network with weights ω on h; the network stays."""
    shapes = {name: weight.shape for name, weight in network.named_parameters()}
    sizes = [prod(shape) for shape in shapes.values()]

    def loss(w: Tensor) -> Tensor:
        parts = zip(shapes.items(), torch.split(w, sizes), strict=True)
        own = {name: part.view(shape) for (name, shape), part in parts}
        return cross_entropy(functional_call(network, own, (h,)), y)

    return loss


def gradient(loss: Loss, w: Tensor) -> Tensor:
    w = w.detach().requires_grad_()
    return torch.autograd.grad(loss(w), w)[0]


def hessian_product(loss: Loss, w: Tensor) -> Product:
    """Return v -> H(w) v, by differentiating the gradient along v (Pearlmutter, 1994)."""
    w = w.detach().requires_grad_()
    slope = torch.autograd.grad(loss(w), w, create_graph=True)[0]
    if slope.grad_fn is None:  # a loss that is linear in w
        return torch.zeros_like
    return lambda v: torch.autograd.grad(slope, w, v, retain_graph=True)[0]


@dataclass(frozen=True)
class Extremes:
    """The outermost eigenvalues that Lanczos found, after so many products.

    ``residual`` is ‖H v - λ v‖ of the worse of the two: some eigenvalue is as near to each. They
    ``converged`` where it came below tolerance times the larger absolute value.
    """

    least: float
    largest: float
    residual: float
    steps: int
    converged: bool


def lanczos(
    product: Product, start: Tensor, *, steps: int = 60, tolerance: float = 1e-4
) -> Extremes:
    """Return the extreme eigenvalues of a symmetric matrix that is known by its products.

    Lanczos (1950) with full reorthogonalisation. A start without part along an eigenvector never
    finds it: draw it at random.
    """
    if not start.norm() > 0:
        raise ValueError("the start must not be zero: draw it at random")
    basis, diagonal, off = [start / start.norm()], [], []
    extremes = Extremes(0.0, 0.0, torch.inf, 0, converged=False)
    for step in range(1, min(steps, start.numel()) + 1):
        image = product(basis[-1])
        diagonal.append(float(image @ basis[-1]))
        Q = torch.stack(basis)
        for _ in range(2):  # twice is enough (Kahan and Parlett)
            image = image - Q.T @ (Q @ image)
        off.append(float(image.norm()))
        extremes = _extremes(diagonal, off, tolerance, start.numel())
        if extremes.converged or step == steps:
            break
        basis.append(image / image.norm())
    return extremes


def _extremes(
    diagonal: Sequence[float], off: Sequence[float], tolerance: float, dimension: int
) -> Extremes:
    """Return the extreme eigenvalues of the tridiagonal matrix, with their residuals."""
    k, off_diagonal = len(diagonal), torch.tensor(off[:-1], dtype=torch.float64)
    T = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    T += torch.diag(off_diagonal, 1) + torch.diag(off_diagonal, -1)
    values, vectors = torch.linalg.eigh(T)
    least, largest = float(values[0]), float(values[-1])
    residual = off[-1] * float(vectors[-1, [0, -1]].abs().max()) if k < dimension else 0.0
    scale = max(abs(least), abs(largest))
    return Extremes(least, largest, residual, k, converged=residual <= tolerance * scale)


def lambda_max(
    loss: Loss, w: Tensor, *, generator: Generator, steps: int = 60, tolerance: float = 1e-4
) -> Extremes:
    """Return the extreme eigenvalues of the Hessian of the loss at w."""
    start = torch.randn(w.shape, generator=generator, dtype=w.dtype, device=generator.device)
    return lanczos(hessian_product(loss, w), start.to(w.device), steps=steps, tolerance=tolerance)


@torch.no_grad()
def along(loss: Loss, w: Tensor, other: Tensor, points: int = 21) -> list[dict[str, float]]:
    """Return the loss at ω + t (ω̃ - ω) for t from 0 to 1, with what (9) expects beside it."""
    shares = torch.linspace(0, 1, points).tolist()
    with torch.enable_grad():
        slope, curved = gradient(loss, w), hessian_product(loss, w)(other - w)
    first, second = float(slope @ (other - w)), float(curved @ (other - w))
    begin = float(loss(w))
    return [
        {
            "t": t,
            "loss": float(loss(w + t * (other - w))),
            "expansion": begin + t * first + t**2 * second / 2,
        }
        for t in shares
    ]


@dataclass(frozen=True)
class Taylor:
    """Bound (10) and (11), with what it leaves out.

    Attributes:
        difference: L(ω̃) - L(ω*), the truth.
        distance: ‖Δ‖.
        slope: gradient · Δ, which the paper takes to be 0.
        lambda_max: Largest eigenvalue of H(ω*).
        bound: ½ λ_max ‖Δ‖², as printed.
        steepest: Largest eigenvalue found on the line from ω* to ω̃.
        converged: Whether every eigenvalue converged.
    """

    difference: float
    distance: float
    slope: float
    lambda_max: float
    bound: float
    steepest: float
    converged: bool

    @property
    def with_line(self) -> float:
        """Slope + ½ ‖Δ‖² times the largest eigenvalue on the line: holds where L is smooth."""
        return self.slope + 0.5 * self.steepest * self.distance**2


def taylor(
    loss: Loss, w: Tensor, other: Tensor, *, generator: Generator, points: int = 3, steps: int = 60
) -> Taylor:
    """Return bound (10) from ω* to ω̃, with eigenvalues at ``points`` places of the line."""
    shares = torch.linspace(0, 1, points).tolist()
    extremes = [
        lambda_max(loss, w + t * (other - w), generator=generator, steps=steps) for t in shares
    ]
    distance = float((other - w).norm())
    return Taylor(
        difference=float(loss(other)) - float(loss(w)),
        distance=distance,
        slope=float(gradient(loss, w) @ (other - w)),
        lambda_max=extremes[0].largest,
        bound=0.5 * extremes[0].largest * distance**2,
        steepest=max(found.largest for found in extremes),
        converged=all(found.converged for found in extremes),
    )


def orders(bound: float, truth: float) -> float:
    """Return log10(bound / |truth|): by how many orders of magnitude a bound is loose.

    Example:
        >>> orders(50.0, -0.5)
        2.0
    """
    return log10(bound / abs(truth)) if bound > 0 and truth != 0 else float("nan")
