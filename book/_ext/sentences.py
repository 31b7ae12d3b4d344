"""Sentences that rest on claims: ``<!-- rests on: NAME: verdict; NAME: verdict -->`` behind them.

The page shows the verdicts as links to the ledger. A test compares them with the computed ones, so
that no sentence outlives what its interval decides.
"""

import re
from collections.abc import Iterator

MARK = re.compile(r"[ \n]?<!-- rests on: ([^>]*?) -->")
WITHOUT = re.compile(r"[ \n]?<!-- no claim -->")  # words of a finding in a sentence that has none


def rests_on(text: str) -> Iterator[tuple[str, str]]:
    """Yield the claims that a text names and the verdicts that it states.

    Example:
        >>> list(rests_on("It helps. <!-- rests on: theorem-2: needs a condition; a: holds -->"))
        [('theorem-2', 'needs a condition'), ('a', 'holds')]
    """
    for mark in MARK.finditer(text):
        for pair in re.split(r";\s+", mark[1]):
            name, colon, verdict = pair.partition(": ")
            if not colon:
                raise ValueError(f"a sentence rests on `NAME: verdict`, got {pair!r}")
            yield name, verdict


def linked(text: str, ledger: str) -> str:
    """Return text whose marks are links to a ledger at this address.

    Example:
        >>> linked("It helps. <!-- rests on: a: holds -->", "ledger.html")
        'It helps. <span class="verdict">[<a href="ledger.html#claim-a" title="a">holds</a>]</span>'
    """

    def link(mark: re.Match[str]) -> str:
        pairs = rests_on(mark[0])
        links = [
            f'<a href="{ledger}#claim-{name}" title="{name}">{verdict}</a>'
            for name, verdict in pairs
        ]
        return f' <span class="verdict">[{", ".join(links)}]</span>'

    return MARK.sub(link, WITHOUT.sub("", text))
