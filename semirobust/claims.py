"""The ledger: what the papers claim, how it is tested, what was found; the status is computed.

``book/claims.toml`` holds one entry for each claim. A test of a claim names where a value stands,
in result files or in a cell of a chapter, and the range that the claim leaves it:

reproduced      the mean of what was found lies in the range
differs         it lies outside
smoke only      there is a value, and only from networks too small to be evidence
not attempted   there is none, or none from runs large enough for this claim
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal, TypeAlias

from semirobust import notebooks
from semirobust.notebooks import DEFAULT, PROFILES
from semirobust.prose import value_at
from semirobust.results import ROOT

Status: TypeAlias = Literal["reproduced", "differs", "smoke only", "not attempted"]
STATUSES: tuple[Status, ...] = ("differs", "reproduced", "smoke only", "not attempted")
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
        at_least: Smallest profile that counts for this claim.
        notebook: Chapter whose output is read.
        cell: The id of its cell.
        find: Pattern with one group, a number.
        less: Pattern of a second number, which is subtracted.
        exact: Whether the chapter computes the value exactly, so that a small run is evidence.
        unit: "points" shows hundredths; else as it is.
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


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim: its name, its version and place, what it says, how it is tested."""

    name: str
    paper: Literal["first", "revision"]
    place: str
    says: str
    quoted: str
    how: str
    page: str
    tests: tuple[Check, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a test found: its values, one a seed, from which profile and files."""

    test: Check
    status: Status
    profile: str = ""
    values: tuple[float, ...] = ()
    files: tuple[Path, ...] = ()

    @property
    def narrow(self) -> bool:
        """Return whether a limit of the range lies within a standard deviation of the mean."""
        if len(self.values) < 2:
            return False
        return any(abs(mean(self.values) - end) < stdev(self.values) for end in self.test.within)

    @property
    def verdict(self) -> str:
        """Return the status, with a word where another seed might turn it."""
        return self.status + (", narrowly" if self.narrow else "")

    @property
    def shown(self) -> str:
        """Return the value with its spread and the number of runs."""
        if not self.values:
            return "–"
        scale, digits = (100, 1) if self.test.unit == "points" else (1, 3)
        text = f"{scale * mean(self.values):.{digits}f}"
        if len(self.values) > 1:
            text += f" ± {scale * stdev(self.values):.{digits}f}"
        return text + (f" (n = {len(self.values)})" if self.test.experiment else "")


def claims(root: Path = ROOT) -> list[Claim]:
    """Return the claims of ``book/claims.toml``, in its order."""
    return [_claim(entry) for entry in _document(root)["claim"]]


def answers(root: Path = ROOT) -> list[tuple[str, dict[str, str]]]:
    """Return the sentences of the front page, each with the claims that decide it, by words."""
    return [(entry["says"], entry["by"]) for entry in _document(root)["answer"]]


def _document(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "book" / "claims.toml").read_text(encoding="utf-8"))


def _claim(entry: dict[str, Any]) -> Claim:
    tests = tuple(
        Check(**{**test, "within": tuple(test["within"])}) for test in entry.pop("test", [])
    )
    try:
        return Claim(**entry, tests=tests)
    except TypeError as error:
        raise ValueError(f"claim {entry.get('name')!r}: {error}") from None


def findings(claim: Claim, root: Path = ROOT) -> list[Finding]:
    """Return what each test of a claim found."""
    return [finding(test, root) for test in claim.tests]


def status(found: list[Finding]) -> Status:
    """Return the status of a claim: that of its first test."""
    return found[0].status if found else "not attempted"


def finding(test: Check, root: Path = ROOT) -> Finding:
    """Return the values of a test, from the largest profile that has one, and their status."""
    by_profile = _of_notebook(test, root) if test.notebook else _of_results(test, root)
    for profile in reversed(PROFILES):
        values, files = by_profile.get(profile, ({}, ()))
        if values:
            found = tuple(values[seed] for seed in sorted(values))
            return Finding(
                test=test,
                status=judged(test, profile, found),
                profile=profile,
                values=found,
                files=files,
            )
    return Finding(test=test, status="not attempted")


def judged(test: Check, profile: str, values: tuple[float, ...]) -> Status:
    """Return the status that values of a profile have."""
    if not test.exact and profile == DEFAULT:
        return "smoke only"
    if not test.exact and PROFILES.index(profile) < PROFILES.index(test.at_least):
        return "not attempted"
    low, high = test.within
    return "reproduced" if low <= mean(values) <= high else "differs"


Values: TypeAlias = dict[str, tuple[dict[int, float], tuple[Path, ...]]]


def _of_results(test: Check, root: Path) -> Values:
    """Return the values by profile and seed."""
    second = {"record": test.record, "row": test.row, "column": test.column, **test.minus}
    found: Values = {}
    for profile in PROFILES:
        first, files = _selected(test, root, profile, test.record, test.row, test.column)
        if test.minus:
            taken, more = _selected(test, root, profile, **second)
            first = {seed: first[seed] - taken[seed] for seed in first.keys() & taken.keys()}
            files = tuple(dict.fromkeys(files + more))
        found[profile] = first, files
    return found


def _selected(
    test: Check,
    root: Path,
    profile: str,
    record: Mapping[str, Any],
    row: Mapping[str, Any],
    column: str,
) -> tuple[dict[int, float], tuple[Path, ...]]:
    values, files = {}, []
    for path, document in _documents(root / "results" / test.experiment):
        settings = document["settings"].get("row", document["settings"])  # an audit is of a row
        if document["profile"] != profile or not _is_about(settings, record):
            continue
        rows = [one for one in document["metrics"].get(test.table, []) if _holds(one, row)]
        found = [_ratio(one, column, test.over) for one in rows if one.get(column) is not None]
        if found:
            values[value_at(settings, "study.seed") or 0] = mean(found)
            files.append(path)
    return values, tuple(files)


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
    return {DEFAULT: ({0: found}, (path,))}


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
