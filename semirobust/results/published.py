"""The numbers that the papers and others have published, typed once: ``published.csv``."""

from functools import cache
from pathlib import Path

import pandas as pd

FILE = Path(__file__).with_name("published.csv")
NAMES = {  # as the paper writes them
    "alexnet": "AlexNet",
    "vgg16": "VGG16",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenette": "Imagenette",
}


def published_numbers(place: str | None = None, file: Path = FILE) -> pd.DataFrame:
    """Return published numbers: ``printed`` as it stands in the source, ``value`` as a number.

    ``place`` is a table, such as "Table 1"; all of them by default.
    """
    rows = _read(file)
    if place is None:
        return rows.copy()
    if place not in set(rows["place"]):
        raise ValueError(f"{file.name} has no place {place!r}: {', '.join(rows['place'].unique())}")
    return rows[rows["place"] == place].reset_index(drop=True)


@cache
def _read(file: Path) -> pd.DataFrame:
    lines = pd.read_csv(file, dtype=str, keep_default_na=False)
    value, n_b = (pd.to_numeric(lines[name], errors="coerce") for name in ("value", "n_b"))
    for number in lines.index[value.isna() | (n_b.isna() & (lines["n_b"] != ""))]:
        entry = ",".join(lines.loc[number])
        raise ValueError(f"{file.name}, line {number + 2} holds no number: {entry}")
    return lines.assign(printed=lines["value"], value=value, n_b=n_b)
