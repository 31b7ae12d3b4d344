"""One of several processes of a training: ``torchrun ... several.py FILE EXPECTED``, float64."""

import sys
from dataclasses import replace

import torch

from semirobust.attacks.gradient import NFGSM
from semirobust.data import Samples, load, subset
from semirobust.training.fitting import Training, fit
from semirobust.training.methods import Online
from semirobust.workflow import distributed

torch.set_num_threads(1)
SETTINGS = Training(
    epochs=2, learning_rate=0.02, batch=15, method=Online(attack=NFGSM(epsilon=16 / 255))
)


def material():
    """Return a network without batch norm and samples of which the last batch is short."""
    from semirobust.models import build

    few = subset(load("digits").train, 52)
    samples = Samples(few.x.double(), few.labels)
    return build("mlp", width=0.25, seed=0).double(), samples


def weights(network):
    return torch.cat([value.flatten() for value in network.parameters()]).detach()


if __name__ == "__main__":
    with distributed.processes(int(sys.argv[2])):
        network, samples = material()
        shared = replace(SETTINGS, method=distributed.Shared(method=SETTINGS.method))
        losses = [epoch.loss for epoch in fit(distributed.prepared(network), samples, shared)]
        if not distributed.group.get_rank():
            torch.save({"weights": weights(network), "losses": losses}, sys.argv[1])
