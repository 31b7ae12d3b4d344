"""How a run differs from the paper: its settings beside the paper's, where they differ.

Result files hold only what differs from the defaults, so defaults are read from the source; the
paper's settings stand in ``book/paper.toml``. Nothing is imported, so this needs no torch.
"""

import ast
import json
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from semirobust.results.documents import value_at
from semirobust.results.records import ROOT


def box(files: Iterable[Path], root: Path = ROOT) -> str:
    """Return the box for a page that shows these result files, or nothing where all agree."""
    lines = [row(*change) for change in changes(files, root)]
    if not lines:
        return ""
    head = "| setting | the paper | here |\n|:--|:--|:--|"
    table = "\n".join([head, *lines])
    return f":::{{admonition}} How this differs from the paper\n:class: note dropdown\n{table}\n:::\n\n"


def row(word: str, paper: Any, here: list[Any]) -> str:
    """Return one line of the box."""
    return f"| {word} | {said(paper)} | {', '.join(said(value) for value in here)} |"


def said(value: Any) -> str:
    """Return a value as a reader expects it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def changes(files: Iterable[Path], root: Path = ROOT) -> list[tuple[str, Any, list[Any]]]:
    """Return word, the paper's value and ours, for every setting in which a run differs."""
    text = (root / "book" / "paper.toml").read_text(encoding="utf-8")
    documents = [complete(json.loads(path.read_bytes())["settings"], root) for path in files]
    found = []
    for setting in tomllib.loads(text)["setting"]:
        ours = [value_at(document, setting["path"]) for document in documents]
        scale = setting.get("scale")
        ours = [round(value * scale, 3) if scale and value else value for value in ours]
        used = [value for value in dict.fromkeys(ours) if value is not None]
        if any(value != setting["paper"] for value in used):
            found.append((setting["word"], setting["paper"], used))
    return found


def complete(settings: Any, root: Path = ROOT) -> Any:
    """Return settings with the defaults filled in, by the name of their type."""
    if isinstance(settings, list):
        return [complete(item, root) for item in settings]
    if not isinstance(settings, dict):
        return settings
    filled = {name: complete(value, root) for name, value in settings.items()}
    return defaults(root).get(settings.get("kind", ""), {}) | filled


@cache
def defaults(root: Path = ROOT) -> dict[str, dict[str, Any]]:
    """Return the plain default values of every settings class, by class and field."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((root / "semirobust").rglob("*.py")):
        for item in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(item, ast.ClassDef):
                found[item.name] = dict(_fields(item))
    return found


def _fields(item: ast.ClassDef) -> Iterable[tuple[str, Any]]:
    for entry in item.body:
        if isinstance(entry, ast.AnnAssign) and isinstance(entry.value, ast.Constant):
            yield ast.unparse(entry.target), entry.value.value
