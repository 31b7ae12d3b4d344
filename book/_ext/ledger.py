"""Pages made of the claims: the ledger, and what the front page tells of it."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from book._ext import claims
from book._ext.claims import STATUSES, Claim, Finding, Status
from book._ext.markdown import table
from semirobust.results.records import ROOT

HEADS: Mapping[Status, str] = {
    "differs": "What differs",
    "reproduced": "What was reproduced",
    "smoke only": "Seen on tiny networks only",
    "not attempted": "Not attempted",
}
PAPERS = {"first": "first version", "revision": "later revision"}

Entry: TypeAlias = tuple[Claim, list[Finding]]
Found: TypeAlias = dict[str, Entry]


def found(root: Path = ROOT) -> Found:
    """Return every claim with what its findings found, by name."""
    return {claim.name: (claim, claims.findings(claim, root)) for claim in claims.claims(root)}


def ledger(entries: Found) -> str:
    """Return the body of the ledger: a table for each status, negatives first."""
    parts: list[str] = []
    for status in STATUSES:
        rows = [_row(*entry) for entry in entries.values() if claims.status(entry[1]) == status]
        if rows:
            heads = ("claim", "quoted", "found", "how, and where")
            parts += [f"## {HEADS[status]}", _table("30 16 30 24", heads, rows)]
    return "\n\n".join(parts) + "\n"


def counts(entries: Found) -> str:
    """Return how many claims have each status, for each version of the paper."""
    every = [(PAPERS[claim.paper], claims.status(found)) for claim, found in entries.values()]
    tally = Counter([*every, *(("together", status) for _, status in every)])
    names = (*PAPERS.values(), "together")
    numbers = {name: [tally[name, status] for status in STATUSES] for name in names}
    rows = [[name, *row, sum(row)] for name, row in numbers.items()]
    return table(["", *STATUSES, "claims"], "lrrrrr", rows)


def answers(entries: Found, root: Path = ROOT) -> str:
    """Return the claims in short as a numbered list, each with the status of what it rests on."""
    lines = []
    for number, answer in enumerate(claims.entries("answer", root), start=1):
        lines.append(f"{number}. {typeset(answer['says'])}")
        for words, name in answer["by"].items():
            findings = entries[name][1]
            verdict = findings[0].verdict if findings else claims.status(findings)
            lines.append(f"   - {typeset(words)}: **{_link(name, verdict)}**")
    return "\n".join(lines)


def headlines(entries: Found, root: Path = ROOT) -> str:
    """Return the tables of the front page: the main claims, and what was found for each."""
    parts = []
    for headline in claims.entries("headline", root):
        rows = []
        for name in headline["claims"]:
            claim, findings = entries[name]
            measured = "<br>".join(_value(finding, brief=True) for finding in findings)
            how = f"<br>{typeset(claim.how)}" if headline.get("how") else ""
            rows.append((f"{typeset(claim.says)} *{_link(name, claim.place)}*", measured + how))
        heads = ("claim", headline["found"])
        parts += [f"**{headline['title']}**", _table("46 54", heads, rows)]
    return "\n\n".join(parts)


def typeset(words: str) -> str:
    """Return words with ``γ_j`` and ``f^(j)`` set as indices.

    Example:
        >>> typeset("γ_(n-1) of f^(j), Acc_sr")
        'γ<sub>n-1</sub> of f<sup>(j)</sup>, Acc<sub>sr</sub>'
    """
    low = re.sub(r"(?<=\w)_(?:\(([^)]*)\)|(\w+))", r"<sub>\1\2</sub>", words)
    return re.sub(r"\^(\([^)]*\))", r"<sup>\1</sup>", low)


def _table(widths: str, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = ["* - " + "\n  - ".join(row) for row in (heads, *rows)]
    options = f":header-rows: 1\n:widths: {widths}\n:class: ledger"
    return "\n".join([f"```{{list-table}}\n{options}\n", *lines, "```"])


def _row(claim: Claim, findings: list[Finding]) -> tuple[str, ...]:
    place = f"{claim.place}, {PAPERS[claim.paper]}"
    says = f'<span id="claim-{claim.name}"></span>{typeset(claim.says)} *({place})*'
    values = "<br>".join(_value(finding) for finding in findings) or "–"
    folder, _, name = claim.page.rpartition("/")
    where = f"[{name}]({f'../{folder}/{name}.ipynb' if folder == 'notebooks' else f'{name}.md'})"
    files = sorted({path for finding in findings for path in finding.files})
    data = " ".join(
        f"{{download}}`{path.stem[:6]} <../results/{path.parent.name}/{path.name}>`"
        for path in files
        if path.suffix == ".json"
    )
    how = f"{typeset(claim.how)} {where}" + (f" · data {data}" if data else "")
    return says, typeset(claim.quoted), values, how


def _link(name: str, words: str) -> str:
    return f'<a href="ledger.html#claim-{name}">{words}</a>'


def _value(finding: Finding, *, brief: bool = False) -> str:
    verdict = f"**{finding.verdict}**"
    if brief and not finding.values:
        return verdict
    small = "" if brief or finding.test.exact else f", {finding.profile} run"
    shown = _with_unit(finding) + (small if finding.profile else "")
    return f"{verdict}, {finding.test.kind}: {shown} ({_wanted(finding)})"


def _with_unit(finding: Finding) -> str:
    value, runs, count = finding.shown.partition(" (n")
    return (f"{value} {finding.test.unit}".rstrip() if finding.values else value) + runs + count


def _wanted(finding: Finding) -> str:
    """Return the range that a claim leaves a value, which may be open on one side."""
    low, high = ((100 if finding.test.unit else 1) * end for end in finding.test.within)
    ends = [f"{end:g}".replace("-", "−") for end in (low, high)]
    if high >= 100:
        return f"wanted at least {ends[0]}"
    return f"wanted at most {ends[1]}" if low <= -100 else f"wanted {ends[0]} to {ends[1]}"
