"""EDGE against its slow twin, and rho of a whole VGG16 beside its forward pass.

Run ``OMP_NUM_THREADS=1 python benchmarks/edge.py``: one process, one thread, process time, medians
of interleaved repetitions. Writes ``results/benchmarks/edge.json`` and prints the tables.

With ``--device`` it is rho of the VGG16 on the first CUDA device alone, in well under a minute,
with the values of the same network on the host beside it: ``results/benchmarks/edge-cuda.json``.

Where the time goes at 10,000 x 4096: the columns' deviations and the thin product read the input
once each, at about one and a half and two times the cost of a plain reading, and leave the other
stages a few milliseconds. Neither can be fused with the other (the directions need the deviations):
a class that is larger than the cache is read twice. That is the floor under the goals; what is in
single precision is projected in single precision here, in rho of a network in double.
"""

import argparse
import json
import os
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch

from semirobust.edge import hashing, projection
from semirobust.edge.counting import DependenceGraph, Formula, cells
from semirobust.edge.estimator import Edge
from semirobust.edge.information import rho
from semirobust.models import build
from semirobust.results.records import ROOT, provenance, results_root, write_atomically

TWIN = run_path(str(ROOT / "tests" / "twins.py"))["edge_by_class"]

torch.set_num_threads(1)
QUIET = {"permutations": 0}
DEFAULTS = {"members": 10, "normalise": True}
SIZES = (  # classes, samples per class, width, preset, goal, repetitions of the twin
    (1, 1000, 512, "paper", 20, 9),
    (1, 10_000, 4096, "paper", 20, 5),
    (1, 1000, 512, "edge-4.4.1", 20, 9),
    (1, 10_000, 4096, "edge-4.4.1", 20, 5),
    (10, 1000, 4096, "paper", 13, 5),
    (100, 100, 512, "paper", 50, 5),
    (100, 100, 4096, "paper", 15, 5),
    (200, 50, 512, "paper", 80, 5),
)


def seconds(work: Callable[[], object]) -> float:
    """Return the process time of one call."""
    start = process_time()
    work()
    return process_time() - start


def medians(works: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Return the median process time of each piece of work, the pieces taking turns."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repetitions):
        for name, work in works.items():
            times[name].append(seconds(work))
    return {name: median(found) for name, found in times.items()}


def extra_memory(work: Callable[[], object]) -> float:
    """Return the peak of what a call allocates, in MB."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def samples(classes: int, n: int, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return two independent Gaussian samples in single precision, sorted by class, and labels."""
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((classes * n, d), dtype=np.float32) for _ in range(2))
    return x, y, np.repeat(np.arange(classes), n)


def against_twin(
    classes: int, n: int, d: int, preset: str, goal: int, repetitions: int
) -> dict[str, object]:
    """Return one row of the table: twin, package, ratio, goal, and the time to read the input."""
    x, y, labels = samples(classes, n, d)
    settings = DEFAULTS if preset == "edge-4.4.1" else {}
    edge = Edge.preset(preset, **QUIET)
    found = medians(
        {
            "twin": lambda: TWIN(x, y, labels, **settings),
            "package": lambda: edge(x, y, labels),
            "read once": lambda: (x.sum(), y.sum()),
        },
        repetitions,
    )
    return {
        "classes": classes, "per_class": n, "d": d, "preset": preset,
        "twin_ms": 1e3 * found["twin"], "package_ms": 1e3 * found["package"],
        "ratio": found["twin"] / found["package"], "goal": goal,
        "read_once_ms": 1e3 * found["read once"],
        "difference": edge(x, y, labels).value - TWIN(x, y, labels, **settings),
        "extra_mb": extra_memory(lambda: edge(x, y, labels)),
    }  # fmt: skip


def with_null(repetitions: int) -> dict[str, object]:
    """Return estimate and 200 shuffles at 10 x 1000 against 201 runs of the twin (one is timed)."""
    x, y, labels = samples(10, 1000, 4096)
    edge = Edge.preset("paper")
    found = medians(
        {
            "twin": lambda: TWIN(x, y, labels),
            "package": lambda: edge(x, y, labels),
            "read once": lambda: (x.sum(), y.sum()),
        },
        repetitions,
    )
    twin = (1 + edge.permutations) * found["twin"]
    return {
        "classes": 10, "per_class": 1000, "d": 4096, "preset": "paper + null of 200",
        "twin_ms": 1e3 * twin, "package_ms": 1e3 * found["package"],
        "ratio": twin / found["package"], "goal": 1000, "read_once_ms": 1e3 * found["read once"],
        "extra_mb": extra_memory(lambda: edge(x, y, labels)),
    }  # fmt: skip


def stages(classes: int, n: int, d: int, repetitions: int) -> dict[str, float]:
    """Return milliseconds of each stage of the published estimate, both sides together."""
    x, y, labels = samples(classes, n, d)
    rows = list(projection.classes(labels, len(labels)).values())
    normals = projection.published_directions(d, d, n, 3334)
    along = [
        [projection.scaled(g[None], projection.deviations(side, r, np.float32)) for r in rows]
        for side, g in zip((x, y), normals, strict=True)
    ]

    def projected() -> list[np.ndarray]:
        return [
            np.stack(
                [projection.project(side, r, w, np.float32) for r, w in zip(rows, ws, strict=True)],
                axis=1,
            )
            for side, ws in zip((x, y), along, strict=True)
        ]

    u = projected()
    widths = [hashing.widths(one, d, 3334) for one in u]
    zero = np.zeros(u[0].shape[-2])
    codes = [hashing.width_codes(one, e, zero) for one, e in zip(u, widths, strict=True)]
    formula = Formula.plug_in(n, lower=0.001, upper=10)
    pair = DependenceGraph(*map(cells, codes), formula)
    works: dict[str, Callable[[], object]] = {
        "draw directions": lambda: projection.published_directions(d, d, n, 3334),
        "column deviations": lambda: [
            projection.deviations(side, r, np.float32) for side in (x, y) for r in rows
        ],
        "thin product": projected,
        "widths": lambda: [hashing.widths(one, d, 3334) for one in u],
        "codes": lambda: [
            hashing.width_codes(one, e, zero) for one, e in zip(u, widths, strict=True)
        ],
        "cells": lambda: [cells(code) for code in codes],
        "information": pair.information,
        "null of 200": lambda: pair.null(sets=1, permutations=200, seed=(0, 0)),
    }
    return {name: 1e3 * found for name, found in medians(works, repetitions).items()}


def whole_network(images: int) -> list[dict[str, object]]:
    """Return the time of all rho_j of a VGG16 of width 1 beyond its plain forward pass."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(images, 3, 32, 32, generator=generator)
    y = torch.arange(images) % 10
    network = build("vgg16").eval()

    def forward() -> None:
        with torch.no_grad():
            for part in x.split(512):
                network(part)

    found = []
    plain = seconds(forward)
    for preset, changes in (
        ("paper", {}),
        ("calibrated", {}),
        ("calibrated", {"projection": "principal"}),
    ):
        edge = Edge.preset(preset, **changes)
        took = seconds(lambda edge=edge: rho(network, x, y, edge=edge))
        found.append(
            {
                "preset": preset,
                **changes,
                "images": images,
                "pairs": len(network) - 1,
                "forward_s": plain,
                "rho_s": took,
                "beyond_s": took - plain,
            }
        )
    return found


def on_device(images: int) -> list[dict[str, object]]:
    """Return the time of all rho_j of a VGG16 on the device, its memory, and how the host differs.

    A quarter of the channels and a tenth of the images are compared: in double, layers differ by
    the rounding of the convolutions alone.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(images, 3, 32, 32, generator=generator).cuda()
    y = (torch.arange(images) % 10).cuda()
    network, few = build("vgg16").eval().cuda(), slice(0, images // 10)
    narrow = build("vgg16", width=0.25).eval().double()
    found = []
    for preset, how in (
        ("paper", {"block": None}),
        ("paper", {"block": None, "taps": "convolutions"}),
        ("calibrated", {"block": None}),
        ("calibrated", {"block": 512}),
    ):
        edge = Edge.preset(preset)
        torch.cuda.reset_peak_memory_stats()
        times = []
        for _ in range(4):
            torch.cuda.synchronize()
            start = perf_counter()
            pairs = rho(network, x, y, edge=edge, **how)
            torch.cuda.synchronize()
            times.append(perf_counter() - start)
        small = (x[few].double(), y[few])
        host, there = (
            rho(narrow.to(device), *(part.to(device) for part in small), edge=edge, **how)
            for device in ("cpu", "cuda")
        )
        found.append(
            {
                "preset": preset, **how, "images": images, "pairs": len(pairs), "first_s": times[0],
                "rho_s": median(times[1:]), "peak_gb": torch.cuda.max_memory_allocated() / 1e9,
                "difference": max(abs(host[j].value - there[j].value) for j in host),
                "of_null": max(abs(host[j].null_mean - there[j].null_mean) for j in host),
            }
        )  # fmt: skip
        print(found[-1], flush=True)
    return found


def main() -> None:
    """Run everything, write the file and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10_000, help="images for the network")
    parser.add_argument("--device", action="store_true", help="rho on the first CUDA device alone")
    arguments = parser.parse_args()
    if arguments.device:
        warnings.simplefilter("ignore")
        where = torch.cuda.get_device_name()
        write("edge-cuda", {"vgg16": on_device(arguments.images)}, device=where)
        return
    if os.environ.get("OMP_NUM_THREADS") != "1":
        parser.error("set OMP_NUM_THREADS=1: the table is about one thread")
    warnings.simplefilter("ignore")
    table = [against_twin(*size) for size in SIZES]
    table.append(with_null(5))
    parts = {
        f"{classes} x {n}, d = {d}": stages(classes, n, d, 5)
        for classes, n, d in ((1, 1000, 512), (1, 10_000, 4096), (10, 1000, 4096), (100, 100, 512))
    }
    network = whole_network(arguments.images)
    write("edge", {"table": table, "stages_ms": parts, "vgg16": network}, threads=1)
    show(table, parts, network)


def write(name: str, found: dict[str, object], **where: Any) -> None:
    """Keep what was measured, with where and of which code."""
    document = {"benchmark": name, **found, "provenance": provenance(**where)}
    path = Path(results_root()) / "benchmarks" / f"{name}.json"
    write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())


def show(table: list[dict], parts: dict[str, dict[str, float]], network: list[dict]) -> None:
    """Print the three tables."""
    head = ("classes x n", "d", "preset", "twin ms", "ms", "ratio", "goal", "read ms", "extra MB")
    print("{:>12} {:>5} {:>20} {:>8} {:>6} {:>6} {:>5} {:>7} {:>8}".format(*head))
    for row in table:
        size = f"{row['classes']} x {row['per_class']}"
        print(
            f"{size:>12} {row['d']:5} {row['preset']:>20} {row['twin_ms']:8.0f} "
            f"{row['package_ms']:6.1f} {row['ratio']:6.0f} {row['goal']:5} "
            f"{row['read_once_ms']:7.1f} {row['extra_mb']:8.1f}"
        )
    for name, found in parts.items():
        print(name, "; ".join(f"{stage} {time:.2f} ms" for stage, time in found.items()))
    for row in network:
        print(row)


if __name__ == "__main__":
    main()
