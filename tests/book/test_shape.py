"""Counting what a reader sees can complain of everything it counts; folds name what they hold."""

import nbformat
import pytest
from shown import complaints

from book._ext import ledger, shape

GOOD = """<article><h1>1. A question?</h1>
<div class="admonition answer"><p>Answer</p><p>It falls from 38.8% to 3.4%.</p></div>
<div class="cell tag_method"><div class="cell_input">fit(network)</div></div>
<figure class="drawn"><svg><text>0.5</text></svg>
<figcaption><b>Figure 1.1.</b> <b>It falls</b> Three seeds.</figcaption></figure>
<table><tr><td>0.388</td></tr></table>
<details><table><tr><td>0.034</td></tr></table></details></article>"""
NUMBERS = " ".join(f"{number}.5" for number in range(61))


def page(folder, text):
    path = folder / "page.html"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_good_page_has_no_complaint(tmp_path):
    assert complaints(page(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("<b>Figure 1.1.</b>", "", "a figure has no number"),
        (" <b>It falls</b>", "", "Figure 1.1. has no title"),
        ("<details>", "<details></details>", "2 tables are open"),
        (" tag_method", "", "plumbing is open: fit(network)"),
        ("fit(network)", "fit()\n" * 16, "16 lines of the method are open"),
        ("<details>", "<div class='output stream'>{1: 2}</div><details>", "raw output is open"),
        ("admonition answer", "admonition", "0 answers"),
        ("Three seeds.", "The static transfer is wanted.", "says static transfer"),
        ("Three seeds.", "The result differs.", "says differs"),
        ("Three seeds.", NUMBERS, "64 decimals"),
    ],
)
def test_every_count_is_able_to_complain(old, new, complaint, tmp_path):
    assert old in GOOD
    found = complaints(page(tmp_path, GOOD.replace(old, new)))
    assert any(one.startswith(complaint) for one in found), found


def chapter(source, tags=()):
    table = nbformat.v4.new_output("display_data", data={"text/html": "<table></table>"})
    cells = [nbformat.v4.new_markdown_cell("# A"), nbformat.v4.new_code_cell(source)]
    cells[1].outputs = [table]
    cells.append(nbformat.v4.new_markdown_cell("What it takes.", metadata={"tags": [*tags]}))
    return nbformat.v4.new_notebook(cells=cells)


def test_a_fold_is_named_by_the_comment_that_its_code_begins_with():
    content = chapter("# Accuracies\ntable")
    shape.shape(content)
    assert content.cells[1].metadata.mystnb["code_prompt_show"] == "All values: Accuracies"


def test_where_nothing_is_recorded_question_and_plan_are_left():
    content = chapter("table", ["plan"])
    shape.shape(content, recorded=False)
    assert [cell.source for cell in content.cells] == ["# A", "What it takes."]


def test_a_claim_is_one_line_with_what_the_filters_choose_by():
    entries = ledger.found()
    text, form = ledger.ledger(entries), ledger.filters(entries)
    line = text[text.index('id="claim-table-1-vgg16-cifar10-spliced"') :].partition("</summary>")[0]
    for chosen in ('data-network="VGG16"', 'data-paper="first version"', 'data-part="Methods"'):
        assert (chosen in line) == (chosen != 'data-part="Methods"')
    assert f"{len(entries)} claims" in form
    assert form.startswith('<form class="filters" hidden>')
