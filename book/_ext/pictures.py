"""Pictures of a page: each gets a lasting address, its data beside it, and a text that is read out.

The data and the text were stored with the picture when it was drawn (``telling``). An interactive
figure is a piece of HTML with its data inside; its picture stands where scripts do not run.
"""

import base64

import nbformat
from nbformat import NotebookNode

PICTURE, CSV = "image/png", "application/vnd.semirobust.csv"  # the latter is of `figures`
FOLDER = "book/extra"


def pictures_of(page: NotebookNode, name: str) -> dict[str, bytes]:
    """Return pictures and tables by address, after writing the address below each picture."""
    files: dict[str, bytes] = {}
    cells = []
    for cell in page.cells:
        cells.append(cell)
        drawn = [
            output for output in cell.get("outputs", []) if {PICTURE, CSV} & set(_data(output))
        ]
        for count, output in enumerate(drawn):
            address = f"figures/{name}-{cell.id}" + (f"-{count + 1}" if count else "")
            files |= _files(output, address)
            _say(cell, alternative(output))
            cells.append(_link(address, output.data))
            output.data.pop(CSV, None)
    page.cells = cells
    return files


def alternative(output: NotebookNode) -> str | None:
    """Return the text that was stored with a picture, or None where there is none."""
    text: str | None = output.metadata.get(CSV, {}).get("alt")
    return text


def _data(output: NotebookNode) -> dict[str, str]:
    found: dict[str, str] = output.get("data", {})
    return found


def _files(output: NotebookNode, address: str) -> dict[str, bytes]:
    found = {}
    if PICTURE in output.data:
        found[f"{FOLDER}/{address}.png"] = base64.b64decode(output.data[PICTURE])
    if CSV in output.data:
        found[f"{FOLDER}/{address}.csv"] = output.data[CSV].encode()
    return found


def _say(cell: NotebookNode, text: str | None) -> None:
    """Give the cell's picture its alternative text; what the author wrote stays otherwise."""
    if text:
        image = cell.metadata.get("mystnb", {}).get("image", {})
        cell.metadata["mystnb"] = {"image": {**image, "alt": text}}


def _link(address: str, data: dict[str, str]) -> NotebookNode:
    name = address.rpartition("/")[2]
    picture = f'<a href="../{address}.png">{name}</a>' if PICTURE in data else name
    table = f' · <a href="../{address}.csv" download>its data</a>' if CSV in data else ""
    text = f'<p class="address" id="{name}">{picture}{table}</p>'
    return nbformat.v4.new_markdown_cell(text, id=name)  # type: ignore[no-untyped-call]
