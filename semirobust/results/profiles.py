"""Profiles, from small to large, and the recorded results that a chapter shows in one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semirobust.results.documents import document, value_at

PROFILES = ("smoke", "cpu", "gpu", "paper")
DEFAULT = PROFILES[0]


def experiments(about: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the experiments that a chapter cannot do without, from its metadata."""
    names = about.get("experiment", [])
    return (names,) if isinstance(names, str) else tuple(names)


def shown(about: Mapping[str, Any], profile: str, results: Path) -> list[Path]:
    """Return the result files that a chapter shows in a profile, sorted.

    Its metadata name each ``experiment``, those that it shows where they are recorded (``also``),
    and values that a result must hold, by dotted name (``where``).
    """
    wanted = {**about.get("where", {}), "profile": profile}
    return [
        path
        for name in (*experiments(about), *about.get("also", []))
        for path in sorted((results / name).glob("*.json"))
        if all(value_at(document(path), name) == value for name, value in wanted.items())
    ]


def largest(about: Mapping[str, Any], results: Path) -> str:
    """Return the profile with most results among those with one of every experiment of a chapter.

    Of equals it is the largest: a single run at full size does not displace three seeds.
    """
    needed, counts = set(experiments(about)), {DEFAULT: 0}
    for profile in PROFILES[1:]:
        paths = shown(about, profile, results)
        if needed and needed <= {path.parent.name for path in paths}:
            counts[profile] = len(paths)
    return max(reversed(counts), key=lambda profile: counts[profile])
