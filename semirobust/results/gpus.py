"""The GPUs of this machine, shared out among processes by locks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from platform import node
from time import sleep

from filelock import FileLock, Timeout


@contextmanager
def gpu_slot() -> Iterator[str | None]:
    """Take one GPU of this machine for the block and name it in $CUDA_VISIBLE_DEVICES.

    $SEMIROBUST_GPUS says how many may be used at a time; without it nothing is taken. Only in a
    process that has not touched CUDA yet.
    """
    count = int(os.environ.get("SEMIROBUST_GPUS") or 0)
    if not count:
        yield None
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    lock, device = _first_free(visible.split(",")[:count])
    os.environ["CUDA_VISIBLE_DEVICES"] = device
    try:
        yield device
    finally:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
        lock.release()


def _first_free(devices: list[str]) -> tuple[FileLock, str]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "semirobust" / "gpus" / node()  # private to the user, and of this machine
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        for device in devices:
            lock = FileLock(folder / f"{device}.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            return lock, device
        sleep(0.2)
