"""Tables of what was run: chapters, experiments, and the package beside plain loops."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from semirobust.results.documents import document
from semirobust.results.profiles import PROFILES


def chapters(shown: Iterable[Any]) -> str:
    """Return a table of the runs behind the chapters."""
    rows = []
    for page in shown:
        record, name = page.record, page.notebook.name
        seconds = f"{record.seconds:.0f}" if record and record.date else "-"
        device = record.provenance.get("device", "-") if record else "-"
        state = "older than the code" if page.stale else "current"
        link = f"[{name}](../notebooks/{name}.ipynb)"
        rows.append(f"| {link} | {page.profile} | {device} | {seconds} | {state} |")
    head = "| notebook | profile | device | seconds | record |\n|:--|:--|:--|--:|:--|"
    return "\n".join([head, *rows])


def experiments(root: Path) -> str:
    """Return a table of the recorded experiments: how many runs, and what they cost."""
    lines = ["| experiment | profile | runs | CPU seconds a run | epochs resumed |"]
    lines.append("|:--|:--|--:|--:|--:|")
    for folder in sorted((root / "results").glob("*")):
        records = [document(path) for path in sorted(folder.glob("*.json"))]
        for profile in PROFILES:
            origins = [one["provenance"] for one in records if one.get("profile") == profile]
            if origins:
                lines.append(f"| {folder.name} | {profile} | {_cost(origins)} |")
    return "\n".join(lines)


def _cost(origins: list[dict[str, Any]]) -> str:
    seconds = [origin["cpu_seconds"] for origin in origins if origin.get("cpu_seconds")]
    resumed = sum(origin.get("epochs", {}).get("taken_up", 0) for origin in origins)
    mean = f"{sum(seconds) / len(seconds):.0f}" if seconds else "–"
    return f"{len(origins)} | {mean} | {resumed}"


def benchmarks(root: Path) -> str:
    """Return a table of the package's processor seconds beside those of plain loops."""
    path = root / "results" / "benchmarks" / "training.json"
    ratios = document(path)["ratios"] if path.exists() else []
    lines = ["| what | seconds | of the loop | ratio | goal | reached |"]
    lines.append("|:--|--:|--:|--:|--:|:--|")
    for row in ratios:
        numbers = f"{row['ours']:.2f} | {row['peer']:.2f} | {row['ratio']:.2f} | {row['goal']:g}"
        lines.append(f"| {row['name']} | {numbers} | {'yes' if row['met'] else 'no'} |")
    return "\n".join(lines)
