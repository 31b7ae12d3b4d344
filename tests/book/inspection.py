"""What may not be in a built book: requests to elsewhere, dead links, figures without words."""

import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"link": "href", "object": "data"}  # every other element loads its src
NAMED_ONLY = {"canonical", "next", "prev", "search", "index", "genindex", "author"}
IN_STYLE = re.compile(r"""(?:@import\s+|url\()\s*["']?((?:https?:)?//[^"')\s]+)""")


class Page(HTMLParser):
    """Collects of a page what a browser loads, where it links to, its anchors, its pictures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.silent: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what one element loads, names and links to."""
        values = dict(attrs)
        self.anchors |= {values[name] or "" for name in ("id", "name") if name in values}
        if tag == "a":
            self.links += [values["href"] or ""] if "href" in values else []
            return
        if tag == "img" and not (values.get("alt") or "").strip():
            self.silent.append(values.get("src") or "")
        address = values.get(LOADED.get(tag, "src"))
        if address and (values.get("rel") or "") not in NAMED_ONLY:
            self.loads.append(address)
        self.loads += [part.split()[0] for part in (values.get("srcset") or "").split(",") if part]


@cache
def _page(path: Path, _: int) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def pages(html: Path) -> Iterator[tuple[Path, Page]]:
    """Yield every page of a built book with what it holds."""
    templates = html / "_static"
    for path in sorted(set(html.rglob("*.html")) - set(templates.rglob("*.html"))):
        yield path, _page(path, path.stat().st_mtime_ns)


def complaints(html: Path, home: str = "/") -> list[str]:
    """Return everything that is wrong, one line each; ``home`` is where the book will lie."""
    return [*loaded_from_outside(html), *dead_links(html, home), *silent_pictures(html)]


def loaded_from_outside(html: Path) -> list[str]:
    """Return what pages and styles would fetch from other hosts, as ``page: address``."""
    found = []
    for path, page in pages(html):
        away = [name for name in page.loads if re.match(r"(https?:)?//", name)]
        found += [f"{path.relative_to(html)}: loads {name}" for name in away]
    for path in sorted(html.rglob("*.css")):
        away = IN_STYLE.findall(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(html)}: loads {name}" for name in away]
    return found


def dead_links(html: Path, home: str = "/") -> list[str]:
    """Return links to pages, files and anchors of the book that are not there."""
    _target.cache_clear()  # a page may have come since
    return [
        f"{path.relative_to(html)}: leads nowhere: {link}"
        for path, page in pages(html)
        for link in dict.fromkeys([*page.links, *page.loads])
        if _is_inside(link) and not _leads_somewhere(path, _from_here(path, html, link, home))
    ]


def _is_inside(link: str) -> bool:
    return not urlsplit(link).scheme and not link.startswith("//")


def _from_here(page: Path, html: Path, link: str, home: str) -> str:
    """Return a link without the address of the book: the page for lost visitors lies anywhere."""
    if not link.startswith(home):
        return link
    return "../" * (len(page.relative_to(html).parts) - 1) + link.removeprefix(home)


def _leads_somewhere(path: Path, link: str) -> bool:
    parts = urlsplit(link)
    target = _target(path.parent, parts.path) if parts.path else path
    if target is None:
        return False
    if not parts.fragment or target.suffix != ".html":
        return True
    return unquote(parts.fragment) in _page(target, target.stat().st_mtime_ns).anchors


@cache
def _target(folder: Path, address: str) -> Path | None:
    target = (folder / unquote(address)).resolve()
    return target if target.exists() else None


def silent_pictures(html: Path) -> list[str]:
    """Return pictures without an alternative text."""
    return [
        f"{path.relative_to(html)}: no text for the picture {name}"
        for path, page in pages(html)
        for name in page.silent
    ]
