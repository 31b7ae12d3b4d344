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

from book._ext.markdown import table
from semirobust.results.documents import document, value_at
from semirobust.results.records import ROOT

BOX = ":::{{admonition}} How this differs from the paper\n:class: note dropdown\n{}\n:::\n\n"


def box(files: Iterable[Path], root: Path = ROOT) -> str:
    """Return the box for a page that shows these result files, or nothing where all agree."""
    rows = [
        (word, _shown(paper), ", ".join(map(_shown, here)))
        for word, paper, here in changes(files, root)
    ]
    return BOX.format(table(["setting", "the paper", "here"], "lll", rows)) if rows else ""


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def changes(files: Iterable[Path], root: Path = ROOT) -> list[tuple[str, Any, list[Any]]]:
    """Return word, the paper's value and ours, for every setting in which a run differs."""
    text = (root / "book" / "paper.toml").read_text(encoding="utf-8")
    runs = [complete(document(path)["settings"], root) for path in files]
    differing = []
    for setting in tomllib.loads(text)["setting"]:
        ours = [value_at(settings, setting["path"]) for settings in runs]
        scale = setting.get("scale")
        ours = [round(value * scale, 3) if scale and value else value for value in ours]
        used = [value for value in dict.fromkeys(ours) if value is not None]
        if any(value != setting["paper"] for value in used):
            differing.append((setting["word"], setting["paper"], used))
    return differing


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
    return {
        item.name: {
            ast.unparse(entry.target): entry.value.value
            for entry in item.body
            if isinstance(entry, ast.AnnAssign) and isinstance(entry.value, ast.Constant)
        }
        for path in sorted((root / "semirobust").rglob("*.py"))
        for item in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(item, ast.ClassDef)
    }
