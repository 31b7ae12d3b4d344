"""Recorded comparisons with other libraries, as tables: same networks, same images, one run."""

from typing import Any

import pandas as pd

from semirobust.experiments import registry as experiments
from semirobust.findings.words import NONE, decimals, percent
from semirobust.results.documents import document
from semirobust.results.records import results_root

PGD_20 = "torchattacks PGD 20"
HUNDRED = "torchattacks, 100 steps"
OFFICIAL = "AutoAttack"
READINGS = {"paper": "ρ_n", "published": "ρ_n as published"}
STAND_IN = "AutoAttack on a stand-in"
PAIRS = ((PGD_20, "PGD 20"), (HUNDRED, OFFICIAL), (HUNDRED, STAND_IN))  # a peer, what it is beside


def recorded(name: str) -> dict[str, Any]:
    """Return a recorded comparison by its name, or refuse one that is not there."""
    path = results_root() / "benchmarks" / f"{name}.json"
    if not path.exists():
        known = ", ".join(sorted(other.stem for other in path.parent.glob("*.json"))) or "none"
        raise FileNotFoundError(f"no comparison {name!r} is recorded; recorded: {known}")
    return document(path)


def evaluations(name: str) -> pd.DataFrame:
    """Return what each method left standing at each radius, and its cost over all radii.

    ``over-stated`` counts samples that a method leaves standing and another one breaks,
    ``differ`` those on which it does not agree with AutoAttack, both over all radii.
    """
    table = pd.DataFrame(recorded(name)["evaluation"])
    table["passes"] = (table["forward"] + table["backward"]) / 1000
    by = ["network", "method"]
    left = table.pivot_table(index=by, columns="epsilon_255", values="accuracy", sort=False)
    left = percent(left.set_axis([f"{radius}/255" for radius in left.columns], axis="columns"))
    names = {"overstated": "over-stated", "differs": "differ", "cpu_seconds": "CPU s"}
    spent = table.groupby(by, sort=False)[[*names, "passes"]].sum().rename(columns=names)
    return left.join(spent.round(1)).rename(columns={"passes": "passes, thousands"})


def ratios(name: str) -> pd.DataFrame:
    return times(recorded(name)["evaluation"])


def times(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return how many times the processor time of a method a peer takes, by network and in all."""
    seconds = pd.DataFrame(rows).pivot_table(
        index="method", columns="network", values="cpu_seconds", aggfunc="sum", sort=False
    )
    seconds["both"] = seconds.sum(axis=1)
    known = [pair for pair in PAIRS if set(pair) <= set(seconds.index)]
    found = {(peer, method): seconds.loc[peer] / seconds.loc[method] for peer, method in known}
    return pd.DataFrame(found).T.rename_axis(index=["peer", "beside"]).round(2)


def checked(profile: str) -> pd.DataFrame:
    """Return recorded networks under every check, and rho_n by both readings beside H(ŷ | y).

    PGD and APGD, untargeted and targeted, have the same images. ``adaptive`` is the largest share
    that an attack which knows the cut breaks of what the others left.
    """
    tables = experiments.tables("headline", profile)
    by = ["seed", "network", "front"]
    found = tables["reports"].query("column == 'headline'").set_index(by)
    asked = found["canaries"]
    adaptive = asked.map(
        lambda of: max((q["value"] for q in of if q["name"].startswith("adaptive")), default=None)
    )
    passed = asked.map(lambda of: f"{sum(q['passed'] for q in of)} of {len(of)}")
    shown = {
        "clean": found["clean_accuracy"],
        "PGD 20": tables["networks"].set_index(by)["whitebox"],
        "APGD": found["accuracy"],
        "questions passed": passed,
        "adaptive": adaptive,
    }
    last = tables["rho"].query("j == j.max()").set_index([*by, "preset"])
    read = last["value"].unstack().rename(columns=READINGS)
    answers = last["answers"].unstack()["published"].rename("H(ŷ | y)")
    found = pd.DataFrame(shown).join(read).join(answers).reset_index()
    return decimals(found.fillna({"front": NONE}).set_index(by), 2)
