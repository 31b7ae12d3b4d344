"""The book: run what changed, stage the pages, then Jupyter Book; building needs no torch."""

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from book._ext import execution, inspection, notebooks
from book._ext.notebooks import Parameters
from book._ext.repository import configuration
from book._ext.staging import stage
from semirobust.results.code import hashed
from semirobust.results.records import ROOT, write_atomically

TOOLS = ("jupyter-book", "sphinx", "sphinx-book-theme", "sphinx-proof", "myst-nb")


@dataclass(frozen=True)
class Built:
    """A built book: its front page, and whether anything had to be done."""

    index: Path
    changed: bool


def build(
    profile: str | None = None,
    *,
    execute: bool = True,
    overrides: Parameters | None = None,
    jobs: int = 1,
    root: Path = ROOT,
) -> Built:
    """Return the HTML book, after running the notebooks that changed and staging the pages.

    Args:
        profile: One profile for all; by default each notebook shows the largest with a result.
        execute: Whether notebooks that changed run first; this needs torch.
        overrides: Values for notebook parameters.
        jobs: How many notebooks run side by side.
        root: The checkout.

    Raises:
        RuntimeError: Sphinx warned, or a page has a dead link, a figure without words, or would
            load something from elsewhere; the message tells.
    """
    if execute:
        for _ in execution.execute(
            notebooks.notebooks(root), profile=profile, overrides=overrides, jobs=jobs
        ):
            pass
    staged, index = stage(profile, root=root), root / "_build" / "html" / "index.html"
    stamp, mark = root / "_build" / "book.stamp", fingerprint(staged)
    if index.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == mark:
        return Built(index, changed=False)
    made = _sphinx(staged, root)
    home = configuration(root)["html"]["baseurl"]
    write_atomically(made / "sitemap.xml", inspection.sitemap(made, home).encode())
    wrong = inspection.complaints(made)
    if wrong:
        raise RuntimeError("the book is not sound:\n" + "\n".join(wrong))
    stamp.unlink(missing_ok=True)
    shutil.rmtree(index.parent, ignore_errors=True)
    made.rename(index.parent)
    write_atomically(stamp, mark.encode())
    return Built(index, changed=True)


def _sphinx(staged: Path, root: Path) -> Path:
    """Return the folder of a book made from nothing, as Sphinx warns of a known page only once."""
    work = root / "_build" / "work"
    shutil.rmtree(work, ignore_errors=True)
    program = "from jupyter_book.cli.main import main; main()"
    words = ["build", str(staged), "--path-output", str(work), "-W", "-n", "--keep-going"]
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
        env=os.environ | {"PYTHONWARNINGS": "ignore", "NO_COLOR": "1"},
    )
    log, told = root / "_build" / "book.log", execution.COLOUR.sub("", done.stdout + done.stderr)
    write_atomically(log, told.encode())
    if done.returncode:
        lines = told.splitlines()
        shown = "\n".join([line for line in lines if _is_warning(line)] or lines[-20:])
        raise RuntimeError(f"the book was not built; the whole log is {log}\n{shown}")
    return work / "_build" / "html"


def _is_warning(line: str) -> bool:
    return "WARNING" in line or "ERROR" in line or "Error" in line


def fingerprint(staged: Path) -> str:
    """Return a digest of everything a build reads: the staged files and the tools' versions."""
    files = sorted(path for path in staged.rglob("*") if path.is_file())
    digests = {
        str(path.relative_to(staged)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
    tools = [version(name) for name in TOOLS]
    return hashed([digests, tools])
