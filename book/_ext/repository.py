"""Where the project lives: its address, read from ``_config.yml``, the only file that holds it."""

from pathlib import Path
from typing import Any

import yaml

from semirobust import __version__
from semirobust.results.records import ROOT

TAG = f"v{__version__}"


def configuration(root: Path = ROOT) -> dict[str, Any]:
    path = root / "_config.yml"
    if not path.exists():
        raise FileNotFoundError(f"{root} is no checkout of the repository: {path.name} is missing")
    settings: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return settings


def address(root: Path = ROOT) -> str:
    """Return the address of the repository, such as ``https://github.com/owner/name``."""
    return str(configuration(root)["repository"]["url"])


def source_of(file: str, root: Path = ROOT, commit: str | None = None) -> str:
    """Return the address under which the repository shows a file or a folder of a commit."""
    kind = "blob" if Path(file).suffix else "tree"
    commit = commit or configuration(root)["repository"]["branch"]
    return f"{address(root)}/{kind}/{commit}/{file}".rstrip("/")
