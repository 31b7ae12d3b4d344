"""The one reader of recorded results: an experiment's table, with columns that name each run.

What names a run stands in its settings, so nothing of the experiments is imported, nor torch.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from semirobust.results.documents import dated, value_at
from semirobust.results.records import read, results_root
from semirobust.results.verdicts import FEW

_MODEL = {"model": "study.architecture.name", "data": "study.data.name"}
_STUDY = _MODEL | {"seed": "study.seed"}  # whose tables have a protocol of their own
_ROW = _MODEL | {"protocol": "study.protocol", "seed": "study.seed", "setting": "label"}
_HUNT = {"data": "data.name", "training": "tickets.steps.attack.kind", "epsilon": "epsilon"}
_HUNT |= {"steps": "tickets.steps.iterations"}
_TRAINED = {"data": "data.name"} | {n: n for n in ("epsilon", "method", "epochs", "seed")}


def _within(field: str, columns: Mapping[str, str]) -> dict[str, str]:
    return {name: f"{field}.{place}" for name, place in columns.items()}


COLUMNS: Mapping[str, Mapping[str, str]] = {  # of settings by kind: where a column's value stands
    "Row": _ROW,
    "Audited": _within("row", _ROW),
    "Carriers": _ROW,
    "Intervened": _ROW,
    "Reading": _within("row", _ROW),
    "Attacked": _STUDY,
    "Linear": _STUDY,
    "Rewinding": {"model": "architecture.name", "data": "data.name", "seed": "seed"},
    "Certification": _TRAINED,
    "Transfer": _within("front", _TRAINED) | {"front": "front.method"},
    "Cost": {"data": "row.data.name", "epsilon": "row.epsilon"},
    "Hunt": _HUNT,
    "Join": _within("hunt", _HUNT),
}
DEFAULTS = {  # settings keep only what differs from them
    "data": "digits",
    "seed": 0,
    "epochs": 40,
    "epsilon": 0.3,
    "training": "standard",
    "steps": 50_000,
}


def columns(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that name a run, from its settings as they are recorded.

    Example:
        >>> columns({"kind": "Hunt", "data": {"kind": "Part"}, "epsilon": 0.1})
        {'data': 'digits', 'training': 'standard', 'epsilon': 0.1, 'steps': 50000}
    """
    known = COLUMNS.get(settings.get("kind", ""), {})
    values = {name: value_at(settings, place) for name, place in known.items()}
    if isinstance(values.get("training"), str):
        values["training"] = values["training"].lower()  # the kind of the attack
    values |= {name: DEFAULTS.get(name) for name, value in values.items() if value is None}
    return {name: value for name, value in values.items() if value is not None}


def frame(
    experiment: str,
    table: str = "networks",
    profile: str | None = None,
    root: str | Path | None = None,
) -> pd.DataFrame:
    """Return a table of all recorded runs, with ``experiment``, ``key``, ``profile`` and ``file``.

    The folder of results is ``results_root()`` by default.
    """
    files = tuple(dated(path) for path in paths(experiment, root))
    rows = _frame(experiment, table, files).copy()
    return rows if profile is None else rows.query("profile == @profile").reset_index(drop=True)


def paths(experiment: str, root: str | Path | None = None) -> list[Path]:
    """Return the files of an experiment's records, in the order of their keys."""
    return sorted((Path(root or results_root()) / experiment).glob("*.json"))


@lru_cache(maxsize=64)
def _frame(experiment: str, table: str, files: tuple[tuple[Path, int], ...]) -> pd.DataFrame:
    runs = []
    for path, changed in files:
        record = _record(path, changed)
        named = {"experiment": experiment, "key": path.stem, "profile": record["profile"]}
        named |= {"file": path, **columns(record["settings"])}
        runs.append((named, {table: record["metrics"].get(table, [])}))
    return joined(runs).get(table, pd.DataFrame(columns=["experiment", "key", "profile", "file"]))


@cache
def _record(path: Path, _: int) -> dict[str, Any]:
    """Return a record, checked once for all its tables: one that was changed is not published."""
    return read(path)


def joined(
    runs: Iterable[tuple[Mapping[str, Any], Mapping[str, list[dict[str, Any]]]]],
) -> dict[str, pd.DataFrame]:
    """Return the tables of several runs, one frame each, with the columns that name the run."""
    parts: dict[str, list[pd.DataFrame]] = {}
    for named, tables in runs:
        for name, rows in tables.items():
            parts.setdefault(name, []).append(pd.DataFrame(rows).assign(**named))
    return {name: pd.concat(several, ignore_index=True) for name, several in parts.items()}


def retention_errors(networks: pd.DataFrame, run: Sequence[str]) -> "pd.Series[float]":
    """Return the standard error of R of each network, also of one that kept no image.

    There it is that of a count of 0, over the images and the accuracy of the run's robust network.
    ``run`` are the columns that tell runs apart.
    """
    robust = networks[networks["network"] == "robust"].set_index([*run])
    p = robust["whitebox"]
    images = p * (1 - p) / (robust["whitebox_two_errors"] / 2) ** 2
    least = networks[[*run]].join((FEW / images / p).rename("least"), on=[*run])["least"]
    return (networks["retention_two_errors"] / 2).fillna(least)


def mean_and_spread(
    values: "pd.Series[float]", digits: int = 3, *, alone: str = " (1 seed)", unit: str = ""
) -> str:
    """Return mean and, from two known values on, standard deviation; "" where none is known.

    ``alone`` is said of a value that is the only known one of several, ``unit`` after the numbers.

    Example:
        >>> mean_and_spread(pd.Series([0.25, 0.75, None]))
        '0.500 ± 0.354'
    """
    known = values.dropna()
    if known.empty:
        return ""
    mean = f"{known.mean():.{digits}f}"
    if len(known) > 1:
        return f"{mean} ± {known.std():.{digits}f}{unit}"
    return mean + unit + alone * (len(values) > 1)
