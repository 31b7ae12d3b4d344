"""The commands of the grid: ``semirobust repro | plan | status | step``."""

import argparse
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from semirobust.results.records import artifacts_root, write_atomically
from semirobust.workflow import engine, pages, pool
from semirobust.workflow.engine import Job

PAGES = "book"
SUMMARIES = ("table", "figure")


OPTIONS: dict[str, dict[str, Any]] = {  # of several commands
    "--profile": {
        "metavar": "P",
        "default": "smoke",
        "help": "smoke (digits, a minute), cpu (CIFAR-10, narrow), gpu, paper; default %(default)s",
    },
    "--only": {
        "metavar": "WORD",
        "nargs": "*",
        "default": [],
        "help": "rows whose title has all the words",
    },
    "--data-root": {
        "metavar": "DIR",
        "help": "folder of the data sets; default: $SEMIROBUST_DATA",
    },
    "--download": {"action": "store_true", "help": "let torchvision fetch what is missing there"},
}


def add(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add some of ``OPTIONS`` to a command."""
    for name in names:
        parser.add_argument(name, **OPTIONS[name])


def number(lowest: int) -> Callable[[str], int]:
    """Return what reads a whole number, ``lowest`` or more, from the words of an option."""

    def read(word: str) -> int:
        if not word.isdecimal() or int(word) < lowest:
            raise argparse.ArgumentTypeError(f"takes {lowest} or a larger whole number, not {word}")
        return int(word)

    return read


def use_data(chosen: argparse.Namespace) -> None:
    """Say by environment where data lie and whether to fetch them: started processes inherit it."""
    if getattr(chosen, "data_root", None):
        os.environ["SEMIROBUST_DATA"] = str(Path(chosen.data_root).expanduser().resolve())
    if getattr(chosen, "download", False):
        os.environ["SEMIROBUST_DOWNLOAD"] = "1"


def add_all(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands; ``command`` takes the function that does one, whose text is its help."""
    of_repro, of_plan, of_status, of_step = map(command, (repro, plan, status, step))
    for parser in (of_repro, of_plan):
        parser.add_argument(
            "names", nargs="*", help="experiments, and `book` for notebooks and pages; default all"
        )
    of_status.add_argument("names", nargs="*", help="experiments; default all")
    of_status.add_argument("--profile", metavar="P", help="default: smoke and cpu")
    of_step.add_argument("stage", help="such as standard, tuned, evaluation, record")
    of_step.add_argument("name", help="the experiment, or the notebook")
    of_step.add_argument("--row", metavar="KEY", help="the row, by its key")
    of_step.add_argument("--network", metavar="NAME", help="standard, robust, spliced, tuned")
    of_step.add_argument("--n-b", type=number(1), metavar="N", help="trainable layers of f_b")
    of_step.add_argument("--front", metavar="NAME", help="whose f_a is frozen")
    of_step.add_argument("--trial", type=number(0), metavar="N", help="which trial, from 0")
    for parser in (of_repro, of_plan, of_step):
        add(parser, "--profile", "--only")
    for parser in (of_repro, of_step):
        add(parser, "--data-root", "--download")
    of_repro.add_argument("--on", choices=engine.MACHINES, default="laptop", help="default laptop")
    gpus = "GPUs at a time; default: those that are here"
    of_repro.add_argument("--gpus", type=number(0), metavar="N", help=gpus)
    of_repro.add_argument("--dry-run", action="store_true", help="say what would run")
    rest, words = argparse.REMAINDER, "everything after it goes to Snakemake"
    of_repro.add_argument("--snakemake", nargs=rest, default=[], metavar="WORDS", help=words)


def jobs_of(
    names: Sequence[str], profile: str, only: Sequence[str] = ()
) -> tuple[list[Job], list[Job]]:
    """Return the jobs of experiments and pages, inputs first, and those that nobody needs."""
    from semirobust.experiments import registry as experiments
    from semirobust.workflow.jobs import jobs as jobs_of_experiment

    chosen = [name for name in names if name != PAGES]
    if not chosen:
        known = experiments.EXPERIMENTS.items()
        chosen = [name for name, one in known if profile in one.profiles]
    found: dict[str, Job] = {}
    records: dict[str, list[str]] = {}
    for name in chosen:
        jobs = jobs_of_experiment(name, profile, only)
        found |= {job.name: job for job in jobs}
        records[name] = [job.name for job in jobs if job.stage == "record"]
    if PAGES in names or not names:
        found |= {job.name: job for job in pages.jobs(profile, records)}
    needed = {name for job in found.values() for name in job.inputs}
    return engine.ordered(found.values()), [job for job in found.values() if job.name not in needed]


def repro(chosen: argparse.Namespace) -> None:
    """Run experiments by Snakemake, on one machine or a Slurm cluster.

    Whatever is done, here or by `semirobust run`, is used; stop it whenever you like.

      semirobust repro table-1                          digits, all cores
      semirobust repro table-1 --profile cpu --dry-run  what it would do
      semirobust repro --profile gpu --on node --gpus 4 four GPUs of this machine
      semirobust repro --profile paper --on slurm --gpus 16
      semirobust repro --on slurm --gpus 16 --snakemake --default-resources slurm_partition=a
    """
    gpus = len(engine.devices()) if chosen.gpus is None else chosen.gpus
    jobs, last = jobs_of(chosen.names, chosen.profile, chosen.only)
    engine.check(engine.standings(jobs))
    document = engine.plan(jobs, last, gpus=gpus)
    more = chosen.snakemake
    if engine.launch(document, on=chosen.on, gpus=gpus, dry_run=chosen.dry_run, more=more):
        raise RuntimeError("not everything is done; semirobust status says what failed, and why")


def in_pool(chosen: argparse.Namespace, made: pool.Make) -> int:
    """Make the rows of experiments by several processes; ``made`` makes one job in each."""
    if chosen.replace:
        raise ValueError("--replace runs in one process: leave --jobs out")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a time limit is a Ctrl-C
    jobs, _ = jobs_of(chosen.names, chosen.profile, chosen.only)
    jobs = [job for job in jobs if job.stage not in SUMMARIES]
    due = sum(not job.manifest.exists() for job in jobs)
    print(f"{len(jobs) - due} of {len(jobs)} jobs are done", flush=True)
    failed, begun, work = 0, perf_counter(), 0.0
    try:
        ended = pool.run(jobs, made, processes=chosen.jobs, devices=engine.devices())
        for number, (job, seconds, reason) in enumerate(ended, start=1):
            failed, work = failed + bool(reason), work + seconds
            words = f"NOT DONE: {reason}" if reason else f"{seconds:.1f} s"
            print(f"{number:4} of {due}  {job.stage:10} {job.about}, {words}", flush=True)
    finally:
        if work:
            _shared(chosen.jobs, work, perf_counter() - begun)
    if failed:
        raise RuntimeError(f"{failed} of {due} jobs are not done; all others are stored")
    return 0


def _shared(processes: int, work: float, wall: float) -> None:
    """Say what sharing the machine was worth, and keep it: benchmarks/capacity.py counts by it."""
    print(f"{work:.0f} s of work in {wall:.0f} s by {processes} processes")
    found = {"processes": processes, "work_seconds": work, "wall_seconds": wall}
    write_atomically(artifacts_root() / "sharing.json", (json.dumps(found) + "\n").encode())


def plan(chosen: argparse.Namespace) -> None:
    """Print the commands that are still to run, in an order that works.

    Each works on its own, on any machine that shares artifacts/ and results/.

      semirobust plan table-1 --profile cpu > todo.sh && bash -e todo.sh
    """
    jobs, _ = jobs_of(chosen.names, chosen.profile, chosen.only)
    found = engine.standings(jobs)
    engine.check(found)
    due = [one for one in found if one.state != "done"]
    print(f"# {len(found) - len(due)} of {len(found)} jobs are done; to come: {_cost(found)}")
    for one in due:
        print(f"semirobust {' '.join(one.job.words)}  # {one.job.about}")


def _cost(found: list[engine.Standing]) -> str:
    seconds, unknown = engine.estimate(found)
    rest = f" and {unknown} jobs of unknown cost" if unknown else ""
    return f"about {seconds:.0f} CPU s{rest}"


def status(chosen: argparse.Namespace) -> None:
    """Print what is done, running, failed (and why) or missing, and what it will cost."""
    from semirobust.experiments import registry as experiments

    for name in chosen.names or experiments.EXPERIMENTS:
        known = experiments.experiment(name).profiles
        for profile in [chosen.profile] if chosen.profile else known[:2]:
            if profile in known or chosen.names:
                _show(name, profile)


def _show(name: str, profile: str) -> None:
    from semirobust.experiments import costs as counted
    from semirobust.experiments import registry as experiments
    from semirobust.results import records as results

    rows, done = experiments.rows(name, profile), experiments.recorded(name, profile)
    device, rates = counted.rates(profile)
    due = {row.title: row.seconds for row in counted.missing(name, profile, rates)}
    costs = {record.key: record.provenance.get("cpu_seconds") for record in done}
    print(f"{name}, profile {profile}: {len(done)} of {len(rows)} rows recorded")
    for row in rows:
        key = results.key(row)
        state = f"recorded, {costs[key] or 0:.0f} CPU s" if key in costs else "missing"
        seconds = due.get(row.title)
        words = f", about {seconds / 60:.1f} min" if seconds is not None else ""
        print(f"  {key}  {row.title:42} {state}{words}")
    if sums := [seconds for seconds in due.values() if seconds is not None]:
        words = f"{len(sums)} of {len(due)} missing rows: about {sum(sums) / 60:.0f} min"
        alone = ", trainings alone" * counted.of_trainings_alone(rates)
        print(f"  {words} of processes on {device}{alone}; several share a GPU (run --jobs)")
    found = engine.standings(jobs_of([name], profile)[0])
    states = Counter(one.state for one in found)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    print(f"  jobs: {counts}; to come: {_cost(found)}")
    for one in found:
        if one.state in ("running", "damaged", "failed", "stopped"):
            reason = f": {one.reason}" if one.reason else ""
            print(f"  {one.state:8} {one.job.stage:10} {one.job.about}{reason}")


def step(chosen: argparse.Namespace) -> int:
    """Make one artefact of the grid; `semirobust plan` lists them."""
    from semirobust.results.gpus import gpu_slot

    if chosen.stage in pages.STAGES:
        words = ("step", chosen.stage, chosen.name, "--profile", chosen.profile)
        return pages.hand_over(words)
    if chosen.stage in engine.LOCAL:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # short, and beside jobs that have a GPU each
        return make(chosen)
    with gpu_slot():  # on a machine with a limit of GPUs, the first that is free
        return make(chosen)


def make(chosen: argparse.Namespace) -> int:
    """Make one artefact here and now, and leave the memory of the GPU to others."""
    import torch

    from semirobust.workflow import jobs

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if chosen.stage in SUMMARIES:
        jobs.summarise(chosen.stage, chosen.name, chosen.profile, chosen.only)
        return 0
    place = jobs.Place(chosen.name, chosen.profile, chosen.row)
    named = {name: getattr(chosen, name) for name in ("network", "n_b", "front", "trial")}
    where = {name: value for name, value in named.items() if value is not None}
    try:
        jobs.step(chosen.stage, place, where)
    finally:
        torch.cuda.empty_cache()
    return 0
