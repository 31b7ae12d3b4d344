"""The paper's Table 1 beside ours, cell by cell, under each threat model."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from book._ext import claims
from book._ext.evidence import Check
from semirobust.results.profiles import DEFAULT
from semirobust.results.records import ROOT

NAMES = {
    "alexnet": "AlexNet",
    "vgg16": "VGG16",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenette": "Imagenette",
}


def published(root: Path = ROOT) -> list[dict[str, str]]:
    """Return the published numbers of ``book/published.csv``."""
    with (root / "book" / "published.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


ACCURACIES = {
    "robust": r"$\mathrm{Acc}^*$",
    "spliced": r"$\mathrm{Acc}_{sr}$",
    "tuned": r"$\widetilde{\mathrm{Acc}}$",
    "difference": "Diff.",
}
COLUMNS = {
    "static transfer": ("static", "static"),
    "white-box": ("online", "whitebox"),
    "AutoAttack": ("online", "autoattack"),
    "white-box, stored": ("static", "whitebox"),
}
BACK = {"rho_n": 0, "rho_n-3": 3, "rho_n-7": 7, "rho_n-11": 11, "rho_n-15": 15}
PROTOCOLS = ("static", "online")
RHO = {"value": "ρ", "excess": "excess"}
LAST = {"alexnet": 8, "vgg16": 16}  # links of a chain in which layers and links are the same


def table_1(root: Path = ROOT) -> str:
    """Return the body of the page that sets the paper's Table 1 beside ours, cell by cell."""
    rows = [row for row in published(root) if row["place"] == "Table 1"]
    heads = [f"{name}, {protocol}" for protocol in PROTOCOLS for name in RHO.values()]
    accuracy, rho = partial(_accuracy_row, root=root), partial(_rho_row, root=root)
    parts = [
        "## Accuracies",
        *_by_data([row for row in rows if row["quantity"] in ACCURACIES], COLUMNS, accuracy),
        "## Dependence",
        *_by_data([row for row in rows if row["quantity"] in BACK], heads, rho),
    ]
    return "\n\n".join(parts) + "\n"


def _by_data(
    rows: list[dict[str, str]], heads: Iterable[str], line: Callable[[dict[str, str]], str]
) -> Iterator[str]:
    """Yield a heading and a table for each data set, a line for each row."""
    columns = ["network", "", "paper", *heads, "seeds"]
    for data in dict.fromkeys(row["data"] for row in rows):
        yield f"### {NAMES[data]}"
        lines = ["| " + " | ".join(columns) + " |", "|:--|:--" + "|--:" * len(columns[2:]) + "|"]
        yield "\n".join([*lines, *(line(row) for row in rows if row["data"] == data)])


def _accuracy_row(row: dict[str, str], root: Path) -> str:
    checks = [_accuracy(row, *column) for column in COLUMNS.values()]
    return _cells(row, ACCURACIES[row["quantity"]], checks, root, digits=1)


def _cells(
    row: dict[str, str], quantity: str, checks: list[Check], root: Path, *, digits: int
) -> str:
    """Return a line: names, the printed figure, ours with spread, seeds (a cell's own if fewer)."""
    found = [claims.finding(check, root) for check in checks]
    known = [one if one.profile != DEFAULT else replace(one, values=()) for one in found]
    most = max(len(one.values) for one in known)
    cells = [one.rounded(digits).replace(" ± ", "\u00a0±\u00a0") for one in known]
    few = [f"\u00a0({len(one.values)})" * (0 < len(one.values) < most) for one in known]
    cells = [cell + note for cell, note in zip(cells, few, strict=True)]
    seeds = str(most or "–")
    name = NAMES[row["model"]].replace("-", "\u2011")
    return "| " + " | ".join([name, quantity, row["value"], *cells, seeds]) + " |"


def _accuracy(row: dict[str, str], protocol: str, column: str) -> Check:
    n_b, quantity = int(row["n_b"]), row["quantity"]
    tuned = {"network": "tuned", "n_b": n_b, "front": "robust"}
    chosen: dict[str, Mapping[str, Any]] = {
        "robust": {"network": "robust"},
        "spliced": {"network": "spliced", "n_b": n_b},
        "tuned": tuned,
        "difference": tuned,
    }
    return Check(
        kind=column,
        within=(0, 0),
        experiment="table-1",
        record={"model": row["model"], "data": row["data"], "protocol": protocol},
        row=chosen[quantity],
        column=column,
        minus={"row": chosen["robust"]} if quantity == "difference" else {},
        unit="points",
    )


def _rho_row(row: dict[str, str], root: Path) -> str:
    last = LAST.get(row["model"], 0)  # 0: no layer has such a number
    index = row["quantity"].removeprefix("rho_")
    checks = [_rho(row, last, protocol, name) for protocol in PROTOCOLS for name in RHO]
    return _cells(row, rf"$\rho_{{{index}}}$", checks, root, digits=2)


def _rho(row: dict[str, str], last: int, protocol: str, column: str) -> Check:
    wanted = {"network": "tuned", "n_b": int(row["n_b"]), "front": "robust", "preset": "paper"}
    return Check(
        kind="estimate as published",
        within=(0, 0),
        experiment="table-1",
        record={"model": row["model"], "data": row["data"], "protocol": protocol},
        table="rho",
        row={**wanted, "j": last - BACK[row["quantity"]]},
        column=column,
    )
