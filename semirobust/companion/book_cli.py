"""The commands of the book: ``semirobust book`` and ``semirobust run --all``."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from semirobust.results.records import ROOT

Commands = Callable[[str, Callable[[argparse.Namespace], None], str], argparse.ArgumentParser]


def add(command: Commands, add_profile: Callable[..., None]) -> None:
    """Add the command that builds the book."""
    text = (
        "Run the notebooks that changed and build the HTML book.\n\n"
        "  semirobust book                              what changed, then the pages\n"
        "  semirobust book --no-execute                 from what is recorded, without torch\n"
        "  semirobust book --no-execute --pdf book.pdf  also the whole book in one file\n"
        "  semirobust book --save-outputs               also keep outputs for git"
    )
    parser = command("book", book, text)
    add_profile(parser, None)
    parser.add_argument("--jobs", type=int, default=1, help="notebooks at a time; default 1")
    parser.add_argument("--no-execute", action="store_true", help="build from what was run before")
    parser.add_argument("--save-outputs", action="store_true", help="write outputs to notebooks/")
    parser.add_argument("--pdf", type=Path, metavar="FILE", help="print the book; needs Chromium")
    parser.add_argument(
        "-p",
        dest="parameters",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a notebook parameter",
    )


def book(chosen: argparse.Namespace) -> None:
    """Run what changed, build the book and print where it is."""
    from semirobust.companion import book as pages

    if chosen.save_outputs:
        _save_outputs(chosen)
    elif not chosen.no_execute:
        execute(chosen)
    built = pages.build(chosen.profile, execute=False)
    print(f"{'built' if built.changed else 'up to date'}: {built.index}")
    if chosen.pdf:
        from semirobust.companion import printing

        made = printing.printed(built.index.parent, ROOT / "_toc.yml", chosen.pdf)
        print(f"printed: {made}")


def execute(chosen: argparse.Namespace) -> None:
    """Run every notebook that changed, several at a time, and print what ran."""
    from semirobust.companion import execution, notebooks

    parameters = dict(parameter(word) for word in getattr(chosen, "parameters", []))
    root = getattr(chosen, "data_root", None)
    os.environ |= {"SEMIROBUST_DATA": root} if root else {}
    os.environ |= {"SEMIROBUST_DOWNLOAD": "1"} if getattr(chosen, "download", False) else {}
    for record in execution.execute(
        notebooks.notebooks(), profile=chosen.profile, overrides=parameters, jobs=chosen.jobs
    ):
        print(f"{record.notebook}: ran in profile {record.profile}, {record.seconds} s")


def _save_outputs(chosen: argparse.Namespace) -> None:
    """Write set-up cells, run what changed in the smallest and the largest profile, keep both."""
    from semirobust import colab
    from semirobust.companion import execution, notebooks

    for notebook in notebooks.notebooks():
        if colab.prepare(notebook):
            print(f"set-up written to {notebook.path}")
    for profile in ("smoke", None):
        chosen.profile = profile
        execute(chosen)
    for path in execution.save_outputs(notebooks.notebooks()):
        print(f"outputs kept in {path}")


def parameter(word: str) -> tuple[str, Any]:
    """Return name and value of NAME=VALUE.

    Example:
        >>> parameter("scale=1e-3")
        ('scale', 0.001)
    """
    import yaml

    name, equals, value = word.partition("=")
    if not equals:
        raise ValueError(f"a parameter is given as NAME=VALUE, got {word!r}")
    try:
        return name, int(value) if value.lstrip("+-").isdigit() else float(value)
    except ValueError:
        return name, yaml.safe_load(value)
