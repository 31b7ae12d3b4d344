"""What a chapter ends with: what retraining restored, in a sentence, and where ρ is larger.

Written from the records that the chapter shows, so that the words cannot outlive the numbers.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from semirobust.findings.tables import (
    NONE,
    RUN,
    SMOKE,
    Tables,
    chosen,
    how_often,
    more,
    split,
    varying,
)
from semirobust.results.profiles import DEFAULT
from semirobust.results.published import NAMES
from semirobust.results.values import Words

CONTROLS = ("standard", "random")
AT_FULL = ("robust", "spliced", "tuned")


def answer(
    tables: Tables, profile: str, protocol: str = "online", threat: str = "whitebox"
) -> Words:
    """Return a sentence for each size of f_b: what splicing left, what each front brought back."""
    if profile == DEFAULT:
        return Words(SMOKE)
    networks = chosen(tables, protocol, threat=threat)
    keys = [*varying(networks), "cut"]
    groups = networks.groupby([*keys, "label"])
    reached = groups.agg({threat: "mean", "chance": "any"}).to_dict("index")
    lines = []
    for row in restored(tables, protocol, threat).reset_index().to_dict("records"):
        where = tuple(row[name] for name in [*keys[:-1], "n_b"])
        controls = [(front, reached.get((*where, f"frozen {front} f_a"))) for front in CONTROLS]
        behind = [
            f"{control[threat]:.1%} behind a {front} front" + " †" * bool(control["chance"])
            for front, control in controls
            if control
        ]
        same = f" The same training gives {' and '.join(behind)}." if behind else ""
        lines.append(f"- {_retrained(where, row)}{same}")
    return Words("\n".join(lines))


def _retrained(where: tuple[Any, ...], row: dict[Any, Any]) -> str:
    *names, n_b = where
    place = ", ".join(
        [*(NAMES.get(str(name), str(name)) for name in names), f"{n_b} layers retrained"]
    )
    share, robust, spliced, tuned = (row[name] for name in ("restored", *AT_FULL))
    drop = f"splicing cuts accuracy from {float(robust):.1%} to {float(spliced):.1%}"
    if not share[-1].isdigit():
        return f"**{place}**: {share} (robust {float(robust):.1%}, tuned {float(tuned):.1%})."
    back = f"retraining brings it to {float(tuned):.1%}, {float(share):.0%} of the drop"
    return f"**{place}**: {drop}; {back}."


def restored(tables: Tables, protocol: str | None = None, threat: str = "whitebox") -> pd.DataFrame:
    """Return the share of what splicing lost that retraining behind f_a* brings back.

    No share is given where no seed has anything to lose: "nothing to restore" where the robust
    network is no better than the standard one, "nothing was lost" where splicing cost nothing.
    """
    networks = chosen(tables, protocol, threat=threat)
    keys = varying(networks)
    found = []
    for names, part in split(networks, keys):
        wide = part.pivot_table(index="seed", columns=["cut", "label"], values=threat)
        for cut in [name for name in part["cut"].unique() if name != NONE]:
            places = {"standard": NONE, "spliced": cut, "tuned": cut, "robust": NONE}
            four = wide[[(place, name) for name, place in places.items()]].droplevel(0, axis=1)
            share = _share(four, part["n"].min())
            means = {str(name): f"{value:.3f}" for name, value in four.mean().items()}
            found.append({**names, "n_b": cut, **means, "restored": share})
    columns = [*keys, "n_b", "standard", "spliced", "tuned", "robust", "restored"]
    return pd.DataFrame(found, columns=columns).set_index([*keys, "n_b"])


def _share(four: pd.DataFrame, n: float) -> str:
    robust, spliced, standard = four["robust"], four["spliced"], four["standard"]
    if not more(robust, standard, n).any():
        return "nothing to restore"
    if not more(robust, spliced, n).any():
        return "nothing was lost"
    mean = four.mean()
    return f"{(mean['tuned'] - mean['spliced']) / (mean['robust'] - mean['spliced']):.2f}"


def larger(means: pd.DataFrame, asked: Sequence[tuple[str, ...]], by: str) -> pd.DataFrame:
    """Return in how many runs the ρ of one network is larger than that of all others ``asked``.

    ``means`` has columns ``label``, "value" and "excess" (of ρ), ``by``, which makes the columns of
    the table, and those that name the run.
    """
    keys = list(dict.fromkeys([by, *(name for name in RUN if name in means)]))
    found = {}
    for column, shown in (("value", "as published"), ("excess", "excess over the null")):
        wide = means.pivot(index=keys, columns="label", values=column)
        for one, *others in asked:
            known = wide[[one, *others]].dropna()
            held = known[one] > known[others].max(axis=1)
            counts = held.groupby(level=by, sort=False).agg(how_often)
            found[shown, f"{one} > {' and '.join(others)}"] = counts
    return pd.DataFrame(found).T.rename_axis(index=["ρ", "larger"], columns=None).fillna(NONE)
