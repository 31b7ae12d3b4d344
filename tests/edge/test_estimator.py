"""EDGE against its slow twin, against channels with known information, and against its laws."""

import tracemalloc

import numpy as np
import pytest
import torch
import twins
from scipy.special import digamma

from semirobust.edge import projection
from semirobust.edge.counting import DependenceGraph, Formula, cells, entropy, unseen_entropy
from semirobust.edge.dependence import (
    NullDominatedWarning,
    SaturationWarning,
    UnequalSamplesWarning,
)
from semirobust.edge.estimator import Edge
from semirobust.edge.hashing import joint_codes, rank_codes

PUBLISHED = {"paper": {}, "edge-4.4.1": {"members": 10, "normalise": True}}
quiet = pytest.mark.filterwarnings(
    "ignore::semirobust.edge.dependence.SaturationWarning",
    "ignore::semirobust.edge.dependence.NullDominatedWarning",
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def channel(rng, n):
    """Ten letters, each transmitted with probability 0.8, else one of the others: 1.966 bits."""
    x = rng.integers(0, 10, n)
    return x, np.where(rng.random(n) < 0.8, x, (x + rng.integers(1, 10, n)) % 10)


TRUTH = np.log2(10) + 0.8 * np.log2(0.8) + 0.2 * np.log2(0.2 / 9)


def samples(kind, rng):
    wide = rng.standard_normal((400, 60))
    layer = np.maximum(wide @ rng.standard_normal((60, 40)), 0)
    x, y = channel(rng, 400)
    return {
        "continuous": (wide[:, :3], wide[:, 1:3] + wide[:, 3:5]),
        "discrete": (x[:, None], y[:, None]),
        "binary and wide": ((wide > 0).astype(int), (layer > 2).astype(int)),
        "constant": (np.ones((400, 40)), wide),
        "duplicated": (np.repeat(wide[:40], 10, axis=0), np.repeat(layer[:40], 10, axis=0)),
        "tiny": (wide[:5, :3], layer[:5, :3]),
        "twenty": (wide[:20], layer[:20]),
        "wide": (wide, layer),
        "narrow and wide": (wide[:, :2], layer),
        "far from zero": (wide * 1e3, layer + 1e4),
        "unequal scales": (wide * np.logspace(-6, 6, 60), layer),
    }[kind]


KINDS = [
    "continuous", "discrete", "binary and wide", "constant", "duplicated", "tiny", "twenty", "wide",
    "narrow and wide", "far from zero", "unequal scales",
]  # fmt: skip


@quiet
@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("kind", KINDS)
def test_published_presets_agree_with_the_slow_twin(kind, name, rng):
    x, y = samples(kind, rng)
    slow = twins.edge(x, y, **PUBLISHED[name])
    fast = Edge.preset(name, permutations=0)(x.astype(np.float64), y.astype(np.float64))
    assert fast.value == pytest.approx(slow, abs=1e-9)


@quiet
def test_drawn_shifts_agree_with_the_slow_twin(rng):
    x, y = samples("wide", rng)
    drawn = {"members": 10, "normalise": True, "stochastic": True}
    fast = Edge.preset("paper", permutations=0, **drawn)(x, y)
    assert fast.value == pytest.approx(twins.edge(x, y, **drawn), abs=1e-9)


# What the published program itself gives (EDGE 4.4.1 of github.com/mrtnoshad/EDGE, run once on
# these inputs): one member without normalisation, then its defaults.
RUN_BY_THEM = {
    "plane": (0.488488811058, 0.696307063163),
    "letters": (0.620642877951, 0.984583142954),
    "binary": (2.222924693514, 8.643856189775),
    "layer": (2.403999900810, 8.638856189775),
    "narrow and wide": (0.651837790011, 4.071317035104),
    "wide and narrow": (0.546426108672, 1.542211128832),
    "hundred": (2.252136628024, 6.643856189775),
    "twenty": (1.363977326864, 3.721928094887),
    "scales": (2.339996909218, 8.643856189775),
    "constant": (0.001000000000, 0.001000000000),
}


def given_to_them(kind):
    stream = np.random.RandomState(7)  # its stream is the same in every version of NumPy
    wide = stream.standard_normal((400, 60))
    layer = np.maximum(wide @ stream.standard_normal((60, 40)), 0)
    return {
        "plane": (wide[:, :2], wide[:, 1:2] + wide[:, 2:3]),
        "letters": (np.floor(4 * wide[:, :1]), np.floor(4 * wide[:, :1] + layer[:, :1])),
        "binary": ((wide > 0).astype(float), (layer > 2).astype(float)),
        "layer": (wide, layer),
        "narrow and wide": (wide[:, :2], layer),
        "wide and narrow": (wide, layer[:, :1]),
        "hundred": (wide[:100], layer[:100]),
        "twenty": (wide[:20], layer[:20]),
        "scales": (wide * np.logspace(-6, 3, 60), layer + 1e3),
        "constant": (np.ones((400, 40)), wide),
    }[kind]


@quiet
@pytest.mark.parametrize("kind", RUN_BY_THEM)
def test_published_presets_give_what_the_published_program_gives(kind):
    x, y = given_to_them(kind)
    found = [Edge.preset(name, permutations=0)(x, y).value for name in PUBLISHED]
    assert found == pytest.approx(RUN_BY_THEM[kind], abs=1e-9)
    assert [twins.edge(x, y, **how) for how in PUBLISHED.values()] == pytest.approx(
        RUN_BY_THEM[kind], abs=1e-9
    )


@quiet
def test_classes_count_by_their_share_as_in_the_twin(rng):
    x, y = rng.standard_normal((300, 50)), rng.standard_normal((300, 30))
    labels = rng.permutation(np.repeat([0, 1, 2], [100, 100, 100]))
    fast = Edge.preset("paper")(x, y, labels)
    assert fast.value == pytest.approx(twins.edge_by_class(x, y, labels), abs=1e-9)
    assert fast.samples == {0: 100, 1: 100, 2: 100}


def test_one_bit_in_one_class_of_two_counts_by_the_prior(rng):
    labels = np.repeat([0, 1], [300, 100])
    bit = (np.arange(400) % 2) * (labels == 0)
    with pytest.warns(UnequalSamplesWarning, match="100 to 300"), pytest.warns(SaturationWarning):
        found = Edge(correction="none")(bit, bit, labels)
    assert found.value == pytest.approx(0.75)
    assert found.per_class == pytest.approx({0: 1.0, 1: 0.0})
    assert found.notes == ("class 1: constant, all samples in one cell",)


def test_the_published_clip_raises_the_channel_and_the_calibrated_estimate_does_not(rng):
    published, calibrated = [], []
    for _ in range(40):
        x, y = channel(rng, 1000)
        published.append(Edge.preset("paper", permutations=0)(x, y).value)
        calibrated.append(Edge(permutations=0)(x, y).value)
    assert np.mean(published) == pytest.approx(2.397, abs=0.03)
    assert np.mean(calibrated) == pytest.approx(TRUTH, abs=0.05)


@pytest.mark.parametrize("n", [100, 200, 400, 10000])
def test_calibrated_is_unbiased_on_the_channel_at_many_sizes(n, rng):
    values = [Edge(permutations=0)(*channel(rng, n)).value for _ in range(100 if n < 1000 else 10)]
    assert np.mean(values) == pytest.approx(TRUTH, abs=0.05)


@pytest.mark.parametrize("r", [0.0, 0.5, 0.9])
@pytest.mark.filterwarnings("ignore::semirobust.edge.dependence.NullDominatedWarning")
def test_calibrated_on_a_gaussian_pair(r, rng):
    x = rng.standard_normal(4000)
    y = r * x + np.sqrt(1 - r**2) * rng.standard_normal(4000)
    truth = -0.5 * np.log2(1 - r**2)
    assert Edge()(x, y).value == pytest.approx(truth, rel=0.1, abs=0.1)


@quiet
@pytest.mark.parametrize("name", ["calibrated", "paper"])
@pytest.mark.parametrize("n", [50, 100, 392, 1000, 4000])
@pytest.mark.parametrize("d", [1, 3, 80])
def test_excess_of_independent_inputs_is_within_three_null_deviations(n, d, name, rng):
    found = Edge.preset(name)(rng.standard_normal((n, d)), rng.standard_normal((n, d)))
    assert abs(found.excess) <= 3 * found.null_sd


@quiet
def test_the_permutation_p_is_uniform_on_independent_inputs(rng):
    edge = Edge(permutations=99, projections=1)
    p = [edge(rng.standard_normal((60, 2)), rng.standard_normal((60, 2))).p for _ in range(200)]
    assert np.mean(p) == pytest.approx(0.5, abs=0.08)
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.06)


@quiet
@pytest.mark.parametrize("directions", ["random", "principal"])
def test_calibrated_ignores_scale_order_and_which_side_is_x(directions, rng):
    x = rng.standard_normal((240, 30))
    y = np.maximum(x @ rng.standard_normal((30, 20)), 0)
    labels = np.repeat([0, 1], 120)
    edge = Edge(projection=directions, permutations=30)
    found = edge(x, y, labels)
    order = rng.permutation(240)
    for other in (
        edge(1000 * x, y / 3, labels),
        edge(x[order], y[order], labels[order]),
        edge(y, x, labels),
    ):
        assert other.value == pytest.approx(found.value, abs=1e-9)
        assert other.null_mean == pytest.approx(found.null_mean, abs=1e-9)
        assert other.null_sd == pytest.approx(found.null_sd, abs=1e-9)


@quiet
def test_principal_directions_find_what_random_ones_miss(rng):
    shared = rng.standard_normal((500, 2)) * 5
    x = shared @ rng.standard_normal((2, 300)) + 3 * rng.standard_normal((500, 300))
    y = shared @ rng.standard_normal((2, 200)) + 3 * rng.standard_normal((500, 200))
    principal = Edge(projection="principal")(x, y)
    assert principal.excess > 1 > Edge()(x[:, ::-1], rng.permutation(y)).excess
    assert principal.spread is None


def test_same_seed_same_bits_and_inputs_are_left_alone(rng):
    x, y = rng.standard_normal((200, 20)), rng.standard_normal((200, 20))
    y[:, :10] += 2 * x[:, :10]
    kept = x.copy(), y.copy()
    x.setflags(write=False)
    first, second = (Edge(projections=2)(x, y) for _ in range(2))
    assert first == second
    assert np.array_equal(x, kept[0])
    assert np.array_equal(y, kept[1])


@quiet
@pytest.mark.parametrize(
    "convert",
    [
        torch.from_numpy,
        lambda a: torch.from_numpy(a).reshape(-1, 4, 5).requires_grad_(),
        np.asfortranarray,
        lambda a: a.astype(np.longdouble),
        lambda a: a.tolist(),
    ],
)
def test_any_container_gives_the_same_bits(convert, rng):
    x, y = rng.standard_normal((120, 20)), rng.standard_normal((120, 20))
    labels = np.arange(120) % 2
    edge = Edge(permutations=5)
    expected = edge(x, y, labels)
    assert edge(convert(x), y, torch.from_numpy(labels)).value == pytest.approx(expected.value)


@quiet
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int8, torch.bool])
def test_every_real_type_is_read(dtype, rng):
    x = torch.from_numpy(rng.integers(0, 2, (120, 20))).to(dtype)
    y = torch.from_numpy(rng.integers(0, 2, (120, 20)))
    assert Edge(permutations=0)(x, y) == Edge(permutations=0)(x.to(torch.float64), y)


@quiet
def test_single_precision_differs_by_a_rounding_only(rng):
    x, y = (rng.standard_normal((1000, 200)).astype(np.float32) for _ in range(2))
    edge = Edge.preset("paper", permutations=0)
    double = edge(x.astype(np.float64), y.astype(np.float64)).value
    assert edge(x, y).value == pytest.approx(double, abs=0.02)


@quiet
def test_values_beyond_the_square_root_of_single_precision_are_read(rng):
    x, y = (rng.standard_normal((100, 20)).astype(np.float32) for _ in range(2))
    edge = Edge.preset("paper", permutations=0)
    assert edge(x * np.float32(2**80), y).value == pytest.approx(edge(x, y).value, abs=0.05)


@quiet
def test_extra_memory_is_a_block_and_not_the_layer(rng):
    x, y = (rng.standard_normal((2000, 4000), dtype=np.float32) for _ in range(2))
    tracemalloc.start()
    Edge.preset("paper", permutations=0)(x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * projection.BLOCK < x.nbytes / 3


@quiet
def test_no_estimate_exceeds_its_ceiling_nor_the_ceiling_the_samples(rng):
    for n in (20, 100, 400):
        x, y = rng.standard_normal((n, 60)), rng.standard_normal((n, 60))
        for name in ("paper", "calibrated", "edge-4.4.1"):
            found = Edge.preset(name, permutations=0)(x, x if n == 100 else y)
            assert found.value <= found.ceiling + 1e-9
            assert found.ceiling <= np.log2(n) + 1e-9


def test_information_of_a_sample_with_itself_is_its_entropy(rng):
    x = rng.integers(0, 7, 500)
    with pytest.warns(SaturationWarning):
        found = Edge()(x, x)
    assert found.value == pytest.approx(found.entropy_x)
    assert found.saturation == pytest.approx(1)
    assert found.p == pytest.approx(1 / 201)


def test_constant_input_gives_zero_with_a_note(rng):
    found = Edge()(np.full((100, 9), 0.1), rng.standard_normal((100, 9)))
    assert found.value == pytest.approx(0, abs=1e-12)
    assert found.notes == ("class 0: constant, all samples in one cell",)


def test_a_value_that_the_null_explains_is_warned_of(rng):
    x, y = rng.standard_normal((100, 400)), rng.standard_normal((100, 400))
    with pytest.warns(NullDominatedWarning, match="shuffled"), pytest.warns(SaturationWarning):
        Edge.preset("paper")(x, y)


def test_without_permutations_there_is_no_null(rng):
    found = Edge(permutations=0)(*channel(rng, 500))
    assert (found.null_mean, found.null_sd, found.excess, found.p) == (None,) * 4


@pytest.mark.parametrize(
    ("x", "y", "labels", "message"),
    [
        (np.zeros((50, 2)), np.zeros((40, 2)), None, "50 and 40"),
        (np.zeros((50, 2), complex), np.zeros((50, 2)), None, "real numbers"),
        (np.zeros((50, 0)), np.zeros((50, 2)), None, "shape"),
        (np.zeros((3, 2)), np.zeros((3, 2)), None, "class 0 has 3 samples"),
        (np.zeros((50, 2)), np.zeros((50, 2)), np.arange(50) % 2 * 2, "class 1 has no samples"),
        (np.zeros((50, 2)), np.zeros((50, 2)), np.arange(50) % 2 - 1, "0 or more"),
        (np.zeros((50, 2)), np.zeros((50, 2)), np.zeros(50), "whole numbers"),
    ],
)
def test_refuses_samples_that_cannot_be_meant(x, y, labels, message):
    with pytest.raises(ValueError, match=message):
        Edge()(x, y, labels)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("d", [2, 40])
def test_names_the_first_number_that_is_not_finite(value, d):
    y = np.random.default_rng(0).standard_normal((50, d))
    y[7, 1] = value
    with pytest.raises(ValueError, match=f"y is {value} in row 7, column 1"):
        Edge()(np.zeros((50, 2)), y)


def test_random_directions_need_twenty_samples_per_class_as_published():
    labels = np.repeat([0, 1], [30, 19])
    with pytest.raises(ValueError, match="class 1 has 19 samples; the estimate needs at least 20"):
        Edge.preset("paper")(np.zeros((49, 8)), np.zeros((49, 8)), labels)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hashing": "lsh"}, "hashing is one of"),
        ({"projections": 0}, "projections must be at least 1"),
        ({"lower": 0.001}, "correction"),
        ({"members": 2}, "hashing"),
    ],
)
def test_refuses_settings_that_cannot_be_meant(settings, message):
    with pytest.raises(ValueError, match=message):
        Edge(**settings)


def test_refuses_an_unknown_preset():
    with pytest.raises(ValueError, match="calibrated"):
        Edge.preset("best")


def test_the_sum_over_cells_is_the_difference_of_entropies(rng):
    x, y = cells(rng.integers(0, 5, (3, 80))), cells(rng.integers(0, 6, (3, 80)))
    free, clipped = Formula.plug_in(80), Formula.plug_in(80, lower=-99)
    joint = entropy(cells(x.ranks * 6 + y.ranks), free)
    expected = entropy(x, free) + entropy(y, free) - joint
    for formula in (free, clipped):
        assert DependenceGraph(x, y, formula).information()[0] == pytest.approx(expected)


def test_unseen_entropy_is_the_published_sum():
    n, once, twice = 40, np.array([0.0, 12.0, 5.0, 1.0]), np.array([3.0, 5.0, 0.0, 0.0])
    A = np.array([1, 10 / (39 * 12 + 10), 2 / (39 * 4 + 2), 1])
    r = np.arange(1, n)
    expected = [0.0, 0.0, 0.0, 0.0]
    for i in (1, 2):
        sums = -np.log(A[i]) - np.sum((1 - A[i]) ** r / r)
        expected[i] = once[i] / n * (1 - A[i]) ** (1 - n) * sums / np.log(2)
    assert unseen_entropy(n, once, twice) == pytest.approx(expected, abs=1e-6)


def test_corrected_entropy_of_equal_counts_is_digamma():
    codes = np.repeat(np.arange(4), 25)[None]
    expected = (digamma(100) - digamma(25)) / np.log(2)
    assert entropy(cells(codes), Formula.chao_wang_jost(100)) == pytest.approx([expected])


def test_the_null_recounts_what_a_shuffle_of_the_codes_gives(rng):
    x, y = rng.integers(0, 3, 6), rng.integers(0, 2, 6)
    formula = Formula.plug_in(6)
    null = DependenceGraph(cells(x[None]), cells(y[None]), formula).null(
        sets=1, permutations=500, seed=(0, 0)
    )
    shuffles = [rng.permutation(y) for _ in range(500)]
    direct = [
        DependenceGraph(cells(x[None]), cells(s[None]), formula).information()[0][0]
        for s in shuffles
    ]
    assert null.mean() == pytest.approx(np.mean(direct), abs=0.05)
    assert set(np.round(null[:, 0], 9)) == set(np.round(direct, 9))


def test_all_codings_of_a_class_share_a_shuffle(rng):
    x, y = rng.integers(0, 9, (2, 60)), rng.integers(0, 9, (2, 60))
    pair = DependenceGraph(
        cells(np.tile(x, (3, 1))), cells(np.tile(y, (3, 1))), Formula.plug_in(60)
    )
    null = pair.null(sets=3, permutations=20, seed=(0, 0))
    assert np.array_equal(null[:, :2], null[:, 2:4])
    assert np.array_equal(null[:, :2], null[:, 4:])
    assert null[:, 0].std() > 0


def test_codes_far_apart_are_numbered_rather_than_multiplied(rng):
    far = np.floor(rng.standard_normal((2, 5, 30)) * 1e15)
    far[:, :, 15:] = far[:, :, :15]
    codes = joint_codes(far)
    assert [len(np.unique(row)) for row in codes] == [15, 15]
    assert np.array_equal(codes[:, :15], codes[:, 15:])


def test_rank_codes_keep_few_values_and_cut_many_in_equal_shares():
    few = np.tile([3.0, 1.0, 2.0, 2.0], 25)[None]
    assert np.array_equal(rank_codes(few)[:4], [2, 0, 1, 1])
    many = np.random.default_rng(0).standard_normal((1, 100))
    assert np.array_equal(np.bincount(rank_codes(many)), np.full(10, 10))
