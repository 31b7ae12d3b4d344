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
    "vit": "ViT",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenette": "Imagenette",
}
SHARES = ("robust", "spliced", "tuned", "standard", "accuracy", "linear", "random")
COLUMNS: dict[str, tuple[str, ...]] = {  # with the names that are known, where they are few
    "place": (),
    "model": ("", "alexnet", "vgg16", "resnet18", "resnet50", "best of any network"),
    "data": ("cifar10", "cifar100", "imagenette", "mnist"),
    "n_b": (),
    "attack": (
        "autoattack",
        "fgsm",
        "none",
        "pgd",
        "verified 0.1",
        "verified 0.3",
        "verified 2/255",
    ),
    "quantity": (
        *SHARES,
        "difference",
        "seconds",
        *(f"rho_n{layer}" for layer in ("", "-3", "-7", "-11", "-15")),
    ),
    "value": (),
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


def _check(file: Path, lines: pd.DataFrame) -> None:
    """Refuse a table with other columns, or a line with an unknown name or an impossible number."""
    if (found := list(lines.columns)) != [*COLUMNS]:
        raise ValueError(
            f"{file.name} has the columns {', '.join(found)}, not {', '.join(COLUMNS)}"
        )
    value = pd.to_numeric(lines["value"], errors="coerce")
    share = lines["quantity"].isin(SHARES)
    wrong = {
        f"no {name} of {', '.join(known)}": ~lines[name].isin(known)
        for name, known in COLUMNS.items()
        if known
    }
    cut = pd.to_numeric(lines["n_b"], errors="coerce")
    wrong["no number"] = ~value.between(-1e6, 1e6) | (cut.isna() & (lines["n_b"] != ""))
    wrong["no percentage"] = share & ~value.between(0, 100)
    wrong["no difference of percentages"] = (lines["quantity"] == "difference") & (
        value.abs() > 100
    )
    for words, bad in wrong.items():
        for number in lines.index[bad]:
            entry = ",".join(lines.loc[number])
            raise ValueError(f"{file.name}, line {number + 2} holds {words}: {entry}")


@cache
def _read(file: Path) -> pd.DataFrame:
    try:
        lines = pd.read_csv(file, dtype=str, keep_default_na=False)
    except ValueError as damage:
        raise ValueError(f"{file.name} is damaged: {damage}") from None
    _check(file, lines)
    value, n_b = (pd.to_numeric(lines[name], errors="coerce") for name in ("value", "n_b"))
    return lines.assign(printed=lines["value"], value=value, n_b=n_b)
