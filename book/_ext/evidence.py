"""Where the value of a claim stands: in the result files of an experiment, or in a chapter's cell.

A test names it and the range that the claim leaves it; reading it gives one value for each profile
and seed, with the files that it comes from.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import hypot
from pathlib import Path
from statistics import mean
from typing import Any, TypeAlias

from book._ext import notebooks
from semirobust.results.profiles import DEFAULT, PROFILES, value_at

FACTS = {
    "model": "study.architecture.name",
    "data": "study.data.name",
    "protocol": "study.protocol",
    "label": "label",
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """Where the value of a claim stands, and the range that the claim leaves it.

    Args:
        kind: The threat model, or the way of measuring, in words.
        within: Smallest and largest value that agrees with the claim.
        experiment: Folder of result files; else ``notebook`` is read.
        record: What a result must be about: model, data, protocol, label.
        table: Which table of the result.
        row: What a row of the table must hold.
        column: The value.
        over: Column that it is divided by.
        minus: ``record``, ``row`` or ``column`` of a second value, which is subtracted.
        share: Whether the difference is divided by the second value.
        at_least: Smallest profile that counts for this claim.
        notebook: Chapter whose output is read.
        cell: The id of its cell.
        find: Pattern with one group, a number.
        less: Pattern of a second number, which is subtracted.
        exact: Whether the chapter computes the value exactly, so that a small run is evidence.
        unit: What hundredths are called, such as "points"; without it the value is shown as it is.
    """

    kind: str
    within: tuple[float, float]
    experiment: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)
    table: str = "networks"
    row: Mapping[str, Any] = field(default_factory=dict)
    column: str = ""
    over: str = ""
    minus: Mapping[str, Any] = field(default_factory=dict)
    share: bool = False
    at_least: str = "cpu"
    notebook: str = ""
    cell: str = "claims"
    find: str = ""
    less: str = ""
    exact: bool = False
    unit: str = ""

    def __post_init__(self) -> None:
        """Reject a test that could not be read."""
        if bool(self.experiment) == bool(self.notebook):
            raise ValueError(f"a test names an experiment or a notebook, got {self}")
        if self.at_least not in PROFILES or self.within[0] > self.within[1]:
            raise ValueError(f"a test needs a known profile and a range, got {self}")


@dataclass(frozen=True)
class Value:
    """A value of one seed, its files, and its standard error where the file has it."""

    value: float
    files: tuple[Path, ...]
    error: float | None = None


Values: TypeAlias = dict[str, dict[int, Value]]


def values_of(test: Check, root: Path) -> Values:
    """Return the values of a test by profile and seed."""
    return _of_notebook(test, root) if test.notebook else _of_results(test, root)


def _of_results(test: Check, root: Path) -> Values:
    """Return the values by profile and seed; of a difference the seeds that both sides have."""
    second = {"record": test.record, "row": test.row, "column": test.column, **test.minus}
    found: Values = {}
    for profile in PROFILES:
        first = _selected(test, root, profile, test.record, test.row, test.column)
        if test.minus:
            taken = _selected(test, root, profile, **second)
            both = sorted(first.keys() & taken.keys())
            first = {seed: _apart(first[seed], taken[seed], share=test.share) for seed in both}
        found[profile] = first
    return found


def _apart(one: Value, other: Value, *, share: bool) -> Value:
    """Return one minus other, or that over other, as if they had met different images."""
    files = tuple(dict.fromkeys(one.files + other.files))
    scale, slope = (other.value, one.value / other.value) if share else (1.0, 1.0)
    found = (one.value - other.value) / scale
    if one.error is None or other.error is None:
        return Value(found, files)
    return Value(found, files, hypot(one.error, slope * other.error) / abs(scale))


def _selected(
    test: Check,
    root: Path,
    profile: str,
    record: Mapping[str, Any],
    row: Mapping[str, Any],
    column: str,
) -> dict[int, Value]:
    values = {}
    for path, document in _documents(root / "results" / test.experiment):
        settings = document["settings"].get("row", document["settings"])  # an audit is of a row
        if document["profile"] != profile or not _is_about(settings, record):
            continue
        rows = [one for one in document["metrics"].get(test.table, []) if _holds(one, row)]
        rows = [one for one in rows if one.get(column) is not None]
        if rows:
            found = mean(_ratio(one, column, test.over) for one in rows)
            errors = [one.get(f"{column}_two_errors") for one in rows]
            error = errors[0] / 2 if len(rows) == 1 and errors[0] is not None else None
            values[value_at(settings, "study.seed") or 0] = Value(found, (path,), error)
    return values


def _ratio(row: Mapping[str, Any], column: str, over: str) -> float:
    return float(row[column] / row[over]) if over else float(row[column])


def _is_about(settings: Any, record: Mapping[str, Any]) -> bool:
    return all((value_at(settings, FACTS[name]) or "") == value for name, value in record.items())


def _holds(row: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(row.get(name) == value for name, value in wanted.items())


def _documents(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(folder.glob("*.json")):
        yield path, _read(path, path.stat().st_mtime_ns)


@cache
def _read(path: Path, _: int) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


def _of_notebook(test: Check, root: Path) -> Values:
    """Return the value that stands in the stored output of a cell."""
    path = root / "notebooks" / f"{test.notebook}.ipynb"
    if not path.exists():
        return {}
    text = output_of(path, test.cell)
    found = _number(test.find, text, test) - (_number(test.less, text, test) if test.less else 0)
    return {DEFAULT: {0: Value(found, (path,))}}


def output_of(path: Path, cell: str) -> str:
    """Return the text that a cell of a notebook printed or showed."""
    chosen = [one for one in notebooks.read(path).cells if one.id == cell]
    if not chosen:
        raise ValueError(f"{path.name} has no cell {cell!r}, which a claim reads")
    parts = [output.get("text", "") for output in chosen[0].outputs]
    parts += [output.get("data", {}).get("text/plain", "") for output in chosen[0].outputs]
    return "\n".join(parts)


def _number(pattern: str, text: str, test: Check) -> float:
    found = re.search(pattern, text, re.MULTILINE)
    if not found:
        raise ValueError(f"{test.notebook}, cell {test.cell}: nothing matches {pattern!r}")
    return float(found[1])
