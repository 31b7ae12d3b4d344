"""Tables of sparse networks: what they say of spread, and of the dense network."""

import pandas as pd
import pytest

from semirobust.findings.tickets import against_dense, kept, summary

RECORDS = pd.DataFrame(
    [
        {"row": row, "reset": reset, "share": share, "trial": trial, "pgd": share / 2 + trial / 10}
        for row in ("digits", "mnist")
        for reset in ("original", "random")
        for share in (1.0, 0.1)
        for trial in (0, 1)
    ]
)


def test_a_table_has_mean_spread_and_number_of_networks():
    table = summary(RECORDS, ["row", "reset", "share"], ["pgd"])
    assert len(table) == 8
    first = table.iloc[0]
    assert first["pgd"] == "55.0 ± 7.1%"
    assert first["networks"] == 2


def test_a_sparse_front_is_held_against_the_dense_one_of_its_trial():
    rows = [
        {"row": "digits", "a": 1, "back": "clean", "trial": trial, "front": front}
        | {"share": 1.0 if front == "dense" else 0.1, "pgd": value + trial / 10}
        for trial in (0, 1)
        for front, value in (("dense", 0.5), ("ticket", 0.4), ("random mask", 0.2))
    ]
    (found,) = against_dense(pd.DataFrame(rows)).to_dict("records")
    assert found["ticket - dense"] == pytest.approx(-0.1)
    assert found["ticket - mask"] == pytest.approx(0.2)
    assert found["noise"] == pytest.approx(0.0, abs=1e-12)


def test_what_is_kept_is_told_only_where_first_values_help():
    values = {"original": (0.5, 0.52, 0.51), "random": (0.2, 0.22, 0.24)}
    levels = pd.DataFrame(
        [
            {"trial": trial, "reset": reset, "level": level, "share": 1 - 0.9 * level}
            | {"pgd": pgd if level else 0.6, "data": "digits"}
            for reset, found in values.items()
            for trial, pgd in enumerate(found)
            for level in (0, 1)
        ]
    )
    index = pd.MultiIndex.from_tuples([("standard",), ("clean",)], names=["back"])
    fronts = pd.DataFrame(
        {"ticket - dense": [-0.2, 0.1], "noise": [0.1, 0.2], "ticket - mask": [0.1, -0.1]}, index
    )
    told = kept(levels, fronts, "cpu")
    assert "With 10.0% of the weights" in told
    assert "29.0 points" in told
    assert "worse than the dense front in 1 of 1 comparisons behind a standard back" in told
    turned = levels.replace({"reset": {"original": "random", "random": "original"}})
    with pytest.raises(ValueError, match="no sentence for first values"):
        kept(turned, fronts, "cpu")
