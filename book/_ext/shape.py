"""The shape of a chapter: its answer first, one table open, the method as code, the rest folded.

A notebook is the whole computation; its page shows of it what a reader needs. Tags of cells decide:
``answer``: what it prints is the box under the title; ``method``: its code is shown; ``open``: its
table is not folded. Code that shows nothing and checks of the notebook stay in the notebook.
"""

import re
from typing import Any

from nbformat import NotebookNode

from book._ext.markdown import typeset
from book._ext.notebooks import PICTURE, tags
from book._ext.pictures import CSV
from semirobust.results.published import NAMES
from semirobust.results.values import MIME as VALUES

ANSWER = "::::{{admonition}} Answer\n:class: answer\n{}\n::::\n\n"
SHOWN = NAMES | {  # cells of tables that are names of records, as they are written
    "online": "fresh examples",
    "static": "stored examples",
    "protocol": "trained on",
    "whitebox": "white-box",
    "n_b": "n<sub>b</sub>",
    "frozen standard f_a": "standard front",
    "frozen random f_a": "random front",
}
CHECKS = {"nbval-check-output", "parameters", "injected-parameters", "setup"}


def answered(page: NotebookNode) -> str:
    """Take the answer out of the page, where one cell gives it, and return it as a box."""
    for cell in page.cells:
        if "answer" in tags(cell):
            page.cells.remove(cell)
            words = "\n".join(filter(None, map(text_of, cell.get("outputs", []))))
            return ANSWER.format(words) if words else ""
    return ""


def text_of(output: dict[str, Any]) -> str:
    """Return the words of an output: Markdown where there is some."""
    data = output.get("data", {})
    text: str = data.get("text/markdown") or data.get("text/plain") or output.get("text", "")
    return typeset(text.strip())


def shape(page: NotebookNode, *, recorded: bool = True) -> None:
    """Fold or remove in place what a reader of the page does not need.

    Where nothing is recorded only the question, the answer and what is tagged ``plan`` stay. A fold
    is named by the comment that its code begins with.
    """
    if not recorded:
        page.cells = page.cells[:1] + [cell for cell in page.cells if "plan" in tags(cell)]
    for cell in page.cells:
        if cell.cell_type == "code":
            for output in cell.get("outputs", []):
                if "text/html" in output.get("data", {}):
                    output.data["text/html"] = _named(output.data["text/html"])
            words = set(tags(cell))
            role = _role(cell, words)
            cell.metadata.tags = sorted(words | {role} - {""})
            first = cell.source.partition("\n")[0]
            label = f"All values: {first[2:]}" if first.startswith("# ") else "All values"
            name = {"hide-cell": label, "hide-input": "Code"}.get(role, "")
            cell.metadata.mystnb = {"code_prompt_show": name, "code_prompt_hide": name}
    page.cells = [cell for cell in page.cells if "remove-cell" not in tags(cell)]


def _named(html: str) -> str:
    """Return a table whose cells have names as they are written."""
    return re.sub(
        "(<t[hd][^>]*>)([^<]+)(?=</t[hd]>)", lambda hit: hit[1] + SHOWN.get(hit[2], hit[2]), html
    )


def _role(cell: NotebookNode, words: set[str]) -> str:
    kinds = {
        kind
        for output in cell.get("outputs", [])
        for kind in output.get("data", {output.output_type: 1})
    }
    shown = bool(kinds & {PICTURE, CSV, "text/markdown"})
    if "method" in words:
        role = ""
    elif "open" in words or (shown and not words & CHECKS):
        role = "hide-input"
    elif words & CHECKS or not kinds & {"text/html", "stream", VALUES}:
        role = "remove-cell"  # checks, what shows nothing, bare values of Python
    else:
        role = "hide-cell"
    return role
