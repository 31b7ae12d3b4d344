"""Theorem 3, Lemma 2, Algorithm S1: the last layer as a linear combination of those of f_a.

With F_a the activations of all layers of f_a side by side and F_n the network's outputs, λ solves

    F_a λ = F_n    (least squares of least norm, batch by batch; the mean of λ over the batches)

and x -> F_a(x) λ is a classifier of its own, without f_b.

Departures. As published, λ is solved on the very test images it is scored on, and the attacked
images are those made for the deep network. Where a batch has fewer images than F_a has columns, it
is fitted exactly, whatever the targets are. So the same is done with λ from training images, and
the attack goes through the combination that is scored. λ of random numbers is the control. Where
the training images are fewer than the columns, the λ of least norm fits them exactly too: ridge
regression stands beside it, its penalty chosen on the training images alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from semirobust.attacks.ball import evaluating, perturbed_batches
from semirobust.data import Samples, batches
from semirobust.layers import activations, compose
from semirobust.training.fitting import accuracy
from semirobust.types import Attack, Classifier, Features, Images

Solved = Literal["scored images", "training images", "random numbers", "training images, ridge"]
BATCH = 250  # images that are scored at once
PENALTIES = torch.logspace(-8, 2, 31, dtype=torch.float64)  # times the mean eigenvalue
RELATIVE = 1e-10  # eigenvalues of a Gram matrix below this share of the largest count as zero


def stacked_activations(f_a: nn.Sequential, x: Images) -> Features:
    """Return the activations of all layers of f_a, flattened side by side: the rows of F_a."""
    return torch.cat([h.flatten(1) for h in activations(f_a, x).values()], dim=1)


def solve(F_a: Features, F_n: Tensor) -> Tensor:
    """Return the λ of least norm among those with the least ‖F_a λ - F_n‖.

    Example:
        >>> solve(torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0]]))
        tensor([[1.],
                [1.]])
    """
    A, b = F_a.double(), F_n.double()
    if len(A) <= A.shape[1]:
        x = A.T @ (torch.linalg.pinv(A @ A.T, rtol=RELATIVE, hermitian=True) @ b)
    else:
        x = torch.linalg.pinv(A.T @ A, rtol=RELATIVE, hermitian=True) @ (A.T @ b)
    return x.to(F_a.dtype)


def ridge(F_a: Features, F_n: Tensor) -> Tensor:
    """Return the λ of least ‖F_a λ - F_n‖² + α ‖λ‖², with the α of least leave-one-out error.

    That error has a closed form: with K = F_a F_aᵀ + α, row i is missed by (K⁻¹ F_n)_i / (K⁻¹)_ii.
    """
    A, b = F_a.double(), F_n.double()
    values, vectors = torch.linalg.eigh(A @ A.T)
    best, dual = torch.inf, b
    for alpha in PENALTIES.to(values) * values.mean():
        inverse = 1 / (values.clamp_min(0) + alpha)
        solved = vectors @ (inverse[:, None] * (vectors.T @ b))
        missed = solved / (vectors.square() @ inverse)[:, None]
        error = float(missed.square().mean())
        if error < best:
            best, dual = error, solved
    return (A.T @ dual).to(F_a.dtype)


class Combination(nn.Module):
    """x -> F_a(x) λ: a classifier that is linear in the layers of f_a, attacked as a whole."""

    def __init__(self, network: nn.Sequential, a: int, coefficients: Tensor) -> None:
        super().__init__()
        self.f_a = compose(network, 1, a)
        self.coefficients: Tensor
        self.register_buffer("coefficients", coefficients)

    def forward(self, x: Images) -> Tensor:
        return stacked_activations(self.f_a, x) @ self.coefficients


@torch.no_grad()
def coefficients(
    network: nn.Sequential,
    a: int,
    samples: Samples,
    *,
    batch: int = 128,
    solved: Callable[[Features, Tensor], Tensor] = solve,
) -> Tensor:
    """Return λ, solved on each batch of the samples and averaged over the batches as published."""
    f_a, total, count = compose(network, 1, a), torch.zeros(()), 0
    with evaluating(network):
        for x, _, _ in batches(samples, batch):
            total = total + solved(stacked_activations(f_a, x), network(x))
            count += 1
    return total / count


def random_coefficients(solution: Tensor, *, generator: Generator) -> Tensor:
    """Return the control: normal coefficients of the same norm."""
    drawn = torch.randn(solution.shape, generator=generator).to(solution)
    return drawn * solution.norm() / drawn.norm()


@dataclass(frozen=True)
class Score:
    """The accuracies of a combination.

    ``transfer`` is on images attacked for the deep network, as published, ``whitebox`` on images
    attacked through the combination itself.
    """

    a: int
    solved_on: Solved
    clean: float
    transfer: float
    whitebox: float


def scores(
    network: nn.Sequential,
    cuts: Sequence[int],
    train: Samples,
    test: Samples,
    attack: Attack,
    *,
    batch: int = 128,
    seed: int = 0,
) -> Iterator[Score]:
    """Yield the scores of each cut with λ solved on scored images, on training images, and random.

    "Scored images" solves one λ for the clean images and one for those attacked for the network,
    each on what it is then scored on, ``batch`` at a time as published; its white-box attack goes
    through the second. The honest λ is solved on all training images at once, with and without a
    penalty.
    """
    generator = Generator().manual_seed(seed)
    transfer = attacked(network, test, attack, generator=generator)
    for a in cuts:
        own = [coefficients(network, a, scored, batch=batch) for scored in (test, transfer)]
        honest, penalised = (
            coefficients(network, a, train, batch=len(train), solved=by) for by in (solve, ridge)
        )
        drawn, apart = random_coefficients(honest, generator=generator), Generator()
        solved: list[tuple[Solved, list[Tensor], Generator]] = [
            ("scored images", own, generator),
            ("training images", [honest] * 2, generator),
            ("random numbers", [drawn] * 2, generator),
            # its own numbers leave those of the others as they are in older records
            ("training images, ridge", [penalised] * 2, apart.manual_seed(seed)),
        ]
        for name, (for_clean, for_attacked), draw in solved:
            combination = Combination(network, a, for_attacked)
            whitebox = attacked(combination, test, attack, generator=draw)
            yield Score(
                a=a,
                solved_on=name,
                clean=accuracy(Combination(network, a, for_clean), test, batch=BATCH),
                transfer=accuracy(combination, transfer, batch=BATCH),
                whitebox=accuracy(combination, whitebox, batch=BATCH),
            )


def attacked(
    network: Classifier, samples: Samples, attack: Attack, *, generator: Generator
) -> Samples:
    images = perturbed_batches(network, samples, attack, generator=generator)
    return Samples(torch.cat([x_adv for x_adv, _ in images]), samples.labels)


def published_constant(gamma_a: float, a: int, n: int) -> float:
    """Return gamma_b of Theorem 3, gamma_a (n - 1 - a)(n - a) / 2: gamma_a for each pair in f_b.

    Example:
        >>> [published_constant(1.0, 2, n) for n in (3, 4, 5)]
        [0.0, 1.0, 3.0]
    """
    if not 1 <= a < n:
        raise ValueError(f"need 1 <= a < n, got a={a}, n={n}")
    return gamma_a * (n - 1 - a) * (n - a) / 2


def recursive_constants(gammas: Sequence[float], n: int) -> list[float]:
    """Return gamma_1..gamma_n with gamma_j the sum of all before it for j > a: Lemma 2, repeated.

    From a + 2 on each constant is twice the one before.

    Example:
        >>> recursive_constants([1.0, 1.0], 5)
        [1.0, 1.0, 2.0, 4.0, 8.0]
    """
    if not 1 <= len(gammas) < n:
        raise ValueError(f"need 1 <= a < n, got a={len(gammas)}, n={n}")
    constants = list(gammas)
    while len(constants) < n:
        constants.append(sum(constants))
    return constants
