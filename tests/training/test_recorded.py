"""Steps that wait for nothing, and steps that are recorded: the weights are the same to the bit."""

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from semirobust import data, models
from semirobust.attacks.ball import trusting
from semirobust.attacks.gradient import NFGSM, PGD
from semirobust.training import recorded
from semirobust.training.fitting import Run, Training, fit, training_mode
from semirobust.training.methods import Atta, Online, Plain, Trades
from semirobust.training.recorded import Recorded

NFGSM_8 = Online(attack=NFGSM(epsilon=8 / 255))
PGD_2 = Online(attack=PGD(epsilon=8 / 255, step_size=4 / 255, steps=2))
RECORDED = [Plain(), NFGSM_8, PGD_2]
SIDES = [(0, "front"), (2, "front"), (2, "back")]
WAITS = {"item", "tolist", "cpu", "numpy", "nonzero", "is_nonzero", "masked_select", "unique"}
WAITS |= {f"__{name}__" for name in ("bool", "float", "int", "index", "contains", "array")}
EXACT = {"enabled": True, "benchmark": False, "deterministic": True, "allow_tf32": False}
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Waits(TorchFunctionMode):
    """Notes what makes the host wait for a device: values that are read, and indexing by masks."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        places = args[1] if name in ("__getitem__", "__setitem__") else ()
        places = places if isinstance(places, tuple) else (places,)
        if name in WAITS or any(isinstance(p, Tensor) and p.dtype == torch.bool for p in places):
            self.seen.append(name)
        return function(*args, **(kwargs or {}))


class Calls:
    """A machine without a device: it records nothing and calls the step again."""

    def apart(self, body):
        return body()

    def record(self, body):
        return body


class Broken(Calls):
    def record(self, _):
        raise RuntimeError("no\nthanks")


@pytest.fixture(scope="module")
def few():
    return data.subset(data.load("digits").train, 150)


def settings(method, **changes):
    own = {"epochs": 2, "batch": 20, "augment": True, "averaging": 0.9, "learning_rate": 0.05}
    return Training(method=method, **(own | changes))


def trained(few, chosen, a=0, frozen="front", machine=None):
    network = models.build("vgg16", width=0.0625).to(few.labels.device)
    if chosen.channels_last:
        network.to(memory_format=torch.channels_last)
    run = Run(network, few, chosen, a, frozen)
    if machine:
        run.recorded = Recorded(machine, draws=not isinstance(chosen.method, Plain))
    with training_mode(network, a, frozen):
        losses = []
        for epoch in (1, 2):
            with run.averages.hidden():
                losses.append(run.epoch(epoch))
    return losses, network.state_dict(), run


def same(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_stub_sees_what_waits():
    x = torch.arange(3.0)
    with Waits() as waits:
        _ = float(x.sum()), bool(x[0] > 0), x.max().item(), x[x > 1], x.tolist(), x.cpu()
        x[x > 1] = 0
    assert len(waits.seen) == 7


@pytest.mark.parametrize("averaging", [0.0, 0.9])
@pytest.mark.parametrize("method", [*RECORDED, Trades(), Atta()], ids=lambda m: type(m).__name__)
def test_an_epoch_waits_once_for_its_loss_and_no_step_does(method, averaging, few):
    """Atta looks once for the number of samples, which lies on the host."""
    network = models.build("cnn", width=0.25)
    chosen = settings(method, augment=not isinstance(method, Atta), averaging=averaging)
    run = Run(network, few, chosen, 0)
    with training_mode(network, 0), Waits() as waits:
        run.epoch(1)
    assert waits.seen == ["__int__"] * isinstance(method, Atta) + ["__float__"]


@pytest.mark.parametrize(("a", "frozen"), SIDES)
@pytest.mark.parametrize("method", RECORDED, ids=lambda m: type(m).__name__)
def test_steps_on_tensors_that_stay_where_they_are_give_the_same_bits(method, a, frozen, few):
    chosen = settings(method)
    losses, expected, _ = trained(few, chosen, a, frozen)
    found, state, run = trained(few, chosen, a, frozen, Calls())
    assert found == losses
    assert same(state, expected)
    assert run.recorded.taken == 14  # seven whole batches an epoch; the eighth holds ten samples
    assert run.recorded.replay is not None


def test_where_recording_fails_the_reason_is_said_once_and_the_bits_are_the_same(few):
    chosen = settings(NFGSM_8)
    _, expected, _ = trained(few, chosen)
    with pytest.warns(UserWarning, match=r"step by step, not as one CUDA graph: no$") as said:
        _, state, _ = trained(few, chosen, machine=Broken())
    assert len(said) == 1
    assert same(state, expected)


def test_what_is_not_known_to_launch_the_same_is_not_recorded(few, monkeypatch):
    gpu, network = torch.device("cuda"), models.build("cnn", width=0.25)
    sgd = torch.optim.SGD(network.parameters(), lr=0.1)
    monkeypatch.delenv("SEMIROBUST_GRAPH", raising=False)
    until_fooled = Online(attack=PGD(epsilon=8 / 255, stop_when_fooled=True))
    for method in (Trades(), until_fooled, Online(attack=PGD(epsilon=8 / 255, restarts=2))):
        with pytest.warns(UserWarning, match="not known to launch the same in every step"):
            assert recorded.recorded(method, sgd, gpu) is None
    with pytest.warns(UserWarning, match="only SGD"):
        assert recorded.recorded(Plain(), torch.optim.AdamW(network.parameters()), gpu) is None
    monkeypatch.setenv("SEMIROBUST_GRAPH", "0")
    assert recorded.recorded(Trades(), sgd, gpu) is None
    assert Run(network, few, settings(Trades()), 0).recorded is None


@needs_gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("a", "frozen"), SIDES)
@pytest.mark.parametrize("method", RECORDED, ids=lambda m: type(m).__name__)
def test_a_replayed_graph_gives_the_weights_of_the_steps_it_recorded(
    method, a, frozen, precision, few, monkeypatch
):
    half = precision == "bfloat16"
    chosen = settings(method, precision=precision, channels_last=half)
    with torch.backends.cudnn.flags(**EXACT):
        monkeypatch.setenv("SEMIROBUST_GRAPH", "0")
        losses, expected, _ = trained(few.to("cuda"), chosen, a, frozen)
        monkeypatch.setenv("SEMIROBUST_GRAPH", "1")
        found, state, run = trained(few.to("cuda"), chosen, a, frozen)
    assert run.recorded.replay is not None
    assert found == losses
    assert same(state, expected)


@needs_gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("graph", ["0", "1"])
@pytest.mark.parametrize("method", [*RECORDED, Trades(), Atta()], ids=lambda m: type(m).__name__)
def test_no_step_waits_for_the_gpu(method, graph, few, monkeypatch):
    """By torch's own count; the first steps, and the recording, are taken before."""
    monkeypatch.setenv("SEMIROBUST_GRAPH", graph)
    network = models.build("vgg16", width=0.0625).to("cuda")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of methods that are not recorded
        run = Run(
            network, few.to("cuda"), settings(method, augment=not isinstance(method, Atta)), 0
        )
    step = run.recorded or (lambda step, batch: step(batch))
    with training_mode(network, 0), trusting(valid=True):
        for batch in list(run.batches(1))[:-1]:
            step(run.step, batch)
        torch.cuda.set_sync_debug_mode("error")
        try:
            for batch in run.batches(2):
                (step if len(batch.y) == 20 else lambda f, b: f(b))(run.step, batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")


class Reads(nn.Module):
    """Lets the host read a value in every pass, which no graph can hold."""

    def forward(self, x):
        return x if float(x.detach().sum()) > -1 else -x


@needs_gpu
def test_a_network_that_cannot_be_recorded_is_trained_all_the_same(few, monkeypatch):
    def ends(graph):
        monkeypatch.setenv("SEMIROBUST_GRAPH", graph)
        network = nn.Sequential(Reads(), *models.build("cnn", width=0.25)).to("cuda")
        with torch.backends.cudnn.flags(**EXACT):
            list(fit(network, few.to("cuda"), settings(PGD_2)))
        return network.state_dict()

    expected = ends("0")
    with pytest.warns(UserWarning, match="step by step"):
        found = ends("1")
    assert same(found, expected)


@needs_gpu
def test_a_run_that_goes_on_records_again(few, tmp_path, monkeypatch):
    monkeypatch.delenv("SEMIROBUST_GRAPH", raising=False)
    chosen, samples = settings(NFGSM_8), few.to("cuda")
    with torch.backends.cudnn.flags(**EXACT):
        whole, resumed = (models.build("cnn", width=0.25).to("cuda") for _ in range(2))
        list(fit(whole, samples, chosen))
        path = tmp_path / "run.pt"
        next(fit(models.build("cnn", width=0.25).to("cuda"), samples, chosen, checkpoint=path))
        list(fit(resumed, samples, chosen, checkpoint=path))
    assert same(whole.state_dict(), resumed.state_dict())
