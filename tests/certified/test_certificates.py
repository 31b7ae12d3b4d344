"""Certificates: never broken, bracketing gamma, and stored so that anybody can look again."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from semirobust.attacks.autoattack import FastEnsemble
from semirobust.attacks.gradient import PGD
from semirobust.certified import certificates as certified
from semirobust.certified.bounds import BOUNDS
from semirobust.certified.certificates import (
    certified_margins,
    clopper_pearson,
    verified_by_bound,
)
from semirobust.certified.interval_attack import IntervalGradient
from semirobust.certified.latent import (
    collisions,
    latent_boxes,
    matched,
    overlaps,
    probe_free,
    separated,
)
from semirobust.certified.mixtrain import CHAINS, Chain, Verifiable
from semirobust.certified.operators import Box
from semirobust.data import Samples
from semirobust.evaluation.report import robust_accuracy
from semirobust.experiments import registry as experiments
from semirobust.results import records as results
from semirobust.theory.worlds import affine_network
from semirobust.training.fitting import Training, fit

EPSILON = 0.08


@pytest.fixture(scope="module")
def small():
    """Return a small network trained on intervals, with images and labels of two easy classes."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(240) % 3
    x = (0.25 * torch.rand(240, 1, 4, 4, generator=generator)).index_put(
        (torch.arange(240), torch.zeros_like(y), y), torch.tensor(0.8)
    )
    chain = Chain(convolutions=((6, 3, 1),), hidden=(16,), size=4, channels=1, classes=3)
    network = chain.build(seed=0, tight=True)
    settings = Training(
        epochs=25,
        method=Verifiable(epsilon=EPSILON, ramp=10),
        learning_rate=0.01,
        schedule="cosine",
        batch=40,
        optimiser="adamw",
    )
    for _ in fit(network, Samples(x, y), settings):
        pass
    return SimpleNamespace(network=network, x=x, y=y)


def test_no_attack_breaks_a_certificate(small):
    flags = verified_by_bound(certified_margins(small.network, small.x, small.y, EPSILON), small.y)
    attacks = {
        "pgd": PGD(epsilon=EPSILON, step_size=EPSILON / 4, steps=20, restarts=2),
        "interval": IntervalGradient(chain=small.network, epsilon=EPSILON),
        "ensemble": FastEnsemble(epsilon=EPSILON, steps=20, targeted_steps=10, targets=2),
    }
    report = robust_accuracy(small.network, small.x, small.y, attacks)
    assert flags["any"].float().mean() > 0.5
    assert not (flags["any"] & ~report.standing).any()


def test_a_union_of_bounds_only_grows(small):
    flags = verified_by_bound(certified_margins(small.network, small.x, small.y, EPSILON), small.y)
    assert all((flags["any"] | ~flags[bound]).all() for bound in BOUNDS)
    margins = certified_margins(small.network, small.x, small.y, EPSILON, ("ibp",))
    fewer = verified_by_bound(margins, small.y)
    assert (flags["any"] | ~fewer["any"]).all()


def test_gamma_lies_between_certificate_and_attack_and_below_the_clean_score(small):
    attack = PGD(epsilon=EPSILON, step_size=EPSILON / 4, steps=20)
    report = robust_accuracy(small.network, small.x, small.y, attack)
    for lower in certified_margins(small.network, small.x, small.y, EPSILON).values():
        found = certified.bracket(small.network, small.x, small.y, lower, report)
        assert found.low <= found.gamma_cert <= found.gamma_attack <= found.gamma_clean
        assert found.gamma_attack <= found.high
        assert found.smooth_cert <= found.smooth_attack <= found.smooth_clean


def test_the_certified_score_of_an_affine_network_of_two_classes_is_exact(generator):
    network = affine_network([16, 4, 2], generator)
    x, y = torch.rand(6, 1, 4, 4, generator=generator), torch.tensor([0, 1, 0, 1, 0, 1])
    found = certified_margins(network, x, y, 0.01, ("zonotope",))["zonotope"]
    weight = torch.func.jacrev(lambda one: network(one[None])[0])(x[0]).flatten(1)
    direction = (weight[1 - y] - weight[y]).view_as(x)
    at_worst = network((x + 0.01 * direction.sign()).clamp(0, 1))
    exact = 2 * at_worst.softmax(1).gather(1, y[:, None])[:, 0] - 1
    assert torch.allclose(certified.certified_score(found).float(), exact, atol=1e-4)


def test_limits_of_clopper_and_pearson_have_their_closed_forms():
    assert clopper_pearson(10, 10, upper=False) == pytest.approx(0.05 ** (1 / 10))
    assert clopper_pearson(0, 10, upper=True) == pytest.approx(1 - 0.05 ** (1 / 10))
    assert clopper_pearson(10, 10, upper=True) == 1.0
    assert clopper_pearson(4, 10, upper=False) < 0.4 < clopper_pearson(4, 10, upper=True)
    with pytest.raises(ValueError, match="successes"):
        clopper_pearson(11, 10, upper=True)


def intervals(*pairs):
    low, high = torch.tensor(pairs).T
    return Box(low[:, None].float(), high[:, None].float())


def test_boxes_overlap_where_they_share_a_point_and_differ_in_label():
    boxes = intervals((0, 1), (0.5, 2), (1, 3), (5, 6))
    graph = overlaps(boxes, torch.tensor([0, 1, 0, 1]))
    assert graph.nonzero().tolist() == [[0, 1], [1, 0], [1, 2], [2, 1]]


def test_what_is_left_is_free_of_overlaps_and_cannot_be_added_to(generator):
    graph = torch.triu(torch.rand(40, 40, generator=generator) < 0.1, diagonal=1)
    graph = graph | graph.T
    kept = separated(graph)
    assert not graph[kept][:, kept].any()
    assert (graph[~kept][:, kept].any(dim=1)).all()


def test_a_star_loses_its_centre_only_and_a_full_graph_keeps_the_largest_class():
    star = torch.zeros(5, 5, dtype=torch.bool)
    star[0, 1:] = star[1:, 0] = True
    assert separated(star).tolist() == [False, True, True, True, True]
    y = torch.tensor([0, 0, 0, 1, 2])
    assert probe_free(y[:, None] != y[None], y) == 0.6


def test_every_pair_of_a_matching_costs_one_sample():
    graph = torch.zeros(6, 6, dtype=torch.bool)
    for one, two in ((0, 1), (1, 2), (4, 5)):
        graph[one, two] = graph[two, one] = True
    assert matched(graph) == 2


def test_overlap_of_interval_boxes_can_only_spread_with_depth(small):
    graphs = [
        overlaps(latent_boxes(small.network, j, small.x, 4 * EPSILON), small.y) for j in range(4)
    ]
    for earlier, later in pairwise(graphs):
        assert (later | ~earlier).all()
    assert not graphs[0].all()


def test_collisions_are_found_where_a_layer_forgets_the_label_and_not_where_it_is_injective(
    generator,
):
    x, y = torch.rand(8, 1, 2, 2, generator=generator), torch.arange(8) % 2
    with torch.random.fork_rng():
        blind, open_eyes = nn.Linear(4, 3), nn.Linear(4, 4)
    with torch.no_grad():
        blind.weight.zero_()
        open_eyes.weight.copy_(torch.eye(4))
    found = [
        collisions(
            nn.Sequential(nn.Sequential(nn.Flatten(), layer), nn.Identity()),
            1,
            x,
            y,
            1e-3,
            generator=generator,
            within=0.001,
        )
        for layer in (blind, open_eyes)
    ]
    assert matched(found[0]) == 4
    assert matched(found[1]) == 0


def test_a_search_that_needs_coefficients_refuses_intervals():
    chain = CHAINS["digits"].build()
    with pytest.raises(ValueError, match="no coefficients"):
        IntervalGradient(chain=chain, epsilon=0.1, bound="ibp")
    with pytest.raises(ValueError, match="rising"):
        IntervalGradient(chain=chain, epsilon=0.1, boxes=(0.5, 0.1))


def test_on_two_pixels_the_search_finds_what_brute_force_finds(generator):
    """Every point of a grid over the ball, finer than the attack's steps, is asked."""
    x, y = torch.rand(60, 1, 1, 2, generator=generator), torch.arange(60) % 3
    first, last = affine_network([2, 8, 3], generator)
    network, epsilon = nn.Sequential(nn.Sequential(first, nn.ReLU()), last), 0.15
    steps = torch.linspace(-epsilon, epsilon, 61)
    grid = torch.cartesian_prod(steps, steps).view(-1, 1, 1, 2)
    points = (x[:, None] + grid).clamp(0, 1)
    logits = network(points.flatten(0, 1)).view(60, -1, 3)
    own = logits.gather(2, y.view(-1, 1, 1).expand(-1, len(grid), 1))[:, :, 0]
    others = logits.scatter(2, y.view(-1, 1, 1).expand(-1, len(grid), 1), -torch.inf)
    least = (own - others.max(dim=2).values).min(dim=1).values
    attack = IntervalGradient(chain=network, epsilon=epsilon)
    x_adv = attack(network, x, y, generator=generator)
    broken = network(x_adv).argmax(dim=1) != y
    assert ((x_adv - x).abs() <= epsilon + 1e-6).all()
    assert ((x_adv >= 0) & (x_adv <= 1)).all()
    near = 0.01  # what a point between those of the grid may add
    assert 10 < int((least < -near).sum()) < 50
    assert broken[least < -near].all()
    assert not broken[least > near].any()


def test_symbolic_steps_break_what_the_first_search_did_not(small):
    weak = IntervalGradient(
        chain=small.network, epsilon=0.3, steps=1, restarts=1, rounds=1, boxes=(1.0,)
    )
    short = PGD(epsilon=0.3, step_size=0.3 / 4, steps=1, stop_when_fooled=True)
    found = {
        name: robust_accuracy(small.network, small.x, small.y, attack).accuracy
        for name, attack in {"interval": weak, "pgd": short}.items()
    }
    assert found["interval"] < found["pgd"]


STORED = [
    pytest.param(record, id=f"{name}-{record.key}")
    for name in ("mixtrain", "certified")
    for record in results.records(name)
]


@pytest.mark.parametrize("record", STORED)
def test_every_stored_row_keeps_the_order_of_its_bracket(record):
    tables = record.metrics
    for entry in [*tables.get("networks", []), *tables.get("bracket", [])]:
        assert entry["gamma_cert"] <= entry["gamma_attack"] <= entry["gamma_clean"] <= 1
        assert -1 <= entry["low"] <= entry["gamma_cert"]
        assert entry["gamma_attack"] <= entry["high"] <= 1
        assert entry["smooth_cert"] <= entry["smooth_attack"] + 1e-6 <= entry["smooth_clean"] + 2e-6


@pytest.mark.parametrize("record", STORED)
def test_no_stored_certificate_was_broken(record):
    for report in record.metrics.get("reports", []):
        pairs = zip(report["certified"], report["standing"], strict=True)
        assert all(stands == "1" for sure, stands in pairs if sure == "1")
        failed = {canary["name"] for canary in report["canaries"] if not canary["passed"]}
        # one class for every image, attacked or not: there is no gradient to follow
        moved = report["clean_accuracy"] - report["accuracy"]
        one_class = report["clean_accuracy"] < 0.15 and moved < 0.01
        assert failed <= ({"gradients"} if one_class else set())
    for entry in [*record.metrics.get("transfer", []), *record.metrics.get("networks", [])]:
        assert entry["broken certificates"] == 0


def test_every_row_of_both_experiments_has_a_title_and_a_key_of_its_own():
    for name in ("mixtrain", "certified"):
        for profile in ("smoke", "cpu", "gpu"):
            rows = experiments.rows(name, profile)
            assert len({row.title for row in rows}) == len(rows)
            assert len({results.key(row) for row in rows}) == len(rows)
