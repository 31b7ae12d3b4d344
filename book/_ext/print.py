"""The whole book as one PDF: every page of the built book in one document, printed by Chromium."""

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urldefrag, urljoin

import yaml
from bs4 import BeautifulSoup, Tag

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (  # no window, no sandbox (which containers lack), and nothing of the browser's own errands
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LEFT_OUT = (
    ".headerlink, form, .address, #jb-print-docs-body, .prev-next-footer, script, noscript, input, "
    "details:has(.collapsed:-soup-contains-own('Code'))"  # which nobody opens on paper
)
OFFER = '<span id="pdf"> · <a href="../book.pdf">the whole book as PDF</a></span>'
STYLE = """@page {size: A4; margin: 18mm 16mm}
html {--pst-color-primary: #0173b2 !important; --pst-color-accent: #de8f05 !important}
html {--book-quiet: #666 !important} .bd-article div {overflow: visible !important}
.bd-article {font-size: 10.5pt; max-width: none} section.page {break-before: page}
pre, tr, img, svg, figure {break-inside: avoid; max-width: 100%} table {font-size: 8pt}
h1, h2, h3, h4 {break-after: avoid} figure :is(img, svg) {max-height: 225mm; object-fit: contain}
pre {white-space: pre-wrap; overflow-wrap: anywhere} .dropdown table {font-size: 6.5pt}
.dropdown table :is(td, th) {padding: 0.15rem 0.25rem !important}"""


def printed(html: Path, toc: Path, target: Path) -> Path:
    """Return the PDF of a built book, its pages in the order of the table of contents.

    Raises:
        FileNotFoundError: There is no Chromium to print with.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise FileNotFoundError(f"printing needs one of {', '.join(BROWSERS)}: install chromium")
    whole = html / "whole-book.html"
    whole.write_text(together(html, pages(toc, html)), encoding="utf-8")
    flags = [*FLAGS, "--host-resolver-rules=MAP * ~NOTFOUND"]
    flags += ["--no-pdf-header-footer", "--virtual-time-budget=120000"]
    with TemporaryDirectory() as profile:
        command = [browser, *flags, f"--user-data-dir={profile}"]
        command += [f"--print-to-pdf={target.resolve()}", whole.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    whole.unlink()
    if done.returncode or not target.exists():
        raise RuntimeError(f"the book was not printed: {done.stderr.strip()[-500:]}")
    shutil.copy(target, html / "book.pdf")
    front = html / "book" / "index.html"
    text = front.read_text(encoding="utf-8")
    front.write_text(text.replace('<span id="pdf"></span>', OFFER), encoding="utf-8")
    return target


def pages(toc: Path, html: Path) -> list[str]:
    """Return the pages in the order of the table of contents, without the reference."""
    content = yaml.safe_load(toc.read_text(encoding="utf-8"))
    chapters = [entry["file"] for part in content["parts"] for entry in part["chapters"]]
    names = [f"{name}.html" for name in [content["root"], *chapters] if "/reference/" not in name]
    return [name for name in names if (html / name).exists()]


def together(html: Path, names: list[str]) -> str:
    """Return one page that holds the articles of several, with links between them kept."""
    parts, head = [], ""
    for name in names:
        soup = BeautifulSoup((html / name).read_text(encoding="utf-8"), "html.parser")
        if not head and soup.head:
            _lead_inside(soup.head, name, [])
            kept = soup.select("head meta, head title, head link[rel=stylesheet], head script")
            head = f"<head>{''.join(map(str, kept))}<style>{STYLE}</style></head>"
        article = soup.find("article")
        if not isinstance(article, Tag):
            raise ValueError(f"{name} has no article")
        for piece in article.select(LEFT_OUT):
            piece.decompose()
        for piece in article.select("details.claim"):
            piece["open"] = ""
        _lead_inside(article, name, names)
        parts.append(f'<section class="page" id="{_anchor(name)}">{article}</section>')
    body = f'<body><main class="bd-content">{"".join(parts)}</main></body>'
    return f'<!doctype html><html lang="en" data-theme="light">{head}{body}</html>'


def _lead_inside(piece: Tag, name: str, names: list[str]) -> None:
    """Let ids, links and pictures of a page be those of the whole document."""
    for one in piece.select("[id]:not(svg *)"):  # those of a drawing are its own already
        one["id"] = f"{_anchor(name)}--{one['id']}"
    for attribute in ("src", "href", "data"):
        for one in piece.select(f"[{attribute}]:not(svg *)"):
            one[attribute] = _moved(str(one[attribute]), name, names)


def _moved(link: str, name: str, names: list[str]) -> str:
    address = urljoin(name, link)
    page, fragment = urldefrag(address)
    if page not in names:
        return address
    return f"#{_anchor(page)}" + (f"--{fragment}" if fragment else "")


def _anchor(name: str) -> str:
    return name.removesuffix(".html").replace("/", "-")
