"""The ledger: what the papers claim, how it is tested, what was found; the status is computed.

``book/claims.toml`` holds one entry for each claim. A test of a claim names where a value stands,
in result files or in a cell of a chapter, and the range that the claim leaves it:

reproduced      the mean of what was found lies in the range
differs         it lies outside
smoke only      there is a value, and only from networks too small to be evidence
not attempted   there is none, or none from runs large enough for this claim
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal, TypeAlias

from book._ext.evidence import Check, values_of
from semirobust.results.profiles import DEFAULT, PROFILES
from semirobust.results.records import ROOT

Status: TypeAlias = Literal["reproduced", "differs", "smoke only", "not attempted"]
STATUSES: tuple[Status, ...] = ("differs", "reproduced", "smoke only", "not attempted")


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
    error: float | None = None

    @property
    def narrow(self) -> bool:
        """Return whether a limit of the range lies within a standard deviation of the mean.

        Of a single run it is the standard error that its number of images leaves, where it is
        known. A limit that no accuracy can cross is none.
        """
        error = stdev(self.values) if len(self.values) > 1 else self.error
        if not self.values or error is None:
            return False
        ends = [end for end in self.test.within if not (self.test.unit and abs(end) == 1)]
        return any(abs(mean(self.values) - end) < error for end in ends)

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
        if not self.values:
            return "–"
        scale = 100 if self.test.unit else 1
        text = f"{scale * mean(self.values):.{digits}f}"
        spread = f" ± {scale * stdev(self.values):.{digits}f}" if len(self.values) > 1 else ""
        return text + spread


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
    by_profile = values_of(test, root)
    for profile in reversed(PROFILES):
        found = by_profile.get(profile, {})
        if found:
            values = tuple(found[seed].value for seed in sorted(found))
            return Finding(
                test=test,
                status=judged(test, profile, values),
                profile=profile,
                values=values,
                files=tuple(dict.fromkeys(path for one in found.values() for path in one.files)),
                error=found[min(found)].error,
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
