"""What the chapter on tickets found: sparse networks in tables, and against dense ones."""

import pandas as pd
from scipy.stats import t as student

from semirobust.findings.tables import mean_and_spread


def summary(records: pd.DataFrame, by: list[str], columns: list[str]) -> pd.DataFrame:
    """Return mean and, from two networks on, standard deviation of columns, with the count."""
    groups = records.groupby(by, sort=False)
    return groups[columns].agg(mean_and_spread).assign(networks=groups.size()).reset_index()


def against_dense(networks: pd.DataFrame) -> pd.DataFrame:
    """Return accuracies under PGD of sparse fronts beside the dense one, by row, cut and back.

    ``noise`` is half of the 95 % interval (Student) of the ticket's difference over the trials.
    """
    by = ["row", "a", "share", "back", "trial"]
    sparse = networks[networks["front"] != "dense"].round({"share": 3})
    table = sparse.pivot_table(index=by, columns="front", values="pgd")
    dense = networks[networks["front"] == "dense"].set_index(["row", "a", "back", "trial"])["pgd"]
    table = table.join(dense.rename("dense"))
    table["ticket - dense"] = table["ticket"] - table["dense"]
    table["ticket - mask"] = table["ticket"] - table["random mask"]
    groups = table.groupby(by[:-1])
    wide = student.ppf(0.975, groups.size() - 1)
    return groups.mean().assign(noise=groups["ticket - dense"].sem() * wide)
