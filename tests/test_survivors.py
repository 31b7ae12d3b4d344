"""What seeded bugs once survived: each of these stops one of them (``tests/mutants.py``)."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from semirobust import data, models
from semirobust.attacks.gradient import PGD
from semirobust.certified.mixtrain import MixTrain
from semirobust.evaluation.report import robust_accuracy
from semirobust.experiments.mixtrain_settings import ON_DIGITS
from semirobust.training.fitting import Training, fit


@pytest.fixture(scope="module")
def few():
    return data.subset(data.load("digits").train, 60)


def test_ramp_and_growth_of_the_weight_reach_the_method():
    row = replace(ON_DIGITS, method="mixtrain-5", ramp=7, every=3)
    assert row.training.method == MixTrain(epsilon=0.1, k=5, ramp=7, every=3)


def test_the_loss_of_an_epoch_counts_every_sample_alike(few):
    """With weights that all but stand still, the mean over 25 and 5 samples is that of all 30."""
    some = data.subset(few, 30)
    network = models.build("mlp", width=0.1)
    settings = Training(epochs=1, batch=25, learning_rate=1e-12, momentum=0.0, weight_decay=0.0)
    with torch.no_grad():
        expected = float(cross_entropy(network(some.x), some.y))
    (epoch,) = fit(network, some, settings)
    assert epoch.loss == pytest.approx(expected, rel=1e-5)


def test_a_last_batch_of_one_sample_takes_no_step(few):
    network, other = (models.build("mlp", width=0.1) for _ in range(2))
    one_left, none_left = data.subset(few, 41), Training(epochs=1, batch=20)
    steps = []
    network.register_forward_pre_hook(lambda _, args: steps.append(len(args[0])))
    list(fit(network, one_left, none_left))
    assert steps == [20, 20]
    steps.clear()
    with pytest.raises(ValueError, match=r"2 samples|2 images"):
        list(fit(other, few.take(torch.tensor([0])), none_left))


def test_every_restart_searches_what_is_left(few):
    rows = []
    plain = models.build("mlp", width=0.1)

    def network(x):
        rows.append(len(x))
        return plain(x)

    y, counts = plain(few.x).argmax(dim=1), []  # nothing is fooled at this radius
    for restarts in (1, 3):
        rows.clear()
        attack = PGD(epsilon=1e-6, step_size=1e-6, steps=2, restarts=restarts)
        attack(network, few.x, y, generator=torch.Generator().manual_seed(0))
        counts.append(sum(rows))
    assert counts[1] >= 3 * counts[0]


class Wavering(nn.Module):
    """Answers rightly, except when it is asked last."""

    def __init__(self, calls):
        super().__init__()
        self.left, self.total = calls, 0

    def forward(self, x):
        self.left, self.total = self.left - 1, self.total + 1
        right = nn.functional.one_hot((x[:, 0, 0, 0] * 10).long(), 10).to(x.dtype)
        return right if self.left else -right


def test_what_stood_is_asked_again_at_the_end():
    x = torch.full((4, 1, 1, 1), 0.35)
    y = torch.full((4,), 3)

    def nothing(network, x, y, *, generator):
        return x

    counted = Wavering(10**6)
    robust_accuracy(counted, x, y, nothing)
    for asked in range(1, counted.total + 1):
        report = robust_accuracy(Wavering(asked), x, y, nothing)
        if not report.standing.any() and report.clean.all() and not report.broken["function"].any():
            break  # only the last question was answered wrongly, and it counts
    else:
        pytest.fail("no answer at the end changed what stands")
