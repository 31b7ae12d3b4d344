"""Training steps, trials of Algorithm 1 and evaluation beside the loops people write.

Run ``OMP_NUM_THREADS=1 python benchmarks/training.py [--images 512]``: one process, one thread,
process time, the two sides in turn, medians of the rounds. The peer is a plain loop: torchattacks,
a shuffling DataLoader, float32, the whole network in every pass, and an attack on the whole test
part after every epoch. Writes ``results/benchmarks/training.json`` with goal and ratio of each.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from time import process_time

import torch
import torchattacks
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from semirobust.attacks.gradient import NFGSM, PGD
from semirobust.data import DataSet, Samples, load, subset
from semirobust.evaluation.report import robust_accuracy
from semirobust.experiments.tuning import cached
from semirobust.layers import cut, split
from semirobust.models import build
from semirobust.results.records import provenance, results_root, write_atomically
from semirobust.training.fitting import Training, accuracy, fit
from semirobust.training.methods import Method, Online, Plain

torch.set_num_threads(1)
RADIUS = 8 / 255
WIDE = 32 / 255  # on digits what 8/255 is on CIFAR-10: a standard network keeps nothing
STRONG = PGD(epsilon=RADIUS, step_size=2 / 255, steps=10, stop_when_fooled=True)
Pair = tuple[Callable[[], object], Callable[[], object]]


def network(*, a: int = 0) -> nn.Sequential:
    """Return VGG16 at a quarter of the width, its first ``a`` links without gradients."""
    built = build("vgg16", width=0.25)
    for link in list(built)[:a]:
        link.requires_grad_(requires_grad=False)
    return built


def settings(method: Method) -> Training:
    """Return one epoch as the ``cpu`` profile trains."""
    return Training(epochs=1, method=method, precision="bfloat16", channels_last=True)


def plain_epoch(model: nn.Sequential, samples: Samples, attack: Callable | None) -> None:
    """Train one epoch as people write it."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=5e-4)
    loader = DataLoader(TensorDataset(samples.x, samples.y), batch_size=128, shuffle=True)
    for x, y in loader:
        seen = x if attack is None else attack(x, y)
        model.train()
        loss = cross_entropy(model(seen), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def plain_test(model: nn.Sequential, samples: Samples, attack: Callable | None) -> float:
    """Return the accuracy on the test part, attacked where there is an attack."""
    right = 0
    for x, y in DataLoader(TensorDataset(samples.x, samples.y), batch_size=128):
        model.eval()
        seen = x if attack is None else attack(x, y)
        with torch.no_grad():
            right += int((model(seen).argmax(1) == y).sum())
    return right / len(samples)


def library_pgd(model: nn.Sequential, steps: int = 10, radius: float = RADIUS) -> Callable:
    """Return torchattacks' PGD on a model."""
    return torchattacks.PGD(model, eps=radius, alpha=radius / 4, steps=steps)


def step(images: DataSet) -> Pair:
    """Return one epoch of PGD-10 training, ours and theirs."""
    ours, theirs = network(), network()
    own = settings(Online(attack=PGD(epsilon=RADIUS, step_size=2 / 255, steps=10)))
    return (
        lambda: list(fit(ours, images.train, own)),
        lambda: plain_epoch(theirs, images.train, library_pgd(theirs)),
    )


def passes_alone(images: DataSet) -> Callable[[], object]:
    """Return the eleven passes of an epoch of PGD-10 training without all that we add to them.

    Ten gradients by the input and one by the weights, in the precision and the layout of ours: no
    attack's arithmetic, no optimiser, no shuffling, no checks. An epoch that takes no longer has
    nothing left to save between them.
    """
    bare, order = network().to(memory_format=torch.channels_last), torch.channels_last

    def work() -> None:
        for x, y in zip(images.train.x.split(128), images.train.y.split(128), strict=True):
            seen = x.contiguous(memory_format=order).requires_grad_()
            with torch.autocast("cpu", torch.bfloat16):
                for _ in range(10):
                    torch.autograd.grad(cross_entropy(bare.eval()(seen), y), seen)
                loss = cross_entropy(bare.train()(seen.detach()), y)
            loss.backward()
            bare.zero_grad()

    return work


def static_trials(images: DataSet, n_b: int, trials: int = 1, epochs: int = 5) -> Pair:
    """Return trials on stored examples with f_b of ``n_b`` layers, ours and theirs.

    Ours computes h_a once for all trials of a cut, as Algorithm 1 does in the experiments.
    """
    a = cut(network(), n_b)
    f_a, f_b = split(network(), a)
    theirs = network(a=a)

    def own() -> None:
        features = cached(f_a, images)
        stored = partial(accuracy, samples=features.validation)
        several = Training(epochs=epochs, precision="bfloat16", channels_last=True, method=Plain())
        for _ in range(trials):
            list(fit(f_b, features.train, several, validate=stored))

    def naive() -> None:
        for _ in range(trials * epochs):
            plain_epoch(theirs, images.train, None)
            plain_test(theirs, images.test, None)

    return own, naive


def online_trial(images: DataSet, attack: PGD | NFGSM) -> Pair:
    """Return an epoch of a trial against the network itself, f_b of 12 layers, ours and theirs."""
    a = cut(network(), 12)
    ours, theirs = network(), network(a=a)
    score = partial(accuracy, samples=images.validation, attack=STRONG)
    own = settings(Online(attack=attack))

    def naive() -> None:
        plain_epoch(theirs, images.train, library_pgd(theirs))
        plain_test(theirs, images.test, library_pgd(theirs))

    return lambda: list(fit(ours, images.train, own, a=a, validate=score)), naive


def evaluation(images: DataSet, steps: int) -> Pair:
    """Return PGD on a standard network that has learnt, ours and theirs."""
    learnt = network()
    list(fit(learnt, images.train, Training(epochs=6, learning_rate=0.05, batch=64)))
    attack = PGD(epsilon=WIDE, step_size=WIDE / 4, steps=steps, stop_when_fooled=True)
    few = images.test
    return (
        lambda: robust_accuracy(learnt, few.x, few.y, attack),
        lambda: plain_test(learnt, few, library_pgd(learnt, steps, WIDE)),
    )


def pairs(images: DataSet) -> Iterator[tuple[str, float, Pair]]:
    """Yield name, goal and the two sides of each comparison."""
    yield "PGD-10 training epoch", 2.5, step(images)
    for n_b, goal in ((12, 3.0), (4, 8.0)):
        yield f"static trial, n_b {n_b}", goal, static_trials(images, n_b)
        yield f"three static trials, n_b {n_b}", goal, static_trials(images, n_b, trials=3)
    yield "online trial, PGD-10", 2.5, online_trial(images, PGD(epsilon=RADIUS, steps=10))
    yield "online trial, N-FGSM", 8.0, online_trial(images, NFGSM(epsilon=RADIUS))
    for steps in (20, 50):
        yield f"evaluation, PGD-{steps}, standard network", 10.0, evaluation(images, steps)


def float32_over_bfloat16() -> float:
    """Return how many times a large matrix product in bfloat16 fits into one in float32."""
    full = torch.rand(1024, 1024)
    half = full.to(torch.bfloat16)
    found = [(seconds(lambda: half @ half), seconds(lambda: full @ full)) for _ in range(9)]
    return median(b / a for a, b in found)


def seconds(work: Callable[[], object]) -> float:
    """Return the process seconds of one call."""
    start = process_time()
    work()
    return process_time() - start


def main() -> None:
    """Run, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=512, help="of the training and the test part")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    whole = load("digits")
    images = DataSet(
        "digits",
        subset(whole.train, chosen.images),
        subset(whole.validation, max(16, chosen.images // 33)),
        subset(whole.train, chosen.images, seed=1),
        10,
    )
    table = []
    for name, goal, (ours, theirs) in pairs(images):
        found = [(seconds(ours), seconds(theirs)) for _ in range(chosen.rounds)]
        mine, peer = (median(side) for side in zip(*found, strict=True))
        ratio = round(median(b / a for a, b in found), 2)
        row = {"name": name, "ours": round(mine, 3), "peer": round(peer, 3)}
        table.append(row | {"ratio": ratio, "goal": goal, "met": ratio >= goal})
        print(json.dumps(table[-1]), flush=True)
    least = passes_alone(images)
    alone = median(seconds(least) for _ in range(chosen.rounds))
    most = {"seconds": round(alone, 3), "ratio": round(table[0]["peer"] / alone, 2)}
    document = {
        "settings": vars(chosen),
        "passes_alone": {"of": table[0]["name"]} | most,
        "float32_over_bfloat16": float32_over_bfloat16(),
        "ratios": table,
        "provenance": provenance(threads=1),
    }
    path = results_root() / "benchmarks" / "training.json"
    write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
