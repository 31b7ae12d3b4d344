"""Digests of code: what a function reaches, followed through modules, and nothing else."""

import sys
from types import SimpleNamespace

import pytest

from semirobust import sources

LOOP = '''"""Text."""
from semirobust.maths import square, unused
from semirobust import tables

RATE = 0.1
OTHER = 3

def fit(x: "Shown"):
    """Say what."""
    return square(x) * RATE + tables.look(x)

def plot(x):
    return x * OTHER

class Shown:
    pass
'''
MATHS = """
def square(x):
    return half(x) * 2 * x

def half(x):
    from semirobust.tables import TABLE
    return x / TABLE

def unused(x):
    return x
"""
TABLES = """
TABLE: int = 2
ANOTHER = 4

def look(x):
    return x
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "semirobust"
    folder.mkdir()

    def write(name, text):
        (folder / f"{name}.py").write_text(text)
        for memory in (sources.parsed, sources._named, sources._digest):
            memory.cache_clear()

    monkeypatch.setattr(sources, "PACKAGE", folder)
    for name, text in (("loop", LOOP), ("maths", MATHS), ("tables", TABLES)):
        write(name, text)
    yield write
    for memory in (sources.parsed, sources._named, sources._digest):
        memory.cache_clear()


def fit():
    return SimpleNamespace(__module__="semirobust.loop", __qualname__="fit")


def names():
    return {f"{place.module}.{place.name}" for place in sources.reached([fit()]) if place.name}


def test_names_are_followed_through_imports_and_nothing_else_is_reached(package):
    reached = {"loop.fit", "loop.RATE", "maths.square", "maths.half", "tables.TABLE", "tables.look"}
    assert names() == reached


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("loop", "RATE = 0.1", "RATE = 0.2"),
        ("maths", "* 2 * x", "* 3 * x"),
        ("tables", "TABLE: int = 2", "TABLE: int = 3"),
        ("tables", "return x", "return -x"),
        ("tables", "ANOTHER", "TABLE += 1\nANOTHER"),  # what a module does when it is imported
    ],
)
def test_an_edit_of_what_is_reached_changes_the_salt(package, module, old, new):
    before = sources.salt([fit()])
    text = {"loop": LOOP, "maths": MATHS, "tables": TABLES}[module]
    package(module, text.replace(old, new))
    assert sources.salt([fit()]) != before


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("loop", "OTHER = 3", "OTHER = 4"),
        ("loop", "Say what.", "Say more."),
        ("loop", 'x: "Shown"', "x"),
        ("loop", "return x * OTHER", "return x"),
        ("maths", "def unused(x):\n    return x", "def unused(x):\n    return 2 * x"),
        ("maths", "def half(x):", "# a comment\n\n\ndef half(\n    x,\n):"),
        ("tables", "ANOTHER = 4", "ANOTHER = 5"),
    ],
)
def test_an_edit_of_anything_else_does_not(package, module, old, new):
    before = sources.salt([fit()])
    text = {"loop": LOOP, "maths": MATHS, "tables": TABLES}[module]
    assert old in text
    package(module, text.replace(old, new))
    assert sources.salt([fit()]) == before


def test_classes_outside_the_package_have_no_code_here():
    assert sources.reached([dict, sys.exit]) == set()


def test_what_only_stores_files_does_not_count():
    assert sources.reached([sources.Place]) == set()
