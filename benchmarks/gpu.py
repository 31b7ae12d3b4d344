"""What a GPU takes: training steps with and without a recorded graph, AutoAttack, rho, CIFAR-10.

Run ``python benchmarks/gpu.py``: at most three minutes on an H100, on random images. ``--only
steps`` runs one part; part ``cifar10`` runs where that data set lies under the data root, and
trains ResNet-18 by N-FGSM to 45 % under PGD-50 (``--epochs``, ``--rate``, ``--averaging`` and
``--smoothing`` vary it). Writes ``results/benchmarks/gpu.json`` after each part; ``--tiny`` runs
anywhere, in seconds, and says only that everything works.
"""

import argparse
import json
import os
import warnings
from collections.abc import Callable
from functools import partial
from time import perf_counter

import torch
from torch import Tensor, nn

from semirobust.attacks.autoattack import AutoAttack, FastEnsemble
from semirobust.attacks.ball import trusting
from semirobust.attacks.gradient import NFGSM, PGD, strong_pgd
from semirobust.attacks.objectives import margin
from semirobust.data import SETS, Samples, data_root, device, folder, load, subset
from semirobust.edge import information
from semirobust.edge.estimator import Edge
from semirobust.evaluation.report import robust_accuracy
from semirobust.evaluation.stand_in import stand_in
from semirobust.experiments.study import computed_on
from semirobust.models import build
from semirobust.results.records import provenance, results_root, write_atomically
from semirobust.training.fitting import Run, Training, accuracy, fit, training_mode
from semirobust.training.methods import Method, Online, Plain

RADIUS = 8 / 255
METHODS: dict[str, Method] = {
    "plain": Plain(),
    "N-FGSM": Online(attack=NFGSM(epsilon=RADIUS)),
    "PGD-10": Online(attack=PGD(epsilon=RADIUS, step_size=2 / 255, steps=10)),
}
NETWORKS = ("vgg16", "resnet18")
GOALS = {  # of one H100: milliseconds a step at batch 128, seconds of the others
    "N-FGSM vgg16": 4.5,
    "N-FGSM resnet18": 6.5,
    "rho vgg16": 1.0,
    "cifar10": 60.0,
    "AutoAttack on 1,000 images": 60.0,
}


def finished() -> float:
    """Return the time when the device has done all it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return perf_counter()


def seconds(work: Callable[[], object]) -> float:
    start = finished()
    work()
    return finished() - start


def random_samples(n: int, classes: int = 10) -> Samples:
    """Return random bytes with all classes in turn, on the device."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (n, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return Samples(images, torch.arange(n) % classes).to(device())


def waits(run: Run, batches: int) -> float | None:
    """Return how often the host waits in a step, as torch counts it."""
    if not torch.cuda.is_available():
        return None
    with warnings.catch_warnings(record=True) as seen, trusting(valid=True):
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        for batch in run.batches(9):
            run.recorded(run.step, batch) if run.recorded else run.step(batch)
        torch.cuda.set_sync_debug_mode("default")
    return len([one for one in seen if "synchroniz" in str(one.message)]) / batches


def stepped(name: str, method: str, size: int, *, graph: bool, width: float, steps: int) -> dict:
    """Return milliseconds a step, waits, memory and the weights after a warm and a timed epoch."""
    os.environ["SEMIROBUST_GRAPH"] = str(int(graph))
    network = build(name, width=width).to(device(), memory_format=torch.channels_last)
    settings = Training(
        epochs=10,
        method=METHODS[method],
        batch=size,
        augment=True,
        precision="bfloat16",
        channels_last=True,
    )
    run = Run(network, random_samples(size * steps), settings, 0)
    with training_mode(network, 0):
        run.epoch(1)
        took = seconds(partial(run.epoch, 2))
        weights = torch.cat([weight.detach().flatten() for weight in network.parameters()])
        waited = waits(run, steps)
    recorded = bool(run.recorded and run.recorded.replay)
    return {"ms": 1000 * took / steps, "waits": waited, "recorded": recorded, "weights": weights}


def step_rows(chosen: argparse.Namespace) -> list[dict]:
    """Return a row for each network, method and batch: without and with a graph."""
    rows = []
    for size in (8,) if chosen.tiny else (128, 512):
        for name in NETWORKS:
            for method in METHODS:
                both = {"width": 0.0625, "steps": 2} if chosen.tiny else {"width": 1.0, "steps": 25}
                eager, again, graph = (
                    stepped(name, method, size, graph=flag, **both) for flag in (False, False, True)
                )
                row = {"network": name, "method": method, "batch": size}
                row |= {"eager_ms": round(eager["ms"], 3), "graph_ms": round(graph["ms"], 3)}
                row |= {"ratio": round(eager["ms"] / graph["ms"], 2), "recorded": graph["recorded"]}
                row |= {"waits": eager["waits"], "waits_graph": graph["waits"]}
                row["eager_to_eager"] = apart(eager["weights"], again["weights"])
                row["eager_to_graph"] = apart(eager["weights"], graph["weights"])
                if size == 128:
                    row["goal_ms"] = GOALS.get(f"{method} {name}")
                rows.append(row)
                print(json.dumps(row), flush=True)
    return rows


def apart(first: Tensor, second: Tensor) -> float:
    """Return the largest difference of two tensors."""
    return float((first - second).abs().max())


def standing(network: nn.Module, n: int) -> tuple[Tensor, Tensor]:
    """Return random images that a network is surest of, with its own classes as labels."""
    x = random_samples(8 * n).x
    with torch.no_grad():
        logits = torch.cat([network(part) for part in x.split(500)])
    y = logits.argmax(dim=1)
    surest = margin(logits, y).topk(n).indices
    return x[surest], y[surest]


def strongest(chosen: argparse.Namespace, epsilon: float) -> AutoAttack | FastEnsemble:
    return FastEnsemble(epsilon=epsilon) if chosen.tiny else AutoAttack(epsilon=epsilon)


def autoattack_rows(chosen: argparse.Namespace) -> list[dict]:
    """Return seconds of AutoAttack on images that all stand, and the calls that the host made."""
    rows = []
    for name in NETWORKS[:1] if chosen.tiny else chosen.attacked:
        network = build(name, width=0.0625 if chosen.tiny else 1.0).to(device())
        x, y = standing(network, 2 if chosen.tiny else 250)
        calls = []
        hook = network.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        attack = strongest(chosen, 1e-9)  # nothing is found, so nothing is left out
        start = finished()
        report = robust_accuracy(network, x, y, attack, batch=len(x))
        row = {"network": name, "images": len(x), "seconds": round(finished() - start, 2)}
        hook.remove()
        row |= {"host_calls": len(calls), "standing": float(report.standing.double().mean())}
        row |= {"forward": report.forward, "backward": report.backward}
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def rho_rows(chosen: argparse.Namespace) -> list[dict]:
    """Return seconds of rho at all layers, with its null, by preset; the second of two readings."""
    rows = []
    for name in NETWORKS[: 1 if chosen.tiny else None]:
        network = build(name, width=0.0625 if chosen.tiny else 1.0).to(device())
        samples = random_samples(300 if chosen.tiny else 10_000)
        for preset in ("paper", "calibrated"):
            edge = Edge.preset(preset, permutations=20)
            x, y = samples.x, samples.y
            read = partial(information.rho, network, x, y, edge=edge, a=1)
            first, second = seconds(read), seconds(read)
            row = {"network": name, "preset": preset, "images": len(y), "null": 20}
            row |= {"first_seconds": round(first, 2), "seconds": round(second, 2)}
            rows.append(row | {"goal_seconds": GOALS.get(f"rho {name}")})
            print(json.dumps(rows[-1]), flush=True)
    return rows


def cifar10_rows(chosen: argparse.Namespace) -> list[dict]:
    """Return seconds and accuracy of ResNet-18 trained by N-FGSM, and of AutoAttack on it.

    AutoAttack searches on the stand-in in bfloat16; what counts is confirmed on the network itself.
    """
    if chosen.tiny:
        images, epochs, width, few = load("digits"), 1, 0.0625, 10
    elif folder(data_root(chosen.data_root), "cifar10") is None:
        print(f"no {SETS['cifar10'][1]} under {data_root(chosen.data_root)}: part left out")
        return []
    else:
        images, epochs, width, few = load("cifar10", chosen.data_root), chosen.epochs, 1.0, 1000
    settings = Training(
        epochs=epochs,
        method=METHODS["N-FGSM"],
        learning_rate=chosen.rate,
        batch=512,
        augment=True,
        mirror=not chosen.tiny,
        precision="bfloat16",
        channels_last=True,
        averaging=chosen.averaging,
        label_smoothing=chosen.smoothing,
    )
    os.environ["SEMIROBUST_GRAPH"] = "1"
    network = build("resnet18", width=width).to(device())
    train, test = images.train.to(device()), images.test.to(device())
    took = seconds(lambda: list(fit(network, train, settings)))
    attacks = {
        "PGD-50": (strong_pgd(RADIUS, steps=50), few),
        "AutoAttack": (strongest(chosen, RADIUS), few if chosen.tiny else chosen.autoattack),
    }
    row = {"network": "resnet18", "images": len(train), "epochs": epochs, "batch": 512}
    row |= {"seconds": round(took, 2), "goal_seconds": GOALS["cifar10"]}
    row["clean"] = accuracy(network, test)
    for name, (attack, few) in attacks.items():
        if few:
            some, start = subset(test, few), finished()
            near = stand_in(network, some.x[:20]) if name == "AutoAttack" else None
            report = robust_accuracy(network, some.x, some.y, attack, batch=few, stand_in=near)
            row |= {name: report.accuracy, f"{name} images": few, "failed": len(report.check())}
            row[f"{name} seconds"] = round(finished() - start, 2)
    print(json.dumps(row), flush=True)
    return [row]


PARTS = {
    "steps": step_rows,
    "autoattack": autoattack_rows,
    "rho": rho_rows,
    "cifar10": cifar10_rows,
}


def main(words: list[str] | None = None) -> None:
    """Run, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--tiny", action="store_true", help="seconds on any machine")
    parser.add_argument("--data-root")
    parser.add_argument("--attacked", nargs="+", choices=NETWORKS, default=NETWORKS[:1])
    parser.add_argument("--autoattack", type=int, default=0, help="images, in part cifar10")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--averaging", type=float, default=0.99)
    parser.add_argument("--smoothing", type=float, default=0.0)
    chosen = parser.parse_args(words)
    device()  # sets the rules of precision, of which the record tells
    settings = {name: value for name, value in vars(chosen).items() if name != "data_root"}
    document = {"settings": settings, "goals": GOALS, "provenance": provenance(**computed_on())}
    path = results_root() / "benchmarks" / "gpu.json"
    for part in chosen.only:
        document[part] = PARTS[part](chosen)
        write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
