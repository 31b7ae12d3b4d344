"""Notebooks as files: their parameters, the digest of what they depend on, one normal form.

The digest covers a notebook's code cells and parameters, every definition of the package that its
cells reach (comments and docstrings left out), and the results that it reads.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import nbformat
from nbformat import NotebookNode

from semirobust.results import profiles
from semirobust.results.code import hashed, salt_of_text
from semirobust.results.profiles import DEFAULT, PROFILES
from semirobust.results.records import ROOT, write_atomically

VOLATILE = ("papermill", "execution", "ExecuteTime", "collapsed", "scrolled", "trusted")
LANGUAGE = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"}
KEPT = ("semirobust", "accelerator", "colab", "mystnb")
NO_CODE = {"parameters", "injected-parameters", "setup"}  # set-up does nothing where this runs
PICTURE, DRAWING = "image/png", "image/svg+xml"
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}

Parameters: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Notebook:
    """A notebook: where it lies, its parameters with their defaults, and what it shows of results.

    ``about`` is the project's part of its metadata; ``results.profiles`` says what stands there.
    """

    path: Path
    parameters: dict[str, Any]
    about: dict[str, Any]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def root(self) -> Path:
        return self.path.parent.parent

    @property
    def experiments(self) -> tuple[str, ...]:
        return profiles.experiments(self.about)

    def results(self, profile: str) -> list[Path]:
        """Return the results that are shown in a profile: its own, and larger ones beside them."""
        larger, root = PROFILES[PROFILES.index(profile) :], self.root / "results"
        return [path for name in larger for path in profiles.shown(self.about, name, root)]

    def values(self, profile: str, overrides: Parameters | None = None) -> dict[str, Any]:
        """Return what it runs with: its defaults, then the profile, then overrides it knows."""
        chosen = {**self.parameters, "profile": profile, **(overrides or {})}
        return {name: chosen[name] for name in self.parameters}

    def largest_profile(self) -> str:
        return profiles.largest(self.about, self.root / "results")


def notebooks(root: Path = ROOT) -> list[Notebook]:
    """Return the notebooks of a checkout in the order of their numbers."""
    return [find(path) for path in sorted((root / "notebooks").glob("*.ipynb"))]


def find(path: Path) -> Notebook:
    """Return one notebook with its parameters; a damaged file is named."""
    content = read(path)
    about = dict(content.metadata.get("semirobust", {}))
    return Notebook(path.resolve(), parameters(content), about)


def read(path: Path) -> NotebookNode:
    try:
        return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as damage:
        raise ValueError(f"{path} is no readable notebook: {damage}") from damage


def write(content: NotebookNode, path: Path) -> bool:
    """Write a notebook in one form; say whether the file changed."""
    text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    return update(path, text.encode())


def update(path: Path, content: bytes) -> bool:
    """Write a file atomically unless it holds this already; say whether it changed."""
    if path.exists() and path.read_bytes() == content:
        return False
    write_atomically(path, content)
    return True


def tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def parameters(content: NotebookNode) -> dict[str, Any]:
    """Return the names and default values of the cell tagged ``parameters``.

    Example:
        >>> cell = nbformat.v4.new_code_cell("seed = 0", metadata={"tags": ["parameters"]})
        >>> parameters(nbformat.v4.new_notebook(cells=[cell]))
        {'seed': 0}
    """
    cells = [cell.source for cell in content.cells if "parameters" in tags(cell)]
    values: dict[str, Any] = {}
    for node in ast.parse("\n".join(cells)).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            values |= {ast.unparse(name): ast.literal_eval(node.value) for name in targets}
    return values


def digest(notebook: Notebook, values: Parameters) -> str:
    """Return a digest of code cells, parameters, reached sources and results that are read."""
    cells = [
        cell.source.strip()
        for cell in read(notebook.path).cells
        if cell.cell_type == "code" and not NO_CODE & set(tags(cell))
    ]
    lines = [line for cell in cells for line in cell.splitlines()]
    magic = ("%", "!")  # reaches nothing of the package
    code = "\n".join(line for line in lines if not line.lstrip().startswith(magic))
    profile = values.get("profile") or DEFAULT
    computed = profile == DEFAULT and notebook.experiments  # here and now: nothing is read
    results = [] if computed else notebook.results(profile)
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in results}
    return hashed([cells, dict(values), salt_of_text(code), digests])


def normalise(content: NotebookNode) -> NotebookNode:
    """Return a copy without what differs between two runs of the same code.

    Execution metadata goes, cell ids stay, kernel and language are fixed, counts start at one, and
    text that a kernel flushed in several pieces is one piece.
    """
    normal = deepcopy(content)
    own = {name: normal.metadata[name] for name in KEPT if name in normal.metadata}
    normal.metadata = {**own, "kernelspec": KERNELSPEC, "language_info": LANGUAGE}
    normal.nbformat_minor = 5
    code = [cell for cell in normal.cells if cell.cell_type == "code"]
    for cell in normal.cells:
        kept = {name: value for name, value in cell.metadata.items() if name not in VOLATILE}
        cell.metadata = {name: value for name, value in kept.items() if value or name != "tags"}
        if "injected-parameters" in tags(cell):
            cell.id = "injected-parameters"
    for count, cell in enumerate(code, start=1):
        cell.execution_count = count if cell.outputs or cell.execution_count else None
        cell.outputs = _joined(cell.outputs)
        for output in cell.outputs:
            if {DRAWING, PICTURE} <= set(output.get("data", {})):
                del output.data[PICTURE]  # the drawing is enough, and a tenth of its size
            if "execution_count" in output:
                output.execution_count = cell.execution_count
    return nbformat.from_dict(normal)  # type: ignore[no-untyped-call]


def _joined(outputs: Iterable[NotebookNode]) -> list[NotebookNode]:
    joined: list[NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def merge(source: NotebookNode, executed: NotebookNode) -> NotebookNode:
    """Return the source with the outputs of its executed copy; the code of both must agree."""
    merged, outputs = deepcopy(source), _code(executed)
    if [cell.source for cell in _code(source)] != [cell.source for cell in outputs]:
        raise ValueError("the executed copy holds other code: run the notebook again")
    for cell, done in zip(_code(merged), outputs, strict=True):
        cell.outputs, cell.execution_count = done.outputs, done.execution_count
    return normalise(merged)


def _code(content: NotebookNode) -> list[NotebookNode]:
    cells = [cell for cell in content.cells if cell.cell_type == "code"]
    return [cell for cell in cells if "injected-parameters" not in tags(cell)]
