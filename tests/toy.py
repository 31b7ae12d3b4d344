"""A grid of toys: real artefacts, real processes, and steps that only write a line into a ledger.

``python toy.py NAME`` makes one node of the graph in $TOY (a JSON file) and what it needs. The
ledger beside it gets a line for every step that is really taken: name, step, device, from, to.
"""

import json
import os
import sys
import time
from hashlib import sha256
from pathlib import Path

from semirobust.results.artefacts import Artefact, held, publish
from semirobust.results.gpus import gpu_slot
from semirobust.results.records import write_atomically


def graph_file():
    return Path(os.environ["TOY"])


def graph():
    return json.loads(graph_file().read_text(encoding="utf-8"))


def ledger():
    return graph_file().with_name("ledger.txt")


def steps(name=None):
    """Return the recorded steps, of one node or of all."""
    lines = ledger().read_text().splitlines() if ledger().exists() else []
    found = [line.split() for line in lines]
    return [words for words in found if name in (None, words[0])]


def artefact(name):
    node = graph()[name]
    about = (name, node.get("setting", 0), [artefact(one).key for one in node["upstream"]])
    return Artefact(stage=node["stage"], about=about, code=())


def made(name):
    """Return the content of a node, made now or before."""
    node = graph()[name]
    inputs = {one: sha256(made(one)).hexdigest() for one in node["upstream"]}
    with held(artefact(name), inputs) as work:
        if work.record is not None:
            return work.payload("payload")
        if node.get("broken"):
            raise ValueError(f"{name} cannot be made: its learning rate is too large")
        checkpoint = work.folder / "checkpoint"
        begin = int(checkpoint.read_text()) if checkpoint.exists() else 0
        for step in range(begin, node.get("steps", 2)):
            start = time.time()
            time.sleep(node.get("seconds", 0.05))
            device = os.environ.get("CUDA_VISIBLE_DEVICES", "-")
            with ledger().open("a") as file:
                file.write(f"{name} {step} {device} {start} {time.time()}\n")
            write_atomically(checkpoint, str(step + 1).encode())
        content = f"{name} {node.get('setting', 0)} {sorted(inputs.items())}".encode()
        publish(work, {"payload": content})
    return content


if __name__ == "__main__":
    try:
        with gpu_slot():
            made(sys.argv[1])
    except ValueError as error:
        sys.exit(f"toy: {error}")
