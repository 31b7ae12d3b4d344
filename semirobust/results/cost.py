"""What work takes: wall seconds, process seconds, memory."""

import resource
import sys
from dataclasses import dataclass, field
from time import perf_counter, process_time


@dataclass(frozen=True)
class Clock:
    """Wall and process time since it was made."""

    wall: float = field(default_factory=perf_counter)
    cpu: float = field(default_factory=process_time)

    def spent(self) -> dict[str, float]:
        seconds, cpu = perf_counter() - self.wall, process_time() - self.cpu
        return {"seconds": round(seconds, 3), "cpu_seconds": round(cpu, 3)}


def peak_memory_mb() -> float:
    """Return the most memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1)
