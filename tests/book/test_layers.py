"""The book stands on the records alone, and the package knows nothing of the book."""

import ast
import subprocess
import sys

import pytest

from semirobust import cli
from semirobust.results.records import ROOT
from semirobust.workflow import pages

EXTENSIONS = sorted((ROOT / "book" / "_ext").glob("*.py"))


def imported(path):
    """Return the modules that a file imports, wherever in it."""
    nodes = [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    sources = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return names + [f"{node.module}.{alias.name}" for node in sources for alias in node.names]


def test_the_book_takes_of_the_package_its_results_and_its_version_alone():
    found = {name for path in EXTENSIONS for name in imported(path) if "semirobust" in name}
    assert found
    allowed = ("semirobust.results.", "semirobust.__version__")
    assert [name for name in sorted(found) if not name.startswith(allowed)] == []


def test_the_package_imports_nothing_of_the_book():
    files = sorted((ROOT / "semirobust").rglob("*.py*"))
    found = [name for path in files if "pycache" not in str(path) for name in imported(path)]
    assert [name for name in found if name.split(".")[0] == "book"] == []


def test_importing_what_builds_the_book_imports_no_torch():
    program = "import sys, book._ext.run; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=False, cwd=ROOT)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("name", "there", "said"),
    [
        ("is_checkout", False, "use a checkout of the repository"),
        ("find_spec", None, "pip install -e '.[book]'"),
    ],
)
def test_without_a_checkout_or_its_packages_one_line_says_so(name, there, said, monkeypatch, capfd):
    monkeypatch.setattr(pages, name, lambda *_: there)
    for words in (["book"], ["run", "--all"], ["step", "notebook", "31-vgg16"]):
        assert cli.main(words) == 1
        error = capfd.readouterr().err
        assert said in error
        assert error.count("\n") == 1


def test_options_and_exit_status_go_through(capfd):
    assert cli.main(["book", "--help"]) == 0
    shown = capfd.readouterr().out
    for option in ("--profile", "--jobs", "--no-execute", "--save-outputs", "--pdf", "-p"):
        assert option in shown
    assert cli.main(["book", "--no-such-option"]) == 2


def test_an_interrupt_is_left_to_the_process_that_works(monkeypatch):
    program = "import os, signal, time; os.kill(os.getppid(), signal.SIGINT); time.sleep(0.5)"
    code = f"{program}; raise SystemExit(7)"
    monkeypatch.setattr(pages, "_command", lambda _: [sys.executable, "-c", code])
    assert pages.hand_over([]) == 7
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    monkeypatch.setattr(pages, "_command", lambda _: [sys.executable, "-c", killed])
    assert pages.hand_over([]) == 137
