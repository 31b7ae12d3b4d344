"""Pages made of the claims: the ledger, and what the front page tells of it."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from book._ext import claims
from book._ext.claims import STATUSES, Claim, Finding, Status
from semirobust.results.records import ROOT

HEADS: Mapping[Status, str] = {
    "differs": "What differs",
    "reproduced": "What was reproduced",
    "smoke only": "Seen on tiny networks only",
    "not attempted": "Not attempted",
}
PAPERS = {"first": "first version", "revision": "later revision"}

Found = dict[str, tuple[Claim, list[Finding]]]


def found(root: Path = ROOT) -> Found:
    """Return every claim with what its tests found, by name."""
    return {claim.name: (claim, claims.findings(claim, root)) for claim in claims.claims(root)}


def ledger(entries: Found) -> str:
    """Return the body of the ledger: counts, then a table for each status, negatives first."""
    parts = [counts(entries)]
    for status in STATUSES:
        chosen = [entry for entry in entries.values() if claims.status(entry[1]) == status]
        if chosen:
            parts += [f"## {HEADS[status]}", _table(chosen)]
    return "\n\n".join(parts) + "\n"


def counts(entries: Found) -> str:
    """Return how many claims have each status, for each version of the paper."""
    tally: Counter[tuple[str, Status]] = Counter(
        (claim.paper, claims.status(found)) for claim, found in entries.values()
    )
    lines = ["| | " + " | ".join(STATUSES) + " | claims |", "|:--" + "|--:" * 5 + "|"]
    for paper, name in PAPERS.items():
        row = [tally[paper, status] for status in STATUSES]
        lines.append(f"| {name} | " + " | ".join(map(str, [*row, sum(row)])) + " |")
    total = [sum(tally[paper, status] for paper in PAPERS) for status in STATUSES]
    lines.append("| together | " + " | ".join(map(str, [*total, sum(total)])) + " |")
    return "\n".join(lines)


THEORY = (
    "theorem-1",
    "theorem-2",
    "dependence-guarantees",
    "theorem-3",
    "lemma-2",
    "bound-15",
    "weights-tell",
)
EXPERIMENTS = (
    "robust-at-all",
    "table-1-vgg16-cifar10-spliced",
    "within-two-points",
    "fewer-than-half",
    "uses-the-robust-half",
)
DEPENDENCE = (
    "a1-tells-apart",
    "rho-tells",
    "rho-rises",
    "rho-levels-off",
    "deeper-better-flow",
    "rho-is-not-noise",
)


def answers(entries: Found, root: Path = ROOT) -> str:
    """Return the claims in short as a numbered list, each with the status of what it rests on."""
    lines = []
    for number, (says, by) in enumerate(claims.answers(root), start=1):
        lines.append(f"{number}. {typeset(says)}")
        for words, name in by.items():
            claim, findings = entries[name]
            verdict = findings[0].verdict if findings else claims.status(findings)
            where = f'<a href="ledger.html#claim-{claim.name}">{verdict}</a>'
            lines.append(f"   - {typeset(words)}: **{where}**")
    return "\n".join(lines)


def headlines(entries: Found) -> str:
    """Return the tables of the front page: the main claims, and what was found for each."""
    return "\n\n".join(
        [
            "**In theory**",
            _headline("found", THEORY, entries, with_how=True),
            "**In experiments**",
            _headline("found, by threat model", EXPERIMENTS, entries),
            "**About the dependence ρ**",
            _headline("found", DEPENDENCE, entries),
        ]
    )


def _headline(
    found_word: str, names: Iterable[str], entries: Found, *, with_how: bool = False
) -> str:
    head = "```{list-table}\n:header-rows: 1\n:widths: 46 54\n:class: ledger\n\n"
    rows = [f"* - claim\n  - {found_word}"]
    for name in names:
        claim, findings = entries[name]
        where = f'<a href="ledger.html#claim-{name}">{claim.place}</a>'
        how = f"<br>{typeset(claim.how)}" if with_how else ""
        rows.append(f"* - {typeset(claim.says)} *{where}*\n  - {_brief(findings)}{how}")
    return head + "\n".join(rows) + "\n```"


def _brief(findings: list[Finding]) -> str:
    return "<br>".join(f"**{finding.verdict}**{_measured(finding)}" for finding in findings)


def _measured(finding: Finding) -> str:
    if not finding.values:
        return ""
    return f", {finding.test.kind}: {_with_unit(finding)} ({_wanted(finding)})"


def _wanted(finding: Finding) -> str:
    low, high = finding.test.within
    return f"wanted {_range(low, high, 100 if finding.test.unit else 1)}"


def _with_unit(finding: Finding) -> str:
    value, runs, count = finding.shown.partition(" (n")
    return value + f" {finding.test.unit}".rstrip() + runs + count


def _table(chosen: Iterable[tuple[Claim, list[Finding]]]) -> str:
    head = "```{list-table}\n:header-rows: 1\n:widths: 30 16 30 24\n:class: ledger\n\n"
    head += "* - claim\n  - quoted\n  - found\n  - how, and where\n"
    return head + "\n".join(_row(claim, findings) for claim, findings in chosen) + "\n```"


def _row(claim: Claim, findings: list[Finding]) -> str:
    place = f"{claim.place}, {PAPERS[claim.paper]}"
    said = f'<span id="claim-{claim.name}"></span>{typeset(claim.says)} *({place})*'
    values = "<br>".join(_value(finding) for finding in findings) or "–"
    where = f"[{claim.page.rpartition('/')[2]}]({_link(claim.page)})"
    files = dict.fromkeys(path for finding in findings for path in finding.files)
    data = " ".join(_file(path) for path in files if path.suffix == ".json")
    how = f"{typeset(claim.how)} {where}" + (f" · data {data}" if data else "")
    return "\n".join([f"* - {said}", f"  - {typeset(claim.quoted)}", f"  - {values}", f"  - {how}"])


def typeset(words: str) -> str:
    """Return words with ``γ_j`` and ``f^(j)`` set as indices.

    Example:
        >>> typeset("γ_(n-1) of f^(j), Acc_sr")
        'γ<sub>n-1</sub> of f<sup>(j)</sup>, Acc<sub>sr</sub>'
    """
    low = re.sub(r"(?<=\w)_(?:\(([^)]*)\)|(\w+))", r"<sub>\1\2</sub>", words)
    return re.sub(r"\^(\([^)]*\))", r"<sup>\1</sup>", low)


def _value(finding: Finding) -> str:
    shown = _with_unit(finding) if finding.values else finding.shown
    small = f", {finding.profile} run" if finding.profile and not finding.test.exact else ""
    return f"**{finding.verdict}**, {finding.test.kind}: {shown}{small} ({_wanted(finding)})"


def _range(low: float, high: float, scale: int) -> str:
    ends = [f"{scale * end:g}".replace("-", "−") for end in (low, high)]
    if high * scale >= 100:
        return f"at least {ends[0]}"
    return f"at most {ends[1]}" if low * scale <= -100 else f"{ends[0]} to {ends[1]}"


def _link(page: str) -> str:
    return f"../{page}.ipynb" if page.startswith("notebooks/") else f"{page.rpartition('/')[2]}.md"


def _file(path: Path) -> str:
    address = f"../results/{path.parent.name}/{path.name}"
    return f"{{download}}`{path.stem[:6]} <{address}>`"


def files(entries: Found) -> list[Path]:
    """Return the result files that the ledger links to."""
    every = [path for _, found in entries.values() for one in found for path in one.files]
    return sorted({path for path in every if path.suffix == ".json"})
