"""Tickets: exact counts, bit-identical resets, a batched network that is many ordinary ones."""

from dataclasses import replace
from math import floor

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from semirobust.attacks.gradient import FGSM, PGD
from semirobust.data import Samples
from semirobust.tickets import batched
from semirobust.tickets import pruning as tickets
from semirobust.tickets.batched import (
    Batched,
    Masked,
    Steps,
    chain,
    correct,
    fit,
    full_masks,
    glorot_weights,
)
from semirobust.tickets.pruning import Tickets, levels, pruned, remaining

ATTACKS = {
    "standard": None,
    "fgsm": FGSM(epsilon=0.1),
    "pgd": PGD(epsilon=0.1, step_size=0.05, steps=3, random_start=False),
}
SIZES = (12, 20, 9, 3)
BRIEF = Tickets(
    steps=Steps(iterations=6, batch=10, attack=ATTACKS["fgsm"]),
    levels=3,
    trials=2,
    rates=(0.3, 0.2, 0.1),
    hidden=(20, 9),
    looks=2,
)


def points(n=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    x = 0.3 * torch.rand(n, 1, 3, 4, generator=generator)
    x[torch.arange(n), 0, labels, :] += 0.6
    return Samples(x, labels)


def random_masks(weights, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.rand(weight.shape, generator=generator) < 0.5 for weight in weights)


def last(steps):
    *_, (_, weights) = steps
    return weights


def clean(weights, masks):
    return {"clean": correct(weights, masks, points(30, 1)).double().mean(dim=1)}


def run(settings=BRIEF, **how):
    return list(levels(settings, points(), points(20, 2), clean, **how))


def ordinary(weights, masks, samples, steps, seed):
    """Return one network trained by a loop that knows nothing of batched ones."""
    network = chain(weights, full_masks(weights), 0).double()
    for link, mask in zip(network, masks, strict=True):
        parametrize.register_parametrization(link[1], "weight", Masked(mask[0].T))
    adam = torch.optim.Adam(network.parameters(), lr=steps.learning_rate)
    order = batched.sample_orders(len(samples), steps.batch, [seed])
    for _ in range(steps.iterations):
        index = next(order)[0]
        x, y = samples.x[index].double(), samples.labels[index]
        parts = [x]
        if steps.attack is not None:
            parts.append(steps.attack(network, x, y, generator=torch.Generator()))
        losses = [
            nn.functional.cross_entropy(network(part), y, label_smoothing=steps.smoothing)
            for part in parts
        ]
        adam.zero_grad()
        (sum(losses) / len(losses)).backward()
        adam.step()
    return tuple(link[1].weight.detach().T for link in network)


@pytest.mark.parametrize("name", ATTACKS)
def test_many_networks_at_once_end_where_each_ends_alone(name):
    weights = tuple(weight.double() for weight in glorot_weights(SIZES, [3, 4, 5]))
    masks = random_masks(weights)
    steps = Steps(iterations=25, batch=10, attack=ATTACKS[name], learning_rate=0.01)
    together = last(fit(weights, masks, points(), steps, [7, 8, 9]))
    for number, seed in enumerate((7, 8, 9)):
        own = [value[number : number + 1] for value in weights]
        hidden = [mask[number : number + 1] for mask in masks]
        alone = ordinary(own, hidden, points(), steps, seed)
        for first, mask, second in zip(together, masks, alone, strict=True):
            torch.testing.assert_close(first[number] * mask[number], second, rtol=0, atol=1e-9)


def test_a_batched_network_gives_the_logits_of_its_chains():
    weights = glorot_weights(SIZES, [0, 1])
    masks, x = random_masks(weights), points().x
    logits = Batched(weights, masks)(x.flatten(1).repeat(2, 1)).view(2, len(x), -1)
    for number in range(2):
        torch.testing.assert_close(logits[number], chain(weights, masks, number)(x))


def test_flags_of_a_batched_evaluation_are_those_of_the_chains():
    weights, samples = glorot_weights(SIZES, [0, 1]), points(35)
    attack, masks = ATTACKS["pgd"], full_masks(weights)
    flags = correct(weights, masks, samples, attack)
    for number in range(2):
        network = chain(weights, masks, number)
        x = attack(network, samples.x, samples.y, generator=torch.Generator())
        assert torch.equal(flags[number], network(x).argmax(1) == samples.y)


def test_a_masked_layer_equals_its_dense_zeros_and_rewinding_needs_no_forward_pass():
    layer, mask = (
        nn.utils.skip_init(nn.Linear, 4, 3, bias=False),
        torch.rand(3, 4, generator=torch.Generator().manual_seed(0)) < 0.5,
    )
    first = torch.arange(12.0).view(3, 4) + 1
    layer.weight = nn.Parameter(first.clone())
    parametrize.register_parametrization(layer, "weight", Masked(mask))
    assert torch.equal(layer.weight, first * mask)
    with torch.no_grad():
        layer.parametrizations.weight.original.copy_(-first)
    assert torch.equal(layer.weight, -first * mask)


def test_frozen_layers_are_bit_equal_after_training_and_the_others_move():
    weights = glorot_weights(SIZES, [0, 1])
    steps = Steps(iterations=5, batch=10, attack=ATTACKS["fgsm"])
    after = last(fit(weights, full_masks(weights), points(), steps, [0, 1], a=2))
    assert torch.equal(after[0], weights[0])
    assert torch.equal(after[1], weights[1])
    assert not torch.equal(after[2], weights[2])


def test_weights_that_are_pruned_have_no_effect_and_never_move():
    weights = glorot_weights(SIZES, [0])
    masks = random_masks(weights)
    after = last(fit(weights, masks, points(), Steps(iterations=5, batch=10), [0]))
    for before, mask, now in zip(weights, masks, after, strict=True):
        assert torch.equal(now[~mask], before[~mask])
        assert not torch.equal(now[mask], before[mask])
    for link, mask in zip(chain(after, masks, 0), masks, strict=True):
        assert not link[1].weight[~mask[0].T].any()


def test_pruning_takes_the_smallest_of_what_remains_and_exactly_the_share():
    weights = glorot_weights(SIZES, [0, 1])
    masks, rates = full_masks(weights), (0.3, 0.2, 0.1)
    counts = [weight[0].numel() for weight in weights]
    for level in range(1, 7):
        before, masks = masks, pruned(weights, masks, rates)
        expected = [remaining(n, r, level) for n, r in zip(counts, rates, strict=True)]
        for number in range(2):
            assert [int(mask[number].sum()) for mask in masks] == expected
            for weight, old, new in zip(weights, before, masks, strict=True):
                size, gone = weight[number].abs(), old[number] & ~new[number]
                assert not (new[number] & ~old[number]).any()
                if gone.any():
                    assert size[gone].max() <= size[new[number]].min()


def test_counts_follow_the_integer_recursion_and_the_published_shares():
    n = 235_200
    for level in range(1, 21):
        previous = remaining(n, 0.2, level - 1)
        assert remaining(n, 0.2, level) == previous - floor(previous / 5)
    layers = ((235_200, 0.2), (30_000, 0.2), (1000, 0.1))
    shares = [
        round(sum(remaining(n, r, level) for n, r in layers) / 2662, 1)
        for level in tickets.PUBLISHED
    ]
    assert shares[:5] == [100.0, 51.3, 16.9, 8.7, 3.6]
    assert shares[5] in (1.8, 1.9)


def test_equal_magnitudes_do_not_change_the_count():
    weights = (torch.ones(1, 5, 4),)
    assert int(pruned(weights, full_masks(weights), (0.25,))[0].sum()) == 15


def test_the_original_reset_restarts_bit_identical_and_the_random_one_does_not():
    weights = glorot_weights(SIZES, range(50, 56))
    begun = tickets.reset_weights(BRIEF, SIZES, 2, weights)
    first = tickets.initial_weights(BRIEF, SIZES)
    for layer, initial, trained in zip(begun, first, weights, strict=True):
        assert torch.equal(layer[:2], initial)
        assert not torch.equal(layer[2:4], initial)
        assert torch.equal(layer[4:], trained[4:])
    again = tickets.reset_weights(BRIEF, SIZES, 3, weights)
    assert not torch.equal(begun[0][2:4], again[0][2:4])


def test_dense_networks_are_shared_and_every_record_counts_its_weights():
    found = run()
    assert [level.number for level in found] == [0, 1, 2, 3]
    for level in found:
        assert [(r["reset"], r["trial"]) for r in level.records] == [
            (reset, trial) for reset in BRIEF.resets for trial in range(2)
        ]
        for record in level.records:
            n = (240, 180, 27)
            expected = [remaining(*pair, level.number) for pair in zip(n, BRIEF.rates, strict=True)]
            assert record["remaining"] == sum(expected)
            assert record["share"] == pytest.approx(sum(expected) / sum(n))
    dense = [(r["clean"], r["validation"]) for r in found[0].records]
    assert dense[:2] == dense[2:4] == dense[4:]
    trained = {r["reset"]: r["trained"] for r in found[3].records}
    assert trained == {"original": 6, "random": 6, "continued": 24}


def test_steps_to_the_best_score_are_those_of_the_first_look_that_reached_it():
    scores = [(3, torch.tensor([0.5, 0.2])), (6, torch.tensor([0.5, 0.9]))]
    masks = full_masks(glorot_weights(SIZES, [0, 1]))
    rows = tickets.level_records(replace(BRIEF, resets=("original",)), 0, masks, scores, {})
    assert [(row["iterations"], row["validation"]) for row in rows] == [
        (3, 0.5),
        (6, pytest.approx(0.9)),
    ]


def test_a_stopped_run_goes_on_at_its_level_and_ends_with_the_same_bits(tmp_path):
    first, second = tmp_path / "whole.pt", tmp_path / "stopped.pt"
    uninterrupted = run(checkpoint=first)
    halted = levels(BRIEF, points(), points(20, 2), clean, checkpoint=second)
    next(halted), next(halted)
    halted.close()
    resumed = run(checkpoint=second)
    assert [level.resumed for level in resumed] == [True, True, False, False]
    assert [level.records for level in resumed] == [level.records for level in uninterrupted]
    one, two = (tickets.restored(path, BRIEF, points()) for path in (first, second))
    assert all(torch.equal(a, b) for a, b in zip(one.weights, two.weights, strict=True))
    assert set(one.tickets) == {0, 3}
    with pytest.raises(ValueError, match="another run"):
        tickets.restored(first, replace(BRIEF, seed=1), points())


def test_trials_differ_and_a_seed_repeats_them():
    one, two, other = run(), run(), run(replace(BRIEF, seed=1))
    assert [level.records for level in one] == [level.records for level in two]
    assert [level.records for level in one] != [level.records for level in other]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Steps(iterations=0), "iterations must be at least 1 and whole"),
        (lambda: Steps(attack=PGD(epsilon=0.1)), "random_start=False"),
        (lambda: replace(BRIEF, rates=(0.2, 0.2)), "one share a layer, 3"),
        (lambda: replace(BRIEF, rates=(20, 20, 10)), "such as 0.2 for 20 %"),
        (
            lambda: replace(BRIEF, resets=("rewound",)),
            "reset must be one of original, random, continued; got 'rewound'",
        ),
        (lambda: next(batched.sample_orders(5, 10, [0])), "larger than the 5 training samples"),
        (
            lambda: last(fit(glorot_weights(SIZES, [0]), (), points(), Steps(), [0], a=3)),
            "need 0 <= a < n",
        ),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
