"""From a notebook to a page: digests, runs, records, staged pages, and the book in a browser."""

import ast
import json
import os
import posixpath
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from textwrap import dedent

import inspection
import nbformat
import pytest
import shown
from browser import CHROMIUM
from bs4 import BeautifulSoup
from memories import forget
from sphinx.util.inventory import InventoryFile

from book._ext import chapters, executed, execution, notebooks, shape, values
from book._ext.build import build
from book._ext.pictures import with_addresses
from book._ext.print import FLAGS
from book._ext.repository import TAG
from semirobust.figures import alt_text
from semirobust.results import code
from semirobust.results.records import ROOT

DATA = ("book/claims.toml", "book/paper.toml")
PACKAGE = {
    "__init__.py": "",
    "maths.py": 'def square(x):\n    """Return x²."""\n    return x * x\n',
    "deeper.py": "from semirobust.maths import square\n\ndef fourth(x):\n    return square(x)**2\n",
    "other.py": "def unused():\n    return 0\n",
}


def tiny_notebook(root: Path, name: str = "11-tiny", **metadata: object) -> notebooks.Notebook:
    markdown, new_code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    cells = [
        markdown("# 11. Tiny\n\nIs $x^2 \\ge 0$?"),
        new_code("from semirobust.deeper import fourth"),
        new_code('profile = "smoke"\nscale = 1.5', metadata={"tags": ["parameters"]}),
        new_code(
            'print(f"{fourth(scale):.5f}")', metadata={"tags": ["nbval-check-output", "open"]}
        ),
    ]
    for count, cell in enumerate(cells):
        cell.id = f"cell-{count}"
    content = nbformat.v4.new_notebook(cells=cells, metadata={"semirobust": metadata})
    path = root / "notebooks" / f"{name}.ipynb"
    notebooks.write(notebooks.normalise(content), path)
    return notebooks.find(path)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with a tiny package, one notebook and one page."""
    for name, text in PACKAGE.items():
        (tmp_path / "semirobust").mkdir(exist_ok=True)
        (tmp_path / "semirobust" / name).write_text(text, encoding="utf-8")
    (tmp_path / "book" / "assets").mkdir(parents=True)
    (tmp_path / "book" / "index.md").write_text("# Front\n", encoding="utf-8")
    for name in ("_config.yml", "_toc.yml", *DATA):
        shutil.copy(ROOT / name, tmp_path / name)
    paper = tomllib.loads((tmp_path / "book" / "paper.toml").read_text(encoding="utf-8"))
    fields = {name for setting in paper["setting"] for name in setting["path"].split(".")}
    known = "".join(f"    {name}: int\n" for name in sorted(fields) if name.isidentifier())
    (tmp_path / "semirobust" / "known.py").write_text(f"class Known:\n{known}", encoding="utf-8")
    monkeypatch.setattr(code, "PACKAGE", tmp_path / "semirobust")
    forget()
    tiny_notebook(tmp_path)
    yield tmp_path
    forget()


@pytest.fixture
def notebook(checkout):
    return notebooks.find(checkout / "notebooks" / "11-tiny.ipynb")


@pytest.fixture
def ran(checkout, notebook):
    """The checkout after a run that took no kernel: outputs and record written as a run does."""
    record_run(notebook)
    return checkout


def record_run(notebook, profile="smoke", text="5.06250\n"):
    content = notebooks.read(notebook.path)
    for count, cell in enumerate(content.cells[1:], start=1):
        cell.execution_count = count
    content.cells[-1].outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
    origin = {"commit": "0" * 40, "dirty": False, "device": "CPU", "versions": {"torch": "2.9.9"}}
    plan = execution.plans([notebook], profile)[0]
    return execution.keep(plan, content, 4.2, origin)


def digest(notebook, **values):
    return notebooks.digest(notebook, {**notebook.parameters, **values})


def change(root, name, old, new):
    path = root / "semirobust" / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    forget()


# What decides on running again


def test_the_digest_changes_with_a_function_that_the_notebook_reaches(checkout, notebook):
    before = digest(notebook)
    change(checkout, "maths.py", "x * x", "x * x + 1")
    assert digest(notebook) != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("other.py", "return 0", "return 1"),
        ("maths.py", "Return x²", "Return the square"),
        ("maths.py", "x * x", "x  *  x  # the square"),
    ],
    ids=["module out of reach", "docstring", "layout and comment"],
)
def test_the_digest_ignores_what_cannot_matter(name, old, new, checkout, notebook):
    before = digest(notebook)
    change(checkout, name, old, new)
    assert digest(notebook) == before


def test_the_digest_changes_with_parameters_and_cells_but_not_with_words(checkout, notebook):
    before = digest(notebook)
    assert digest(notebook, scale=2.0) != before
    content = notebooks.read(notebook.path)
    content.cells[0].source = "# 11. Another title"
    notebooks.write(content, notebook.path)
    assert digest(notebook) == before
    content.cells[-1].source += "\nprint(1)"
    notebooks.write(content, notebook.path)
    assert digest(notebook) != before


def test_a_chapter_that_sets_records_beside_its_own_numbers_runs_again_with_new_ones(checkout):
    beside = tiny_notebook(checkout, "21-beside", also=["first"])
    computed = tiny_notebook(checkout, "31-computed", experiment=["first"])
    before = digest(beside), digest(computed)
    store_result(checkout, "first", "cpu")
    assert digest(beside) != before[0]
    assert digest(computed) == before[1]  # in this profile it runs its rows here and now


def test_the_run_digest_changes_with_versions_and_device():
    base = execution.run_digest("code", {"torch": "2.4"}, "cpu")
    assert execution.run_digest("code", {"torch": "2.5"}, "cpu") != base
    assert execution.run_digest("code", {"torch": "2.4"}, "cuda") != base
    assert execution.run_digest("code", {"torch": "2.4"}, "cpu") == base


def test_an_unknown_parameter_is_refused_in_one_line_that_lists_the_known(notebook):
    with pytest.raises(ValueError, match=r"unknown parameter scael; known: profile, scale"):
        list(execution.execute([notebook], overrides={"scael": 2}))
    with pytest.raises(ValueError, match=r"unknown profile 'big'; known: smoke, cpu, gpu, paper"):
        execution.plans([notebook], "big")


def test_a_profile_is_the_fullest_with_a_result_of_every_experiment(checkout):
    notebook = tiny_notebook(checkout, "31-two", experiment=["first", "second"])
    assert notebook.largest_profile() == "smoke"
    store_result(checkout, "first", "gpu")
    assert notebook.largest_profile() == "smoke"
    store_result(checkout, "second", "gpu")
    store_result(checkout, "second", "cpu")
    assert notebook.largest_profile() == "gpu"
    store_result(checkout, "first", "cpu")
    assert notebook.largest_profile() == "gpu"
    store_result(checkout, "first", "cpu", name="another seed")
    assert notebook.largest_profile() == "cpu"


def test_an_experiment_that_a_notebook_can_do_without_is_read_and_does_not_decide(checkout):
    notebook = tiny_notebook(checkout, "31-two", experiment="first", also=["second"])
    store_result(checkout, "second", "cpu")
    assert notebook.largest_profile() == "smoke"
    store_result(checkout, "first", "cpu")
    assert notebook.largest_profile() == "cpu"
    folders = {path.parent.name for path in notebook.results("cpu")}
    assert folders == {"first", "second"}


def test_only_results_that_the_notebook_shows_count(checkout):
    where = {"metrics.accuracy.0": 0.25}
    notebook = tiny_notebook(checkout, "31-one", experiment="first", where=where)
    store_result(checkout, "first", "cpu", accuracy=0.75)
    assert notebook.largest_profile() == "smoke"
    store_result(checkout, "first", "cpu", accuracy=0.25)
    assert notebook.largest_profile() == "cpu"


def store_result(root, experiment, profile, accuracy=0.25, name=None):
    folder = root / "results" / experiment
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"kind": "Row", "images": 7}
    metrics = {"accuracy": [accuracy, 0.5]}
    document = {"profile": profile, "settings": settings, "metrics": metrics, "provenance": {}}
    (folder / f"{name or profile}.json").write_text(json.dumps(document), encoding="utf-8")


def test_a_new_result_runs_the_notebooks_that_read_it_again(checkout):
    notebook = tiny_notebook(checkout, "31-one", experiment="first")
    store_result(checkout, "first", "cpu")
    before = digest(notebook, profile="cpu")
    store_result(checkout, "first", "cpu", accuracy=0.75)
    assert digest(notebook, profile="cpu") != before


# Running


@pytest.mark.slow
def test_a_run_is_kept_and_repeated_only_when_something_changed(checkout, notebook):
    first = list(execution.execute([notebook], overrides={"scale": 2}))
    kept, _ = executed.kept(notebook, "smoke")
    assert [record.parameters for record in first] == [{"profile": "smoke", "scale": 2}]
    assert "16.00000" in kept.read_text(encoding="utf-8")
    assert list(execution.execute([notebook], overrides={"scale": 2})) == []
    change(checkout, "maths.py", "x * x", "x * x * x")
    list(execution.execute([notebook], overrides={"scale": 2}))
    assert "64.00000" in kept.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_kernel_is_the_running_interpreter_whatever_kernels_are_installed(
    notebook, tmp_path, monkeypatch
):
    for name in ("python3", "semirobust"):
        wrong = tmp_path / "jupyter" / "kernels" / name / "kernel.json"
        wrong.parent.mkdir(parents=True)
        specification = {"argv": ["/no/python"], "display_name": "wrong", "language": "python"}
        wrong.write_text(json.dumps(specification), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    content = notebooks.read(notebook.path)
    content.cells[-1].source = "import os\nimport sys\nprint(sys.executable)\nprint(os.getcwd())"
    notebooks.write(content, notebook.path)
    assert len(list(execution.execute([notebook]))) == 1
    shown = notebooks.read(executed.kept(notebook, "smoke")[0]).cells[-1].outputs[0].text
    assert shown.split() == [sys.executable, str(notebook.path.parent)]


@pytest.mark.slow
def test_a_failing_notebook_tells_where_and_leaves_the_old_copy(ran, notebook):
    kept, record = executed.kept(notebook, "smoke")
    before = kept.read_bytes(), record.read_bytes()
    change(ran, "maths.py", "return x * x", "raise ArithmeticError('too square')")
    with pytest.raises(
        execution.NotebookError, match=r"11-tiny: cell .* ArithmeticError: too square"
    ):
        list(execution.execute([notebook]))
    assert (kept.read_bytes(), record.read_bytes()) == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="kernels are copied on Linux alone")
def test_a_kernel_that_is_copied_differs_from_a_new_one_in_what_is_imported_alone(
    checkout, notebook, monkeypatch
):
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    seen = """
        import os, sys
        print("torch" in sys.modules)
        import semirobust, torch
        print(__name__, sys.executable, os.getcwd(), semirobust.__file__, sys.path)
        print(hash("text"), torch.get_num_threads(), os.getpid() == os.getpgid(0))
        print([name for name in sys.modules if name.startswith("book")])
        own = ("JPY_", "JUPYTER_PATH", "IPYTHONDIR", "KMP_")  # of a run; of an import
        print(sorted(pair for pair in os.environ.items() if not pair[0].startswith(own)))
    """
    two = [notebook, tiny_notebook(checkout, "12-tiny")]
    for one in two:
        content = notebooks.read(one.path)
        content.cells[-1].source = dedent(seen)
        notebooks.write(content, one.path)
    told = []
    for jobs in (2, 1):  # as many as there are notebooks, each in a new kernel; and fewer
        assert len(list(execution.execute(two, jobs=jobs))) == 2
        for one in two:
            kept = executed.kept(one, "smoke")[0]
            told.append(notebooks.read(kept).cells[-1].outputs[0].text.split("\n", 1))
            kept.unlink()
    assert [first for first, _ in told] == ["False", "False", "True", "True"]
    assert len({rest for _, rest in told}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("others", [0, 1], ids=["new", "copied"])
def test_a_killed_kernel_is_told_in_words(ran, notebook, others):
    content = notebooks.read(notebook.path)
    content.cells[-1].source = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    notebooks.write(content, notebook.path)
    beside = [tiny_notebook(ran, f"1{k}-tiny") for k in range(2, 2 + others)]
    done = []
    with pytest.raises(execution.NotebookError, match="11-tiny: its kernel died"):
        done.extend(execution.execute([notebook, *beside]))
    assert [one.notebook for one in done] == [one.name for one in beside]


def test_a_copy_without_its_record_counts_as_not_run(ran, notebook):
    kept, _ = executed.kept(notebook, "smoke")
    assert executed.recorded(notebook, "smoke") is not None
    kept.write_bytes(kept.read_bytes() + b"\n")
    assert executed.recorded(notebook, "smoke") is None


def test_saved_outputs_change_a_notebook_once(ran, notebook):
    assert execution.save_outputs([notebook]) == [notebook.path]
    assert "5.06250" in notebook.path.read_text(encoding="utf-8")
    assert execution.save_outputs([notebook]) == []


def test_outputs_of_older_code_are_not_saved(ran, notebook):
    change(ran, "maths.py", "x * x", "x + x")
    with pytest.raises(ValueError, match="11-tiny has no current smoke run"):
        execution.save_outputs([notebook])


# What a page shows


def page(root, profile=None):
    return chapters.show(notebooks.find(root / "notebooks" / "11-tiny.ipynb"), profile).page()[0]


def test_a_page_says_under_its_title_where_it_comes_from(ran):
    title = page(ran).cells[0].source
    assert title.startswith("# 11. Tiny\n\n```{div} guide\n1 min\n```\n\n```{div} provenance")
    for word in (
        "**smoke run**",
        "drawn in 4 s on CPU",
        "commit [0000000]",
        "torch 2.9.9",
        "<code>scale = 1.5</code>",
        "Is $x^2",
    ):
        assert word in title
    assert "Older than the code" not in title


def test_the_strip_counts_the_runs_that_a_page_is_drawn_from_and_their_hours(tmp_path):
    paths = [tmp_path / f"{n}.json" for n in range(3)]
    for path, spent in zip(paths, ({"cpu_seconds": 1800}, {"cpu_seconds": 5400}, {}), strict=True):
        path.write_text(json.dumps({"provenance": spent}), encoding="utf-8")
    assert chapters.behind(paths) == ", from 3 recorded runs (2.0 hours of computing)"
    assert chapters.behind(paths[:1]) == ", from 1 recorded run (0.5 hours of computing)"
    assert chapters.behind([]) == ""


def test_the_hours_of_a_run_in_stages_are_those_of_its_stages():
    stages = {"robust": {"seconds": 40.0}, "evaluation": {"seconds": 1280.0}}
    assert chapters.computed({"cpu_seconds": 15.0, "stages": stages}) == 1320
    assert chapters.computed({"cpu_seconds": 15.0, "stages": {}}) == 15


def test_a_page_says_so_when_the_code_has_changed_since_its_run(ran):
    change(ran, "maths.py", "x * x", "x ** 2")
    assert "Older than the code" in page(ran).cells[0].source
    change(ran, "maths.py", "x ** 2", "x * x")
    assert "Older than the code" not in page(ran).cells[0].source


def test_a_page_shows_todays_words_with_the_recorded_outputs(ran, notebook):
    content = notebooks.read(notebook.path)
    content.cells[0].source = "# 11. Tiny, better said"
    notebooks.write(content, notebook.path)
    shown = page(ran)
    assert shown.cells[0].source.startswith("# 11. Tiny, better said")
    assert shown.cells[-1].outputs[0].text == "5.06250\n"


def test_a_page_of_outputs_from_git_names_no_device_and_an_unrecorded_one_is_marked(ran, notebook):
    execution.save_outputs([notebook])
    shutil.rmtree(ran / "artifacts")
    title = page(ran).cells[0].source
    assert "smoke run" in title
    assert "torch 2.9.9" in title
    assert "CPU" not in title
    tiny_notebook(ran)
    assert "Not recorded" in page(ran).cells[0].source


def test_a_larger_run_is_shown_with_its_data(checkout):
    notebook = tiny_notebook(checkout, experiment="first")
    store_result(checkout, "first", "gpu")
    record_run(notebook, "smoke", "0.11111\n")
    record_run(notebook, "gpu", "0.22222\n")
    shown = page(checkout)
    assert "**gpu run**" in shown.cells[0].source
    assert "`gpu <../results/first/gpu.json>`" in shown.cells[0].source
    assert shown.cells[-1].outputs[0].text == "0.22222\n"
    assert page(checkout, "smoke").cells[-1].outputs[0].text == "0.11111\n"


def test_the_parameters_of_the_run_are_shown_and_the_defaults_folded_away(checkout, notebook):
    content = notebooks.read(notebook.path)
    injected = nbformat.v4.new_code_cell("scale = 2", metadata={"tags": ["injected-parameters"]})
    copy = nbformat.from_dict(content)
    copy.cells.insert(3, injected)
    shown = chapters.combined(content, notebooks.normalise(copy))
    assert shown.cells[3].metadata.tags == ["injected-parameters"]
    assert shown.cells[2].metadata.tags == ["parameters", "hide-input"]


def drawn_in(ran, notebook, data, **words):
    kept, _ = executed.kept(notebook, "smoke")
    content = notebooks.read(kept)
    metadata = {alt_text.CSV: {"alt": "A line that rises.", **words}}
    content.cells[-1].outputs = [nbformat.v4.new_output("display_data", data, metadata=metadata)]
    page, files = with_addresses(content, notebook.name)
    return page.cells[-1].outputs[0].data["text/html"], files


def test_a_bitmap_is_a_numbered_figure_with_a_lasting_address_its_data_and_a_text(ran, notebook):
    data = {"image/png": "aGVsbG8=", alt_text.CSV: "j\n1\n"}
    html, files = drawn_in(ran, notebook, data)
    assert files["figures/11-tiny-cell-3.png"] == b"hello"
    assert files["figures/11-tiny-cell-3.csv"] == b"j\n1\n"
    assert '<img src="../figures/11-tiny-cell-3.png" alt="A line that rises.">' in html
    assert "../figures/11-tiny-cell-3.csv" in html
    assert "Figure 11.1." in html


def test_a_drawing_is_in_the_ink_of_the_page_with_ids_of_its_own_and_says_its_finding(
    ran, notebook
):
    svg = (
        '<?xml?><svg width="240pt" height="9pt"><style>*{}</style><g id="a" fill="#777777"/></svg>'
    )
    data = {"image/svg+xml": svg, alt_text.CSV: "j\n1\n"}
    html, files = drawn_in(ran, notebook, data, title="It rises & falls", about="Digits.")
    assert files["figures/11-tiny-cell-3.svg"] == svg.encode()
    assert 'id="11-tiny-cell-3-a" fill="currentColor"' in html
    assert "<style>" not in html
    assert 'width="240pt"' not in html
    assert "<b>It rises &amp; falls.</b> Digits." in html


def shaped(*cells):
    page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# 11. T"), *cells])
    answer = shape.answered(page)
    shape.shape(page)
    return answer, page.cells[1:]


def ran_cell(kind, text, *tags):
    output = nbformat.v4.new_output("execute_result", {kind: text}) if kind else None
    cell = nbformat.v4.new_code_cell("f()", outputs=[output] if output else [])
    cell.metadata.tags = list(tags)
    return cell


def test_the_answer_of_a_chapter_is_a_box_and_leaves_its_place():
    answer, cells = shaped(ran_cell("text/markdown", "Nothing is left.", "answer"))
    assert "Nothing is left." in answer
    assert ":class: answer" in answer
    assert cells == []


def test_the_page_folds_tables_but_the_open_one_and_keeps_code_of_the_method_only():
    table = ("text/html", "<table>")
    method, bare = ran_cell("text/plain", "1", "method"), ran_cell("text/plain", "Part(name=1)")
    checked = ran_cell("text/plain", "1", "nbval-check-output")
    cells = [ran_cell(*table), ran_cell(*table, "open"), method, bare, checked, ran_cell(None, "")]
    _, shown = shaped(*cells)
    assert [sorted(cell.metadata.tags) for cell in shown] == [
        ["hide-cell"],
        ["hide-input", "open"],
        ["method"],
    ]


def test_a_page_of_records_says_what_was_changed_against_the_paper(checkout):
    notebook = tiny_notebook(checkout, experiment="first")
    store_result(checkout, "first", "gpu")
    record_run(notebook, "gpu", "0.22222\n")
    title = page(checkout).cells[0].source
    assert "How this differs from the paper" in title
    assert "| test images of that attack | all | 7 |" in title


def test_a_title_is_required(ran, notebook):
    content = notebooks.read(notebook.path)
    content.cells[0].source = "Tiny"
    notebooks.write(content, notebook.path)
    with pytest.raises(ValueError, match="must start with a title"):
        page(ran)


# Numbers in prose


def test_placeholders_are_filled_from_files(checkout):
    store_result(checkout, "first", "gpu")
    text = (
        "{{ results/first/gpu.json:metrics.accuracy.0:.1% }} of {{ results/first/*.json:profile }}"
    )
    assert values.fill(text, checkout) == "25.0% of gpu"
    store_result(checkout, "first", "cpu", accuracy=0.75)
    chosen = "{{ results/first/*.json[profile=cpu,metrics.accuracy.1=0.5]:metrics.accuracy.0 }}"
    assert values.fill(chosen, checkout) == "0.75"
    address = values.fill("{{ _config.yml:repository.url }}", checkout)
    assert address.startswith("https://")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ results/first/cpu.json:profile }}", "cpu.json matches 0 files"),
        ("{{ results/first/gpu.json:metrics.loss:.2f }}", "has no metrics.loss: stopped at 'loss'"),
        ("{{ results/first/gpu.json:metrics.accuracy.7 }}", "stopped at '7'"),
        ("{{ results/first/gpu.json:profile:.1% }}", "is 'gpu', not for format '.1%'"),
        ("{{ results/first/gpu.json }}", "cannot read"),
        ("{{ results/first/*.json[profile=cpu]:profile }}", "*.json[profile=cpu] matches 0 files"),
        ("{{ results/first/*.json[nothing.at.all=1]:profile }}", "matches 0 files"),
    ],
)
def test_a_placeholder_that_cannot_be_filled_is_an_error(text, reason, checkout):
    store_result(checkout, "first", "gpu")
    with pytest.raises(ValueError, match=f"page.md: .*{re.escape(reason)}"):
        values.fill(text, checkout, "page.md")


def test_formulae_are_no_placeholders():
    assert values.fill(r"$\mathbb{E}_{{x}}$", ROOT) == r"$\mathbb{E}_{{x}}$"


def test_a_part_that_needs_results_waits_for_them(checkout):
    when = "<!-- when results/first/*.json[profile=cpu] -->"
    text = f"{when}\nmeasured\n<!-- otherwise -->\nwaiting\n<!-- end -->\nafter\n"
    store_result(checkout, "first", "gpu")
    assert values.fill(text, checkout) == "waiting\nafter\n"
    store_result(checkout, "first", "cpu")
    assert values.fill(text, checkout) == "measured\nafter\n"
    with pytest.raises(ValueError, match="cannot read <!-- when results/first -->"):
        values.fill("<!-- when results/first -->\nmeasured\n<!-- end -->\n", checkout)


# Pages that mirror the package


def words(package):
    """Return every name that the package uses: of modules, definitions, arguments, values."""
    known = set()
    for path in package.rglob("*.py"):
        known.add(path.stem)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                known.add(node.name)
            elif isinstance(node, ast.arg):
                known.add(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                known.add(node.id)
    return known


def test_every_name_of_the_notation_exists_in_the_package():
    rows = re.findall(r"^\| .*", (ROOT / "book" / "notation.md").read_text(encoding="utf-8"), re.M)
    cells = [row.split("|")[1:] for row in rows]
    names = {name for row in cells for name in re.findall(r"`(\w+)`", row[1])}
    assert len(names) > 15
    missing = names - words(ROOT / "semirobust")
    assert not missing, f"the package has no {sorted(missing)}"


def test_the_table_of_contents_lists_every_page_of_the_reference():
    folders = {path.parent.name for path in (ROOT / "semirobust").glob("*/__init__.pyi")}
    modules = {path.stem for path in (ROOT / "semirobust").glob("[!_]*.py")} - {"cli"}
    toc = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    listed = re.findall(r"book/reference/semirobust/(\w+)/index, title: \1 ", toc)
    assert sorted(listed) == sorted(folders | modules)


# The checked cell


@pytest.mark.slow
def test_stored_figures_are_compared_with_those_of_the_run_to_the_last_digit(tmp_path):
    for name in ("11-equal", "12-altered", "13-not-run-again"):
        content = notebooks.read(tiny_notebook(tmp_path, name).path)
        content.cells[1].source = "from math import pow\nprint('seconds:', 1)"  # not checked
        content.cells[-1].source = "print(f'{pow(scale, 4):.5f}')"
        notebooks.write(content, tmp_path / "notebooks" / f"{name}.ipynb")
    list(execution.execute(notebooks.notebooks(tmp_path)))
    execution.save_outputs(notebooks.notebooks(tmp_path))
    altered = {"11-equal": ("seconds: 1", "seconds: 2"), "12-altered": ("5.06250", "5.06251")}
    for name, (old, new) in (altered | {"13-not-run-again": ("4)", "5)")}).items():
        path = tmp_path / "notebooks" / f"{name}.ipynb"
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")
    shutil.copy(ROOT / "notebooks" / "conftest.py", tmp_path / "notebooks")
    (tmp_path / "empty.ini").write_text("[pytest]\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "empty.ini"]
    place = os.environ | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=place, capture_output=True, text=True, check=False
    )
    failed = re.findall(r"^(FAILED|ERROR) notebooks/(\d\d)-\S+::(Cell \d)", done.stdout, re.M)
    cells = [("ERROR", "13", f"Cell {number}") for number in range(3)]
    assert sorted(failed) == [*cells, ("FAILED", "12", "Cell 2")], done.stdout
    assert "3 errors" in done.stdout
    assert "5 passed" in done.stdout
    assert "5.06251" in done.stdout
    assert "13-not-run-again has no current smoke run" in done.stdout


# The book in a browser


@pytest.mark.slow
def test_the_book_builds_without_warnings_dead_links_or_requests_to_elsewhere(html):
    assert (html / "notebooks" / "11-semirobustness.html").exists()
    assert inspection.complaints(html, "/semirobust/") == []


CHAPTERS = sorted(path.stem for path in (ROOT / "notebooks").glob("[1-5]*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_answers_first_and_folds_what_a_reader_does_not_need(name, html):
    assert shown.complaints(html / "notebooks" / f"{name}.html") == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [one for one in CHAPTERS if one[0] == "3"])
def test_the_accuracies_of_an_answer_stand_in_the_records(name, html):
    assert shown.untraced(html / "notebooks" / f"{name}.html", ROOT) == []


@pytest.mark.slow
def test_every_page_says_one_word_for_one_thing_and_has_each_id_once(html):
    for path in sorted([*html.glob("book/*.html"), *html.glob("notebooks/*.html")]):
        ids = re.findall(r'<[^>]*?\sid="([^"]*)"', path.read_text(encoding="utf-8"))
        assert not [name for name, count in Counter(ids).items() if count > 1], path.name
        if path.stem not in ("glossary", "bibliography"):  # which name them
            assert shown.synonyms(shown.article(path)) == [], path.name


@pytest.mark.slow
def test_the_reference_shows_every_name_of_every_face(html):
    with (html / "objects.inv").open("rb") as file:
        entries = InventoryFile.load(file, "", posixpath.join)
    names = {name for kind, group in entries.items() if kind.startswith("py:") for name in group}
    faces = {path.parent.name for path in (ROOT / "semirobust").glob("*/__init__.pyi")}
    assert {f"semirobust.{face}" for face in faces} <= set(entries["py:module"])
    shown = {f"semirobust.{face}.{name}" for face in faces for name in face_of(face)}
    assert not shown - names


def face_of(folder):
    """Return the names that the face of a folder lists, and that are no modules."""
    path = ROOT / "semirobust" / folder / "__init__.pyi"
    listed = next(
        ast.literal_eval(node.value)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign)
    )
    return [name for name in listed if not (path.parent / f"{name}.py").exists()]


@pytest.mark.slow
def test_the_site_has_a_map_an_icon_a_page_for_the_lost_and_words_for_who_links_to_it(html):
    sites = re.findall("<loc>(.*?)</loc>", (html / "sitemap.xml").read_text(encoding="utf-8"))
    assert "https://semirobust.github.io/semirobust/notebooks/11-semirobustness.html" in sites
    assert not [site for site in sites if "search" in site or "404" in site]
    assert (html / "figures" / "answer.csv").exists()  # its address is older than its place
    assert "There is no such page" in (html / "404.html").read_text(encoding="utf-8")
    page = (html / "notebooks" / "11-semirobustness.html").read_text(encoding="utf-8")
    assert 'property="og:description" content="When is a part of a network robust?' in page
    assert 'rel="icon" href="../_static/favicon.svg"' in page
    assert re.findall(r'"https://colab[^"]*/blob/([^/"]+)/', page) == [TAG]  # the rocket
    assert (html / "_static" / "favicon.svg").exists()
    card = (html / "_static" / "card.png").read_bytes()
    assert [int.from_bytes(card[i : i + 4]) for i in (16, 20)] == [1200, 630]
    assert (
        'property="og:image" content="https://semirobust.github.io/semirobust/_static/card.png'
        in page
    )
    found = (html / "_static" / "language_data.js").read_text(encoding="utf-8")
    assert "book/reference/" in found  # search puts the reference behind the chapters
    front = (html / "book" / "index.html").read_text(encoding="utf-8")
    assert "@software{semirobust" in BeautifulSoup(front, "html.parser").get_text()


@pytest.mark.slow
def test_the_download_button_gives_what_the_page_shows(html):
    front = (html / "_sources" / "book" / "run-at-scale.md").read_text(encoding="utf-8")
    assert "{{ " not in front
    chapter = notebooks.read(html / "_sources" / "notebooks" / "31-vgg16.ipynb")
    assert "cpu run" in chapter.cells[0].source


@pytest.fixture
def small(tmp_path):
    """A checkout with a front page, and of the package no more than a build needs."""
    for name in ("book", "semirobust/results"):
        ignored = shutil.ignore_patterns("__pycache__", "reference")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("_config.yml", "semirobust/__init__.py", "semirobust/__init__.pyi"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "book" / "index.md").write_text("# Front\n", encoding="utf-8")
    reference = ("book/reference/semirobust/index", "book/reference/semirobust/results/index")
    toc = "format: jb-book\nroot: book/index\nchapters:\n"
    toc += "".join(f"  - file: {name}\n" for name in reference)
    (tmp_path / "_toc.yml").write_text(toc, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_a_second_build_does_nothing_and_a_warning_fails_it_is_shown_and_leaves_the_old_book(small):
    built = build(root=small)
    assert built.changed
    page, before = small / "book" / "index.md", built.index.stat().st_mtime_ns
    assert not build(root=small).changed
    assert built.index.stat().st_mtime_ns == before
    page.write_text("# Front\n\n[nowhere](missing.md)\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match=r"index.md.*missing.md"):
        build(root=small)
    assert built.index.stat().st_mtime_ns == before


# in the browser's log: a request of a page that came from a file, not one of the browser itself
OF_PAGE = re.compile(r'"network_isolation_key":"file://.*?"url":"([^"]*)"')


def opened(page, folder):
    """Return what a browser without a network makes of a page, and the addresses it asked for."""
    log = folder / "net.json"
    flags = [
        *FLAGS,
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--virtual-time-budget=10000",
        f"--user-data-dir={folder / 'profile'}",
        f"--log-net-log={log}",
        "--dump-dom",
        page.as_uri(),
    ]
    done = subprocess.run(
        [CHROMIUM, *flags], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout, set(OF_PAGE.findall(log.read_text(encoding="utf-8")))


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: the page was not opened in a browser")
def test_a_page_opens_offline_with_its_maths_set_and_asks_nobody(html, tmp_path):
    shown, asked = opened(html / "notebooks" / "11-semirobustness.html", tmp_path)
    assert "<mjx-container" in shown
    assert "<mjx-merror" not in shown
    assert asked == set()


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: the page was not opened in a browser")
def test_the_browser_check_notices_a_page_that_asks(tmp_path):
    page = tmp_path / "page.html"
    page.write_text('<img src="https://example.org/x.png">', encoding="utf-8")
    assert opened(page, tmp_path)[1] == {"https://example.org/x.png"}


CHOSEN = """<script>addEventListener("load", () => {
  const form = document.querySelector("form.filters"); form.network.value = "VGG16";
  form.text.value = "spliced"; form.dispatchEvent(new Event("input"));
});</script>"""


def logged(page, folder):
    """Return what a browser makes of a page, and what its scripts complain of."""
    flags = ["--virtual-time-budget=10000", f"--user-data-dir={folder / 'own'}", "--dump-dom"]
    command = [CHROMIUM, *FLAGS, "--enable-logging=stderr", "--v=0", *flags, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout, [line for line in done.stderr.splitlines() if "Uncaught" in line]


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: the page was not opened in a browser")
@pytest.mark.parametrize(
    "name", ["book/index", "notebooks/31-vgg16", "notebooks/22-measuring-dependence"]
)
def test_a_page_opens_without_an_error_of_a_script(name, html, tmp_path):
    assert logged(html / f"{name}.html", tmp_path)[1] == []


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: the page was not opened in a browser")
def test_the_ledger_shows_the_claims_that_are_chosen(html, tmp_path):
    page = html / "book" / "chosen.html"
    text = (html / "book" / "ledger.html").read_text(encoding="utf-8")
    page.write_text(text.replace("</body>", f"{CHOSEN}</body>"), encoding="utf-8")
    dom, complaints = logged(page, tmp_path)
    page.unlink()
    assert complaints == []
    shown, every = re.search(r"(\d+) of (\d+) claims", dom).groups()
    assert 0 < int(shown) < int(every)
    claims = BeautifulSoup(dom, "html.parser").select("details.claim:not([hidden])")
    assert {claim["data-network"] for claim in claims} == {"VGG16"}
    assert len(claims) == int(shown)


# Copies for git


def test_the_copy_of_a_larger_profile_goes_to_git_and_is_shown_from_there(checkout):
    notebook = tiny_notebook(checkout, experiment="first")
    store_result(checkout, "first", "gpu")
    record_run(notebook, "smoke", "0.11111\n")
    record_run(notebook, "gpu", "0.22222\n")
    targets = executed.kept(notebook, "gpu", executed.IN_GIT)
    assert set(targets) <= set(execution.save_outputs([notebook]))
    assert not set(targets) & set(execution.save_outputs([notebook]))
    shutil.rmtree(checkout / "artifacts")
    assert page(checkout).cells[-1].outputs[0].text == "0.22222\n"


def test_a_current_copy_of_git_goes_before_an_old_one_of_this_checkout(checkout):
    notebook = tiny_notebook(checkout, experiment="first")
    store_result(checkout, "first", "gpu")
    record_run(notebook, "gpu", "0.22222\n")
    own, in_git = (executed.kept(notebook, "gpu", top) for top in (executed.OWN, executed.IN_GIT))
    for path, target in zip(own, in_git, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    change(checkout, "maths.py", "x * x", "x ** 2")
    record_run(notebook, "gpu", "0.33333\n")
    assert executed.found(notebook, "gpu")[0] == own[0]
    change(checkout, "maths.py", "x ** 2", "x * x")
    assert executed.found(notebook, "gpu")[0] == in_git[0]
