"""Faces: what each folder shows to notebooks, users and tests."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys

import pytest

from semirobust.results.records import ROOT

PACKAGE = ROOT / "semirobust"
FACES = sorted(PACKAGE.rglob("__init__.pyi"))
READERS = [*sorted((ROOT / "notebooks").glob("*.ipynb")), ROOT / "README.md"]


def name_of(face):
    """Return the dotted name of the package that a face belongs to."""
    return ".".join(face.parent.relative_to(ROOT).parts)


def names_of(face):
    """Return what a face lists in ``__all__``, in its order."""
    tree = ast.parse(face.read_text(encoding="utf-8"))
    (listed,) = (node.value for node in tree.body if isinstance(node, ast.Assign))
    return ast.literal_eval(listed)


def imports_of(source):
    """Return (module, name) of everything that Python source imports from the package."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("semirobust"):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names if "semirobust" in alias.name)


def sources_of(reader):
    """Return the Python code of a notebook or of a page's fenced blocks."""
    text = reader.read_text(encoding="utf-8")
    if reader.suffix == ".md":
        return re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    lines = ["".join(cell["source"]).splitlines() for cell in cells]
    return ["\n".join(line for line in cell if not line.startswith(("%", "!"))) for cell in lines]


@pytest.mark.parametrize("face", FACES, ids=name_of)
def test_every_name_of_a_face_resolves(face):
    package = importlib.import_module(name_of(face))
    assert sorted(package.__all__) == sorted(names_of(face))
    for name in names_of(face):
        assert getattr(package, name) is not None


@pytest.mark.parametrize("face", FACES, ids=name_of)
def test_a_face_is_sorted_and_says_what_its_folder_is_about(face):
    names = names_of(face)
    assert len(names) == len(set(names))
    assert names == sorted(
        names, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
    )
    assert importlib.import_module(name_of(face)).__doc__


@pytest.mark.parametrize("face", FACES, ids=name_of)
def test_what_a_face_shows_says_what_it_does(face):
    package = importlib.import_module(name_of(face))
    shown = [(name, getattr(package, name)) for name in names_of(face)]
    own = [
        (name, value) for name, value in shown if inspect.isroutine(value) or inspect.isclass(value)
    ]
    assert [
        name for name, value in own if not value.__doc__ or value.__doc__.startswith(f"{name}(")
    ] == []


@pytest.mark.parametrize("face", FACES, ids=name_of)
def test_no_name_of_a_face_is_also_a_module_of_its_folder(face):
    tree = ast.parse(face.read_text(encoding="utf-8"))
    attributes = [
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    ]
    modules = {path.stem for path in face.parent.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert modules & set(attributes) == set()


@pytest.mark.parametrize("reader", READERS, ids=lambda path: path.name)
def test_notebooks_and_readme_import_from_faces_only(reader):
    known = {name_of(face): names_of(face) for face in FACES}
    imported = [pair for source in sources_of(reader) for pair in imports_of(source)]
    assert [(m, name) for m, name in imported if name not in known.get(m, [])] == []


def test_what_imports_from_a_module_is_seen():
    source = "from semirobust.attacks.gradient import PGD\nimport semirobust.data as d"
    assert list(imports_of(source)) == [
        ("semirobust.attacks.gradient", "PGD"),
        ("semirobust.data", None),
    ]


def test_importing_the_package_loads_no_torch():
    program = "import sys, semirobust; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=ROOT).returncode == 0
