"""The rules that make a notebook readable, repeatable and checked."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat import NotebookNode

from book._ext import colab, notebooks, pictures
from semirobust.figures import alt_text
from semirobust.results.records import ROOT

FILES = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAME = re.compile(r"\d\d-[a-z0-9]+(-[a-z0-9]+)*")
FORBIDDEN = (
    ast.FunctionDef
    | ast.AsyncFunctionDef
    | ast.ClassDef
    | ast.For
    | ast.AsyncFor
    | ast.While
    | ast.If
)
PLACE = re.compile(
    r"/(?:home|root|tmp|Users|usr|opt|mnt|var|work|content)/|[A-Z]:\\\\|\b0x[0-9a-f]{6,}"
)
TIME = re.compile(
    r"\b\d+(?:\.\d+)? ?(?:s|ms|sec|seconds|minutes|it/s)\b|\d\d:\d\d:\d\d|\b20\d\d-\d\d-\d\d\b"
)
LONGEST = 12
LARGEST = 300_000
SHORTEST = 40  # characters that can say what is seen


def code_cells(content: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in content.cells if cell.cell_type == "code"]


def text_of(cell: NotebookNode) -> str:
    parts = [output.get("text", "") for output in cell.outputs]
    parts += [output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "\n".join(parts)


def complaints(path: Path) -> list[str]:
    """Return every broken rule of a notebook, in words."""
    content = notebooks.read(path)
    parts = (_of_form(path, content), _of_code(content), _of_figures(content), _of_outputs(content))
    return [complaint for part in parts for complaint in part]


def _of_form(path: Path, content: NotebookNode) -> Iterator[str]:
    if not NAME.fullmatch(path.stem):
        yield "its name is not two digits and words"
    if path.stat().st_size >= LARGEST:
        yield "it is too large"
    words = [cell.source for cell in content.cells if cell.cell_type == "markdown"]
    titles = [line for text in words for line in text.splitlines() if line.startswith("# ")]
    if content.cells[0].cell_type != "markdown" or not content.cells[0].source.startswith("# "):
        yield "it does not start with its title"
    if len(titles) != 1:
        yield f"it has {len(titles)} titles"
    if any("$" in title for title in titles):
        yield "its title has a formula, which the table of contents cannot show"
    settings = [cell for cell in content.cells if "parameters" in notebooks.tags(cell)]
    if len(settings) != 1:
        yield f"it has {len(settings)} parameters cells"
    if notebooks.normalise(content) != content:
        yield "it is not in normal form"


def _of_code(content: NotebookNode) -> Iterator[str]:
    own = [cell for cell in code_cells(content) if "setup" not in notebooks.tags(cell)]
    for count, cell in enumerate(own, start=1):
        tree = ast.parse(cell.source)
        if any(isinstance(node, FORBIDDEN) for node in ast.walk(tree)):
            yield f"cell {count} defines, loops or branches"
        if len(cell.source.splitlines()) > LONGEST:
            yield f"cell {count} is longer than {LONGEST} lines"
        if count > 1 and any(
            isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(tree)
        ):
            yield f"cell {count} imports"


def _of_figures(content: NotebookNode) -> Iterator[str]:
    for cell in code_cells(content):
        for output in cell.outputs:
            if not {"image/png", alt_text.CSV} & set(output.get("data", {})):
                continue
            if alt_text.CSV not in output.data:
                yield f"the figure of cell {cell.id} has no data"
            if len(pictures.words(output).get("alt") or "") < SHORTEST:
                yield f"the figure of cell {cell.id} has no text that says what is seen"


def _of_outputs(content: NotebookNode) -> Iterator[str]:
    last = content.cells[-1]
    if last.cell_type != "code" or "nbval-check-output" not in notebooks.tags(last):
        yield "it does not end in a checked cell"
    elif not re.search(r"\d", text_of(last)):
        yield "its checked cell shows no digits"
    cells = code_cells(content)
    if [cell.execution_count for cell in cells] != list(range(1, len(cells) + 1)):
        yield "its cells did not run from top to bottom"
    for count, cell in enumerate(cells, start=1):
        kinds = {output.output_type for output in cell.outputs}
        if "error" in kinds or any(output.get("name") == "stderr" for output in cell.outputs):
            yield f"cell {count} shows an error or a warning"
        if PLACE.search(text_of(cell)) or TIME.search(text_of(cell)):
            yield f"cell {count} shows a path, an address or a time"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_notebook_keeps_the_rules(path):
    assert complaints(path) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_notebook_opens_on_colab_at_this_version(path):
    content = notebooks.read(path)
    expected = notebooks.normalise(colab.prepared(notebooks.find(path), content))
    assert content == expected, "run `semirobust book --save-outputs`"


def test_numbers_of_notebooks_are_their_order():
    numbers = [path.stem[:2] for path in FILES]
    assert len(set(numbers)) == len(numbers)


def test_the_table_of_contents_lists_every_notebook_and_nothing_else():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [entry.get("file", "") for part in toc["parts"] for entry in part["chapters"]]
    listed = [name for name in chapters if name.startswith("notebooks/")]
    assert listed == [f"notebooks/{path.stem}" for path in FILES]


def good_notebook() -> NotebookNode:
    markdown, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    stream = nbformat.v4.new_output("stream", name="stdout", text="0.12345\n")
    cells = [
        markdown("# 11. A title\n\nA question."),
        code("import math"),
        code("seed = 0", metadata={"tags": ["parameters"]}),
        code("print(0.12345)", metadata={"tags": ["nbval-check-output"]}, outputs=[stream]),
    ]
    for count, cell in enumerate(cells):
        cell.id = f"cell-{count}"
        if cell.cell_type == "code":
            cell.execution_count = count
    return notebooks.normalise(nbformat.v4.new_notebook(cells=cells))


def write(content: NotebookNode, folder: Path, name: str = "11-good") -> Path:
    path = folder / f"{name}.ipynb"
    notebooks.write(content, path)
    return path


def test_a_good_notebook_has_no_complaint(tmp_path):
    assert complaints(write(good_notebook(), tmp_path)) == []


def source(cell: int, text: str):
    return lambda content: content.cells[cell].update(source=text)


def output(text: str):
    return lambda content: content.cells[-1].outputs[0].update(text=text)


def drawn(**metadata: object):
    """Put a picture into the first code cell, with or without its data and its text."""

    def damage(content: NotebookNode) -> None:
        data = {"image/png": "aGVsbG8=", **({alt_text.CSV: "j\n1\n"} if metadata else {})}
        show = nbformat.v4.new_output("display_data", data=data, metadata={alt_text.CSV: metadata})
        content.cells[1].outputs = [show]

    return damage


def warned(content: NotebookNode) -> None:
    content.cells[1].outputs = [nbformat.v4.new_output("stream", name="stderr", text="careful\n")]


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (source(1, "def f():\n    pass"), "cell 1 defines, loops or branches"),
        (source(1, "if True:\n    x = 1"), "cell 1 defines, loops or branches"),
        (source(1, "with open('x'):\n    for x in []:\n        y"), "cell 1 defines, loops"),
        (source(3, "import os\nprint(0.12345)"), "cell 3 imports"),
        (source(1, "x = 1\n" * 13), "cell 1 is longer than 12 lines"),
        (source(0, "No title"), "it does not start with its title"),
        (source(0, "# One\n\n# Two"), "it has 2 titles"),
        (source(0, "# The size of $f_b$"), "its title has a formula"),
        (lambda content: content.cells.pop(2), "it has 0 parameters cells"),
        (lambda content: content.cells.pop(), "it does not end in a checked cell"),
        (lambda content: content.cells[-1].update(outputs=[]), "its checked cell shows no digits"),
        (output("fine\n"), "its checked cell shows no digits"),
        (output("1.5 s\n"), "cell 3 shows a path, an address or a time"),
        (output("<Axes at 0x7f0123456789>\n"), "cell 3 shows a path, an address or a time"),
        (output("/home/me/1\n"), "cell 3 shows a path, an address or a time"),
        (
            lambda content: content.cells[2].update(execution_count=7),
            "its cells did not run from top",
        ),
        (warned, "cell 1 shows an error or a warning"),
        (drawn(), "the figure of cell cell-1 has no data"),
        (drawn(), "the figure of cell cell-1 has no text"),
        (drawn(alt="A line."), "the figure of cell cell-1 has no text"),
        (lambda content: content.metadata.update(papermill={}), "it is not in normal form"),
    ],
)
def test_every_rule_is_able_to_complain(damage, complaint, tmp_path):
    content = good_notebook()
    damage(content)
    found = complaints(write(content, tmp_path))
    assert any(text.startswith(complaint) for text in found), found


def test_a_name_without_number_and_a_large_file_are_noticed(tmp_path):
    content = good_notebook()
    content.cells[0].source += "x" * LARGEST
    found = complaints(write(content, tmp_path, "Untitled"))
    assert found == ["its name is not two digits and words", "it is too large"]


def test_normalising_twice_changes_nothing_more():
    once = notebooks.normalise(good_notebook())
    assert notebooks.normalise(once) == once


def test_normalising_forgets_the_run_and_keeps_the_content():
    content = good_notebook()
    noisy = nbformat.from_dict(content)
    noisy.metadata["papermill"] = {"duration": 1.2}
    noisy.metadata["language_info"]["version"] = "3.99"
    noisy.cells[1].metadata["execution"] = {"iopub.execute_input": "now"}
    pieces = [
        nbformat.v4.new_output("stream", name="stdout", text=text) for text in ("0.1", "2345\n")
    ]
    noisy.cells[-1].outputs = pieces
    noisy.cells[-1].execution_count = 9
    assert notebooks.normalise(noisy) == good_notebook()


def test_merging_takes_outputs_and_leaves_words_alone():
    edited, executed = good_notebook(), good_notebook()
    edited.cells[0].source = "# 11. A better title"
    edited.cells[-1].outputs = []
    merged = notebooks.merge(edited, executed)
    assert merged.cells[0].source == "# 11. A better title"
    assert merged.cells[-1].outputs == executed.cells[-1].outputs


def test_outputs_of_other_code_are_not_merged():
    edited = good_notebook()
    edited.cells[-1].source = "print(0.54321)"
    with pytest.raises(ValueError, match="holds other code"):
        notebooks.merge(edited, good_notebook())


def test_parameters_are_read_with_and_without_annotations():
    cell = nbformat.v4.new_code_cell(
        "profile = 'smoke'  # size\nsteps: int = 10\nscales = [0.1, 1e-5]",
        metadata={"tags": ["parameters"]},
    )
    found = notebooks.parameters(nbformat.v4.new_notebook(cells=[cell]))
    assert found == {"profile": "smoke", "steps": 10, "scales": [0.1, 1e-5]}


def test_a_damaged_notebook_is_named(tmp_path):
    path = tmp_path / "11-broken.ipynb"
    path.write_text('{"cells": [', encoding="utf-8")
    with pytest.raises(ValueError, match=r"11-broken\.ipynb is no readable notebook"):
        notebooks.find(path)
