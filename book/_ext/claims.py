"""What the papers claim, how it is tested, what was found; the status is computed.

``book/claims.toml`` holds one entry for each claim. A test of a claim names a value, in the records
of an experiment or among the named values of a chapter, and the range that the claim leaves it:

reproduced      the mean of what was found lies in the range
differs         it lies outside
smoke only      there is a value, and only from networks too small to be evidence
not attempted   there is none, or none from runs large enough for this claim
"""

import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import hypot
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pandas as pd

from semirobust.results.documents import document
from semirobust.results.frames import frame, mean_and_spread
from semirobust.results.profiles import DEFAULT, PROFILES
from semirobust.results.records import ROOT
from semirobust.results.values import named_values

FILE = "book/claims.toml"
Status: TypeAlias = Literal["reproduced", "differs", "smoke only", "not attempted"]
STATUSES: tuple[Status, ...] = ("differs", "reproduced", "smoke only", "not attempted")
Run: TypeAlias = tuple[str, int]  # profile and seed


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

    def __post_init__(self) -> None:
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


@dataclass(frozen=True)
class Value:
    """The value of one run, its files, and its standard error where it is recorded."""

    value: float
    files: tuple[Path, ...]
    error: float | None = None


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a test found: its values, one a seed, from which profile and files."""

    test: Check
    status: Status
    profile: str = ""
    values: tuple[float, ...] = ()
    files: tuple[Path, ...] = ()
    error: float | None = None

    @property
    def narrow(self) -> bool:
        """Return whether a limit of the range lies within a standard deviation of the mean.

        Of a single run it is the standard error that its number of images leaves, where it is
        known. A limit that no accuracy can cross is none.
        """
        values = pd.Series(self.values, dtype=float)
        error = values.std() if len(values) > 1 else self.error
        if values.empty or error is None:
            return False
        ends = [end for end in self.test.within if not (self.test.unit and abs(end) == 1)]
        return any(abs(values.mean() - end) < error for end in ends)

    @property
    def verdict(self) -> str:
        """Return the status, with a word where another seed might turn it."""
        return self.status + (", narrowly" if self.narrow else "")

    @property
    def shown(self) -> str:
        """Return the value with its spread and the number of runs."""
        runs = f" (n = {len(self.values)})" if self.test.experiment and self.values else ""
        return self.rounded(1 if self.test.unit else 3) + runs

    def rounded(self, digits: int) -> str:
        """Return the value with its spread, a dash where there is none."""
        scale = 100 if self.test.unit else 1
        return mean_and_spread(scale * pd.Series(self.values, dtype=float), digits) or "–"


def claims(root: Path = ROOT) -> list[Claim]:
    """Return the claims of ``book/claims.toml``, in its order."""
    return [_claim(entry) for entry in entries("claim", root)]


def entries(kind: str, root: Path = ROOT) -> list[dict[str, Any]]:
    """Return the entries of a kind: ``claim``, ``answer`` or ``headline`` of the front page."""
    try:
        content = tomllib.loads((root / FILE).read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{FILE}: {error}") from None
    chosen: list[dict[str, Any]] = content.get(kind, [])
    known = {entry.get("name") for entry in content.get("claim", [])}
    for number, entry in enumerate(chosen, start=1):
        named = entry.get("claims", [*entry.get("by", {}).values()])
        if missing := [name for name in named if name not in known]:
            raise ValueError(f"{FILE}, {kind} {number}: no claim is named {', '.join(missing)}")
    return chosen


def _claim(entry: dict[str, Any]) -> Claim:
    tests = entry.pop("test", [])
    try:
        checks = [Check(**test | {"within": tuple(test["within"])}) for test in tests]
        return Claim(**entry, tests=tuple(checks))
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise ValueError(f"{FILE}, claim {entry.get('name')!r}: {error}") from None


def findings(claim: Claim, root: Path = ROOT) -> list[Finding]:
    """Return what each test of a claim found."""
    try:
        return [finding(test, root) for test in claim.tests]
    except ValueError as error:
        raise ValueError(f"{FILE}, claim {claim.name!r}: {error}") from error


def status(found: list[Finding]) -> Status:
    """Return the status of a claim: that of its first test."""
    return found[0].status if found else "not attempted"


def finding(test: Check, root: Path = ROOT) -> Finding:
    """Return the values of a test, from the profile that says most, and their status."""
    runs = _stored(test, root) if test.notebook else _recorded(test, root)
    if not runs:
        return Finding(test=test, status="not attempted")
    profile = _fullest(runs, test.at_least)
    chosen = [runs[run] for run in sorted(runs) if run[0] == profile]
    values = tuple(one.value for one in chosen)
    return Finding(
        test=test,
        status=judged(test, profile, values),
        profile=profile,
        values=values,
        files=tuple(dict.fromkeys(path for one in chosen for path in one.files)),
        error=chosen[0].error,
    )


def _fullest(runs: Mapping[Run, Value], at_least: str) -> str:
    """Return the profile with most seeds of those that count for a claim, of equals the largest.

    So one seed at full size does not displace three seeds of narrow networks.
    """
    seeds, least = Counter(profile for profile, _ in runs), PROFILES.index(at_least)
    sizes = {profile: PROFILES.index(profile) for profile in seeds}
    return max(seeds, key=lambda name: (sizes[name] >= least, seeds[name], sizes[name]))


def judged(test: Check, profile: str, values: tuple[float, ...]) -> Status:
    """Return the status that values of a profile have."""
    if not test.exact and profile == DEFAULT:
        return "smoke only"
    if not test.exact and PROFILES.index(profile) < PROFILES.index(test.at_least):
        return "not attempted"
    low, high = test.within
    return "reproduced" if low <= sum(values) / len(values) <= high else "differs"


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
    values = _selected(test, root)
    if not test.minus:
        return values
    others = _selected(replace(test, **test.minus), root)
    both = values.keys() & others.keys()
    return {run: _difference(values[run], others[run], share=test.share) for run in both}


def _selected(test: Check, root: Path) -> dict[Run, Value]:
    """Return the mean over the rows of each run that hold what is wanted."""
    rows, column = frame(test.experiment, test.table, root=root / "results"), test.column
    wanted = {**test.record, **test.row}
    if not {column, *wanted} <= set(rows):
        return {}
    rows = rows[(rows[[*wanted]] == pd.Series(wanted, dtype=object)).all(axis=1)]
    rows = rows[rows[column].notna()].assign(seed=rows.get("seed", 0))
    if "setting" in rows and "setting" not in wanted and rows["setting"].isna().any():
        rows = rows[rows["setting"].isna()]  # a row of another setting is asked for by its name
    values: dict[Run, Value] = {}
    for _, part in rows.groupby(["profile", "seed", "file"]):
        first = part.iloc[0]
        two_errors = first.get(f"{column}_two_errors") if len(part) == 1 else None
        error = None if pd.isna(two_errors) else two_errors / 2
        value = part[column] / part[test.over] if test.over else part[column]
        values[first["profile"], first["seed"]] = Value(value.mean(), (first["file"],), error)
    return values


def _difference(one: Value, other: Value, *, share: bool) -> Value:
    """Return one minus other, or that over other, as if they had met different images."""
    files = tuple(dict.fromkeys(one.files + other.files))
    scale, slope = (other.value, one.value / other.value) if share else (1.0, 1.0)
    value = (one.value - other.value) / scale
    if one.error is None or other.error is None:
        return Value(value, files)
    return Value(value, files, hypot(one.error, slope * other.error) / abs(scale))
