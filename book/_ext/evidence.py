"""The quantity that a test of a claim names, read from records or from a chapter, for each run."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf, sqrt
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from semirobust.results import verdicts
from semirobust.results.documents import document
from semirobust.results.frames import frame, retention_errors
from semirobust.results.profiles import DEFAULT, PROFILES
from semirobust.results.values import named_values
from semirobust.results.verdicts import FEW, GRANTED

Run: TypeAlias = tuple[str, int]  # profile and seed
TESTED = {"cifar10": 10_000, "cifar100": 10_000}  # test images; of whole sets no flags are kept


@dataclass(frozen=True, kw_only=True)
class Check:
    """A test of a claim: where the value stands, and the range that the claim leaves it."""

    kind: str  # the threat model, or the way of measuring, in words
    within: tuple[float, float]  # smallest and largest value that agrees with the claim
    experiment: str = ""  # whose records are read; else the named values of a notebook
    record: Mapping[str, Any] = field(default_factory=dict)  # what a run must be about
    table: str = "networks"
    row: Mapping[str, Any] = field(default_factory=dict)  # what a row of the table must hold
    column: str = ""
    over: str = ""  # the column that it is divided by
    minus: Mapping[str, Any] = field(default_factory=dict)  # record, row or column: is subtracted
    share: bool = False  # whether the difference is divided by the second value
    at_least: str = "cpu"  # smallest profile that counts for this claim
    notebook: str = ""
    value: str = ""  # its name
    less: str = ""  # the name of a second value, which is subtracted
    exact: bool = False  # whether the chapter computes it exactly, so that a small run is evidence
    unit: str = ""  # what hundredths are called, such as "points"; else the value is shown as it is
    granted: float = 0.0  # spread of a single run, where that of its unit does not fit
    post_hoc: str = ""  # what was changed when values were known, and when; "" if nothing was

    def __post_init__(self) -> None:
        if bool(self.experiment) == bool(self.notebook):
            raise ValueError(f"a test names an experiment or a notebook, got {self}")
        if self.at_least not in PROFILES or self.within[0] > self.within[1]:
            raise ValueError(f"a test needs a known profile and a range, got {self}")

    @property
    def limits(self) -> tuple[float, float]:
        """The range, without ends that no accuracy, share or difference of them can cross."""
        if not self.unit:
            return self.within
        least = 0.0 if not self.minus else -1.0
        low, high = self.within
        return (-inf if low <= least else low), (inf if high >= 1 else high)

    @property
    def spread(self) -> float:
        """The spread over seeds that is granted to fewer than three."""
        kind = "share" if self.share or self.over else "points" if self.unit else "bits"
        return self.granted or GRANTED[kind]


@dataclass(frozen=True)
class Value:
    """The value of one run, its files, and what the draw of its images leaves of it.

    ``terms`` has one number an image, with the value as their mean; where images are not recorded
    one by one there may be a standard error.
    """

    value: float
    files: tuple[Path, ...]
    terms: NDArray[np.float64] | None = None
    error: float | None = None


def values(test: Check, root: Path) -> dict[Run, Value]:
    """Return the value of each run that a test is about."""
    return _stored(test, root) if test.notebook else _recorded(test, root)


def _stored(test: Check, root: Path) -> dict[Run, Value]:
    """Return the value that a chapter stores by name."""
    path = root / "notebooks" / f"{test.notebook}.ipynb"
    if not path.exists():
        return {}
    numbers = named_values(document(path))
    if missing := [name for name in (test.value, test.less) if name and name not in numbers]:
        raise ValueError(f"{path.name} stores no value {', '.join(missing)}; it has: {[*numbers]}")
    value = numbers[test.value] - (numbers[test.less] if test.less else 0)
    return {(DEFAULT, 0): Value(value, (path,))}


def _recorded(test: Check, root: Path) -> dict[Run, Value]:
    """Return the value of each run; of a difference, of the runs that both sides have."""
    runs = _selected(test, root)
    if not test.minus:
        return runs
    others = _selected(replace(test, **test.minus), root)
    both = runs.keys() & others.keys()
    return {run: _difference(runs[run], others[run], share=test.share) for run in both}


def _selected(test: Check, root: Path) -> dict[Run, Value]:
    """Return the mean over the rows of each run that hold what is wanted."""
    column, wanted = test.column, {**test.record, **test.row}
    table = frame(test.experiment, test.table, root=root / "results")
    if column == "retention":
        table = table.assign(retention_two_errors=2 * retention_errors(table, ["file"]))
    rows = _chosen(table, column, wanted)
    if rows.empty:
        return {}
    flags = _standing(test, root, wanted)
    runs: dict[Run, Value] = {}
    for _, part in rows.groupby(["profile", "seed", "file"]):
        first = part.iloc[0]
        value = part[column] / part[test.over] if test.over else part[column]
        terms = flags.get(first["file"]) if len(part) == 1 else None
        error = _error(first, column) if len(part) == 1 else None
        run = first["profile"], first["seed"]
        if run in runs:
            names = f"{runs[run].files[0].stem} and {first['file'].stem}"
            raise ValueError(
                f"{names} are both {run[0]} runs of seed {run[1]}: `record` must choose"
            )
        runs[run] = Value(value.mean(), (first["file"],), terms, error)
    return runs


def _error(row: "pd.Series[Any]", column: str) -> float | None:
    """Return the standard error that the images leave: as recorded, or of a whole test set."""
    if not pd.isna(two_errors := row.get(f"{column}_two_errors")):
        return float(two_errors) / 2
    if column not in ("clean", "static") or row.get("data") not in TESTED:
        return None
    n, share = TESTED[row["data"]], row[column]
    return max(sqrt(share * (1 - share) / n), FEW / n)


def _chosen(rows: pd.DataFrame, column: str, wanted: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows that hold what is wanted; runs with a label of their own must be named."""
    if not {column, *wanted} <= set(rows):
        return rows.iloc[:0]
    if "setting" in rows and "setting" not in wanted and rows["setting"].isna().any():
        rows = rows[rows["setting"].isna()]
    rows = rows[(rows[[*wanted]] == pd.Series(wanted, dtype=object)).all(axis=1)]
    known = rows[rows[column].notna()]
    seeds = known["seed"] if "seed" in known else pd.Series(index=known.index, dtype=float)
    return known.assign(seed=seeds.fillna(known.get("trial", 0)))  # trials are its seeds


def _standing(
    test: Check, root: Path, wanted: Mapping[str, Any]
) -> dict[Path, NDArray[np.float64]]:
    """Return which images stood in each run, where its report keeps them for the column.

    Of a growth over doses, what each image adds to the slope.
    """
    if test.table not in ("networks", "writings", "doses"):
        return {}
    reports = frame(test.experiment, "reports", root=root / "results")
    if not {"column", "standing"} <= set(reports):
        return {}
    rows = _chosen(reports[reports["column"] == test.column], "standing", wanted)
    rows = rows.sort_values("weight") if test.table == "doses" else rows
    kept: dict[Path, list[NDArray[np.float64]]] = {}
    for file, flags in zip(rows["file"], rows["standing"], strict=True):
        kept.setdefault(file, []).append(np.array([*flags], dtype=float))
    if test.table == "doses":
        return {file: verdicts.slopes(doses) for file, doses in kept.items()}
    return {file: flags for file, (*_, flags) in kept.items()}


def _difference(one: Value, other: Value, *, share: bool) -> Value:
    """Return one minus other, or that over other: image by image where both met the same ones."""
    files = tuple(dict.fromkeys(one.files + other.files))
    scale, slope = (other.value, one.value / other.value) if share else (1.0, 1.0)
    value = (one.value - other.value) / scale
    if one.terms is not None and other.terms is not None and len(one.terms) == len(other.terms):
        return Value(value, files, (one.terms - slope * other.terms) / abs(scale))
    if one.error is None or other.error is None:
        return Value(value, files)
    error = float(np.hypot(one.error, slope * other.error)) / abs(scale)
    return Value(value, files, error=error)
