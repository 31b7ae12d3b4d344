"""Optimisers: torch's own steps to the bit, without the compiler that its wrappers load."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from semirobust.training.optimisers import without_compiler

TRAIN = """
import sys
from semirobust import build, data, training
from semirobust.certified import certificates
from semirobust.experiments import registry
brief = training.Training(epochs=1, batch=50)
list(training.fit(build("vgg16", width=0.0625), data.subset(data.load("digits").test, 50), brief))
sys.exit(", ".join({"torch._dynamo", "torchvision"} & sys.modules.keys()) or 0)
"""


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
        (torch.optim.AdamW, {"lr": 0.1}),
        (torch.optim.Adam, {"lr": 0.1, "fused": True}),
        (torch.optim.LBFGS, {"max_iter": 3, "line_search_fn": "strong_wolfe"}),
    ],
)
def test_an_optimiser_without_the_compiler_takes_the_same_steps_to_the_bit(
    kind, options, generator
):
    x, start = torch.rand(8, 5, generator=generator), torch.rand(5, generator=generator)
    ends = []
    for made in (kind, without_compiler(kind)):
        weight = nn.Parameter(start.clone())
        optimiser = made([weight], **options)
        assert isinstance(optimiser, kind)

        def loss(weight=weight, optimiser=optimiser):
            optimiser.zero_grad()
            with torch.enable_grad():
                value = (x @ weight - 1).pow(4).sum()
                value.backward()
            return value

        for _ in range(2):
            loss()
            optimiser.step(loss)
        optimiser.load_state_dict(optimiser.state_dict())
        loss()
        optimiser.step(loss)
        assert weight.requires_grad
        ends.append(weight.detach())
    assert torch.equal(*ends)
    assert not torch.equal(ends[0], start)


def test_training_a_chain_loads_neither_the_compiler_nor_torchvision():
    done = subprocess.run(
        [sys.executable, "-c", TRAIN], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
