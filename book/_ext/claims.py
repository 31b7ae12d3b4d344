"""What the papers claim, how it is tested, what was found; every verdict is computed.

``book/claims.toml`` holds one entry for each claim. A test of a claim names a quantity, in the
records of an experiment or among the named values of a chapter, and the range that the claim leaves
it. The verdict on an experiment is that of ``semirobust.results.verdicts``: holds, does not hold,
undecided; *not run* where nothing of sufficient size is recorded. A theory has a verdict of its
own, and its tests are the exact values that it rests on:

proved                    every value lies in its range
true but empty            so too: the statement holds, and says nothing
needs a condition         some value lies outside
false (counterexample)    so too: the statement as printed
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from book._ext import evidence
from book._ext.evidence import Check, Run, Value
from semirobust.results import verdicts
from semirobust.results.documents import document
from semirobust.results.profiles import DEFAULT, PROFILES
from semirobust.results.records import ROOT
from semirobust.results.verdicts import Decision, Estimate

FILE = "book/claims.toml"
STATEMENTS = "book/statements.toml"  # of the papers, each with the entries about it
NOT_RUN = "not run"
WORDS = ("holds", "does not hold", "undecided", NOT_RUN)
Theory: TypeAlias = Literal[
    "proved", "true but empty", "needs a condition", "false (counterexample)"
]
THEORY: tuple[Theory, ...] = get_args(Theory)
Kind: TypeAlias = Literal["experiment", "theory", "own", "construction"]
KINDS: tuple[Kind, ...] = get_args(Kind)
COUNTED = KINDS[:2]  # what the book itself proposes, or builds in, is no claim of a paper
Paper: TypeAlias = Literal["first", "revision", "mixtrain", "sparse", "book"]
PAPERS: Mapping[Paper, str] = {
    "first": "first version",
    "revision": "later revision",
    "mixtrain": "MixTrain",
    "sparse": "robust sparse networks",
    "book": "this book",
}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim: its name, its version and place, what it says, how it is tested."""

    name: str
    paper: Paper
    place: str
    says: str
    quoted: str
    how: str
    page: str
    kind: Kind = "experiment"
    verdict: Theory | None = None  # of a theory
    untested: str = ""  # why there is no test
    fixed: str = ""  # since when statistic, margin and seeds stand, where before any run
    tests: tuple[Check, ...] = ()

    def __post_init__(self) -> None:
        if missing := [
            name for name in ("place", "says", "how", "page") if not getattr(self, name)
        ]:
            raise ValueError(f"needs {', '.join(missing)}")
        if (self.kind == "theory") != (self.verdict in THEORY):
            raise ValueError(f"a theory needs one of the verdicts {', '.join(THEORY)}, and only it")
        if not (self.tests or self.untested):
            raise ValueError("needs a test, or says in `untested` why there is none")
        if self.kind not in KINDS or self.paper not in PAPERS:
            raise ValueError(f"kind is one of {KINDS}, paper one of {tuple(PAPERS)}")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the runs of one size found in a test: their values, one a seed, and what they decide."""

    test: Check
    profile: str = ""
    values: tuple[float, ...] = ()
    files: tuple[Path, ...] = ()
    estimate: Estimate | None = None
    decision: Decision | None = None

    @property
    def word(self) -> str:
        return self.decision.word if self.decision else NOT_RUN

    @property
    def scale(self) -> str:
        """Of what size the runs are, and how many: "quarter width, 10,000 images, 3 seeds"."""
        if self.test.exact or not self.values:
            return "exact" if self.values else ""
        if self.profile == DEFAULT:
            return "tiny networks"
        settings = [document(path)["settings"] for path in self.files]
        return f"{_size(settings[0], self.profile)}, {_counted(len(self.values), 'seed')}"

    @property
    def shown(self) -> str:
        """The mean with its interval, in the unit of the test."""
        if self.estimate is None:
            return "–"
        scale, digits = (100, 1) if self.test.unit else (1, 3)
        mean = f"{scale * self.estimate.mean:.{digits}f}"
        if self.test.exact or self.profile == DEFAULT:
            return mean
        low, high = (f"{scale * end:.{digits}f}" for end in self.estimate.interval())
        return f"{mean} [{low}, {high}]"


def _size(settings: Mapping[str, Any], profile: str) -> str:
    width, train = _deep(settings, "width"), _deep(settings, "train")
    if width is None and train is None:
        return "full size" if profile in PROFILES[2:] else f"{profile} run"
    names = {None: "full width", 1: "full width", 0.5: "half width", 0.25: "quarter width"}
    if train is None and width in (None, 1):
        return "full size"
    return f"{names.get(width, f'width {width}')}, {f'{train:,}' if train else 'all'} images"


def _deep(settings: Any, name: str) -> Any:
    """Return the value of the first field of a name, at any depth."""
    if not isinstance(settings, Mapping):
        return None
    if name in settings:
        return settings[name]
    return next((v for v in (_deep(one, name) for one in settings.values()) if v is not None), None)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


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


def complete(root: Path = ROOT) -> None:
    """Refuse a statement of a paper without its entries, and an entry of a paper without one."""
    known = {claim.name: claim.paper for claim in claims(root) if claim.paper != "book"}
    papers = tomllib.loads((root / STATEMENTS).read_text(encoding="utf-8"))
    for paper, statements in papers.items():
        for statement, names in statements.items():
            if not names or (lost := [name for name in names if known.get(name) != paper]):
                missing = f"no {' and no '.join(lost)}" if names else "nothing"
                raise ValueError(f"{FILE} has {missing} for {paper}, {statement!r} ({STATEMENTS})")
    named = {
        name for statements in papers.values() for some in statements.values() for name in some
    }
    if more := [name for name in known if name not in named]:
        raise ValueError(f"{FILE}: {STATEMENTS} has no line for {', '.join(more)}")


def _claim(entry: dict[str, Any]) -> Claim:
    tests = entry.pop("test", [])
    try:
        checks = [Check(**test | {"within": tuple(test["within"])}) for test in tests]
        return Claim(**entry, tests=tuple(checks))
    except (TypeError, ValueError, KeyError, IndexError) as error:
        raise ValueError(f"{FILE}, claim {entry.get('name')!r}: {error}") from None


def findings(claim: Claim, root: Path = ROOT) -> list[Finding]:
    """Return what each test of a claim found, once for each size of runs."""
    try:
        return [found for test in claim.tests for found in findings_of(test, root)]
    except ValueError as error:
        raise ValueError(f"{FILE}, claim {claim.name!r}: {error}") from error


def findings_of(test: Check, root: Path = ROOT) -> list[Finding]:
    """Return one finding for each profile above smoke, else that of smoke, else an empty one."""
    runs = evidence.values(test, root)
    profiles = sorted({profile for profile, _ in runs}, key=PROFILES.index)
    if len(profiles) > 1 and profiles[0] == DEFAULT:
        profiles = profiles[1:]
    return [_finding(test, p, runs) for p in profiles] or [Finding(test=test)]


def _finding(test: Check, profile: str, runs: Mapping[Run, Value]) -> Finding:
    chosen = [runs[run] for run in sorted(runs) if run[0] == profile]
    values = tuple(one.value for one in chosen)
    estimate = Estimate(values[0], 1)
    if not test.exact:
        estimate = verdicts.estimate(values, _image_variance(chosen), granted=test.spread)
    counts = test.exact or (profile != DEFAULT and _large(profile) >= _large(test.at_least))
    return Finding(
        test=test,
        profile=profile,
        values=values,
        files=tuple(dict.fromkeys(path for one in chosen for path in one.files)),
        estimate=estimate,
        decision=verdicts.decide(estimate, test.limits) if counts else None,
    )


_large = PROFILES.index


def _image_variance(chosen: list[Value]) -> float:
    """Return what the draw of the images leaves of the variance, 0 where nothing is known."""
    terms = [one.terms for one in chosen if one.terms is not None]
    if len(terms) == len(chosen):
        return verdicts.image_variance(terms)
    errors = [one.error for one in chosen if one.error is not None]
    return float(np.mean(np.square(errors))) if errors else 0.0


def decided(claim: Claim, found: list[Finding]) -> Decision | None:
    """Return what all tests of a claim decide, over the sizes they were run at, if any was."""
    sides = []
    for test in claim.tests:
        known = [
            (one.decision, len(one.values)) for one in found if one.test is test and one.decision
        ]
        if known:
            sides.append(verdicts.over_scales([d for d, _ in known], [S for _, S in known]))
    return verdicts.together(sides) if sides else None


def verdict(claim: Claim, found: list[Finding]) -> str:
    """Return the verdict on a claim; that on a theory must agree with its exact values.

    Raises:
        ValueError: A theory is called true beside a value that it forbids, or false without one.
    """
    if claim.verdict is None:
        decision = decided(claim, found)
        return decision.word if decision else NOT_RUN
    outside = any(one.word == "does not hold" for one in found)
    if found and outside == (claim.verdict in THEORY[:2]):
        beside = "a value outside its range" if outside else "no value outside its range"
        raise ValueError(f"{FILE}, claim {claim.name!r}: {claim.verdict}, and {beside}")
    return claim.verdict
