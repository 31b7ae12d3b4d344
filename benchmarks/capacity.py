"""What the rows that are still missing take: operations, and hours of the card that was recorded.

Run ``OMP_NUM_THREADS=1 python benchmarks/capacity.py``: a minute on one core, no GPU. Seconds come
from recorded rows by ``experiments.costs``, and before there are any from recorded training steps;
of profile ``paper`` from rows of ``gpu``, with all the epochs of all trials, though most stop
earlier. Writes ``results/benchmarks/capacity.json``.
"""

import json
from collections import defaultdict
from typing import Any

import torch

from semirobust.experiments import costs
from semirobust.experiments import registry as experiments
from semirobust.results.documents import document
from semirobust.results.records import provenance, results_root, write_atomically

torch.set_num_threads(1)
SHARING = "sharing.json"  # seconds of work beside those of the clock, where processes shared a card


def of_profile(profile: str, like: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the missing rows of a profile with their hours, and the sums by experiment."""
    device, rates = costs.rates(like)
    rows, sums = [], defaultdict(lambda: {"rows": 0, "unknown": 0, "process_hours": 0.0})
    for name, known in experiments.EXPERIMENTS.items():
        for row in costs.missing(name, profile, rates) if profile in known.profiles else []:
            rows.append({"profile": profile, **row._asdict()})
            one = sums[name]
            one["rows"] += 1
            one["unknown"] += row.seconds is None
            one["process_hours"] += (row.seconds or 0.0) / 3600
    alone = costs.of_trainings_alone(rates)
    return rows, {"device": device, "trainings_alone": alone, "experiments": dict(sums)}


def exaflop(profile: str) -> float:
    """Return the operations of all trainings of Table 1 in a profile, in 10^18, each once."""
    nodes = {
        node.artefact.key: costs.work(node, row)
        for row in experiments.rows("table-1", profile)
        for node in costs.nodes("table-1", row)
    }
    return sum(nodes.values()) / 1e9


def main() -> None:
    """Count, write and print."""
    folder = results_root() / "benchmarks"
    sharing = document(folder / SHARING) if (folder / SHARING).exists() else None
    share = sharing["wall_seconds"] / sharing["work_seconds"] if sharing else None
    table, profiles = [], {}
    for profile, like in (("cpu", "cpu"), ("gpu", "gpu"), ("paper", "gpu")):
        rows, sums = of_profile(profile, like)
        table += rows
        parts = sums["experiments"].values()
        hours = sum(one["process_hours"] for one in parts)
        profiles[profile] = {
            **sums,
            "rows": len(rows),
            "unknown": sum(one["unknown"] for one in parts),
            "process_hours": hours,
            "card_hours": hours * share if share and profile != "cpu" else None,
        }
    total = {"share": share, "exaflop": exaflop("paper"), "profiles": profiles}
    made = {"total": total, "missing": table, "provenance": provenance(threads=1)}
    write_atomically(folder / "capacity.json", (json.dumps(made, indent=1) + "\n").encode())
    print(json.dumps(total, indent=1))


if __name__ == "__main__":
    main()
