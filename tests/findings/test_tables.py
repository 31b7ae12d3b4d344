"""The tables that say what a chapter found: what holds, what is noise, what is not recorded."""

import pandas as pd
import pytest

from semirobust.findings import sentences as conclusions
from semirobust.findings import tables as findings

LABELS = {
    "standard": (None, None),
    "robust": (None, None),
    "spliced": (4, None),
    "tuned": (4, "robust"),
    "frozen standard f_a": (4, "standard"),
}


def tables(whitebox, *, clean=0.6, static=0.5, images=1000, stored=1000, seeds=2, **columns):
    """Return tables of networks with these white-box accuracies, one row for each seed."""
    networks = [
        {
            "network": "tuned" if front else label,
            "front": front,
            "n_b": n_b,
            "clean": clean,
            "static": static,
            "whitebox": whitebox[label],
            "data": "digits",
            "protocol": "online",
            "seed": seed,
        }
        for seed in range(seeds)
        for label, (n_b, front) in LABELS.items()
    ]
    run = {"protocol": "online", "data": "digits", **columns}
    runs = [{"seed": seed, **run} for seed in range(seeds)]
    return {
        "networks": pd.DataFrame(networks).assign(**columns),
        "reports": pd.DataFrame([{"column": "whitebox", "n": images, **one} for one in runs]),
        "rho": pd.DataFrame([{"per_class": stored // 10, **one} for one in runs]),
    }


GOOD = dict(zip(LABELS, (0.0, 0.5, 0.1, 0.49, 0.05), strict=True))


def held(found):
    table = findings.verdicts(found, "cpu", protocol="online").reset_index()
    return table.set_index("question")["verdict"].to_dict()


def test_a_difference_is_decided_by_the_rule_of_the_ledger():
    assert held(tables(GOOD, seeds=3, images=2000)) == {
        "robust at all": "holds",
        "splicing costs": "holds",
        "retraining f_b gains": "holds",
        "standard front beats spliced": "does not hold",
        "robust front gives more": "holds",
        "back within 2 points": "undecided",
    }
    back = tables(GOOD, seeds=3, images=100_000)
    assert held(back)["back within 2 points"] == "holds"
    assert held(tables(GOOD, seeds=1))["standard front beats spliced"] == "undecided"


def test_fewer_images_leave_fewer_differences():
    few = held(tables({**GOOD, "tuned": 0.2}, images=20))
    assert few["retraining f_b gains"] == "undecided"
    assert few["back within 2 points"] == "undecided"


def test_every_run_and_every_threat_has_its_own_number_of_images():
    """Few attacked images of one data set say nothing about another, nor about stored examples."""
    one = tables(GOOD, images=1000, model="vgg16")
    few = tables(GOOD, images=20, stored=2000, model="alexnet")
    both = {name: pd.concat([one[name], few[name]], ignore_index=True) for name in one}
    networks = findings.chosen(both)
    counted = {
        threat: findings.images(both, networks, threat).groupby(networks["model"]).unique()
        for threat in ("whitebox", "static")
    }
    assert counted["whitebox"].map(list).to_dict() == {"vgg16": [1000], "alexnet": [20]}
    assert counted["static"].map(list).to_dict() == {"vgg16": [1000], "alexnet": [2000]}


def test_a_control_at_chance_is_no_comparison():
    found = tables(GOOD)
    found["networks"].loc[found["networks"]["front"] == "standard", "clean"] = 0.1
    assert held(found)["robust front gives more"] == "†"
    assert held(found)["retraining f_b gains"] == "holds"
    told = conclusions.answer(found, "cpu")
    assert "gives 5.0%: that network is at chance on clean images, so nothing is compared." in told


FRESH = (
    "An ordinary back behind a robust front costs robustness: white-box accuracy falls from 50.0% "
    "to 10.0%. Retraining that back against the attack brings it up again, to 49.0% (whether that "
    "is within 2 points of the robust network is undecided). Behind a standard front the same "
    "training gives 5.0%: it is the robust front that helps."
)


def test_what_was_found_on_fresh_examples_is_told_in_three_sentences():
    told = conclusions.answer(tables(GOOD, seeds=3), "cpu").splitlines()
    assert told == [FRESH, "", "*Narrow networks, 3 seeds, 1 cut.*"]


def test_stored_examples_have_one_sentence_of_both_threat_models():
    fresh, stored = tables(GOOD), tables(dict.fromkeys(GOOD, 0.0), static=0.7)
    stored = {name: table.assign(protocol="static") for name, table in stored.items()}
    both = {name: pd.concat([fresh[name], stored[name]], ignore_index=True) for name in fresh}
    assert (
        conclusions.answer(both, "cpu")
        .splitlines()[0]
        .endswith(
            " Trained on stored examples instead, retrained networks score 70.0% by transfer and "
            "0.0% when they are attacked themselves."
        )
    )
    told = conclusions.answer(both, "cpu", rho="ρ says little.")
    assert "stored" not in told
    assert told.splitlines()[0].endswith("that helps. ρ says little.")
    led = conclusions.answer(fresh, "cpu", lead="ρ falls.").splitlines()[0]
    assert led == f"ρ falls. {FRESH}"
    with pytest.raises(ValueError, match="no network trained on fresh examples is recorded"):
        conclusions.answer(stored, "cpu")


def test_where_there_is_nothing_to_restore_nothing_is_claimed():
    lost = tables({**GOOD, "standard": 0.5}, model="vgg16", data="cifar10")
    other = tables(GOOD, model="alexnet", data="cifar10")
    both = {name: pd.concat([lost[name], other[name]], ignore_index=True) for name in lost}
    told = conclusions.answer(both, "cpu")
    assert told.startswith(
        "There is nothing to restore (VGG16): the robust network reaches 50.0% white-box, the "
        "standard one 50.0%. An ordinary back behind a robust front costs robustness"
    )
    assert "costs robustness" not in conclusions.answer(lost, "cpu")


def test_a_network_without_a_record_is_answered_by_the_command_that_runs_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_RESULTS", str(tmp_path))
    assert conclusions.answer(tables(GOOD), "smoke", "resnet50") == (
        "Not run yet: no row of ResNet-50 on real data is recorded. "
        "`semirobust run table-1 --profile cpu --only resnet50` runs one."
    )


def test_each_attack_has_a_sentence_of_what_it_leaves():
    rows = [
        {"network": name, "front": front, "n_b": n_b, "attack": attack, "accuracy": left}
        for attack, scale in (("none", 1.0), ("PGD", 0.5))
        for name, front, n_b, left in (
            ("robust", None, None, 0.6 * scale),
            ("spliced", None, 4, 0.2 * scale),
            ("tuned", "robust", 4, 0.5 * scale),
        )
    ]
    found = {"accuracies": pd.DataFrame(rows)}
    assert conclusions.attacked(found, "cpu") == (
        "Yes: under each attack retrained networks keep more than spliced ones. "
        "Every network is attacked itself. Under PGD robust networks keep 30.0%, spliced ones "
        "10.0% and retrained ones 25.0%."
    )
    assert conclusions.attacked(found, "smoke") == findings.SMOKE


def test_runs_in_which_one_rho_is_larger_are_counted():
    means = pd.DataFrame(
        {
            "against": ["none"] * 4 + ["itself"] * 4,
            "label": ["tuned", "spliced"] * 4,
            "seed": [0, 0, 1, 1] * 2,
            "value": [1, 2, 1, 2, 2, 1, 1, 2],
            "excess": [2, 1] * 4,
        }
    )
    third = means[means["label"] == "spliced"].assign(label="standard", value=1.5)
    both = pd.concat([means, third])
    table = conclusions.larger(both, [("tuned", "spliced", "standard")], by="against")
    assert table.loc[("as published", "tuned > spliced and standard")].to_dict() == {
        "none": "0 of 2",
        "itself": "1 of 2",
    }
    table = conclusions.larger(means, [("tuned", "spliced")], by="against")
    assert table.loc[("as published", "tuned > spliced")].to_dict() == {
        "none": "0 of 2",
        "itself": "1 of 2",
    }
    assert set(table.loc["excess over the null"].to_numpy().ravel()) == {"2 of 2"}


def test_seeds_are_counted_for_each_protocol():
    one, other = tables(GOOD), tables(GOOD, protocol="static")
    both = {name: pd.concat([one[name], other[name]], ignore_index=True) for name in one}
    assert "Networks of 2 seeds" in findings.caption(both, "cpu")


def test_the_column_of_autoattack_is_explained_where_there_is_one():
    found = tables(GOOD)
    assert findings.notes(found, "online") == []
    found["networks"]["autoattack"] = found["networks"]["whitebox"].where(
        found["networks"]["seed"] == 0
    )
    report = found["reports"].iloc[:1].assign(column="autoattack", n=50)
    found["reports"] = pd.concat([found["reports"], report], ignore_index=True)
    (line,) = findings.notes(found, "online")
    assert line.startswith("AA: AutoAttack, 50 images of 1 seed;")


def test_seeds_that_contradict_each_other_leave_it_undecided():
    found = tables(GOOD)
    second = (found["networks"]["seed"] == 1) & (found["networks"]["front"] == "robust")
    found["networks"].loc[second, "whitebox"] = 0.1
    assert held(found)["retraining f_b gains"] == "undecided"


def test_where_robust_is_no_better_than_standard_nothing_is_asked():
    found = tables({**GOOD, "standard": 0.5})
    table = findings.verdicts(found, "cpu", protocol="online")
    assert table["difference"].tolist() == ["robust - standard", "nothing to restore"]
    assert conclusions.restored(found)["restored"].tolist() == ["nothing to restore"]


def test_the_share_restored_is_that_of_the_means():
    assert conclusions.restored(tables(GOOD))["restored"].tolist() == ["98%"]
    kept = {**GOOD, "spliced": 0.5}
    assert conclusions.restored(tables(kept))["restored"].tolist() == ["nothing was lost"]


def test_the_smoke_profile_says_of_nothing_that_it_holds():
    table = findings.verdicts(tables(GOOD), "smoke", protocol="online")
    assert set(table["verdict"]) == {findings.NONE}
    assert conclusions.answer(tables(GOOD), "smoke") == findings.SMOKE
    assert findings.caption(tables(GOOD), "smoke").startswith(findings.SMOKE)


def test_a_protocol_without_records_is_said_and_breaks_nothing():
    found = tables(GOOD)
    assert findings.caption(found, "cpu", "static") == (
        "The static protocol is not recorded in profile cpu."
    )
    assert findings.accuracies(found, "static").empty
    assert findings.verdicts(found, "cpu", protocol="static").empty
    assert conclusions.restored(found, "static").empty
    assert findings.leaking(found).empty


def test_rows_of_several_models_are_told_apart():
    one, other = tables(GOOD, model="vgg16"), tables(GOOD, model="alexnet")
    both = {name: pd.concat([one[name], other[name]], ignore_index=True) for name in one}
    table = findings.verdicts(both, "cpu", protocol="online")
    assert table.index.names == ["model", "n_b", "question"]
    assert len(table) == 2 * len(held(one))
    assert findings.accuracies(both).index.get_level_values("model").nunique() == 2


@pytest.mark.parametrize(("clean", "collapsed"), [(0.6, False), (0.11, True), (0.01, False)])
def test_a_network_at_chance_is_marked_and_named(clean, collapsed):
    found = tables(GOOD, clean=clean)
    names = findings.accuracies(found).index.get_level_values("network")
    assert names.str.endswith("†").all() == names.str.endswith("†").any() == collapsed
    line = "† at chance: n_b = 4, tuned, in 2 of 2"
    assert (line in findings.collapsed(found, "online")) == collapsed


def test_stored_examples_read_better_than_clean_ones_are_counted():
    table = findings.leaking(tables(GOOD, clean=0.4, static=0.6), "online")
    assert set(table["above in"]) == {"2 of 2"}
    assert set(table["difference"]) == {"20.0 ± 0.0%"}


def test_dependence_is_compared_on_layers_that_all_networks_have():
    records = [
        {"network": name, "front": None, "n_b": n_b, "j": j, "value": value, "null_mean": 2.0}
        for name, n_b, first in (("standard", None, 2), ("spliced", 4, 4))
        for j, value in ((2, 9.0), (3, 9.0), (4, 2.5), (5, 2.0))
        if j >= first
    ]
    rho = pd.DataFrame(records).assign(null_sd=0.1)
    rho["excess"] = rho["value"] - rho["null_mean"]
    table = findings.dependence(rho)
    assert table["value"].tolist() == ["2.250", "2.250"]
    assert table["above null"].tolist() == ["1 of 2", "1 of 2"]
    assert table["null share"].tolist() == ["0.89", "0.89"]


def test_every_experiment_can_be_shown_in_the_smoke_profile():
    assert findings.recorded("methods", "smoke")
    with pytest.raises(ValueError, match="unknown experiment"):
        findings.recorded("nothing", "cpu")
