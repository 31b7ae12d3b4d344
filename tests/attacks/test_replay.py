"""A step that is recorded and replayed does what the step does."""

import pytest
import torch
from torch import Generator, Tensor

from semirobust import models
from semirobust.attacks import replay
from semirobust.attacks.apgd import APGD, TargetedAPGD
from semirobust.attacks.fab import FAB
from semirobust.attacks.replay import Repeated, put
from semirobust.data import load, subset

ATTACKS = [
    APGD(epsilon=0.002, steps=30),
    APGD(epsilon=0.075, steps=30, norm="2"),
    TargetedAPGD(epsilon=0.0015, steps=20, targets=4),
    FAB(epsilon=0.002, steps=20, targets=4),
]


class Calling:
    """A machine that computes nothing while it records, and calls where CUDA would replay."""

    def __init__(self) -> None:
        self.recorded = 0

    def record(self, body: replay.Body) -> replay.Body:
        self.recorded += 1
        return body


class Failing(Calling):
    def record(self, body: replay.Body) -> replay.Body:  # noqa: ARG002
        raise RuntimeError("operation not permitted when stream is capturing\nmore")


@pytest.fixture(scope="module")
def scene() -> tuple[torch.nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    network = models.build("alexnet", width=0.125).eval()
    some = subset(load("digits").test, 60)
    with torch.no_grad():
        return network, some.x, network(some.x).argmax(dim=1)


@pytest.mark.parametrize(
    "attack", ATTACKS, ids=lambda attack: f"{type(attack).__name__}-{attack.norm}"
)
def test_points_and_flags_are_those_of_step_by_step(attack, scene, monkeypatch):
    network, x, y = scene
    plain = attack(network, x, y, generator=Generator().manual_seed(0))
    machine = Calling()
    monkeypatch.setattr(replay, "recordable", lambda _: True)
    monkeypatch.setattr(replay, "cuda", lambda: machine)
    again = attack(network, x, y, generator=Generator().manual_seed(0))
    assert machine.recorded > 0
    assert torch.equal(plain, again)
    fooled = network(plain).argmax(dim=1) != y
    assert 0 < fooled.sum() < len(y)  # samples left on the way, and others stayed


def test_what_cannot_be_recorded_is_done_step_by_step_and_said_once(scene, monkeypatch):
    network, x, y = scene
    attack = ATTACKS[0]
    plain = attack(network, x, y, generator=Generator().manual_seed(0))
    monkeypatch.setattr(replay, "recordable", lambda _: True)
    monkeypatch.setattr(replay, "cuda", Failing)
    with pytest.warns(UserWarning, match=r"an attack goes step by step.*capturing$") as said:
        again = attack(network, x, y, generator=Generator().manual_seed(0))
    assert len(said) == 1
    assert torch.equal(plain, again)


def test_a_network_that_counts_is_told_of_what_it_does_not_see():
    told: list[int] = []

    def network(x: Tensor) -> Tensor:
        return x

    network.again = told.append
    step = Repeated(lambda x: (x + 1,), network, Calling())
    state = (torch.zeros(3),)
    for _ in range(4):
        state = step(*state)
    assert state[0].tolist() == [4, 4, 4]
    assert told == [3, 3, 3]  # the first is seen while it is recorded


def test_values_that_are_held_under_another_name_are_not_overwritten_first():
    now, before = torch.tensor([2.0]), torch.tensor([1.0])
    put([now, before], [torch.tensor([3.0]), now])
    assert (now.item(), before.item()) == (3, 2)
    put([now, before], [before, now])
    assert (now.item(), before.item()) == (2, 3)
