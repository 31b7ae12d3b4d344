"""The command line: ``semirobust doctor | run | evaluate | figure | book``, and the workflow's.

Only this module and ``workflow.commands`` print. Errors that a user can mend are one line, and the
exit status is 1. Notebooks and book are made by the checkout (``workflow.pages``).
"""

import argparse
import errno
import gc
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from inspect import getdoc
from pathlib import Path
from typing import Any, NoReturn

from semirobust import __version__
from semirobust.progress import bar
from semirobust.results import records as results
from semirobust.workflow import commands as grid_cli
from semirobust.workflow import pages
from semirobust.workflow.commands import add, number, use_data

EXPECTED = (ValueError, OSError, FloatingPointError, RuntimeError)
ELSEWHERE = "; name another place, such as by SEMIROBUST_RESULTS and SEMIROBUST_ARTIFACTS"
MENDS = {
    errno.ENOSPC: "; free some, and the same command goes on",
    errno.EROFS: ELSEWHERE,
    errno.EACCES: ELSEWHERE,
}


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    gc.set_threshold(50_000, 20, 20)  # at Python's 700 a fifth of the imports is collecting nothing
    parser, words = _parser(), list(sys.argv[1:] if words is None else words)
    try:
        if words[:1] == ["book"]:  # its options are the checkout's
            return pages.hand_over(words)
        chosen = parser.parse_args(words)
        status = 0
        if hasattr(chosen, "do"):
            use_data(chosen)
            status = int(chosen.do(chosen) or 0)
        else:
            print(parser.format_help(), end="")
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # who read it, such as head, has gone; nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except EXPECTED as error:
        mend = MENDS.get(getattr(error, "errno", None) or 0, "")
        print(f"semirobust: {error}{mend}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("semirobust: stopped; the same command goes on from here", file=sys.stderr)
        return 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; {self.prog} --help says more")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="semirobust",
        description="Read, run and test the paper on the robustness of subnetworks.",
        epilog="Start with: semirobust doctor; semirobust run table-1; semirobust book.",
    )
    parser.add_argument("--version", action="version", version=f"semirobust {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="")

    def command(do: Callable[[argparse.Namespace], int | None]) -> argparse.ArgumentParser:
        text, shape = getdoc(do) or "", argparse.RawDescriptionHelpFormatter
        added = commands.add_parser(
            do.__name__, help=text.splitlines()[0], description=text, formatter_class=shape
        )
        added.set_defaults(do=do)
        return added

    add(command(doctor), "--data-root", "--download")
    _add_run(command(run))
    _add_evaluate(command(evaluate))
    _add_figure(command(figure))
    commands.add_parser("book", help="Run the notebooks that changed and build the HTML book.")
    grid_cli.add_all(command)
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", help="experiments; `semirobust status` lists them")
    parser.add_argument("--all", action="store_true", help="all notebooks that changed instead")
    parser.add_argument("--jobs", type=number(1), default=1, help="processes at a time; default 1")
    parser.add_argument("--replace", action="store_true", help="run recorded rows again")
    add(parser, "--profile", "--only", "--data-root", "--download")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, help="a file written by save_network")
    parser.add_argument(
        "--surrogate", type=Path, metavar="FILE", help="a network whose points must do less harm"
    )
    parser.add_argument("--seed", type=number(0), default=0, help="of images and noise; default 0")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    parser.add_argument("--epsilon", type=float, default=8, help="in 255ths; default 8")
    parser.add_argument("--attack", default="autoattack", help="its name; default autoattack")
    parser.add_argument(
        "--probes", type=number(0), default=100, help="images of the further checks"
    )
    parser.add_argument(
        "--stand-in", action="store_true", help="search on a copy in half precision first"
    )
    parser.add_argument("--data", default="digits", help="data set; default digits")
    parser.add_argument("--images", type=number(1), default=200, help="test images; default 200")
    add(parser, "--data-root", "--download")


def _add_figure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the experiment")
    parser.add_argument("only", help="the network")
    parser.add_argument("file", type=Path, help="an .svg, whose data go beside it, or a .png")
    parser.add_argument("--data", help="data set; default cifar10, in profile smoke digits")
    add(parser, "--profile")
    parser.set_defaults(profile="cpu")


def doctor(_: argparse.Namespace) -> None:
    """Say what works here, and what to do about the rest: versions, device, data and disk."""
    import torch

    from semirobust import data

    origin = results.provenance()
    print(f"semirobust {__version__}, Python {origin['python']}, {origin['platform']}")
    for name, found in origin["versions"].items():
        print(f"  {name:14} {found or f'missing: pip install {name}'}")
    if torch.cuda.is_available():
        print(f"device         {torch.cuda.get_device_name()}: profile gpu")
    else:
        print("device         CPU: profiles smoke and cpu")
    cores = os.cpu_count() or 1
    print(f"threads        {torch.get_num_threads()} of {cores} cores; OMP_NUM_THREADS=1 and one")
    print("               process a core is fastest")
    root = data.data_root()
    print(f"data           {root}")
    for name in data.NAMES:
        print(f"  {name:14} {_found(name, root)}")
    folder = results.artifacts_root()
    disk = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(disk).free / 1e9
    advice = "" if free > 10 else ": little; set SEMIROBUST_ARTIFACTS to a larger disk"
    print(f"disk           {free:.0f} GB free for artifacts{advice}")


def _found(name: str, root: Path) -> str:
    from semirobust import data

    if name == "digits":
        return "comes with scikit-learn"
    folder = data.folder(root, name)
    return f"found, {folder.name}" if folder else "not there; --download fetches it on first use"


def run(chosen: argparse.Namespace) -> int:
    """Run an experiment; rows that are recorded are left out.

    Stop it whenever you like: the same command goes on with the epoch that was running.

      semirobust run table-1                       digits, a minute
      semirobust run table-1 --profile cpu --only vgg16 --data-root ~/data
      semirobust run table-1 sweep --profile gpu --jobs 12   twelve processes share the GPU
      semirobust run --all --profile smoke --jobs 2          every notebook, by papermill
    """
    if chosen.all == bool(chosen.names):
        raise ValueError("give the names of experiments, or --all for every notebook")
    if chosen.all:
        return pages.hand_over(["all", "--profile", chosen.profile, "--jobs", str(chosen.jobs)])
    if chosen.jobs > 1:
        return grid_cli.in_pool(chosen, make_job)
    for name in chosen.names:
        _run_rows(name, chosen)
    return 0


def make_job(words: tuple[str, ...]) -> None:
    """Make one job of a grid by its words, in a process that makes many."""
    grid_cli.make(_parser().parse_args(words))


def _run_rows(name: str, chosen: argparse.Namespace) -> None:
    import torch

    from semirobust.experiments import registry as experiments
    from semirobust.workflow.jobs import chosen_rows

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    for row in chosen_rows(name, chosen.profile, chosen.only):
        path = results.path_of(name, results.key(row))
        if path.exists() and not chosen.replace:
            results.read(path)
            print(f"{row.title}: recorded, {path}")
            continue
        with bar(None, row.title, unit=" epoch") as shown:
            path = experiments.run_and_record(
                name,
                row,
                chosen.profile,
                replace_old=chosen.replace,
                seen=partial(_show, shown),
            )
        print(f"{row.title}: {path}{_mixed(path)}")


def _mixed(path: Path) -> str:
    """Return what is to be said of a result whose artefacts were not all made alike."""
    names = ("torch", "device", "arithmetic")
    parts = results.read(path)["provenance"]["environments"]
    found = dict.fromkeys(" ".join(str(part[name]) for name in names) for part in parts)
    return f"; its artefacts were made by {' and '.join(found)}" if len(found) > 1 else ""


def _show(shown: Any, step: Any) -> None:
    shown.set_postfix_str(step.stage)
    shown.update()


def evaluate(chosen: argparse.Namespace) -> None:
    r"""Attack a network file, white-box, with the checks a sceptic asks for.

    semirobust evaluate artifacts/networks/KEY/robust.safetensors --epsilon 8
    semirobust evaluate artifacts/networks/KEY/tuned.safetensors \
          --surrogate artifacts/networks/KEY/standard.safetensors --json report.json
    """
    from semirobust import data
    from semirobust.evaluation import scrutiny
    from semirobust.training.files import load_network, name_in

    if chosen.json and chosen.json.exists():
        raise FileExistsError(f"{chosen.json} is there already: name another file")
    if chosen.epsilon not in range(256):
        raise ValueError(f"--epsilon is in 255ths: 8 for a radius of 8/255, got {chosen.epsilon:g}")
    for path in filter(Path.is_dir, filter(None, (chosen.checkpoint, chosen.surrogate))):
        raise IsADirectoryError(f"{path} is a folder: name a network file in it")
    device = data.device()
    network = load_network(chosen.checkpoint).to(device)
    surrogate = load_network(chosen.surrogate).to(device) if chosen.surrogate else None
    found = data.load(chosen.data)
    if chosen.images < found.classes:
        raise ValueError(f"--images holds each class: {found.classes} or more, not {chosen.images}")
    settings = scrutiny.Evaluation(
        attack=chosen.attack,
        epsilon=int(chosen.epsilon),
        n=chosen.images,
        seed=chosen.seed,
        probes=min(chosen.probes, chosen.images),
        dataset=chosen.data,
        architecture=name_in(chosen.checkpoint),
        stand_in=chosen.stand_in,
    )
    report = scrutiny.evaluate(network, found.test.to(device), settings, surrogate=surrogate)
    print(scrutiny.formatted(report))
    if chosen.json:
        record = {**report.as_record(), "provenance": results.provenance()}
        results.write_atomically(chosen.json, (json.dumps(record, indent=1) + "\n").encode())


def figure(chosen: argparse.Namespace) -> None:
    """Draw recorded accuracies under every threat model, beside the paper's, into a file.

    semirobust figure table-1 vgg16 book/assets/table-1-vgg16.svg
    """
    from semirobust.figures import protocols
    from semirobust.results.frames import frame
    from semirobust.results.published import published_numbers
    from semirobust.workflow import jobs

    if chosen.file.suffix not in (".svg", ".png"):
        raise ValueError(f"a figure is an .svg or a .png: name {chosen.file} so")
    jobs.check_drawn(chosen.name)
    data = chosen.data or ("digits" if chosen.profile == "smoke" else "cifar10")
    networks = frame(chosen.name, "networks", chosen.profile)
    chosen_runs = "model == @chosen.only and data == @data"
    found = networks if networks.empty else networks.query(chosen_runs)
    if found.empty:
        jobs.chosen_rows(chosen.name, chosen.profile, [chosen.only, data])
        words = f"run {chosen.name} --profile {chosen.profile} --only {chosen.only} {data}"
        raise ValueError(f"no run of {chosen.only} on {data} is recorded: semirobust {words}")
    printed = published_numbers("Table 1").query(chosen_runs)
    paper = dict(zip(printed["quantity"], printed["value"] / 100, strict=True))
    drawn = protocols.plot_protocols(found, paper=paper)
    words, keys = protocols.caption(found), found["key"].unique()
    protocols.save_svg(drawn, chosen.file, caption=words, keys=keys)
    print(chosen.file)


if __name__ == "__main__":
    sys.exit(main())
