"""Networks as chains of links, for images of 28 to 224 pixels and any width.

Input normalisation is the first thing the first link does, so every network takes images in [0, 1].
Residual and encoder blocks are torchvision's, which is imported where they are needed: it takes as
long as torch itself. The pre-activation block of wide residual networks, which it lacks, is here.

Departures: all data sets are normalised by the same mean 0.5 and deviation 0.25. At 32 and 64
pixels the stems keep the resolution (3x3 convolutions) and VGG16's two hidden linear layers have
512 units; there is no dropout.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from semirobust.types import Images

VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, *2 * (512, 512, 512, 0))  # 0: pooling


class Normalise(nn.Module):
    """Shift and scale images from [0, 1], by one number or by one for each channel.

    As given, to about [-2, 2]; a network of another's takes the mean and deviation that it was
    trained with: ``nn.Sequential(Normalise(mean, deviation), model)``.
    """

    mean: float | Tensor
    deviation: float | Tensor

    def __init__(
        self, mean: float | Sequence[float] = 0.5, deviation: float | Sequence[float] = 0.25
    ) -> None:
        super().__init__()
        for name, value in (("mean", mean), ("deviation", deviation)):
            if isinstance(value, float | int):
                setattr(self, name, value)
            else:
                values = torch.tensor(value).view(-1, 1, 1)
                self.register_buffer(name, values, persistent=False)

    def forward(self, x: Images) -> Tensor:
        return (x - self.mean) / self.deviation


def build(
    name: str,
    *,
    classes: int = 10,
    size: int = 32,
    channels: int = 3,
    width: float = 1.0,
    seed: int = 0,
) -> nn.Sequential:
    """Return an untrained network, by one of ``NAMES``, in evaluation mode.

    ``width`` is a factor on the number of channels (or the embedding width) of every layer. The
    seed is of the initial weights; the global generator is left as it was.

    Example:
        >>> len(build("vgg16", width=0.125)), len(build("resnet50", width=0.125))
        (16, 18)
    """
    if name not in BUILDERS:
        raise ValueError(f"unknown network {name!r}; known: {', '.join(NAMES)}")
    if width <= 0:
        raise ValueError(f"width is a positive factor such as 0.25, got {width}")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = BUILDERS[name](classes, size, channels, width)
        network = nn.Sequential(nn.Sequential(Normalise(), *network[0].children()), *network[1:])
    return network.eval()


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What ``build`` needs to make a network again; the fields are its arguments."""

    name: str
    classes: int = 10
    size: int = 32
    channels: int = 3
    width: float = 1.0

    def build(self, *, seed: int = 0) -> nn.Sequential:
        return build(**asdict(self), seed=seed)


def _scaled(channels: int, width: float) -> int:
    return max(4, round(channels * width))


def _linear(inputs: int, outputs: int, *, last: bool = False) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, outputs), *([] if last else [nn.ReLU()]))


def _block(
    inputs: int, outputs: int, size: int = 3, stride: int = 1, *, padding: int = -1, norm: bool
) -> nn.Sequential:
    """Return a convolution, by default padded to keep the size, its norm and a ReLU."""
    around = size // 2 if padding < 0 else padding
    convolution = nn.Conv2d(inputs, outputs, size, stride, around, bias=not norm)
    norms = [nn.BatchNorm2d(outputs)] if norm else []
    return nn.Sequential(convolution, *norms, nn.ReLU(inplace=True))


ConvBlock = partial(_block, norm=True)
PlainBlock = partial(_block, norm=False)


def dense_links(*sizes: int) -> list[nn.Sequential]:
    """Return linear maps from each size to the next, with a ReLU behind each but the last."""
    last = len(sizes) - 2
    return [_linear(*pair, last=place == last) for place, pair in enumerate(pairwise(sizes))]


def _vgg16(classes: int, size: int, channels: int, width: float) -> nn.Sequential:
    """VGG16 with batch norm: 13 convolutions and 3 linear maps."""
    links: list[nn.Sequential] = []
    for count in VGG16:
        if not count:
            links[-1].append(nn.MaxPool2d(2))
        else:
            outputs = _scaled(count, width)
            links.append(nn.Sequential(*ConvBlock(channels, outputs)))
            channels = outputs
    side = 7 if size > 64 else 1
    links[-1].append(nn.AdaptiveAvgPool2d(side))
    hidden = _scaled(4096, width) if size > 64 else 512
    head = dense_links(channels * side**2, hidden, hidden, classes)
    return _initialised(nn.Sequential(*links, *head))


def _alexnet(classes: int, size: int, channels: int, width: float) -> nn.Sequential:
    """AlexNet: 5 convolutions and 3 linear maps, no batch norm."""
    c = [_scaled(count, width) for count in (64, 192, 384, 256, 256)]
    if size > 64:
        stem = PlainBlock(channels, c[0], size=11, stride=4, padding=2)
        second, pool, side = PlainBlock(c[0], c[1], size=5), nn.MaxPool2d(3, 2), 6
    else:
        stem = PlainBlock(channels, c[0], stride=2)
        second, pool, side = PlainBlock(c[0], c[1]), nn.MaxPool2d(2), 2
    links = [
        nn.Sequential(*stem, pool),
        nn.Sequential(*second, pool),
        nn.Sequential(*PlainBlock(c[1], c[2])),
        nn.Sequential(*PlainBlock(c[2], c[3])),
        nn.Sequential(*PlainBlock(c[3], c[4]), pool, nn.AdaptiveAvgPool2d(side)),
    ]
    hidden = _scaled(4096, width)
    head = dense_links(c[4] * side**2, hidden, hidden, classes)
    return _initialised(nn.Sequential(*links, *head))


def _stem(channels: int, outputs: int, size: int) -> nn.Sequential:
    if size > 64:
        block = ConvBlock(channels, outputs, size=7, stride=2)
        return nn.Sequential(*block, nn.MaxPool2d(3, 2, padding=1))
    return nn.Sequential(*ConvBlock(channels, outputs, stride=1 if size <= 32 else 2))


def _resnet(
    kind: str,
    depths: tuple[int, ...],
    classes: int,
    size: int,
    channels: int,
    width: float,
) -> nn.Sequential:
    """ResNet whose links are the stem, the residual blocks and the classifier."""
    from torchvision.models import resnet

    block = getattr(resnet, kind)
    inputs = _scaled(64, width)
    links: list[nn.Module] = [_stem(channels, inputs, size)]
    for stage, depth in enumerate(depths):
        planes = _scaled(64 * 2**stage, width)
        for index in range(depth):
            stride = 2 if stage and not index else 1
            outputs = planes * block.expansion
            shortcut = None
            if stride > 1 or inputs != outputs:
                shortcut = ConvBlock(inputs, outputs, 1, stride)[:2]
            links.append(nn.Sequential(block(inputs, planes, stride, shortcut)))
            inputs = outputs
    links[-1].append(nn.AdaptiveAvgPool2d(1))  # type: ignore[operator]
    return _initialised(nn.Sequential(*links, _linear(inputs, classes, last=True)))


def residual_blocks() -> tuple[type[nn.Module], ...]:
    """Return torchvision's residual blocks; none before it is imported, when nothing is one."""
    resnet = sys.modules.get("torchvision.models.resnet")
    return (resnet.BasicBlock, resnet.Bottleneck) if resnet else ()


class WideBlock(nn.Module):
    """Pre-activation residual block (Zagoruyko & Komodakis 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        convolution = partial(nn.Conv2d, kernel_size=3, padding=1, bias=False)
        self.first = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.branch = nn.Sequential(
            convolution(inputs, outputs, stride=stride),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            convolution(outputs, outputs),
        )
        self.shortcut: nn.Module | None = None
        if inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = self.first(x)
        return (x if self.shortcut is None else self.shortcut(active)) + self.branch(active)


def _wide_resnet(classes: int, size: int, channels: int, width: float) -> nn.Sequential:
    """WRN-34-10: 15 pre-activation blocks behind one convolution."""
    inputs = _scaled(16, max(width, 0.25))
    links: list[nn.Module] = [_stem(channels, inputs, size)[:1]]
    for stage in range(3):
        outputs = _scaled(160 * 2**stage, width)
        for index in range(5):
            stride = 2 if stage and not index else 1
            links.append(nn.Sequential(WideBlock(inputs, outputs, stride)))
            inputs = outputs
    tail = [nn.BatchNorm2d(inputs), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    links[-1].extend(tail)  # type: ignore[operator]
    return _initialised(nn.Sequential(*links, _linear(inputs, classes, last=True)))


class Patches(nn.Module):
    """Embed square patches, put a class token in front and add positions."""

    def __init__(self, size: int, patch: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(channels, hidden, patch, patch)
        self.token = nn.Parameter(torch.zeros(1, 1, hidden))
        self.position = nn.Parameter(torch.empty(1, (size // patch) ** 2 + 1, hidden))
        nn.init.normal_(self.position, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Return N x (1 + patches) x hidden."""
        patches = self.embed(x).flatten(2).transpose(1, 2)
        return torch.cat([self.token.expand(len(x), -1, -1), patches], dim=1) + self.position


class ClassToken(nn.Module):
    """The final normalisation, of the class token alone."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x[:, 0])


def _vit(classes: int, size: int, channels: int, width: float) -> nn.Sequential:
    """ViT-B: 12 encoder blocks over patches of 16 pixels (4 at 32 pixels, 8 at 64)."""
    from torchvision.models.vision_transformer import EncoderBlock

    heads = max(1, round(12 * width))
    hidden = 64 * heads
    norm = partial(nn.LayerNorm, eps=1e-6)
    patch = max(4, min(16, size // 8))
    blocks: list[nn.Module] = [
        nn.Sequential(EncoderBlock(heads, hidden, 4 * hidden, 0.0, 0.0, norm)) for _ in range(12)
    ]
    blocks[-1].append(ClassToken(hidden))  # type: ignore[operator]
    stem = nn.Sequential(Patches(size, patch, channels, hidden))
    return nn.Sequential(stem, *blocks, _linear(hidden, classes, last=True))


def _cnn(classes: int, size: int, channels: int, width: float) -> nn.Sequential:
    """A small network for the theory: two strided convolutions and two linear maps."""
    c, d, hidden = _scaled(16, width), _scaled(32, width), _scaled(100, width)
    block = partial(PlainBlock, size=4, stride=2, padding=1)
    return nn.Sequential(
        nn.Sequential(*block(channels, c)),
        nn.Sequential(*block(c, d)),
        *dense_links(d * (size // 4) ** 2, hidden, classes),
    )


def _mlp(classes: int, size: int, channels: int, width: float) -> nn.Sequential:
    """A dense network for the theory: 300, 100 and the classes."""
    first, second = _scaled(300, width), _scaled(100, width)
    return nn.Sequential(*dense_links(channels * size**2, first, second, classes))


def _initialised(network: nn.Sequential) -> nn.Sequential:
    """Draw convolutions as He et al. (2015); linear maps keep torch's draw with zero bias."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    return network


BUILDERS: dict[str, Callable[[int, int, int, float], nn.Sequential]] = {
    "alexnet": _alexnet,
    "vgg16": _vgg16,
    "resnet18": partial(_resnet, "BasicBlock", (2, 2, 2, 2)),
    "resnet50": partial(_resnet, "Bottleneck", (3, 4, 6, 3)),
    "wrn34-10": _wide_resnet,
    "vit": _vit,
    "cnn": _cnn,
    "mlp": _mlp,
}
NAMES = tuple(BUILDERS)
