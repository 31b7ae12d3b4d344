"""Does rho predict how much robustness is retained? Explained variance where it was not fitted.

    ΔR² = [ Σ (R - R̂_without)² - Σ (R - R̂_with)² ] / Σ (R - mean R)²

R̂ is ridge regression on standardised predictors, fitted without the architecture and without the
seed of the network that is predicted. Networks of one architecture and seed share their images and
whole networks, so the bootstrap draws such clusters.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from semirobust.findings.tables import SMOKE
from semirobust.results import verdicts
from semirobust.results.profiles import DEFAULT
from semirobust.results.values import Words

KNOWN = ("n_b", "spliced", "gamma_a", "answers", "distance")  # without rho
VARIANTS = {
    "ρ at the cut, as published": ("paper", "value", "min"),
    "mean ρ, as published": ("paper", "value", "mean"),
    "mean excess, as published": ("paper", "excess", "mean"),
    "ρ at the cut, calibrated excess": ("calibrated", "excess", "min"),
    "mean calibrated excess": ("calibrated", "excess", "mean"),
}
RIDGE = 1.0  # as much as one more network; predictors are standardised
MARGIN = 0.02  # of ΔR², as the claim has it
PLACE = ["model", "seed", "network"]


def predictors(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return one row for each trained network: R, what is known of it, and ρ in all variants."""
    networks, rho = tables["networks"].drop_duplicates(PLACE), tables["rho"]
    cut = ["model", "seed", "frozen", "origin", "n_b"]
    spliced = networks[networks["training"] == "none"].set_index(cut)["whitebox"]
    standard = networks[networks["network"] == "standard"].set_index(cut[:2])["whitebox"]
    chosen = networks[networks["retention"].notna() & (networks["training"] != "none")]
    chosen = chosen.join(spliced.rename("spliced"), on=cut).join(standard.rename("own"), on=cut[:2])
    chosen = chosen.assign(spliced=chosen["spliced"].fillna(chosen["own"]))  # standard by standard
    for name, (preset, column, where) in VARIANTS.items():
        part = rho[rho["preset"] == preset].sort_values("j")
        values = part.groupby(PLACE)[column].agg("first" if where == "min" else "mean")
        chosen = chosen.join(values.rename(name), on=PLACE)
    return chosen.reset_index(drop=True)


def predicted(rows: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.float64]:
    """Return R̂ of every row, fitted without its architecture and without its seed.

    Where there is one architecture, or one seed, that alone is not left out. Where no network of
    another architecture and another seed is recorded, networks that share one of the two stay.
    """
    found = np.full(len(rows), np.nan)
    apart = [name for name in ("model", "seed") if rows[name].nunique() > 1] or ["n_b"]
    for values, part in rows.groupby(apart):
        held = pd.Series(dict(zip(apart, values, strict=True)))
        differ = rows[apart] != held
        others = rows[differ.all(axis=1) if differ.all(axis=1).any() else differ.any(axis=1)]
        x, y = (_design(others, each, columns) for each in (others, part))
        penalty = RIDGE * np.diag([0.0] + [1.0] * len(columns))  # none on the mean
        weights = np.linalg.solve(x.T @ x + penalty, x.T @ others["retention"])
        found[part.index] = y @ weights
    return found


def _design(
    fitted: pd.DataFrame, rows: pd.DataFrame, columns: Sequence[str]
) -> NDArray[np.float64]:
    """Return 1 and the columns, on the scale of the rows that are fitted."""
    mean, spread = fitted[[*columns]].mean(), fitted[[*columns]].std().replace(0, 1)
    return np.column_stack([np.ones(len(rows)), (rows[[*columns]] - mean) / spread])


def gain(rows: pd.DataFrame, columns: Sequence[str], draws: int = 2000) -> dict[str, float]:
    """Return ΔR² of columns beside what is known, its 95 % interval and one-sided p."""
    y, known = rows["retention"], list(KNOWN)
    without, beside = ((y - predicted(rows, names)) ** 2 for names in (known, [*known, *columns]))
    clusters = pd.DataFrame({"gain": without - beside, "spread": (y - y.mean()) ** 2})
    sums = clusters.groupby([rows["model"], rows["seed"]]).sum().to_numpy()
    chosen = np.random.default_rng(0).integers(len(sums), size=(draws, len(sums)))
    drawn = sums[chosen].sum(axis=1)
    ratios = drawn[:, 0] / drawn[:, 1]
    low, high = np.quantile(ratios, [0.025, 0.975])
    p = (1 + np.sum(ratios <= 0)) / (1 + draws)
    whole = sums.sum(axis=0)
    return {"mean": whole[0] / whole[1], "low": low, "high": high, "p": float(p)}


def gains(rows: pd.DataFrame) -> pd.DataFrame:
    """Return ΔR² of each variant of ρ, p adjusted for their number (Holm)."""
    table = pd.DataFrame([{"variant": name, **gain(rows, [name])} for name in VARIANTS])
    return table.assign(p=verdicts.holm(table["p"])).set_index("variant")


def explained(rows: pd.DataFrame, columns: Sequence[str] = KNOWN) -> float:
    """Return R² where it was not fitted; below 0 where the mean does better."""
    y = rows["retention"]
    left = (y - predicted(rows, columns)) ** 2
    return float(1 - left.sum() / ((y - y.mean()) ** 2).sum())


def foretold(rows: pd.DataFrame, table: pd.DataFrame, profile: str) -> Words:
    """Return whether ρ predicts retention beyond what is known without it."""
    if profile == DEFAULT:
        return Words(SMOKE)
    clusters = len(rows.groupby(["model", "seed"]))
    proven = table[(table["low"] > 0) & (table["p"] < 0.05) & (table["mean"] >= MARGIN)]
    lead = "Not shown" if proven.empty else "Yes"
    best = (table if proven.empty else proven).sort_values("mean").iloc[-1]
    return Words(
        f"{lead}. Beside what is known without it ρ was to explain {MARGIN} more of the variance "
        f"of R, and of {len(table)} variants the best ({best.name}) changes the explained share by "
        f"{best['mean']:+.3f} [{best['low']:+.3f}, {best['high']:+.3f}].\n\n"
        f"{len(rows)} trained networks in {clusters} groups of one architecture and seed. "
        f"Without ρ, {', '.join(map(_words, KNOWN[:-1]))} and {_words(KNOWN[-1])} explain "
        f"{explained(rows):.0%} of the variance in groups that were not fitted."
    )


def _words(name: str) -> str:
    names = {"spliced": "Acc_sr", "gamma_a": "γ_a", "answers": "H(ŷ | y)"}
    return names.get(name, "the distance of the weights" if name == "distance" else name)
