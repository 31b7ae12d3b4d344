"""Staging: a tree that mirrors the checkout and holds what the book shows.

Every notebook becomes its executed copy and says under its title where the copy comes from and
whether the code has changed since; numbers in prose are filled from result files.
"""

import base64
import json
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbformat import NotebookNode

from semirobust import execution, notebooks, reference
from semirobust.execution import Execution
from semirobust.notebooks import DEFAULT, PROFILES, Notebook
from semirobust.prose import fill
from semirobust.results import ROOT, write_atomically

SOURCES = ("*.md", "*.bib")
MEANING = {
    "smoke": "tiny networks on embedded digits",
    "cpu": "a subset of the real data on a processor",
    "gpu": "the full data on one GPU",
    "paper": "the paper's own settings",
}
SHOWN = ("torch", "torchvision", "numpy")
CONFIGURATION = ("_config.yml", "_toc.yml")


def stage(profile: str | None = None, *, root: Path = ROOT) -> Path:
    """Write what Sphinx reads to ``_build/stage`` and return it; what is the same keeps its time.

    Args:
        profile: One profile for all; by default each notebook shows the largest with a result.
        root: The checkout.
    """
    shown = [show(notebook, profile) for notebook in notebooks.notebooks(root)]
    files = _pages(root, shown) | _assets(root)
    for page in shown:
        files |= page.files()
    staged = root / "_build" / "stage"
    for path in sorted(staged.rglob("*")):
        if path.is_file() and path.relative_to(staged).as_posix() not in files:
            path.unlink()
    for name, data in files.items():
        target = staged / name
        if not target.exists() or target.read_bytes() != data:
            write_atomically(target, data)
    return staged


def configuration(root: Path = ROOT) -> dict[str, Any]:
    """Return the book's configuration, the only place that holds the repository's address."""
    path = root / "_config.yml"
    if not path.exists():
        raise FileNotFoundError(f"{root} is no checkout of the repository: {path.name} is missing")
    settings: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return settings


def blob(root: Path = ROOT, commit: str | None = None) -> str:
    """Return the address under which the repository shows files of a commit."""
    repository = configuration(root)["repository"]
    return f"{repository['url']}/blob/{commit or repository['branch']}"


def _assets(root: Path) -> dict[str, bytes]:
    nothing = {"book/extra/.nojekyll": b""}  # so that hosts serve folders with an underscore
    files = [root / name for name in CONFIGURATION]
    files += [path for path in (root / "book" / "assets").rglob("*") if path.is_file()]
    copies = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(files)}
    return nothing | copies


def _pages(root: Path, shown: list["Shown"]) -> dict[str, bytes]:
    """Return the written pages with their numbers filled in, and the generated ones."""
    paths = sorted(path for pattern in SOURCES for path in (root / "book").glob(pattern))
    texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    texts = {name: fill(text, root, name) for name, text in texts.items()}
    made = reference.pages(root / "semirobust", blob(root))
    texts |= {f"book/reference/{name}": text for name, text in made.items()}
    texts["book/generated/runs.md"] = runs(shown)
    return {name: text.encode() for name, text in texts.items()}


@dataclass(frozen=True)
class Shown:
    """What the book shows of a notebook: the run it took, and whether the code has changed."""

    notebook: Notebook
    content: NotebookNode
    record: Execution | None
    stale: bool

    def files(self) -> dict[str, bytes]:
        """Return the staged page, its pictures under lasting names, and the results it rests on."""
        page = deepcopy(self.content)
        pictures = _name_pictures(page, self.notebook.name)
        for cell in page.cells:
            if cell.cell_type == "markdown":
                cell.source = fill(cell.source, self.notebook.root, self.notebook.name)
        under_title(page, self.strip())
        text = json.dumps(page, indent=1, ensure_ascii=False, sort_keys=True)
        root = self.notebook.root
        data = {path.relative_to(root).as_posix(): path.read_bytes() for path in self.results()}
        return {f"notebooks/{self.notebook.name}.ipynb": text.encode(), **pictures, **data}

    @property
    def profile(self) -> str:
        """Return the profile of the run that is shown."""
        return self.record.profile if self.record else DEFAULT

    def results(self) -> list[Path]:
        """Return the recorded results behind the page; the smallest profile computes its own."""
        own = self.profile == DEFAULT
        return [] if own else notebooks.results(self.notebook, self.profile)

    def strip(self) -> str:
        """Return the strip under the title: profile, device, time, commit, versions, parameters."""
        if self.record is None:
            return _directive("provenance stale", UNRECORDED)
        record, origin = self.record, self.record.provenance
        versions = origin.get("versions", {})
        words = [f"**{record.profile} run**, {MEANING[record.profile]}"]
        words += (
            [f"{origin['device']}, {record.seconds:.0f} s, {record.date}"] if record.date else []
        )
        words += [_commit(origin, self.notebook.root)] if origin.get("commit") else []
        words += [", ".join(f"{name} {versions[name]}" for name in SHOWN if versions.get(name))]
        words += [", ".join(f"`{name} = {value!r}`" for name, value in record.parameters.items())]
        words += [_data(path, self.notebook.root) for path in self.results()]
        text = " · ".join(word for word in words if word)
        strip = _directive("provenance", text)
        return strip + _directive("provenance stale", STALE) if self.stale else strip


UNRECORDED = "**Not recorded.** Nothing says which code made what this page shows."
STALE = (
    "**Older than the code.** The code behind this page has changed since this run, so its numbers"
    " may no longer be what the code gives. `make book` runs it again."
)


def _directive(classes: str, text: str) -> str:
    return f"```{{div}} {classes}\n{text}\n```\n\n"


def _commit(origin: Mapping[str, Any], root: Path) -> str:
    address = blob(root, origin["commit"]).replace("/blob/", "/tree/")
    changed = " with local changes" if origin.get("dirty") else ""
    return f"commit [{origin['commit'][:7]}]({address}){changed}"


def _data(path: Path, root: Path) -> str:
    return f"{{download}}`data {path.stem} <../{path.relative_to(root).as_posix()}>`"


def show(notebook: Notebook, profile: str | None = None) -> Shown:
    """Return what the book shows: the wanted profile's run, else a smaller one's, else git's."""
    source = notebooks.read(notebook.path)
    wanted = PROFILES.index(profile or notebooks.largest_profile(notebook))
    for name in reversed(PROFILES[: wanted + 1]):
        record = execution.recorded(notebook, name)
        if record is not None:
            executed = notebooks.read(execution.kept(notebook, name)[0])
            return Shown(notebook, combined(source, executed), record, _is_stale(notebook, record))
    record = execution.stored(notebook)
    return Shown(notebook, source, record, record is None or _is_stale(notebook, record))


def _is_stale(notebook: Notebook, record: Execution) -> bool:
    same_names = set(record.parameters) == set(notebook.parameters)
    return not same_names or notebooks.digest(notebook, record.parameters) != record.code


def combined(source: NotebookNode, executed: NotebookNode) -> NotebookNode:
    """Return today's words with the recorded outputs, or the copy whole if the code differs."""
    try:
        page = notebooks.merge(source, executed)
    except ValueError:
        return executed
    injected = [cell for cell in executed.cells if "injected-parameters" in notebooks.tags(cell)]
    for cell in injected:
        cell.metadata["tags"] = ["injected-parameters", "hide-input"]
        names = ["parameters" in notebooks.tags(other) for other in page.cells]
        page.cells.insert(names.index(True) + 1, cell)
    return page


def under_title(page: NotebookNode, text: str) -> None:
    """Put text under the first line of a notebook, which is its title."""
    first = page.cells[0]
    title, _, rest = first.source.partition("\n")
    if first.cell_type != "markdown" or not title.startswith("# "):
        raise ValueError(f"the first cell must start with a title '# ...', got {title!r}")
    first.source = f"{title}\n\n{text}{rest.lstrip()}"


def _name_pictures(page: NotebookNode, name: str) -> dict[str, bytes]:
    """Return the pictures by a lasting address, and write that address below each.

    Its alternative text is the cell's ``mystnb.image.alt``, else the heading that it stands under.
    """
    pictures: dict[str, bytes] = {}
    cells, heading = [], name
    for cell in page.cells:
        cells.append(cell)
        heading = (re.findall(r"^#+ (.*)", cell.source, re.MULTILINE) or [heading])[-1]
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                address = f"figures/{name}-{len(pictures) + 1}.png"
                pictures[f"book/extra/{address}"] = base64.b64decode(output.data["image/png"])
                cell.metadata.setdefault("mystnb", {"image": {"alt": f"Picture: {heading}"}})
                link = f'<p class="address"><a href="../{address}">{Path(address).stem}</a></p>'
                below = nbformat.v4.new_markdown_cell(link)  # type: ignore[no-untyped-call]
                below.id = Path(address).stem
                cells.append(below)
    page.cells = cells
    return pictures


def runs(shown: list[Shown]) -> str:
    """Return a table of the runs behind the book."""
    rows = []
    for page in shown:
        record = page.record
        seconds = f"{record.seconds:.0f}" if record and record.date else "-"
        device = record.provenance.get("device", "-") if record else "-"
        state = "older than the code" if page.stale else "current"
        link = f"[{page.notebook.name}](../notebooks/{page.notebook.name}.ipynb)"
        rows.append(f"| {link} | {page.profile} | {device} | {seconds} | {state} |")
    head = "| notebook | profile | device | seconds | record |\n|:--|:--|:--|--:|:--|"
    return "\n".join([head, *rows]) + "\n"
