"""What a chapter found: accuracies, and differences beside their noise, as tables of few columns.

The sentences of a chapter are written once and shown with whatever is recorded, so they say what a
comparison would mean; these tables say, from the records shown, where it holds. A difference holds
in a seed where it exceeds two standard errors of the difference of two proportions, as if the two
networks had met different images and clean images had been as few as attacked ones. Both make the
noise larger than it is.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from semirobust import experiments
from semirobust.plotting import named, spread
from semirobust.settings import CLASSES

Tables: TypeAlias = Mapping[str, pd.DataFrame]

NONE = "–"  # no value, or a network without a cut
SHOWN = {"clean": "clean", "static": "static", "whitebox": "white-box", "autoattack": "AA"}
ROWS = ("model", "data", "setting")  # columns that tell rows of one table apart
NEAR = 0.02  # accuracy that counts as the same: the paper's one to two per cent
SMOKE = "Profile smoke: very small networks on digits. It finds nothing."
QUESTIONS = (
    ("splicing costs", "robust", "spliced"),
    ("retraining f_b gains", "tuned", "spliced"),
    ("standard front gains too", "frozen standard f_a", "spliced"),
    ("robust front gives more", "tuned", "frozen standard f_a"),
    ("more than random front", "tuned", "frozen random f_a"),
)


def recorded(experiment: str, profile: str) -> bool:
    """Return whether an experiment can be shown: run here (smoke), or recorded in the profile."""
    return profile == "smoke" or bool(experiments.recorded(experiment, profile))


def caption(tables: Tables, profile: str, protocol: str | None = None) -> str:
    """Return how many seeds stand behind the table of a protocol, and what the profile is worth."""
    networks = chosen(tables, protocol)
    if networks.empty:
        return f"The {protocol} protocol is not recorded in profile {profile}."
    seeds = networks.groupby([*several(networks), "cut", "label"], dropna=False).size()
    counts = sorted({int(count) for count in seeds})
    words = f"{counts[0]} seed" if counts == [1] else f"{' to '.join(map(str, counts))} seeds"
    auto = networks.get("autoattack", pd.Series(dtype=float)).notna()
    few = networks.loc[auto[auto].index, "seed"].nunique() if auto.any() else 0
    notes = ["mean ± standard deviation"] * (counts[-1] > 1)
    notes += [f"AA: AutoAttack, on {few} of them"] * bool(few)
    about = f" ({'; '.join(notes)})" if notes else ""
    first = SMOKE if profile == "smoke" else f"Profile {profile}."
    return f"{first}\nNetworks of {words}{about}."


def chosen(tables: Tables, protocol: str | None = None) -> pd.DataFrame:
    """Return the networks of a protocol with their names and, as a word, the size of f_b."""
    networks = tables["networks"]
    if protocol is not None:
        networks = networks[networks["protocol"] == protocol]
    return named(networks).assign(cut=cuts(networks["n_b"]))


def cuts(n_b: pd.Series) -> pd.Series:
    """Return sizes of f_b as words, a dash where there is none.

    Example:
        >>> cuts(pd.Series([4.0, None])).tolist()
        ['4', '–']
    """
    return pd.Series([NONE if pd.isna(n) else str(int(n)) for n in n_b], n_b.index, dtype=object)


def several(table: pd.DataFrame) -> list[str]:
    """Return the columns in which the rows of a table differ: model, data, setting."""
    return [name for name in ROWS if name in table and table[name].nunique() > 1]


def images(tables: Tables, threat: str) -> int:
    """Return how many images were attacked, the fewest of all rows.

    Where the threat is no attack, such as stored examples, it is the number of the white-box one.
    """
    reports = tables["reports"]
    column = threat if threat in set(reports["column"]) else "whitebox"
    return int(reports.loc[reports["column"] == column, "n"].min())


def noise(p: Any, q: Any, n: int) -> Any:
    """Return two standard errors of p - q, both shares of n images.

    One success and one failure are added to each (Agresti and Caffo 2000): a share of 0 has an
    error too.

    Example:
        >>> round(float(noise(0.5, 0.5, 200)), 3)
        0.1
        >>> bool(noise(0.008, 0, 500) > 0.008)
        True
    """
    p, q = ((share * n + 1) / (n + 2) for share in (p, q))
    return 2 * np.sqrt((p * (1 - p) + q * (1 - q)) / (n + 2))


def more(p: pd.Series, q: pd.Series, n: int) -> pd.Series:
    """Return where p is above q by more than their noise."""
    return p - q > noise(p, q, n)


def accuracies(tables: Tables, protocol: str | None = None) -> pd.DataFrame:
    """Return each network's accuracies; a dagger marks those that have ``collapsed``."""
    networks = chosen(tables, protocol)
    networks = networks.assign(chance=at_chance(tables, networks), network=short(networks["label"]))
    by = [*several(networks), "cut", "network"]
    lost = networks.groupby(by)["chance"].transform("any").astype(bool)
    networks["network"] += lost.map({True: " †", False: ""})
    columns = [name for name in SHOWN if name in networks and networks[name].notna().any()]
    groups = networks.groupby(by, sort=False, dropna=False)
    shown = groups[columns].agg(spread).replace(r" \(1 seed\)", "", regex=True).replace("", NONE)
    return shown.rename(columns=SHOWN).rename_axis(index={"cut": "n_b"})


def short(labels: pd.Series) -> pd.Series:
    """Return labels of networks without the f_a that controls end in."""
    return labels.str.removesuffix(" f_a")


def collapsed(tables: Tables, protocol: str | None = None) -> list[str]:
    """Return a line for each network whose clean accuracy is at chance in some seed."""
    networks = chosen(tables, protocol)
    by = [*several(networks), "cut", "label"]
    groups = networks.assign(chance=at_chance(tables, networks)).groupby(by, sort=False)["chance"]
    held = [(names, part) for names, part in groups if part.any()]
    known = [[str(word) for word in names if word != NONE] for names, _ in held]
    words = [", ".join(f"n_b = {n}" if n.isdigit() else n for n in names) for names in known]
    lines = [f"† at chance: {word}" for word in words]
    return [f"{line}, in {how_often(part)}" for line, (_, part) in zip(lines, held, strict=True)]


def at_chance(tables: Tables, networks: pd.DataFrame) -> pd.Series:
    """Return which networks have collapsed: clean accuracy within 0.02 or two errors of chance."""
    chance = 1 / networks["data"].map(CLASSES).fillna(10)
    near = 2 * np.sqrt(chance * (1 - chance) / images(tables, "whitebox"))
    return (networks["clean"] - chance).abs() <= np.maximum(near, NEAR)


def above_clean(tables: Tables, networks: pd.DataFrame) -> pd.Series:
    """Return which networks read stored examples better than the clean images they came from."""
    return more(networks["static"], networks["clean"], images(tables, "whitebox"))


def leaking(tables: Tables, protocol: str = "static") -> pd.DataFrame:
    """Return, for each network, accuracy on stored examples minus accuracy on clean images."""
    networks = chosen(tables, protocol)
    networks["difference"] = networks["static"] - networks["clean"]
    networks = networks.assign(
        above=above_clean(tables, networks), network=short(networks["label"])
    )
    groups = networks.groupby([*several(networks), "cut", "network"], sort=False, dropna=False)
    shown = groups[["clean", "static", "difference"]].agg(spread)
    shown["above in"] = [how_often(part) for _, part in groups["above"]]
    return shown.rename_axis(index={"cut": "n_b"})


def how_often(held: pd.Series) -> str:
    """Return in how many seeds something held.

    Example:
        >>> how_often(pd.Series([True, False, True]))
        '2 of 3'
    """
    return f"{int(held.sum())} of {len(held)}"


def verdicts(
    tables: Tables, profile: str, *, protocol: str, threat: str = "whitebox"
) -> pd.DataFrame:
    """Return the claims as differences of accuracies, and in how many seeds each holds.

    Args:
        tables: Of the rows shown.
        profile: In smoke nothing is said to hold.
        protocol: How the robust networks were made.
        threat: The column whose accuracies are compared.
    """
    networks = chosen(tables, protocol)
    keys = several(networks)
    found: list[dict[str, Any]] = []
    for names, part in _split(networks, keys):
        found += [{**names, **row} for row in _answers(part, threat, images(tables, threat))]
    index, columns = [*keys, "n_b", "question"], ["difference", "value", "holds in"]
    table = pd.DataFrame(found, columns=[*index, *columns]).set_index(index)
    return table.drop(columns=columns[-1]) if profile == "smoke" else table


def _split(table: pd.DataFrame, keys: list[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    if not keys:
        yield {}, table
        return
    for names, part in table.groupby(keys, sort=False):
        found: dict[str, Any] = dict(zip(keys, names, strict=True))
        yield found, part


def _answers(part: pd.DataFrame, threat: str, n: int) -> Iterator[dict[str, Any]]:
    known = part[part[threat].notna()]
    wide = known.pivot_table(index="seed", columns=["cut", "label"], values=threat)
    if not {(NONE, "robust"), (NONE, "standard")} <= set(wide.columns):
        return
    top, floor = wide[NONE, "robust"], wide[NONE, "standard"]
    yield _answer(NONE, "robust at all", ("robust", "standard"), top, floor, n)
    if not more(top, floor, n).any():
        nothing = dict.fromkeys(("n_b", "value", "holds in"), NONE)
        yield {**nothing, "question": "the rest", "difference": "nothing to restore"}
        return
    for cut in [name for name in known["cut"].unique() if name != NONE]:
        columns = {"robust": top, **{label: wide[cut, label] for label in wide[cut].columns}}
        for question, one, other in QUESTIONS:
            if {one, other} <= set(columns):
                pair = columns[one], columns[other]
                yield _answer(cut, question, (one, other), *pair, n)
        back = _answer(cut, f"back within {NEAR}", ("tuned", "robust"), columns["tuned"], top, n)
        yield back | {"holds in": how_often(columns["tuned"] - top >= -NEAR)}


def _answer(
    cut: str, question: str, names: tuple[str, str], one: pd.Series, other: pd.Series, n: int
) -> dict[str, Any]:
    return {
        "n_b": cut,
        "question": question,
        "difference": " - ".join(names).replace("frozen ", ""),
        "value": spread(one - other),
        "holds in": how_often(more(one, other, n)),
    }


def restored(tables: Tables, protocol: str | None = None, threat: str = "whitebox") -> pd.DataFrame:
    """Return the share of what splicing lost that retraining behind f_a* brings back.

    No share is given where no seed has anything to lose: "nothing to restore" where the robust
    network is no better than the standard one, "nothing was lost" where splicing cost nothing.
    """
    networks = chosen(tables, protocol)
    keys = several(networks)
    found = []
    for names, part in _split(networks, keys):
        wide = part.pivot_table(index="seed", columns=["cut", "label"], values=threat)
        for cut in [name for name in part["cut"].unique() if name != NONE]:
            four = _four(wide, cut)
            share = _share(four, images(tables, threat))
            means = {str(name): f"{value:.3f}" for name, value in four.mean().items()}
            found.append({**names, "n_b": cut, **means, "restored": share})
    columns = [*keys, "n_b", "standard", "spliced", "tuned", "robust", "restored"]
    return pd.DataFrame(found, columns=columns).set_index([*keys, "n_b"])


def _four(wide: pd.DataFrame, cut: str) -> pd.DataFrame:
    places = {"standard": NONE, "spliced": cut, "tuned": cut, "robust": NONE}
    return wide[[(place, name) for name, place in places.items()]].droplevel(0, axis=1)


def _share(four: pd.DataFrame, n: int) -> str:
    robust, spliced, standard = four["robust"], four["spliced"], four["standard"]
    if not more(robust, standard, n).any():
        return "nothing to restore"
    if not more(robust, spliced, n).any():
        return "nothing was lost"
    mean = four.mean()
    return f"{(mean['tuned'] - mean['spliced']) / (mean['robust'] - mean['spliced']):.2f}"


def dependence(rho: pd.DataFrame) -> pd.DataFrame:
    """Return ρ of each network on the layers that all were measured on: value, null, excess.

    ``null share`` is what is left of the estimate when the pairing is shuffled; ``above null``
    counts the layers, over all seeds, whose excess exceeds two standard deviations of their null.
    """
    table = named(rho).assign(cut=cuts(rho["n_b"]))
    keys = several(table)
    by = ["cut", "label"]
    starts = table.groupby([*keys, *by], dropna=False)["j"].min().rename("start").reset_index()
    first = starts.groupby(keys)["start"].transform("max") if keys else starts["start"].max()
    late = table.merge(starts.assign(first=first), on=[*keys, *by]).query("j >= first")
    late = late.assign(above=late["excess"] > 2 * late["null_sd"])
    groups = late.groupby([*keys, *by], sort=False)
    shown = groups[["value", "null_mean", "excess"]].mean().rename(columns={"null_mean": "null"})
    share = shown["null"] / shown["value"]
    shown = shown.map("{:.3f}".format).assign(null_share=share.map("{:.2f}".format))
    above = groups["above"].agg(how_often)
    shown = shown.assign(above_null=above).rename(columns=lambda name: name.replace("_", " "))
    return shown.rename_axis(index={"cut": "n_b", "label": "network"})
