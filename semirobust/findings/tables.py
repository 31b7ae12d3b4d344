"""What a chapter found: accuracies, and differences beside their verdicts, in few columns.

The sentences of a chapter are written once and shown with whatever is recorded, so they say what a
comparison would mean; these tables say, from the records shown, where it holds. The noise of a
difference is taken as if the networks had met different images, which makes it larger than it is.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from semirobust.experiments import registry as experiments
from semirobust.experiments.scales import CLASSES
from semirobust.figures.alt_text import in_words
from semirobust.figures.networks import with_labels
from semirobust.findings.words import NONE, SHOWN, decimals, how_often, mean_and_spread, short
from semirobust.results.profiles import DEFAULT
from semirobust.results.verdicts import GRANTED, decide, estimate

Tables: TypeAlias = Mapping[str, pd.DataFrame]

ROWS = ("model", "data", "setting")  # columns that tell rows of one table apart
RUN = (*ROWS, "protocol", "seed")  # and those that tell runs apart
NEAR = 0.02  # accuracy that counts as the same: the paper's one to two per cent
SMOKE = "Profile smoke: very small networks on digits. It finds nothing."
BACK = f"back within {100 * NEAR:.0f} points"
QUESTIONS = (
    ("splicing costs", "robust", "spliced"),
    ("retraining f_b gains", "tuned", "spliced"),
    ("standard front beats spliced", "frozen standard f_a", "spliced"),
    ("robust front gives more", "tuned", "frozen standard f_a"),
    ("more than random front", "tuned", "frozen random f_a"),
)


def recorded(experiment: str, profile: str) -> bool:
    """Return whether an experiment can be shown: run here (smoke), or recorded in the profile."""
    return profile == DEFAULT or bool(experiments.recorded(experiment, profile))


def scale(profile: str) -> str:
    """Return what the numbers of a profile are worth."""
    return SMOKE if profile == DEFAULT else f"Profile {profile}."


def caption(tables: Tables, profile: str, protocol: str | None = None) -> str:
    """Return how many seeds stand behind the table of a protocol, and what the profile is worth."""
    networks = chosen(tables, protocol)
    if networks.empty:
        return f"The {protocol} protocol is not recorded in profile {profile}."
    seeds = networks.groupby([*varying(networks), "protocol", "cut", "label"]).size()
    counts = sorted({int(count) for count in seeds})
    words = f"{counts[0]} seed" if counts == [1] else f"{' to '.join(map(str, counts))} seeds"
    about = " (mean ± standard deviation)" if counts[-1] > 1 else ""
    return f"{scale(profile)}\nNetworks of {words}{about}."


def chosen(
    tables: Tables, protocol: str | None = None, *, threat: str | None = None
) -> pd.DataFrame:
    """Return the networks of a protocol, ``named``.

    With a threat also on how many images its accuracies were taken (``n``), and which networks have
    collapsed, by as many images as were attacked (``chance``).
    """
    networks = named(tables["networks"])
    if protocol is not None:
        networks = networks[networks["protocol"] == protocol]
    if threat is None:
        return networks
    chance = near_chance(networks, images(tables, networks, "whitebox"))
    return networks.assign(n=images(tables, networks, threat), chance=chance)


def named(table: pd.DataFrame) -> pd.DataFrame:
    """Return networks with their label, and with the size of f_b as a word (``cut``)."""
    cut = [NONE if pd.isna(n) else str(int(n)) for n in table["n_b"]]
    return with_labels(table).assign(cut=pd.Series(cut, table.index, dtype=object))


def varying(table: pd.DataFrame) -> list[str]:
    """Return the columns in which the rows of a table differ: model, data, setting."""
    return [name for name in ROWS if name in table and table[name].nunique() > 1]


def images(tables: Tables, networks: pd.DataFrame, threat: str) -> pd.Series:
    """Return on how many images the accuracy of each network under a threat was taken.

    Clean images and stored examples are all that the test part has, those on which rho is read;
    of them as many are counted as the classes have in common.
    """
    reports = tables["reports"]
    counted = reports[reports["column"] == threat]
    if counted.empty:
        rho = tables["rho"]
        counted = rho.assign(n=rho["per_class"] * classes(rho))
    keys = [name for name in RUN if name in networks and name in counted]
    found = networks[keys].join(counted.groupby(keys)["n"].min(), on=keys)["n"]
    return found.fillna(counted["n"].min())


def noise(p: Any, q: Any, n: Any) -> Any:
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


def more(p: pd.Series, q: pd.Series, n: Any) -> pd.Series:
    """Return where p is above q by more than their noise."""
    return p - q > noise(p, q, n)


def accuracies(tables: Tables, protocol: str | None = None) -> pd.DataFrame:
    """Return each network's accuracies; a dagger marks those that have ``collapsed``."""
    networks = chosen(tables, protocol, threat="whitebox")
    networks = networks.assign(network=short(networks["label"]))
    by = [*varying(networks), "cut", "network"]
    lost = networks.groupby(by)["chance"].transform("any").astype(bool)
    networks["network"] += lost.map({True: " †", False: ""})
    columns = [name for name in SHOWN if name in networks and networks[name].notna().any()]
    groups = networks.groupby(by, sort=False, dropna=False)
    shown = groups[columns].agg(mean_and_spread, alone="").replace("", NONE)
    return shown.rename(columns=SHOWN).rename_axis(index={"cut": "n_b"})


def collapsed(tables: Tables, protocol: str | None = None) -> list[str]:
    """Return a line for each network whose clean accuracy is at chance in some seed."""
    networks = chosen(tables, protocol, threat="whitebox")
    networks["cut"] = networks["cut"].replace(r"(\d+)", r"n_b = \1", regex=True)
    groups = networks.groupby([*varying(networks), "cut", "label"], sort=False)["chance"]
    held = {names: lost for names, lost in groups if lost.any()}
    words = [", ".join(str(name) for name in names if name != NONE) for names in held]
    counts = map(how_often, held.values())
    return [f"† at chance: {name}, in {count}" for name, count in zip(words, counts, strict=True)]


def notes(tables: Tables, protocol: str | None = None) -> list[str]:
    """Return what the marks of ``accuracies`` mean: AutoAttack's column, and each dagger."""
    networks = chosen(tables, protocol, threat="autoattack")
    lines = collapsed(tables, protocol)
    if "autoattack" not in networks or networks["autoattack"].isna().all():
        return lines
    few = networks[networks["autoattack"].notna()]
    seeds = few["seed"].nunique()
    words = f"AA: AutoAttack, {few['n'].min():.0f} images of {seeds} seed{'s' * (seeds > 1)};"
    return [f"{words} so few can lie above white-box.", *lines]


def near_chance(networks: pd.DataFrame, n: Any) -> pd.Series:
    """Return where clean accuracy on n images is within 0.02 or two errors of chance."""
    chance = 1 / classes(networks)
    near = 2 * np.sqrt(chance * (1 - chance) / n)
    return (networks["clean"] - chance).abs() <= np.maximum(near, NEAR)


def classes(table: pd.DataFrame) -> pd.Series:
    """Return how many classes the data of each row has."""
    return table["data"].map(CLASSES).fillna(10)


def leaking(tables: Tables, protocol: str = "static") -> pd.DataFrame:
    """Return, for each network, accuracy on stored examples minus accuracy on clean images."""
    networks = chosen(tables, protocol, threat="static")
    networks["difference"] = networks["static"] - networks["clean"]
    networks["above"] = more(networks["static"], networks["clean"], networks["n"])
    networks = networks.assign(network=short(networks["label"]))
    groups = networks.groupby([*varying(networks), "cut", "network"], sort=False, dropna=False)
    shown = groups[["clean", "static", "difference"]].agg(mean_and_spread)
    shown["above in"] = [how_often(part) for _, part in groups["above"]]
    return shown.rename_axis(index={"cut": "n_b"})


def verdicts(
    tables: Tables, profile: str, *, protocol: str, threat: str = "whitebox"
) -> pd.DataFrame:
    """Return the claims as differences of accuracies, and what the rule of the ledger decides.

    As if the networks had met different images. A control that has collapsed is no comparison: a
    dagger. In profile smoke nothing is decided.
    """
    networks = chosen(tables, protocol, threat=threat)
    keys = varying(networks)
    found = [
        {**names, **row} for names, part in split(networks, keys) for row in _answers(part, threat)
    ]
    index, columns = [*keys, "n_b", "question"], ["difference", "points", "verdict"]
    table = pd.DataFrame(found, columns=[*index, *columns]).set_index(index)
    return table.assign(**{columns[-1]: NONE}) if profile == DEFAULT else table


def split(table: pd.DataFrame, keys: list[str]) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Yield each part of a table that the keys tell apart, with their values."""
    if not keys:
        yield {}, table
        return
    for names, part in table.groupby(keys, sort=False):
        yield dict(zip(keys, names, strict=True)), part


def _answers(part: pd.DataFrame, threat: str) -> Iterator[dict[str, Any]]:
    known = part[part[threat].notna()]
    n = known["n"].min()
    wide = known.pivot_table(index="seed", columns=["cut", "label"], values=threat)
    lost = set(known.loc[known["chance"], ["cut", "label"]].itertuples(index=False, name=None))
    if not {(NONE, "robust"), (NONE, "standard")} <= set(wide.columns):
        return
    top, floor = wide[NONE, "robust"], wide[NONE, "standard"]
    yield _answer(NONE, "robust at all", ("robust", "standard"), top, floor, n)
    if not more(top, floor, n).any():
        nothing = dict.fromkeys(("n_b", "points", "verdict"), NONE)
        yield {**nothing, "question": "the rest", "difference": "nothing to restore"}
        return
    for cut in [name for name in known["cut"].unique() if name != NONE]:
        columns = {"robust": top, **{label: wide[cut, label] for label in wide[cut].columns}}
        for question, one, other in QUESTIONS:
            if {one, other} <= set(columns):
                answer = _answer(cut, question, (one, other), columns[one], columns[other], n)
                control = other.startswith("frozen") and (cut, other) in lost
                yield answer | ({"verdict": "†"} if control else {})
        back = _answer(cut, BACK, ("tuned", "robust"), columns["tuned"], top, n)
        yield back | {"verdict": _verdict(columns["tuned"], top, n, least=-NEAR)}


def _answer(
    cut: str, question: str, names: tuple[str, str], one: pd.Series, other: pd.Series, n: float
) -> dict[str, Any]:
    return {
        "n_b": cut,
        "question": question,
        "difference": " - ".join(map(in_words, names)),
        "points": mean_and_spread(one - other, unit=""),
        "verdict": _verdict(one, other, n),
    }


def _verdict(one: pd.Series, other: pd.Series, n: float, least: float = 0.0) -> str:
    """Return whether one accuracy is above the other by at least so much, over seeds and images."""
    over_images = float((noise(one, other, n) ** 2).mean()) / 4  # noise has two standard errors
    found = estimate((one - other).dropna().tolist(), over_images, granted=GRANTED["points"])
    return decide(found, (least, np.inf)).word


def dependence(rho: pd.DataFrame) -> pd.DataFrame:
    """Return ρ of each network on the layers that all were measured on: value, null, excess.

    ``null share`` is what is left of the estimate when the pairing is shuffled; ``above null``
    counts the layers, over all seeds, whose excess exceeds two standard deviations of their null.
    """
    table = named(rho)
    table["above"] = table["excess"] > 2 * table["null_sd"]
    keys = varying(table)
    by = [*keys, "cut", "label"]
    table["start"] = table.groupby(by)["j"].transform("min")
    first = table.groupby(keys)["start"].transform("max") if keys else table["start"].max()
    groups = table[table["j"] >= first].groupby(by, sort=False)
    shown = groups[["value", "null_mean", "excess"]].mean().rename(columns={"null_mean": "null"})
    share = shown["null"] / shown["value"]
    shown = decimals(shown).assign(null_share=decimals(share, 2))
    above = groups["above"].agg(how_often)
    shown = shown.assign(above_null=above).rename(columns=lambda name: name.replace("_", " "))
    return shown.rename_axis(index={"cut": "n_b", "label": "network"})
