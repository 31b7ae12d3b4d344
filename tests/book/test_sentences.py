"""No sentence claims what its interval does not decide: the book's words against the verdicts."""

import re

import pytest

from book._ext import front, ledger, notebooks, sentences
from semirobust.results.records import ROOT

OPEN = re.compile(r"undecided|cannot tell|not run|too few|\bopen\b")
CONCLUDES = re.compile("What to remember|What this says")
FINDING = re.compile(
    r"\b(restor(e|es|ed) |com(e|es) back|return(s|ed)?\b|is what (helps|matters)"
    r"|mak(e|es) the difference|falls far|loses |guarantees|nearly as robust|more robust"
    r"|as robust as|higher|rises|levels? off|train a network that certifies|passes some"
    r"|sav(es|ing) over|keeps more|does the work|(is|are) (\*\*)?false|can be met)"
)
WITHOUT = "<!-- no claim -->"


def passages(text):
    """Return paragraphs and bullets, each in one line, with the marks behind them."""
    parts = re.split(r"\n\s*\n|\n(?=- |\d\. )", text)
    return [" ".join(part.split()) for part in parts if part.strip()]


def conclusions(text):
    """Return the passages from the first heading on under which a chapter concludes."""
    found = CONCLUDES.search(text)
    return passages(text[found.start() :]) if found else []


def texts():
    """Return every written page and chapter, and the computed answer of the front page."""
    pages = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("*.md")}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = [cell for cell in notebooks.read(path).cells if cell.cell_type == "markdown"]
        pages[path.name] = "\n\n".join(cell.source for cell in cells)
    pages["README.md"] = (ROOT / "README.md").read_text(encoding="utf-8")
    pages["front page"] = front.answer(ROOT, VERDICTS)
    return dict(sorted(pages.items()))


VERDICTS = ledger.words(ledger.found())
TEXTS = texts()


def complaints(passage, verdicts):
    """Yield what a passage says that the verdicts do not."""
    named = list(sentences.rests_on(passage))
    for name, word in named:
        if name not in verdicts:
            yield f"no claim is named {name}"
        elif verdicts[name] != word:
            yield f"{name}: {verdicts[name]}, and the sentence says {word}"
    unsure = [name for name, word in named if word in ("undecided", "not run")]
    if unsure and not OPEN.search(sentences.MARK.sub("", passage)):
        yield f"it does not say that {', '.join(unsure)} is open"


@pytest.mark.parametrize("name", TEXTS)
def test_a_sentence_says_of_its_claims_what_their_intervals_decide(name):
    found = [(p, list(complaints(p, VERDICTS))) for p in passages(TEXTS[name])]
    assert [pair for pair in found if pair[1]] == []


@pytest.mark.parametrize("name", [name for name in TEXTS if name.endswith(".ipynb")])
def test_a_chapter_concludes_nothing_without_a_claim_behind_it(name):
    bare = [
        passage
        for passage in conclusions(TEXTS[name])
        if FINDING.search(passage) and WITHOUT not in passage and not sentences.MARK.search(passage)
    ]
    assert bare == []


def test_the_answer_of_the_front_page_rests_on_claims():
    assert len(list(sentences.rests_on(TEXTS["front page"]))) >= 4


def test_theory_chapters_and_those_of_recorded_runs_rest_on_claims():
    marked = {name for name, text in TEXTS.items() if sentences.MARK.search(text)}
    wanted = ("11", "12", "13", "14", "15", "22", "31", "36", "41", "43")
    assert [n for n in wanted if not any(name.startswith(n) for name in marked)] == []


SOME = {"a": "holds", "b": "undecided", "c": "false (counterexample)"}


@pytest.mark.parametrize(
    ("passage", "reason"),
    [
        ("It helps. <!-- rests on: a: does not hold -->", "a: holds, and the sentence says"),
        ("It helps. <!-- rests on: b: undecided -->", "it does not say that b is open"),
        ("It helps. <!-- rests on: gone: holds -->", "no claim is named gone"),
    ],
)
def test_a_sentence_that_says_more_is_noticed(passage, reason):
    assert any(reason in one for one in complaints(passage, SOME))


def test_a_sentence_that_says_what_is_decided_is_no_complaint():
    good = "It helps; of the rest we cannot tell. <!-- rests on: a: holds; b: undecided -->"
    assert list(complaints(good, SOME)) == []
    assert list(complaints("It is false. <!-- rests on: c: false (counterexample) -->", SOME)) == []


def test_a_bare_conclusion_is_noticed():
    text = "# Title\n\nIt rises.\n\n**What to remember.** The curve rises.\n\n- It is drawn."
    assert [p for p in conclusions(text) if FINDING.search(p)] == [
        "What to remember.** The curve rises."
    ]
    assert sentences.linked(f"It rises. {WITHOUT}", "ledger.html") == "It rises."


def test_a_mark_that_cannot_be_read_is_refused():
    with pytest.raises(ValueError, match="NAME: verdict"):
        list(sentences.rests_on("It helps. <!-- rests on: theorem-2 -->"))
