"""Prose: numbers in sentences, filled from result files when a page is read.

``{{ results/table-1/*.json[profile=cpu]:metrics.accuracy.0:.1% }}`` becomes the value in that
format. The path may hold a ``*``, and conditions in brackets choose among the files; one must
remain. A part of a page that needs results stands between ``<!-- when results/table-1/*.json -->``
and ``<!-- end -->``; what stands for it until then follows ``<!-- otherwise -->``.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from book._ext.markdown import plain
from semirobust.results.documents import document, part_of, value_at
from semirobust.results.records import ROOT

READ = ("results", "book", "_config.yml")  # what of a checkout pages read
FILES = r"([\w./*-]+\.(?:json|yml))(?:\[([^\]]*)\])?"  # a path that may hold a *, and conditions
PLACEHOLDER = re.compile(rf"\{{\{{\s*{FILES}:([\w.-]+?)(?::([^{{}}]*?))?\s*\}}\}}")
UNREAD = re.compile(r"\{\{ .*?\}\}|<!-- when .*?-->")
CONDITION = re.compile(
    rf"<!-- when {FILES} -->\n(.*?)(?:<!-- otherwise -->\n(.*?))?<!-- end -->\n", re.DOTALL
)


def fill(text: str, root: Path = ROOT, place: str = "text") -> str:
    """Return text with its conditions decided and its numbers read from files.

    Raises:
        ValueError: A placeholder that finds no file, no value, or cannot be understood; the message
            says at which ``place``.
    """

    def decide(found: re.Match[str]) -> str:
        return found[3] if _selected(root, found[1], found[2]) else found[4] or ""

    decided = CONDITION.sub(decide, text)
    filled = PLACEHOLDER.sub(lambda found: _number(found, root, place), decided)
    if left := UNREAD.search(filled):
        raise ValueError(f"{place}: cannot read {left[0]}; its form is path.json:value:format")
    return filled


def _number(found: re.Match[str], root: Path, place: str) -> str:
    path, name, style = found[1] + (f"[{found[2]}]" if found[2] else ""), found[3], found[4] or ""
    documents = _selected(root, found[1], found[2])
    if len(documents) != 1:
        raise ValueError(f"{place}: {path} matches {len(documents)} files, and must match one")
    value = documents[0]
    for part in name.split("."):
        value = part_of(value, part)
        if value is None:
            raise ValueError(f"{place}: {path} has no {name}: stopped at {part!r}")
    try:
        shown = format(value, style)
    except (TypeError, ValueError):
        raise ValueError(f"{place}: {path}:{name} is {value!r}, not for format {style!r}") from None
    return plain(shown) if isinstance(value, str) else shown


def _selected(root: Path, path: str, conditions: str | None) -> list[Any]:
    """Return the content of the files under a path whose values are as the conditions say."""
    if path.split("/")[0] not in READ or ".." in path.split("/"):
        raise ValueError(f"{path} is not read: pages show what lies under {' and '.join(READ)}")
    wanted = [word.split("=") for word in (conditions or "").split(",") if word]
    contents = [
        document(file) if file.suffix == ".json" else yaml.safe_load(file.read_bytes())
        for file in sorted(root.glob(path))
    ]
    return [
        content
        for content in contents
        if all(str(value_at(content, name)) == value for name, value in wanted)
    ]
