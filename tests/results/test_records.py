"""Results: keys that stay, files that are whole, nothing overwritten in silence."""

import importlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field, is_dataclass
from pkgutil import walk_packages
from typing import ClassVar

import pytest

import semirobust
from semirobust.results import records as results
from semirobust.results.cost import Clock, peak_memory_mb


@dataclass(frozen=True)
class Inner:
    steps: int = 10


@dataclass(frozen=True)
class Settings:
    name: str
    rate: float = 0.1
    inner: Inner = field(default_factory=Inner)
    cuts: tuple[int, ...] = (4,)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("SEMIROBUST_RESULTS", str(tmp_path))
    return tmp_path


def save(settings=None, metrics=None, **more):
    settings, metrics = settings or Settings("a"), metrics or {"accuracy": 0.5}
    return results.save("trial", settings, metrics, profile="smoke", origin={}, **more)


def test_only_what_was_chosen_is_described():
    assert results.describe(Settings("a")) == {"kind": "Settings", "name": "a"}
    chosen = results.describe(Settings("a", inner=Inner(20), cuts=(4, 12)))
    assert chosen["inner"] == {"kind": "Inner", "steps": 20}
    assert chosen["cuts"] == [4, 12]


def test_keys_are_pinned():
    assert results.key(Settings("a")) == "63fa208ecc11"
    assert results.key(Settings("a", rate=0.1)) == results.key(Settings("a"))
    assert results.key(Settings("a", rate=0.2)) != results.key(Settings("a"))


def test_a_renamed_class_keeps_its_kind_and_so_its_records():
    @dataclass(frozen=True)
    class Renamed:
        kind: ClassVar[str] = "Settings"
        name: str

    assert results.describe(Renamed("a")) == results.describe(Settings("a"))
    assert results.key(Renamed("a")) == "63fa208ecc11"


def test_no_two_settings_of_the_package_are_of_one_kind():
    names = [module.name for module in walk_packages(semirobust.__path__, "semirobust.")]
    twin = "semirobust.edge.device"  # of edge.counting, name by name, and no settings
    names = [name for name in names if name != twin and not name.endswith("__main__")]
    modules = [importlib.import_module(name) for name in names]
    kinds = Counter(
        results.kind_of(kind)
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and is_dataclass(kind) and kind.__module__ == module.__name__
    )
    assert len(kinds) > 50
    assert [kind for kind, times in kinds.items() if times > 1] == []


def test_what_is_saved_is_loaded(store):
    path = save()
    record = results.load("trial", path.stem)
    assert (record.metrics, record.profile) == ({"accuracy": 0.5}, "smoke")
    assert record.settings == {"kind": "Settings", "name": "a"}
    assert results.records("trial") == [record]
    assert [file.name for file in (store / "trial").iterdir()] == [path.name]


def test_the_same_metrics_may_be_saved_again_and_others_only_on_request(store):
    path = save()
    before = path.read_bytes()
    save()
    with pytest.raises(FileExistsError, match="--replace"):
        save(metrics={"accuracy": 0.6})
    assert path.read_bytes() == before
    save(metrics={"accuracy": 0.6}, replace=True)
    assert results.load("trial", path.stem).metrics == {"accuracy": 0.6}


def test_a_number_that_is_none_is_refused(store):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(metrics={"accuracy": float("nan")})
    assert not list(store.rglob("*.json"))


def test_damaged_missing_and_renamed_files_are_named(store):
    path = save()
    with pytest.raises(FileNotFoundError, match="semirobust run trial"):
        results.load("trial", "0" * 12)
    path.with_stem("f" * 12).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="was renamed"):
        results.load("trial", "f" * 12)
    half = path.read_bytes()[:100]
    path.write_bytes(half)
    with pytest.raises(ValueError, match="is damaged"):
        results.load("trial", path.stem)
    assert path.read_bytes() == half


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    results.write_atomically(path, b"old")
    monkeypatch.setattr(results.os, "fsync", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        results.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_provenance_says_where_a_number_comes_from():
    origin = results.provenance(device="cpu", threads=1)
    assert origin["versions"]["torch"]
    assert json.dumps(origin)
    assert str(results.ROOT) not in json.dumps(origin)


def test_costs_are_measured():
    clock = Clock()
    sum(range(1_000_000))
    first, later = clock.spent(), clock.spent()
    assert 0 < first["cpu_seconds"] <= later["cpu_seconds"]
    assert first["seconds"] > 0
    assert peak_memory_mb() > 10


# Whose commit, and where the work is kept


PLACED = """
import json
from semirobust.results import records
origin = records.provenance()
print(json.dumps([origin["commit"], origin["dirty"], origin["files"], str(records.results_root())]))
"""


@pytest.fixture
def installed(tmp_path):
    """A copy of the package as it is installed: inside a repository that is not its own."""
    outer = tmp_path / "outer"
    shutil.copytree(results.ROOT / "semirobust", outer / "site" / "semirobust")
    git = ["git", "-C", str(outer), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "another project"], check=True)
    (tmp_path / "work").mkdir()
    return tmp_path


def placed(folder, **environment):
    own = {k: v for k, v in os.environ.items() if not k.startswith(("SEMIROBUST", "GIT"))}
    done = subprocess.run(
        [sys.executable, "-c", PLACED],
        cwd=folder / "work",
        env=own | {"PYTHONPATH": str(folder / "outer" / "site")} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_an_installed_package_has_no_commit_of_the_repository_around_it(installed):
    git_dir = str(results.ROOT / ".git")
    for environment in ({}, {"GIT_DIR": git_dir}, {"PATH": ""}):
        commit, dirty, files, root = placed(installed, **environment)
        assert (commit, dirty) == (None, None)
        assert len(files) == 16
        assert root == str(installed / "work" / "results")


def test_a_run_elsewhere_may_say_its_commit(installed):
    assert placed(installed, SEMIROBUST_COMMIT="f" * 40)[:2] == ["f" * 40, None]


def test_the_digest_of_files_changes_with_a_file(installed):
    before = placed(installed)[2]
    (installed / "outer" / "site" / "semirobust" / "layers.py").write_text("N = 1\n")
    assert placed(installed)[2] != before


def test_a_checkout_knows_its_commit_whatever_git_dir_says(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.delenv("SEMIROBUST_COMMIT", raising=False)
    assert len(results.provenance()["commit"]) == 40


# Equal settings, equal keys; nothing that can be checked is trusted


@dataclass(frozen=True)
class Numbers:
    share: float = 0.5
    count: int = 7
    whole: bool = False
    several: tuple[float, ...] = (0.5,)
    perhaps: float | None = None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"share": 1}, {"share": 1.0}),
        ({"share": True}, {"share": 1.0}),
        ({"share": -0.0}, {"share": 0.0}),
        ({"count": 1.0}, {"count": 1}),
        ({"whole": 1}, {"whole": True}),
        ({"several": (1, -0.0)}, {"several": (1.0, 0.0)}),
        ({"perhaps": 2}, {"perhaps": 2.0}),
    ],
)
def test_equal_settings_have_equal_keys(one, other):
    assert results.key(Numbers(**one)) == results.key(Numbers(**other))


def test_settings_of_another_value_have_another_key():
    assert results.key(Numbers(count=1.5)) != results.key(Numbers(count=1))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_settings_that_equal_nothing_are_refused(value):
    with pytest.raises(ValueError, match="give a finite number"):
        results.key(Numbers(share=value))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('"accuracy": 0.5', '"accuracy": 0.9', "was changed after it was stored"),
        ('"name": "a"', '"name": "b"', "other settings than its name says"),
        ('"profile": "smoke"', '"profile": "paper"', "was changed after it was stored"),
        ('"metrics"', '"nothing"', "no metrics"),
    ],
)
def test_a_record_that_was_changed_is_named_and_not_published(store, old, new, told):
    path = save()
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=told) as error:
        results.load("trial", path.stem)
    assert str(path) in str(error.value)


def test_records_older_than_their_digests_are_held_to_the_list(tmp_path, monkeypatch):
    names = (results.ROOT / "results" / results.SUMS).read_text().split()[1::2]
    assert len(names) == 115  # a record leaves the list only when it is computed again
    monkeypatch.setenv("SEMIROBUST_RESULTS", str(tmp_path))
    shutil.copy(results.ROOT / "results" / results.SUMS, tmp_path)
    name = names[0]
    (tmp_path / name).parent.mkdir()
    shutil.copy(results.ROOT / "results" / name, tmp_path / name)
    experiment, _, file = name.partition("/")
    assert results.load(experiment, file.removesuffix(".json")).experiment == experiment
    text = (tmp_path / name).read_text()
    head, metrics, rest = text.partition('"metrics"')
    (tmp_path / name).write_text(head + metrics + rest.replace("0.", "1.", 1))
    with pytest.raises(ValueError, match="was changed after it was stored"):
        results.load(experiment, file.removesuffix(".json"))


def test_a_full_disk_leaves_the_old_file_and_nothing_of_the_new_one(tmp_path):
    path, (soft, hard) = tmp_path / "record.json", resource.getrlimit(resource.RLIMIT_FSIZE)
    results.write_atomically(path, b"old")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # no file may grow further
        with pytest.raises(OSError, match=re.escape(str(path))):
            results.write_atomically(path, bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
