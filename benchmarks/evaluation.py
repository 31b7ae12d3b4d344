"""Robust accuracy, over-statement and passes beside torchattacks and foolbox, same points.

Run ``OMP_NUM_THREADS=1 python benchmarks/evaluation.py``: one process, one thread, process time.
Trains a standard and a robust network, evaluates both with every method at every radius, and writes
``results/benchmarks/evaluation.json``. A method over-states a sample that it leaves standing and
any other method breaks; it differs from AutoAttack where its flag is another one. foolbox takes
part where installed.

Networks of recorded runs are compared with ``--networks standard=FILE robust=FILE --data cifar10
--images 200 --radii 4 8 12 --name evaluation-cifar10``; ``--only METHOD`` leaves methods out.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import process_time

import torch
from published_attacks import Published, published
from torch import Tensor, nn

from semirobust.attacks.autoattack import AutoAttack, FastEnsemble
from semirobust.attacks.ball import distance, fooled
from semirobust.attacks.carlini_wagner import CarliniWagner
from semirobust.attacks.gradient import NFGSM, PGD
from semirobust.data import Samples, load, subset
from semirobust.evaluation.report import Counted, Report, robust_accuracy
from semirobust.evaluation.stand_in import stand_in
from semirobust.findings.peers import HUNDRED, OFFICIAL, PGD_20, STAND_IN, times
from semirobust.models import build
from semirobust.results.records import provenance, results_root, write_atomically
from semirobust.training.files import load_network
from semirobust.training.fitting import Training, accuracy, fit
from semirobust.training.methods import Online

torch.set_num_threads(1)


def trained(samples: Samples, radius: float, epochs: int) -> nn.Sequential:
    """Return a network trained on clean samples, or by N-FGSM where there is a radius."""
    network = build("vgg16", classes=10, size=32, width=0.125, seed=0)
    settings = Training(epochs=epochs, learning_rate=0.05, batch=64)
    if radius:
        settings = replace(settings, method=Online(attack=NFGSM(epsilon=radius)))
    list(fit(network, samples, settings))
    learnt = accuracy(network, samples)
    if learnt < 0.5:
        raise RuntimeError(f"the network has not learnt (training accuracy {learnt:.3f})")
    return network


def hundred(radius: float) -> dict[str, Published]:
    """Return torchattacks' members with the official numbers of steps and queries."""
    steps = {"eps": radius, "steps": 100}
    return {
        "apgd": Published(kind="APGD", settings=steps),
        "apgdt": Published(kind="APGDT", settings=steps),
        "fab": Published(kind="FAB", settings=steps | {"multi_targeted": True}),
        "square": Published(
            kind="Square", settings={"eps": radius, "n_queries": 5000, "resc_schedule": True}
        ),
    }


def methods(network: nn.Module, x: Tensor, y: Tensor, radius: float) -> Mapping[str, Callable]:
    """Return the evaluations by name; each gives flags, forward and backward passes."""
    step = {"step_size": radius / 4, "steps": 20}
    peer = Published(kind="PGD", settings={"eps": radius, "alpha": radius / 4, "steps": 20})
    near = stand_in(network, x[:20])

    def own(attack: object, **settings: object) -> Callable:
        return lambda: counted(robust_accuracy(network, x, y, attack, batch=len(x), **settings))

    found: dict[str, Callable] = {
        "PGD 20": own(PGD(epsilon=radius, stop_when_fooled=True, **step)),
        "fast": own(FastEnsemble(epsilon=radius)),
        OFFICIAL: own(AutoAttack(epsilon=radius)),
        "AutoAttack, seed 1": own(AutoAttack(epsilon=radius), seed=1),
        STAND_IN: own(AutoAttack(epsilon=radius), stand_in=near),
        f"{STAND_IN}, seed 1": own(AutoAttack(epsilon=radius), stand_in=near, seed=1),
        PGD_20: lambda: whole(network, x, y, peer),
        "torchattacks AutoAttack": own({"autoattack": published("autoattack", radius)}),
        HUNDRED: own(hundred(radius)),
    }
    if find_spec("foolbox"):
        found["foolbox PGD 20"] = lambda: by_foolbox(network, x, y, radius)
    return found


def counted(report: Report) -> tuple[Tensor, int, int]:
    """Return what a table needs of a report."""
    return report.standing, report.forward, report.backward


def whole(network: nn.Module, x: Tensor, y: Tensor, attack: Published) -> tuple[Tensor, int, int]:
    """Return what a library finds that is given all samples at once."""
    through = Counted(network)
    x_adv = attack(through, x, y, generator=torch.Generator().manual_seed(0))
    return ~fooled(through, x_adv, y) & ~fooled(network, x, y), through.forward, through.backward


def by_foolbox(network: nn.Module, x: Tensor, y: Tensor, radius: float) -> tuple[Tensor, int, int]:
    """Return what foolbox's PGD finds."""
    foolbox, through = import_module("foolbox"), Counted(network)
    shell = nn.Module()
    shell.forward = through
    attack = foolbox.attacks.LinfPGD(steps=20, abs_stepsize=radius / 4)
    with torch.random.fork_rng():
        model = foolbox.PyTorchModel(shell.eval(), bounds=(0, 1), device="cpu")
        _, _, broken = attack(model, x, y, epsilons=radius)
    return ~broken & ~fooled(network, x, y), through.forward, through.backward


def rows(
    network: nn.Module, name: str, samples: Samples, radius: int, only: list[str]
) -> list[dict]:
    """Return one row a method: accuracy, over-stated samples, passes and seconds."""
    x, y = samples.x, samples.y
    every, found = methods(network, x, y, radius / 255), {}
    unknown = sorted(set(only) - set(every))
    if unknown:
        raise SystemExit(f"unknown method {unknown[0]!r}; known: {', '.join(every)}")
    if only and not {OFFICIAL, STAND_IN} & set(only):
        raise SystemExit(f"add {OFFICIAL!r} or {STAND_IN!r}: the others are held against it")
    for method, evaluation in every.items():
        if only and method not in only:
            continue
        start = process_time()
        flags, forward, backward = evaluation()
        found[method] = flags, forward, backward, process_time() - start
    worst = torch.stack([flags for flags, *_ in found.values()]).all(dim=0)
    official = found.get(OFFICIAL, found.get(STAND_IN))[0]
    return [
        {
            "network": name,
            "epsilon_255": radius,
            "method": method,
            "clean_accuracy": float((~fooled(network, x, y)).double().mean()),
            "accuracy": float(flags.double().mean()),
            "overstated": int((flags & ~worst).sum()),
            "AutoAttack_missed": int((official & ~flags).sum()),
            "differs": int((official != flags).sum()),
            "forward": forward,
            "backward": backward,
            "cpu_seconds": round(seconds, 2),
        }
        for method, (flags, forward, backward, seconds) in found.items()
    ]


def distances(network: nn.Module, name: str, samples: Samples) -> dict:
    """Return the mean 2-norm of C&W beside foolbox's, on clean and on saturated images."""
    result: dict = {"network": name}
    for kind, x in (("images", samples.x), ("saturated", samples.x.round())):
        with torch.no_grad():
            y = network(x).argmax(1)
        ours = CarliniWagner(steps=100)(network, x, y, generator=torch.Generator())
        points = {"ours": ours}
        if find_spec("foolbox"):
            foolbox = import_module("foolbox")
            model = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
            attack = foolbox.attacks.L2CarliniWagnerAttack(
                binary_search_steps=9, steps=100, initial_const=1.0, abort_early=False
            )
            points["foolbox"] = attack(model, x, y, epsilons=None)[1]
        both = torch.stack([fooled(network, point, y) for point in points.values()]).all(dim=0)
        for peer, point in points.items():
            result[f"{kind}, {peer}, success"] = float(fooled(network, point, y).double().mean())
            length = distance(point, x, "2")[both].mean()
            result[f"{kind}, {peer}, mean 2-norm"] = round(float(length), 4)
    return result


def named(entry: str) -> tuple[str, Path]:
    """Return the two sides of NAME=FILE."""
    name, sign, file = entry.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"write NAME=FILE, got {entry!r}")
    return name, Path(file)


def main() -> None:
    """Run, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--training-radius", type=int, default=16)
    parser.add_argument("--radii", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--networks", nargs="+", default=[], metavar="NAME=FILE", type=named)
    parser.add_argument("--data-root")
    parser.add_argument("--only", nargs="+", default=[], metavar="METHOD")
    parser.add_argument("--name", default="evaluation")
    chosen = parser.parse_args()
    images = load(chosen.data, chosen.data_root)
    some = subset(images.test, chosen.images)
    networks = {name: load_network(file) for name, file in chosen.networks} or {
        name: trained(images.train, radius / 255, chosen.epochs)
        for name, radius in (("standard", 0), ("robust", chosen.training_radius))
    }
    table, lengths = [], []
    for name, network in networks.items():
        for epsilon in chosen.radii:
            table += rows(network, name, some, epsilon, chosen.only)
            show([row for row in table if row["network"] == name and row["epsilon_255"] == epsilon])
        lengths.append(distances(network, name, subset(images.test, 20)))
    document = {
        "settings": {
            **{name: value for name, value in vars(chosen).items() if name != "data_root"},
            "networks": [f"{name}={'/'.join(file.parts[-2:])}" for name, file in chosen.networks],
        },
        "evaluation": table,
        "ratios": {" / ".join(pair): row.to_dict() for pair, row in times(table).iterrows()},
        "carlini_wagner": lengths,
        "provenance": provenance(threads=1),
    }
    path = results_root() / "benchmarks" / f"{chosen.name}.json"
    write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())
    for part in (document["ratios"], *lengths):
        print(json.dumps(part, indent=1))


def show(table: list[dict]) -> None:
    """Print the rows."""
    print(f"{table[0]['network']}, radius {table[0]['epsilon_255']}/255", flush=True)
    print(f"{'':32} accuracy over-stated differs   forward  backward  CPU s")
    for row in table:
        print(
            f"{row['method']:32} {row['accuracy']:8.3f} {row['overstated']:11} "
            f"{row['differs']:7} {row['forward']:9} {row['backward']:9} {row['cpu_seconds']:6.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
