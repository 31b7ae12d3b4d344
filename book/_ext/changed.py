"""How a run differs from the paper: its settings beside the paper's, where they differ.

Result files hold only what differs from the defaults, so defaults are read from the source; the
paper's settings stand in ``book/paper.toml``. Nothing is imported, so this needs no torch.
"""

import ast
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from book._ext.markdown import plain, table
from semirobust.results.documents import document, value_at
from semirobust.results.records import ROOT

FILE = "book/paper.toml"
NEEDED = {"word", "path", "paper"}
BOX = ":::{{admonition}} How this differs from the paper\n:class: note dropdown\n{}\n:::\n\n"


def box(files: Iterable[Path], root: Path = ROOT) -> str:
    """Return the box for a page that shows these result files, or nothing where all agree."""
    rows = [
        (word, _shown(paper), ", ".join(map(_shown, here)))
        for word, paper, here in changes(files, root)
    ]
    return BOX.format(table(["setting", "the paper", "here"], "lll", rows)) if rows else ""


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else plain(value)


def changes(files: Iterable[Path], root: Path = ROOT) -> list[tuple[str, Any, list[Any]]]:
    """Return word, the paper's value and ours, for every setting in which a run differs."""
    runs = [complete(document(path)["settings"], root) for path in files]
    differing = []
    for setting in of_paper(root):
        ours = [value_at(settings, setting["path"]) for settings in runs]
        scale = setting.get("scale")
        ours = [round(value * scale, 3) if scale and value else value for value in ours]
        used = [value for value in dict.fromkeys(ours) if value is not None]
        if any(value != setting["paper"] for value in used):
            differing.append((setting["word"], setting["paper"], used))
    return differing


def of_paper(root: Path = ROOT) -> list[dict[str, Any]]:
    """Return the settings of the paper, each with its word, its path and the paper's value."""
    try:
        text = (root / FILE).read_text(encoding="utf-8")
        settings: list[dict[str, Any]] = tomllib.loads(text)["setting"]
    except (tomllib.TOMLDecodeError, KeyError) as damage:
        raise ValueError(f"{FILE} is damaged: {damage}") from None
    known = {name for fields in _fields(root).values() for name in fields}
    for number, setting in enumerate(settings, start=1):
        names = str(setting.get("path", "")).split(".")
        if not NEEDED <= setting.keys() <= NEEDED | {"scale"}:
            told = f"has {', '.join(setting)}, and needs {', '.join(sorted(NEEDED))}"
        elif not isinstance(setting.get("scale", 1), int | float):
            told = f"has the scale {setting['scale']!r}, which is no number"
        elif missing := [n for n in names if n not in {*known, "kind"} and not n.isdecimal()]:
            told = f"names {missing[0]}, which no settings have"
        else:
            continue
        raise ValueError(f"{FILE}, setting {number} {told}")
    return settings


def complete(settings: Any, root: Path = ROOT) -> Any:
    """Return settings with the defaults filled in, by the name of their type."""
    if isinstance(settings, list):
        return [complete(item, root) for item in settings]
    if not isinstance(settings, dict):
        return settings
    filled = {name: complete(value, root) for name, value in settings.items()}
    return defaults(root).get(settings.get("kind", ""), {}) | filled


def defaults(root: Path = ROOT) -> dict[str, dict[str, Any]]:
    """Return the plain default values of every settings class, by class and field."""
    return {
        kind: {
            name: value.value for name, value in fields.items() if isinstance(value, ast.Constant)
        }
        for kind, fields in _fields(root).items()
    }


@cache
def _fields(root: Path) -> dict[str, dict[str, ast.expr | None]]:
    """Return the annotated fields of every class, with their defaults."""
    return {
        item.name: {
            ast.unparse(entry.target): entry.value
            for entry in item.body
            if isinstance(entry, ast.AnnAssign)
        }
        for path in sorted((root / "semirobust").rglob("*.py"))
        for item in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(item, ast.ClassDef)
    }
