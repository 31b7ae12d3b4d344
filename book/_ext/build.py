"""The book: Jupyter Book reads the checkout, and ``chapters`` what is shown; no torch is needed."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from book._ext.chapters import PROFILE
from book._ext.execution import COLOUR
from semirobust.results.code import hashed
from semirobust.results.records import ROOT, write_atomically

KEPT = "artifacts/notebooks/**/*"
READ = ("_*.yml", "book/**/*", "notebooks/*", "results/**/*", "semirobust/**/*", KEPT)
LEFT_OUT = {"__pycache__", "reference"}  # the reference is written by the build
TOOLS = ("jupyter-book", "sphinx", "sphinx-book-theme", "sphinx-proof", "myst-nb", "sphinx-autoapi")


@dataclass(frozen=True)
class Built:
    """A built book: its front page, and whether anything had to be done."""

    index: Path
    changed: bool


def build(profile: str | None = None, *, root: Path = ROOT) -> Built:
    """Return the HTML book of what was run before; a second build waits for the first.

    By default each notebook shows the largest profile with a result.

    Raises:
        RuntimeError: Sphinx warned; the message tells. The book before stays.
    """
    index, stamp = root / "_build" / "html" / "index.html", root / "_build" / "book.stamp"
    stamp.parent.mkdir(exist_ok=True)
    with FileLock(stamp.with_suffix(".lock")):
        mark = fingerprint(root, profile)
        if index.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == mark:
            return Built(index, changed=False)
        html = _sphinx(root, profile)
        stamp.unlink(missing_ok=True)
        shutil.rmtree(index.parent, ignore_errors=True)
        html.rename(index.parent)
        write_atomically(stamp, mark.encode())
        return Built(index, changed=True)


def _sphinx(root: Path, profile: str | None) -> Path:
    """Return the folder of a book made from nothing, as Sphinx warns of a known page only once."""
    work = root / "_build" / "work"
    shutil.rmtree(work, ignore_errors=True)
    program = "from jupyter_book.cli.main import main; main()"
    words = ["build", str(root), "--path-output", str(work), "-W", "-n", "--keep-going"]
    settings = {"PYTHONWARNINGS": "ignore", "NO_COLOR": "1", PROFILE: profile or ""}
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
        env=os.environ | settings,
    )
    log, said = root / "_build" / "book.log", COLOUR.sub("", done.stdout + done.stderr)
    write_atomically(log, said.encode())
    if done.returncode:
        complaints = re.findall(".*(?:WARNING|ERROR|Error:|Extension error).*", said)
        shown = "\n".join(complaints or said.splitlines()[-20:])
        raise RuntimeError(f"the book was not built; the whole log is {log}\n{shown}")
    return work / "_build" / "html"


def fingerprint(root: Path, profile: str | None) -> str:
    """Return a digest of everything that a build reads: files, profile, versions of the tools."""
    files = [path for pattern in READ for path in sorted(root.glob(pattern)) if path.is_file()]
    digests = {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if not LEFT_OUT & set(path.relative_to(root).parts)
    }
    return hashed([digests, profile, [version(name) for name in TOOLS]])
