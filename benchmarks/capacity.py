"""What the paper's grid takes: passes through networks, arithmetic, storage, hours.

Run ``OMP_NUM_THREADS=1 python benchmarks/capacity.py``: a few minutes on one core. For each network
and image size it counts the operations of one forward and backward pass of one image and measures
how many images a core takes in a second; the settings of Table 1 in profile ``paper`` say how many
passes there are. Trials are counted with all their epochs, though most stop earlier. Writes
``results/benchmarks/capacity.json``.
"""

import json
from dataclasses import replace
from functools import cache
from time import process_time

import torch
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from semirobust.experiments import registry as experiments
from semirobust.experiments.row import Row
from semirobust.experiments.study import Study
from semirobust.layers import cut, split
from semirobust.models import Architecture
from semirobust.results.records import provenance, results_root, write_atomically
from semirobust.training.fitting import Training
from semirobust.training.methods import Online

torch.set_num_threads(1)
IMAGES = {  # training, validation and test images, and channels x pixels of one
    "cifar10": (45_000, 5_000, 10_000, 3 * 32**2),
    "cifar100": (45_000, 5_000, 10_000, 3 * 32**2),
    "imagenette": (8_522, 947, 3_925, 3 * 224**2),
}
SUSTAINED = (10, 50, 200)  # TFLOP/s of a GPU, from a small one to a large one in bfloat16


def measured(study: Study) -> dict[str, float]:
    """Return operations, seconds and bytes of one network; the number of classes is no matter."""
    return _measured(replace(study.architecture, classes=10), study.n_b)


@cache
def _measured(architecture: Architecture, cuts: tuple[int, ...]) -> dict[str, float]:
    network, size = architecture.build(seed=0).train(), architecture.size
    n = 8 if size == 32 else 2
    x, y = torch.rand(n, 3, size, size), torch.zeros(n, dtype=torch.long)
    with FlopCounterMode(display=False) as count:
        cross_entropy(network(x), y).backward()
    start = process_time()
    cross_entropy(network(x), y).backward()
    seconds = process_time() - start
    weights = sum(value.numel() * value.element_size() for value in network.state_dict().values())
    behind = {n_b: _bytes(split(network, cut(network, n_b))[1]) for n_b in cuts}
    return {
        "gflop": count.get_total_flops() / n / 1e9,
        "images_per_cpu_second": n / seconds,
        "weights_mb": weights / 1e6,
        "f_b_mb": sum(behind.values()) / 1e6,
    }


def _bytes(network: torch.nn.Module) -> int:
    return sum(value.numel() * value.element_size() for value in network.state_dict().values())


def passes(training: Training) -> int:
    """Return forward and backward passes of one sample in one epoch."""
    if isinstance(training.method, Online):
        return 1 + getattr(training.method.attack, "steps", 1)
    return 1


def of_row(row: Row) -> dict[str, float]:
    """Return the passes of a row, in millions of images, and its storage without checkpoints."""
    study, fronts = row.study, 1 + len(row.controls)
    train, validation, test, pixels = IMAGES[study.data.name]
    tried = len(study.n_b) * fronts * study.trials * study.tuning.epochs
    check = validation * (study.attack.steps if study.protocol == "online" else 1)
    networks = 2 + len(study.n_b) * (1 + fronts)
    steps = row.images * row.whitebox.steps + (row.autoattack or 0) * 400  # of one network
    found = {
        "standard": study.standard.epochs * train * passes(study.standard),
        "robust": study.robust.epochs * train * passes(study.robust),
        "tuned": tried * (train * passes(study.tuning) + check),
        "examples": (train + validation + test) * study.attack.steps,
        "evaluation": networks * (steps + 2 * test),
    }
    size = measured(study)
    stored = 2 * size["weights_mb"] + fronts * study.trials * size["f_b_mb"]
    stored += networks * size["weights_mb"] + pixels * (train + validation + test) / 1e6
    return {**{name: n / 1e6 for name, n in found.items()}, **size, "stored_mb": stored}


def main() -> None:
    """Count, measure, write and print."""
    table = []
    for row in experiments.rows("table-1", "paper"):
        found = of_row(row)
        million = sum(found[name] for name in ("robust", "tuned", "examples", "evaluation"))
        million += found["standard"] if row.study.protocol == "static" else 0  # shared by the pair
        flop = million * 1e6 * found["gflop"] * 1e9
        found |= {"passes_millions": million, "exaflop": flop / 1e18}
        found["core_hours"] = million * 1e6 / found["images_per_cpu_second"] / 3600
        table.append({"row": row.title, **{name: round(n, 3) for name, n in found.items()}})
        print(json.dumps(table[-1]), flush=True)
    exaflop = sum(row["exaflop"] for row in table)
    total = {
        "rows": len(table),
        "exaflop": exaflop,
        "core_hours": sum(row["core_hours"] for row in table),
        "stored_gb": sum(row["stored_mb"] for row in table) / 1e3,
        "gpu_hours": {str(rate): exaflop * 1e6 / rate / 3600 for rate in SUSTAINED},
    }
    document = {"total": total, "table": table, "provenance": provenance(threads=1)}
    path = results_root() / "benchmarks" / "capacity.json"
    write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())
    print(json.dumps(total, indent=1))


if __name__ == "__main__":
    main()
