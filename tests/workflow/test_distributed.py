"""Several processes train what one does, up to rounding; what cannot be meant is refused."""

import subprocess
import sys

import pytest
import several
import torch

from semirobust.attacks.gradient import PGD
from semirobust.models import build
from semirobust.training.fitting import fit
from semirobust.training.methods import Atta
from semirobust.workflow import distributed


def torchrun(*words):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run([*command, *words], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path):
    done = torchrun(several.__file__, str(tmp_path / "two.pt"), "2")
    assert done.returncode == 0, done.stderr
    two = torch.load(tmp_path / "two.pt", weights_only=True)
    network, samples = several.material()
    start = several.weights(network)
    losses = [epoch.loss for epoch in fit(network, samples, several.SETTINGS)]
    one = several.weights(network)
    assert (one - start).abs().max() > 1e-3
    torch.testing.assert_close(two["weights"], one, atol=1e-12, rtol=0)
    assert two["losses"] == pytest.approx(losses, abs=1e-6)


@pytest.mark.slow
def test_another_number_of_processes_than_asked_for_is_refused(tmp_path):
    done = torchrun(several.__file__, str(tmp_path / "two.pt"), "3")
    assert done.returncode != 0
    assert "3 processes were asked for and 2 are here" in done.stderr
    assert not (tmp_path / "two.pt").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="on GPUs batch norm is taken over all shares")
def test_batch_norm_without_gpus_and_carried_perturbations_are_refused():
    with pytest.raises(ValueError, match="batch norm over several processes needs GPUs"):
        distributed.prepared(build("resnet18", width=0.125))
    with pytest.raises(ValueError, match="ATTA carries perturbations"):
        distributed.Shared(method=Atta(attack=PGD(epsilon=0.1, step_size=0.1, steps=1)))
