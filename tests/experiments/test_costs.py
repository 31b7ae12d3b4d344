"""What missing rows will take: operations counted once, and seconds as recorded rows took them."""

import json
from dataclasses import replace

import pytest

from semirobust.attacks.gradient import NFGSM, PGD, TRADES
from semirobust.experiments import costs, scales
from semirobust.experiments import registry as experiments
from semirobust.models import Architecture
from semirobust.results import records as results
from semirobust.training.fitting import Training
from semirobust.training.methods import Online, Plain, Trades

RADIUS = 8 / 255


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("SEMIROBUST_RESULTS", str(tmp_path / "results"))
    known = experiments.EXPERIMENTS["table-1"]
    monkeypatch.setitem(experiments.EXPERIMENTS, "table-1", known._replace(rows=three_seeds))
    return tmp_path


def three_seeds(_):
    return tuple(scales.gpu("vgg16", "online", seed=seed) for seed in range(3))


def recorded(seconds):
    """Record the first row as if each of its stages had taken these seconds."""
    row = three_seeds("gpu")[0]
    stages = {node.stage: {"seconds": seconds} for node in costs.nodes("table-1", row)}
    origin = {"device": "a card", "seconds": 9.0, "stages": stages}
    results.save("table-1", row, {}, profile="gpu", origin=origin)
    return len(stages)


def test_a_pass_of_vgg16_takes_three_times_its_two_operations_a_weight_use():
    uses = sum(9 * i * o * side**2 for i, o, side in CONVOLUTIONS) + 512 * 512 * 2 + 512 * 10
    first = 9 * 3 * 64 * 32**2  # the images need no gradient
    assert costs.gflop(Architecture(name="vgg16")) == pytest.approx((6 * uses - 2 * first) / 1e9)


WIDTHS = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
SIDES = (32, 32, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 2)
CONVOLUTIONS = tuple(zip(WIDTHS, WIDTHS[1:], SIDES, strict=False))


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (Plain(), 1),
        (Online(attack=NFGSM(epsilon=RADIUS)), 2),
        (Online(attack=PGD(epsilon=RADIUS, steps=10)), 11),
        (Trades(attack=TRADES(epsilon=RADIUS, steps=10)), 12),
    ],
)
def test_an_attack_adds_a_pass_a_step(method, expected):
    assert costs.passes(Training(epochs=3, method=method)) == 3 * expected


def test_another_seed_takes_what_the_first_took():
    count = recorded(60.0)
    device, rates = costs.rates("gpu")
    assert device == "a card"
    found = costs.missing("table-1", "gpu", rates)
    assert [one.title for one in found] == [row.title for row in three_seeds("gpu")[1:]]
    assert [one.seconds for one in found] == pytest.approx([60.0 * count + 9] * 2)


def test_more_epochs_take_more_and_what_rows_share_counts_once(monkeypatch):
    recorded(60.0)
    _, rates = costs.rates("gpu")
    first = three_seeds("gpu")[0]
    longer = replace(first.study.robust, epochs=2 * first.study.robust.epochs)
    rows = (replace(first, study=replace(first.study, robust=longer)), replace(first, images=500))
    known = experiments.EXPERIMENTS["table-1"]
    monkeypatch.setitem(experiments.EXPERIMENTS, "table-1", known._replace(rows=lambda _: rows))
    one, other = costs.missing("table-1", "gpu", rates)
    stages = {node.stage for node in costs.nodes("table-1", first)}
    assert one.seconds == pytest.approx(60.0 * (len(stages) + 1) + 9)
    shared = {"standard", "examples"}  # its robust network, of fewer epochs, is another one
    assert other.seconds == pytest.approx(60.0 * (len(stages) - len(shared)) + 9)


def test_nothing_recorded_says_nothing():
    device, rates = costs.rates("gpu")
    assert (device, rates) == ("", {})
    assert {one.seconds for one in costs.missing("table-1", "gpu", rates)} == {None}


def test_before_a_row_is_recorded_the_steps_of_a_card_tell_what_trainings_take(store):
    step = {"network": "vgg16", "method": "plain", "batch": 128, "graph_ms": 128.0}
    (store / "results" / "benchmarks").mkdir(parents=True)
    told = {"provenance": {"device": "a card"}, "steps": [step]}
    (store / "results" / "benchmarks" / "gpu.json").write_text(json.dumps(told))
    device, rates = costs.rates("gpu")
    assert device == "a card"
    assert costs.of_trainings_alone(rates)
    first = three_seeds("gpu")[0]
    trained = {name: getattr(first.study, name) for name in ("standard", "robust")}
    trained["tuned"] = first.study.tuning
    passes = sum(
        costs.passes(trained[node.stage]) if node.stage in trained else 0
        for node in costs.nodes("table-1", first)
    )
    missing = costs.missing("table-1", "gpu", rates)
    assert missing[0].seconds == pytest.approx(passes * 45_000 * 0.001)  # a pass takes 1 ms
    (hunt,) = {one.seconds for one in costs.missing("tickets", "gpu", rates)}
    assert hunt is None


@pytest.mark.parametrize("attack", [NFGSM(epsilon=RADIUS), PGD(epsilon=RADIUS, steps=10)])
def test_a_t4_trains_what_a_reader_tries_in_at_most_ten_minutes(attack, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_RESULTS", str(results.ROOT / "results"))
    plain, hard = Training(epochs=12), Training(epochs=12, method=Online(attack=attack))
    back, quarter = replace(hard, epochs=5), Architecture(name="vgg16", width=0.25)
    work = {"images": 10_000, "scored": 20 * (5 * 1000 + 7 * 100)}
    trainings = [plain, hard, back, back]
    assert costs.seconds_on("Tesla T4", quarter, trainings, **work) <= 600
    larger = costs.seconds_on("Tesla T4", Architecture(name="vgg16"), trainings, **work)
    assert larger > costs.seconds_on("Tesla T4", quarter, trainings, **work)
