"""What a reader of a built chapter sees without opening anything, and what is wrong with it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from bs4 import BeautifulSoup, Tag

from book._ext import notebooks
from semirobust.results.frames import frame

FOLDED = "details, .dropdown, script, style, svg"  # an axis has its ticks: no decimals to read
ASIDE = ".provenance, .guide, .address, .highlight, mjx-container, .math"
DECIMAL = re.compile(r"(?<![\w.])\d+\.\d+(?![.\d])")
PER_CENT = re.compile(r"(?<![\w.])(\d+\.\d)\s?%")
MOST, METHOD = 60, 15  # decimals of a page; lines of code that are the method
ACCURACIES = ("whitebox", "static", "clean", "accuracy")
PLACE = ("model", "data", "profile", "protocol", "setting", "attack", "network", "front", "n_b")
WORDS = {  # of a verdict or a thing that has another name: see the glossary
    "wanted": r"\bwanted\b",
    "differs": r"\bdiffers\b(?! (?:from|by))",
    "narrowly": r"\bnarrowly\b",
    "reproduced": r"\breproduced\b",
    "static transfer": r"static transfer",
    "static or online protocol": r"\b(?:static|online)\W{0,2} protocol",
    "last part": r"\blast parts?\b",
    "fine-tuned": r"\bfine-?tun",
    "black-box": r"\bblack-box\b",
    "clean front": r"\bclean front\b",
}


def article(path: Path) -> Tag:
    """Return the article of a page without what is folded."""
    found = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").find("article")
    assert isinstance(found, Tag), path
    for piece in found.select(FOLDED):
        piece.extract()
    return found


def complaints(path: Path) -> list[str]:
    """Return what is wrong with a chapter, in words."""
    seen = article(path)
    return [*_of_figures(seen), *_of_code(seen), *_of_words(seen)]


def synonyms(seen: Tag) -> list[str]:
    """Return the words of a page for which the book has another."""
    text = " ".join(seen.get_text(" ").split())
    return [f"says {word}" for word, form in WORDS.items() if re.search(form, text, re.IGNORECASE)]


def _of_figures(seen: Tag) -> Iterator[str]:
    numbers = [figure.find("b") for figure in seen.select("figure.drawn figcaption")]
    for number, figure in zip(numbers, seen.select("figure.drawn figcaption"), strict=True):
        if number is None or not re.match(r"Figure \d+\.\d+", number.get_text()):
            yield "a figure has no number"
        elif len(figure.select("b")) < 2:
            yield f"{number.get_text()} has no title"
    if len(seen.select("img")) > len(seen.select("figure img")):
        yield "a picture is no figure"
    tables = [one for one in seen.select("table") if re.search(r"\d", _cells(one))]
    if len(tables) > 1:
        yield f"{len(tables)} tables are open"


def _cells(table: Tag) -> str:
    return "".join(cell.get_text() for cell in table.select("td"))


def _of_code(seen: Tag) -> Iterator[str]:
    lines = 0
    for code in seen.select(".cell_input"):
        cell = code.find_parent(class_="cell")
        if cell is None or "tag_method" not in (cell.get("class") or []):
            yield f"plumbing is open: {code.get_text().strip()[:40]}"
        lines += len(code.get_text().strip().splitlines())
    if lines > METHOD:
        yield f"{lines} lines of the method are open"
    for raw in seen.select(".output.text_plain, .output.stream"):
        if text := raw.get_text().strip():
            yield f"raw output is open: {text[:40]}"


def _of_words(seen: Tag) -> Iterator[str]:
    boxes = seen.select(".admonition.answer")
    if len(boxes) != 1:
        yield f"{len(boxes)} answers"
    yield from synonyms(seen)
    for piece in seen.select(ASIDE):
        piece.extract()
    if (count := len(DECIMAL.findall(seen.get_text(" ")))) > MOST:
        yield f"{count} decimals"


def untraced(path: Path, root: Path) -> list[str]:
    """Return the accuracies of a chapter's answer that are in no record and no mean of some."""
    notebook = notebooks.find(root / "notebooks" / f"{path.stem}.ipynb")
    box = article(path).select_one(".admonition.answer")
    told = PER_CENT.findall(box.get_text(" ")) if box else []
    known = {f"{100 * value:.1f}" for value in _recorded(notebook.experiments, root)}
    return [number for number in told if number not in known]


def _recorded(experiments: tuple[str, ...], root: Path) -> Iterator[float]:
    """Yield the accuracies of records, and their means over seeds of what is otherwise the same."""
    for name in experiments:
        for table in ("networks", "accuracies"):
            rows = frame(name, table, root=root / "results")
            by = [one for one in PLACE if one in rows]
            numbers = [one for one in ACCURACIES if one in rows]
            if numbers:
                means = rows.groupby(by, dropna=False)[numbers].mean()
                yield from pd.concat([rows[numbers], means]).stack().dropna().tolist()
