"""A reader's own run: what is said of it, and the recorded points beside it."""

import pandas as pd
import pytest

from semirobust.findings import beside_recorded, tried

NAMES = ("standard", "robust", "spliced", "tuned", "frozen standard f_a")


def run(*shares, n=1000):
    return pd.DataFrame({"label": NAMES, "clean": shares, "whitebox": shares, "n": n})


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ((0.0, 0.3, 0.1, 0.28, 0.05), ("from 30.0% to 10.0%", "reaches 28.0%", "adds 23.0 points")),
        ((0.0, 0.3, 0.1, 0.28, 0.28), ("gives 28.0%", "cannot tell whether the robust front")),
        ((0.0, 0.3, 0.3, 0.3, 0.05), ("costs nothing that so few images show",)),
        ((0.3, 0.3, 0.1, 0.2, 0.1), ("no more robust (30.0% white-box)", "nothing to lose")),
    ],
)
def test_the_sentence_follows_the_numbers(shares, told):
    words = tried(run(*shares), n_b=12, against="N-FGSM", images=10_000)
    assert all(part in words for part in told)
    assert "finds nothing" not in words


def test_a_small_run_is_said_to_find_nothing():
    words = tried(run(0.0, 0.9, 0.1, 0.8, 0.2, n=200), n_b=4, against="PGD", images=400)
    assert "One run, 400 training images, 200 scored; so small a run" in words


def test_own_points_stand_beside_each_recorded_seed_of_the_same_cut():
    found = beside_recorded(run(0.0, 0.3, 0.1, 0.28, 0.05), 12)
    seeds = found[found["whose"] != "yours"].groupby("network")["seed"].agg(["count", "nunique"])
    assert set(seeds.index) == set(NAMES)
    assert (seeds == 3).all(axis=None)
    assert (found["whose"] == "yours").sum() == len(NAMES)
    alone = beside_recorded(run(0.0, 0.3, 0.1, 0.28, 0.05), 5)
    assert set(alone.query("whose != 'yours'")["network"]) == {"standard", "robust"}
