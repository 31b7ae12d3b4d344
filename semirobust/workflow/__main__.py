"""Snakemake under a lock: ``python -m semirobust.workflow LOCK ARGUMENTS...``.

The lock lives exactly as long as this process, however it ends; Snakemake's own is left unused
because a killed one has to be removed by hand.
"""

import sys
from pathlib import Path

from filelock import FileLock, Timeout


def main(lock: Path, words: list[str]) -> int:
    """Run Snakemake unless another one works in the same folder."""
    from snakemake.cli import main as snakemake

    try:
        with FileLock(lock, timeout=0):
            return int(snakemake(words) or 0)
    except Timeout:
        sys.stderr.write(
            f"semirobust: another `semirobust repro` works in {lock.parent}: wait for it, "
            "or see `semirobust status`\n"
        )
        return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
