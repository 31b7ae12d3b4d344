"""Bars: on a terminal, over what takes long, and nowhere else."""

import io
from functools import partial

import pytest
import torch
from torch import nn

from semirobust import progress
from semirobust.algorithm1 import Algorithm1, trials
from semirobust.attacks.gradient import PGD
from semirobust.data import Samples
from semirobust.edge.estimator import Edge
from semirobust.edge.information import rho
from semirobust.evaluation.report import robust_accuracy
from semirobust.training.fitting import Training, fit


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def screen(monkeypatch):
    """Return what makes stderr a stream, a terminal by default, and returns it."""
    monkeypatch.delenv(progress.QUIET, raising=False)

    def made(stream=None, soon=0):
        stream = Terminal() if stream is None else stream
        monkeypatch.setattr(progress, "SOON", soon)
        monkeypatch.setattr("sys.stderr", stream)
        return stream

    return made


def test_a_terminal_shows_what_takes_long_and_clears_it(screen):
    shown = screen(soon=2)
    assert list(progress.watched(range(3), "short")) == [0, 1, 2]
    assert shown.getvalue() == ""
    shown = screen()
    assert list(progress.watched(range(3), "long")) == [0, 1, 2]
    assert "long: " in shown.getvalue()
    assert shown.getvalue().endswith("\r")


def test_logs_and_whoever_asks_for_quiet_get_none(screen, monkeypatch):
    log = screen(io.StringIO())
    assert list(progress.watched(range(3), "long")) == [0, 1, 2]
    shown = screen()
    monkeypatch.setenv(progress.QUIET, "1")
    assert list(progress.watched(range(3), "long")) == [0, 1, 2]
    assert shown.getvalue() == log.getvalue() == ""


def test_training_evaluation_dependence_and_algorithm_1_are_watched(screen, generator):
    shown = screen()
    x, y = torch.rand(40, 1, 2, 3, generator=generator), torch.arange(40) % 2
    with torch.random.fork_rng():
        links = [nn.Flatten(), nn.Linear(6, 4), nn.Linear(4, 3), nn.Linear(3, 2)]
    network = nn.Sequential(*links).eval()
    attack = PGD(epsilon=0.1, step_size=0.1, steps=1)
    tune = partial(fit, samples=Samples(x, y), settings=Training(epochs=1), a=1)
    list(
        trials(
            Algorithm1(a=1),
            network,
            network,
            target=1.0,
            tune=lambda network, _: tune(network),
            accuracy=lambda _: 0.5,
            measure=lambda _: {},
        )
    )
    robust_accuracy(network, x, y, attack)
    rho(network, x, y, edge=Edge(permutations=5))
    named = ("Algorithm 1", "training", "PGD", "images", "rho", "null")
    assert [what for what in named if f"{what}: " not in shown.getvalue()] == []
