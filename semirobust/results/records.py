"""Settings -> key -> file: where every number of the book comes from.

A run is named by the settings that differ from their defaults, so a new field with a default keeps
old results valid. (Therefore a default is never changed in place.) Files are written whole or not
at all, and nothing is overwritten silently.
"""

import hashlib
import json
import math
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from functools import cache
from glob import escape
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import mkstemp
from typing import Any, get_args

ROOT = Path(__file__).resolve().parents[2]
RESULTS = "SEMIROBUST_RESULTS"
SUMS = "SHA256SUMS"  # in the folder of results; `sha256sum -c` reads it too
PACKAGES = ("semirobust", "torch", "torchvision", "torchattacks", "numpy", "scipy", "scikit-learn")


def is_checkout(folder: Path = ROOT) -> bool:
    """Return whether a folder is a checkout of the project; an installed package lies in none."""
    return (folder / "pyproject.toml").exists() and (folder / "_config.yml").exists()


def results_root() -> Path:
    """Return the folder of results: $SEMIROBUST_RESULTS, or ``results/`` where the work is done."""
    return Path(os.environ.get(RESULTS, _home() / "results"))


@contextmanager
def results_in(folder: Path) -> Iterator[None]:
    """Read and store results in a folder of the working directory for the block."""
    before = os.environ.get(RESULTS)
    os.environ[RESULTS] = str(folder.absolute())
    try:
        yield
    finally:
        del os.environ[RESULTS]
        os.environ |= {RESULTS: before} if before is not None else {}


def artifacts_root() -> Path:
    """Return the folder of weights and checkpoints: $SEMIROBUST_ARTIFACTS, or ``artifacts/``."""
    return Path(os.environ.get("SEMIROBUST_ARTIFACTS", _home() / "artifacts"))


def _home() -> Path:
    """Return the checkout, or the working directory of an installed package."""
    return ROOT if is_checkout() else Path.cwd()


def describe(settings: Any) -> Any:
    """Return the settings that differ from their defaults, nested, with the kind of each.

    A class's kind is its name, or ``kind: ClassVar[str]`` where a class was renamed: its records
    keep their keys. Equal settings are described alike: a number has the type of its field, and
    zero has no sign.
    """
    if isinstance(settings, list | tuple):
        return [describe(item) for item in settings]
    if isinstance(settings, dict):
        return {str(name): describe(value) for name, value in settings.items()}
    if isinstance(settings, float) and not math.isfinite(settings):
        raise ValueError(f"settings hold {settings}, which equals no other: give a finite number")
    if not is_dataclass(settings):
        return settings + 0.0 if isinstance(settings, float) else settings  # -0.0 + 0.0 is 0.0
    chosen: dict[str, Any] = {"kind": kind_of(type(settings))}
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        if value != _default(entry):
            chosen[entry.name] = describe(_of_type(value, entry.type))
    return chosen


def kind_of(settings: type) -> str:
    return str(vars(settings).get("kind", settings.__name__))


def _of_type(value: Any, kind: Any) -> Any:
    """Return a number as its field declares it: 1, 1.0 and True are one setting."""
    if isinstance(value, tuple | list):
        return [_of_type(item, kind) for item in value]
    declared = {kind, *get_args(kind)} & {bool, int, float}
    if len(declared) == 1 and isinstance(value, int | float):
        number = declared.pop()(value)
        return number if number == value else value
    return value


def _default(entry: Any) -> Any:
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


def key(settings: Any) -> str:
    """Return the twelve hex digits under which results of these settings are stored."""
    text = json.dumps(describe(settings), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: temporary file, fsync, rename.

    What a killed process left of the same file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = f".{path.name}.{platform.node()}."
    for left in path.parent.glob(f"{escape(beside)}*"):
        if not _is_alive(left.name.removeprefix(beside).partition(".")[0]):
            left.unlink(missing_ok=True)
    prefix = f"{beside}{os.getpid()}."
    descriptor, name = mkstemp(dir=path.parent, prefix=prefix)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(descriptor)
    except OSError as full:
        temporary.unlink()
        raise OSError(full.errno, full.strerror, str(path)) from full
    temporary.chmod(0o644)
    temporary.replace(path)


def _is_alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def provenance(
    *, device: str = "cpu", threads: int | None = None, arithmetic: str | None = None
) -> dict[str, Any]:
    """Return what a reader needs to place a number: the package's code, versions, and the machine.

    ``commit`` is that of the package's own checkout, or of $SEMIROBUST_COMMIT where there is none;
    ``files`` is a digest of the package's files, which identifies an installed package too.
    """
    status = _git("status", "--porcelain", "--", "semirobust", "pyproject.toml")
    return {
        "commit": _git("rev-parse", "HEAD") or os.environ.get("SEMIROBUST_COMMIT"),
        "dirty": None if status is None else bool(status),
        "files": _digest_of_files(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {name: _version(name) for name in PACKAGES},
        "device": device,
        "arithmetic": arithmetic,
        "threads": threads,
    }


def _git(*words: str) -> str | None:
    """Return git's answer about the package's checkout; None where the package has none.

    Git would climb to a repository that encloses an installed package, or follow $GIT_DIR.
    """
    if not is_checkout() or not (ROOT / ".git").exists():
        return None
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        answer = subprocess.run(
            ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False, env=own
        )
    except FileNotFoundError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


@cache
def _digest_of_files() -> str:
    state, package = hashlib.sha256(), ROOT / "semirobust"
    for path in sorted(package.rglob("*.py")):
        state.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return state.hexdigest()[:16]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Record:
    """One stored run: what was chosen, what came out, and where and how it was computed."""

    experiment: str
    key: str
    profile: str
    settings: dict[str, Any]
    metrics: dict[str, Any]
    provenance: dict[str, Any] = field(default_factory=dict)


def path_of(experiment: str, name: str) -> Path:
    """Return the file of one result: results/EXPERIMENT/KEY.json."""
    return results_root() / experiment / f"{name}.json"


def save(
    experiment: str,
    settings: Any,
    metrics: dict[str, Any],
    *,
    profile: str,
    origin: dict[str, Any],
    replace: bool = False,
) -> Path:
    """Store a run under the key of its settings; refuse to change recorded metrics silently."""
    name = key(settings)
    path = path_of(experiment, name)
    metrics = json.loads(json.dumps(metrics, allow_nan=False))
    if path.exists() and not replace:
        if load(experiment, name).metrics == metrics:
            return path
        raise FileExistsError(
            f"{path} holds other metrics for the same settings: move it away, or run with --replace"
        )
    record = Record(experiment, name, profile, describe(settings), metrics, origin)
    document = {"schema": 1, **asdict(record)}
    document["digest"] = digest_of(document)
    write_atomically(path, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())
    return path


def digest_of(document: Mapping[str, Any]) -> str:
    """Return the digest of everything in a record but the digest itself."""
    content = {name: value for name, value in document.items() if name != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def load(experiment: str, name: str) -> Record:
    """Return a stored run; a damaged, changed or misplaced file is named, and left as it is."""
    path = path_of(experiment, name)
    if not path.exists():
        raise FileNotFoundError(
            f"no result {experiment}/{name}: run `semirobust run {experiment}`, or see "
            "`semirobust status` for what is there"
        )
    document = read(path)
    return Record(**{entry.name: document[entry.name] for entry in fields(Record)})


def read(path: Path) -> dict[str, Any]:
    """Return the whole document of a stored run, after checking that it is what was stored."""
    again = f"bring it back from git, or delete it and run `semirobust run {path.parent.name}`"
    content = path.read_bytes()
    try:
        document: dict[str, Any] = json.loads(content)
        missing = [entry.name for entry in fields(Record) if entry.name not in document]
    except (ValueError, TypeError) as damage:
        raise ValueError(f"{path} is damaged ({type(damage).__name__}): {again}") from damage
    if missing:
        raise ValueError(f"{path} is damaged (no {missing[0]}): {again}")
    if document["key"] != path.stem:
        raise ValueError(
            f"{path} holds the result of {document['key']}: it was renamed; move it back"
        )
    if document["key"] != key(document["settings"]):
        raise ValueError(f"{path} holds other settings than its name says: {again}")
    if not _is_as_stored(path, content, document):
        raise ValueError(f"{path} was changed after it was stored: {again}")
    return document


def _is_as_stored(path: Path, content: bytes, document: Mapping[str, Any]) -> bool:
    """Return whether a record has its own digest, or that of the list of older ones."""
    if "digest" in document:
        return bool(document["digest"] == digest_of(document))
    listed = _listed(path.parent.parent / SUMS)
    name = f"{path.parent.name}/{path.name}"
    return name not in listed or listed[name] == hashlib.sha256(content).hexdigest()


@cache
def _listed(path: Path) -> dict[str, str]:
    """Return the digests of files that were stored before records had one of their own."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def records(experiment: str) -> list[Record]:
    """Return every stored run of an experiment, in the order of their keys."""
    folder = results_root() / experiment
    return [load(experiment, path.stem) for path in sorted(folder.glob("*.json"))]
