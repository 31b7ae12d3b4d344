"""JSON documents: their content by path, read once, and what stands in them by dotted name."""

import json
from functools import cache, reduce
from pathlib import Path
from typing import Any


def document(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file, read again only where it has changed."""
    return _document(*dated(path))


def dated(path: Path) -> tuple[Path, int]:
    """Return a path with the time of its last change."""
    return path, path.stat().st_mtime_ns


@cache
def _document(path: Path, _: int) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as damage:
        raise ValueError(f"{path} is damaged: {damage}") from None
    return content


def value_at(settings: Any, name: str) -> Any:
    """Return a nested value by its dotted name, or None where there is none.

    Example:
        >>> value_at({"a": [{"b": 1}]}, "a.0.b")
        1
    """
    return reduce(part_of, name.split("."), settings)


def part_of(value: Any, name: str) -> Any:
    """Return one part of a nested value, or None where there is none."""
    if isinstance(value, list):
        return value[int(name)] if name.isdecimal() and int(name) < len(value) else None
    return value.get(name) if isinstance(value, dict) else None
