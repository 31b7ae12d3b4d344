"""Tables and boxes in Markdown."""

from collections.abc import Iterable
from typing import Any

RULES = {"l": ":--", "r": "--:"}


def table(heads: Iterable[str], sides: str, rows: Iterable[Iterable[Any]]) -> str:
    """Return a table whose columns are set to the left or right, as ``sides`` says: "llr".

    Example:
        >>> print(table(["", "runs"], "lr", [["cpu", 3]]))
        |  | runs |
        | :-- | --: |
        | cpu | 3 |
    """
    lines = [heads, [RULES[side] for side in sides], *rows]
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in lines)


def div(classes: str, text: str) -> str:
    return f"```{{div}} {classes}\n{text}\n```\n\n"
