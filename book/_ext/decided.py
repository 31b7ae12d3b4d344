"""What the deciding chapters say, on other pages than their own: a sentence each, and a report."""

from collections.abc import Iterable
from typing import Any

from nbformat import NotebookNode

from book._ext.notebooks import DRAWING, tags
from book._ext.pictures import with_addresses
from book._ext.shape import text_of
from semirobust.results.profiles import DEFAULT

PART = "5"  # of the book, by the numbers of its chapters
NOT_RUN = "*Not run at any scale yet.*"


def answer(page: NotebookNode, profile: str) -> str:
    """Return what a chapter answers; where only the smallest profile has run, that it does not."""
    cells = [cell for cell in page.cells if "answer" in tags(cell)]
    words = "\n".join(text_of(output) for cell in cells for output in cell.get("outputs", []))
    return words if words and profile != DEFAULT else NOT_RUN


def in_short(chapters: Iterable[Any]) -> str:
    """Return the first paragraph of each answer that is there, under its question."""
    return "\n".join(
        f"- **{question(one.content)}** {answer(one.content, one.profile).partition(chr(10))[0]} "
        f"[Chapter {one.notebook.name[:2]}](../notebooks/{one.notebook.name}.ipynb)"
        for one in chapters
        if one.notebook.name.startswith(PART) and answer(one.content, one.profile) != NOT_RUN
    )


def report(chapters: Iterable[Any]) -> str:
    """Return question, answer and figure of each chapter."""
    parts = []
    for one in chapters:
        if not one.notebook.name.startswith(PART):
            continue
        told = answer(one.content, one.profile)
        parts += [f"## {question(one.content)}", told]
        if told != NOT_RUN:
            parts.append(figure(one.content, one.notebook.name))
    return "\n\n".join(parts)


def question(page: NotebookNode) -> str:
    """Return the title without its number."""
    title: str = page.cells[0].source.partition("\n")[0]
    return title.lstrip("# ").partition(". ")[2]


def figure(page: NotebookNode, name: str) -> str:
    """Return the first drawing of a chapter, as it stands there."""
    shown = with_addresses(page, name)[0]
    for cell, drawn in zip(page.cells, shown.cells, strict=True):
        for before, after in zip(cell.get("outputs", []), drawn.get("outputs", []), strict=True):
            if DRAWING in before.get("data", {}):
                return str(after.data["text/html"])
    return ""
