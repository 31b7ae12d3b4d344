"""What carries robustness, and whether rho is a cause: intervals and sentences from records."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from semirobust.experiments import registry as experiments
from semirobust.experiments.interventions import READ
from semirobust.findings.full_size import PROFILE as FULL
from semirobust.findings.sentences import SCALES
from semirobust.findings.tables import SMOKE, recorded
from semirobust.results import verdicts
from semirobust.results.frames import retention_errors
from semirobust.results.profiles import DEFAULT
from semirobust.results.published import NAMES
from semirobust.results.values import Words

CELL = ["model", "frozen", "origin", "training", "n_b"]
MOVES = 0.1  # bits of ρ, or accuracy, that are a change
CLOSE = 0.1  # of the share that is retained: the margin of the claims


def retained(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return R of every cell, the mean over its seeds with the ends of a 95 % interval."""
    networks = tables["networks"].drop_duplicates(["model", "seed", "network"])
    networks = networks.assign(error=retention_errors(networks, ["model", "seed"]))
    known = networks[networks["retention"].notna()].astype({"n_b": int})
    if "setting" in known:
        known = known[known["setting"] != "longer"]
    found = []
    for names, part in known.groupby(CELL, sort=False):
        one = _interval(part["retention"], part["error"], "share")
        found.append(
            {**dict(zip(CELL, names, strict=True)), "seeds": part["seed"].nunique(), **one}
        )
    return pd.DataFrame(found)


def _interval(
    values: "pd.Series[float]", errors: Any = 0.0, unit: str = "bits"
) -> dict[str, float]:
    """Return the mean of values, one a seed, and its 95 % interval over seeds and images."""
    of_images = float(pd.Series(errors, dtype=float).pow(2).mean())
    estimate = verdicts.estimate(values.tolist(), of_images, granted=verdicts.GRANTED[unit])
    low, high = estimate.interval()
    return {"mean": estimate.mean, "low": low, "high": high}


def shown(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return R in per cent with its interval, a column for each n_b."""
    found = retained(tables)
    words = [percent(row) for row in found.to_dict("records")]
    wide = found.assign(R=words).pivot_table("R", CELL[:-1], "n_b", aggfunc="first", sort=False)
    return wide.fillna("–")


def percent(one: Mapping[Any, Any]) -> str:
    return f"{one['mean']:.0%} [{one['low']:.0%}, {one['high']:.0%}]"


def carried(found: pd.DataFrame, profile: str) -> Words:
    """Return what carries robustness: in a sentence, then for each architecture."""
    if profile == DEFAULT:
        return Words(SMOKE)
    models = [(str(model), part) for model, part in found.groupby("model", sort=False)]
    told = [_lead(*models[0], profile), *(_carried(*each, profile) for each in models)]
    if profile != FULL and recorded("carriers", FULL):
        whole = retained(experiments.tables("carriers", FULL))
        told += [_carried(str(model), part, FULL) for model, part in whole.groupby("model")]
    return Words("\n\n".join(told))


def _cells(part: pd.DataFrame) -> tuple[dict[tuple[Any, ...], Any], int, int]:
    """Return the cells of an architecture, with the sizes of its smaller and larger back."""
    cells = {tuple(row[name] for name in CELL[1:]): row for row in part.to_dict("records")}
    return cells, min(n for n in part["n_b"] if n >= 4), max(part["n_b"])


def _runs(model: str, part: pd.DataFrame, profile: str) -> str:
    seeds = int(part["seeds"].max())
    return f"{NAMES[model]}, {SCALES[profile]}, {seeds} seed{'s' * (seeds > 1)}"


def _lead(model: str, part: pd.DataFrame, profile: str) -> str:
    cells, _, last = _cells(part)
    clean, trained = (cells["front", "robust", how, last] for how in ("clean", "adversarial"))
    behind = cells["front", "standard", "adversarial", last]
    return (
        f"A robust front alone carries {_half(clean)}: frozen, with a back of {last} layers "
        f"trained on clean images, it keeps {percent(clean)}. With that back trained against the "
        f"attack it keeps {percent(trained)}, and a standard front {percent(behind)} "
        f"({_runs(model, part, profile)})."
    )


def _carried(model: str, part: pd.DataFrame, profile: str) -> str:
    cells, first, last = _cells(part)
    clean = {
        f"a robust front with a back of {first} layers": ("front", "robust", first),
        f"with one of {last}": ("front", "robust", last),
        f"a robust back of {first} layers": ("back", "robust", first),
        f"one of {last}": ("back", "robust", last),
        "the front of another seed": ("front", "another", last),
    }
    attacked = {
        f"a robust front with a back of {last} layers": ("front", "robust", last),
        "a standard front": ("front", "standard", last),
        f"a standard back of {first} layers": ("back", "standard", first),
    }

    def kept(training: str, words: Mapping[str, tuple[str, str, int]]) -> str:
        known = {name: cells.get((*at[:2], training, at[2])) for name, at in words.items()}
        return ", ".join(f"{name} {percent(cell)}" for name, cell in known.items() if cell)

    return (
        f"**{_runs(model, part, profile)}.** Frozen, with the rest trained on clean images: "
        f"{kept('clean', clean)}. With the rest trained against the attack: "
        f"{kept('adversarial', attacked)}."
    )


def _half(one: Mapping[Any, Any]) -> str:
    if one["low"] > 1 - CLOSE:
        return "all of the robustness"
    if one["high"] < CLOSE:
        return "none of the robustness"
    if one["low"] > 0.5:
        return "more than half of the robustness"
    if one["high"] < 0.5:
        return f"{'less than half' if one['low'] > 0 else 'at most half'} of the robustness"
    if one["low"] <= 0:
        return "some of the robustness or none, we cannot tell"
    return "part of the robustness, whether half of it we cannot tell"


def writings(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return how far each writing moves ρ and the logits, the mean over seeds."""
    table = tables["writings"]
    columns = {"moved_paper": "ρ as published", "moved_calibrated": "excess", "change": "logits"}
    rows = table[table["network"] != "as trained"].groupby("network", sort=False)
    found = rows[[*columns]].mean().assign(change=rows["change"].max())
    return found.rename(columns=columns).rename_axis("written as")


def doses(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return for each training how ρ and accuracy grow from no dose to the largest."""
    names = {"calibrated": "excess", "paper": "ρ", "clean": "clean", "whitebox": "white-box"}
    found = []
    for training, part in tables["doses"].groupby("training", sort=False):
        for column, name in names.items():
            unit = "points" if column in ("clean", "whitebox") else "bits"
            found.append({"training": training, "of": name, **_interval(part[column], 0.0, unit)})
    return pd.DataFrame(found).set_index(["training", "of"]).round(4)


def dosed(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row a dose and seed: its training, weight, mean ρ_j and white-box accuracy."""
    networks, rho = tables["networks"], tables["rho"]
    keys = ["model", "seed", "network"]
    chosen = networks[networks["weight"].notna()]
    for preset, column in READ.items():
        means = rho[rho["preset"] == preset].groupby(keys)[column].mean().rename(preset)
        chosen = chosen.join(means, on=keys)
    return chosen


def caused(tables: Mapping[str, pd.DataFrame], profile: str) -> Words:
    """Return whether ρ is a cause, as far as the interventions tell."""
    if profile == DEFAULT:
        return Words(SMOKE)
    table, moved = tables["writings"], writings(tables)
    most = [name for name in moved.index if name.endswith("copies")][-1]
    heads = table.groupby("network")["whitebox"].mean()
    apart = moved.loc["standard head", ["ρ as published", "excess"]].abs().max()
    if apart > 0:
        raise ValueError(f"the heads do not share their hidden layers: ρ differs by {apart:.2g}")
    copies, idle = moved.loc[most].iloc[0], moved.loc["idle units"].iloc[0]
    lost = heads["robust head"] - heads["standard head"]
    if min(abs(copies), abs(lost)) < MOVES:
        raise ValueError(f"no sentence for {copies:.3f} bits moved and {lost:.3f} lost")
    grown = doses(tables)
    told = [_dose(str(how), grown.loc[how]) for how in grown.index.unique("training")]
    return Words(
        f"ρ does not fix robustness: two networks that share their hidden layers, and so ρ there, "
        f"keep {heads['robust head']:.1%} and {heads['standard head']:.1%} under attack, and "
        f"{most} of every unit, which leave exact information as it was, move the estimate by "
        f"{copies:+.2f} bits in one and the same function. "
        f"{_tried(grown)}\n\n"
        f"Idle units move ρ by {idle:+.2f} bits. No logit changes by more than "
        f"{moved['logits'].max():.0e} of the largest. {' '.join(told)}"
    )


def _tried(grown: pd.DataFrame) -> str:
    """Return whether training raised ρ, and whether robustness rose with it."""
    low = grown["low"].unstack("of")
    raised = low[low["excess"] > 0]
    if raised.empty:
        return "Whether more ρ would help was not tried: the training that should raise it did not."
    along = int((raised["white-box"] > 0).sum())
    return f"Raised in training, it takes robustness along in {along} of {len(raised)} trainings."


def _dose(training: str, grown: pd.DataFrame) -> str:
    bits, points = (dict(grown.loc[name]) for name in ("excess", "white-box"))
    how = {"clean": "on clean images", "adversarial": "against the attack"}[training]
    excess = f"{bits['mean']:+.2f} bits [{bits['low']:+.2f}, {bits['high']:+.2f}]"
    low, high = (f"{100 * points[end]:+.1f}" for end in ("low", "high"))
    accuracy = f"{100 * points['mean']:+.1f} points [{low}, {high}]"
    return (
        f"A back trained {how} with more and more InfoNCE: the excess of ρ {_grows(bits)} "
        f"({excess}), white-box accuracy {_grows(points)} ({accuracy})."
    )


def _grows(one: Mapping[Any, Any]) -> str:
    if one["low"] > 0:
        return "rises"
    return "falls" if one["high"] < 0 else "neither rises nor falls that we can tell"
