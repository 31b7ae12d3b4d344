"""MixTrain: schedules in closed form, bounds that are counted, training that certifies."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from semirobust import data
from semirobust.certified.bounds import BOUNDS, ball
from semirobust.certified.mixtrain import (
    CHAINS,
    Chain,
    MixTrain,
    OnBoxes,
    Verifiable,
    radius,
    verifiable,
    weight,
    with_boxes,
)
from semirobust.certified.operators import Box
from semirobust.data import Samples
from semirobust.experiments import mixtrain_settings as certified_settings
from semirobust.training.fitting import Run, Training, training_mode
from semirobust.training.methods import Batch, Plain

TINY = Chain(convolutions=((4, 3, 1),), hidden=(8,), size=4, channels=1, classes=3)


def batch_of(count, generator, epoch=1):
    x = torch.rand(count, 1, 4, 4, generator=generator)
    y = torch.randint(3, (count,), generator=generator)
    return Batch(x, y, torch.arange(count), epoch, {}, generator)


def test_schedules_have_their_closed_forms():
    for epoch in range(1, 80):
        grown = 0.1 * 2.5 ** math.floor(max(epoch - 15, 0) / 5)
        assert weight(epoch, ramp=15) == pytest.approx(min(50, grown))
        assert radius(0.3, epoch, 15) == pytest.approx(0.3 * min(1, epoch / 15))


def test_bounds_are_computed_for_k_samples_in_a_share_p_of_the_steps(generator):
    """Mean p k n / B; a step has k bounds or none, so the variance is k^2 p (1 - p) a step."""
    n, size, k, p = 1600, 8, 3, 0.8
    samples = Samples(torch.rand(n, 1, 4, 4, generator=generator), torch.arange(n) % 3)
    method = MixTrain(epsilon=0.01, k=k, probability=p, bound="ibp")
    network = TINY.build()
    run = Run(network, samples, Training(epochs=1, method=method, batch=size), 0)
    with training_mode(network, 0):
        run.epoch(1)
    steps = n / size
    spread = k * math.sqrt(steps * p * (1 - p))
    assert abs(int(run.memory["bounds"]) - p * k * steps) < 3 * spread


def test_every_sample_is_bounded_where_k_is_none_and_by_the_baselines(generator):
    for method in (MixTrain(epsilon=0.1, k=None, probability=1.0), Verifiable(epsilon=0.1)):
        batch = batch_of(7, generator)
        method(TINY.build(), batch)
        assert int(batch.memory["bounds"]) == 7


def test_a_step_is_the_regular_loss_plus_the_weighted_verifiable_one(generator):
    network, batch = TINY.build(), batch_of(6, generator, epoch=20)
    method = MixTrain(epsilon=0.05, k=None, probability=1.0)
    regular = cross_entropy(network(batch.x), batch.y)
    robust = verifiable(network, ball(batch.x, 0.05), batch.y, "zonotope")
    assert torch.allclose(method(network, batch), regular + 0.625 * robust)


def test_a_share_of_the_steps_is_regular_training(generator):
    network = TINY.build()
    method = MixTrain(epsilon=0.05, k=1, probability=0.5, bound="ibp")
    plain = 0
    for _ in range(60):
        batch = batch_of(6, generator)
        if torch.equal(method(network, batch), Plain()(network, batch)):
            plain += 1
    assert 15 <= plain <= 45


def test_the_verifiable_loss_is_never_below_the_loss_of_a_point_in_the_ball(generator):
    network, batch = TINY.build(seed=1), batch_of(9, generator)
    inside = (batch.x + 0.05 * (2 * torch.rand(batch.x.shape, generator=generator) - 1)).clamp(0, 1)
    least = cross_entropy(network(inside), batch.y)
    for bound in BOUNDS:
        assert verifiable(network, ball(batch.x, 0.05), batch.y, bound) >= least


def test_baselines_begin_at_the_clean_loss_and_end_in_the_mixture(generator):
    network, method = TINY.build(), Verifiable(epsilon=0.1, ramp=1000)
    batch = batch_of(8, generator)
    clean = Plain()(network, batch)
    assert torch.allclose(method(network, batch), clean, atol=1e-2)
    late = batch._replace(epoch=1000)
    robust = verifiable(network, ball(batch.x, 0.1), batch.y, "ibp")
    assert torch.allclose(method(network, late), 0.5 * clean + 0.5 * robust)


def test_training_on_boxes_without_width_is_training_on_points(generator):
    network, batch = TINY.build(), batch_of(8, generator)
    points = with_boxes(batch.x, Box(batch.x, batch.x))
    found = OnBoxes(ramp=1)(network, batch._replace(x=points))
    assert torch.allclose(found, Plain()(network, batch), atol=1e-6)


def test_tight_weights_have_the_deviation_of_shi_and_leave_the_global_generator_alone():
    network = CHAINS["mnist-small"].build(seed=3, tight=True)
    layer = network[2][1]
    assert layer.weight.std().item() == pytest.approx(math.sqrt(2 * math.pi) / 1568, rel=0.02)
    assert torch.equal(layer.weight, CHAINS["mnist-small"].build(seed=3, tight=True)[2][1].weight)
    assert not layer.bias.any()


@pytest.mark.parametrize("name", CHAINS)
def test_chains_give_ten_logits_link_by_link(name):
    chain = CHAINS[name]
    network = chain.build()
    assert len(network) == len(chain.convolutions) + len(chain.hidden) + 1
    assert network(torch.zeros(2, chain.channels, chain.size, chain.size)).shape == (2, 10)


def test_digits_of_eight_pixels_are_those_that_the_large_ones_are_made_of():
    small, large = data.load("digits", size=8), data.load("digits")
    assert small.test.images.shape == (500, 1, 8, 8)
    assert torch.equal(small.test.labels, large.test.labels)
    assert (small.test.x.mean((1, 2, 3)) - large.test.x.mean((1, 2, 3))).abs().max() < 0.01


def test_settings_that_cannot_be_meant_are_refused():
    with pytest.raises(ValueError, match="k >= 1"):
        MixTrain(epsilon=0.1, k=0)
    with pytest.raises(ValueError, match="8/255"):
        MixTrain(epsilon=8)
    with pytest.raises(ValueError, match="ibp, crown-ibp, zonotope"):
        Verifiable(epsilon=0.1, bound="exact")
    with pytest.raises(ValueError, match="share"):
        Verifiable(epsilon=0.1, clean=2)
    with pytest.raises(ValueError, match="unknown method"):
        certified_settings.method_of("magic", 0.1, 10, 5)
    with pytest.raises(ValueError, match="unknown chain"):
        certified_settings.architecture("resnet")
