"""What deciding chapters say elsewhere: their first paragraph, or that nothing was run."""

from types import SimpleNamespace

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from book._ext import decided
from book._ext.notebooks import DRAWING


def chapter(profile, name="51-what-carries"):
    words = new_output("display_data", {"text/markdown": "The front.\n\nAll details."})
    svg = '<svg width="10pt" height="10pt"></svg>'
    drawn = new_output("display_data", {DRAWING: svg, "image/png": ""})
    told = new_code_cell("told()", outputs=[words], metadata={"tags": ["answer"]}, id="answer")
    cells = [new_markdown_cell("# 51. What carries?\n\nWhy."), told]
    cells.append(new_code_cell("plot()", outputs=[drawn], id="plot"))
    content = new_notebook(cells=cells)
    return SimpleNamespace(content=content, profile=profile, notebook=SimpleNamespace(name=name))


def test_the_front_page_has_a_sentence_of_each_with_its_chapter():
    text = decided.in_short([chapter("cpu"), chapter("cpu", "31-vgg16")])
    assert text == (
        "- **What carries?** The front. [Chapter 51](../notebooks/51-what-carries.ipynb)"
    )


def test_the_report_has_the_whole_answer_and_the_figure():
    text = decided.report([chapter("cpu")])
    assert text.startswith("## What carries?\n\nThe front.\n\nAll details.\n\n<figure")
    assert "Figure 51.1" in text


def test_networks_that_find_nothing_answer_nothing():
    assert decided.in_short([chapter("smoke")]) == ""
    assert decided.report([chapter("smoke")]).endswith(decided.NOT_RUN)
