"""Tickets of convolutional networks: masks of links, rewinding, and what stands behind the cut."""

from dataclasses import replace

import pytest

from semirobust.attacks.gradient import NFGSM, PGD
from semirobust.data import Part
from semirobust.experiments import rewinding
from semirobust.experiments.registry import finish
from semirobust.models import Architecture
from semirobust.training.fitting import Training
from semirobust.training.methods import Online

RADIUS = 8 / 255
TINY = rewinding.Rewinding(
    architecture=Architecture(name="cnn", width=0.25),
    data=Part(name="digits", train=80, test=80),
    training=Training(
        epochs=2, learning_rate=0.05, batch=40, method=Online(attack=NFGSM(epsilon=RADIUS))
    ),
    whitebox=PGD(epsilon=RADIUS, step_size=RADIUS / 2, steps=2, stop_when_fooled=True),
    n_b=(2,),
    early=1,
    levels=2,
    rate=0.5,
    images=80,
)


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_ARTIFACTS", str(tmp_path))


def test_every_level_starts_from_the_early_weights_under_its_mask():
    seen = []

    def record(step):
        seen.append((step.stage, step.epoch.epoch))

    tables = finish(rewinding.run(TINY), record)
    assert [stage for stage, epoch in seen if epoch == 1][:4] == [
        "early 0",
        "dense",
        "level 1",
        "level 2",
    ]
    left = [record["remaining"] for record in tables["levels"]]
    assert left[0] == 1
    assert left[1] == pytest.approx(0.5, abs=0.02)
    assert left[2] == pytest.approx(0.25, abs=0.02)
    networks = {(r["front"], r["back"]): r for r in tables["networks"]}
    assert len(networks) == 8
    assert {name for name, _ in networks} == {"dense", "ticket", "new weights", "random mask"}
    sparse = {r["share"] for r in tables["networks"] if r["front"] != "dense"}
    assert len(sparse) == 1
    for one in networks.values():
        assert one["whitebox"] <= one["clean"]
        assert one["gamma_attack"] == pytest.approx(2 * one["whitebox"] - 1)
    assert {r["j"] for r in tables["rho"]} == {3, 4}


def test_an_early_epoch_that_is_not_early_is_refused():
    with pytest.raises(ValueError, match="need 0 < early < 2 epochs"):
        replace(TINY, early=2)


def test_every_profile_has_rows_with_titles_of_their_own():
    for profile in ("smoke", "cpu", "gpu"):
        titles = [row.title for row in rewinding.rewindings(profile)]
        assert len(set(titles)) == len(titles) > 0
