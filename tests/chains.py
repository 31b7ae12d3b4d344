"""Small chains that have every kind of part between them, and points of boxes."""

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from semirobust.models import Normalise, WideBlock

EPSILON = 0.06
INPUT = (2, 9, 9)  # odd, so that strides leave pixels over


def shaken(network, seed=0):
    """Return the network with random weights and statistics, batch norm with negative scales."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
                module.running_mean.normal_(generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
                module.weight.normal_(generator=generator)
                module.bias.normal_(generator=generator)
            elif isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.normal_(0, module.weight[0].numel() ** -0.5, generator=generator)
                if module.bias is not None:
                    module.bias.normal_(0, 0.3, generator=generator)
    return network.eval()


def block(inputs, planes, stride):
    shortcut = nn.Sequential(nn.Conv2d(inputs, planes, 1, stride), nn.BatchNorm2d(planes))
    return BasicBlock(inputs, planes, stride, shortcut)


def linked(*links):
    """Return a chain of the given links, with a linear map to three classes at its end."""
    with torch.random.fork_rng():
        units = nn.Sequential(*links).eval()(torch.zeros(1, *INPUT)).numel()
        return shaken(nn.Sequential(*links, nn.Sequential(nn.Flatten(), nn.Linear(units, 3))))


def chains():
    """Return chains that have every kind of part between them."""
    conv, relu = nn.Conv2d, nn.ReLU
    with torch.random.fork_rng():
        return {
            "batch norm with negative scales": linked(
                nn.Sequential(Normalise(), conv(2, 4, 3, padding=1), nn.BatchNorm2d(4), relu()),
                nn.Sequential(conv(4, 3, 3), nn.BatchNorm2d(3), relu()),
                nn.Sequential(nn.Flatten(), nn.Linear(147, 6), nn.BatchNorm1d(6), relu()),
            ),
            "strides and padding": linked(
                nn.Sequential(conv(2, 3, 4, 2, 1), relu()),
                nn.Sequential(conv(3, 4, 3, 2, 1), relu()),
                nn.Sequential(conv(4, 5, 2, 1, (1, 0)), relu()),
            ),
            "dilation": linked(
                nn.Sequential(conv(2, 3, 2, dilation=2), relu()),
                nn.Sequential(conv(3, 4, 2, dilation=2, padding=1), relu()),
            ),
            "average pooling": linked(
                nn.Sequential(conv(2, 4, 3), relu(), nn.AvgPool2d(2)),
                nn.Sequential(conv(4, 5, 2), relu(), nn.AdaptiveAvgPool2d(1)),
            ),
            "max pooling": linked(
                nn.Sequential(conv(2, 4, 3), relu(), nn.MaxPool2d(2)),
                nn.Sequential(conv(4, 5, 2), nn.MaxPool2d(3, 1, padding=1), relu()),
            ),
            "residual block": linked(
                nn.Sequential(conv(2, 4, 3, padding=1), relu()),
                nn.Sequential(BasicBlock(4, 4)),
                nn.Sequential(block(4, 6, 2)),
            ),
            "bottleneck": linked(
                nn.Sequential(conv(2, 8, 3, padding=1), relu()), nn.Sequential(Bottleneck(8, 2))
            ),
            "pre-activation block": linked(
                nn.Sequential(conv(2, 4, 3, padding=1)),
                nn.Sequential(WideBlock(4, 4, 1)),
                nn.Sequential(WideBlock(4, 6, 2)),
            ),
        }


CHAINS = chains()


def points(box, count, generator):
    """Return random and corner points of a box, count of each, one batch a draw."""
    for draw in range(2 * count):
        place = torch.rand(box.lower.shape, generator=generator)
        yield box.lower + (place if draw % 2 else place.round()) * (box.upper - box.lower)
