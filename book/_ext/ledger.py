"""Pages made of the claims: the ledger, and what the front page tells of it."""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from book._ext import claims
from book._ext.claims import COUNTED, NOT_RUN, PAPERS, THEORY, WORDS, Claim, Finding
from book._ext.markdown import table, typeset
from semirobust.results import verdicts
from semirobust.results.published import NAMES
from semirobust.results.records import ROOT
from semirobust.results.verdicts import LEVEL, Decision

HEADS = {  # of the ledger, negatives first
    "false (counterexample)": "Theory: false as printed",
    "needs a condition": "Theory: needs a condition",
    "true but empty": "Theory: true but empty",
    "proved": "Theory: proved",
    "does not hold": "Experiments: does not hold",
    "holds": "Experiments: holds",
    "undecided": "Experiments: undecided",
    NOT_RUN: "Experiments: not run",
}
PARTS = {"1": "Theory", "2": "Methods", "4": "Beyond the paper", "5": "What decides"}
APART = {"own": "What this book proposes itself", "construction": "True by construction"}


@dataclass(frozen=True)
class Entry:
    """A claim with its findings, what they decide, and its verdict in one word."""

    claim: Claim
    findings: list[Finding]
    decision: Decision | None
    verdict: str


Found: TypeAlias = Mapping[str, Entry]


def found(root: Path = ROOT) -> Found:
    """Return every claim with what its tests found; headlines are adjusted for their number."""
    known: dict[str, Entry] = {}
    for claim in claims.claims(root):
        findings = claims.findings(claim, root)
        decision = claims.decided(claim, findings)
        known[claim.name] = Entry(claim, findings, decision, claims.verdict(claim, findings))
    return {**known, **_adjusted(known, root)}


def words(entries: Found) -> dict[str, str]:
    """Return the verdict on each claim, by name."""
    return {name: entry.verdict for name, entry in entries.items()}


def _adjusted(known: Found, root: Path) -> dict[str, Entry]:
    """Return the experiments of the front page, with errors adjusted by Holm's method."""
    named = {name for headline in claims.entries("headline", root) for name in headline["claims"]}
    family = [known[name] for name in sorted(named) if known[name].claim.verdict is None]
    decisions = {
        entry.claim.name: entry.decision
        for entry in family
        if entry.decision and not all(one.test.exact for one in entry.findings)
    }
    adjusted = verdicts.holm([decision.p for decision in decisions.values()])
    entries = {}
    for (name, decision), p in zip(decisions.items(), adjusted.tolist(), strict=True):
        again = Decision(decision.word if p <= 1 - LEVEL else "undecided", p)
        entries[name] = replace(known[name], decision=again, verdict=again.word)
    return entries


def ledger(entries: Found) -> str:
    """Return the body of the ledger: a line a claim, negatives first."""
    parts = []
    for head, several in _groups(entries).items():
        parts += [f"## {head}", *(_line(entry, head) for entry in several)]
    return "\n\n".join(parts) + "\n"


def _groups(entries: Found) -> dict[str, list[Entry]]:
    counted = [entry for entry in entries.values() if entry.claim.kind in COUNTED]
    groups = {head: [e for e in counted if e.verdict == word] for word, head in HEADS.items()}
    for kind, head in APART.items():
        groups[head] = [entry for entry in entries.values() if entry.claim.kind == kind]
    return {head: several for head, several in groups.items() if several}


def filters(entries: Found) -> str:
    """Return a form that a script shows; without it every claim stands there."""
    groups = _groups(entries).items()
    about = [_about(entry, head) for head, several in groups for entry in several]
    fields = []
    for name in ("status", "paper", "part", "network"):
        known = dict.fromkeys(one[name] for one in about if one[name])
        options = "".join(f"<option>{value}</option>" for value in known)
        fields.append(
            f'<label>{name} <select name="{name}"><option value="">all</option>{options}</select>'
            "</label>"
        )
    fields.append('<label>text <input type="search" name="text"></label>')
    count = f'<output aria-live="polite">{len(about)} claims</output>'
    script = '<script src="../_static/ledger.js" defer></script>'
    return f'<form class="filters" hidden>{"".join(fields)}{count}</form>{script}'


def _about(entry: Entry, head: str) -> dict[str, str]:
    """Return what a claim is chosen by."""
    number = entry.claim.page.removeprefix("notebooks/")[0]
    models = [test.record["model"] for test in entry.claim.tests if "model" in test.record]
    named = [name for name in NAMES.values() if name in entry.claim.place]
    network = NAMES[models[0]] if models else next(iter(named), "")
    part = PARTS.get(number, "Experiments")
    return {"status": head, "paper": PAPERS[entry.claim.paper], "part": part, "network": network}


def counts(entries: Found) -> str:
    """Return how many claims have each verdict, for each paper: theory, then experiments."""
    tables = []
    for kind, words in (("theory", THEORY), ("experiment", WORDS)):
        chosen = [entry for entry in entries.values() if entry.claim.kind == kind]
        tally = Counter((PAPERS[entry.claim.paper], entry.verdict) for entry in chosen)
        papers = [name for name in PAPERS.values() if any(key[0] == name for key in tally)]
        numbers = {name: [tally[name, word] for word in words] for name in papers}
        numbers["together"] = [sum(column) for column in zip(*numbers.values(), strict=True)]
        rows = [[name, *row, sum(row)] for name, row in numbers.items()]
        heads = [kind, *words, "claims"]
        tables.append(table(heads, "l" + "r" * (len(words) + 1), rows))
    return "\n\n".join(tables)


def answers(entries: Found, root: Path = ROOT) -> str:
    """Return the claims in short as a numbered list, each with the verdict on what it rests on."""
    lines = []
    for number, answer in enumerate(claims.entries("answer", root), start=1):
        lines.append(f"{number}. {typeset(answer['says'])}")
        for words, name in answer["by"].items():
            lines.append(f"   - {typeset(words)}: {badge(entries[name])}")
    return "\n".join(lines)


def badge(entry: Entry) -> str:
    """Return the verdict as a link to the ledger, with the scale of the runs that it rests on."""
    scales = [one.scale for one in entry.findings if one.decision and not one.test.exact]
    shown = f" ({'; '.join(dict.fromkeys(scales))})" if scales else ""
    return f"**{_link(entry.claim.name, entry.verdict)}**{shown}"


def _line(entry: Entry, head: str) -> str:
    """Return a claim in one line, with its tests and files folded below."""
    claim, findings = entry.claim, entry.findings
    folder, _, name = claim.page.rpartition("/")
    where = f"[{name}]({f'../{folder}/{name}.ipynb' if folder == 'notebooks' else f'{name}.md'})"
    files = sorted({path for finding in findings for path in finding.files})
    data = " ".join(
        f"{{download}}`{path.stem[:6]} <../results/{path.parent.name}/{path.name}>`"
        for path in files
        if path.suffix == ".json"
    )
    notes = [f"No test: {typeset(claim.untested)}"] if claim.untested else []
    notes += [f"Fixed {claim.fixed}, before any run."] if claim.fixed else []
    notes += [f"*Post hoc:* {one.test.post_hoc}" for one in findings if one.test.post_hoc]
    word = "Limit" if claim.paper == "book" else "Quoted"  # of its own claims nothing is quoted
    told = [f"{word}: {typeset(claim.quoted)}"] * bool(claim.quoted)
    told += [" ".join([typeset(claim.how), *dict.fromkeys(notes)])]
    told += [f"**{entry.verdict}**{_error(entry)}", *(_value(finding) for finding in findings)]
    link = f'<a href="#claim-{claim.name}">link to this claim</a>'
    told += [" · ".join(filter(None, [where, f"data {data}" if data else "", link]))]
    chosen = "".join(f' data-{key}="{value}"' for key, value in _about(entry, head).items())
    place = f"<cite>{claim.place}, {PAPERS[claim.paper]}</cite>"
    badge = f'<b class="badge">{entry.verdict}</b>'
    return (
        f'<details class="claim" id="claim-{claim.name}"{chosen}>\n'
        f"<summary>{badge} {typeset(claim.says)} {place}</summary>\n\n"
        + "\n\n".join(told)
        + "\n\n</details>"
    )


def _error(entry: Entry) -> str:
    """Return the error of a verdict where runs decide it."""
    recorded = any(not finding.test.exact for finding in entry.findings)
    return f", p = {entry.decision.p:.2g}" if entry.decision and recorded else ""


def _link(name: str, words: str) -> str:
    return f'<a href="ledger.html#claim-{name}">{words}</a>'


def _value(finding: Finding) -> str:
    """Return what one test found at one scale, with its interval and what the claim leaves it."""
    if finding.estimate is None:
        return f"{finding.test.kind}: {NOT_RUN}"
    shown = f"{finding.shown} {finding.test.unit}".rstrip()
    word = "" if finding.test.exact else f"*{finding.word}*, "
    return f"{finding.test.kind}: {word}{shown} ({_left(finding)}; {finding.scale})"


def _left(finding: Finding) -> str:
    """Return the range that a claim leaves a value, which may be open on one side."""
    low, high = ((100 if finding.test.unit else 1) * end for end in finding.test.within)
    ends = [f"{end:g}".replace("-", "−") for end in (low, high)]
    if high >= 100:
        return f"claimed: at least {ends[0]}"
    return f"claimed: at most {ends[1]}" if low <= -100 else f"claimed: {ends[0]} to {ends[1]}"


def main() -> str | None:
    """Return what is missing in the ledger: the place, test or status of an entry, or an entry."""
    try:
        claims.complete()
        found()
    except ValueError as error:
        return str(error)
    return None


if __name__ == "__main__":
    sys.exit(main())
