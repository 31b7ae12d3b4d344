"""Pictures of a chapter: each gets a lasting address, its data beside it, a text that is read out.

The data and the text were stored with the picture when it was drawn (``figures``). An interactive
figure is a piece of HTML with its data inside; its picture stands where scripts do not run.
"""

import base64
import re
from copy import deepcopy
from pathlib import Path

import nbformat
from nbformat import NotebookNode

PICTURE, CSV = "image/png", "application/vnd.semirobust.csv"


def with_addresses(content: NotebookNode, name: str) -> tuple[NotebookNode, dict[str, bytes]]:
    """Return a page that names the address below each picture, and the files by address."""
    page, cells = deepcopy(content), []
    files: dict[str, bytes] = {}
    for cell in page.cells:
        cells.append(cell)
        outputs = cell.get("outputs", [])
        drawn = [output for output in outputs if {PICTURE, CSV} & set(output.get("data", {}))]
        for count, output in enumerate(drawn):
            address = f"figures/{name}-{cell.id}" + (f"-{count + 1}" if count else "")
            if text := alternative(output):  # what the author wrote about the image stays otherwise
                image = cell.metadata.get("mystnb", {}).get("image", {})
                cell.metadata["mystnb"] = {"image": {**image, "alt": text}}
            cells.append(_link(address, output.data))
            if PICTURE in output.data:
                files[f"{address}.png"] = base64.b64decode(output.data[PICTURE])
            if CSV in output.data:
                files[f"{address}.csv"] = output.data.pop(CSV).encode()
    page.cells = cells
    return page, files


def alternative(output: NotebookNode) -> str | None:
    """Return the text that was stored with a picture, or None where there is none."""
    text: str | None = output.metadata.get(CSV, {}).get("alt")
    return text


def _link(address: str, data: dict[str, str]) -> NotebookNode:
    name = address.rpartition("/")[2]
    picture = f'<a href="../{address}.png">{name}</a>' if PICTURE in data else name
    table = f' · <a href="../{address}.csv" download>its data</a>' if CSV in data else ""
    text = f'<p class="address" id="{name}">{picture}{table}</p>'
    return nbformat.v4.new_markdown_cell(text, id=name)  # type: ignore[no-untyped-call]


def inline(path: Path) -> str:
    """Return a drawing of ``semirobust figure`` as part of a page: in its ink, with words and data.

    Raises:
        ValueError: A file that does not say what it shows.
    """
    text = path.read_text(encoding="utf-8")
    words = [re.search(f"<dc:{name}>(.*?)</dc:{name}>", text) for name in ("title", "description")]
    caption, alt = (found[1] if found else "" for found in words)
    if not caption or not alt:
        raise ValueError(f"{path.name} has no caption or no alternative text: draw it again")
    drawing = re.sub(
        r"\s*<(metadata|style|title)\b.*?</\1>", "", text[text.index("<svg") :], flags=re.S
    )
    label = alt.replace('"', "&quot;")
    drawing = re.sub('<svg color="[^"]*"', f'<svg aria-label="{label}"', drawing, count=1).strip()
    data = f'<a href="../_static/{path.stem}.csv" download>Its data</a>'
    return f'<figure class="answer">{drawing}<figcaption>{caption} {data}</figcaption></figure>'
