"""The reference, which AutoAPI writes without importing anything: what is shown, and how."""

import ast
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from book._ext.repository import source_of

FOLDER = "book/reference/"
SUBMODULES = re.compile(r"Submodules\n-+\n\n\.\. toctree::\n(?: .*\n|\n)*")


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

    AutoAPI gives an alias the canonical name of what it stands for, which no two can share.
    """
    text = re.sub(r"py:type:: (\w+)\n   :canonical: (.*)", r"py:data:: \1\n   :value: \2", text)
    file = name.removeprefix(FOLDER).removesuffix("/index")
    if file == "semirobust":
        return f":nosearch:\n\n{_front(text, root / file)}"
    text = SUBMODULES.sub(lambda _: f"{docstring(root / file)}\n\n", text)
    file += "" if (root / file).is_dir() else ".py"
    return f":nosearch:\n\n{text}\n\n`Source <{source_of(file, root)}>`__\n"


def _front(text: str, package: Path) -> str:
    """Return the first page: what the package is about, and a line on each of its parts."""
    rows = []
    for name in re.findall(rf"/{FOLDER}(\S+)/index", text):
        summary = docstring(package.parent / name).partition("\n\n")[0].replace("\n", " ")
        rows.append(f"   * - :py:mod:`{name.replace('/', '.')}`\n     - {summary}")
    table = "\n".join([".. list-table::", "", *rows])
    return SUBMODULES.sub(lambda _: f"{docstring(package)}\n\n{table}\n", text)


def docstring(module: Path) -> str:
    """Return the docstring of a module or a folder, whose face has none."""
    path = module / "__init__.py" if module.is_dir() else module.with_suffix(".py")
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
