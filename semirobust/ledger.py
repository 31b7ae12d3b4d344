"""Pages made of the claims: the ledger, its counts for the front page, Table 1 beside ours."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from semirobust import claims
from semirobust.claims import STATUSES, Claim, Finding, Status
from semirobust.evidence import Check
from semirobust.results import ROOT

NAMES = {
    "alexnet": "AlexNet",
    "vgg16": "VGG16",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenette": "Imagenette",
}
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
            decides = claims.deciding(findings)
            verdict = decides.verdict if decides else claims.status(findings)
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


def published(root: Path = ROOT) -> list[dict[str, str]]:
    """Return the published numbers of ``book/published.csv``."""
    with (root / "book" / "published.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


ACCURACIES = {
    "robust": r"$\mathrm{Acc}^*$",
    "spliced": r"$\mathrm{Acc}_{sr}$",
    "tuned": r"$\widetilde{\mathrm{Acc}}$",
    "difference": "Diff.",
}
COLUMNS = {
    "static transfer": ("static", "static"),
    "white-box": ("online", "whitebox"),
    "AutoAttack": ("online", "autoattack"),
    "white-box, stored": ("static", "whitebox"),
}
BACK = {"rho_n": 0, "rho_n-3": 3, "rho_n-7": 7, "rho_n-11": 11, "rho_n-15": 15}
PROTOCOLS = ("static", "online")
RHO = {"value": "as published", "null_mean": "shuffled", "excess": "excess"}
LAST = {"alexnet": 8, "vgg16": 16}  # links of a chain in which layers and links are the same


def table_1(root: Path = ROOT) -> str:
    """Return the body of the page that sets the paper's Table 1 beside ours, cell by cell."""
    rows = [row for row in published(root) if row["place"] == "Table 1"]
    accuracies = [row for row in rows if row["quantity"] in ACCURACIES]
    dependence = [row for row in rows if row["quantity"] in BACK]
    first = ["| network | data | | paper | " + " | ".join(COLUMNS) + " |"]
    first += ["|:--|:--|:--|--:" + "|--:" * len(COLUMNS) + "|"]
    first += [_accuracy_row(row, root) for row in accuracies]
    heads = [f"{name}, {protocol}" for protocol in PROTOCOLS for name in RHO.values()]
    second = ["| network | data | | paper | " + " | ".join(heads) + " |"]
    second += ["|:--|:--|:--|--:" + "|--:" * len(heads) + "|"]
    second += [_rho_row(row, root) for row in dependence]
    tables = ("\n".join(first), "\n".join(second))
    return f"## Accuracies\n\n{tables[0]}\n\n## Dependence\n\n{tables[1]}\n"


def _accuracy_row(row: dict[str, str], root: Path) -> str:
    cells = [_shown(_accuracy(row, *column), root) for column in COLUMNS.values()]
    return _cells(row, ACCURACIES[row["quantity"]], cells)


def _cells(row: dict[str, str], quantity: str, cells: list[str]) -> str:
    names = [NAMES[row[name]].replace("-", "\u2011") for name in ("model", "data")]
    return "| " + " | ".join([*names, quantity, row["value"], *cells]) + " |"


def _accuracy(row: dict[str, str], protocol: str, column: str) -> Check:
    n_b, quantity = int(row["n_b"]), row["quantity"]
    tuned = {"network": "tuned", "n_b": n_b, "front": "robust"}
    chosen: dict[str, Mapping[str, Any]] = {
        "robust": {"network": "robust"},
        "spliced": {"network": "spliced", "n_b": n_b},
        "tuned": tuned,
        "difference": tuned,
    }
    return Check(
        kind=column,
        within=(0, 0),
        experiment="table-1",
        record={"model": row["model"], "data": row["data"], "protocol": protocol},
        row=chosen[quantity],
        column=column,
        minus={"row": chosen["robust"]} if quantity == "difference" else {},
        unit="points",
    )


def _rho_row(row: dict[str, str], root: Path) -> str:
    last = LAST.get(row["model"])
    cells = [
        _shown(_rho(row, last, protocol, name), root) if last else "–"
        for protocol in PROTOCOLS
        for name in RHO
    ]
    index = row["quantity"].removeprefix("rho_")
    return _cells(row, rf"$\rho_{{{index}}}$", cells)


def _rho(row: dict[str, str], last: int, protocol: str, column: str) -> Check:
    wanted = {"network": "tuned", "n_b": int(row["n_b"]), "front": "robust", "preset": "paper"}
    return Check(
        kind="estimate as published",
        within=(0, 0),
        experiment="table-1",
        record={"model": row["model"], "data": row["data"], "protocol": protocol},
        table="rho",
        row={**wanted, "j": last - BACK[row["quantity"]]},
        column=column,
    )


def _shown(test: Check, root: Path) -> str:
    finding = claims.finding(test, root)
    if not finding.values or finding.profile == "smoke":
        return "–"
    return finding.shown.replace(" ± ", "\u00a0±\u00a0").replace("n = ", "n\u00a0=\u00a0")
