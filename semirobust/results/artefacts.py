"""Artefacts: what takes long is made once, by one process, and used only while it is valid.

An artefact is named by its stage, its settings and the code that makes it, and is one folder:

    .lock           held by the process that makes it; the kernel frees it when the process dies
    begun.json      from which inputs it is being made
    checkpoint*.pt  where to go on; gone once the payload is there
    ...             the payload
    record.json     settings, digests of inputs and payload, facts, cost, origin and its own digest;
                    written after the payload
    manifest.json   the same, written last: what a workflow engine waits for, and may delete
    failure.json    why the last attempt stopped

Whoever uses facts or a payload checks their digest first. The machine is no part of the name, which
is the same where jobs are planned and where they run: torch, device, arithmetic and threads stand
in the record, and ``witnessed`` tells of all artefacts behind a result. No torch here, and no
notion of networks.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from semirobust.results import code as sources
from semirobust.results import records as results
from semirobust.results.cost import Clock
from semirobust.results.records import write_atomically

T = TypeVar("T")
Inputs = Mapping[str, str]  # digests of the values it is made from, by name
SCHEMA = 2
ENVIRONMENT = ("device", "arithmetic", "threads")  # of a provenance, beside torch's version
_witness: ContextVar[list[dict[str, Any]] | None] = ContextVar("witness", default=None)


@dataclass(frozen=True, kw_only=True)
class Artefact:
    """What is made."""

    stage: str  # its kind, and the folder it lies in
    about: tuple[Any, ...]  # every setting on which its content depends
    code: tuple[Any, ...]  # functions and classes that make it; those of the settings are added

    @property
    def entries(self) -> list[Any]:
        """Return the functions and classes whose code, with all it reaches, is in the name."""
        return [*self.code, *_types(self.about)]

    @cached_property
    def key(self) -> str:
        """Return its name: twelve hex digits of stage, settings and code."""
        return results.key([self.stage, *self.about, sources.salt(self.entries)])

    @property
    def folder(self) -> Path:
        return results.artifacts_root() / self.stage / self.key


@dataclass(frozen=True, kw_only=True)
class Held:
    """An artefact in the hands of this process; ``record`` is None where it is to be made."""

    artefact: Artefact
    inputs: Inputs
    record: dict[str, Any] | None
    clock: Clock

    @property
    def folder(self) -> Path:
        return self.artefact.folder

    @property
    def facts(self) -> Any:
        return (self.record or {}).get("facts")

    def payload(self, name: str) -> bytes:
        """Return a file of the payload, which must be the published one to the last bit."""
        path, expected = self.folder / name, (self.record or {})["files"][name]
        content = path.read_bytes()
        if sha256(content).hexdigest() != expected:
            raise ValueError(
                f"{path} is not what was published: it was damaged or changed; delete "
                f"{self.folder} to have it made again"
            )
        return content


def _types(value: Any) -> list[type]:
    """Return the classes of all settings inside a value."""
    if isinstance(value, list | tuple):
        return [kind for item in value for kind in _types(item)]
    if not is_dataclass(value):
        return []
    inside = [kind for entry in fields(value) for kind in _types(getattr(value, entry.name))]
    return [type(value), *inside]


@contextmanager
def held(artefact: Artefact, inputs: Inputs) -> Iterator[Held]:
    """Hold an artefact: wait for its lock, use what is valid, forget what is of other inputs."""
    folder = artefact.folder
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        record = _valid(folder, inputs)
        if record is None:
            _begin(folder, inputs)
        else:
            _note(record)
            if read(folder / "manifest.json") != record:
                _write(folder / "manifest.json", record)
        try:
            yield Held(artefact=artefact, inputs=inputs, record=record, clock=Clock())
        except Exception as error:
            _write(folder / "failure.json", {"reason": f"{type(error).__name__}: {error}"})
            raise


def _valid(folder: Path, inputs: Inputs) -> dict[str, Any] | None:
    """Return the record of a whole payload made from these inputs."""
    record = whole(folder, "record.json") or whole(folder, "manifest.json")
    return record if record and record["inputs"] == dict(inputs) else None


def whole(folder: Path, name: str) -> dict[str, Any] | None:
    """Return a record beside its payload; None where either is missing, or cut off.

    Raises:
        ValueError: The record was changed, or is that of another artefact.
    """
    record = read(folder / name)
    if record is None or record.get("schema") != SCHEMA:
        return None
    if record.get("digest") != results.digest_of(record) or record["key"] != folder.name:
        raise ValueError(
            f"{folder / name} is not what was published: it was damaged or changed; delete "
            f"{folder} to have it made again"
        )
    return record if all((folder / file).exists() for file in record["files"]) else None


def _note(record: Mapping[str, Any]) -> None:
    """Tell whoever witnesses what is used or made."""
    if (seen := _witness.get()) is not None:
        seen.append(record["provenance"])


@contextmanager
def witnessed() -> Iterator[list[dict[str, Any]]]:
    """Note the provenance of every artefact that is used or made in the block."""
    seen: list[dict[str, Any]] = []
    token = _witness.set(seen)
    try:
        yield seen
    finally:
        _witness.reset(token)


def environments(seen: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return torch, device, arithmetic and threads of provenances, each with their number."""
    found = Counter(
        (one["versions"]["torch"], *(one.get(name) for name in ENVIRONMENT)) for one in seen
    )
    names = ("torch", *ENVIRONMENT)
    listed = sorted(found.items(), key=str)
    return [{**dict(zip(names, values, strict=True)), "artefacts": n} for values, n in listed]


def _begin(folder: Path, inputs: Inputs) -> None:
    """Keep checkpoints only where they began from the same inputs."""
    begun = read(folder / "begun.json")
    if begun is None or begun.get("inputs") != dict(inputs):
        _clear(folder, "record.json", "manifest.json")
        _write(folder / "begun.json", {"inputs": dict(inputs)})
    (folder / "failure.json").unlink(missing_ok=True)


def _clear(folder: Path, *names: str) -> None:
    for path in (*(folder / name for name in names), *folder.glob("checkpoint*")):
        path.unlink(missing_ok=True)


def publish(held: Held, files: Mapping[str, bytes], facts: Any = None, **origin: Any) -> Any:
    """Write payload, record and manifest, in this order, and return the facts as JSON has them.

    Facts are what is small: metrics, epochs. ``origin`` is added to the provenance.
    """
    for name, content in files.items():
        write_atomically(held.folder / name, content)
    cost = held.clock.spent()
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "stage": held.artefact.stage,
        "key": held.artefact.key,
        "settings": results.describe(held.artefact.about),
        "inputs": dict(held.inputs),
        "files": {name: sha256(content).hexdigest() for name, content in files.items()},
        "facts": json.loads(json.dumps(facts, allow_nan=False)),
        "cost": cost,
        "provenance": results.provenance() | origin,
    }
    record["digest"] = results.digest_of(record)
    _write(held.folder / "record.json", record)
    _write(held.folder / "manifest.json", record)
    _clear(held.folder, "begun.json", "failure.json")
    _note(record)
    return record["facts"]


def read(path: Path) -> dict[str, Any] | None:
    """Return a JSON file, or None where there is no whole one."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _write(path: Path, document: Mapping[str, Any]) -> None:
    write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())


def inputs_first(wanted: Iterable[T], needs: Callable[[T], Iterable[T]]) -> list[T]:
    """Return all that is wanted with what it needs, each once, what is needed first."""
    done: dict[T, None] = {}

    def visit(things: Iterable[T]) -> None:
        for thing in things:
            if thing not in done:
                visit(needs(thing))
                done[thing] = None

    visit(wanted)
    return list(done)


def state(manifest: Path) -> tuple[str, str]:
    """Return where an artefact stands, and what is to be said about it.

    The state is "done", "running", "damaged" or "failed" (with the reason), "stopped" (it goes on
    from its checkpoint) or "missing".
    """
    folder = manifest.parent
    try:
        if whole(folder, manifest.name):
            return "done", ""
    except ValueError as damage:
        return "damaged", str(damage)
    if _is_locked(folder / ".lock"):
        return "running", ""
    failure = read(folder / "failure.json")
    if failure is not None:
        return "failed", str(failure.get("reason"))
    return ("stopped", "") if (folder / "begun.json").exists() else ("missing", "")


def _is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # nobody works in a folder that cannot be written
        return False
