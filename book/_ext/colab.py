"""Colab: what a notebook needs where the package is not installed.

Each notebook carries a badge under its title and two hidden cells, all written by ``prepare``: the
first fetches the repository at this version, with its results, and installs the package from it;
the second, behind the parameters, chooses the profile. Elsewhere both change nothing.
"""

import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import nbformat
from nbformat import NotebookNode

from book._ext import notebooks
from book._ext.notebooks import Notebook
from book._ext.repository import TAG, address

if TYPE_CHECKING:
    from sphinx.application import Sphinx

SETUP = """\
# @title Set-up: where the package is missing, fetch this version with its results and install it
import importlib.util, os, pathlib, subprocess, sys

here = importlib.util.find_spec("semirobust") is not None
source = os.environ.get("SEMIROBUST_SOURCE", "{address}")
quiet = ["-c", "advice.detachedHead=false"]
fetch = ["git", *quiet, "clone", "-q", "--depth", "1", source, "fetched-{tag}"]
install = [sys.executable, "-m", "pip", "install", "-q", "./fetched-{tag}"]
at_tag = [*fetch, "--branch", "{tag}"]  # which a version that is not published yet lacks
here or (subprocess.run(at_tag).returncode and subprocess.run(fetch, check=True))
here or subprocess.run(install, check=True)
results = pathlib.Path("fetched-{tag}", "results").resolve()
results.is_dir() and os.environ.update(SEMIROBUST_RESULTS=str(results), SEMIROBUST_DOWNLOAD="1");"""
CHOICE = """\
# @title Profile: yours; where it is None, smoke, and on Colab the largest that can be shown
from semirobust import colab

profile = colab.profile(profile, "{name}")"""
SITE = "https://colab.research.google.com"
BADGE = "[![Open in Colab]("  # how the line of the badge begins
HIDDEN = {"tags": ["setup", "remove-cell"], "cellView": "form"}


def prepare(notebook: Notebook) -> bool:
    """Write badge and hidden cells into a notebook's file; say whether it changed."""
    content = prepared(notebook, notebooks.read(notebook.path))
    return notebooks.write(notebooks.normalise(content), notebook.path)


def prepared(notebook: Notebook, content: NotebookNode) -> NotebookNode:
    """Return a notebook with its badge, its hidden cells and the wish for a GPU that it uses."""
    made = deepcopy(content)
    made.cells = [cell for cell in made.cells if "setup" not in notebooks.tags(cell)]
    made.metadata |= {"colab": {"provenance": []}}
    made.metadata.pop("accelerator", None)
    computing = any("device()" in cell.source for cell in made.cells)
    if computing or "live" in notebook.parameters:
        made.metadata["accelerator"] = "GPU"
    title, _, rest = without_badge(made.cells[0].source).partition("\n")
    home = address(notebook.root)
    owner = home.removeprefix("https://github.com/")
    target = f"{SITE}/github/{owner}/blob/{TAG}/notebooks/{notebook.name}.ipynb"
    badge = f"{BADGE}{SITE}/assets/colab-badge.svg)]({target})"
    made.cells[0].source = f"{title}\n\n{badge}\n\n{rest.lstrip()}".rstrip()
    first = next(k for k, cell in enumerate(made.cells) if cell.cell_type == "code")
    made.cells.insert(first, _cell("setup", SETUP.format(address=home, tag=TAG)))
    if "profile" in notebook.parameters:
        marked = ["parameters" in notebooks.tags(cell) for cell in made.cells]
        made.cells.insert(
            marked.index(True) + 1, _cell("choice", CHOICE.format(name=notebook.name))
        )
    ran = any(cell.get("execution_count") for cell in made.cells)
    for cell in made.cells:
        if "setup" in notebooks.tags(cell):
            cell.execution_count = int(ran) or None  # they show nothing; normal form counts them
    return made


def _cell(name: str, code: str) -> NotebookNode:
    return nbformat.v4.new_code_cell(code, id=name, metadata=HIDDEN)  # type: ignore[no-untyped-call]


def rocket(_: "Sphinx", __: str, ___: str, context: dict[str, Any], ____: Any) -> None:
    """Let the rocket of a page open the version of its badge, not a branch that moves on."""
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if str(button.get("url")).startswith(SITE):
                button["url"] = re.sub("/blob/[^/]+/", f"/blob/{TAG}/", button["url"], count=1)


def without_badge(text: str) -> str:
    r"""Return the text of a first cell without the line of the badge.

    Example:
        >>> without_badge("# Title\n\n[![Open in Colab](x)](y)\n\nWords.")
        '# Title\n\nWords.'
    """
    blocks = text.split("\n\n")
    return "\n\n".join(block for block in blocks if not block.startswith(BADGE))
