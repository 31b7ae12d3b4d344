"""What a block of work took: wall seconds, process seconds, memory."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter, process_time


@dataclass
class Spent:
    """What a block of work took; filled when the block of ``measured`` ends."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0


@contextmanager
def measured() -> Iterator[Spent]:
    """Measure wall seconds, process seconds and the peak memory of the process."""
    cost, wall, cpu = Spent(), perf_counter(), process_time()
    yield cost
    cost.seconds = round(perf_counter() - wall, 3)
    cost.cpu_seconds = round(process_time() - cpu, 3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cost.peak_memory_mb = round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)
