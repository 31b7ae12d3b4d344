"""Networks and samples are where the machine computes: nothing stays behind on the CPU."""

import json
import re
from functools import reduce

import matplotlib as mpl
import pytest
import torch
from elsewhere import DEVICE, elsewhere
from tiny import CASES

from semirobust import cli, data, training
from semirobust.experiments import registry
from semirobust.models import Architecture, build
from semirobust.results.records import ROOT
from semirobust.training.files import save_network
from semirobust.training.fitting import Training, fit
from semirobust.training.methods import Atta

PASSED = {"setup", "nbval-check-output"}
DOUBLE = {"interventions"}  # turns a network into double, which a stand-in's weights do not follow
COMPUTING = ("13", "23", "25")  # of the notebooks that train networks themselves, the quickest
SHORTER = {r"(?m)^images = \d+": "images = 10", r"(?m)^profile = None": "profile = 'smoke'"}
SHORTER |= {r'"digits", 400, 200, 1 / 8, 6': '"digits", 40, 40, 1 / 8, 1'}


@pytest.fixture
def device(monkeypatch, tmp_path):
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(tmp_path))
    with elsewhere(monkeypatch) as there:
        yield there


def test_the_device_of_these_tests_refuses_what_a_gpu_does(device):
    there, network = torch.ones(2, 3).to(device), build("cnn", width=0.25)
    assert there.device == DEVICE
    assert (there + 1).sum().item() == 12
    with pytest.raises(RuntimeError, match="both devices"):
        there + torch.ones(2, 3)
    with pytest.raises(RuntimeError, match="generator of the CPU"):
        torch.rand(2, device=device, generator=torch.Generator())
    with pytest.raises(RuntimeError, match="stayed on the CPU"):
        network(torch.ones(1, 3, 32, 32))
    with pytest.raises(RuntimeError, match="numpy"):
        there.numpy()


def test_a_network_that_stays_behind_is_found(device):
    samples = data.load("digits").to(device)
    with pytest.raises(RuntimeError, match="both devices"):
        list(fit(build("cnn", width=0.25), samples.train, Training(epochs=1)))


def test_a_training_resumes_there(device, tmp_path):
    settings, path = Training(epochs=2, batch=50, method=Atta()), tmp_path / "checkpoint.pt"
    samples = data.subset(data.load("digits").test, 100).to(device)
    next(fit(build("cnn", width=0.25).to(device), samples, settings, checkpoint=path))
    resumed = build("cnn", width=0.25).to(device)
    assert len(list(fit(resumed, samples, settings, checkpoint=path))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(CASES.keys() - DOUBLE))
def test_an_experiment_computes_where_the_machine_does(name, device):
    run, settings_of = CASES[name]
    found = registry.finish(run(settings_of()))
    again = registry.finish(run(settings_of()))  # from artefacts
    assert any(found.values())
    assert found.keys() == again.keys()


def test_an_evaluation_computes_where_the_machine_does(device, tmp_path, capsys):
    architecture, file = Architecture(name="cnn", width=0.25), tmp_path / "own.safetensors"
    save_network(architecture.build(), architecture, file)
    words = ["evaluate", str(file), "--attack", "fgsm", "--images", "10", "--probes", "0"]
    assert cli.main([*words, "--surrogate", str(file)]) == 0, capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("number", COMPUTING)
def test_a_notebook_computes_where_the_machine_does(number, device, monkeypatch):
    mpl.use("Agg")
    once = training.Training
    monkeypatch.setattr(training, "Training", lambda **how: once(**how | {"epochs": 1}))
    (path,) = (ROOT / "notebooks").glob(f"{number}-*.ipynb")
    names: dict[str, object] = {}
    for cell in json.loads(path.read_bytes())["cells"]:
        tags = cell["metadata"].get("tags", [])
        code = "".join(cell["source"])
        if cell["cell_type"] == "code" and not PASSED & set(tags) and "assert " not in code:
            with torch.random.fork_rng(devices=[]):  # a notebook may draw from it
                exec(reduce(lambda text, pair: re.sub(*pair, text), SHORTER.items(), code), names)
    assert names["device"] == DEVICE
