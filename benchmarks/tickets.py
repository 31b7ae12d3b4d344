"""Many ticket trainings as one batched network beside the same trainings one by one.

Run ``OMP_NUM_THREADS=1 python benchmarks/tickets.py``: one process, one thread, process time, the
two ways in turn. One by one is the field's ordinary loop: ``nn.Sequential`` with masks as
parametrisations, a DataLoader, torchattacks and Adam. Both start from the same weights and masks
and meet the same samples; what they end with is compared. Writes
``results/benchmarks/tickets.json``.
"""

import argparse
import json
from collections.abc import Callable
from statistics import median
from time import process_time

import torch
import torchattacks
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parametrize
from torch.utils.data import DataLoader, TensorDataset

from semirobust.attacks.gradient import FGSM, PGD
from semirobust.data import Samples, load
from semirobust.experiments.tickets import grey
from semirobust.results.records import provenance, results_root, write_atomically
from semirobust.tickets.batched import (
    Masked,
    Masks,
    Steps,
    Weights,
    chain,
    fit,
    full_masks,
    glorot_weights,
    sample_orders,
)
from semirobust.tickets.pruning import pruned

torch.set_num_threads(1)
SIZES, EPSILON, RATES = (64, 300, 100, 10), 0.1, (0.2, 0.2, 0.1)
ATTACKS = {
    "standard": None,
    "fgsm": FGSM(epsilon=EPSILON),
    "pgd": PGD(epsilon=EPSILON, step_size=EPSILON / 6, steps=10, random_start=False),
}


def peer(network: nn.Module, training: str) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Return the same attack of torchattacks."""
    if training == "standard":
        return None
    if training == "fgsm":
        return torchattacks.FGSM(network, eps=EPSILON)
    return torchattacks.PGD(network, eps=EPSILON, alpha=EPSILON / 6, steps=10, random_start=False)


def alone(
    weights: Weights, masks: Masks, samples: Samples, steps: Steps, training: str, number: int
) -> list[Tensor]:
    """Return the weights of one network after the ordinary loop."""
    network = chain(weights, full_masks(weights), number)
    for link, mask in zip(network, masks, strict=True):
        parametrize.register_parametrization(link[1], "weight", Masked(mask[number].T))
    order = sample_orders(len(samples), steps.batch, [number])
    places = [next(order)[0].tolist() for _ in range(steps.iterations)]
    loader = DataLoader(TensorDataset(samples.x, samples.y), batch_sampler=places)
    adam = torch.optim.Adam(network.parameters(), lr=steps.learning_rate)
    attack = peer(network, training)
    for x, y in loader:
        parts = [x] if attack is None else [x, attack(x, y)]
        losses = [
            cross_entropy(network(part), y, label_smoothing=steps.smoothing) for part in parts
        ]
        adam.zero_grad()
        torch.stack(losses).mean().backward()
        adam.step()
    return [link[1].weight.detach().T for link in network]


def compared(training: str, samples: Samples, networks: int, steps: Steps, level: int) -> dict:
    """Return the seconds of both ways, and how far apart their networks end."""
    weights = glorot_weights(SIZES, range(networks))
    masks = full_masks(weights)
    for _ in range(level):
        masks = pruned(weights, masks, RATES)
    begun = process_time()
    *_, (_, together) = fit(weights, masks, samples, steps, range(networks))
    batched = process_time() - begun
    singly = [alone(weights, masks, samples, steps, training, n) for n in range(networks)]
    loop = process_time() - begun - batched
    moved = max(
        float((own - (layer * mask)[number]).abs().max())
        for number, network in enumerate(singly)
        for own, layer, mask in zip(network, together, masks, strict=True)
    )
    return {"training": training, "level": level, "batched": batched, "loop": loop, "gap": moved}


def main() -> None:
    """Measure every training, print and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=15)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    samples = grey(load("digits").train, 8)
    rows = []
    for training, attack in ATTACKS.items():
        steps = Steps(iterations=chosen.iterations, attack=attack)
        for level in (0, 15):
            runs = [
                compared(training, samples, chosen.networks, steps, level)
                for _ in range(chosen.repeats)
            ]
            row = {
                "training": training,
                "level": level,
                "networks": chosen.networks,
                "iterations": chosen.iterations,
                "batched_seconds": round(median(run["batched"] for run in runs), 3),
                "loop_seconds": round(median(run["loop"] for run in runs), 3),
                "ratio": round(median(run["loop"] / run["batched"] for run in runs), 2),
                "largest_difference_of_weights": max(run["gap"] for run in runs),
            }
            rows.append(row)
            print(row)
    document = {"rows": rows, "provenance": provenance(threads=torch.get_num_threads())}
    path = results_root() / "benchmarks" / "tickets.json"
    write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())
    print(path)


if __name__ == "__main__":
    main()
