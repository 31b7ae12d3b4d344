"""Staging: a tree that mirrors the checkout and holds what the book shows.

Every notebook becomes its executed copy and says under its title where the copy comes from and
whether the code has changed since; numbers in prose are filled from result files.
"""

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from book._ext import answer, changed, colab, copies, ledger, notebooks, reference, table1
from book._ext.copies import Execution
from book._ext.notebooks import Notebook
from book._ext.pictures import pictures_of
from book._ext.prose import fill
from book._ext.repository import blob, configuration
from semirobust.results.profiles import DEFAULT, PROFILES
from semirobust.results.published import FILE as PUBLISHED
from semirobust.results.records import ROOT, write_atomically

SOURCES = ("*.md", "*.bib")
MEANING = {
    "smoke": "tiny networks on embedded digits",
    "cpu": "narrow networks on a part of the data, on a processor",
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
    files = _pages(root) | _generated(root, shown) | _assets(root)
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


def _assets(root: Path) -> dict[str, bytes]:
    nothing = {"book/extra/.nojekyll": b""}  # so that hosts serve folders with an underscore
    files = [root / name for name in CONFIGURATION]
    files += [path for path in (root / "book" / "assets").rglob("*") if path.is_file()]
    copies = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(files)}
    return nothing | copies


def _generated(root: Path, shown: list["Shown"]) -> dict[str, bytes]:
    """Return what is computed from the records: figure, ledger, tables, and the data they show."""
    entries, points = ledger.found(root), answer.points(root)
    texts = {
        "generated/runs.md": runs(shown),
        "generated/experiments.md": experiments(root),
        "generated/loops.md": loops(root),
        "generated/counts.md": ledger.counts(entries),
        "generated/answers.md": ledger.answers(entries, root),
        "generated/headlines.md": ledger.headlines(entries, root),
        "generated/ledger.md": ledger.ledger(entries),
        "generated/table-1.md": table1.table_1(root),
        "generated/answer.md": answer.figure(points),
        "extra/figures/answer.csv": answer.table(points),
        "extra/404.html": lost(root),
    }
    used = ledger.files(entries)
    data = {path.relative_to(root).as_posix(): path.read_bytes() for path in used}
    for path in (PUBLISHED, root / "book" / "claims.toml"):
        data[f"book/extra/data/{path.name}"] = path.read_bytes()
    return {f"book/{name}": text.encode() for name, text in texts.items()} | data


def lost(root: Path = ROOT) -> str:
    """Return the page that a host shows for an address that leads nowhere."""
    settings = configuration(root)
    return LOST.format(title=settings["title"], home=settings["html"]["baseurl"])


LOST = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Not found: {title}</title>
<meta name="viewport" content="width=device-width"><style>:root {{color-scheme: light dark}}
body {{font: 1.1rem/1.6 system-ui, sans-serif; margin: 15vh auto; max-width: 34rem;
padding: 0 1.2rem}}</style></head>
<body><main><h1>There is no such page</h1>
<p>The address may be of an older version. The figures keep theirs.</p>
<p><a href="{home}book/index.html">{title}</a> · <a href="{home}search.html">Search</a></p>
</main></body></html>
"""


def _pages(root: Path) -> dict[str, bytes]:
    """Return the written pages with their numbers filled in, and the generated ones."""
    paths = sorted(path for pattern in SOURCES for path in (root / "book").glob(pattern))
    texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    texts = {name: fill(text, root, name) for name, text in texts.items()}
    made = reference.pages(root / "semirobust", blob(root))
    texts |= {f"book/reference/{name}": text for name, text in made.items()}
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
        pictures = pictures_of(page, self.notebook.name)
        for cell in page.cells:
            if cell.cell_type == "markdown":
                cell.source = fill(cell.source, self.notebook.root, self.notebook.name)
        under_title(page, self.strip() + changed.box(self.results(), self.notebook.root))
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
        return [] if own else self.notebook.results(self.profile)

    def strip(self) -> str:
        """Return the strip under the title: profile, device, time, commit, versions, parameters."""
        if self.record is None:
            return _directive("provenance stale", UNRECORDED)
        record, origin = self.record, self.record.provenance
        versions = origin.get("versions", {})
        words = [f"**{record.profile} run**, {MEANING[record.profile]}"]
        words += (
            [f"run in {record.seconds:.0f} s on {origin['device']}, {record.date}"]
            if record.date
            else []
        )
        words += [_commit(origin, self.notebook.root)] if origin.get("commit") else []
        words += [", ".join(f"{name} {versions[name]}" for name in SHOWN if versions.get(name))]
        words += [", ".join(f"`{name} = {value!r}`" for name, value in record.parameters.items())]
        words += [_data(path, self.notebook.root) for path in self.results()]
        text = " · ".join(word for word in words if word)
        strip = _directive("provenance", text)
        again = STALE.format(profile=record.profile)
        return strip + _directive("provenance stale", again) if self.stale else strip


UNRECORDED = "**Not recorded.** Nothing says which code made what this page shows."
STALE = (
    "**Older than the code.** The code behind this page has changed since this run, so its numbers"
    " may no longer be what the code gives. `make book PROFILE={profile}` runs it again."
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
    wanted = PROFILES.index(profile or notebook.largest_profile())
    for name in reversed(PROFILES[: wanted + 1]):
        one = copies.found(notebook, name)
        if one is not None:
            executed, record = notebooks.read(one[0]), one[1]
            return Shown(notebook, combined(source, executed), record, _is_stale(notebook, record))
    known = copies.stored(notebook)
    return Shown(notebook, source, known, known is None or _is_stale(notebook, known))


def _is_stale(notebook: Notebook, record: Execution) -> bool:
    same_names = set(record.parameters) == set(notebook.parameters)
    return not same_names or notebooks.digest(notebook, record.parameters) != record.code


def combined(source: NotebookNode, executed: NotebookNode) -> NotebookNode:
    """Return today's words with the recorded outputs, or the copy whole if the code differs.

    The values that the run used are shown, the defaults that they replaced are folded away.
    """
    try:
        page = notebooks.merge(source, executed)
    except ValueError:
        return executed
    injected = [cell for cell in executed.cells if "injected-parameters" in notebooks.tags(cell)]
    for cell in injected:
        cell.metadata["tags"] = ["injected-parameters"]
        names = ["parameters" in notebooks.tags(other) for other in page.cells]
        page.cells[names.index(True)].metadata["tags"] = ["parameters", "hide-input"]
        page.cells.insert(names.index(True) + 1, cell)
    return page


def under_title(page: NotebookNode, text: str) -> None:
    """Put text under the first line of a notebook, which is its title."""
    first = page.cells[0]
    title, _, rest = colab.without_badge(first.source).partition("\n")
    if first.cell_type != "markdown" or not title.startswith("# "):
        raise ValueError(f"the first cell must start with a title '# ...', got {title!r}")
    first.source = f"{title}\n\n{text}{rest.lstrip()}"


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


def experiments(root: Path = ROOT) -> str:
    """Return a table of the recorded experiments: how many runs, and what they cost."""
    lines = ["| experiment | profile | runs | CPU seconds a run | epochs taken up |"]
    lines.append("|:--|:--|--:|--:|--:|")
    for folder in sorted((root / "results").glob("*")):
        documents = [json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
        for profile in PROFILES:
            runs_of = [one["provenance"] for one in documents if one.get("profile") == profile]
            if runs_of:
                lines.append(f"| {folder.name} | {profile} | {_cost(runs_of)} |")
    return "\n".join(lines) + "\n"


def loops(root: Path = ROOT) -> str:
    """Return a table of the package's processor seconds beside those of plain loops."""
    path = root / "results" / "benchmarks" / "training.json"
    found = json.loads(path.read_bytes())["ratios"] if path.exists() else []
    lines = [
        "| what | seconds | of the loop | ratio | goal | reached |",
        "|:--|--:|--:|--:|--:|:--|",
    ]
    for one in found:
        numbers = f"{one['ours']:.2f} | {one['peer']:.2f} | {one['ratio']:.2f} | {one['goal']:g}"
        lines.append(f"| {one['name']} | {numbers} | {'yes' if one['met'] else 'no'} |")
    return "\n".join(lines) + "\n"


def _cost(origins: list[dict[str, Any]]) -> str:
    seconds = [one["cpu_seconds"] for one in origins if one.get("cpu_seconds")]
    taken_up = sum(one.get("epochs", {}).get("taken_up", 0) for one in origins)
    mean = f"{sum(seconds) / len(seconds):.0f}" if seconds else "–"
    return f"{len(origins)} | {mean} | {taken_up}"
