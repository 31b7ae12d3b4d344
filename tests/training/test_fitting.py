"""Training: what is frozen stands still, what is interrupted ends the same, what breaks says so."""

import json
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as to_safetensors
from torch import nn
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from semirobust import data, layers, models
from semirobust.attacks.gradient import NFGSM, PGD, TRADES
from semirobust.certified.mixtrain import OnBoxes
from semirobust.data import Samples
from semirobust.models import Architecture
from semirobust.training import files, methods
from semirobust.training.files import load_network, load_weights, save_network
from semirobust.training.fitting import RATES, Epoch, Training, accuracy, fit
from semirobust.training.methods import Atta, Batch, Online, Plain, Trades, carried_on

PGD_2 = PGD(epsilon=8 / 255, step_size=4 / 255, steps=2)
METHODS = [
    Plain(),
    Online(attack=PGD_2),
    Online(attack=NFGSM(epsilon=8 / 255)),
    Trades(attack=TRADES(epsilon=8 / 255, steps=2)),
    Atta(),
]


@pytest.fixture(scope="module")
def few():
    return data.subset(data.load("digits").train, 60)


def small(name="cnn", seed=0):
    return models.build(name, width={"cnn": 0.25, "vit": 0.1}.get(name, 0.0625), seed=seed)


def state(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(first, second):
    return all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.mark.parametrize("frozen", ["front", "back"])
@pytest.mark.parametrize("name", ["vgg16", "resnet18", "vit"])
def test_a_frozen_part_is_bit_equal_after_an_adversarial_epoch_on_the_rest(name, frozen, few):
    network, a = small(name), 3
    before = state(network)
    settings = Training(epochs=1, method=Online(attack=PGD_2), batch=20)
    list(fit(network, few, settings, a=a, frozen=frozen))
    after = state(network)
    still = {key for key in before if (int(key.split(".")[0]) < a) == (frozen == "front")}
    assert {key for key in before if torch.equal(before[key], after[key])} == still
    buffers = {key for key, _ in network.named_buffers()}
    assert name == "vit" or still & buffers
    assert all(weight.requires_grad for weight in network.parameters())
    assert not any(module.training for module in network.modules())


def test_a_trained_front_is_that_of_a_loss_through_a_back_that_stands_still(few):
    """One step by hand: f_b in evaluation mode, the gradient of f_a's weights alone."""
    settings = Training(epochs=1, batch=60, schedule="constant", momentum=0, weight_decay=0)
    network, by_hand = small("vgg16"), small("vgg16")
    list(fit(network, few, settings, a=4, frozen="back"))
    f_a, f_b = layers.split(by_hand, 4)
    f_a.train()
    weights = list(f_a.parameters())
    loss = nn.functional.cross_entropy(f_b(f_a(few.x)), few.y)
    with torch.no_grad():
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.sub_(settings.learning_rate * gradient)
    for found, expected in zip(network.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)


def test_running_statistics_of_the_trained_part_do_move(few):
    network = small("vgg16")
    before = network[5][1].running_mean.clone()
    list(fit(network, few, Training(epochs=1, batch=20), a=3))
    assert not torch.equal(before, network[5][1].running_mean)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_every_method_lowers_the_clean_loss(method, few):
    network = small()
    loss = nn.functional.cross_entropy(network(few.x), few.y)
    list(fit(network, few, Training(epochs=4, method=method, batch=20, learning_rate=0.05)))
    assert nn.functional.cross_entropy(network(few.x), few.y) < loss


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_an_interrupted_run_ends_with_the_bits_of_an_uninterrupted_one(method, few, tmp_path):
    settings = Training(epochs=3, method=method, batch=20, augment=not isinstance(method, Atta))
    whole, resumed, score = small(), small(), lambda network: accuracy(network, few)
    expected = list(fit(whole, few, settings, validate=score))
    next(fit(small(), few, settings, validate=score, checkpoint=tmp_path / "run.pt"))
    found = list(fit(resumed, few, settings, validate=score, checkpoint=tmp_path / "run.pt"))
    assert found == expected
    assert same(state(whole), state(resumed))


PROGRAM = """
import sys, torch
from pathlib import Path
from semirobust import data, models
from semirobust.attacks.gradient import PGD
from semirobust.training.fitting import Training, fit
from semirobust.training.methods import Online
torch.set_num_threads(1)
attack = PGD(epsilon=8 / 255, step_size=4 / 255, steps=2)
settings = Training(epochs=4, method=Online(attack=attack), batch=20, augment=True)
network = models.build("vgg16", width=0.0625)
samples = data.subset(data.load("digits").train, 200)
for epoch in fit(network, samples, settings, checkpoint=Path(sys.argv[1])):
    print(epoch.epoch, flush=True)
torch.save(network.state_dict(), sys.argv[2])
"""


@pytest.mark.slow
def test_kill_9_in_the_middle_changes_no_bit(tmp_path):
    def started(name):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / name), str(tmp_path / "w.pt")]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    whole = started("whole")
    whole.communicate()
    expected = torch.load(tmp_path / "w.pt", weights_only=True)
    (tmp_path / "w.pt").unlink()
    victim = started("broken")
    assert victim.stdout.readline() == "1\n"
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    assert not (tmp_path / "w.pt").exists()
    heir = started("broken")
    heir.communicate()
    assert same(expected, torch.load(tmp_path / "w.pt", weights_only=True))


def test_the_seed_decides_every_bit_and_another_seed_another_network(few):
    settings = Training(epochs=1, batch=20, augment=True)
    first, twin, other = small(), small(), small()
    list(fit(first, few, settings))
    list(fit(twin, few, settings))
    list(fit(other, few, replace(settings, seed=1)))
    assert same(state(first), state(twin))
    assert not same(state(first), state(other))


def test_a_checkpoint_goes_on_with_the_side_that_was_frozen(few, tmp_path):
    settings, path = Training(epochs=2, batch=20), tmp_path / "run.pt"
    whole, resumed = small("vgg16"), small("vgg16")
    list(fit(whole, few, settings, a=3, frozen="back"))
    next(fit(small("vgg16"), few, settings, a=3, frozen="back", checkpoint=path))
    with pytest.raises(ValueError, match="belongs to another run"):
        list(fit(small("vgg16"), few, settings, a=3, checkpoint=path))
    list(fit(resumed, few, settings, a=3, frozen="back", checkpoint=path))
    assert same(state(whole), state(resumed))


def test_averages_are_those_of_torch_and_stand_in_the_network_between_epochs(few):
    settings = Training(epochs=3, batch=20, averaging=0.9, learning_rate=0.05)
    network, raw = small("vgg16"), small("vgg16")
    peer = AveragedModel(raw, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    handle = register_optimizer_step_post_hook(lambda *_: peer.update_parameters(raw))
    list(fit(raw, few, replace(settings, averaging=0.0)))
    handle.remove()
    list(fit(network, few, settings, validate=lambda network: accuracy(network, few)))
    expected, last = peer.module.state_dict(), raw.state_dict()
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, expected[name])
            assert not torch.equal(value, last[name])
        else:
            assert torch.equal(value, last[name])


def test_what_is_validated_is_the_average_and_a_frozen_part_stands_still(few):
    seen = []
    network = small("vgg16")
    before, a = state(network), 3
    settings = Training(epochs=2, batch=20, averaging=0.9)
    run = fit(network, few, settings, a=a, validate=lambda network: seen.append(state(network)))
    for epoch, _ in enumerate(run):
        assert same(seen[epoch], state(network))
        break
    assert same(seen[0], state(network))
    assert all(
        torch.equal(before[key], seen[0][key]) for key in before if int(key.split(".")[0]) < a
    )


def test_an_interrupted_run_goes_on_with_its_averages(few, tmp_path):
    settings, path = Training(epochs=3, batch=20, averaging=0.9), tmp_path / "run.pt"
    whole, resumed = small("vgg16"), small("vgg16")
    list(fit(whole, few, settings))
    next(fit(small("vgg16"), few, settings, checkpoint=path))
    list(fit(resumed, few, settings, checkpoint=path))
    again = small("vgg16")
    list(fit(again, few, settings, checkpoint=path))
    assert same(state(whole), state(resumed))
    assert same(state(whole), state(again))


def still(_network, x, _y, *, generator, start=None):
    return x


@pytest.mark.parametrize(
    "method",
    [Plain(), Online(attack=still), Trades(attack=still, beta=0.0)],
    ids=lambda m: type(m).__name__,
)
def test_smoothed_labels_are_those_of_torch(method, few, generator):
    network = small("vgg16")
    smooth = partial(nn.functional.cross_entropy, label_smoothing=0.2)
    batch = Batch(few.x, few.y, torch.arange(60), 1, {}, generator, smoothing=0.2)
    torch.testing.assert_close(method(network, batch), smooth(network(few.x), few.y))
    settings = Training(epochs=1, batch=60, method=method, label_smoothing=0.2)
    with torch.no_grad():
        expected = smooth(small("vgg16").train()(few.x), few.y)
    if isinstance(method, Plain):
        (epoch,) = fit(network, few, settings)
        assert epoch.loss == pytest.approx(float(expected), rel=1e-5)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(few, tmp_path):
    path = tmp_path / "run.pt"
    settings = Training(epochs=2, batch=20, schedule="constant")
    run = fit(small(), few, settings, checkpoint=path)
    next(run)
    kept = path.read_bytes()
    network = small()
    broken = fit(network, few, settings, checkpoint=path)
    next(broken)
    with torch.no_grad():
        next(network.parameters()).fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="nan in epoch 2: lower learning_rate"):
        next(broken)
    assert path.read_bytes() == kept


FOREIGN = {
    "settings": lambda few: fitted_with(few, settings=Training(epochs=1, batch=20, seed=1)),
    "a": lambda few: fitted_with(few, a=1),
    "network": lambda few: fitted_with(few, network=small(seed=1)),
    "samples": lambda few: fitted_with(Samples(255 - few.images, few.labels)),
}


def fitted_with(few, network=None, settings=None, **how):
    settings = settings or Training(epochs=1, batch=20)
    return lambda path: list(fit(network or small(), few, settings, checkpoint=path, **how))


@pytest.mark.parametrize("what", FOREIGN)
def test_a_checkpoint_of_another_run_is_refused_and_left(what, few, tmp_path):
    path = tmp_path / "run.pt"
    FOREIGN[what](few)(path)
    whole = path.read_bytes()
    with pytest.raises(ValueError, match=rf"belongs to another run \({what}: "):
        fitted_with(few)(path)
    assert path.read_bytes() == whole


def test_a_run_does_not_go_on_with_another_torch(few, tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    fitted_with(few)(path)
    monkeypatch.setattr(torch, "__version__", "9.9")
    with pytest.raises(ValueError, match=r"another run \(torch: "):
        fitted_with(few)(path)


def damages(whole):
    """Return a file cut off, emptied and with one bit turned at several places."""
    yield whole[: len(whole) // 2]
    yield b""
    for place in (0, 40, len(whole) // 2, len(whole) - 1):
        turned = bytearray(whole)
        turned[place] ^= 1
        yield bytes(turned)


def test_a_damaged_checkpoint_is_named_and_never_trained_on(few, tmp_path):
    path = tmp_path / "run.pt"
    fitted_with(few)(path)
    for damaged in damages(path.read_bytes()):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"run\.pt is no whole checkpoint"):
            fitted_with(few)(path)
        assert path.read_bytes() == damaged


class Evil:
    def __reduce__(self):
        return (Path.touch, (Path("touched-by-a-checkpoint"),))


def test_a_checkpoint_is_never_unpickled_freely(few, tmp_path):
    path = tmp_path / "evil.pt"
    torch.save({"settings": Evil()}, path)
    with pytest.raises(ValueError, match="no whole checkpoint"):
        list(fit(small(), few, Training(epochs=1), checkpoint=path))
    assert not Path("touched-by-a-checkpoint").exists()


def test_a_network_file_brings_its_architecture(tmp_path, generator):
    architecture, path = Architecture(name="resnet18", width=0.0625), tmp_path / "n.safetensors"
    network = architecture.build(seed=3)
    save_network(network, architecture, path)
    x = torch.rand(2, 3, 32, 32, generator=generator)
    torch.testing.assert_close(load_network(path)(x), network(x), rtol=0, atol=0)


def test_a_missing_or_damaged_network_file_is_named(tmp_path):
    path = tmp_path / "n.safetensors"
    with pytest.raises(FileNotFoundError, match="no network at"):
        load_network(path)
    save_network(small(), Architecture(name="cnn", width=0.25), path)
    whole = path.read_bytes()
    for damaged in (*damages(whole), whole.replace(b'\\"width\\": 0.25', b'\\"width\\": 0.75')):
        assert damaged != whole
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"n\.safetensors is no whole network file"):
            load_network(path)


@pytest.mark.parametrize(
    "about",
    [
        {"name": "vgg16", "width": 1e5},
        {"name": "vgg16", "classes": 10**14},
        {"name": "mlp", "size": 10**6},
        {"name": "mlp", "width": float("inf")},
        {"name": "nothing"},
        {"depth": 3},
    ],
)
def test_a_network_file_that_promises_more_than_it_holds_allocates_nothing(about, tmp_path):
    path = tmp_path / "n.safetensors"
    network, words = small(), json.dumps(about)
    digest = files._digest(words, network.state_dict())
    path.write_bytes(
        to_safetensors(network.state_dict(), {"architecture": words, "digest": digest})
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=r"n\.safetensors is (of another|no whole) network"):
        load_network(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


def test_weights_of_another_width_are_refused(tmp_path):
    with pytest.raises(ValueError, match="of another network"):
        load_weights(small(), models.build("cnn", width=0.5).state_dict(), tmp_path)


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [("one-cycle", 0, 0), ("cosine", 1, 0), ("step", 1, 0.01), ("constant", 1, 1)],
)
def test_schedules_start_and_end_where_they_should(name, start, end):
    assert RATES[name](0.0) == pytest.approx(start)
    assert RATES[name](1.0) == pytest.approx(end)
    assert max(RATES[name](t / 100) for t in range(101)) == pytest.approx(1)


def test_the_rate_reaches_the_optimiser(few):
    rates = []
    network = small()

    def watch(optimiser, _args, _kwargs):
        rates.append(optimiser.param_groups[0]["lr"])

    handle = register_optimizer_step_pre_hook(watch)
    list(fit(network, few, Training(epochs=3, batch=20, schedule="step", learning_rate=0.2)))
    handle.remove()
    assert rates == pytest.approx([0.2] * 3 + [0.02] * 3 + [0.002] * 3)


def test_a_last_batch_of_one_is_left_out(few):
    one_more = Samples(few.images[:41], few.labels[:41])
    epochs = list(fit(small("resnet18"), one_more, Training(epochs=1, batch=20)))
    assert [type(epoch) for epoch in epochs] == [Epoch]


class Drift:
    """An attack that goes on from its start by the same step in every pixel."""

    epsilon = 8 / 255

    def __call__(self, *_, **how):
        return (how["start"] + 1 / 300).clamp(0, 1)


def test_more_perturbations_than_fit_are_carried_in_half_precision(few, monkeypatch):
    carried = {}
    for bound in (10**9, few.x.nbytes - 1):
        monkeypatch.setattr(methods, "CARRIED_BYTES", bound)
        memory = {"size": torch.tensor(len(few))}
        for epoch in (1, 2, 3):
            batch = Batch(few.x, few.y, torch.arange(len(few)), epoch, memory, torch.Generator())
            carried_on(Drift(), 10, small(), batch)
        carried[memory["delta"].dtype] = memory["delta"].float()
    assert set(carried) == {torch.float, torch.half}
    assert carried[torch.half].max() == pytest.approx(0.01, abs=1e-5)
    torch.testing.assert_close(carried[torch.half], carried[torch.float], rtol=0, atol=1e-5)


def test_atta_carries_perturbations_between_epochs_and_begins_anew(few):
    method, network = Atta(reset=2), small()
    starts = []

    def attack(_network, x, _y, *, generator, start):
        starts.append((start - x).abs().max().item())
        return (x + 0.01).clamp(0, 1)

    object.__setattr__(
        method, "attack", type("Shift", (), {"__call__": staticmethod(attack), "epsilon": 0.03})()
    )
    memory = {"size": torch.tensor(len(few))}
    index = torch.arange(len(few))
    for epoch in (1, 2, 3):
        method(network, Batch(few.x, few.y, index, epoch, memory, torch.Generator()))
    assert starts == pytest.approx([0, 0.01, 0], abs=1e-6)


def test_settings_that_cannot_be_meant_are_refused(few):
    with pytest.raises(ValueError, match="epochs >= 1"):
        Training(epochs=0)
    with pytest.raises(ValueError, match="unknown schedule 'linear'; known: one-cycle"):
        Training(epochs=1, schedule="linear")
    with pytest.raises(ValueError, match="set augment=False"):
        Training(epochs=1, method=Atta(), augment=True)
    with pytest.raises(ValueError, match="need 0 <= a < n"):
        list(fit(small(), few, Training(epochs=1), a=4))
    with pytest.raises(ValueError, match="need 1 <= a < n"):
        list(fit(small(), few, Training(epochs=1), frozen="back"))
    with pytest.raises(ValueError, match='frozen is "front" or "back", got \'rear\''):
        list(fit(small(), few, Training(epochs=1), a=1, frozen="rear"))
    with pytest.raises(ValueError, match="0 <= averaging < 1"):
        Training(epochs=1, averaging=1.0)
    with pytest.raises(ValueError, match="losses of Plain, Online, Trades, Atta, AttaTrades"):
        Training(epochs=1, method=OnBoxes(), label_smoothing=0.1)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize(
    ("label", "said"),
    [(-100, r"from -100: give 0\.\.K-1"), (10, r"in 0\.\.9 for this network, got 10; build it")],
)
def test_labels_that_are_no_class_are_refused_before_the_first_step(label, said, method, few):
    network, labels = small(), few.labels.clone()
    labels[7] = label
    before = state(network)
    with pytest.raises(ValueError, match=said):
        next(fit(network, Samples(few.images, labels), Training(epochs=1, method=method, batch=20)))
    assert same(before, state(network))
    list(fit(network, few, Training(epochs=1, method=method, batch=20)))


def test_too_few_samples_are_refused(few):
    one = Samples(few.images[:1], few.labels[:1])
    with pytest.raises(ValueError, match="need at least 2 samples to train on, got 1"):
        next(fit(small(), one, Training(epochs=1)))


def test_images_outside_the_box_are_refused_by_the_attack_as_ever(few):
    wide = Samples(few.x * 2, few.labels)
    with pytest.raises(ValueError, match=r"lie in \[0, 1\], got"):
        next(fit(small(), wide, Training(epochs=1, method=Online(attack=PGD_2), batch=20)))
    list(fit(small(), wide, Training(epochs=1, batch=20)))
