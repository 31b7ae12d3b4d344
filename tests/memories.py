"""What the digest of code remembers of the files of the package, to be forgotten after an edit."""

from semirobust.results import code


def forget() -> None:
    for memory in (code.parsed, code._ends_of, code._tree, code._digest):
        memory.cache_clear()
