"""The reference, which AutoAPI writes without importing anything: what is shown, and how."""

import ast
import re
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from book._ext.repository import source_of

FOLDER = "book/reference/"
SUBMODULES = re.compile(r"Submodules\n-+\n\n\.\. toctree::\n(?: .*\n|\n)*")


class Foreign(set[str]):
    """All modules that are neither ours nor Python's: AutoAPI would parse half of torch for a type.

    No page changes without them, and where they are not installed there are none to parse.
    """

    def __contains__(self, name: object) -> bool:
        """Return whether a module is somebody else's."""
        return str(name).partition(".")[0] not in {"semirobust", "", *sys.stdlib_module_names}


def leave_out_foreign_code() -> None:
    """Let AutoAPI's parser read our modules and Python's, and no others."""
    from astroid.manager import AstroidManager

    AstroidManager.brain["module_denylist"] = Foreign()


def is_left_out(_: Sphinx, what: str, name: str, member: Any, skip: Any, __: Any) -> bool:
    """Return whether the reference leaves a member out: what no face shows is private."""
    depth = name.count(".")
    if what in ("module", "package"):
        return skip or depth > 1 or name in ("semirobust.cli", "semirobust.__main__")
    if depth == 1:  # the face of the whole package repeats what its folders show
        return True
    return skip or (what == "attribute" and not (member.docstring or member.annotation))


def page(name: str, text: str, root: Path) -> str:
    """Return a page with what its module is about and its source, out of the full-text search.

    A face has no docstring, its folder has. AutoAPI gives an alias the canonical name of what it
    stands for, which no two can share.
    """
    text = re.sub(r"py:type:: (\w+)\n   :canonical: (.*)", r"py:data:: \1\n   :value: \2", text)
    file = name.removeprefix(FOLDER).removesuffix("/index")
    if (root / file).is_dir():
        head = f".. py:module:: {file.replace('/', '.')}\n"
        text = text.replace(head, f"{head}\n{docstring(root / file)}\n")
    parts = re.findall(rf"/{FOLDER}(\S+)/index", text)
    text = SUBMODULES.sub(lambda _: _table(parts, root), text)
    address = source_of(file if (root / file).is_dir() else f"{file}.py", root)
    return f":nosearch:\n\n{text}\n\n`Source <{address}>`__\n"


def _table(parts: list[str], root: Path) -> str:
    """Return a table with a line on each part of the package."""
    rows = [".. list-table::", ""]
    for part in parts:
        summary = docstring(root / part).partition("\n\n")[0].replace("\n", " ")
        rows += [f"   * - :py:mod:`{part.replace('/', '.')}`", f"     - {summary}"]
    return "\n".join([*rows, "", ""])


def docstring(module: Path) -> str:
    """Return the docstring of a module or a folder, whose face has none."""
    path = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
