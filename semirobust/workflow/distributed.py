r"""One network trained by several processes, for the rare one that a single GPU is too slow for.

    torchrun --standalone --nproc-per-node=4 -m semirobust.workflow.distributed table-1 --row KEY \
        --processes 4

Every process takes its share of each batch, attacks it on its own copy of the network, and the
gradients are summed. A sample meets the noise that it would meet in one process, so without batch
norm the result is that of one process up to rounding. With batch norm it is another experiment:
statistics are taken over all shares (on GPUs; elsewhere it is refused), and examples are made on
a network whose statistics move. What comes out is an artefact of its own and no row's record.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.distributed as group
from torch import Generator, Tensor, nn

from semirobust.data import Samples
from semirobust.experiments.registry import finish
from semirobust.experiments.study import (
    WEIGHTS,
    Progress,
    Study,
    content,
    device_name,
    packed,
    parts,
    robust_artefact,
    seeded,
    static_examples,
    stepped,
)
from semirobust.experiments.study import standard_network as made_standard
from semirobust.results.artefacts import Artefact, held, publish
from semirobust.training.methods import Atta, AttaTrades, Batch, Method
from semirobust.workflow import stages


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A method of which this process computes a share of each batch.

    Args:
        method: What is minimised; it may draw noise once a step.
    """

    method: Method

    def __post_init__(self) -> None:
        """Reject a method that carries perturbations, which other processes would not see."""
        if isinstance(self.method, Atta | AttaTrades):
            raise ValueError("ATTA carries perturbations from epoch to epoch: use one process")

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the mean loss of the whole batch, with the gradient of this process's share."""
        n, rank, world = len(batch.y), group.get_rank(), group.get_world_size()
        first, last = n * rank // world, n * (rank + 1) // world
        mine = Generator()
        mine.set_state(batch.generator.get_state())
        _pass_over(mine, first)
        before = mine.get_state()
        share = slice(first, last)
        x, y, places = batch.x[share], batch.y[share], batch.places[share]
        own = batch._replace(x=x, y=y, places=places, generator=mine)
        loss = self.method(network, own) * ((last - first) / n)
        if not torch.equal(before, mine.get_state()):
            _pass_over(batch.generator, n)
        whole = loss.detach().clone()
        group.all_reduce(whole)
        return loss + (whole - loss.detach())


def _pass_over(generator: Generator, samples: int) -> None:
    """Draw what ``noise.sample_noise`` draws for samples of other processes."""
    torch.randint((1 << 63) - 1, (samples,), generator=generator)


@contextmanager
def processes(expected: int) -> Iterator[None]:
    """Join the group of torchrun's processes, which must be as many as expected."""
    group.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        if group.get_world_size() != expected:
            raise ValueError(
                f"{expected} processes were asked for and {group.get_world_size()} are here: "
                "start this by torchrun --nproc-per-node"
            )
        yield
    finally:
        group.destroy_process_group()


def prepared(network: nn.Sequential) -> nn.Sequential:
    """Return the network with gradients that are summed over all processes when they are there."""
    if any(isinstance(link, nn.modules.batchnorm._BatchNorm) for link in network.modules()):
        if not torch.cuda.is_available():
            raise ValueError(
                "batch norm over several processes needs GPUs: choose a network without it, such "
                "as alexnet, or train in one process"
            )
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    for weight in network.parameters():
        weight.register_post_accumulate_grad_hook(_summed)  # type: ignore[no-untyped-call]
    return network


def _summed(weight: Tensor) -> None:
    if weight.grad is not None:
        group.all_reduce(weight.grad)


def artefact_of(study: Study, world: int) -> Artefact:
    """Return what a robust network of several processes is named by."""
    about = (world, *robust_artefact(study).about)
    return Artefact(stage="distributed", about=about, code=(trained, Shared, Samples))


def trained(study: Study, samples: Samples, world: int) -> Iterator[Progress]:
    """Train (f_a*, f_b*) in this and the other processes; the first one publishes it."""
    network = prepared(study.architecture.build(seed=study.seed).to(samples.labels.device))
    training = seeded(study, study.robust)
    shared = replace(training, method=Shared(method=training.method))
    artefact, epochs = artefact_of(study, world), []
    path = artefact.folder / "checkpoint.pt"
    with _held_by_first(artefact, {"samples": content(samples)}) as work:
        if _agreed(due=work is not None and work.record is None):
            for step in stepped("distributed", network, samples, shared, path):
                epochs.append(asdict(step.epoch))
                yield step
            group.barrier()  # nobody writes a checkpoint any more
            if work is not None:
                publish(work, {WEIGHTS: packed(network)}, {"epochs": epochs}, device=device_name())


def _held_by_first(artefact: Artefact, inputs: dict[str, str]) -> AbstractContextManager[Any]:
    """Hold the artefact in the first process, for all of them."""
    return nullcontext() if group.get_rank() else held(artefact, inputs)


def _agreed(*, due: bool) -> bool:
    """Return what the first process says."""
    word = torch.tensor(due, device="cuda" if torch.cuda.is_available() else "cpu")
    group.broadcast(word, src=0)
    return bool(word)


def main() -> None:
    """Train the robust network of one row."""
    parser = argparse.ArgumentParser(prog="semirobust.workflow.distributed", description=__doc__)
    parser.add_argument("name", help="the experiment")
    parser.add_argument("--profile", default="smoke")
    parser.add_argument("--row", metavar="KEY", required=True, help="see semirobust status")
    parser.add_argument("--processes", type=int, required=True, help="as torchrun starts")
    parser.add_argument("--data-root", metavar="DIR")
    chosen = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    study = stages.row_of(stages.Place(chosen.name, chosen.profile, chosen.row)).study
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    clean = parts(study, chosen.data_root)
    with processes(chosen.processes):
        if study.protocol == "static":
            clean = static_examples(study, clean, finish(made_standard(study, clean)))
        train = clean.train.to("cuda") if torch.cuda.is_available() else clean.train
        for step in trained(study, train, chosen.processes):
            if not group.get_rank():
                sys.stdout.write(f"epoch {step.epoch.epoch}: loss {step.epoch.loss:.4f}\n")


if __name__ == "__main__":
    main()
