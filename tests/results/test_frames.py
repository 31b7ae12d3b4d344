"""The one reader of records: what names a run, what is read again, and what is refused."""

import subprocess
import sys

import pandas as pd
import pytest
import recorded

from semirobust.experiments import registry
from semirobust.results import frames, records
from semirobust.results.documents import document
from semirobust.results.published import published_numbers
from semirobust.results.values import MIME, Values, named_values

ROW = {"kind": "Row", "study": {"architecture": {"name": "vgg16"}, "data": {"name": "cifar10"}}}


def store(root, seed=0, profile="cpu", **tables):
    settings = {**ROW, "study": {**ROW["study"], **({"seed": seed} if seed else {})}}
    return recorded.store(root, "table-1", settings, tables, profile=profile)


def test_every_row_of_a_table_names_its_run(tmp_path):
    path = store(tmp_path, networks=[{"network": "robust", "clean": 0.5}])
    (row,) = frames.frame("table-1", root=tmp_path).to_dict("records")
    named = {"model": "vgg16", "data": "cifar10", "seed": 0}
    origin = {"experiment": "table-1", "key": path.stem, "profile": "cpu", "file": path}
    assert row == {"network": "robust", "clean": 0.5, **named, **origin}


def test_a_profile_or_table_without_records_is_an_empty_frame(tmp_path):
    store(tmp_path, networks=[{"network": "robust"}])
    assert len(frames.frame("table-1", profile="cpu", root=tmp_path)) == 1
    assert frames.frame("table-1", profile="gpu", root=tmp_path).empty
    assert frames.frame("table-1", "rho", root=tmp_path).empty
    assert "file" in frames.frame("nothing", root=tmp_path)


def test_a_changed_record_is_read_again_and_a_frame_is_the_callers_own(tmp_path):
    store(tmp_path, networks=[{"clean": 0.5}])
    rows = frames.frame("table-1", root=tmp_path)
    rows["clean"] = 0.0
    assert frames.frame("table-1", root=tmp_path)["clean"].tolist() == [0.5]
    store(tmp_path, networks=[{"clean": 0.75}])
    store(tmp_path, 1, networks=[{"clean": 0.25}])
    assert sorted(frames.frame("table-1", root=tmp_path)["clean"]) == [0.25, 0.75]


def test_a_record_that_was_changed_after_it_was_stored_is_not_shown(tmp_path):
    path = store(tmp_path, networks=[{"clean": 0.5}])
    path.write_text(path.read_text().replace("0.5", "0.9"), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"{path.name} was changed after it was stored"):
        frames.frame("table-1", root=tmp_path)


@pytest.mark.parametrize("name", registry.EXPERIMENTS)
def test_a_run_is_named_by_the_values_of_its_settings(name):
    """Of every row of every profile, though a record leaves out what is a default."""
    for profile in registry.experiment(name).profiles:
        for row in registry.rows(name, profile):
            settings = records.describe(row)
            for column, place in frames.COLUMNS[settings["kind"]].items():
                value = row
                for part in place.removesuffix(".kind").split("."):
                    value = getattr(value, part)
                if column == "training":
                    value = "standard" if value is None else type(value).__name__.lower()
                assert frames.columns(settings).get(column, "") == value, (column, row)


def test_every_record_is_of_settings_that_are_known():
    for name in registry.EXPERIMENTS:
        for path in frames.paths(name):
            assert document(path)["settings"]["kind"] in frames.COLUMNS, path


def test_a_damaged_file_is_named_in_one_line(tmp_path):
    path = store(tmp_path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"{path.name} is damaged") as told:
        frames.frame("table-1", root=tmp_path)
    assert "\n" not in str(told.value)


def test_reading_records_takes_no_torch():
    words = "import sys; from semirobust.results.frames import frame; frame('table-1')"
    command = [sys.executable, "-c", words + "; sys.exit('torch' in sys.modules)"]
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.1, 0.3], "0.200 ± 0.141"),
        ([0.1], "0.100"),
        ([0.1, None, None], "0.100 (1 seed)"),
        ([None, None], ""),
    ],
)
def test_a_mean_has_a_spread_from_two_values_on(values, shown):
    assert frames.mean_and_spread(pd.Series(values, dtype=float)) == shown


def test_numbers_leave_a_cell_by_name():
    bundle = Values(gamma=0.5, of_16=2)._repr_mimebundle_()
    assert bundle[MIME] == {"gamma": 0.5, "of_16": 2.0}
    assert bundle["text/plain"] == "gamma 0.5\nof_16 2"
    cells = [{"source": "words"}, {"outputs": [{"data": bundle}, {"text": "printed"}]}]
    assert named_values({"cells": cells}) == bundle[MIME]


def test_published_numbers_keep_how_they_are_printed():
    row = published_numbers("Table 1").query("model == 'vgg16' and quantity == 'rho_n-11'").iloc[0]
    assert (row["printed"], row["value"], row["n_b"]) == ("7.60", 7.6, 12)
    with pytest.raises(ValueError, match=r"published.csv has no place 'Table 9': Table 1, "):
        published_numbers("Table 9")


def test_a_published_line_without_a_number_is_named(tmp_path):
    file, line = tmp_path / "some.csv", "Table 1,vgg16,cifar10,12,autoattack,robust,{}\n"
    file.write_text(
        "place,model,data,n_b,attack,quantity,value\n" + line.format("0.5") + line.format("half"),
        encoding="utf-8",
    )
    with pytest.raises(ValueError, match=r"some.csv, line 3 holds no number: Table 1,.*half"):
        published_numbers(file=file)


def test_a_table_s_own_columns_are_not_replaced_by_what_names_its_run():
    """The protocol of an attack's report is no protocol of a study."""
    reported = frames.frame("revision", "accuracies")
    assert set(reported["protocol"]) == {"whitebox"}
