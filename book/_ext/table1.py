"""The paper's Table 1 beside ours, cell by cell, under each threat model."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from book._ext.claims import Finding, findings_of
from book._ext.evidence import Check
from book._ext.markdown import table
from semirobust.results.frames import mean_and_spread
from semirobust.results.profiles import DEFAULT, PROFILES
from semirobust.results.published import NAMES, published_numbers
from semirobust.results.records import ROOT

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
RHO = {
    f"{words}, {protocol}": (protocol, column)
    for protocol in ("static", "online")
    for column, words in (("value", "ρ"), ("excess", "excess"))
}
LAST = {"alexnet": 8, "vgg16": 16}  # links of a chain in which layers and links are the same
Row = Mapping[Any, Any]


def table_1(root: Path = ROOT) -> str:
    """Return the body of the page that sets the paper's Table 1 beside ours, cell by cell."""
    rows = published_numbers("Table 1")
    rho = rows["quantity"].str.startswith("rho")
    accuracies = _by_data(rows[~rho], COLUMNS, _accuracy, 1, root)
    dependences = _by_data(rows[rho], RHO, _rho, 2, root)
    return "\n\n".join(["## Accuracies", *accuracies, "## Dependence", *dependences]) + "\n"


def _by_data(
    printed: pd.DataFrame,
    columns: Mapping[str, tuple[str, str]],
    check: Callable[[Row, str, str], Check],
    digits: int,
    root: Path,
) -> Iterator[str]:
    """Yield a heading and a table for each data set, a line for each published cell."""
    heads = ["network", "", "paper", *columns, "runs"]
    for data, part in printed.groupby("data", sort=False):
        yield f"### {NAMES[str(data)]}"
        rows: list[list[str]] = []
        for row in part.to_dict("records"):
            cells = [findings_of(check(row, *column), root) for column in columns.values()]
            lines = [[*_named(row), *line] for line in _lines(cells, digits)]
            rows += lines or [[*_named(row), *["–"] * (len(columns) + 1)]]
        yield table(heads, "ll" + "r" * (len(heads) - 3) + "l", rows)


def _named(row: Row) -> tuple[str, str, str]:
    """Return the network, the quantity and the printed number."""
    quantity = row["quantity"]
    symbol = ACCURACIES.get(quantity, rf"$\rho_{{{quantity.removeprefix('rho_')}}}$")
    return NAMES[row["model"]].replace("-", "\u2011"), symbol, row["printed"]


def _lines(cells: list[list[Finding]], digits: int) -> Iterator[list[str]]:
    """Yield one line for each size of runs: ours with spread, then their size and number.

    A cell from fewer seeds than its line says how many.
    """
    for profile in PROFILES[PROFILES.index(DEFAULT) + 1 :]:
        found = [next((one for one in cell if one.profile == profile), None) for cell in cells]
        known = [one for one in found if one]
        if known:
            most = max(known, key=lambda one: len(one.values))
            yield [_cell(one, digits, len(most.values)) for one in found] + [most.scale]


def _cell(finding: Finding | None, digits: int, seeds: int) -> str:
    """Return the mean with its spread over seeds."""
    if finding is None:
        return "–"
    scale = 100 if finding.test.unit else 1
    text = mean_and_spread(scale * pd.Series(finding.values, dtype=float), digits)
    few = len(finding.values)
    return text.replace(" ± ", "\u00a0±\u00a0") + f"\u00a0({few})" * (few < seeds)


def _accuracy(row: Row, protocol: str, column: str) -> Check:
    tuned = {"network": "tuned", "n_b": row["n_b"], "front": "robust"}
    robust = {"network": "robust"}
    spliced = {"network": "spliced", "n_b": row["n_b"]}
    chosen: dict[str, Row] = {"robust": robust, "spliced": spliced, "tuned": tuned}
    less = {"minus": {"row": robust}} if row["quantity"] == "difference" else {}
    return _check(row, protocol, column, chosen.get(row["quantity"], tuned), unit="points", **less)


def _rho(row: Row, protocol: str, column: str) -> Check:
    back = int(row["quantity"].removeprefix("rho_n").removeprefix("-") or 0)
    j = LAST.get(row["model"], 0) - back  # at most 0 where no layer has such a number
    tuned = {"network": "tuned", "n_b": row["n_b"], "front": "robust", "preset": "paper", "j": j}
    return _check(row, protocol, column, tuned, table="rho")


def _check(row: Row, protocol: str, column: str, wanted: Row, **more: Any) -> Check:
    record = {"model": row["model"], "data": row["data"], "protocol": protocol}
    about: dict[str, Any] = {"experiment": "table-1", "record": record, "row": wanted}
    return Check(kind=column, within=(0, 0), column=column, **about, **more)
