"""Every number in prose can be traced: to a record, a quoted figure, or a reason given here."""

import ast
import re

import pytest

from book._ext import chapters, claims, decided, notebooks
from book._ext.markdown import typeset
from semirobust.results.published import FILE, published_numbers
from semirobust.results.records import ROOT

REASONS = {
    "95": "level of an interval",
    "3.11": "a version of Python",
    "0.1": "a radius, of MNIST",
    "0.3": "a radius, of MNIST",
    "20": "a setting: the share pruned in a round",
    "0.02": "a threshold, `findings.NEAR`: the paper's one to two per cent",
    "0.001": "the published estimator's clip, in its settings",
    "1.966": "bits of a channel, known in closed form; `laws.CHANNEL_BITS`",
}
NUMBER = re.compile(r"(?<![\w.$/-])\d+\.\d+(?!\.\d)|(?<![\w.])\d+(?=\s+per\s+cent|\s?%)")
NOT_PROSE = re.compile(
    r"\{\{.*?\}\}|(?<!`)`[^`\n]+`(?!`)|<svg.*?</svg>|<[^>]*>|\]\([^)]*\)|\$\$.*?\$\$|\$[^$]*\$",
    re.DOTALL,
)


def prose(text: str) -> str:
    """Return text without code, formulae, addresses and placeholders."""
    blocks, inside, kept = text.splitlines(), False, []
    for line in blocks:
        if re.match(r"```\w+$", line) or (inside and line == "```"):
            inside = not inside
        elif not inside:
            kept.append(line)
    return NOT_PROSE.sub(" ", "\n".join(kept))


def untraced(text: str) -> list[str]:
    """Return the decimals and percentages of a text that nothing accounts for."""
    quoted = set(published_numbers()["printed"].str.lstrip("-")) | set(REASONS)
    for claim in claims.claims():
        quoted |= set(re.findall(r"\d+(?:\.\d+)?", claim.quoted))
    return [number for number in NUMBER.findall(prose(text)) if number not in quoted]


def texts() -> dict[str, str]:
    """Return the words of every written page and chapter."""
    found = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("*.md")}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = notebooks.read(path).cells
        words = [cell.source for cell in cells if cell.cell_type == "markdown"]
        found[path.name] = "\n\n".join(words)
    return dict(sorted(found.items()))


@pytest.mark.parametrize("name", texts())
def test_every_number_in_prose_is_filled_in_quoted_or_accounted_for(name):
    assert untraced(texts()[name]) == []


def test_a_number_typed_by_hand_is_noticed():
    assert untraced("It reaches 31.7 per cent, or 12.345 bits, in 42 % of runs.") == [
        "31.7",
        "12.345",
        "42",
    ]


def test_a_placeholder_a_quoted_figure_code_and_formulae_are_no_complaint():
    text = "{{ results/a.json:metrics.b:.1% }} against 76.6 of Table 1, `0.123` and $x = 0.25$."
    assert untraced(text) == []
    assert untraced("```bash\nrun --rate 0.123\n```\n") == []
    assert untraced("```{note}\nIt is 0.123 there.\n```\n") == ["0.123"]


def test_quoted_figures_of_others_name_where_they_stand():
    places = set(published_numbers()["place"])
    assert {"Table 1", "Table S1", "RobustBench"} <= places
    assert FILE.read_text(encoding="utf-8").endswith("\n")


TOLD = [one for one in notebooks.notebooks(ROOT) if one.experiments and one.name[0] in "145"]


@pytest.mark.slow
@pytest.mark.parametrize("notebook", TOLD, ids=lambda one: one.name)
def test_an_answer_is_what_its_cells_make_of_the_records_today(notebook):
    """Of part 3 the accuracies are looked up in the records instead (``shown.untraced``)."""
    page = chapters.show(notebook)
    names = {"profile": page.profile}
    for cell in page.content.cells:
        tagged = set(notebooks.tags(cell))
        if cell.cell_type == "code" and not tagged & {"setup", "parameters", "injected-parameters"}:
            *body, last = ast.parse(cell.source).body
            exec(compile(ast.Module(body, []), notebook.name, "exec"), names)
            if "answer" in tagged:
                told = eval(compile(ast.Expression(last.value), notebook.name, "eval"), names)
                assert decided.answer(page.content, page.profile) == typeset(told)
                return
            exec(compile(ast.Module([last], []), notebook.name, "exec"), names)
    raise AssertionError("no cell answers")
