"""The commands of the grid: ``semirobust repro | plan | status | step``."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from semirobust.workflow import engine, pages
from semirobust.workflow.engine import Job

PAGES = "book"


def add(command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands; ``command`` takes a name, what it does and a text."""
    _add_repro(command)
    _add_plan(command)
    _add_status(command)
    _add_step(command)


def _add_only(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only", metavar="WORD", nargs="*", default=[], help="rows whose title has all the words"
    )


def _add_names(parser: argparse.ArgumentParser) -> None:
    _add_only(parser)
    parser.add_argument(
        "names", nargs="*", help="experiments, and `book` for notebooks and pages; default all"
    )
    parser.add_argument(
        "--profile", default="smoke", metavar="P", help="smoke, cpu, gpu, paper; default smoke"
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data-root", metavar="DIR", help="folder of the data sets")


def _add_repro(command: Callable[..., argparse.ArgumentParser]) -> None:
    text = (
        "Run experiments by Snakemake, on one machine or a Slurm cluster.\n\n"
        "Whatever is done, here or by `semirobust run`, is used; stop it whenever you like.\n\n"
        "  semirobust repro table-1                          digits, all cores\n"
        "  semirobust repro table-1 --profile cpu --dry-run  what it would do\n"
        "  semirobust repro --profile gpu --on node --gpus 4 four GPUs of this machine\n"
        "  semirobust repro --profile paper --on slurm --gpus 16\n"
        "  semirobust repro --on slurm --gpus 16 --snakemake --default-resources slurm_partition=a"
    )
    parser = command("repro", repro, text)
    _add_names(parser)
    parser.add_argument("--on", choices=engine.MACHINES, default="laptop", help="default laptop")
    parser.add_argument(
        "--gpus", type=int, metavar="N", help="GPUs at a time; default: those that are here"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would run")
    parser.add_argument("--download", action="store_true", help="fetch missing data first")
    _add_data(parser)
    parser.add_argument(
        "--snakemake",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="WORDS",
        help="everything after it goes to Snakemake",
    )


def _add_plan(command: Callable[..., argparse.ArgumentParser]) -> None:
    text = (
        "Print the commands that are still to run, in an order that works.\n\n"
        "Each works on its own, on any machine that shares artifacts/ and results/.\n\n"
        "  semirobust plan table-1 --profile cpu > todo.sh && bash -e todo.sh"
    )
    _add_names(command("plan", plan, text))


def _add_status(command: Callable[..., argparse.ArgumentParser]) -> None:
    text = "What is done, running, failed (and why) or missing, and what it will cost."
    parser = command("status", status, text)
    parser.add_argument("names", nargs="*", help="experiments; default all")
    parser.add_argument("--profile", metavar="P", help="default: smoke and cpu")


def _add_step(command: Callable[..., argparse.ArgumentParser]) -> None:
    parser = command("step", step, "Make one artefact of the grid; `semirobust plan` lists them.")
    parser.add_argument("stage", help="such as standard, tuned, evaluation, record")
    parser.add_argument("name", help="the experiment, or the notebook")
    parser.add_argument("--profile", default="smoke", metavar="P", help="default smoke")
    parser.add_argument("--row", metavar="KEY", help="the row, by its key")
    parser.add_argument("--network", metavar="NAME", help="standard, robust, spliced, tuned")
    parser.add_argument("--n-b", type=int, metavar="N", help="trainable layers of f_b")
    parser.add_argument("--front", metavar="NAME", help="whose f_a is frozen")
    parser.add_argument("--trial", type=int, metavar="N", help="which trial, from 0")
    _add_only(parser)
    parser.add_argument("--download", action="store_true", help="fetch missing data")
    _add_data(parser)


def jobs_of(
    names: Sequence[str], profile: str, only: Sequence[str] = (), *, download: bool = False
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
        jobs = jobs_of_experiment(name, profile, only, download=download)
        found |= {job.name: job for job in jobs}
        records[name] = [job.name for job in jobs if job.stage == "record"]
    if PAGES in names or not names:
        found |= {job.name: job for job in pages.jobs(profile, records)}
    needed = {name for job in found.values() for name in job.inputs}
    return engine.ordered(found.values()), [job for job in found.values() if job.name not in needed]


def repro(chosen: argparse.Namespace) -> None:
    """Run the grid by Snakemake; its messages are shown as they come."""
    if chosen.data_root:
        os.environ["SEMIROBUST_DATA"] = str(Path(chosen.data_root).expanduser().resolve())
    gpus = engine.visible_gpus() if chosen.gpus is None else chosen.gpus
    jobs, last = jobs_of(chosen.names, chosen.profile, chosen.only, download=chosen.download)
    document = engine.plan(jobs, last, gpus=gpus)
    more = chosen.snakemake
    if engine.launch(document, on=chosen.on, gpus=gpus, dry_run=chosen.dry_run, more=more):
        raise RuntimeError("not everything is done; semirobust status says what failed, and why")


def plan(chosen: argparse.Namespace) -> None:
    """Print the commands of the jobs that are not done."""
    jobs, _ = jobs_of(chosen.names, chosen.profile, chosen.only)
    found = engine.standings(jobs)
    due = [one for one in found if one.state != "done"]
    print(f"# {len(found) - len(due)} of {len(found)} jobs are done; to come: {_cost(found)}")
    for one in due:
        print(f"semirobust {' '.join(one.job.words)}  # {one.job.about}")


def _cost(found: list[engine.Standing]) -> str:
    seconds, unknown = engine.estimate(found)
    rest = f" and {unknown} jobs of unknown cost" if unknown else ""
    return f"about {seconds:.0f} CPU s{rest}"


def status(chosen: argparse.Namespace) -> None:
    """Print where the rows and jobs of experiments stand."""
    from semirobust.experiments import registry as experiments

    for name in chosen.names or experiments.EXPERIMENTS:
        known = experiments.experiment(name).profiles
        for profile in [chosen.profile] if chosen.profile else known[:2]:
            if profile in known or chosen.names:
                _show(name, profile)


def _show(name: str, profile: str) -> None:
    """Print one experiment in one profile: rows, then jobs that are neither done nor missing."""
    from semirobust.experiments import registry as experiments
    from semirobust.results import records as results

    rows, done = experiments.rows(name, profile), experiments.recorded(name, profile)
    costs = {record.key: record.provenance.get("cpu_seconds") for record in done}
    known = [cost for cost in costs.values() if cost]
    guess = f", rows so far took {sum(known) / len(known):.0f} CPU s each" if known else ""
    print(f"{name}, profile {profile}: {len(done)} of {len(rows)} rows recorded{guess}")
    for row in rows:
        key = results.key(row)
        state = f"recorded, {costs[key] or 0:.0f} CPU s" if key in costs else "missing"
        print(f"  {key}  {row.title:42} {state}")
    _show_jobs(jobs_of([name], profile)[0])


def _show_jobs(jobs: list[Job]) -> None:
    found = engine.standings(jobs)
    counts: dict[str, int] = {}
    for one in found:
        counts[one.state] = counts.get(one.state, 0) + 1
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    print(f"  jobs: {told}; to come: {_cost(found)}")
    for one in found:
        if one.state in ("running", "failed", "stopped"):
            reason = f": {one.reason}" if one.reason else ""
            print(f"  {one.state:8} {one.job.stage:10} {one.job.about}{reason}")


def step(chosen: argparse.Namespace) -> int:
    """Make one artefact; on a machine with a limit of GPUs, on the first that is free."""
    from semirobust.results.artefacts import gpu_slot

    if chosen.stage in pages.STAGES:
        words = ("step", chosen.stage, chosen.name, "--profile", chosen.profile)
        return pages.hand_over(words)
    if chosen.stage in engine.LOCAL:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # short, and beside jobs that have a GPU each
        _make(chosen)
        return 0
    with gpu_slot():
        _make(chosen)
    return 0


def _make(chosen: argparse.Namespace) -> None:
    import torch

    from semirobust.workflow import jobs

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if chosen.stage in ("table", "figure"):
        jobs.summarise(chosen.stage, chosen.name, chosen.profile, chosen.only)
        return
    place = jobs.Place(chosen.name, chosen.profile, chosen.row)
    named = {name: getattr(chosen, name) for name in ("network", "n_b", "front", "trial")}
    where = {name: value for name, value in named.items() if value is not None}
    jobs.step(chosen.stage, place, where, chosen.data_root, download=chosen.download)
