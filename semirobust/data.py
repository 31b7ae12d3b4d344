"""Images in [0, 1] with labels, held in memory as bytes; a validation part is held out of training.

``digits`` (scikit-learn's, enlarged to 3x32x32) comes with the installation and is the default
everywhere. The other sets are read, and on request downloaded, by torchvision's own loaders from a
data root: an argument, or $SEMIROBUST_DATA, or ``artifacts/data``.
"""

import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, Dataset, default_collate

from semirobust.results.records import artifacts_root
from semirobust.types import Images, Labels

TINY_IMAGENET = "https://cs231n.stanford.edu/tiny-imagenet-200.zip"
FASHION = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"
TINY_IMAGENET_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"


def device() -> torch.device:
    """Return where to compute: the first GPU that is visible, under ``precision_rules``, or CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    precision_rules(tf32=os.environ.get("SEMIROBUST_TF32") == "1")
    return torch.device("cuda")


def precision_rules(*, tf32: bool = False) -> None:
    """Keep float32 on a GPU float32, also in convolutions, where torch allows 10 bits of its 23.

    ``tf32``, or $SEMIROBUST_TF32=1, allows them. Kernels are not chosen by trying: attacks
    shrink their batches, each size would be tried anew, and the choice can differ from run to run.
    """
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = False


@contextmanager
def float32_kept() -> Iterator[None]:
    """Multiply float32 as such inside, whatever was allowed outside, and allow it again after."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


# torchvision unpacks by it: no archive writes outside of the data root
tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)


@dataclass(frozen=True, eq=False)
class Samples:
    """Paired inputs and labels; ``images`` are bytes, or floats where a chain's h_a is cached."""

    images: Tensor
    labels: Labels

    def __post_init__(self) -> None:
        if len(self.images) != len(self.labels):
            raise ValueError(f"{len(self.images)} images but {len(self.labels)} labels")
        if self.images.is_floating_point() and not bool(torch.isfinite(self.images).all()):
            raise ValueError("images hold NaN or inf: check where they were computed")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def x(self) -> Images:
        """The inputs as floats; bytes become 0..1."""
        return to_float(self.images)

    @property
    def y(self) -> Labels:
        return self.labels

    def take(self, index: Tensor) -> "Samples":
        """Return the samples of an index or mask."""
        return Samples(self.images[index], self.labels[index])

    def to(self, device: torch.device | str) -> "Samples":
        return Samples(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True, eq=False)
class DataSet:
    """Three parts of one data set: training, validation (held out of training) and test."""

    name: str
    train: Samples
    validation: Samples
    test: Samples
    classes: int

    @property
    def size(self) -> int:
        """Height and width of the images."""
        return self.train.images.shape[-1]

    @property
    def channels(self) -> int:
        return self.train.images.shape[1]

    def to(self, device: torch.device | str) -> "DataSet":
        train, validation, test = (
            part.to(device) for part in (self.train, self.validation, self.test)
        )
        return replace(self, train=train, validation=validation, test=test)


@dataclass(frozen=True, kw_only=True)
class Part:
    """How much of a data set an experiment uses; None is all of a part."""

    name: str = "digits"
    train: int | None = None
    validation: int | None = None
    test: int | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        for part in ("train", "validation", "test"):
            n = getattr(self, part)
            if n is not None and n < 2:
                raise ValueError(f"a part has two samples or more, got {part}={n}")


PAIRS = "a tuple (images, labels) of tensors, or a data set or loader of such pairs"


def samples_of(
    data: tuple[Tensor, Tensor] | Dataset[Any] | DataLoader[Any], *, n: int | None = None
) -> Samples:
    """Return the images and labels of tensors, a data set or a loader, after checking them.

    Args:
        data: Images in [0, 1] (or bytes) with labels 0..K-1.
        n: How many; all if None.
    """
    if isinstance(data, Dataset):
        data = DataLoader(data, batch_size=256, generator=Generator(), collate_fn=_collated)
    held: list[tuple[Tensor, Tensor]] = []
    for part in [data] if isinstance(data, tuple) else data:
        if not (isinstance(part, tuple | list) and len(part) == 2 and torch.is_tensor(part[0])):
            raise ValueError(f"data is {PAIRS}; a part of it is {type(part).__name__}")
        held.append((part[0], torch.as_tensor(part[1])))
        if n is not None and sum(len(part[1]) for part in held) >= n:
            break
    if n == 0 or not any(len(part[1]) for part in held):
        raise ValueError("need at least 1 image, got none")
    images, labels = (torch.cat(parts)[:n] for parts in zip(*held, strict=True))
    low, high = float(images.min()), float(images.max())
    if not images.is_floating_point() and images.dtype != torch.uint8:
        raise ValueError(f"images are floats in [0, 1] or bytes, got {images.dtype}: .byte() mends")
    if images.is_floating_point() and not 0 <= low <= high <= 1:
        raise ValueError(
            f"images lie in {low:.3g}..{high:.3g}, not in [0, 1]: leave the normalisation out of "
            "their transform, and put it into the network: "
            "nn.Sequential(Normalise(mean, deviation), model)"
        )
    whole = not labels.is_floating_point() and labels.dtype != torch.bool
    check_labels(labels.long() if whole else labels)
    return Samples(images, labels.long())


def _collated(pairs: list[Any]) -> Any:
    try:
        return default_collate(pairs)
    except TypeError as error:
        raise ValueError(
            f"data is {PAIRS}; {_first_line(error)}: give it transform=transforms.ToTensor()"
        ) from None


def check_labels(labels: Tensor) -> None:
    """Refuse what is not one class number an image, 0 or more, as int64."""
    kind, shape = getattr(labels, "dtype", type(labels).__name__), np.shape(labels)
    if kind != torch.int64 or len(shape) != 1 or (len(labels) and int(labels.min()) < 0):
        lowest = f" from {int(labels.min())}" if kind == torch.int64 and len(labels) else ""
        raise ValueError(
            f"labels are one class number an image, got {kind} {tuple(shape)}{lowest}: "
            "give 0..K-1 as torch.int64"
        )


def to_float(images: Tensor) -> Images:
    """Return bytes as floats in [0, 1]; floats pass."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def to_bytes(x: Images) -> Tensor:
    """Return images in [0, 1] as bytes, rounded.

    The pixels of data sets are whole 255ths, so rounding never leaves a ball of radius k/255.
    """
    return (x * 255).round().clamp(0, 255).to(torch.uint8)


def subset(samples: Samples, n: int, *, seed: int = 0) -> Samples:
    """Return n samples with the classes in their shares, the same ones for the same seed."""
    if not 1 <= n <= len(samples):
        raise ValueError(f"need 1 <= n <= {len(samples)} samples, got n={n}")
    return samples if n == len(samples) else halves(samples, n, seed=seed)[0]


def halves(samples: Samples, n: int, *, seed: int = 0) -> tuple[Samples, Samples]:
    """Return a stratified part of n samples, and the rest."""
    from sklearn.model_selection import train_test_split  # takes seconds, so only where needed

    index = np.arange(len(samples))
    first, rest = train_test_split(
        index, train_size=n, random_state=seed, stratify=samples.labels.cpu().numpy()
    )
    part, other = (samples.take(torch.from_numpy(np.sort(rows))) for rows in (first, rest))
    return part, other


def onto(drawn: Tensor, device: torch.device) -> Tensor:
    """Return on a device what was drawn on the host, which does not wait for the device."""
    if device.type != "cuda" or drawn.is_cuda:
        return drawn.to(device)
    return drawn.pin_memory().to(device, non_blocking=True)


def batches(
    samples: Samples,
    size: int,
    *,
    generator: Generator | None = None,
    augment: bool = False,
    mirror: bool = True,
) -> Iterator[tuple[Images, Labels, Tensor]]:
    """Yield x, y and their index, shuffled by the generator where one is given."""
    n = len(samples)
    device = samples.labels.device
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator)
    order = onto(order, device)
    for start in range(0, n, size):
        index = order[start : start + size]
        part = samples.images[index]
        if augment and generator is not None:
            part = shifted(part, generator, mirror=mirror)
        yield to_float(part), samples.labels[index], index


def shifted(
    images: Tensor, generator: Generator, *, padding: int = 4, mirror: bool = True
) -> Tensor:
    """Return each image shifted by up to ``padding`` pixels and, unless told, mirrored or not."""
    n, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    draw = torch.randint(2 * padding + 1, (2, n, 1), generator=generator)
    flipped = torch.rand(n, 1, generator=generator) < (0.5 if mirror else 0)
    columns = torch.arange(width).expand(n, width)
    columns = draw[1] + torch.where(flipped, width - 1 - columns, columns)
    places = torch.cat([draw[0] + torch.arange(height), columns], dim=1)
    rows, columns = torch.split(onto(places, images.device), [height, width], dim=1)
    sample = torch.arange(n, device=images.device)[:, None, None]
    return padded[sample, :, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


def data_root(root: str | Path | None = None) -> Path:
    """Return the folder where data sets lie: the argument, $SEMIROBUST_DATA, or artifacts/data."""
    chosen = root or os.environ.get("SEMIROBUST_DATA")
    return Path(chosen).expanduser() if chosen else artifacts_root() / "data"


def load(
    name: str,
    root: str | Path | None = None,
    *,
    seed: int = 0,
    size: int | None = None,
    download: bool = False,
) -> DataSet:
    """Return a data set with its validation part, which the seed chooses, held out of training.

    ``name`` is one of ``NAMES``. Files lie under ``root`` in torchvision's layout (``data_root``);
    missing ones are fetched where ``download`` or $SEMIROBUST_DOWNLOAD is set. Images of varying
    size are brought to ``size``; 8 gives digits as scikit-learn has them, in grey.
    """
    download = download or bool(os.environ.get("SEMIROBUST_DOWNLOAD"))
    if name not in NAMES:
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(NAMES)}")
    if name == "digits":
        return _digits(seed, size)
    folder = data_root(root)
    try:
        train, test = SETS[name][0](folder, size or 224, download)
    except (RuntimeError, OSError) as missing:
        raise FileNotFoundError(
            f"{name} is not under {folder}: give --data-root (or SEMIROBUST_DATA) the folder that "
            f"holds it, or --download to fetch it there ({_first_line(missing)})"
        ) from missing
    rest, validation = halves(train, len(train) - len(train) // 10, seed=seed)
    classes = int(train.labels.max()) + 1
    return DataSet(name, rest, validation, test, classes)


@cache
def select(part: Part, *, device: torch.device | str = "cpu") -> DataSet:
    """Return as much of a data set as is asked for, on a device; it is read once a process."""
    parts: dict[str, Any] = {}
    whole = load(part.name, size=part.size)
    for name in ("train", "validation", "test"):
        samples, n = getattr(whole, name), getattr(part, name)
        parts[name] = (samples if n is None else subset(samples, n)).to(device)
    return replace(whole, **parts)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _digits(seed: int, size: int | None = None) -> DataSet:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    small = torch.from_numpy(pixels).float().reshape(-1, 1, 8, 8) / 16
    large = interpolate(small, size=(32, 32), mode="bilinear", align_corners=False)
    images = small if size == 8 else large.expand(-1, 3, -1, -1)
    whole = Samples(to_bytes(images), torch.from_numpy(labels).long())
    train, test = halves(whole, 1297, seed=0)
    train, validation = halves(train, 1147, seed=seed)
    return DataSet("digits", train, validation, test, 10)


def _from_arrays(data: object, labels: object) -> Samples:
    images = torch.as_tensor(np.asarray(data))
    images = images[:, None] if images.ndim == 3 else images.movedim(3, 1)
    return Samples(images.contiguous(), torch.as_tensor(np.asarray(labels)).long())


def _torchvision(name: str) -> Callable[[Path, int, bool], tuple[Samples, Samples]]:
    def read(root: Path, _: int, download: bool) -> tuple[Samples, Samples]:  # noqa: FBT001
        from torchvision import datasets

        datasets.FashionMNIST.mirrors = [FASHION]  # torchvision's own is not over https
        kind = getattr(datasets, name)
        parts = (kind(str(root), train=flag, download=download) for flag in (True, False))
        train, test = (_from_arrays(part.data, part.targets) for part in parts)
        return train, test

    return read


def _from_folder(folder: Any, size: int) -> Samples:
    """Return the images of a folder, their shorter side brought to size and the centre cut out."""
    from torchvision.transforms import functional as images_of

    images = [
        images_of.pil_to_tensor(images_of.center_crop(images_of.resize(image, size), [size, size]))
        for image, _ in folder
    ]
    return Samples(torch.stack(images), torch.tensor([label for _, label in folder.samples]))


def _imagenette(root: Path, size: int, download: bool) -> tuple[Samples, Samples]:  # noqa: FBT001
    from torchvision import datasets

    if folder(root, "imagenette") is None:
        datasets.Imagenette(root, size="320px", download=download)
    train = next(root.glob("imagenette2*/train"))
    parts = (datasets.ImageFolder(str(part)) for part in (train, train.parent / "val"))
    first, second = (_from_folder(part, size) for part in parts)
    return first, second


def _tiny_imagenet(root: Path, _: int, download: bool) -> tuple[Samples, Samples]:  # noqa: FBT001
    from torchvision import datasets
    from torchvision.datasets.utils import download_and_extract_archive
    from torchvision.transforms import functional as images_of

    folder = root / "tiny-imagenet-200"
    if download and not folder.exists():
        download_and_extract_archive(TINY_IMAGENET, str(root), md5=TINY_IMAGENET_MD5)
    train = datasets.ImageFolder(str(folder / "train"))
    lines = (folder / "val" / "val_annotations.txt").read_text().splitlines()
    label_of = dict(line.split("\t")[:2] for line in lines)
    images, labels = [], []
    for name, wnid in sorted(label_of.items()):
        image = datasets.folder.pil_loader(str(folder / "val" / "images" / name))
        images.append(images_of.pil_to_tensor(image))
        labels.append(train.class_to_idx[wnid])
    return _from_folder(train, 64), Samples(torch.stack(images), torch.tensor(labels))


SETS: dict[str, tuple[Callable[[Path, int, bool], tuple[Samples, Samples]], str]] = {
    "cifar10": (_torchvision("CIFAR10"), "cifar-10-batches-py"),
    "cifar100": (_torchvision("CIFAR100"), "cifar-100-python"),
    "imagenette": (_imagenette, "imagenette2*"),
    "mnist": (_torchvision("MNIST"), "MNIST/raw"),
    "fashion-mnist": (_torchvision("FashionMNIST"), "FashionMNIST/raw"),
    "tiny-imagenet": (_tiny_imagenet, "tiny-imagenet-200"),
}  # how each is read, and the folder under the data root that holds it
NAMES = ("digits", *SETS)


def folder(root: Path, name: str) -> Path | None:
    """Return the folder under the root that holds a data set, or None."""
    return next(root.glob(SETS[name][1]), None)
