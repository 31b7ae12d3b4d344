"""Bounds: sound inside every layer, exact where they must be, refused where unknown."""

from itertools import pairwise

import pytest
import torch
from chains import CHAINS, EPSILON, INPUT, points, shaken
from torch import nn
from torch.nn.utils import parametrize, prune

from semirobust import models
from semirobust.certified import bounds
from semirobust.certified.bounds import BOUNDS, ball, image, margins
from semirobust.certified.operators import Box
from semirobust.layers import compose, split


@pytest.fixture
def batch(generator):
    return torch.rand(3, *INPUT, generator=generator), torch.tensor([0, 2, 1])


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("bound", BOUNDS)
@torch.no_grad()
def test_random_and_corner_points_stay_inside_the_box_of_every_layer(name, bound, batch, generator):
    network = CHAINS[name]
    boxes = {
        j: image(compose(network, 1, j), ball(batch[0], EPSILON), bound)
        for j in range(1, len(network) + 1)
    }
    for h in points(ball(batch[0], EPSILON), 8, generator):
        for j, link in enumerate(network, start=1):
            h = link(h)  # noqa: PLW2901
            assert (h >= boxes[j].lower - 1e-4).all(), (j, bound)
            assert (h <= boxes[j].upper + 1e-4).all(), (j, bound)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("bound", BOUNDS)
@torch.no_grad()
def test_margins_of_random_and_corner_points_are_never_below_their_bound(
    name, bound, batch, generator
):
    network, (x, y) = CHAINS[name], batch
    least = margins(network, ball(x, EPSILON), y, bound)
    for point in points(ball(x, EPSILON), 8, generator):
        logits = network(point)
        assert (logits.gather(1, y[:, None]) - logits >= least - 1e-4).all()
    assert (least.gather(1, y[:, None]).abs() < 1e-5).all()


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("bound", BOUNDS)
@torch.no_grad()
def test_without_a_radius_the_bound_is_the_margin(name, bound, batch):
    network, (x, y) = CHAINS[name], batch
    logits = network(x)
    exact = logits.gather(1, y[:, None]) - logits
    assert (margins(network, ball(x, 0), y, bound) - exact).abs().max() < 1e-5 * exact.abs().max()


@pytest.mark.parametrize("name", ["strides and padding", "bottleneck"])
@pytest.mark.parametrize("bound", BOUNDS)
@torch.no_grad()
def test_a_larger_radius_never_gives_a_larger_margin(name, bound, batch):
    found = [
        margins(CHAINS[name], ball(batch[0], radius), batch[1], bound)
        for radius in (0.0, 0.01, 0.03, 0.1)
    ]
    assert all((wide <= narrow + 1e-4).all() for narrow, wide in pairwise(found))


@pytest.mark.parametrize("bound", BOUNDS)
def test_one_linear_layer_is_exact(bound, generator):
    with torch.random.fork_rng():
        layer = shaken(nn.Sequential(nn.Sequential(nn.Flatten(), nn.Linear(18, 4))))
    x, y = torch.rand(5, 2, 3, 3, generator=generator), torch.tensor([0, 1, 2, 3, 0])
    weight, bias = layer[0][1].weight, layer[0][1].bias
    low, high = (x - EPSILON).clamp(0, 1).flatten(1), (x + EPSILON).clamp(0, 1).flatten(1)
    difference = weight[y][:, None] - weight[None]
    at_worst = torch.where(difference > 0, low[:, None], high[:, None])
    exact = (difference * at_worst).sum(2) + bias[y][:, None] - bias[None]
    assert torch.allclose(margins(layer, ball(x, EPSILON), y, bound), exact, atol=1e-5)


def forward_zonotope(network, x, epsilon):
    """Return the slow twin: centre and generators pushed forwards, one fresh symbol a ReLU."""
    box = ball(x[None], epsilon)
    centre, symbols = box.centre, torch.diag(box.radius.flatten()).view(-1, *x.shape)
    for part in [part for link in network for part in link]:
        if isinstance(part, nn.ReLU):
            radius = symbols.abs().sum(0, keepdim=True)
            low, high = centre - radius, centre + radius
            slope = torch.where(low >= 0, 1.0, torch.where(high <= 0, 0.0, high / (high - low)))
            fresh = torch.where((low < 0) & (high > 0), -slope * low / 2, 0.0)
            centre = slope * centre + fresh
            symbols = torch.cat(
                [slope * symbols, torch.diag(fresh.flatten()).view(-1, *fresh.shape[1:])]
            )
        else:
            flat = part(torch.zeros_like(centre))
            centre, symbols = part(centre), part(symbols) - flat
    return centre[0], symbols


@pytest.mark.parametrize("name", ["batch norm with negative scales", "strides and padding"])
@torch.no_grad()
def test_the_zonotope_agrees_with_symbols_that_are_pushed_forwards(name, batch):
    network, (x, y) = CHAINS[name], batch
    found = margins(network, ball(x, EPSILON), y, "zonotope")
    for sample in range(len(x)):
        centre, symbols = forward_zonotope(network, x[sample], EPSILON)
        own = y[sample]
        least = centre[own] - centre - (symbols[:, own, None] - symbols).abs().sum(0)
        assert torch.allclose(found[sample], least, atol=1e-4)


@torch.no_grad()
def test_windows_give_the_box_that_whole_rows_give(batch, monkeypatch):
    network = split(CHAINS["strides and padding"], 2)[0]
    short = nn.Sequential(network[0], network[1][:1])
    fast = image(short, ball(batch[0], EPSILON), "zonotope")
    monkeypatch.setattr(bounds, "second_convolution", lambda _: None)
    slow = image(short, ball(batch[0], EPSILON), "zonotope")
    assert torch.allclose(fast.lower, slow.lower, atol=1e-5)
    assert torch.allclose(fast.upper, slow.upper, atol=1e-5)


@torch.no_grad()
def test_intervals_of_a_composition_are_the_composition_of_intervals(batch):
    network = CHAINS["residual block"]
    for a in range(1, len(network)):
        f_a, f_b = split(network, a)
        once = image(network, ball(batch[0], EPSILON))
        twice = image(f_b, image(f_a, ball(batch[0], EPSILON)))
        assert torch.equal(once.lower, twice.lower)
        assert torch.equal(once.upper, twice.upper)


@torch.no_grad()
def test_lines_are_tighter_than_intervals_on_a_deep_chain(batch):
    network, (x, y) = CHAINS["batch norm with negative scales"], batch
    found = {bound: margins(network, ball(x, 0.01), y, bound).mean() for bound in BOUNDS}
    assert found["ibp"] < found["crown-ibp"]
    assert found["ibp"] < found["zonotope"]


def test_the_ball_is_clipped_to_the_range_of_the_data_and_not_of_the_batch():
    box = ball(torch.tensor([[0.02, 0.5, 0.99]]), 0.1)
    assert torch.allclose(box.lower, torch.tensor([[0.0, 0.4, 0.89]]))
    assert torch.allclose(box.upper, torch.tensor([[0.12, 0.6, 1.0]]))


def test_bounds_are_differentiable_to_the_weights(batch):
    network = shaken(models.build("cnn", size=8, channels=2, width=0.25))
    x = batch[0][:, :, :8, :8]
    for bound in BOUNDS:
        network.zero_grad()
        margins(network, ball(x, 0.01), batch[1], bound).sum().backward()
        assert all(weight.grad.abs().sum() > 0 for weight in list(network.parameters())[:-1])


class Masked(nn.Module):
    def __init__(self, mask):
        super().__init__()
        self.mask = mask

    def forward(self, weight):
        return weight * self.mask


def masked_pair(generator):
    """Return a chain with a masked weight, and one with the zeros written into it."""
    network, dense = (models.build("mlp", size=4, channels=1, width=0.1) for _ in range(2))
    mask = torch.rand(network[1][1].weight.shape, generator=generator) < 0.5
    parametrize.register_parametrization(network[1][1], "weight", Masked(mask))
    with torch.no_grad():
        dense[1][1].weight *= mask
    return network, dense


def test_a_masked_network_has_the_bounds_of_its_dense_zeros_and_rewinding_changes_them(generator):
    network, dense = masked_pair(generator)
    x, y = torch.rand(4, 1, 4, 4, generator=generator), torch.arange(4)
    before = margins(network, ball(x, 0.01), y, "zonotope")
    assert torch.equal(before, margins(dense, ball(x, 0.01), y, "zonotope"))
    with torch.no_grad():  # rewinding, without a forward pass
        network[1][1].parametrizations.weight.original *= 2
    assert not torch.allclose(before, margins(network, ball(x, 0.01), y, "zonotope"))


def test_weights_that_pruning_has_left_stale_are_refused(generator):
    network = models.build("mlp", size=4, channels=1, width=0.1)
    prune.l1_unstructured(network[1][1], "weight", 0.5)
    with pytest.raises(ValueError, match=r"prune\.remove"):
        image(network, ball(torch.rand(2, 1, 4, 4, generator=generator), 0.01))


def test_parts_in_training_mode_are_refused(batch):
    network = CHAINS["batch norm with negative scales"]
    network[2][2].train()
    with pytest.raises(ValueError, match="training mode"):
        image(network, ball(batch[0], EPSILON))
    network.eval()


def test_parts_without_a_known_bound_and_unknown_bounds_are_refused(batch):
    with torch.random.fork_rng():
        network, grouped = nn.Sequential(nn.Sigmoid()), nn.Conv2d(2, 4, 3, groups=2)
    with pytest.raises(ValueError, match="no bound is known for Sigmoid"):
        image(network, ball(batch[0], EPSILON))
    with pytest.raises(ValueError, match="one group"):
        image(grouped, ball(batch[0], EPSILON))
    with pytest.raises(ValueError, match="ibp, crown-ibp, zonotope"):
        image(network, ball(batch[0], EPSILON), "exact")
    with pytest.raises(ValueError, match="8/255"):
        ball(batch[0], 8)


def test_a_sum_of_boxes_holds_the_sums():
    one, two = (
        Box(torch.tensor([0.0]), torch.tensor([1.0])),
        Box(torch.tensor([-1.0]), torch.tensor([3.0])),
    )
    assert one.plus(two) == Box(torch.tensor([-1.0]), torch.tensor([4.0]))
