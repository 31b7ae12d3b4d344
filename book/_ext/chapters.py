"""What Sphinx reads in the place of files: chapters with outputs, pages with their numbers.

A notebook becomes its executed copy and says under its title where the copy comes from and whether
the code has changed since. Tables of records are directives (``TABLES``).
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from docutils import nodes
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

from book._ext import (
    changed,
    colab,
    decided,
    executed,
    front,
    ledger,
    mended,
    notebooks,
    reference,
    runs,
    shape,
    table1,
    touch,
)
from book._ext.colab import without_badge
from book._ext.executed import Execution
from book._ext.markdown import div, plain
from book._ext.notebooks import Notebook
from book._ext.pictures import inline, with_addresses
from book._ext.repository import source_of
from book._ext.sentences import linked
from book._ext.values import fill
from semirobust.results.documents import document
from semirobust.results.profiles import DEFAULT, PROFILES
from semirobust.results.published import FILE as PUBLISHED
from semirobust.results.records import write_atomically

PROFILE = "SEMIROBUST_BOOK_PROFILE"  # Jupyter Book hands no settings on
MEANING = {
    "smoke": "tiny networks on embedded digits",
    "cpu": "narrow networks on a part of the data",
    "gpu": "the full data on one GPU",
    "paper": "the paper's own settings",
}
WORDS_A_MINUTE = 200
SHOWN = ("torch", "torchvision", "numpy")
UNRECORDED = "**Not recorded.** Nothing says which code made what this page shows."
STALE = (
    "**Older than the code.** The code behind this page has changed since this run, so its numbers"
    " may no longer be what the code gives. `make book PROFILE={profile}` runs it again."
)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the events and the directives; the pages of a build are read by one process."""
    app.connect("config-inited", configure)
    shown: dict[str, str] = {}
    app.connect("source-read", partial(read, shown))
    # before the description is made, and after all who add to a page
    app.connect("html-page-context", mended.without_strip, priority=400)
    app.connect("html-page-context", mended.mend, priority=900)
    app.connect("html-page-context", colab.rocket, priority=900)
    app.connect("autoapi-skip-member", reference.is_left_out)
    reference.leave_out_foreign_code()
    app.connect("build-finished", partial(add_files, shown))
    for name in TABLES:
        app.add_directive(name, Table)
    return {"parallel_read_safe": False, "parallel_write_safe": True}


def configure(_: Sphinx, config: Config) -> None:
    """Tell other extensions the address of the book, which ``_config.yml`` holds once."""
    config.ogp_site_url = config.html_baseurl
    config.ogp_image = f"{config.html_baseurl}_static/card.png"
    config.notfound_urls_prefix = urlsplit(config.html_baseurl).path


def read(shown: dict[str, str], app: Sphinx, name: str, source: list[str]) -> None:
    """Replace what stands in a file by what the page shows, and remember it by file name."""
    root = Path(app.srcdir)
    if name.startswith("notebooks/"):
        chapter = show(notebooks.find(root / f"{name}.ipynb"), os.environ.get(PROFILE))
        page, pictures = chapter.page()
        for address, data in pictures.items():
            write_atomically(Path(app.outdir) / address, data)
        source[0] = json.dumps(page, indent=1, ensure_ascii=False, sort_keys=True)
    elif name.startswith(reference.FOLDER):
        source[0] = reference.page(name, source[0], root)
    else:
        source[0] = linked(fill(source[0], root, name), "ledger.html")
    shown[str(app.env.doc2path(name, base=False))] = source[0]


def add_files(shown: dict[str, str], app: Sphinx, error: Exception | None) -> None:
    """Put data under lasting addresses, and what pages show behind their download buttons."""
    if error or app.builder.name != "html":
        return
    root, html = Path(app.srcdir), Path(app.outdir)
    for name, text in shown.items():
        write_atomically(html / "_sources" / name, text.encode())
    lasting = {
        "data/published.csv": PUBLISHED,
        "data/claims.toml": root / "book" / "claims.toml",
        "figures/answer.csv": root / "book" / "assets" / "table-1-vgg16.csv",
    }
    for address, path in lasting.items():
        write_atomically(html / address, path.read_bytes())


class Table(SphinxDirective):
    """A table of what is recorded, under the name of the directive."""

    def run(self) -> list[nodes.Node]:
        text = linked(TABLES[self.name](Path(self.env.app.srcdir)), "ledger.html")
        return self.parse_text_to_nodes(text, allow_section_headings=True)


@cache
def entries(root: Path) -> ledger.Found:
    """Return the claims with what was found; a build asks for them four times."""
    return ledger.found(root)


TABLES: Mapping[str, Callable[[Path], str]] = {
    "runs": lambda root: runs.chapters(chapters(root)),
    "experiments": runs.experiments,
    "benchmarks": runs.benchmarks,
    "faults": runs.faults,
    "gpu-steps": runs.gpu,
    "capacity": runs.capacity,
    "claim-counts": lambda root: ledger.counts(entries(root)),
    "claim-answers": lambda root: ledger.answers(entries(root), root),
    "claim-filters": lambda root: ledger.filters(entries(root)),
    "ledger": lambda root: ledger.ledger(entries(root)),
    "decided": lambda root: decided.in_short(chapters(root)),
    "decided-report": lambda root: decided.report(chapters(root)),
    "table-1": table1.table_1,
    "table-1-matrix": table1.matrix,
    "front-answer": lambda root: front.answer(root, ledger.words(entries(root))),
    "citation": front.citation,
    "move-the-cut": touch.cut,
    "answer": lambda root: inline(root / "book" / "assets" / "table-1-vgg16.svg"),
}


@dataclass(frozen=True)
class Chapter:
    """What the book shows of a notebook: the run it took, and whether the code has changed."""

    notebook: Notebook
    content: NotebookNode
    record: Execution | None
    stale: bool

    def page(self) -> tuple[NotebookNode, dict[str, bytes]]:
        """Return the page, and its pictures and their data by their lasting addresses."""
        content = deepcopy(self.content)
        answer = shape.answered(content)
        names, largest = self.notebook.experiments, self.notebook.largest_profile()
        recorded = not names or largest != DEFAULT
        shape.shape(content, recorded=recorded)
        if not (recorded or "Not run yet" in answer):
            command = f"semirobust run {names[0]} --profile {PROFILES[1]}"
            answer = shape.ANSWER.format(f"Not run yet at any scale. `{command}` runs it.")
        page, pictures = with_addresses(content, self.notebook.name)
        for cell in page.cells:
            if cell.cell_type == "markdown":
                words = fill(cell.source, self.notebook.root, self.notebook.name)
                cell.source = linked(words, "../book/ledger.html")
        above = answer + self.guide(page) + (self.strip() if recorded else "")
        under_title(page, above + changed.box(self.results(), self.notebook.root))
        return page, pictures

    def guide(self, page: NotebookNode) -> str:
        """Return how long a page takes to read, what to have read, and its place in the paper."""
        words = sum(len(cell.source.split()) for cell in page.cells if cell.cell_type == "markdown")
        parts = [f"{max(1, round(words / WORDS_A_MINUTE))} min"]
        known = {one.name[:2]: one.name for one in notebooks.notebooks(self.notebook.root)}
        needs = [f"[{n}]({known[n]}.ipynb)" for n in self.notebook.about.get("needs", [])]
        parts += [f"read first: {', '.join(needs)}"] * bool(needs)
        place = self.notebook.about.get("paper", "")
        parts += [f"[in the paper](../book/bibliography.md): {place}"] * bool(place)
        return div("guide", " · ".join(parts))

    @property
    def profile(self) -> str:
        return self.record.profile if self.record else DEFAULT

    def results(self) -> list[Path]:
        """Return the recorded results behind the page; the smallest profile computes its own."""
        return [] if self.profile == DEFAULT else self.notebook.results(self.profile)

    def strip(self) -> str:
        """Return the strip under the title: profile, device, time, commit, versions, parameters."""
        if self.record is None:
            return div("provenance stale", UNRECORDED)
        record, origin, root = self.record, self.record.provenance, self.notebook.root
        versions = origin.get("versions", {})
        words = [f"**{record.profile} run**, {MEANING[record.profile]}"]
        if record.date:
            place = f"{plain(origin['device'])}, {plain(record.date)}"
            words += [f"drawn in {record.seconds:.0f} s on {place}{behind(self.results())}"]
        if commit := origin.get("commit"):
            local = " with local changes" if origin.get("dirty") else ""
            words += [f"commit [{plain(commit[:7])}]({source_of('', root, quote(commit))}){local}"]
        words += [
            ", ".join(f"{name} {plain(versions[name])}" for name in SHOWN if versions.get(name))
        ]
        words += [
            ", ".join(
                f"<code>{plain(f'{name} = {value!r}')}</code>"
                for name, value in record.parameters.items()
            )
        ]
        strip = div("provenance", " · ".join(filter(None, words))) + self.files()
        again = STALE.format(profile=record.profile)
        return strip + div("provenance stale", again) if self.stale else strip

    def files(self) -> str:
        """Return the recorded results behind the page, folded."""
        links = " ".join(
            f"{{download}}`{path.stem} <../{path.relative_to(self.notebook.root).as_posix()}>`"
            for path in self.results()
        )
        head = '<details class="provenance runs"><summary>their files</summary>'
        return f"{head}\n\n{links}\n\n</details>\n\n" if links else ""


def behind(paths: Sequence[Path]) -> str:
    """Return how many recorded runs a chapter is drawn from, and the time that they took."""
    spent = [computed(document(path)["provenance"]) for path in paths]
    runs = f"{len(paths)} recorded run{'s' * (len(paths) != 1)}"
    return f", from {runs} ({sum(spent) / 3600:.1f} hours of computing)" if paths else ""


def computed(provenance: Mapping[str, Any]) -> float:
    """Return the seconds of a run, of all its stages where it was made in stages."""
    stages = provenance.get("stages", {}).values()
    return sum(stage["seconds"] for stage in stages) or provenance.get("cpu_seconds") or 0.0


def chapters(root: Path) -> list[Chapter]:
    return [show(notebook, os.environ.get(PROFILE)) for notebook in notebooks.notebooks(root)]


def show(notebook: Notebook, profile: str | None = None) -> Chapter:
    """Return what the book shows: the wanted profile's run, else a smaller one's, else git's."""
    source = notebooks.read(notebook.path)
    wanted = PROFILES.index(profile or notebook.largest_profile())
    for name in reversed(PROFILES[: wanted + 1]):
        copy = executed.found(notebook, name)
        if copy is not None:
            page = combined(source, notebooks.read(copy[0]))
            return Chapter(notebook, page, copy[1], _is_stale(notebook, copy[1]))
    stored = executed.stored(notebook)
    return Chapter(notebook, source, stored, stored is None or _is_stale(notebook, stored))


def _is_stale(notebook: Notebook, record: Execution) -> bool:
    same_names = set(record.parameters) == set(notebook.parameters)
    return not same_names or notebooks.digest(notebook, record.parameters) != record.code


def combined(source: NotebookNode, copy: NotebookNode) -> NotebookNode:
    """Return today's words with the recorded outputs, or the copy whole if the code differs.

    The values that the run used are shown, the defaults that they replaced are folded away.
    """
    try:
        page = notebooks.merge(source, copy)
    except ValueError:
        return copy
    for cell in copy.cells:
        if "injected-parameters" in notebooks.tags(cell):
            cell.metadata["tags"] = ["injected-parameters"]
            place = ["parameters" in notebooks.tags(other) for other in page.cells].index(True)
            page.cells[place].metadata["tags"] = ["parameters", "hide-input"]
            page.cells.insert(place + 1, cell)
    return page


def under_title(page: NotebookNode, text: str) -> None:
    """Put text under the first line of a notebook, which is its title."""
    first = page.cells[0]
    title, _, rest = without_badge(first.source).partition("\n")
    if first.cell_type != "markdown" or not title.startswith("# "):
        raise ValueError(f"the first cell must start with a title '# ...', got {title!r}")
    first.source = f"{title}\n\n{text}{rest.lstrip()}"
