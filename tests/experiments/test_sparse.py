"""A sparse semirobust f_a: what is frozen, what has as many weights, and its bracket of gamma."""

from dataclasses import replace

import pytest
import torch

from semirobust.data import Part, load
from semirobust.experiments import sparse
from semirobust.experiments import tickets as ticket_experiments
from semirobust.experiments.registry import finish
from semirobust.experiments.sparse import Front, Join, joined, shuffled
from semirobust.experiments.tickets import grey, hunted, hunts, parts
from semirobust.results import records as results
from semirobust.tickets.batched import full_masks, glorot_weights
from semirobust.tickets.pruning import pruned


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(tmp_path))


def tiny():
    row = hunts("smoke")[0]
    steps = replace(row.tickets.steps, iterations=3)
    few = replace(row.tickets, steps=steps, levels=2, trials=2, hidden=(20, 10))
    return replace(row, tickets=few, data=Part(name="digits", test=60))


def masks():
    weights = glorot_weights((64, 20, 10, 10), range(2))
    return pruned(weights, full_masks(weights), (0.5, 0.5, 0.3))


def test_digits_averaged_back_are_scikit_learns_images_nearly():
    samples = load("digits").test
    small = grey(samples, 8)
    assert small.images.shape == (len(samples), 1, 8, 8)
    assert small.images.dtype == torch.uint8
    assert torch.equal(small.labels, samples.labels)
    centre = samples.images.float().mean(dim=(1, 2, 3))
    torch.testing.assert_close(small.images.float().mean(dim=(1, 2, 3)), centre, atol=0.5, rtol=0)


def test_shuffled_masks_have_as_many_weights_in_each_layer_of_each_network():
    first = masks()
    moved = shuffled(first, [1, 2])
    for mask, other in zip(first, moved, strict=True):
        assert torch.equal(mask.flatten(1).sum(dim=1), other.flatten(1).sum(dim=1))
        assert not torch.equal(mask, other)
    assert all(torch.equal(a, b) for a, b in zip(moved, shuffled(first, [1, 2]), strict=True))


def test_f_a_is_bit_equal_behind_every_f_b():
    row, weights = tiny(), glorot_weights((64, 20, 10, 10), range(2))
    source = Front("ticket", 1, tuple(w * m for w, m in zip(weights, masks(), strict=True)))
    standard = glorot_weights((64, 20, 10, 10), range(5, 7))
    found = finish(joined(row, [source], standard, parts(row).train, 2))
    assert list(found) == ["standard", "clean", "under attack"]
    for name, network in found.items():
        assert all(torch.equal(network[j], source.weights[j]) for j in range(2))
        assert torch.equal(network[2], standard[2]) == (name == "standard")
    assert source.about(1, 0)["share"] == pytest.approx(0.5)


@pytest.mark.slow
def test_a_row_keeps_the_sequence_certificate_attack_clean_and_counts_its_weights():
    row = Join(hunt=tiny(), levels=(2,), read=1, images=40)
    tables = finish(sparse.run(row))
    networks = tables["networks"]
    assert len(networks) == 2 * 3 * 4 * 2
    for record in networks:
        expected = 1.0 if record["front"] == "dense" else 0.25
        assert record["share"] == pytest.approx(expected)
    for record in tables["gamma"]:
        assert record["gamma_cert"] <= record["gamma_attack"] <= record["gamma_clean"]
    assert {record["readout"] for record in tables["gamma"]} == {"linear", "f_b"}
    assert {(record["a"], record["j"]) for record in tables["rho"]} == {(1, 2), (1, 3), (2, 3)}


def test_the_tickets_of_a_hunt_are_kept_at_the_published_levels_with_their_zeros():
    row = tiny()
    found = finish(ticket_experiments.run(row))
    assert {record["level"] for record in found["levels"]} == {0, 1, 2}
    kept = finish(hunted(row, parts(row))).tickets
    assert set(kept) == {0, 2}
    total = sum(int((weight[0] != 0).sum()) for weight in kept[2])
    assert total == found["levels"][-1]["remaining"]
    again = finish(ticket_experiments.run(row))
    assert again == found


def test_the_official_attack_leaves_no_more_than_pgd_does():
    row = replace(tiny(), images=20)
    found = finish(ticket_experiments.run(row))
    for record in found["autoattack"]:
        assert record["images"] == 20
        assert record["accuracy"] <= record["clean"]
        assert record["failed_checks"] == []
    assert [r["reset"] for r in found["autoattack"]] == ["dense", *row.tickets.resets]


def test_keys_of_recorded_settings_are_pinned():
    """A changed key orphans recorded results: add fields with defaults instead."""
    found = {row.title: results.key(row) for row in hunts("cpu")}
    assert found["digits pgd 0.1, 200 steps"] == "4842f6bbfd54"
    assert found["mnist pgd 0.3, 200 steps"] == "a12bf6156e39"


def test_rows_of_every_profile_have_titles_of_their_own():
    for profile in ("smoke", "cpu", "gpu"):
        for rows in (hunts(profile), sparse.joins(profile)):
            titles = [row.title for row in rows]
            assert len(set(titles)) == len(titles) > 0
