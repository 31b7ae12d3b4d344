"""What a chapter ends with: what retraining restored, in a sentence, and where ρ is larger.

Written from the records that the chapter shows, so that the words cannot outlive the numbers.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from semirobust.figures.alt_text import in_words
from semirobust.findings.full_size import PROFILE, missing, wide
from semirobust.findings.tables import (
    BACK,
    NEAR,
    RUN,
    SMOKE,
    Tables,
    chosen,
    more,
    named,
    split,
    varying,
    verdicts,
)
from semirobust.findings.words import NONE, how_often
from semirobust.results.profiles import DEFAULT
from semirobust.results.published import NAMES
from semirobust.results.values import Words

CONTROL = "frozen standard f_a"
AT_FULL = ("robust", "spliced", "tuned")
GAP = "nothing to restore"
COSTS, GAINS, MORE = "splicing costs", "retraining f_b gains", "robust front gives more"
QUESTIONED = (COSTS, GAINS, BACK, MORE)
COUNTED = {COSTS: "splicing costs", GAINS: "retraining gains", MORE: "the robust front helps"}
WORDS = {"†": "at chance on clean images"}
FEW = 3  # as many numbers are given one by one
SCALES = {"cpu": "narrow networks", "gpu": "full width", "paper": "the paper's settings"}
CLEAN = "f_b on clean images"
TOLD = {"tuned": "retrained", CONTROL: "behind a standard front"}
LEADS = {  # the answer to a chapter's own question, where splicing costs and retraining helps
    "vgg16": "Not by itself, but its back can be retrained behind it.",
    "alexnet": "No, the same holds without batch norm.",
    "resnet50": "The same holds where the cut lies between blocks.",
    "resnet18": "No, the same holds with shortcuts.",
    "vit": "No, the same holds without convolutions.",
}


def answer(tables: Tables, profile: str, only: str = "", *, rho: str = "", lead: str = "") -> Words:
    """Return what splicing, retraining and a standard front do, in white-box accuracy.

    Of one network (``only``) that is its deepest cut on the first data set, at full width where
    that is recorded. ``rho`` stands for stored examples, ``lead`` before all other sentences.

    A network that was trained on stored examples only is told of by transfer.

    Raises:
        ValueError: No network trained on fresh examples is recorded in this profile.
    """
    full = wide("table-1", only) if only else None
    if only and full is None and profile == DEFAULT and (command := missing("table-1", only)):
        name = NAMES.get(only, only)
        return Words(
            f"Not run yet: no row of {name} on real data is recorded. `{command}` runs one."
        )
    if profile == DEFAULT:
        return Words(SMOKE)
    if only and full is None and chosen(tables, "online").empty:
        return _on_stored(tables, profile)
    if chosen(tables, "online").empty:
        raise ValueError(f"no network trained on fresh examples is recorded in profile {profile}")
    scales = {PROFILE: full} if full else {}
    (largest, first), *others = (scales | {profile: tables}).items()
    found = _decided(first, largest)
    main = _deepest(found) if only else found
    decided = bool((main[[COSTS, GAINS, MORE]] == "holds").all(axis=None))
    lead, last = lead or LEADS.get(only, "") * decided, rho or _stored(tables, deepest=bool(only))
    where = f"{len(main)} cut{'s' * (len(main) > 1)}"
    if only:
        where = f"a back of {main.index[0][1]} layers"
    elif 1 < len(main) <= FEW:
        where = ", ".join(map(str, main.index.unique("place")))
    runs = [f"{SCALES[largest]}, {_seeds(first)}".capitalize() + f", {where}"]
    runs += [f"{SCALES[name]}, {_seeds(one)}: {_in_short(one, name)}" for name, one in others]
    told = " ".join(filter(None, [lead, *_fresh(main, found), last]))
    return Words(f"{told}\n\n*{'; '.join(runs)}.*")


def _on_stored(tables: Tables, profile: str) -> Words:
    """Return what splicing and retraining do to accuracy by transfer, and what an attack leaves."""
    found = _decided(tables, profile, "static", "static")
    main = _deepest(found)
    most = _deepest(levels(tables, "static", "whitebox"))[list(AT_FULL)].max(axis=None)
    left = f"{most:.1%}"  # type: ignore[str-bytes-safe]
    kept = f"all fall to {left}" if left == "0.0%" else f"none keeps more than {left}"
    told = [
        f"Attacked themselves, {kept}.",
        *_fresh(main, found, "accuracy by transfer"),
    ]
    about = f"{SCALES[profile]}, {_seeds(tables, 'static')}".capitalize()
    return Words(
        f"Known of stored examples only. {' '.join(told)}\n\n"
        f"*{about}, a back of {main.index[0][1]} layers.*"
    )


def attacked(tables: Tables, profile: str) -> Words:
    """Return what each attack leaves of the networks of Tables S2 to S4, a sentence an attack."""
    if profile == DEFAULT:
        return Words(SMOKE)
    scores = named(tables["accuracies"])
    told, kept = ["Every network is attacked itself."], True
    for attack, part in scores[scores["attack"] != "none"].groupby("attack", sort=False):
        keys = [*varying(part), "cut", "label"]
        means = part.groupby(keys, sort=False)["accuracy"].mean()
        by = {str(name): means.xs(name, level="label") for name in AT_FULL}
        kept &= bool(by["spliced"].max() < by["tuned"].min())
        left = {name: _values(shares) for name, shares in by.items()}
        told.append(
            f"Under {attack} robust networks keep {left['robust']}, spliced ones "
            f"{left['spliced']} and retrained ones {left['tuned']}."
        )
    order = f"under {'each' if kept else 'not each'} attack retrained networks keep more"
    return Words(" ".join([f"{'Yes' if kept else 'No'}: {order} than spliced ones.", *told]))


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


def _decided(
    tables: Tables, profile: str, protocol: str = "online", threat: str = "whitebox"
) -> pd.DataFrame:
    """Return ``levels`` beside the verdict on each claim, a column a question."""
    found = levels(tables, protocol, threat)
    decided = verdicts(tables, profile, protocol=protocol, threat=threat)
    claims = _placed(decided.reset_index())
    claims = claims[claims["n_b"] != NONE].rename(columns={"n_b": "cut"})
    words = claims.pivot(index=["place", "cut"], columns="question", values="verdict")
    return found.join(words).reindex(columns=[*found, *QUESTIONED])


def _deepest(found: pd.DataFrame) -> pd.DataFrame:
    """Return the row of the first place whose f_b is largest."""
    place = found.index[0][0]
    cut = max((cut for at, cut in found.index if at == place), key=int)
    return found.loc[[(place, cut)]]


def _fresh(
    main: pd.DataFrame, every: pd.DataFrame, accuracy: str = "white-box accuracy"
) -> Iterator[str]:
    """Yield what was found in some rows, and what training on clean images gives at their cut."""
    main = main[~_on_clean(main)]
    none = main[main[COSTS].isna()]
    if len(none):
        robust, standard = (_values(none[one].drop_duplicates()) for one in ("robust", "standard"))
        where = ", ".join(filter(None, none.index.unique("place")))
        yield (
            f"There is {GAP}{f' ({where})' * bool(where)}: the robust network reaches {robust} "
            f"white-box, the standard one {standard}."
        )
        main = main.drop(index=none.index)
    if main.empty:
        return
    start, tuned = _values(main["robust"].drop_duplicates()), _values(main["tuned"])
    costs = _said(main[COSTS], "an ordinary back behind a robust front costs robustness")
    falls = "falls" if set(main[COSTS]) == {"holds"} else "goes"
    yield f"{costs}: {accuracy} {falls} from {start} to {_values(main['spliced'])}."
    gains = _said(main[GAINS], "retraining that back against the attack brings it up again")
    near = _said(main[BACK], f"that is within {NEAR * 100:.0f} points of the robust network")
    same = every[_on_clean(every)].loc[
        lambda rows: rows.index.isin(main.index.unique("cut"), "cut")
    ]
    clean = f", and retraining it on clean images to {_values(same['tuned'])}" if len(same) else ""
    yield f"{gains}, to {tuned} ({near[0].lower()}{near[1:]}){clean}."
    if CONTROL in main:
        helps = _said(main[MORE], "it is the robust front that helps")
        yield (
            f"Behind a standard front the same training gives {_values(main[CONTROL])}: "
            f"{helps[0].lower()}{helps[1:]}."
        )


def _on_clean(found: pd.DataFrame) -> Any:
    return found.index.get_level_values("place").str.endswith(CLEAN)


def _said(words: "pd.Series[str]", claim: str) -> str:
    """Return a claim as the rule of the verdicts has decided it, row by row.

    Example:
        >>> _said(pd.Series(["holds", "undecided"]), "it helps")
        'It helps in 1 of 2 (1 undecided)'
        >>> _said(pd.Series(["undecided"]), "it helps")
        'Whether it helps is undecided'
        >>> _said(pd.Series(["does not hold"]), "it helps")
        'That it helps does not hold'
        >>> _said(pd.Series(["†"]), "it helps")
        'That network is at chance on clean images, so nothing is compared'
    """
    count = Counter(words)
    holds = count.pop("holds", 0)
    if set(count) == {"†"} and not holds:
        return "That network is at chance on clean images, so nothing is compared"
    if set(count) == {"undecided"} and not holds:
        return f"Whether {claim} is undecided"
    if set(count) == {"does not hold"} and not holds:
        return f"That {claim} does not hold"
    others = ", ".join(f"{number} {WORDS.get(word, word)}" for word, number in count.items())
    mixed = f" in {holds} of {len(words)} ({others})" if others else ""
    return f"{claim[0].upper()}{claim[1:]}{mixed}"


def _in_short(tables: Tables, profile: str) -> str:
    """Return the deepest cut's accuracies in a line, and in how many rows each claim holds."""
    found = _decided(tables, profile)
    main = _deepest(found)[["robust", "spliced", "tuned", *[CONTROL] * (CONTROL in found)]]
    line = ", ".join(
        f"{TOLD.get(str(name), name)} {value:.1%}" for name, value in main.iloc[0].items()
    )
    if len(found) == 1:
        return line
    held = [f"{says} in {(found[name] == 'holds').sum()}" for name, says in COUNTED.items()]
    return f"{line}; of {len(found)} cuts and data sets {', '.join(held)}"


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


def _stored(tables: Tables, *, deepest: bool) -> str:
    """Return what networks score that were trained on stored examples."""
    if chosen(tables, "static").empty:
        return ""
    by = [levels(tables, "static", threat) for threat in ("static", "whitebox")]
    transfer, attacked = ((_deepest(one) if deepest else one)["tuned"] for one in by)
    return (
        f"Trained on stored examples instead, retrained networks score {_values(transfer)} by "
        f"transfer and {_values(attacked)} when they are attacked themselves."
    )


def _seeds(tables: Tables, protocol: str = "online") -> str:
    known = _placed(chosen(tables, protocol))
    counts = known.groupby("place")["seed"].nunique()
    low, high = counts.min(), counts.max()
    return f"{low} to {high} seeds" if low < high else f"{low} seed{'s' * int(low > 1)}"


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
            means = {str(name): f"{value:.1%}" for name, value in four.mean().items()}
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
    return f"{(mean['tuned'] - mean['spliced']) / (mean['robust'] - mean['spliced']):.0%}"


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
            found[shown, in_words(f"{one} > {' and '.join(others)}")] = counts
    return pd.DataFrame(found).T.rename_axis(index=["ρ", "larger"], columns=None).fillna(NONE)
