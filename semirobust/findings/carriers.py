"""What carries robustness, and whether rho is a cause: intervals and sentences from records."""

from collections.abc import Mapping
from typing import Any

import numpy as np
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
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
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
    models = [(str(model), part, profile) for model, part in found.groupby("model", sort=False)]
    others = models[1:]
    if profile != FULL and recorded("carriers", FULL):
        whole = retained(experiments.tables("carriers", FULL))
        others += [(str(model), part, FULL) for model, part in whole.groupby("model")]
    beside = "; ".join(filter(None, (_beside(*each) for each in others)))
    told = [_lead(*models[0]), _back(models[0][1])]
    told += [f"In the order of the first three numbers, {beside}."] if beside else []
    return Words("\n\n".join([told[0], " ".join(told[1:])]))


def _cells(part: pd.DataFrame) -> tuple[dict[tuple[Any, ...], Any], int, int]:
    """Return the cells of an architecture, with the sizes of its smaller and larger back."""
    cells = {tuple(row[name] for name in CELL[1:]): row for row in part.to_dict("records")}
    return cells, min(n for n in part["n_b"] if n >= 4), max(part["n_b"])


def _runs(model: str, part: pd.DataFrame, profile: str) -> str:
    seeds = int(part["seeds"].max())
    return f"{NAMES[model]}, {SCALES[profile]}, {seeds} seed{'s' * (seeds > 1)}"


def _three(part: pd.DataFrame) -> list[Any]:
    """Return three cells of the larger back.

    Behind a robust front, trained on clean images or against the attack; then behind a standard
    one.
    """
    cells, _, last = _cells(part)
    asked = (("robust", "clean"), ("robust", "adversarial"), ("standard", "adversarial"))
    return [cells.get(("front", *names, last)) for names in asked]


def _lead(model: str, part: pd.DataFrame, profile: str) -> str:
    clean, trained, behind = _three(part)
    return (
        f"A robust front alone carries {_half(clean)}: frozen, with a back of {part['n_b'].max()} "
        f"layers trained on clean images, it keeps {percent(clean)}. With that back trained "
        f"against the attack it keeps {percent(trained)}, and a standard front {percent(behind)} "
        f"({_runs(model, part, profile)})."
    )


def _back(part: pd.DataFrame) -> str:
    cells, *sizes = _cells(part)
    known = {n: cells.get(("back", "robust", "clean", n)) for n in sizes}
    kept = [f"{percent(cell)} ({n} layers)" for n, cell in known.items() if cell]
    return f"A robust back alone keeps {' or '.join(kept)}." if kept else ""


def _beside(model: str, part: pd.DataFrame, profile: str) -> str:
    three = _three(part)
    if not all(three):
        return ""
    first, second, third = map(percent, three)
    return f"{_runs(model, part, profile)}: {first}, {second} and {third}"


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
    """Return as words how far each writing moves ρ and the logits, the mean over seeds."""
    found = _moved(tables)
    return found.map("{:+.2f}".format).assign(logits=found["logits"].map(_tiny))


def _tiny(value: float) -> str:
    """Return a small number as words.

    Example:
        >>> _tiny(2.1e-9)
        '2 × 10⁻⁹'
    """
    digit, _, power = f"{value:.0e}".partition("e")
    return f"{digit} × 10{str(int(power)).translate(RAISED)}" if value else "0"


def _moved(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    table = tables["writings"]
    columns = {"moved_paper": "ρ as published", "moved_calibrated": "excess", "change": "logits"}
    rows = table[table["network"] != "as trained"].groupby("network", sort=False)
    found = rows[[*columns]].mean().assign(change=rows["change"].max())
    return found.rename(columns=columns).rename_axis("written as")


def doses(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return for each training, in bits and points, what grows from no dose to the largest."""
    found = _grown(tables)
    points = found.index.get_level_values("of").isin(["clean", "white-box"])
    words = found.map("{:+.2f} bits".format)
    words[points] = (100 * found[points]).map("{:+.1f} points".format)
    return words


def _grown(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    names = {"calibrated": "excess", "paper": "ρ", "clean": "clean", "whitebox": "white-box"}
    found = []
    for training, part in tables["doses"].groupby("training", sort=False):
        for column, name in names.items():
            unit = "points" if column in ("clean", "whitebox") else "bits"
            of_images = _of_images(tables, str(training)) if column == "whitebox" else 0.0
            interval = _interval(part[column], of_images, unit)
            found.append({"training": training, "of": name, **interval})
    return pd.DataFrame(found).set_index(["training", "of"])


def _of_images(tables: Mapping[str, pd.DataFrame], training: str) -> float:
    """Return the standard error that the images leave of white-box accuracy's growth over doses."""
    reports = tables["reports"]
    rows = reports[(reports["column"] == "whitebox") & (reports["training"] == training)]
    flags = rows.sort_values("weight").groupby("seed")["standing"]
    doses = [[np.array([*one], dtype=float) for one in several] for _, several in flags]
    return float(verdicts.image_variance([verdicts.slopes(one) for one in doses]) ** 0.5)


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
    table, moved = tables["writings"], _moved(tables)
    most = [name for name in moved.index if name.endswith("copies")][-1]
    heads = table.groupby("network")["whitebox"].mean()
    apart = moved.loc["standard head", ["ρ as published", "excess"]].abs().max()
    if apart > 0:
        raise ValueError(f"the heads do not share their hidden layers: ρ differs by {apart:.2g}")
    copies = moved.loc[most].iloc[0]
    lost = heads["robust head"] - heads["standard head"]
    if min(abs(copies), abs(lost)) < MOVES:
        raise ValueError(f"no sentence for {copies:.3f} bits moved and {lost:.3f} lost")
    grown = _grown(tables)
    told = [_dose(str(how), grown.loc[how]) for how in grown.index.unique("training")]
    return Words(
        f"ρ does not fix robustness: two networks that share their hidden layers, and so ρ there, "
        f"keep {heads['robust head']:.1%} and {heads['standard head']:.1%} under attack, and "
        f"{most} of every unit, which leave exact information as it was, move the estimate by "
        f"{copies:+.2f} bits in one and the same function. {_tried(grown)}\n\n{' '.join(told)}"
    )


def _tried(grown: pd.DataFrame) -> str:
    """Return in which reading training raised ρ, and whether robustness rose with it."""
    low = grown["low"].unstack("of")
    told = []
    for name, words in (("ρ", "ρ as published"), ("excess", "its excess over the null")):
        raised = low[low[name] > 0]
        along = int((raised["white-box"] > 0).sum())
        told.append(
            f"Whether more of {words} would help was not tried: no training raised it."
            if raised.empty
            else f"Where training raises {words}, robustness rises in {along} of {len(raised)}."
        )
    return " ".join(told)


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
