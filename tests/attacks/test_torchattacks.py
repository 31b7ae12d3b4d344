"""torchattacks behind its adapter: the same points, and nothing left behind."""

import random

import numpy as np
import pytest
import torch
import torchattacks
from published_attacks import NAMED, Published, published
from torch import nn

from semirobust.attacks.ball import distance, fooled
from semirobust.attacks.gradient import FGSM, IFGSM
from semirobust.evaluation.report import robust_accuracy

EPSILON = 8 / 255
SMALL = {
    "FGSM": {"eps": EPSILON},
    "BIM": {"eps": EPSILON, "alpha": 2 / 255, "steps": 5},
    "PGD": {"eps": EPSILON, "alpha": 2 / 255, "steps": 5},
    "CW": {"c": 1, "steps": 5},
    "APGD": {"eps": EPSILON, "steps": 5},
    "FAB": {"eps": EPSILON, "steps": 3, "multi_targeted": True},
    "Square": {"eps": EPSILON, "n_queries": 10},
}


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network_and_batch(
    classes: int = 5, n: int = 6
) -> tuple[nn.Sequential, torch.Tensor, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU()),
            nn.Sequential(nn.Dropout(0.5), nn.Flatten(), nn.Linear(6 * 36, classes)),
        )
        network(torch.rand(32, 3, 8, 8))
    x = torch.rand(n, 3, 8, 8, generator=draws(1))
    with torch.no_grad():
        return network, x, network.eval()(x).argmax(dim=1)


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=[pytest.mark.slow] if k == "CW" else []) for k in SMALL]
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_leaves_modes_gradients_generators_and_layout_as_they_were(kind, layout):
    network, x, y = network_and_batch()
    x = x.contiguous(memory_format=layout)
    network.train()[0].eval()
    weight = network[0][0].weight
    weight.grad = torch.ones_like(weight)
    network[1][2].bias.requires_grad = False
    before = {name: value.clone() for name, value in network.state_dict().items()}
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    x_adv = Published(kind=kind, settings=SMALL[kind])(network, x, y, generator=draws())
    assert network[1].training
    assert not any(module.training for module in network[0].modules())
    assert torch.equal(weight.grad, torch.ones_like(weight))
    assert network[1][2].weight.grad is None
    assert [w.requires_grad for w in network.parameters()] == [True] * 5 + [False]
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])  # noqa: NPY002
    assert states[2] == random.getstate()
    assert x_adv.stride() == x.stride()
    if kind != "CW":
        assert distance(x_adv, x, "inf").max() <= EPSILON + 1e-6


def test_is_the_library_s_own_answer():
    network, x, y = network_and_batch()
    theirs = torchattacks.BIM(network, eps=EPSILON, alpha=1 / 255, steps=10)(x, y)
    ours = published("i-fgsm", EPSILON)(network, x, y, generator=draws())
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-7)
    mine = IFGSM(epsilon=EPSILON, steps=10)(network, x, y, generator=draws())
    torch.testing.assert_close(ours, mine, rtol=0, atol=1e-6)


def test_the_generator_decides_the_random_start():
    network, x, y = network_and_batch()
    attack = Published(kind="PGD", settings=SMALL["PGD"])
    first, same, other = (attack(network, x, y, generator=draws(s)) for s in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_serves_fewer_classes_than_ten_and_plain_functions_in_an_evaluation():
    network, x, y = network_and_batch(classes=3)
    attack = Published(kind="FAB", settings=SMALL["FAB"])
    report = robust_accuracy(network, x, y, {"fab": attack, "fgsm": FGSM(epsilon=EPSILON)})
    assert report.forward > len(x)
    assert report.standing.sum() <= (~fooled(network.eval(), x, y)).sum()


def test_every_step_of_the_paper_s_program_is_said():
    assert published("pgd", 16 / 255).settings == {"eps": 16 / 255, "alpha": 1 / 255, "steps": 20}
    assert published("cw").settings == {"c": 1, "kappa": 0, "steps": 50, "lr": 0.01}
    assert set(NAMED) == {"fgsm", "i-fgsm", "pgd", "cw", "autoattack"}


def test_unknown_names_and_bytes_are_refused():
    with pytest.raises(ValueError, match="known: fgsm, i-fgsm, pgd, cw, autoattack"):
        published("deepfool")
    with pytest.raises(ValueError, match="torchattacks has no attack 'PDG'"):
        Published(kind="PDG")
    with pytest.raises(ValueError, match="write 8/255, not 8"):
        published("pgd", 8)
