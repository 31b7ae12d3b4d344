"""What the audit of the assumptions says, from pairs of layers."""

import pandas as pd
import pytest

from semirobust.findings.assumptions import audited

ROW = {"model": "vgg16", "data": "digits", "protocol": "online", "seed": 0}
PAIRS = pd.DataFrame(
    [
        {**ROW, "j": j, "network": name, "A1": name == "robust" or j == 5, "A2": False}
        | {"growth": -0.1, "gamma": 0.2 if name == "robust" else -0.2, "conclusion": j == 6}
        for name in ("standard", "robust")
        for j in (5, 6)
    ]
)


def test_the_audit_counts_what_holds_in_robust_networks_and_in_standard_ones():
    told = audited(PAIRS, "cpu")
    assert "none of 4 pairs" in told
    assert "at 2; the conclusion holds at 2" in told
    assert "at 2 of 2 pairs of robust networks, and at 1 of these in the standard" in told


def test_an_assumption_that_cannot_hold_has_no_sentence():
    with pytest.raises(ValueError, match="no sentence for an A2"):
        audited(PAIRS.assign(A2=True), "cpu")
    apart = PAIRS.assign(A1=PAIRS["network"] == "robust")
    with pytest.raises(ValueError, match="no sentence for an A1"):
        audited(apart, "cpu")
