"""A bar on what takes long: on a terminal or in a notebook, and only where it is not soon over.

Nothing is shown where output is kept (logs, tests, executed notebooks, the workers of a pool): the
stream is no terminal there, or ``$TQDM_DISABLE`` is set. A bar changes no number, so the digest of
code (``results/code.py``) reads ``watched(steps, ...)`` as ``steps``.
"""

import os
from collections.abc import Iterable
from importlib import import_module
from typing import Any

QUIET = "TQDM_DISABLE"  # tqdm's own variable
SOON = 2.0  # seconds


def bar(steps: Iterable[Any] | None, what: str, **how: Any) -> Any:
    """Return a bar of tqdm over steps, or to be moved by hand; ``how`` is for tqdm."""
    from tqdm.notebook import tqdm_notebook

    quiet = bool(os.environ.get(QUIET))
    tqdm = import_module("tqdm.std" if quiet else "tqdm.auto").tqdm
    unless_terminal = None if not issubclass(tqdm, tqdm_notebook) else False
    return tqdm(steps, desc=what, disable=quiet or unless_terminal, **how)


def watched(steps: Iterable[Any], what: str) -> Any:
    """Return the steps, with a bar where they take longer than two seconds, gone at their end."""
    return bar(steps, what, delay=SOON, leave=False)
