"""Profiles, from small to large, and the recorded results that a chapter shows in one."""

import json
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

PROFILES = ("smoke", "cpu", "gpu", "paper")
DEFAULT = PROFILES[0]


def experiments(about: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the experiments that a chapter cannot do without, from its metadata."""
    names = about.get("experiment", [])
    return (names,) if isinstance(names, str) else tuple(names)


def shown(about: Mapping[str, Any], profile: str, results: Path) -> list[Path]:
    """Return the result files that a chapter shows in a profile, sorted.

    Args:
        about: The chapter's metadata: ``experiment``, those that it shows where they are recorded
            (``also``), and values that a result must hold, by dotted name (``where``).
        profile: One of ``PROFILES``.
        results: The folder of results.
    """
    wanted = {**about.get("where", {}), "profile": profile}
    return [
        path
        for name in (*experiments(about), *about.get("also", []))
        for path in sorted((results / name).glob("*.json"))
        if holds(json.loads(path.read_bytes()), wanted)
    ]


def largest(about: Mapping[str, Any], results: Path) -> str:
    """Return the largest profile for which every experiment of a chapter has a result."""
    needed = set(experiments(about))
    for profile in reversed(PROFILES):
        if needed and needed <= {path.parent.name for path in shown(about, profile, results)}:
            return profile
    return DEFAULT


def holds(document: Any, wanted: Mapping[str, Any]) -> bool:
    """Return whether a document has these values, by dotted name."""
    return all(value_at(document, name) == value for name, value in wanted.items())


def value_at(document: Any, name: str) -> Any:
    """Return a nested value by its dotted name, or None where there is none.

    Example:
        >>> value_at({"a": [{"b": 1}]}, "a.0.b")
        1
    """
    return reduce(part_of, name.split("."), document)


def part_of(value: Any, name: str) -> Any:
    """Return one part of a nested value, or None where there is none."""
    if isinstance(value, list):
        return value[int(name)] if name.isdecimal() and int(name) < len(value) else None
    return value.get(name) if isinstance(value, dict) else None
