"""Laws that hold whatever is drawn: keys, balls, attacks, estimates, bounds."""

import dataclasses
import json
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from semirobust import Edge, Training, splice, split
from semirobust.attacks import APGD, FAB, FGSM, NFGSM, PGD, CarliniWagner, Square
from semirobust.certified import BOUNDS, ball, margins
from semirobust.results import key

quick = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
seeds = st.integers(0, 2**31 - 1)


def network(seed, scale=1.0, inputs=12, hidden=(8, 6), classes=3):
    """Return a random chain of linear links on images of 3 x 2 x 2 pixels."""
    generator = torch.Generator().manual_seed(seed)
    sizes = (inputs, *hidden, classes)
    links = []
    for number, (m, n) in enumerate(pairwise(sizes), start=1):
        linear = nn.utils.skip_init(nn.Linear, m, n)
        with torch.no_grad():
            linear.weight.normal_(0, scale * m**-0.5, generator=generator)
            linear.bias.normal_(0, 0.1, generator=generator)
        links.append(nn.Sequential(nn.Flatten(), linear, *[nn.ReLU()] * (number <= len(hidden))))
    return nn.Sequential(*links).eval()


def images(seed, n=6):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 3, 2, 2, generator=generator)
    x[0], x[1] = 0.0, 1.0  # corners of the unit box
    return x, torch.randint(3, (n,), generator=generator)


# Keys


@quick
@given(st.integers(1, 10**6), st.floats(1e-6, 10), st.booleans(), seeds)
def test_equal_settings_have_equal_keys_and_survive_json(epochs, rate, augment, seed):
    one = Training(epochs=epochs, learning_rate=rate, augment=augment, seed=seed)
    same = Training(epochs=float(epochs), learning_rate=rate, augment=int(augment), seed=seed)
    assert key(one) == key(same) == key(dataclasses.replace(one))
    assert key(dataclasses.replace(one, epochs=epochs + 1)) != key(one)
    described = json.loads(json.dumps(dataclasses.asdict(one)))
    assert described["learning_rate"] == rate


# Splicing


@quick
@given(seeds, seeds, st.integers(1, 2))
def test_a_spliced_network_is_the_front_then_the_back(first, second, a):
    front, back = network(first), network(second)
    x, _ = images(first)
    h = split(front, a)[0](x)
    assert torch.equal(splice(front, back, a)(x), split(back, a)[1](h))
    assert torch.equal(splice(front, front, a)(x), front(x))


# Attacks

ATTACKS = (
    lambda eps: FGSM(epsilon=eps),
    lambda eps: NFGSM(epsilon=eps / 3),  # its noise and its step may leave the ball of its epsilon
    lambda eps: PGD(epsilon=eps, step_size=eps / 4, steps=3),
    lambda eps: PGD(epsilon=eps, step_size=eps / 4, steps=3, restarts=2, stop_when_fooled=True),
    lambda eps: APGD(epsilon=eps, steps=5),
    lambda eps: FAB(epsilon=eps, steps=3),
    lambda eps: Square(epsilon=eps, queries=20),
)


@pytest.mark.parametrize("made", ATTACKS)
@quick
@given(seeds, st.floats(1e-4, 1.0), st.sampled_from([1e-8, 1.0, 1e4]))
def test_attacked_images_stay_in_ball_and_box_detached_and_finite(made, seed, epsilon, scale):
    x, y = images(seed)
    generator = torch.Generator().manual_seed(seed)
    asked = x.clone().requires_grad_()
    x_adv = made(epsilon)(network(seed, scale), asked, y, generator=generator)
    assert not x_adv.requires_grad
    assert torch.isfinite(x_adv).all()
    assert float((x_adv - x).abs().max()) <= epsilon * (1 + 1e-6) + 1e-7
    assert 0 <= float(x_adv.min()) <= float(x_adv.max()) <= 1


@quick
@given(seeds, st.sampled_from([1e-8, 1.0, 1e4]))
def test_a_minimal_attack_stays_in_the_box_detached_and_finite(seed, scale):
    x, y = images(seed)
    attack = CarliniWagner(steps=5, searches=2)
    x_adv = attack(network(seed, scale), x, y, generator=torch.Generator().manual_seed(seed))
    assert not x_adv.requires_grad
    assert torch.isfinite(x_adv).all()
    assert 0 <= float(x_adv.min()) <= float(x_adv.max()) <= 1


# EDGE


@quick
@given(seeds, st.integers(4, 60), st.integers(1, 5), st.integers(1, 5), st.floats(-8, 8))
def test_an_estimate_is_finite_and_below_the_ceiling_of_its_samples(seed, n, p, q, power):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, p)) * 10.0**power, rng.normal(size=(n, q))
    classes = np.arange(n) % max(1, n // 6)  # of 4 to 11 samples
    # the published estimate of constant codes is 0.001
    for edge in (Edge(permutations=2), Edge.preset("paper", permutations=2)):
        for other in (y, x, x[:, :1] > 0):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                found = edge(x, other, classes)
            assert np.isfinite(found.value)
            assert found.value <= found.ceiling + (edge.lower or 1e-9)
            assert 0 <= found.ceiling <= np.log2(max(found.samples.values())) + 1e-9
            assert found.null_mean <= found.ceiling + (edge.lower or 1e-9)
            assert 0 < found.p <= 1


# Bounds


@pytest.mark.parametrize("bound", list(BOUNDS))
@quick
@given(seeds, st.floats(1e-3, 0.5), st.sampled_from([0.1, 1.0, 10.0]))
def test_no_point_of_the_ball_has_a_smaller_margin_than_its_bound(bound, seed, epsilon, scale):
    chain = network(seed, scale)
    x, y = images(seed)
    certified = margins(chain, ball(x, epsilon), y, bound)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(20):
        corner = torch.sign(torch.rand(x.shape, generator=generator) - 0.5)
        point = (x + epsilon * corner).clamp(0, 1)
        with torch.no_grad():
            logits = chain(point)
        apart = logits.gather(1, y[:, None]) - logits
        slack = 1e-5 * float(logits.abs().max())
        assert bool((certified <= apart + slack).all())
