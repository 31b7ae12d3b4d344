"""The command line of notebooks and book: ``python -m book._ext.run book | all | jobs | step``.

``semirobust book`` and ``semirobust run --all`` hand over to it, and so does the workflow engine,
whose last jobs are the notebooks and the book. Errors that a user can mend are one line.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from book._ext import build, colab, execution, front, ledger, notebooks
from semirobust.results.artefacts import Artefact, held, publish
from semirobust.results.profiles import DEFAULT
from semirobust.results.records import ROOT

TEXT = """\
Run the notebooks that changed and build the HTML book.

  semirobust book                              what changed, then the pages
  semirobust book --no-execute                 from what is recorded, without torch
  semirobust book --no-execute --pdf book.pdf  also the whole book in one file
  semirobust book --save-outputs               also keep outputs for git"""
EXPECTED = (ValueError, OSError, RuntimeError)


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    chosen = _parser().parse_args(words)
    try:
        chosen.do(chosen)
    except EXPECTED as error:
        print(f"semirobust: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("semirobust: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="semirobust", description="Notebooks and book.")
    profile = argparse.ArgumentParser(add_help=False)
    profile.add_argument(
        "--profile",
        metavar="P",
        help="smoke (digits, a minute), cpu (CIFAR-10, narrow), gpu, paper; default: the largest "
        "that has a result",
    )
    running = argparse.ArgumentParser(add_help=False, parents=[profile])
    running.add_argument("--jobs", type=int, default=1, help="notebooks at a time; default 1")
    more: dict[str, Any] = {"metavar": "NAME=VALUE", "action": "append", "default": []}
    running.add_argument("-p", dest="parameters", help="a notebook parameter", **more)

    add = partial(
        parser.add_subparsers(required=True).add_parser,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command = add("book", description=TEXT, parents=[running])
    command.set_defaults(do=make_book)
    command.add_argument("--no-execute", action="store_true", help="build from what was run before")
    command.add_argument("--save-outputs", action="store_true", help="write outputs to notebooks/")
    command.add_argument("--pdf", type=Path, metavar="FILE", help="print the book; needs Chromium")
    command = add("all", description="Run every notebook that changed.", parents=[running])
    command.set_defaults(do=execute)
    command = add("jobs", description="Print notebooks and book as jobs.", parents=[profile])
    command.set_defaults(do=print_jobs)
    command = add("step", description="Make one of those jobs.", parents=[profile])
    command.set_defaults(do=step)
    command.add_argument("stage", choices=("notebook", "book"))
    command.add_argument("name", help="of the notebook; html")
    return parser


def make_book(chosen: argparse.Namespace) -> None:
    """Run what changed, build the book and print where it is."""
    if chosen.parameters and (chosen.no_execute or chosen.save_outputs):
        raise ValueError("-p changes nothing where no notebook is run with it: leave it out")
    if chosen.save_outputs:
        _save_outputs(chosen)
    elif not chosen.no_execute:
        execute(chosen)
    built = build.build(chosen.profile)
    print(f"{'built' if built.changed else 'up to date'}: {built.index}")
    if chosen.pdf:
        from book._ext.print import printed

        print(f"printed: {printed(built.index.parent, ROOT / '_toc.yml', chosen.pdf)}")


def execute(chosen: argparse.Namespace) -> None:
    """Run every notebook that changed, several at a time, and print what ran."""
    overrides = dict(parameter(word) for word in chosen.parameters)
    for record in execution.execute(
        notebooks.notebooks(), profile=chosen.profile, overrides=overrides, jobs=chosen.jobs
    ):
        print(f"{record.notebook}: ran in profile {record.profile}, {record.seconds} s", flush=True)


def _save_outputs(chosen: argparse.Namespace) -> None:
    """Write set-up cells, run what changed in the smallest and the largest profile, keep both.

    The README's answer is written anew too.
    """
    text = front.readme(ROOT, ledger.words(ledger.found()))
    if notebooks.update(ROOT / "README.md", text.encode()):
        print("answer written to README.md")
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
    name, equals, value = word.partition("=")
    if not equals:
        raise ValueError(f"a parameter is given as NAME=VALUE, got {word!r}")
    try:
        return name, int(value) if value.lstrip("+-").isdigit() else float(value)
    except ValueError:
        return name, yaml.safe_load(value)


def print_jobs(chosen: argparse.Namespace) -> None:
    """Print the jobs of a profile, after bringing what says that they are done up to date."""
    print(json.dumps(jobs(chosen.profile or DEFAULT)))


def jobs(profile: str, root: Path = ROOT) -> list[dict[str, Any]]:
    """Return one job a notebook and one for the book: stage, key, words, about, experiments."""
    known = notebooks.notebooks(root)
    for notebook in known:
        plan = execution.plan(notebook, _wanted(profile))
        artefact = _artefact("notebook", notebook.name, profile)
        if plan.current():
            _publish(artefact, plan.digest)
        else:
            _forget(artefact)
    _forget(_artefact("book", "html", profile))  # build() knows what changed
    listed = [("notebook", notebook.name, notebook.experiments) for notebook in known]
    return [
        {
            "stage": stage,
            "key": _artefact(stage, name, profile).key,
            "words": ("step", stage, name, "--profile", profile),
            "about": "the book" if stage == "book" else name,
            "experiments": experiments,
        }
        for stage, name, experiments in [*listed, ("book", "html", ())]
    ]


def _artefact(stage: str, name: str, profile: str) -> Artefact:
    """Return what says that a notebook has run, or that the book is built."""
    return Artefact(stage=stage, about=(name, profile), code=())


def _forget(artefact: Artefact) -> None:
    (artefact.folder / "manifest.json").unlink(missing_ok=True)


def _publish(artefact: Artefact, digest: str, make: Callable[[], object] | None = None) -> None:
    """Say that something is done, after doing what may be left of it."""
    with held(artefact, {"digest": digest}) as work:
        if make:
            make()
        if work.record is None:
            publish(work, {})


def step(chosen: argparse.Namespace) -> None:
    """Run one notebook, or build the book from what was run."""
    profile = chosen.profile or DEFAULT
    if chosen.stage == "notebook":
        run_notebook(chosen.name, profile)
    else:
        built = build.build(_wanted(profile))
        digest = sha256(built.index.read_bytes()).hexdigest()
        _publish(_artefact("book", "html", profile), digest)


def run_notebook(name: str, profile: str, root: Path = ROOT) -> None:
    """Run a notebook of a checkout unless its copy is current, and say so."""
    known = {notebook.name: notebook for notebook in notebooks.notebooks(root)}
    if name not in known:
        raise ValueError(f"no notebook {name!r}; known: {', '.join(known)}")
    plan = execution.plan(known[name], _wanted(profile))
    run = execution.execute([known[name]], profile=plan.profile)
    _publish(_artefact("notebook", name, profile), plan.digest, lambda: list(run))


def _wanted(profile: str) -> str | None:
    """Return the profile of a notebook: the largest that has a result, unless all is small."""
    return DEFAULT if profile == DEFAULT else None


if __name__ == "__main__":
    sys.exit(main())
