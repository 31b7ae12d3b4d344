"""Attacks against a linear network, where the worst is known, and beside their peers."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from semirobust.attacks import noise
from semirobust.attacks.ball import evaluating, fooled, input_gradient, project, wrong
from semirobust.attacks.gradient import (
    FGSM,
    IFGSM,
    NFGSM,
    PGD,
    TRADES,
    from_name,
    iterations,
)
from semirobust.attacks.noise import Noise, sample_noise
from semirobust.attacks.objectives import dlr, dlr_towards, margin, towards

EPSILON = 0.05
SIGNED = [
    FGSM(epsilon=EPSILON),
    IFGSM(epsilon=EPSILON, step_size=0.02),
    PGD(epsilon=EPSILON, step_size=0.02),
    PGD(epsilon=EPSILON, step_size=0.02, loss="margin", restarts=3),
    PGD(epsilon=EPSILON, step_size=0.02, stop_when_fooled=True),
]
IN_THE_BALL = [*SIGNED, TRADES(epsilon=EPSILON, step_size=0.02)]


class Halfspace(nn.Module):
    """Two classes, logits (-s, s) with s = w·x, so that inf over the ball is closed form."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, x: Tensor) -> Tensor:
        s = x.flatten(1) @ self.w
        return torch.stack([-s, s], dim=1)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_network(seed: int = 0, classes: int = 5) -> nn.Sequential:
    """Convolution, batch norm with statistics of its own, classifier; weights from one seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU()),
            nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(6 * 36, classes)),
        )
        network(torch.rand(32, 3, 8, 8))
    return network


def batch(n: int = 12, classes: int = 5, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Images that reach both ends of the box, and labels."""
    x = (1.2 * torch.rand(n, 3, 8, 8, generator=draws(seed)) - 0.1).clamp(0, 1)
    return x, torch.randint(classes, (n,), generator=draws(seed))


@pytest.mark.parametrize("attack", SIGNED, ids=repr)
def test_reaches_the_exact_worst_margin(attack):
    w = torch.randn(3 * 64, generator=draws())
    network = Halfspace(w)
    x = 0.3 + 0.4 * torch.rand(9, 3, 8, 8, generator=draws(1))
    x = x + (5 * EPSILON - x.flatten(1) @ w).view(-1, 1, 1, 1) * (w / w.dot(w)).view(1, 3, 8, 8)
    x, y = x.clamp(EPSILON, 1 - EPSILON), torch.ones(9, dtype=torch.long)
    worst = margin(network(x), y) - 2 * EPSILON * w.abs().sum()  # dual norm of the inf-ball
    x_adv = attack(network, x, y, generator=draws())
    reached = margin(network(x_adv), y)
    if isinstance(attack, PGD) and attack.stop_when_fooled:
        assert torch.all(reached < 0)
        assert torch.all(reached >= worst - 1e-4)
    else:
        torch.testing.assert_close(reached, worst, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("attack", IN_THE_BALL, ids=repr)
@pytest.mark.parametrize("n", [1, 7])
@pytest.mark.parametrize("training", [True, False])
def test_stays_in_ball_and_box_and_leaves_the_network_as_it_was(attack, n, training):
    network, (x, y) = small_network().train(training), batch(n)
    network[0].eval()  # a part that its owner had frozen
    state = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    x_adv = attack(network, x, y, generator=draws())
    assert (x_adv - x).abs().max() <= EPSILON + 1e-6
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    assert not x_adv.requires_grad
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(state[name], value) for name, value in network.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("attack", [*IN_THE_BALL, NFGSM(epsilon=EPSILON)], ids=repr)
@pytest.mark.parametrize("size", [1, 7])
def test_a_sample_fares_the_same_in_every_batch(attack, size):
    network, (x, y) = small_network().double(), batch(20)
    x = x.double()
    whole = attack(network, x, y, generator=draws())
    generator = draws()
    parts = [
        attack(network, x[i : i + size], y[i : i + size], generator=generator)
        for i in range(0, len(x), size)
    ]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_asks_for_as_many_gradients_as_it_was_told():
    network, (x, y), calls = small_network().eval(), batch(), []
    attack = PGD(epsilon=EPSILON, step_size=0.01, steps=7)
    attack(lambda z: calls.append(z) or network(z), x, y, generator=draws())
    assert len(calls) == 7


def test_stopping_early_asks_less_of_the_network_and_fools_no_fewer():
    network, (x, y), rows = small_network().eval(), batch(40), []
    slow = PGD(epsilon=EPSILON, step_size=0.02)
    fast = PGD(epsilon=EPSILON, step_size=0.02, stop_when_fooled=True)
    counted = lambda z: rows.append(len(z)) or network(z)  # noqa: E731
    broken = fooled(network, fast(counted, x, y, generator=draws()), y)
    assert sum(rows) < slow.steps * len(x)
    assert torch.all(broken | ~fooled(network, slow(network, x, y, generator=draws()), y))


def test_restarts_never_lose_a_fooled_sample():
    network, (x, y) = small_network(3).eval(), batch(60)
    left = []
    for restarts in (1, 2, 5):
        attack = PGD(epsilon=0.01, step_size=0.004, steps=3, restarts=restarts)
        left.append(int((~fooled(network, attack(network, x, y, generator=draws()), y)).sum()))
    assert left == sorted(left, reverse=True)


def test_n_fgsm_leaves_the_ball_but_not_its_bound_or_the_box():
    x, y = batch()
    x_adv = NFGSM(epsilon=EPSILON)(small_network(), x, y, generator=draws())
    furthest = (x_adv - x).abs().max()
    assert EPSILON < furthest <= 3 * EPSILON + 1e-6
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1


def test_trades_raises_the_divergence_it_climbs():
    network, (x, y) = small_network().eval(), batch()
    clean = network(x).log_softmax(1)

    def divergence(z):
        return (clean.exp() * (clean - network(z).log_softmax(1))).sum(1)

    x_adv = TRADES(epsilon=EPSILON, step_size=0.02)(network, x, y, generator=draws())
    beside = project(x + EPSILON * torch.randn(x.shape, generator=draws()).sign(), x, EPSILON)
    assert torch.all(divergence(x_adv) > divergence(beside))


@pytest.mark.parametrize("training", [True, False])
def test_equals_torchattacks_sample_by_sample(training):
    import torchattacks

    network, (x, y) = small_network(), batch(30)
    step = EPSILON / 4
    pairs = [
        (FGSM(epsilon=EPSILON), torchattacks.FGSM(network, eps=EPSILON), {}),
        (
            IFGSM(epsilon=EPSILON, step_size=step),
            torchattacks.BIM(network, eps=EPSILON, alpha=step, steps=10),
            {},
        ),
        (
            PGD(epsilon=EPSILON, step_size=step),
            torchattacks.PGD(network, eps=EPSILON, alpha=step, steps=10, random_start=False),
            {"start": x},
        ),
    ]
    for ours, theirs, begin in pairs:
        network.train(training)
        mine = ours(network, x, y, generator=draws(), **begin)
        torch.testing.assert_close(mine, theirs(x, y), rtol=0, atol=1e-6)

    peer = torchattacks.PGD(network, eps=EPSILON, alpha=step, steps=10, random_start=True)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        noise = torch.empty_like(x).uniform_(-EPSILON, EPSILON)
        torch.manual_seed(5)
        theirs = peer(x, y)
    mine = pairs[2][0](network, x, y, generator=draws(), start=(x + noise).clamp(0, 1))
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


def test_the_same_generator_gives_the_same_bits_and_another_seed_others():
    network, (x, y) = small_network(), batch()
    attack = PGD(epsilon=EPSILON, steps=2)
    first, same, other = (attack(network, x, y, generator=draws(s)) for s in (3, 3, 4))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_noise_is_uniform_and_independent_between_samples_draws_and_positions():
    own = sample_noise(draws(), torch.zeros(400))
    u = own.uniform(500)
    counts = torch.histc(u, bins=100, min=0, max=1)
    assert ((counts - 2000) ** 2 / 2000).sum() < 150  # chi-square with 99 degrees of freedom
    assert u.min() >= 0
    assert u.max() < 1
    again = own.uniform(500, draw=1)
    elsewhere = own.stream(0).uniform(500)
    neighbours = [u.roll(1, 0), u.roll(1, 1), again, elsewhere]
    for other in neighbours:
        r = torch.corrcoef(torch.stack([u.flatten(), other.flatten()]))[0, 1]
        assert abs(r) < 0.01  # 4.5 standard errors


def scrambled(z):
    """Return SplitMix64's finaliser of a Python integer, as published."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return z ^ (z >> 31)


@pytest.mark.parametrize("piece", [noise.PIECE, 13, 1])
def test_noise_is_the_published_hash_however_many_numbers_are_made_at_a_time(piece, monkeypatch):
    monkeypatch.setattr(noise, "PIECE", piece)
    seeds, draw = [0, 5, 2**63 - 1], 3
    starts = [scrambled((scrambled(seed) + draw) % 2**64) for seed in seeds]
    bits = [
        [scrambled((start + i * 0x9E3779B97F4A7C15) % 2**64) >> 40 for i in range(12)]
        for start in starts
    ]
    found = Noise(torch.tensor(seeds)).uniform(3, 4, draw=draw)
    assert torch.equal(found, (torch.tensor(bits) / 2**24).view(3, 3, 4))


class Largest(TorchDispatchMode):
    """Notes the largest tensor of 64-bit integers that an operation returns."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.dtype == torch.int64:
            self.numbers = max(self.numbers, result.numel())
        return result


def test_noise_of_large_images_is_hashed_in_pieces():
    with Largest() as largest:
        Noise(torch.arange(40)).uniform(3, 224, 224)
    assert 0 < largest.numbers <= noise.PIECE < 40 * 3 * 224**2


def test_close_seeds_have_unrelated_noise():
    u = Noise(torch.arange(1000)).uniform(200)
    assert abs(torch.corrcoef(u[:100]).triu(1)).max() < 0.35
    assert abs(u.mean(1) - 0.5).max() < 0.1


def test_normal_noise_has_the_moments_of_a_normal():
    z = sample_noise(draws(), torch.zeros(300)).normal(1000)
    assert torch.isfinite(z).all()
    assert z.mean().abs() < 0.01
    assert z.std() == pytest.approx(1, abs=0.01)
    assert (z**4).mean() == pytest.approx(3, abs=0.1)


def test_integers_below_a_bound_reach_every_value():
    values = sample_noise(draws(), torch.zeros(50)).below(7, 40)
    assert values.unique().tolist() == list(range(7))


def test_projection_is_the_nearest_point_of_ball_and_box():
    x, x_adv = torch.tensor([[0.02, 0.5, 0.99]]), torch.tensor([[-1.0, 0.52, 2.0]])
    torch.testing.assert_close(project(x_adv, x, 0.05), torch.tensor([[0.0, 0.52, 1.0]]))


def test_the_2_ball_keeps_what_is_inside_and_shortens_what_is_not():
    x = torch.full((2, 4), 0.5)
    delta = torch.tensor([[0.01, 0, 0, 0], [0.3, 0.0, 0.4, 0]])
    moved = project(x + delta, x, 0.1, "2") - x
    torch.testing.assert_close(moved, delta * torch.tensor([[1.0], [0.2]]))


def test_gradient_is_the_one_of_the_summed_cross_entropy():
    w = torch.randn(12, generator=draws())
    x, y = torch.rand(4, 12, generator=draws()), torch.tensor([0, 1, 1, 0])
    s = x @ w
    by_hand = torch.where(y == 1, -2 * torch.sigmoid(-2 * s), 2 * torch.sigmoid(2 * s))
    network = Halfspace(w)
    with torch.no_grad():  # a caller without gradients is served as well
        gradient = input_gradient(network, x, y)
    torch.testing.assert_close(gradient, by_hand[:, None] * w)
    assert network.w.grad is None


def test_targeted_ratios_are_invariant_to_shift_and_scale_and_serve_few_classes():
    for classes in (3, 4, 10):
        logits = torch.randn(20, classes, generator=draws())
        y, t = torch.arange(20) % classes, (torch.arange(20) + 1) % classes
        for objective in (dlr, dlr_towards(t)):
            torch.testing.assert_close(objective(1000 * logits + 7, y), objective(logits, y))
    two, y = torch.randn(5, 2, generator=draws()), torch.zeros(5, dtype=torch.long)
    torch.testing.assert_close(dlr_towards(1 - y)(two, y), towards(1 - y)(two, y))
    torch.testing.assert_close(dlr(two, y), -margin(two, y))


def test_ties_and_nan_are_wrong_answers():
    logits = torch.tensor([[1.0, 1.0], [2.0, 1.0], [torch.nan, 1.0], [2.0, torch.nan]])
    assert wrong(logits, torch.zeros(4, dtype=torch.long)).tolist() == [True, False, True, True]


def test_evaluation_mode_ends_even_after_an_error_and_leaves_functions_alone():
    network = small_network().train()
    with evaluating(network):
        assert not any(module.training for module in network.modules())
    with pytest.raises(RuntimeError, match="mat1 and mat2"), evaluating(network):
        network(torch.zeros(1, 3, 9, 9))
    assert all(module.training for module in network.modules())
    with evaluating(lambda x: x):
        pass


def test_the_paper_s_settings_have_their_names():
    assert [iterations(epsilon) for epsilon in (8 / 255, 16 / 255, 32 / 255)] == [10, 20, 36]
    assert from_name("pgd") == PGD(epsilon=8 / 255, step_size=1 / 255, steps=10)
    assert from_name("i-fgsm", 32 / 255).steps == 36
    with pytest.raises(ValueError, match="known: fgsm, i-fgsm, pgd"):
        from_name("pdg")


@pytest.mark.parametrize("kind", [FGSM, IFGSM, PGD, NFGSM, TRADES])
def test_a_radius_in_bytes_is_refused_with_the_mend(kind):
    with pytest.raises(ValueError, match="write 8/255, not 8"):
        kind(epsilon=8)
    with pytest.raises(ValueError, match="write 8/255"):
        kind(epsilon=float("nan"))


def test_settings_that_do_nothing_are_refused():
    with pytest.raises(ValueError, match="steps must be at least 1 and whole"):
        PGD(epsilon=0.1, steps=0)
    with pytest.raises(ValueError, match=r"steps must be at least 1 and whole, got 2\.5"):
        PGD(epsilon=0.1, steps=2.5)
    PGD(epsilon=0.1, steps=np.int64(2))
    with pytest.raises(ValueError, match="loss must be one of cross-entropy"):
        PGD(epsilon=0.1, loss="hinge")


@pytest.mark.parametrize("bad", [2.0, -0.1, float("nan")])
def test_images_outside_the_box_are_refused(bad):
    x, y = batch()
    x[3, 1, 2, 2] = bad
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
        FGSM(epsilon=EPSILON)(small_network(), x, y, generator=draws())


def test_labels_outside_the_classes_are_refused():
    x, y = batch()
    attack = FGSM(epsilon=EPSILON)
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.4 for this network, got 5"):
        attack(small_network(), x, y.clamp_min(5), generator=draws())
    with pytest.raises(ValueError, match="got -5"):
        attack(small_network(), x, y - 5, generator=draws())
    with pytest.raises(ValueError, match="one label for every image"):
        attack(small_network(), x, y[:3], generator=draws())
