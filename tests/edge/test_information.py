"""rho_j: known chains, the held estimate as the twin of the streamed one, and refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from semirobust.edge.estimator import Edge
from semirobust.edge.information import compare, equal_numbers, records, rho
from semirobust.edge.reading import Passing, held, streamed
from semirobust.layers import activations, trainable_layers
from semirobust.models import build

FEW = Edge(permutations=20)
EVERY = (
    Edge.preset("paper", permutations=20),
    FEW,
    Edge.preset("edge-4.4.1", permutations=5),
    Edge(permutations=5, projection="principal"),
)


class Counting(nn.Module):
    """Passes its input on, and keeps how many images came at once."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = []

    def forward(self, x):
        self.sizes.append(len(x))
        return x


class Constant(nn.Module):
    def forward(self, x):
        return torch.ones(len(x), 7)


@pytest.fixture
def images(generator):
    y = torch.arange(400) % 4
    return torch.rand(400, 3, 8, 8, generator=generator) + y[:, None, None, None] / 4, y


def chain(generator, *, inplace=False):
    """Three links whose weights come from the generator."""
    links = [
        nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU()),
        nn.Sequential(nn.ReLU(inplace=inplace), nn.Flatten(), nn.Linear(216, 20)),
        nn.Sequential(nn.ReLU(inplace=inplace), nn.Linear(20, 4)),
    ]
    for parameter in (p for link in links for p in link.parameters()):
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return nn.Sequential(*links).eval()


@pytest.fixture
def network():
    with torch.random.fork_rng():
        return chain(torch.Generator().manual_seed(1))


@pytest.fixture
def inplace_network():
    with torch.random.fork_rng():
        return chain(torch.Generator().manual_seed(1), inplace=True)


def test_every_image_passes_once_and_no_more_than_a_block_at_a_time(network, images):
    counter = Counting()
    rho(nn.Sequential(counter, *network), *images, edge=FEW, a=2, block=100)
    assert sum(counter.sizes) == len(images[0])
    assert max(counter.sizes) <= 100


def test_there_is_a_rho_for_every_pair_from_a_on(network, images):
    assert list(rho(network, *images, edge=FEW)) == [2, 3]
    later = rho(network, *images, edge=FEW, a=2)
    assert later == {3: rho(network, *images, edge=FEW)[3]}


def test_identity_layers_keep_their_entropy(images):
    for edge in (FEW, principal()):
        one = rho(nn.Sequential(nn.Identity(), nn.Identity()), *images, edge=edge)[2]
        assert one.value == pytest.approx(one.entropy_x) == pytest.approx(one.entropy_y)
    assert one.p == pytest.approx(1 / 21)


def test_a_constant_layer_carries_nothing(network, images):
    found = rho(nn.Sequential(network[0], Constant()), *images, edge=FEW)[2]
    assert found.value == pytest.approx(0, abs=1e-12)
    assert len(found.notes) == 4


def test_an_independent_layer_has_no_excess(images, generator):
    class Noise(nn.Module):
        def forward(self, x):
            return torch.randn(len(x), 9, generator=generator)

    found = rho(nn.Sequential(nn.Flatten(), Noise()), *images, edge=Edge(projections=2))[2]
    assert abs(found.excess) < 3 * found.null_sd


def principal():
    return Edge(permutations=20, projection="principal")


def test_held_layers_give_the_estimate_on_their_activations(network, images):
    x, y = images
    edge = Edge.preset("paper", permutations=10, double=True)
    index = equal_numbers(y.numpy(), per_class=None, seed=0)
    h = activations(network, x[index])
    found = rho(network, x, y, edge=edge, block=None)
    for j in (2, 3):
        direct = edge.measure(*edge.coordinates(h[j - 1].detach(), h[j].detach(), y[index]))
        assert found[j] == direct


def passing(network, images, *, on_device=False, convolutions=False):
    x, y = images
    index = equal_numbers(y.numpy(), per_class=None, seed=0).reshape(-1, 4)
    return Passing(list(network), 1, convolutions, x, index, np.full(4, 0.25), on_device)


def numbers(found):
    return {j: list(rho_j.record().values()) for j, rho_j in found.items()}


@pytest.mark.parametrize("convolutions", [False, True])
@pytest.mark.parametrize("edge", EVERY, ids=lambda edge: f"{edge.hashing}, {edge.projection}")
@torch.no_grad()
def test_tensors_give_what_arrays_give(edge, convolutions, network, images):
    on, off = (
        passing(network.double(), (images[0].double(), images[1]), on_device=on,
                convolutions=convolutions)
        for on in (True, False)
    )  # fmt: skip
    for j, one in numbers(held(off, edge)).items():
        assert numbers(held(on, edge))[j] == pytest.approx(one, abs=1e-12)
    for j, one in numbers(streamed(off, edge, 100)).items():
        # the deviations of the first block are single on arrays, and a sample may change its cell
        assert numbers(streamed(on, edge, 100))[j][0] == pytest.approx(one[0], abs=0.02)


@torch.no_grad()
def test_classes_are_held_as_memory_allows_and_the_values_do_not_depend_on_it(network, images):
    counter = Counting()
    network[0].append(counter)
    edge = replace(EVERY[0], double=True)
    at_once = held(passing(network, images), edge)
    assert max(counter.sizes) == 256
    counter.sizes.clear()
    assert held(passing(network, images), edge, memory=1) == at_once
    assert counter.sizes == [1, 100, 100, 100, 100]  # one to know the sizes, then class by class


class Down(TorchFunctionMode):
    """Counts the bytes of tensors that are asked for on the host."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if getattr(function, "__name__", "") in ("cpu", "tolist", "item", "__int__", "numpy"):
            self.bytes += args[0].nbytes
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("edge", EVERY[:2], ids=lambda edge: edge.hashing)
@torch.no_grad()
def test_of_a_layer_on_a_device_nothing_comes_to_the_host(edge, network, images):
    with Down() as down:
        held(passing(network, images, on_device=True), edge)
    estimates = 2 * 4 * edge.projections * (1 + edge.permutations)  # pairs, classes, sets, shuffles
    assert 0 < down.bytes < 100 * estimates
    with Down() as down:
        streamed(passing(network, images, on_device=True), edge, 100)
    assert 0 < down.bytes < 100 * estimates + 8 * (6 * 36 + 20 + 4)  # and a deviation of each unit


@torch.no_grad()
def test_convolutions_are_read_before_what_follows_them(network, images):
    x, y = images
    edge = Edge.preset("paper", permutations=0, double=True)
    index = equal_numbers(y.numpy(), per_class=None, seed=0)
    first, second = network[0][0](x[index]), network[1][2](network[1][:2](network[0](x[index])))
    found = rho(network, x, y, edge=edge, block=None, taps="convolutions")
    direct = edge.measure(*edge.coordinates(first, second, y[index]))
    assert found[2].value == pytest.approx(direct.value, abs=1e-9)
    assert found[2].value != rho(network, x, y, edge=edge, block=None)[2].value
    assert not any(part._forward_hooks for part in network.modules())


@pytest.mark.parametrize("block", [None, 100])
def test_a_residual_network_has_a_rho_for_every_convolution_of_its_blocks(block, images):
    network = build("resnet50", width=1 / 16).eval()
    x, y = (part[:40] for part in images)
    x = torch.nn.functional.interpolate(x, size=(16, 16))
    layers = sum(trainable_layers(link) for link in network)
    edge = Edge(permutations=0, directions=1, projections=1)
    found = rho(network, x, y, edge=edge, a=16, block=block, taps="convolutions")
    first = sum(trainable_layers(link) for link in network[:16])
    assert layers == 50
    assert list(found) == list(range(first + 1, 51))


def test_streamed_principal_directions_are_those_of_the_held_ones(network, images):
    streamed = rho(network, *images, edge=principal(), block=400)
    held = rho(network, *images, edge=principal(), block=None)
    for j in (2, 3):  # one set of directions for all classes against one for each
        assert streamed[j].excess == pytest.approx(held[j].excess, abs=0.35)


def test_the_published_estimate_hardly_depends_on_the_block(network, images):
    edge = Edge.preset("paper", permutations=10)
    held, streamed = (rho(network, *images, edge=edge, block=b) for b in (None, 64))
    for j in (2, 3):
        assert streamed[j].value == pytest.approx(held[j].value, abs=0.5)


def test_in_place_activations_do_not_overwrite_a_layer(network, inplace_network, images):
    for block in (None, 100):
        plain = rho(network, *images, edge=FEW, block=block)
        in_place = rho(inplace_network, *images, edge=FEW, block=block)
        assert {j: r.value for j, r in plain.items()} == {j: r.value for j, r in in_place.items()}


def test_the_prior_weighs_the_classes_though_each_gives_equal_numbers(network, images):
    x, y = images
    keep = torch.cat([torch.where(y == 0)[0], torch.where(y == 1)[0][:50]])
    found = rho(network, x[keep], y[keep], edge=FEW)[3]
    assert found.samples == {0: 50, 1: 50}
    expected = (2 * found.per_class[0] + found.per_class[1]) / 3
    assert found.value == pytest.approx(expected)


def test_fewer_images_are_a_part_of_more():
    labels = np.repeat([0, 1, 2], [30, 20, 40])
    more = equal_numbers(labels, per_class=20, seed=1)
    fewer = equal_numbers(labels, per_class=5, seed=1)
    assert np.array_equal(more[:15], fewer)
    assert np.array_equal(labels[fewer], np.tile([0, 1, 2], 5))


def test_networks_are_compared_on_the_same_images(network, images):
    found = compare({"standard": network, "robust": network}, *images, edge=FEW, per_class=50)
    assert found["standard"] == found["robust"]
    rows = records(found)
    assert [(row["network"], row["j"]) for row in rows] == [
        ("standard", 2), ("standard", 3), ("robust", 2), ("robust", 3),
    ]  # fmt: skip
    assert rows[0]["per_class"] == 50
    assert rows[0]["excess"] == found["standard"][2].excess


def test_the_network_and_the_images_are_left_alone(network, images):
    before = [t.clone() for t in network.state_dict().values()]
    x = images[0].clone()
    rho(network, *images, edge=FEW)
    assert all(
        torch.equal(s, t) for s, t in zip(before, network.state_dict().values(), strict=True)
    )
    assert torch.equal(x, images[0])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"a": 3}, "1 <= a < n"),
        ({"per_class": 101}, "class 0 has 100 images"),
        ({"block": 7}, "two images of each class"),
        ({"taps": "pools"}, "taps is one of"),
        ({"taps": "convolutions", "layers": ("0", "1")}, "the first one with layers="),
    ],
)
def test_refuses_what_cannot_be_measured(how, message, network, images):
    with pytest.raises(ValueError, match=message):
        rho(network, *images, edge=FEW, **how)


def test_refuses_a_network_in_training_mode(network, images):
    with pytest.raises(ValueError, match=r"call network\.eval"):
        rho(network.train(), *images, edge=FEW)


class Skipping(nn.Module):
    """No chain: a block with a frozen norm, whose input is added to its output."""

    def __init__(self, inside):
        super().__init__()
        (self.first, self.norm, _), (_, _, self.head), _ = inside

    def forward(self, x):
        h = self.first(x)
        return self.head((h + self.norm(h).relu()).flatten(1))


def test_every_module_of_a_network_that_is_no_chain_keeps_its_mode(network, images):
    model = Skipping(network).train()
    model.norm.eval()  # frozen by the caller, in a model that trains
    modes = {name: part.training for name, part in model.named_modules()}
    rho(model, *images, edge=FEW)
    assert {name: part.training for name, part in model.named_modules()} == modes
    assert sorted(modes.values())[:2] == [False, True]
    with pytest.raises(ValueError, match=r"call network\.eval"):
        rho(model.train(), *images, edge=FEW)
    assert all(part.training for part in model.modules())


def test_names_the_layer_that_is_not_finite(network, images):
    images[0][5] = torch.nan
    with pytest.raises(ValueError, match="h_1 holds"):
        rho(network, *images, edge=FEW)
