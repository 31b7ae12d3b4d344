"""InfoNCE against what it must be, and a training that raises it."""

from math import log2

import pytest
import torch

from semirobust import models
from semirobust.data import Part, select
from semirobust.layers import activations
from semirobust.training.dependent import Dependent
from semirobust.training.fitting import Training, fit
from semirobust.training.methods import Batch, Plain


def batch(n=60):
    samples = select(Part(train=n)).train
    generator = torch.Generator().manual_seed(0)
    return Batch(samples.x, samples.y, torch.arange(n), 1, {}, generator)


def test_information_is_at_most_log_of_the_images_of_a_class_and_nothing_between_strangers():
    y = torch.arange(400) % 4
    generator = torch.Generator().manual_seed(0)
    u, v = torch.randn(2, 400, 30, generator=generator)
    method = Dependent(a=1, weight=1.0)
    assert 5 < float(method.information(u, u, y)) <= log2(100)
    assert float(method.information(u, v, y)) < 0


def test_what_only_the_class_tells_counts_nothing():
    """Within a class all images are alike, so the classes themselves must not be counted."""
    y = torch.arange(400) % 4
    h = torch.eye(4)[y] + 1e-9
    assert abs(float(Dependent(a=1, weight=1.0).information(h, h, y))) < 1e-4


def test_without_weight_it_is_the_plain_loss():
    network, given = models.build("cnn", width=0.25), batch()
    found = Dependent(a=2, weight=0.0)(network, given)
    assert torch.equal(found, Plain()(network, given))


def test_training_with_it_raises_it():
    samples = select(Part(train=200)).train
    found = {}
    for weight in (0.0, 3.0):
        network = models.build("cnn", width=0.5)
        method = Dependent(a=2, weight=weight)
        training = Training(epochs=6, learning_rate=0.05, batch=50, method=method)
        assert len(list(fit(network, samples, training, a=2))) == 6
        h = activations(network, samples.x)
        found[weight] = float(method.information(h[2], h[3], samples.y).detach())
    assert found[3.0] > found[0.0] + 0.2


@pytest.mark.parametrize("wrong", [{"a": 0}, {"weight": -1.0}, {"temperature": 0.0}])
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match="need a >= 1"):
        Dependent(**({"a": 1, "weight": 1.0} | wrong))
