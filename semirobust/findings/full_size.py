"""Rows at full size beside the smaller ones of a chapter: fewer seeds, whole networks and data."""

from collections.abc import Callable

import pandas as pd

from semirobust.experiments import registry as experiments
from semirobust.figures.networks import with_labels
from semirobust.findings.tables import Tables, accuracies, named, varying
from semirobust.findings.words import NONE, decimals, percent, short
from semirobust.results.profiles import DEFAULT, PROFILES

PROFILE = "gpu"
Show = Callable[[Tables], pd.DataFrame]


def at_full_size(
    experiment: str, profile: str, show: Show, *, only: str = ""
) -> pd.DataFrame | str:
    """Return what ``show`` makes of the rows at full size, or a line where none is to be shown."""
    if profile == DEFAULT:
        return "Rows at full size stand beside recorded ones; profile smoke shows none."
    found = wide(experiment, only)
    return "No row at full size is recorded." if found is None else show(found)


def wide(experiment: str, only: str = "") -> Tables | None:
    """Return the tables of the rows at full size, or None where none is recorded."""
    known = _recorded(experiment, PROFILE, only)
    return experiments.tables(experiment, PROFILE, only=only) if known else None


def missing(experiment: str, only: str) -> str:
    """Return the command that runs the smallest real rows, or nothing where one is recorded."""
    known = [name for name in PROFILES[1:] if name in experiments.experiment(experiment).profiles]
    if any(_recorded(experiment, name, only) for name in known):
        return ""
    rows = (name for name in known for _ in experiments.rows(experiment, name, [only]))
    return f"semirobust run {experiment} --profile {next(rows)} --only {only}"


def _recorded(experiment: str, profile: str, only: str) -> bool:
    rows = experiments.rows(experiment, profile, [only])
    return any(experiments.is_recorded(experiment, row) for row in rows)


def protocols(tables: Tables) -> pd.DataFrame:
    """Return the accuracies of every network under each threat model, by protocol."""
    parts = [
        accuracies(tables, protocol).reset_index().assign(protocol=protocol)
        for protocol in ("online", "static")
        if (tables["networks"]["protocol"] == protocol).any()
    ]
    whole = pd.concat(parts).fillna(NONE)
    keys = ["protocol", *(name for name in ("model", "data", "setting") if name in whole)]
    return whole.set_index([*keys, "n_b", "network"])


def attacks(tables: Tables) -> pd.DataFrame:
    """Return the white-box accuracies of every network under several attacks (Tables S2 to S4)."""
    scores = named(tables["accuracies"])
    by = [*varying(scores), "cut", "label"]
    shown = scores.pivot_table(index=by, columns="attack", values="accuracy", sort=False)
    shown.insert(0, "clean", scores.groupby(by)["clean_accuracy"].mean())
    return percent(shown.rename_axis(index={"cut": "n_b", "label": "network"}, columns=None))


def images(tables: Tables) -> pd.DataFrame:
    """Return the excess of rho of every network, by the images that it is read on."""
    read = with_labels(tables["rho"]).replace({"against": {"the network itself": "itself"}})
    read = read.assign(label=short(read["label"]))
    by = [*varying(read), "against", "label"]
    return decimals(read.groupby(by, sort=False)["excess"].mean().unstack())
