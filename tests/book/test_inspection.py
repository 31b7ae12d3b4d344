"""What a built book may not hold is found, and what it may hold is left alone."""

import re

import inspection
import pytest


def write(folder, name, body):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<html><body>{body}</body></html>", encoding="utf-8")
    return path


def test_loads_from_elsewhere_are_found_and_links_are_not(tmp_path):
    write(
        tmp_path,
        "page.html",
        '<a href="https://a.org">link</a><img alt="x" src="https://b.org/x.png">'
        '<script src="//c.org/x.js"></script><link rel="stylesheet" href="http://d.org/x.css">'
        '<link rel="canonical" href="https://f.org/page.html">',
    )
    (tmp_path / "style.css").write_text("@font-face {src: url(https://e.org/f)}", encoding="utf-8")
    found = " ".join(inspection.loaded_from_outside(tmp_path))
    assert re.findall(r"[a-f]\.org", found) == ["b.org", "c.org", "d.org", "e.org"]


@pytest.mark.parametrize(
    "link", ["other.html#there", "#here", "data/one%20file.csv", "other.html", "https://a.org", ""]
)
def test_a_link_that_leads_somewhere_is_no_complaint(link, tmp_path):
    write(tmp_path, "page.html", f'<p id="here"><a href="{link}">x</a></p>')
    write(tmp_path, "other.html", '<p id="there"></p>')
    write(tmp_path, "data/one file.csv", "")
    assert inspection.dead_links(tmp_path) == []


@pytest.mark.parametrize("link", ["gone.html", "other.html#gone", "#gone", "data/gone.csv"])
def test_a_link_that_leads_nowhere_is_named_with_its_page(link, tmp_path):
    write(tmp_path, "page.html", f'<a href="{link}">x</a>')
    write(tmp_path, "other.html", '<p id="there"></p>')
    assert inspection.dead_links(tmp_path) == [f"page.html: leads nowhere: {link}"]


def test_a_picture_without_words_is_named(tmp_path):
    write(tmp_path, "page.html", '<img src="a.png" alt="A line."><img src="b.png" alt=" ">')
    assert inspection.silent_pictures(tmp_path) == ["page.html: no text for the picture b.png"]


def test_a_link_from_the_root_of_the_host_is_followed_from_the_root_of_the_book(tmp_path):
    write(
        tmp_path, "404.html", '<a href="/semirobust/page.html">x</a><a href="/semirobust/no">y</a>'
    )
    write(tmp_path, "page.html", "")
    assert inspection.dead_links(tmp_path, "/semirobust/") == [
        "404.html: leads nowhere: /semirobust/no"
    ]
