"""Faults: what is killed, changed or damaged gives the same numbers or one line, never others."""

import faults
import pytest

QUICK = ("linear", "mixtrain", "rewinding")  # ``python tests/faults.py`` tries every experiment


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_every_fault_is_survived(name):
    tally = faults.Tally()
    action = faults.run(name)
    faults.try_kills(tally, name, action, kills=2)
    faults.try_changes(tally, name, action)
    faults.try_damages(tally, name, action, most=1)
    assert tally.lost == []
    assert sum(map(len, tally.found.values())) > 5


@pytest.mark.slow
def test_a_row_that_is_made_job_by_job_survives_kills():
    tally = faults.Tally()
    faults.try_kills(tally, "staging", faults.staged, kills=2)
    assert tally.lost == []
