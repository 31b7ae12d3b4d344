"""Opening a notebook on Colab: badge, hidden cells, and the set-up where the package is missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from book._ext import colab, notebooks
from book._ext.repository import TAG
from semirobust import colab as running
from semirobust.results.profiles import PROFILES
from semirobust.results.records import ROOT

CHAPTER = notebooks.find(ROOT / "notebooks" / "31-vgg16.ipynb")


def plain(profile: bool = True):  # noqa: FBT001, FBT002  a notebook with or without a profile
    code = nbformat.v4.new_code_cell
    settings = "profile = None" if profile else "seed = 0"
    cells = [
        nbformat.v4.new_markdown_cell("# 31. Title\n\nA question.", id="title"),
        code("import math", id="imports"),
        code(settings, metadata={"tags": ["parameters"]}, id="parameters"),
    ]
    return nbformat.v4.new_notebook(cells=cells)


@pytest.mark.parametrize(("code", "asked"), [("", None), ("data.device()", "GPU")])
def test_a_prepared_notebook_has_badge_set_up_choice_and_asks_for_a_gpu_it_uses(code, asked):
    written = plain()
    written.cells[1].source += f"\n{code}"
    made = colab.prepared(CHAPTER, written)
    assert [cell.id for cell in made.cells] == ["title", "setup", "imports", "parameters", "choice"]
    badge = f"/github/semirobust/semirobust/blob/{TAG}/notebooks/31-vgg16.ipynb)"
    assert badge in made.cells[0].source
    assert made.cells[0].source.endswith("A question.")
    assert made.metadata.get("accelerator") == asked
    assert all("remove-cell" in made.cells[k].metadata.tags for k in (1, 4))


def test_preparing_twice_changes_nothing_more():
    once = colab.prepared(CHAPTER, plain())
    assert colab.prepared(CHAPTER, once) == once


def test_the_address_and_the_tag_stand_in_the_set_up():
    setup = colab.prepared(CHAPTER, plain()).cells[1].source
    assert "https://github.com/semirobust/semirobust" in setup
    assert f'"--branch", "{TAG}"' in setup


@pytest.mark.parametrize("there", [True, False])
def test_nothing_overrides_a_profile_that_is_typed(there, monkeypatch):
    if there:
        monkeypatch.setitem(sys.modules, "google.colab", colab)
    assert [running.profile(typed, "31-vgg16") for typed in PROFILES] == list(PROFILES)


def test_a_chapter_of_records_shows_the_largest_on_colab_and_elsewhere_the_smallest(monkeypatch):
    monkeypatch.setenv("SEMIROBUST_RESULTS", str(ROOT / "results"))
    assert running.profile(None, "31-vgg16") == "smoke"
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    assert running.profile(None, "31-vgg16") == CHAPTER.largest_profile() != "smoke"


@pytest.mark.parametrize("notebook", notebooks.notebooks(), ids=lambda notebook: notebook.name)
def test_no_notebook_types_a_profile_for_its_reader(notebook):
    assert notebook.parameters.get("profile") is None


@pytest.mark.parametrize(("there", "profile"), [(True, "gpu"), (False, "smoke")])
def test_on_colab_a_chapter_that_computes_takes_the_gpu_where_there_is_one(
    there, profile, monkeypatch
):
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setenv("SEMIROBUST_RESULTS", str(ROOT / "results"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    assert running.profile(None, "22-measuring-dependence") == profile


# What Colab has: Python with torch and the rest, a pip, and no semirobust


OWN = (
    "semirobust",
    "__editable__",
    "pip",
    "_virtualenv",
)  # what the clean environment lacks or has


def clean_environment(folder: Path) -> Path:
    """Return the Python of an environment that has our dependencies and not the package."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "clean")], check=True)
    site = next((folder / "clean" / "lib").glob("python3*")) / "site-packages"
    for path in site.glob("setuptools*"):
        shutil.rmtree(path)
    for path in Path(nbformat.__file__).parent.parent.iterdir():
        if not path.name.startswith(OWN) and not (site / path.name).exists():
            (site / path.name).symlink_to(path)
    return folder / "clean" / "bin" / "python"


def published(folder: Path) -> Path:
    """Return a repository that holds the last commit of this one, tagged as this version."""
    repository = folder / "repository"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(repository)], check=True)
    subprocess.run(["git", "-C", str(repository), "tag", "-f", TAG], check=True)
    return repository


@pytest.mark.slow
def test_the_set_up_installs_the_package_with_its_results_where_it_is_missing(tmp_path):
    python, source = clean_environment(tmp_path), published(tmp_path)
    place = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    place |= {
        "SEMIROBUST_SOURCE": source.as_uri(),
        "PIP_NO_BUILD_ISOLATION": "0",
    }  # pip reads it the other way round
    place |= {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1"}
    content = notebooks.read(CHAPTER.path)
    cells = {cell.id: cell.source for cell in content.cells}
    seen = "import semirobust; print(semirobust.__file__, os.environ['SEMIROBUST_RESULTS'])"
    runs = "\n".join([cells["setup"], cells["imports"], cells["parameters"], seen])
    missing = [str(python), "-c", "import semirobust"]
    assert subprocess.run(missing, cwd=tmp_path, capture_output=True, check=False).returncode == 1
    done = subprocess.run(
        [str(python), "-c", runs],
        cwd=tmp_path,
        env=place,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    package, results = done.stdout.split()
    assert Path(package).is_relative_to(tmp_path / "clean")
    assert any(Path(results, "table-1").glob("*.json"))
