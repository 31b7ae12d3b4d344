"""Jobs in a pool of processes that live on: whatever has its inputs is made, first rows first.

For one machine without an engine. Several processes share one GPU, which one alone leaves idle, or
the cores of a laptop; torch is imported once a process and not once a job. A job that fails stops
only what waits for it. What is made is stored when it is made, so stopping loses the running epochs
alone, and the same command goes on.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import perf_counter
from traceback import print_exc
from typing import NamedTuple, TypeAlias

from semirobust.progress import QUIET
from semirobust.workflow.engine import Job

Make: TypeAlias = Callable[[tuple[str, ...]], object]  # makes what a job's words say, or raises
MEMORY = "OutOfMemoryError"  # torch's; here is no torch


@dataclass(frozen=True, eq=False)
class Worker:
    """A process that makes one job after the other, and the channel that it is told them by."""

    process: BaseProcess
    channel: Connection
    device: str  # for $CUDA_VISIBLE_DEVICES; empty leaves it as it is


class Ended(NamedTuple):
    """A job that ended; ``reason`` is empty where it is done."""

    job: Job
    seconds: float
    reason: str


def run(
    jobs: Iterable[Job], make: Make, *, processes: int, devices: Sequence[str] = ()
) -> Iterator[Ended]:
    """Make the jobs that are not done and yield each that ended, at last those that had to wait.

    ``devices`` are given to the processes in turn. A job that does not fit into the memory of a GPU
    beside others is made again, with one process fewer.
    """
    if processes < 1:
        raise ValueError(f"need one process or more, got {processes}")
    places = [devices[n % len(devices)] if devices else "" for n in range(processes)]
    state = Run(make, places, {job.name: job for job in jobs if not job.manifest.exists()})
    try:
        while state.busy or state.ready():
            state.offer()
            yield from state.answers()
    finally:
        for worker in [*state.idle, *state.busy]:
            state.stop(worker)
    for job in state.due.values():
        missing = next(name for name in job.inputs if name in state.due or name in state.failed)
        yield Ended(job, 0.0, f"waits for {missing}")


@dataclass
class Run:
    """The state of a run: what is due, and who works on what since when."""

    make: Make
    places: list[str]  # devices of the processes that may still be started
    due: dict[str, Job]
    failed: set[str] = field(default_factory=set)
    idle: list[Worker] = field(default_factory=list)
    busy: dict[Worker, tuple[Job, float]] = field(default_factory=dict)

    def ready(self) -> list[Job]:
        """Return the jobs that have their inputs and that nobody works on, in their order."""
        running, missing = [job for job, _ in self.busy.values()], self.due.keys() | self.failed
        return [
            job
            for job in self.due.values()
            if job not in running and missing.isdisjoint(job.inputs)
        ]

    def offer(self) -> None:
        """Give each process that has nothing to do a job."""
        for job in self.ready()[: len(self.idle) + len(self.places)]:
            worker = self.idle.pop() if self.idle else _started(self.make, self.places.pop(0))
            worker.channel.send(job.words)
            self.busy[worker] = job, perf_counter()

    def answers(self) -> Iterator[Ended]:
        """Wait for an answer and yield the jobs that ended."""
        channels = wait([worker.channel for worker in self.busy])
        for worker in [worker for worker in self.busy if worker.channel in channels]:
            job, begun = self.busy.pop(worker)
            reason = _answer(worker)
            if not reason:
                self.idle.append(worker)
            else:  # who knows what the job left behind in that process
                self.stop(worker)
            if reason.startswith(MEMORY) and self.busy:
                continue  # the process is not replaced, and the job still due
            if reason:
                self.places.append(worker.device)
                self.failed.add(job.name)
            del self.due[job.name]
            yield Ended(job, perf_counter() - begun, reason)

    def stop(self, worker: Worker) -> None:
        worker.channel.close()
        worker.process.terminate()
        worker.process.join()


def _started(make: Make, device: str) -> Worker:
    context = get_context("spawn")  # a process that has touched a GPU cannot be copied
    channel, other = context.Pipe()
    process = context.Process(target=_work, args=(other, make, device), daemon=True)
    process.start()
    other.close()
    return Worker(process, channel, device)


def _work(channel: Connection, make: Make, device: str) -> None:
    """Make what is asked for until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells the whole group; ends us: run
    os.environ[QUIET] = "1"  # the lines of several processes would mix
    if device:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    with suppress(EOFError, BrokenPipeError):
        while True:
            channel.send(_attempt(make, channel.recv()))


def _attempt(make: Make, words: tuple[str, ...]) -> str:
    """Make one job and return the reason why it failed, if it did."""
    try:
        make(words)
    except Exception as error:  # noqa: BLE001  whatever it is, the others go on
        print_exc()
        return f"{type(error).__name__}: {error}"
    return ""


def _answer(worker: Worker) -> str:
    try:
        return str(worker.channel.recv())
    except EOFError:
        worker.process.join()
        return f"its process ended with status {worker.process.exitcode}"
