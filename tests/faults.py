"""Faults, tried on a tiny row of every experiment: ``python tests/faults.py [NAME ...]``.

A run is killed by -9 at random and started again until it ends; code or data change in between;
every kind of file is cut off, emptied, has a bit turned, or is swapped for another of its kind. A
fault is survived where the metrics are those of an undisturbed run, or one line names the file.
Writes ``results/benchmarks/faults.json``, which the book shows.
"""

import json
import os
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import ModuleType

import torch
from tiny import CASES

from semirobust import cli, data
from semirobust.experiments import registry
from semirobust.results import code as sources
from semirobust.results import records as results
from semirobust.training.files import load_network
from semirobust.workflow import engine, jobs

TOLD = (ValueError, OSError)  # what the command line makes one line of
DAMAGES = ("cut off", "emptied", "a bit turned", "swapped")
Outcome = dict[str, object]


def child(folder: Path, action: Callable[[], object]) -> tuple[int, Path]:
    """Start a process on a store of its own; its outcome is written to a file as it ends."""
    out = folder / "outcome.json"
    out.unlink(missing_ok=True)
    process = os.fork()
    if process:
        return process, out
    os.environ["SEMIROBUST_ARTIFACTS"] = str(folder / "artifacts")
    os.environ["SEMIROBUST_RESULTS"] = str(folder / "results")
    data.select.cache_clear()
    try:
        outcome: Outcome = {"value": action()}
    except TOLD as error:
        outcome = {"told": str(error)}
    except Exception as error:  # noqa: BLE001 - a fault that is not survived
        outcome = {"broken": f"{type(error).__name__}: {error}"}
    results.write_atomically(out, json.dumps(outcome).encode())
    os._exit(0)


def ended(folder: Path, action: Callable[[], object]) -> Outcome:
    process, out = child(folder, action)
    os.waitpid(process, 0)
    return json.loads(out.read_bytes()) if out.exists() else {"broken": "died"}


def run(name: str) -> Callable[[], object]:
    """Return what runs and records the row, and gives its metrics and the epochs it counted."""

    def action() -> object:
        one, row = CASES[name]
        module = ModuleType("tiny")
        module.run = one
        registry.EXPERIMENTS[name] = registry.Experiment("", lambda _: (row(),), module)
        path = registry.run_and_record(name, row(), "smoke", replace_old=True)
        document = results.read(path)
        return [document["metrics"], sum(document["provenance"]["epochs"].values())]

    return action


def staged() -> object:
    """Make the row of Table 1 job by job, as the engine does, and give its metrics."""
    _, row = CASES["table-1"]
    known = registry.EXPERIMENTS["table-1"]
    registry.EXPERIMENTS["table-1"] = known._replace(rows=lambda _: (row(),))
    for job in engine.ordered(jobs.jobs("table-1", "smoke")):
        is_due = job.stage not in engine.LOCAL or job.stage == "data"
        if is_due and cli.main(job.words):
            raise ValueError("a job failed")
    return results.load("table-1", results.key(row())).metrics


def changed(action: Callable[[], object], what: str) -> Callable[[], object]:
    """Return the action with other code of every trainer, or with another validation part."""

    def other() -> object:
        if what == "code":
            salt = sources.salt
            sources.salt = lambda entries: salt(entries) + "-edited"
        else:
            load = data.load
            data.load = lambda *words, **how: load(*words, **how, seed=1)
        return action()

    return other


def killed(folder: Path, action: Callable[[], object], seconds: float, draw: Random) -> bool:
    """Kill a run at random; say whether it had not ended yet."""
    process, out = child(folder, action)
    time.sleep(draw.uniform(0, seconds))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return not out.exists()


def damaged(path: Path, how: str, other: bytes) -> bytes | None:
    """Return a damaged file; None where this damage changes nothing."""
    whole = path.read_bytes()
    turned = bytearray(whole)
    if turned:
        turned[len(turned) // 2] ^= 4
    made = {
        "cut off": whole[: len(whole) // 2],
        "emptied": b"",
        "a bit turned": bytes(turned),
        "swapped": other,
    }[how]
    return None if made == whole else made


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield every kind of file that a run leaves, with its name."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in (".lock", "outcome.json"):
            kind = path.name if path.name.split(".")[0] in ("record", "manifest") else path.suffix
            yield {".json": "result"}.get(kind, kind.lstrip(".")), path


class Tally:
    """How many faults of each kind were tried, and how each ended."""

    def __init__(self) -> None:
        self.found: dict[str, Counter[str]] = defaultdict(Counter)
        self.lost: list[str] = []

    def add(self, kind: str, outcome: Outcome, expected: object, name: str, path: str = "") -> None:
        if outcome.get("value") == expected:
            ended_as = "same numbers"
        elif (
            "told" in outcome and "\n" not in str(outcome["told"]) and path in str(outcome["told"])
        ):
            ended_as = "named"
        else:
            ended_as = "not survived"
            self.lost.append(f"{kind}, {name} {path}: {str(outcome)[:300]}")
        self.found[kind][ended_as] += 1


def try_kills(tally: Tally, name: str, action: Callable[[], object], kills: int) -> None:
    draw = Random(name)
    kind = "job by job" if name == "staging" else "in an experiment"
    with TemporaryDirectory() as place:
        folder = Path(place)
        start = time.monotonic()
        expected = ended(folder / "whole", action)["value"]
        seconds = time.monotonic() - start
        for _ in range(kills):
            while not killed(folder / "broken", action, seconds, draw):
                (folder / "broken" / "outcome.json").unlink()
        outcome = ended(folder / "broken", action)
        for _ in range(kills):  # all of them stand or fall with what comes out at the end
            tally.add(f"kill -9 at random, {kind}", outcome, expected, name)


def try_changes(tally: Tally, name: str, action: Callable[[], object]) -> None:
    for what in ("code", "data"):
        other = changed(action, what)
        with TemporaryDirectory() as place:
            folder = Path(place)
            expected = ended(folder / "whole", other)["value"]
            killed(folder / "broken", action, 1.0, Random(name))
            outcome = ended(folder / "broken", other)
            tally.add(f"other {what} between kill and start", outcome, expected, name)


def try_damages(tally: Tally, name: str, action: Callable[[], object], most: int) -> None:
    """Damage every kind of file that a run leaves, some of each, and run again."""
    draw = Random(name)
    with TemporaryDirectory() as place:
        folder = Path(place)
        expected = ended(folder, action)["value"]
        every: dict[str, list[Path]] = defaultdict(list)
        for kind, path in files(folder):
            every[kind].append(path)
        for kind, paths in every.items():
            for path in draw.sample(paths, min(most, len(paths))):
                others = [one for one in paths if one.name == path.name and one != path]
                whole, other = (
                    path.read_bytes(),
                    draw.choice(others).read_bytes() if others else b"",
                )
                for how in DAMAGES:
                    changed_to = damaged(path, how, other)
                    if changed_to is None:
                        continue
                    path.write_bytes(changed_to)
                    again = read_again(kind, path, action, folder)
                    told_of = str(path.parent if kind in ("record.json", "manifest.json") else path)
                    tally.add(f"a damaged file: {kind}", again, expected, f"{name} {how}", told_of)
                    path.write_bytes(whole)


def read_again(kind: str, path: Path, action: Callable[[], object], folder: Path) -> Outcome:
    """Return the outcome of whoever reads a file: its reader, or the run itself."""
    if kind == "result":
        return ended(folder, lambda: results.read(path)["metrics"] and None)
    if kind == "safetensors" and "networks" in path.parts:
        return ended(folder, lambda: load_network(path) and None)
    results_of_run = folder / "results"
    kept = {one: one.read_bytes() for one in results_of_run.rglob("*.json")}
    for one in kept:
        one.unlink()
    outcome = ended(folder, action)
    for one, content in kept.items():
        one.write_bytes(content)
    return outcome


def try_all(kills: int, most: int, names: tuple[str, ...] = tuple(CASES)) -> Tally:
    """Try every fault, so many kills a run and so many files of a kind."""
    torch.set_num_threads(1)
    tally = Tally()
    for name in names:
        action = run(name)
        try_kills(tally, name, action, kills)
        try_changes(tally, name, action)
        try_damages(tally, name, action, most)
    try_kills(tally, "staging", staged, kills)
    return tally


def main(names: list[str]) -> int:
    """Try the faults, write how they ended, and return how many were not survived."""
    tried = tuple(names or CASES)
    tally = try_all(kills=6, most=2, names=tried)
    for line in tally.lost:
        sys.stderr.write(line + "\n")
    rows = [
        {"fault": kind, "tried": sum(ends.values()), "ends": dict(ends)}
        for kind, ends in tally.found.items()
    ]
    document = {"faults": rows, "experiments": tried, "provenance": results.provenance()}
    path = results.results_root() / "benchmarks" / "faults.json"
    results.write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())
    return len(tally.lost)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
