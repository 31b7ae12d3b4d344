"""Pages show what is recorded, as text; what is read by hand-written files is checked first."""

import json
import shutil
from types import SimpleNamespace

import pytest

from book._ext import changed, executed, runs
from book._ext.markdown import plain
from book._ext.values import fill
from semirobust.results import published
from semirobust.results.records import ROOT
from semirobust.results.values import MIME, named_values

SCRIPT = "<script>alert(1)</script>"


def test_what_a_record_says_is_text_and_no_markup(tmp_path):
    folder = tmp_path / "results" / "trial"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text(json.dumps({"name": f"{SCRIPT} | **x** [a](b) `c` $d$"}))
    shown = fill("{{ results/trial/a.json:name }}", tmp_path)
    assert not set("<>|*[]`$") & set(shown)
    assert shown == plain(f"{SCRIPT} | **x** [a](b) `c` $d$")
    record = SimpleNamespace(provenance={"device": SCRIPT}, seconds=1.0, date="2026-01-01")
    notebook = SimpleNamespace(name="01-a")
    page = SimpleNamespace(record=record, notebook=notebook, profile="smoke", stale=False)
    assert SCRIPT not in runs.chapters([page])
    assert SCRIPT not in changed._shown(SCRIPT)


@pytest.mark.parametrize("path", ["../secret.json", "results/../../secret.json", "secret.json"])
def test_a_placeholder_reads_results_and_book_alone(path, tmp_path):
    (tmp_path / "checkout" / "results").mkdir(parents=True)
    for folder in (tmp_path, tmp_path / "checkout"):
        (folder / "secret.json").write_text('{"key": "s"}')
    for text in (f"{{{{ {path}:key }}}}", f"<!-- when {path} -->\nx\n<!-- end -->\n"):
        with pytest.raises(ValueError, match="is not read: pages show what lies under results"):
            fill(text, tmp_path / "checkout")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("quantity,value", "quantity", "has the columns place"),
        ("4,autoattack,robust,64.7", "4,autoattack,robust,6x.7", "line 2 holds no number"),
        ("4,autoattack,robust,64.7", "4,autoattack,robust,164.7", "line 2 holds no percentage"),
        ("4,autoattack,robust,64.7", "4,autoattack,robusst,64.7", "line 2 holds no quantity of"),
        ("Table 1,alexnet,cifar10,4", "Table 1,alexnot,cifar10,4", "holds no model of"),
        ("Table 1,alexnet,cifar10,4", "Table 1,alexnet,cifar10,x", "line 2 holds no number"),
    ],
)
def test_a_damaged_table_of_published_numbers_is_one_line(old, new, told, tmp_path):
    text = published.FILE.read_text()
    assert old in text
    file = tmp_path / "published.csv"
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=told) as error:
        published.published_numbers(file=file)
    assert str(error.value).startswith("published.csv")
    assert "\n" not in str(error.value)
    for damaged in (b"", text.encode()[:-40] + b'"'):
        file = tmp_path / f"published-{len(damaged)}.csv"
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"^published-"):
            published.published_numbers(file=file)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('path = "study.data.train"', 'path = "study.data.tarin"', "setting 2 names tarin"),
        ('word = "training images"', 'wort = "training images"', "setting 2 has wort"),
        ("scale = 255", 'scale = "255"', "which is no number"),
        ("[[setting]]", "[[setting", r"paper\.toml is damaged"),
        ("[[setting]]", "[[settings]]", r"paper\.toml is damaged"),
    ],
)
def test_damaged_settings_of_the_paper_are_one_line(old, new, told, tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "semirobust").symlink_to(ROOT / "semirobust")
    text = (ROOT / changed.FILE).read_text()
    assert old in text
    (tmp_path / changed.FILE).write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=told) as error:
        changed.of_paper(tmp_path)
    assert str(error.value).startswith(changed.FILE)
    assert "\n" not in str(error.value)


def test_the_papers_settings_are_as_they_should_be():
    assert len(changed.of_paper()) > 5


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"notebook"', '"note"'),
        ('"profile": "', '"profile": "other-'),
        ("{", "["),
        ('"copy"', '"c"'),
    ],
)
def test_a_damaged_record_of_a_notebooks_copy_is_one_line(old, new, tmp_path):
    record = next((ROOT / "results" / "notebooks").glob("*/*.json"))
    folder = tmp_path / record.parent.name
    folder.mkdir()
    for path in (record, record.with_suffix(".ipynb")):
        shutil.copy(path, folder)
    path = folder / record.name
    copy = path.with_suffix(".ipynb")
    assert executed.whole(copy, path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=r"is damaged|is of") as error:
        executed.whole(copy, path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("number", ["0.5", None, float("nan")])
def test_a_named_value_is_a_finite_number(number):
    cell = {"outputs": [{"data": {MIME: {"rho": number}}}]}
    with pytest.raises(ValueError, match="a cell gives no finite number for rho"):
        named_values({"cells": [cell]})
