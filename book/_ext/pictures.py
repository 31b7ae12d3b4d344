"""Pictures of a chapter: each is numbered, says its finding, has a lasting address and its data.

The data and the words were stored with the picture when it was drawn (``figures``). A drawing is
set into the page in the ink of the text; a bitmap stays a file.
"""

import base64
import re
from copy import deepcopy
from html import escape
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from book._ext.markdown import typeset
from book._ext.notebooks import DRAWING, PICTURE

CSV = "application/vnd.semirobust.csv"
INK = "#777777"  # of drawings; the page has its own


def with_addresses(content: NotebookNode, name: str) -> tuple[NotebookNode, dict[str, bytes]]:
    """Return a page whose pictures are numbered figures, and the files by address."""
    page = deepcopy(content)
    files: dict[str, bytes] = {}
    number = 0
    for cell in page.cells:
        outputs = cell.get("outputs", [])
        drawn = [output for output in outputs if {PICTURE, CSV} & set(output.get("data", {}))]
        for count, output in enumerate(drawn, start=1):
            number += 1
            address = f"figures/{name}-{cell.id}" + (f"-{count}" if count > 1 else "")
            title = f"Figure {name.partition('-')[0]}.{number}"
            kind = cell.metadata.get("mystnb", {}).get("image", {}).get("classes", "")
            output.data, own = _figure(address, title, output.data, words(output) | {"class": kind})
            files |= own
    return page, files


def words(output: NotebookNode) -> dict[str, str]:
    """Return the words stored with a picture: ``alt``, its finding ``title``, and ``about``."""
    return dict(output.metadata.get(CSV, {}))


def _figure(
    address: str, number: str, data: dict[str, Any], said: dict[str, str]
) -> tuple[dict[str, str], dict[str, bytes]]:
    """Return a picture as a figure of the page, and the files that it links to."""
    name, files = address.rpartition("/")[2], {}
    links = []
    if DRAWING in data:
        picture = drawing(data[DRAWING], name, said.get("alt", ""))
        files[f"{address}.svg"] = data[DRAWING].encode()
        links.append(f'<a href="../{address}.svg" id="{name}">{name}</a>')
    elif "text/html" in data:
        picture = data["text/html"]
        links.append(f'<span id="{name}">{name}</span>')
    else:
        kind = f' class="{said["class"]}"' if said.get("class") else ""
        picture = f'<img src="../{address}.png" alt="{escape(said.get("alt", ""))}"{kind}>'
        files[f"{address}.png"] = base64.b64decode(data[PICTURE])
        links.append(f'<a href="../{address}.png" id="{name}">{name}</a>')
    if CSV in data:
        files[f"{address}.csv"] = data[CSV].encode()
        links.append(f'<a href="../{address}.csv" download>its data</a>')
    finding = said.get("title", "")
    stop = "." * (finding[-1:] not in ("", ".", "?"))
    title = f"<b>{number}.</b> " + (f"<b>{typeset(escape(finding))}{stop}</b>" if finding else "")
    caption = " ".join(filter(None, [title, typeset(escape(said.get("about", "")))]))
    caption += f' <span class="address">{" · ".join(links)}</span>'
    text = f'<figure class="drawn">{picture}<figcaption>{caption}</figcaption></figure>'
    return {"text/html": text}, files


def drawing(svg: str, name: str, alt: str) -> str:
    """Return a drawing as a part of a page: in its ink, read out, with ids of its own."""
    told = r"\s*<(metadata|style)\b.*?</\1>|\n <title>.*?</title>"  # titles of marks stay
    text = re.sub(told, "", svg[svg.index("<svg") :], flags=re.S)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", text.replace(INK, "currentColor"))
    size = re.search(r'<svg [^>]*?width="([\d.]+)pt"', text)
    width = f'style="max-width:{float(size[1]) / 12:.1f}rem" ' if size else ""
    text = re.sub(r'\s(?:width|height)="[\d.]+pt"', "", text, count=2)  # its box scales it
    return re.sub("<svg ", f'<svg role="img" {width}aria-label="{escape(alt)}" ', text, count=1)


def inline(path: Path) -> str:
    """Return a drawing of ``semirobust figure`` as part of a page: in its ink, with words and data.

    Raises:
        ValueError: A file that does not say what it shows.
    """
    text = path.read_text(encoding="utf-8")
    about = [re.search(f"<dc:{name}>(.*?)</dc:{name}>", text) for name in ("title", "description")]
    caption, alt = (found[1] if found else "" for found in about)
    if not caption or not alt:
        raise ValueError(f"{path.name} has no caption or no alternative text: draw it again")
    shown = drawing(text, path.stem, alt).strip()
    data = f'<a href="../_static/{path.stem}.csv" download>Its data</a>'
    finding, _, runs = caption.partition(". ")
    told = f"<b>{finding}.</b> {runs} {data}"
    return f'<figure class="answer">{shown}<figcaption>{told}</figcaption></figure>'
