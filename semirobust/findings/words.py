"""Numbers as a table shows them: shares in per cent, the others as fractions, a dash for none."""

from typing import Any

import pandas as pd
from pandas.api.types import is_float_dtype

from semirobust.figures.alt_text import in_words
from semirobust.results import frames

NONE = "–"  # no value, or a network without a cut
SHOWN = {"clean": "clean", "static": "transfer", "whitebox": "white-box"}
SHOWN |= {"headline": "APGD", "autoattack": "AA"}
SHARES = {  # columns shown in per cent
    *(*SHOWN, *SHOWN.values(), "accuracy", "transfer", "attacked", "verified", "guaranteed"),
    *("fgsm", "pgd", "FGSM", "PGD", "PGD 20", "adaptive", "standing", "retention", "own", "±"),
    *("printed", "ours", "accuracy before", "clean of these", "retention two errors"),
    "whitebox two errors",
}


def decimals(table: Any, digits: int = 3) -> Any:
    """Return fractions of a column or table as words, a dash where there is none.

    Columns that are named as accuracies (``SHARES``) are in per cent.

    Example:
        >>> decimals(pd.Series([0.5, None])).tolist()
        ['0.500', '–']
    """
    if isinstance(table, pd.DataFrame):
        return table.apply(decimals, digits=digits)
    names = table.name if isinstance(table.name, tuple) else (table.name,)
    if SHARES & {*names}:
        return percent(table)
    form = f"{{:.{digits}f}}" if is_float_dtype(table) else "{}"
    return table.map(lambda value: NONE if pd.isna(value) else form.format(value))


def percent(table: Any) -> Any:
    """Return shares of a column or table in per cent, a dash where there is none.

    Example:
        >>> percent(pd.Series([0.5, None])).tolist()
        ['50.0%', '–']
    """
    return table.map(lambda value: NONE if pd.isna(value) else f"{value:.1%}")


def mean_and_spread(
    values: "pd.Series[float]", *, alone: str = " (1 seed)", unit: str = "%"
) -> str:
    """Return mean and standard deviation of shares in per cent, as ``frames.mean_and_spread``."""
    return frames.mean_and_spread(100 * values.astype(float), 1, alone=alone, unit=unit)


def short(labels: pd.Series) -> pd.Series:
    """Return labels of networks, controls by the front that they have."""
    return labels.map(in_words)


def how_often(held: pd.Series) -> str:
    """Return in how many seeds something held.

    Example:
        >>> how_often(pd.Series([True, False, True]))
        '2 of 3'
    """
    return f"{int(held.sum())} of {len(held)}"
