"""Executed copies of notebooks, each with a record of the run that made it.

Those of this checkout lie under ``artifacts/``; git keeps the small outputs of the default profile
in the notebook itself and larger profiles under ``results/notebooks/``, so a book can be built from
a fresh clone without running anything.
"""

import hashlib
import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from book._ext import notebooks
from book._ext.notebooks import Notebook
from semirobust.results.profiles import DEFAULT, PROFILES

OWN, IN_GIT = "artifacts", "results"  # folders of a checkout


@dataclass(frozen=True, kw_only=True)
class Execution:
    """What is known of one run: under which settings, of which code, where, and for how long."""

    notebook: str
    profile: str
    parameters: dict[str, Any]
    code: str
    provenance: dict[str, Any]
    digest: str = ""
    seconds: float = 0.0
    date: str = ""


def kept(notebook: Notebook, profile: str, top: str = OWN) -> tuple[Path, Path]:
    """Return where the executed copy of a notebook and its record are kept."""
    path = notebook.root / top / "notebooks" / profile / notebook.name
    return path.with_suffix(".ipynb"), path.with_suffix(".json")


def found(notebook: Notebook, profile: str) -> tuple[Path, Execution] | None:
    """Return the executed copy, of this checkout or of git, with its record, or None.

    A copy of git's whose code is current goes before one of this checkout whose code is not.
    """
    own, theirs = (whole(*kept(notebook, profile, top)) for top in (OWN, IN_GIT))
    if not own or not theirs or own[1].code == theirs[1].code:
        return own or theirs
    record = theirs[1]
    return theirs if notebooks.digest(notebook, record.parameters) == record.code else own


def whole(copy: Path, record: Path) -> tuple[Path, Execution] | None:
    """Return a copy with its record, or None where they are not both there and of one run."""
    if not (copy.exists() and record.exists()):
        return None
    try:
        document = json.loads(record.read_text(encoding="utf-8"))
        run = Execution(**{field.name: document[field.name] for field in fields(Execution)})
        digest = document["copy"]
    except (ValueError, TypeError, KeyError) as damage:
        raise ValueError(
            f"{record} is damaged ({type(damage).__name__}: {damage}): bring it back from git, or "
            "delete it and run the notebook again"
        ) from None
    if run.profile not in PROFILES or run.notebook != copy.stem or run.profile != copy.parent.name:
        raise ValueError(f"{record} is of {run.notebook} in profile {run.profile}: move it back")
    if digest != hashlib.sha256(copy.read_bytes()).hexdigest():
        return None  # stopped between the two files
    return copy, run


def recorded(notebook: Notebook, profile: str) -> Execution | None:
    copy = found(notebook, profile)
    return copy[1] if copy else None


def stored(notebook: Notebook) -> Execution | None:
    """Return what a notebook file says of its own outputs, or None where it says nothing."""
    origin = notebooks.read(notebook.path).metadata.get("semirobust", {}).get("record")
    if origin is None:
        return None
    try:
        code, versions = str(origin["code"]), dict(origin["versions"])
    except (TypeError, KeyError, ValueError):
        raise ValueError(
            f"{notebook.path} does not say which code made its outputs: run "
            "`semirobust book --save-outputs`"
        ) from None
    return Execution(
        notebook=notebook.name,
        profile=DEFAULT,
        parameters=notebook.values(DEFAULT),
        code=code,
        provenance={"versions": versions},
    )
