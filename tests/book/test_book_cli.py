"""The commands of the book refuse what cannot be meant, in one line."""

import pytest

from book._ext import run
from semirobust.cli import main


@pytest.mark.parametrize("words", [["run"], ["run", "table-1", "--all"]])
def test_run_wants_an_experiment_or_all_notebooks_and_not_both(words, capsys):
    assert main(words) == 1
    assert "names of experiments, or --all" in capsys.readouterr().err


def test_all_notebooks_in_an_unknown_profile_are_refused_before_anything_runs(capfd):
    assert main(["run", "--all", "--profile", "big"]) == 1
    assert "unknown profile 'big'; known: smoke" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("word", "value"),
    [("seed=3", 3), ("rate=1e-3", 0.001), ("profile=cpu", "cpu"), ("radii=[1, 2]", [1, 2])],
)
def test_a_parameter_is_read_as_a_number_or_as_yaml(word, value):
    assert run.parameter(word) == (word.partition("=")[0], value)


def test_a_parameter_without_a_value_is_refused():
    with pytest.raises(ValueError, match="NAME=VALUE, got 'seed'"):
        run.parameter("seed")
