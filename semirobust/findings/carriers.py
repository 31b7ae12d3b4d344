"""What carries robustness, and whether rho is a cause: intervals and sentences from records."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from semirobust.findings.tables import SMOKE
from semirobust.results import verdicts
from semirobust.results.profiles import DEFAULT
from semirobust.results.published import NAMES

CELL = ["model", "frozen", "origin", "training", "n_b"]
READ = {"paper": "value", "calibrated": "excess"}  # what is read of each preset
MOVES = 0.1  # bits of ρ that are a change: the margin of the claims
CLOSE = 0.1  # of the share that is retained: the margin of the claims


def retained(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return R of every cell, the mean over its seeds with the ends of a 95 % interval."""
    networks = tables["networks"]
    known = networks[networks["retention"].notna()].astype({"n_b": int})
    found = []
    for names, part in known.groupby(CELL, sort=False):
        one = _interval(part["retention"], part["retention_two_errors"].fillna(0) / 2, "share")
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


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """Return R in per cent with its interval, a column for each n_b."""
    words = [percent(row) for row in found.to_dict("records")]
    wide = found.assign(R=words).pivot_table("R", CELL[:-1], "n_b", aggfunc="first", sort=False)
    return wide.fillna("–")


def percent(one: Mapping[Any, Any]) -> str:
    return f"{one['mean']:.0%} [{one['low']:.0%}, {one['high']:.0%}]"


def carried(found: pd.DataFrame, profile: str) -> str:
    """Return what carries robustness, a paragraph for each architecture."""
    if profile == DEFAULT:
        return SMOKE
    return "\n\n".join(_carried(str(model), part) for model, part in found.groupby("model"))


def _carried(model: str, part: pd.DataFrame) -> str:
    cells = {tuple(row[name] for name in CELL[1:]): row for row in part.to_dict("records")}
    last, first = max(part["n_b"]), min(n for n in part["n_b"] if n >= 4)
    clean, trained = (cells["front", "robust", how, last] for how in ("clean", "adversarial"))
    behind, back = cells["front", "standard", "adversarial", last], ("back", "robust", "clean")
    seeds, less = int(clean["seeds"]), percent(cells["front", "robust", "clean", first])
    other = percent(cells[*back, first]) if (*back, first) in cells else "an unknown share"
    return (
        f"**{NAMES[model]}, {seeds} seed{'s' * (seeds > 1)}.** Of what the robust network has "
        "above the standard one under attack, a frozen robust front with a back of "
        f"{last} layers keeps {percent(trained)} when the back is trained against the attack, and "
        f"{percent(clean)} when it is trained on clean images ({less} with {first} layers). Behind "
        f"a standard front the training against the attack reaches {percent(behind)}. A frozen "
        f"robust back of {first} layers, its front trained on clean images, keeps {other}. So "
        f"the front with a back of {last} layers carries {_half(clean)} of it by itself."
    )


def _half(one: Mapping[Any, Any]) -> str:
    if one["low"] > 1 - CLOSE:
        return "all"
    if one["high"] < CLOSE:
        return "nothing"
    if one["low"] > 0.5:
        return "more than half"
    return "less than half" if one["high"] < 0.5 else "a part, whether half we cannot tell,"


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
    return pd.DataFrame(found).set_index(["training", "of"])


def dosed(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row a dose and seed: its training, weight, mean ρ_j and white-box accuracy."""
    networks, rho = tables["networks"], tables["rho"]
    keys = ["model", "seed", "network"]
    chosen = networks[networks["weight"].notna()]
    for preset, column in READ.items():
        means = rho[rho["preset"] == preset].groupby(keys)[column].mean().rename(preset)
        chosen = chosen.join(means, on=keys)
    return chosen


def caused(tables: Mapping[str, pd.DataFrame], profile: str) -> str:
    """Return whether ρ is a cause, as far as the interventions tell."""
    if profile == DEFAULT:
        return SMOKE
    table, moved = tables["writings"], writings(tables)
    most = [name for name in moved.index if name.endswith("copies")][-1]
    heads = table.groupby("network")["whitebox"].mean()
    apart = moved.loc["standard head", ["ρ as published", "excess"]].abs().max()
    if apart > 0:
        raise ValueError(f"the heads do not share their hidden layers: ρ differs by {apart:.2g}")
    copies, idle = moved.loc[most].iloc[0], moved.loc["idle units"].iloc[0]
    if min(abs(copies), abs(idle)) < MOVES:
        raise ValueError(f"no sentence for ρ that moves by {copies:.3f} and {idle:.3f} bits")
    grown = doses(tables)
    told = [_dose(str(how), grown.loc[how]) for how in grown.index.unique("training")]
    return (
        "What ρ says can be changed without changing the function, and the other way round. "
        f"Written as {most}, the robust network has a ρ {copies:+.2f} bits away, with idle units "
        f"{idle:+.2f}; no logit moves by more than {moved['logits'].max():.0e} of the largest. Two "
        "networks with the same hidden layers, and so the same hidden ρ to the bit, keep "
        f"{heads['robust head']:.1%} and {heads['standard head']:.1%} under attack. "
        f"{' '.join(told)}"
    )


def _dose(training: str, grown: pd.DataFrame) -> str:
    bits, points = (dict(grown.loc[name]) for name in ("excess", "white-box"))
    how = {"clean": "on clean images", "adversarial": "against the attack"}[training]
    return (
        f"A back trained {how} with more and more InfoNCE: the excess of ρ {_grows(bits)} by "
        f"{bits['mean']:+.2f} bits [{bits['low']:+.2f}, {bits['high']:+.2f}], white-box accuracy "
        f"{_grows(points)} by {100 * points['mean']:+.1f} points "
        f"[{100 * points['low']:+.1f}, {100 * points['high']:+.1f}]."
    )


def _grows(one: Mapping[Any, Any]) -> str:
    if one["low"] > 0:
        return "rises"
    return "falls" if one["high"] < 0 else "changes, in no direction that we can tell,"
