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
    "transfer, stored": ("static", "static"),
    "white-box, fresh": ("online", "whitebox"),
    "AutoAttack, fresh": ("online", "autoattack"),
    "white-box, stored": ("static", "whitebox"),
}
SHORT = {"robust": "Acc*", "spliced": "Acc<sub>sr</sub>", "tuned": "Acc̃", "difference": "Diff."}
OURS = {  # protocol and columns of the two lines under a printed row
    "ours, white-box": ("online", "whitebox", "value"),
    "ours, transfer": ("static", "static", "value"),
}
RHO = {
    f"{words}, {made}": (protocol, column)
    for protocol, made in (("static", "stored"), ("online", "fresh"))
    for column, words in (("value", "ρ"), ("excess", "excess"))
}
LAST = {"alexnet": 8, "vgg16": 16}  # links of a chain in which layers and links are the same
Row = Mapping[Any, Any]


def matrix(root: Path = ROOT) -> str:
    """Return Table 1 as printed, a row each network and data set, with ours beneath each."""
    rows = published_numbers("Table 1")
    quantities = list(dict.fromkeys(rows["quantity"]))
    heads = "".join(f'<th scope="col">{SHORT.get(one, _layer(one))}</th>' for one in quantities)
    parts = [f'<thead><tr><th scope="col">as printed</th>{heads}</tr></thead>']
    for (model, data), part in rows.groupby(["model", "data"], sort=False):
        cells = {row["quantity"]: row for row in part.to_dict("records")}
        printed = [cells[one]["printed"] if one in cells else "" for one in quantities]
        name = f"{NAMES[str(model)]}, {NAMES[str(data)]}, back of {part['n_b'].iloc[0]:.0f}"
        lines = [_row("paper", name, printed)]
        for words, places in OURS.items():
            found = [_largest(cells.get(one), places, root) for one in quantities]
            scales = "; ".join(dict.fromkeys(one.scale for one in found if one))
            label = words + f"<small>{scales}</small>" * bool(scales)
            lines.append(_row("ours", label, [*map(_mean, found)]))
        parts.append(f"<tbody>{''.join(lines)}</tbody>")
    return f'<div class="matrix" tabindex="0"><table class="matrix">{"".join(parts)}</table></div>'


def _row(kind: str, label: str, values: list[str]) -> str:
    cells = "".join(f"<td>{one}</td>" if one else '<td class="none"></td>' for one in values)
    return f'<tr class="{kind}"><th scope="row">{label}</th>{cells}</tr>'


def _largest(row: Row | None, places: tuple[str, str, str], root: Path) -> Finding | None:
    """Return what the largest runs found in a printed cell."""
    if row is None:
        return None
    protocol, threat, rho = places
    rho_cell = row["quantity"].startswith("rho")
    check = _rho(row, protocol, rho) if rho_cell else _accuracy(row, protocol, threat)
    found = [one for one in findings_of(check, root) if one.values and one.profile != DEFAULT]
    return found[-1] if found else None


def _mean(found: Finding | None) -> str:
    if found is None:
        return ""
    mean = pd.Series(found.values, dtype=float).mean()
    return f"{100 * mean:.1f}" if found.test.unit else f"{mean:.2f}"


def _layer(quantity: str) -> str:
    return f"ρ<sub>{quantity.removeprefix('rho_').replace('-', chr(8722))}</sub>"


def table_1(root: Path = ROOT) -> str:
    """Return the body of the page that sets the paper's Table 1 beside ours, cell by cell."""
    rows = published_numbers("Table 1")
    rho = rows["quantity"].str.startswith("rho")
    accuracies = _by_data(rows[~rho], COLUMNS, _accuracy, 1, root)
    dependences = _by_data(rows[rho], RHO, _rho, 2, root)
    return "\n\n".join(["**Accuracies**", *accuracies, "**Dependence**", *dependences]) + "\n"


def _by_data(
    printed: pd.DataFrame,
    columns: Mapping[str, tuple[str, str]],
    check: Callable[[Row, str, str], Check],
    digits: int,
    root: Path,
) -> Iterator[str]:
    """Yield a name and a table for each data set, a line for each published cell."""
    heads = ["network", "", "paper", *columns, "runs"]
    for data, part in printed.groupby("data", sort=False):
        yield f"**{NAMES[str(data)]}**"
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
