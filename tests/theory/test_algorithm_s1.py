"""Linear connectivity: exact where the last layer is a linear combination of earlier ones."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from semirobust import data, models
from semirobust.attacks.gradient import FGSM
from semirobust.data import Samples
from semirobust.layers import compose
from semirobust.theory import algorithm_s1
from semirobust.theory.algorithm_s1 import Combination
from semirobust.training.fitting import accuracy


@pytest.fixture
def network(generator):
    """A small network whose last link has no bias: linear in the layer before it."""
    chain = models.build("cnn", width=0.25, seed=1)
    chain[-1][1].bias.data.zero_()
    return chain


@pytest.fixture(scope="module")
def digits():
    found = data.load("digits")
    return data.subset(found.train, 150), data.subset(found.test, 60)


def test_the_rows_are_all_layers_side_by_side(network, digits):
    rows = algorithm_s1.stacked_activations(compose(network, 1, 3), digits[1].x[:2])
    assert rows.shape == (2, 4 * 16 * 16 + 8 * 8 * 8 + 25)
    torch.testing.assert_close(rows[:, -25:], compose(network, 1, 3)(digits[1].x[:2]))


@pytest.mark.parametrize(("n", "d"), [(20, 6), (6, 20), (7, 7), (1, 3)])
def test_solving_equals_the_pseudo_inverse(n, d, generator):
    A, b = (torch.randn(n, k, generator=generator).double() for k in (d, 3))
    torch.testing.assert_close(algorithm_s1.solve(A, b), torch.linalg.pinv(A) @ b)


def test_solving_takes_the_least_norm_where_columns_repeat(generator):
    column = torch.randn(9, 1, generator=generator).double()
    found = algorithm_s1.solve(column.repeat(1, 4), 8 * column)
    torch.testing.assert_close(found, torch.full((4, 1), 2.0).double())


@pytest.mark.parametrize(("n", "d"), [(30, 8), (12, 40)])
def test_ridge_has_the_penalty_of_least_leave_one_out_error(n, d, generator):
    """Against solving without each row in turn, for every penalty."""
    A, b = (torch.randn(n, k, generator=generator).double() for k in (d, 2))
    b = A[:, :1] @ torch.ones(1, 2).double() + b
    alphas = algorithm_s1.PENALTIES * torch.linalg.eigvalsh(A @ A.T).mean()

    def fitted(rows, targets, alpha):
        gram = rows.T @ rows + alpha * torch.eye(d).double()
        return torch.linalg.solve(gram, rows.T @ targets)

    errors = []
    for alpha in alphas:
        kept = [torch.arange(n) != i for i in range(n)]
        missed = [b[i] - A[i] @ fitted(A[keep], b[keep], alpha) for i, keep in enumerate(kept)]
        errors.append(torch.stack(missed).square().mean())
    least = alphas[int(torch.stack(errors).argmin())]
    torch.testing.assert_close(algorithm_s1.ridge(A, b), fitted(A, b, least), rtol=1e-4, atol=1e-6)


def test_ridge_finds_the_law_in_noise_that_the_least_norm_fits_exactly(generator):
    A = torch.randn(100, 200, generator=generator).double()
    law = torch.zeros(200, 1).double()
    law[:3] = 1
    b = A @ law + 5 * torch.randn(100, 1, generator=generator).double()
    exact, penalised = algorithm_s1.solve(A, b), algorithm_s1.ridge(A, b)
    torch.testing.assert_close(A @ exact, b)
    assert (penalised - law).norm() < 0.7 * (exact - law).norm()


def test_a_last_layer_that_is_linear_in_f_a_is_found_exactly(network, digits):
    """More training images than columns: the λ is the network's own last weight."""
    thin = nn.Sequential(compose(network, 1, 3), network[-1])
    coefficients = algorithm_s1.coefficients(thin, 1, digits[0], batch=150)
    combination = Combination(thin, 1, coefficients)
    torch.testing.assert_close(combination(digits[1].x), thin(digits[1].x), atol=1e-3, rtol=1e-3)


def test_the_honest_score_of_a_linear_last_layer_is_the_networks(network, digits):
    thin = nn.Sequential(compose(network, 1, 3), network[-1])
    found = list(algorithm_s1.scores(thin, [1], *digits, FGSM(epsilon=0.03), batch=60))
    honest = found[1]
    assert honest.solved_on == "training images"
    assert honest.clean == accuracy(thin, digits[1])
    assert honest.whitebox == honest.transfer


def test_a_batch_smaller_than_the_columns_fits_any_targets(network, digits, generator):
    """Why λ may not be solved on what it is scored on: nonsense is fitted too."""
    rows = algorithm_s1.stacked_activations(compose(network, 1, 2), digits[1].x).detach()
    nonsense = torch.randn(len(rows), 10, generator=generator)
    found = algorithm_s1.solve(rows, nonsense)
    torch.testing.assert_close(rows @ found, nonsense, atol=1e-2, rtol=1e-2)


def test_the_average_over_batches_weighs_each_once(network, digits):
    whole = digits[1]
    parts = [whole.take(torch.arange(60) < 30), whole.take(torch.arange(60) >= 30)]
    one, two = (algorithm_s1.coefficients(network, 1, part) for part in parts)
    both = algorithm_s1.coefficients(network, 1, whole, batch=30)
    torch.testing.assert_close(both, (one + two) / 2)


def test_the_attack_through_the_combination_is_no_weaker_than_transfer(network, digits):
    found = list(algorithm_s1.scores(network, [1, 2], *digits, FGSM(epsilon=0.1), batch=30))
    assert [(row.a, row.solved_on) for row in found[:5]] == [
        (1, "scored images"),
        (1, "training images"),
        (1, "random numbers"),
        (1, "training images, ridge"),
        (2, "scored images"),
    ]
    assert all(row.whitebox <= row.transfer for row in found)
    assert any(row.whitebox < row.transfer - 0.1 for row in found)  # it is another attack


def test_random_coefficients_have_the_norm_of_the_solution(generator):
    solution = torch.randn(40, 10, generator=generator)
    control = algorithm_s1.random_coefficients(solution, generator=generator)
    assert control.norm() == pytest.approx(solution.norm().item())
    assert not torch.allclose(control, solution)


def test_a_combination_gives_gradients_to_the_input_only(network, digits):
    combination = Combination(network, 2, algorithm_s1.coefficients(network, 2, digits[1]))
    x = digits[1].x[:3].requires_grad_()
    combination(x).sum().backward()
    assert x.grad.abs().sum() > 0
    assert not combination.coefficients.requires_grad


def test_the_published_constant_counts_the_pairs_of_layers_in_f_b():
    for a, n in ((1, 2), (2, 6), (5, 9)):
        pairs = sum(1 for j in range(a + 1, n + 1) for i in range(a + 1, j))
        assert algorithm_s1.published_constant(0.5, a, n) == 0.5 * pairs


def test_repeating_lemma_two_doubles():
    found = algorithm_s1.recursive_constants([0.3, 0.1, 0.2], 9)
    assert found[3] == pytest.approx(0.6)
    assert all(after == pytest.approx(2 * before) for before, after in pairwise(found[3:]))


def test_refused_arguments(network, digits):
    with pytest.raises(ValueError, match="1 <= a < n, got a=3, n=3"):
        algorithm_s1.published_constant(1.0, 3, 3)
    with pytest.raises(ValueError, match="1 <= a < n, got a=3, n=2"):
        algorithm_s1.recursive_constants([1.0, 1.0, 1.0], 2)
    with pytest.raises(ValueError, match="1 <= i <= j <= n"):
        algorithm_s1.coefficients(network, 9, Samples(digits[1].images, digits[1].labels))
