"""Digests of code: what a function reaches, followed through modules, and nothing else."""

import sys
from types import SimpleNamespace

import pytest
from memories import forget

from semirobust.results import code as sources

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
        path = folder / (name if "." in name else f"{name}.py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        forget()

    monkeypatch.setattr(sources, "PACKAGE", folder)
    for name, text in (("loop", LOOP), ("maths", MATHS), ("tables", TABLES)):
        write(name, text)
    write.folder = folder
    yield write
    forget()


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
        ("loop", "import square, unused", "import unused as square, square as unused"),
        ("loop", "tables.look(x)", "tables.TABLE"),
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
        ("loop", "square(x)", 'watched(square(x), "a bar")'),
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


def moved(package):
    """Write the same definitions once more in folders, behind faces and under other names."""
    package("parts/numbers.py", MATHS.replace("semirobust.tables", "semirobust.parts.tables"))
    package("parts/tables.py", TABLES)
    package("parts/__init__.pyi", "from .numbers import square as squared, unused\n")
    package("parts/__init__.py", "__all__ = []")
    package("loop", LOOP.replace("square(", "by_itself(").replace("tables.look", "known.look"))
    text = (package.folder / "loop.py").read_text()
    text = text.replace(
        "semirobust.maths import square", "semirobust.parts import squared as by_itself"
    )
    text = text.replace(
        "from semirobust import tables", "from semirobust.parts import tables as known"
    )
    package("loop", text)


def test_a_move_is_no_edit(package):
    before = sources.salt([fit()])
    moved(package)
    assert "by_itself" in (package.folder / "loop.py").read_text()
    assert sources.salt([fit()]) == before


def test_an_edit_after_a_move_is_seen_through_the_face(package):
    moved(package)
    before = sources.salt([fit()])
    package("parts/numbers.py", MATHS.replace("* 2 * x", "* 3 * x"))
    assert sources.salt([fit()]) != before


CELLS = """
from semirobust import loop
from semirobust.maths import square

rate = 2
loop.fit(square(rate))
"""


def test_cells_reach_what_they_name_and_nothing_else(package):
    before = sources.salt_of_text(CELLS)
    package("loop", LOOP.replace("OTHER = 3", "OTHER = 4"))
    assert sources.salt_of_text(CELLS) == before
    package("maths", MATHS.replace("return x / TABLE", "return x * TABLE"))
    assert sources.salt_of_text(CELLS) != before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("from .maths import square", "in full"),
        ("import semirobust.maths", "from semirobust import"),
    ],
)
def test_imports_that_are_not_followed_are_refused(package, text, told):
    package("loop", f"{text}\n{LOOP}")
    with pytest.raises(ValueError, match=told):
        sources.salt([fit()])


def test_classes_outside_the_package_have_no_code_here():
    assert sources.reached([dict, sys.exit]) == set()


def test_what_only_stores_files_does_not_count():
    assert sources.reached([sources.Place]) == set()
