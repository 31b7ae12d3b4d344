"""The map of the house, in README and CONTRIBUTING, names what is there and all that is there."""

import re

from semirobust.results.records import ROOT

PACKAGE = ROOT / "semirobust"
ROOMS = {path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()} - {
    "__init__.py",
    "__main__.py",
    "__pycache__",
}


def test_every_local_link_of_the_readme_leads_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_room_of_the_package_is_on_the_map():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    floors = text.partition("## The house")[2].partition("Beside the package")[0]
    assert ROOMS - set(re.findall(r"`(\w+(?:\.py)?)/?`", floors)) == set()


def test_files_that_the_text_names_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    names = re.findall(r"`((?:experiments|results|book|tests)/[\w/]+\.\w+)`", text)
    assert names
    places = (ROOT, PACKAGE)
    assert [name for name in names if not any((place / name).exists() for place in places)] == []
