"""What carries robustness: the factorial, and its statistic against closed forms."""

from dataclasses import replace
from math import log2, sqrt

import numpy as np
import pytest
import torch

from semirobust import models
from semirobust.data import load
from semirobust.experiments import carriers, interventions
from semirobust.experiments.carriers import cells
from semirobust.experiments.measures import answers, distance, retention
from semirobust.experiments.nodes import listed
from semirobust.experiments.rests import joined
from semirobust.layers import cut


def flags(n, ones):
    return np.array([1.0] * ones + [0.0] * (n - ones))


def test_retention_of_toy_flags_is_the_ratio_of_differences():
    assert retention(flags(100, 50), flags(100, 80), flags(100, 20))[0] == pytest.approx(0.5)
    assert retention(flags(100, 80), flags(100, 80), flags(100, 20)) == (1.0, 0.0)
    assert retention(flags(100, 20), flags(100, 80), flags(100, 20))[0] == 0.0


def test_its_error_is_the_closed_form_of_paired_flags():
    """With Acc_std = 0 and the kept images among the robust, R is a share of m images."""
    n, m, kept = 400, 200, 50
    share, error = retention(flags(n, kept), flags(n, m), np.zeros(n))
    assert share == 0.25
    exact = sqrt(0.25 * 0.75 / m)
    assert error == pytest.approx(exact * sqrt(n / (n - 1)), rel=1e-9)


def test_its_error_is_the_spread_over_draws_of_images():
    rng = np.random.default_rng(0)
    chances = np.array([0.3, 0.1, 0.2, 0.4])  # kept and robust, robust only, standard too, none
    table = np.array([[1, 1, 0], [0, 1, 0], [1, 1, 1], [0, 0, 0]], dtype=float)
    draws = [table[rng.choice(4, 500, p=chances)].T for _ in range(2000)]
    found = np.array([retention(*draw) for draw in draws])
    assert found[:, 0].mean() == pytest.approx(0.75, abs=0.005)
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.05)


def test_there_is_none_where_there_is_nothing_to_retain():
    assert retention(flags(100, 5), flags(100, 3), flags(100, 2)) == (None, None)
    assert retention(flags(100, 5), flags(100, 2), flags(100, 30)) == (None, None)


def test_every_cell_once_and_no_standard_part_trained_on_clean_images():
    row = next(row for row in carriers.carriers("cpu") if row.label == "all cuts")
    found = cells(row)
    assert len(set(found)) == len(found) == len({cell.words for cell in found})
    assert not [cell for cell in found if (cell.origin, cell.training) == ("standard", "clean")]
    assert {cell.n_b for cell in found if cell.origin == "another"} == {4, 12}


@pytest.mark.parametrize("profile", ["smoke", "cpu", "gpu"])
def test_jobs_of_a_row_have_names_of_their_own(profile):
    for module, rows in ((carriers, carriers.carriers), (interventions, interventions.rows)):
        for row in rows(profile):
            nodes = listed(module.of_row(row).targets)
            names = {(node.stage, *node.where.items()): node.artefact.key for node in nodes}
            assert len(names) == len({node.artefact.key for node in nodes})


def test_whole_networks_are_the_artefacts_of_table_1():
    from semirobust.experiments import stages
    from semirobust.experiments.scales import cpu

    table = {
        e.name: e.network.artefact.key for e in stages.of_row(cpu("vgg16", "online")).entries[:2]
    }
    entries = carriers.of_row(carriers.carriers("cpu")[0]).entries[:3]
    assert {e.name: e.network.artefact.key for e in entries[:2]} == table
    other = stages.of_row(cpu("vgg16", "online", seed=1)).robust
    assert entries[2].network.artefact.key == other.artefact.key


@pytest.mark.parametrize("frozen", ["front", "back"])
def test_a_joined_network_has_the_frozen_side_of_its_source(frozen):
    source, standard = (models.build("cnn", width=0.25, seed=seed) for seed in (0, 1))
    network, a = joined(2, frozen, source=source, standard=standard), cut(source, 2)
    front, back = (source, standard) if frozen == "front" else (standard, source)
    for j, link in enumerate(network):
        expected = (front if j < a else back)[j]
        assert all(map(torch.equal, link.parameters(), expected.parameters()))


def test_distance_and_answers_are_their_closed_forms():
    network = models.build("cnn", width=0.25)
    assert distance(network, network) == 0
    twice = models.build("cnn", width=0.25)
    with torch.no_grad():
        for weight in twice.parameters():
            weight.mul_(2)
    assert distance(twice, network) == pytest.approx(1)
    samples = load("digits").test
    with torch.no_grad():
        network[-1][1].weight.zero_()
        network[-1][1].bias.copy_(torch.eye(10)[3])
    assert answers(network, samples) == 0


def test_answers_of_a_coin_are_one_bit():
    samples = load("digits").test
    first = torch.arange(len(samples)) % 2

    class Coin(torch.nn.Module):
        def forward(self, x):
            return torch.eye(10)[first[: len(x)]]

    of_class = samples.take((samples.y == 0).nonzero()[:50, 0])
    assert answers(Coin(), of_class) == pytest.approx(1.0)
    assert log2(2) == 1.0


def test_growth_over_doses_is_the_slope_and_moves_are_means_over_hidden_layers():
    doses = [(0.0, 0.1, 1.0), (0.1, 0.2, 1.5), (3.0, 0.3, 2.0)]
    networks = [
        {"network": str(w), "training": "clean", "weight": w, "clean": 0.5, "whitebox": acc}
        for w, acc, _ in doses
    ]
    rho = [
        {"network": str(w), "preset": preset, column: bits, "j": 4}
        for w, _, bits in doses
        for preset, column in interventions.READ.items()
    ]
    (found,) = interventions.doses(networks, rho)
    assert found["whitebox"] == pytest.approx(0.2)
    assert found["paper"] == found["calibrated"] == pytest.approx(1.0)
    assert found["clean"] == pytest.approx(0)


def test_a_row_without_pairs_is_refused():
    (row,) = carriers.carriers("smoke")
    with pytest.raises(ValueError, match="n_b names no cut"):
        replace(row, study=replace(row.study, n_b=()))
