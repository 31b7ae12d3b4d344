"""Tables of what was run: chapters, experiments, and the package beside plain loops."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from book._ext.markdown import plain, table
from semirobust.results.documents import document
from semirobust.results.profiles import PROFILES
from semirobust.results.published import NAMES


def chapters(shown: Iterable[Any]) -> str:
    """Return a table of the runs behind the chapters."""
    rows = []
    for page in shown:
        record, name = page.record, page.notebook.name
        seconds = f"{record.seconds:.0f}" if record and record.date else "-"
        device = plain(record.provenance.get("device", "-")) if record else "-"
        state = "older than the code" if page.stale else "current"
        rows.append([f"[{name}](../notebooks/{name}.ipynb)", page.profile, device, seconds, state])
    return table(["notebook", "profile", "device", "seconds", "record"], "lllrl", rows)


def experiments(root: Path) -> str:
    """Return a table of the recorded experiments: how many runs, and what they cost."""
    rows = []
    for folder in sorted((root / "results").glob("*")):
        records = [document(path) for path in sorted(folder.glob("*.json"))]
        for profile in PROFILES:
            origins = [one["provenance"] for one in records if one.get("profile") == profile]
            if origins:
                rows.append([plain(folder.name), profile, len(origins), *_cost(origins)])
    heads = ["experiment", "profile", "runs", "CPU seconds a run", "epochs resumed"]
    return table(heads, "llrrr", rows)


def _cost(origins: list[dict[str, Any]]) -> tuple[str, int]:
    seconds = [origin["cpu_seconds"] for origin in origins if origin.get("cpu_seconds")]
    resumed = sum(origin.get("epochs", {}).get("taken_up", 0) for origin in origins)
    return f"{sum(seconds) / len(seconds):.0f}" if seconds else "–", resumed


def capacity(root: Path) -> str:
    """Return a table of the rows at full size that are missing, with the minutes of one process."""
    path = root / "results" / "benchmarks" / "capacity.json"
    missing = document(path).get("missing", []) if path.exists() else []
    rows = [
        [one["experiment"], one["title"], _minutes(one["seconds"])]
        for one in missing
        if one["profile"] == "gpu"
    ]
    return table(["experiment", "row", "minutes"], "llr", rows)


def _minutes(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{seconds / 60:,.1f}"


def benchmarks(root: Path) -> str:
    """Return a table of the package's processor seconds beside those of plain loops."""
    path = root / "results" / "benchmarks" / "training.json"
    rows = []
    for row in document(path)["ratios"] if path.exists() else []:
        numbers = [f"{row[name]:.2f}" for name in ("ours", "peer", "ratio")]
        rows.append(
            [plain(row["name"]), *numbers, f"{row['goal']:g}", "yes" if row["met"] else "no"]
        )
    return table(["what", "seconds", "of the loop", "ratio", "goal", "reached"], "lrrrrl", rows)


def faults(root: Path) -> str:
    """Return a table of the faults that were tried, and of how they ended."""
    path = root / "results" / "benchmarks" / "faults.json"
    ends = ("same numbers", "named", "not survived")
    rows = [
        [plain(row["fault"]), row["tried"], *(row["ends"].get(end, 0) for end in ends)]
        for row in (document(path)["faults"] if path.exists() else [])
    ]
    heads = ["fault", "tried", "same numbers", "one line names the file", "not survived"]
    return table(heads, "lrrrr", rows)


def gpu(root: Path) -> str:
    """Return a table of milliseconds a training step, without and with a recorded graph."""
    path = root / "results" / "benchmarks" / "gpu.json"
    rows = [
        [
            f"{NAMES[row['network']]}, {row['method']}",
            row["batch"],
            *(f"{row[name]:.1f}" for name in ("eager_ms", "graph_ms", "ratio")),
            "equal" if row["eager_to_graph"] == 0 else f"{row['eager_to_graph']:.1g} apart",
        ]
        for row in (document(path)["steps"] if path.exists() else [])
    ]
    return table(["step", "batch", "ms", "ms recorded", "ratio", "weights"], "lrrrrl", rows)
