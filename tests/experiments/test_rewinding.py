"""Tickets of convolutional networks: masks of links, rewinding, and what stands behind the cut."""

from dataclasses import replace

import pytest
import torch

from semirobust.attacks.gradient import NFGSM, PGD
from semirobust.experiments import rewinding
from semirobust.experiments.registry import finish
from semirobust.experiments.rewinding import cover, density, prunable, scattered, thinned, uncover
from semirobust.experiments.study import Part
from semirobust.models import Architecture, build
from semirobust.results import records as results
from semirobust.tickets.pruning import remaining
from semirobust.training.fitting import Training
from semirobust.training.methods import Online

RADIUS = 8 / 255
TINY = rewinding.Rewinding(
    architecture=Architecture(name="cnn", width=0.25),
    data=Part(name="digits", train=80, test=80),
    training=Training(
        epochs=2, learning_rate=0.05, batch=40, method=Online(attack=NFGSM(epsilon=RADIUS))
    ),
    whitebox=PGD(epsilon=RADIUS, step_size=RADIUS / 2, steps=2, stop_when_fooled=True),
    n_b=(2,),
    early=1,
    levels=2,
    rate=0.5,
    images=80,
)


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(tmp_path))


def full(network):
    return {name: part.weight != 0 for name, part in prunable(network).items()}


def images():
    return torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_a_covered_network_equals_its_dense_zeros():
    network, x = build("vgg16", width=0.0625), images()
    masks = scattered(thinned(network, full(network), 0.5), seed=0)
    before = network(x)
    cover(network, masks)
    covered = network(x)
    uncover(network)
    assert torch.equal(covered, network(x))
    assert not torch.equal(covered, before)
    assert all(torch.equal(part.weight != 0, masks[n]) for n, part in prunable(network).items())


def test_thinning_keeps_exact_counts_and_the_largest_of_each_layer():
    network = build("cnn", width=0.25)
    masks = full(network)
    counts = {name: mask.numel() for name, mask in masks.items()}
    for level in (1, 2, 3):
        before, masks = masks, thinned(network, masks, 0.4)
        for number, (name, part) in enumerate(prunable(network).items()):
            rate = 0.4 if number < len(masks) - 1 else 0.2
            assert int(masks[name].sum()) == remaining(counts[name], rate, level)
            gone = before[name] & ~masks[name]
            assert part.weight[gone].abs().max() <= part.weight[masks[name]].abs().min()


def test_scattering_moves_a_mask_and_keeps_its_counts():
    network = build("cnn", width=0.25)
    masks = thinned(network, full(network), 0.5)
    moved = scattered(masks, seed=0)
    assert {name: int(mask.sum()) for name, mask in moved.items()} == {
        name: int(mask.sum()) for name, mask in masks.items()
    }
    assert any(not torch.equal(moved[name], masks[name]) for name in masks)


def test_the_share_of_the_front_counts_its_own_links_only():
    network = build("cnn", width=0.25)
    with torch.no_grad():
        next(iter(prunable(network[1]).values())).weight.zero_()
    assert density(network, 1) == 1
    sizes = [part.weight.numel() for part in prunable(network).values()]
    assert density(network, 2) == pytest.approx(sizes[0] / sum(sizes[:2]))


def test_every_level_starts_from_the_early_weights_under_its_mask():
    seen = []

    def record(step):
        seen.append((step.stage, step.epoch.epoch))

    tables = finish(rewinding.run(TINY), record)
    assert [stage for stage, epoch in seen if epoch == 1][:4] == [
        "early 0",
        "dense",
        "level 1",
        "level 2",
    ]
    left = [record["remaining"] for record in tables["levels"]]
    assert left[0] == 1
    assert left[1] == pytest.approx(0.5, abs=0.02)
    assert left[2] == pytest.approx(0.25, abs=0.02)
    networks = {(r["front"], r["back"]): r for r in tables["networks"]}
    assert len(networks) == 8
    assert {name for name, _ in networks} == {"dense", "ticket", "new weights", "random mask"}
    sparse = {r["share"] for r in tables["networks"] if r["front"] != "dense"}
    assert len(sparse) == 1
    for one in networks.values():
        assert one["whitebox"] <= one["clean"]
        assert one["gamma_attack"] == pytest.approx(2 * one["whitebox"] - 1)
    assert {r["j"] for r in tables["rho"]} == {3, 4}


@pytest.mark.slow
def test_a_second_run_takes_up_what_the_first_trained_and_finds_the_same():
    first = finish(rewinding.run(TINY))
    files = {path: path.stat().st_mtime_ns for path in results.artifacts_root().rglob("*.pt")}
    assert finish(rewinding.run(TINY)) == first
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_an_early_epoch_that_is_not_early_is_refused():
    with pytest.raises(ValueError, match="need 0 < early < 2 epochs"):
        replace(TINY, early=2)


def test_every_profile_has_rows_with_titles_of_their_own():
    for profile in ("smoke", "cpu", "gpu"):
        titles = [row.title for row in rewinding.rewindings(profile)]
        assert len(set(titles)) == len(titles) > 0
