"""Networks: shapes, sizes known from the literature, seeds, refusals."""

import pytest
import torch

from semirobust import models
from semirobust.models import Architecture


@pytest.mark.parametrize("name", models.NAMES)
@pytest.mark.parametrize("size", [32, 64])
def test_every_network_maps_images_to_logits(name, size, generator):
    network = models.build(name, classes=7, size=size, width=0.1)
    x = torch.rand(2, 3, size, size, generator=generator)
    assert network(x).shape == (2, 7)
    assert not network.training


@pytest.mark.slow
@pytest.mark.parametrize("name", ["alexnet", "vgg16", "resnet18", "resnet50", "vit"])
def test_large_images_are_taken(name, generator):
    network = models.build(name, size=224, width=0.125)
    assert network(torch.rand(1, 3, 224, 224, generator=generator)).shape == (1, 10)


def test_grey_images_are_taken(generator):
    network = models.build("cnn", size=28, channels=1)
    assert network(torch.rand(2, 1, 28, 28, generator=generator)).shape == (2, 10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "classes", "weights"),
    [
        ("alexnet", 224, 1000, 61_100_840),  # as published with torchvision
        ("resnet18", 224, 1000, 11_689_512),
        ("resnet50", 224, 1000, 25_557_032),
        ("vgg16", 224, 1000, 138_365_992 - 4224),  # no biases before batch norm
        ("vit", 224, 1000, 86_567_656),
        ("wrn34-10", 32, 10, 46_160_474),
    ],
)
def test_full_networks_have_their_published_number_of_weights(name, size, classes, weights):
    network = models.build(name, size=size, classes=classes)
    assert sum(weight.numel() for weight in network.parameters()) == weights


def test_the_seed_decides_the_weights():
    def first(seed):
        return next(models.build("mlp", width=0.1, seed=seed).parameters())

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))


def test_an_architecture_builds_what_it_says():
    network = Architecture(name="cnn", classes=3, size=28, channels=1, width=0.5).build(seed=4)
    twin = models.build("cnn", classes=3, size=28, channels=1, width=0.5, seed=4)
    assert all(map(torch.equal, network.state_dict().values(), twin.state_dict().values()))


def test_unknown_networks_and_widths_are_refused():
    with pytest.raises(ValueError, match="known: alexnet, vgg16"):
        models.build("vgg61")
    with pytest.raises(ValueError, match="width is a positive factor"):
        models.build("vgg16", width=0)
