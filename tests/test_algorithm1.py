"""Algorithm 1, fed a script of accuracies: nothing is trained here."""

import pytest
from torch import nn

from semirobust import models
from semirobust.algorithm1 import Algorithm1, Trial, best, rho, trials
from semirobust.training.fitting import Epoch

ROBUST, STANDARD = models.build("mlp", width=0.1), models.build("mlp", width=0.1, seed=1)


def outcomes(script, **chosen):
    """Run with a list of accuracies per trial: the spliced network's, then one an epoch."""
    tuned = []
    settings = Algorithm1(a=1, trials=len(script), **chosen)
    started = iter(script)

    def tune(_network, number):
        tuned.append(number)
        for epoch, validation in enumerate(script[number][1:], start=1):
            yield Epoch(epoch, 0.0, validation)

    def accuracy(_network):
        return next(started)[0]

    found = list(
        trials(
            settings,
            ROBUST,
            STANDARD,
            target=0.8,
            tune=tune,
            accuracy=accuracy,
            measure=lambda _: {2: 1.0, 3: 2.0},
        )
    )
    return found, tuned


def test_a_trial_stops_at_the_first_epoch_that_reaches_the_target():
    (trial,), _ = outcomes([[0.1, 0.5, 0.8, 0.9]])
    assert (trial.epochs, trial.accuracy, trial.spliced_accuracy) == (2, 0.8, 0.1)
    assert trial.accuracies == (0.1, 0.5, 0.8)


def test_zero_epochs_is_not_failure():
    (trial,), tuned = outcomes([[0.85, 0.9]])
    assert (trial.epochs, trial.accuracy, tuned) == (0, 0.85, [])


def test_a_target_that_is_never_reached_is_none():
    (trial,), _ = outcomes([[0.1, 0.5, 0.79]])
    assert (trial.epochs, trial.accuracy) == (None, 0.79)


def test_the_tolerance_lowers_the_target():
    (trial,), _ = outcomes([[0.1, 0.5, 0.79]], tolerance=0.25)
    assert trial.epochs == 2


def test_every_trial_starts_from_the_spliced_network_and_is_kept():
    found, tuned = outcomes([[0.1, 0.2], [0.1, 0.3], [0.1, 0.25]])
    assert tuned == [0, 1, 2]
    assert best(found).number == 1
    assert len({id(trial.network) for trial in found}) == 3
    assert all(isinstance(trial.network, nn.Sequential) for trial in found)


def test_rho_is_the_smallest_of_the_trials_or_that_of_the_best():
    def trial(number, accuracy, values):
        return Trial(number, 0.0, accuracy, None, (accuracy,), values, ROBUST)

    found = [trial(0, 0.7, {2: 1.0, 3: 4.0}), trial(1, 0.8, {2: 2.0, 3: 3.0})]
    assert rho(found) == {2: 1.0, 3: 3.0}
    assert rho(found, "best") == {2: 2.0, 3: 3.0}


def test_settings_that_cannot_be_meant_are_refused():
    with pytest.raises(ValueError, match=r"write 0\.02 for 2 points"):
        Algorithm1(a=1, tolerance=2)
    with pytest.raises(ValueError, match="trials >= 1"):
        Algorithm1(a=1, trials=0)
    with pytest.raises(ValueError, match="first >= 0"):
        Algorithm1(a=1, first=-1)
    with pytest.raises(ValueError, match='"min" or "best"'):
        Algorithm1(a=1, rho_rule="mean")
    with pytest.raises(ValueError, match=r"whole number a >= 1 .* got 3\.5"):
        Algorithm1(a=3.5)
    with pytest.raises(ValueError, match="no trial was run"):
        best([])
