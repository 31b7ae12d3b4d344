"""Opening a notebook on Colab: badge, hidden cells, and the set-up where the package is missing."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from papermill import execute_notebook
from traitlets.config import Config

from book._ext import colab, notebooks
from book._ext.repository import TAG
from semirobust import colab as running
from semirobust.results.profiles import PROFILES
from semirobust.results.records import ROOT

OPENED = ("13", "22", "24", "31", "25")  # theory, methods, records, and the one that trains
TYPED = ("22", "25")  # their reader types a profile; 31 takes that of its largest record
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


@pytest.mark.parametrize(
    ("code", "live", "asked"),
    [("", {}, None), ("data.device()", {}, "GPU"), ("", {"live": False}, "GPU")],
)
def test_a_prepared_notebook_has_badge_set_up_choice_and_asks_for_a_gpu_it_uses(code, live, asked):
    written = plain()
    written.cells[1].source += f"\n{code}"
    made = colab.prepared(replace(CHAPTER, parameters=live | {"profile": None}), written)
    assert [cell.id for cell in made.cells] == ["title", "setup", "imports", "parameters", "choice"]
    badge = f"/github/semirobust/semirobust/blob/{TAG}/notebooks/31-vgg16.ipynb)"
    assert badge in made.cells[0].source
    assert made.cells[0].source.endswith("A question.")
    assert made.metadata.get("accelerator") == asked
    assert all("remove-cell" in made.cells[k].metadata.tags for k in (1, 4))


def test_preparing_twice_changes_nothing_more():
    once = colab.prepared(CHAPTER, plain())
    assert colab.prepared(CHAPTER, once) == once


def test_the_rocket_opens_the_version_of_the_badge_and_other_buttons_stay():
    page = "/github/semirobust/semirobust/blob/main/notebooks/31-vgg16.ipynb"
    urls = [f"{colab.SITE}{page}", f"https://github.com/semirobust{page}"]
    context = {"header_buttons": [{"buttons": [{"url": url} for url in urls]}, {"type": "link"}]}
    colab.rocket(None, "", "", context, None)
    rocket, other = (button["url"] for button in context["header_buttons"][0]["buttons"])
    assert f"]({rocket})" in colab.prepared(CHAPTER, plain()).cells[0].source
    assert other == urls[1]


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


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """Return an empty folder whose kernel ``colab`` has no GPU and lacks the package."""
    folder = tmp_path_factory.mktemp("colab")
    python, source = clean_environment(folder), published(folder)
    pretended = folder / "pretended" / "google" / "colab" / "__init__.py"
    pretended.parent.mkdir(parents=True)
    pretended.touch()
    site = next((folder / "clean" / "lib").glob("python3*")) / "site-packages"
    (site / "colab.pth").write_text(f"{folder / 'pretended'}\nimport google.colab\n")
    kernel = folder / "jupyter" / "kernels" / "colab" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    words = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    about = {"argv": words, "display_name": "colab", "language": "python"}
    about["metadata"] = {"supported_encryption": ["curve"]}
    kernel.write_text(json.dumps(about))
    missing = [str(python), "-c", "import semirobust"]
    place = {"SEMIROBUST_SOURCE": source.as_uri(), "JUPYTER_PATH": str(folder / "jupyter")}
    place |= {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}  # 0 is yes
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**place, "CUDA_VISIBLE_DEVICES": "", "TQDM_DISABLE": "1"}.items():
            patch.setenv(name, value)
        for name in ("PYTHONPATH", "SEMIROBUST_RESULTS", "SEMIROBUST_ARTIFACTS"):
            patch.delenv(name, raising=False)
        done = subprocess.run(missing, cwd=folder, capture_output=True, check=False)
        assert done.returncode == 1
        (folder / "content").mkdir()
        yield folder / "content"


def opened(number, machine, *, first="", last="", until=None, **parameters):
    """Run a notebook between two cells, all of it or ``until`` one; return what the last prints.

    All of it must print what is stored for its profile.
    """
    (path,) = (ROOT / "notebooks").glob(f"{number}-*.ipynb")
    content = notebooks.read(path)
    before, after = nbformat.v4.new_code_cell(first), nbformat.v4.new_code_cell(last)
    ids = [cell.id for cell in content.cells]
    content.cells = [before, *content.cells[: until and ids.index(until) + 1], after]
    copy = machine.parent / path.name
    notebooks.write(content, copy)
    how = {"kernel_name": "colab", "language": "python", "progress_bar": False}
    how["config"] = Config({"KernelManager": {"transport_encryption": "auto"}})
    done = execute_notebook(str(copy), None, parameters, cwd=str(machine), **how)
    printed = done.cells[-1].outputs[0]["text"].split()
    kept = ROOT / "results" / "notebooks" / printed[-1] / path.name
    assert until or checked(done) == checked(notebooks.read(kept if kept.exists() else path))
    return printed


def checked(content):
    """Return what the cells printed that nbval compares."""
    cells = [cell for cell in content.cells if "nbval-check-output" in notebooks.tags(cell)]
    assert cells
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]


@pytest.mark.slow
@pytest.mark.parametrize("number", OPENED)
def test_a_notebook_runs_on_colab_in_an_empty_folder_without_the_package_or_a_gpu(number, machine):
    seen = "import os, semirobust; print(semirobust.__file__, os.environ['SEMIROBUST_RESULTS'])"
    typed = {"profile": "smoke"} if number in TYPED else {}
    last = f"{seen}\nprint(globals().get('profile', 'smoke'))"
    package, results, profile = opened(number, machine, last=last, **typed)
    assert Path(package).is_relative_to(machine.parent / "clean")
    assert Path(results).is_relative_to(machine)
    assert any(Path(results, "table-1").glob("*.json"))
    assert profile == ("smoke" if number != "31" else CHAPTER.largest_profile())


@pytest.mark.slow
@pytest.mark.parametrize(("number", "chosen"), [("22", "gpu"), ("25", "gpu"), ("31", "cpu")])
def test_with_a_gpu_a_notebook_that_computes_takes_it(number, chosen, machine):
    there = "import torch\ntorch.cuda.is_available = lambda: True"
    last = "from semirobust import data\nprint(profile, data.device())"
    assert opened(number, machine, first=there, last=last, until="choice") == [chosen, "cuda"]
