"""Notebooks and book: made by the checkout's own ``book._ext``, in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from semirobust.results.records import ROOT, is_checkout
from semirobust.workflow.engine import Job

STAGES = ("notebook", "book")


def hand_over(words: Sequence[str]) -> int:
    """Run a command of the checkout and return its exit status; what it prints is shown."""
    with subprocess.Popen(_command(words), env=_environment()) as process:
        while True:
            try:
                status = process.wait()
            except KeyboardInterrupt:  # the terminal told the process as well, and it says so
                continue
            return status if status >= 0 else 128 - status


def jobs(profile: str, records: Mapping[str, Sequence[str]]) -> list[Job]:
    """Return one job a notebook, and one for the book, which waits for them all.

    A notebook waits for the jobs of its experiments in ``records``, by experiment.
    """
    command, place = _command(["jobs", "--profile", profile]), _environment()
    listed = subprocess.run(command, env=place, stdout=subprocess.PIPE, text=True, check=False)
    if listed.returncode:
        raise RuntimeError("the notebooks could not be listed, see above")
    chapters: list[Job] = []
    for entry in json.loads(listed.stdout):
        needs = [job for name in entry.pop("experiments") for job in records.get(name, ())]
        needs += [job.name for job in chapters] if entry["stage"] == "book" else []
        words = tuple(entry.pop("words"))
        chapters.append(Job(**entry, words=words, inputs=tuple(needs)))
    return chapters


def _command(words: Sequence[str]) -> list[str]:
    if not is_checkout():
        raise FileNotFoundError(
            "notebooks and book are not in the installed package: use a checkout of the repository"
        )
    if find_spec("jupyter_book") is None:
        raise FileNotFoundError("the book's packages are missing: pip install -e '.[book]'")
    return [sys.executable, "-m", "book._ext.run", *words]


def _environment() -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
