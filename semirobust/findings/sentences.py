"""What a chapter ends with: what retraining restored, in a sentence, and where ρ is larger.

Written from the records that the chapter shows, so that the words cannot outlive the numbers.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import pandas as pd

from semirobust.findings.full_size import PROFILE, missing, wide
from semirobust.findings.tables import (
    NEAR,
    NONE,
    RUN,
    SMOKE,
    Tables,
    chosen,
    how_often,
    more,
    named,
    split,
    varying,
    verdicts,
)
from semirobust.results.profiles import DEFAULT
from semirobust.results.published import NAMES
from semirobust.results.values import Words

CONTROL = "frozen standard f_a"
AT_FULL = ("robust", "spliced", "tuned")
GAP = "nothing to restore"
GAINS, MORE = "retraining f_b gains", "robust front gives more"
FEW = 3  # as many numbers are given one by one
SCALES = {
    "cpu": "narrow networks, at most 10,000 training images",
    "gpu": "full width, all training images",
}
CLEAN = "f_b on clean images"


def answer(tables: Tables, profile: str, only: str = "") -> Words:
    """Return what splicing, retraining and a standard front do, then training on stored examples.

    White-box accuracy of networks trained on fresh examples comes first. With the name of a network
    (``only``) Table 1's rows at full width follow in their own sentence, and where no row of it is
    recorded the answer is the command that runs one.

    Raises:
        ValueError: No network trained on fresh examples is recorded in this profile.
    """
    full = wide("table-1", only) if only else None
    if only and full is None and profile == DEFAULT and (command := missing("table-1", only)):
        name = NAMES.get(only, only)
        return Words(f"Not run: no row of {name} on real data is recorded. `{command}` runs it.")
    if profile == DEFAULT:
        return Words(SMOKE)
    if chosen(tables, "online").empty:
        raise ValueError(f"no network trained on fresh examples is recorded in profile {profile}")
    lines = [*_fresh(tables, profile), *_stored(tables), *_scale(tables, profile)]
    if full is not None and profile != PROFILE:
        lines.append(_wide(full))
    return Words("\n".join(f"- {line}" for line in lines))


def attacked(tables: Tables, profile: str) -> Words:
    """Return what each attack leaves of the networks of Tables S2 to S4, a sentence an attack."""
    if profile == DEFAULT:
        return Words(SMOKE)
    scores = named(tables["accuracies"])
    lines = []
    for attack, part in scores[scores["attack"] != "none"].groupby("attack", sort=False):
        keys = [*varying(part), "cut", "label"]
        means = part.groupby(keys, sort=False)["accuracy"].mean()
        left = {str(name): _values(means.xs(name, level="label")) for name in AT_FULL}
        lines.append(
            f"- Under {attack}, made for each network itself, robust networks keep "
            f"{left['robust']}, spliced ones {left['spliced']} and retrained ones {left['tuned']}."
        )
    return Words("\n".join(lines))


def levels(tables: Tables, protocol: str, threat: str) -> pd.DataFrame:
    """Return mean accuracies, a row for each place and size of f_b, a column for each network."""
    networks = chosen(tables, protocol, threat=threat)
    means = _placed(networks).pivot_table(
        index=["place", "cut"], columns="label", values=threat, sort=False
    )
    whole = means.xs(NONE, level="cut")
    parts = means.drop(index=NONE, level="cut")
    place = parts.index.get_level_values("place")
    own = whole.reindex(place)
    return parts.assign(robust=own["robust"].to_numpy(), standard=own["standard"].to_numpy())


def _placed(table: pd.DataFrame) -> pd.DataFrame:
    names = varying(table)
    rows = table[names].itertuples(index=False)
    place = [", ".join(NAMES.get(word, word) for word in row if word != NONE) for row in rows]
    return table.assign(place=place if names else "")


def _fresh(tables: Tables, profile: str) -> Iterator[str]:
    found = levels(tables, "online", "whitebox")
    share = restored(tables, "online").reset_index()
    none = _placed(share)[share["restored"] == GAP]
    lost = [(row["place"], row["n_b"]) for row in none.to_dict("records")]
    if lost:
        where = ", ".join(dict.fromkeys(place for place, _ in lost if place))
        yield f"There is {GAP}{f' ({where})' * bool(where)}: {_robust(found.loc[lost])}."
        found = found.drop(index=lost)
    if found.empty:
        return
    claims = (
        verdicts(tables, profile, protocol="online").reset_index().groupby("question")["verdict"]
    )
    held = {str(question): list(words) for question, words in claims}
    costs = _held("an ordinary back behind a robust front costs robustness", held["splicing costs"])
    yield f"{costs}: white-box accuracy falls {_fall(found)}."
    gains = _held("retraining the back against the attack brings it back up", held[GAINS])
    back = _held(f"it is back within {NEAR * 100:.0f} points", held[f"back within {NEAR}"])
    yield f"{gains}, to {_values(found['tuned'])}; {back[0].lower()}{back[1:]}."
    if CONTROL in found:
        more_by = _held("a robust front gives more than a standard one", held[MORE])
        dagger = "; † at chance on clean images" * ("†" in held[MORE])
        yield f"{more_by}: behind that, the same training gives {_values(found[CONTROL])}{dagger}."


def _robust(found: pd.DataFrame) -> str:
    robust, standard = (_values(found[name].drop_duplicates()) for name in ("robust", "standard"))
    return f"the robust network reaches {robust} white-box, the standard one {standard}"


def _held(claim: str, words: Sequence[str]) -> str:
    """Return a claim as the rule of the verdicts has decided it, place by place.

    Example:
        >>> _held("it helps", ["holds", "undecided"])
        'It helps in 1 of 2 (1 undecided)'
        >>> _held("it helps", ["undecided"])
        'Whether it helps is undecided'
    """
    count = Counter(words)
    holds = count.pop("holds", 0)
    if holds == len(words):
        return claim[0].upper() + claim[1:]
    if set(count) == {"undecided"} and not holds:
        return f"Whether {claim} is undecided"
    others = ", ".join(f"{number} {word}" for word, number in count.items())
    return f"{claim[0].upper() + claim[1:]} in {holds} of {len(words)} ({others})"


def _fall(found: pd.DataFrame) -> str:
    """Return from where splicing takes accuracy to where, with the places while they are few."""
    if len(found) > FEW:
        start = _values(found["robust"].drop_duplicates())
        return f"from {start} to {_values(found['spliced'])} ({len(found)} cuts)"
    parts = []
    for place, part in found.groupby(level="place", sort=False):
        cuts = " and ".join(part.index.get_level_values("cut"))
        where = f"{place}, back of {cuts} layers".removeprefix(", ")
        parts.append(f"from {part['robust'].iloc[0]:.1%} to {_values(part['spliced'])} ({where})")
    return ", ".join(parts)


def _values(shares: pd.Series) -> str:
    """Return accuracies in per cent: one, each while they are few, or their range.

    Example:
        >>> _values(pd.Series([0.5, 0.25]))
        '50.0% and 25.0%'
        >>> _values(pd.Series([0.5, 0.25, 0.1, 0.2]))
        '10.0–50.0%'
    """
    *first, last = [f"{share:.1%}" for share in shares]
    if set(first) == {last}:
        return last
    if len(shares) > FEW:
        return f"{shares.min() * 100:.1f}–{shares.max():.1%}"
    return f"{', '.join(first)} and {last}" if first else last


def _stored(tables: Tables) -> Iterator[str]:
    if chosen(tables, "static").empty:
        return
    by = {threat: levels(tables, "static", threat) for threat in ("static", "whitebox")}
    transfer, attacked = (by[threat]["tuned"] for threat in by)
    told = f"{_values(transfer)} by transfer and {_values(attacked)} white-box"
    shown = by["static"].get(CONTROL)
    also = "" if shown is None else f"; behind a standard front {_values(shown)} by transfer"
    yield f"Trained on stored examples instead, retrained networks score {told}{also}."


def _scale(tables: Tables, profile: str) -> Iterator[str]:
    yield f"*{_seeds(tables)}; profile {profile}: {SCALES.get(profile, 'as recorded')}.*"


def _seeds(tables: Tables) -> str:
    known = _placed(chosen(tables, "online"))
    counts = known.groupby("place")["seed"].nunique()
    low, high = counts.min(), counts.max()
    return f"{low} to {high} seeds" if low < high else f"{low} seed{'s' * int(low > 1)}"


def _wide(tables: Tables) -> str:
    found = levels(tables, "online", "whitebox")
    clean = found.index.get_level_values("place").str.endswith(CLEAN)
    own = found[~clean]
    words = f"At full width ({_seeds(tables)}) splicing takes it {_fall(own)}"
    words += f", and retraining brings it to {_values(own['tuned'])}"
    if CONTROL in own:
        words += f"; behind a standard front the same training gives {_values(own[CONTROL])}"
    if clean.any():
        words += (
            f", and training on clean images behind the robust one {_values(found['tuned'][clean])}"
        )
    return f"{words}."


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
