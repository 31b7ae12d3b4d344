"""Tables, boxes and indices in Markdown."""

import re
from collections.abc import Iterable
from html import escape
from typing import Any

RULES = {"l": ":--", "r": "--:"}


def plain(value: Any) -> str:
    """Return what a record or a notebook says as text that is neither HTML nor Markdown.

    Example:
        >>> plain("<b>a|b</b>")
        '&lt;b&gt;a&#124;b&lt;/b&gt;'
    """
    text = escape(" ".join(str(value).split()))
    return text.translate({ord(sign): f"&#{ord(sign)};" for sign in "|`*_[]{}$\\"})


def typeset(words: str) -> str:
    """Return words with ``γ_j`` and ``f^(j)`` set as indices.

    Example:
        >>> typeset("γ_(n-1) of f^(j), Acc_sr")
        'γ<sub>n-1</sub> of f<sup>(j)</sup>, Acc<sub>sr</sub>'
    """
    low = re.sub(r"(?<=\w)_(?:\(([^)]*)\)|(\w+))", r"<sub>\1\2</sub>", words)
    return re.sub(r"\^(\([^)]*\))", r"<sup>\1</sup>", low)


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
