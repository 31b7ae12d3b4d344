"""The whole book as one document: order, links inside, links outside, and the missing browser."""

import pytest
import yaml

from book._ext import print as printing

TOC = {
    "root": "book/index",
    "parts": [
        {"chapters": [{"file": "notebooks/11-one"}, {"file": "book/reference/semirobust/index"}]}
    ],
}
HEAD = '<head><title>x</title><link rel="stylesheet" href="../_static/a.css"></head>'


@pytest.fixture
def html(tmp_path):
    for name, body in {
        "book/index": '<p id="top">A</p><a href="../notebooks/11-one.html#there">x</a>'
        '<a href="#top">y</a><a href="https://a.org">z</a><a href="../data/b.csv">d</a>',
        "notebooks/11-one": '<p id="there">B</p><img src="../_images/c.png"><script>1</script>'
        '<svg id="d"><path id="m"/><use xlink:href="#m"/><use href="#m"/></svg>'
        '<details><summary><p class="collapsed">Code</p></summary>folded</details>',
        "book/reference/semirobust/index": "C",
    }.items():
        path = tmp_path / f"{name}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        page = f"<html>{HEAD}<body><nav>N</nav><article>{body}</article></body></html>"
        path.write_text(page, encoding="utf-8")
    (tmp_path / "_toc.yml").write_text(yaml.safe_dump(TOC), encoding="utf-8")
    return tmp_path


def test_pages_come_in_the_order_of_the_contents_without_the_reference(html):
    names = printing.pages(html / "_toc.yml", html)
    assert names == ["book/index.html", "notebooks/11-one.html"]


def test_links_between_pages_lead_inside_and_others_stay(html):
    text = printing.together(html, printing.pages(html / "_toc.yml", html))
    assert 'href="#notebooks-11-one--there"' in text
    assert 'id="notebooks-11-one--there"' in text
    assert 'href="#book-index--top"' in text
    assert 'href="https://a.org"' in text
    assert 'href="data/b.csv"' in text
    assert 'src="_images/c.png"' in text
    assert 'href="_static/a.css"' in text


def test_what_surrounds_an_article_and_its_scripts_are_left_out(html):
    text = printing.together(html, printing.pages(html / "_toc.yml", html))
    assert "<nav>" not in text
    assert "<script>1" not in text
    assert text.index(">A<") < text.index(">B<")


def test_marks_of_a_drawing_are_found_and_folded_code_is_left_out(html):
    """Every mark was missing in print: ids within drawings were renamed, what uses them was not."""
    text = printing.together(html, printing.pages(html / "_toc.yml", html))
    assert 'id="m"' in text
    assert text.count('href="#m"') == 2
    assert 'id="notebooks-11-one--d"' in text
    assert "folded" not in text


def test_without_a_browser_printing_says_what_to_install(html, monkeypatch):
    monkeypatch.setenv("PATH", str(html))
    with pytest.raises(FileNotFoundError, match="install chromium"):
        printing.printed(html, html / "_toc.yml", html / "book.pdf")
    assert not (html / "whole-book.html").exists()
