"""The figure in which the cut is moved: its first state and its records are those of the files."""

import json
import re
import shutil
import subprocess

import pytest

from book._ext import touch
from book._ext.print import BROWSERS, FLAGS
from semirobust.results.frames import frame
from semirobust.results.records import ROOT

CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
MOVED = """<script>const i=document.querySelector('[type=range]');i.value=0;
document.querySelector('[value=static][name=threat]').checked=true;
i.dispatchEvent(new Event('input'));</script>"""


def accuracy(network, n_b, threat, front=None):
    rows = frame("figure-2", "networks", "cpu", ROOT / "results").query("protocol == 'online'")
    rows = rows[(rows["network"] == network) & rows["n_b"].fillna(0).eq(n_b)]
    rows = rows if front is None else rows[rows["front"] == front]
    (value,) = rows[threat]
    return value


def test_without_scripts_it_shows_twelve_layers_under_white_box_attack():
    page = touch.cut(ROOT)
    shown = re.findall(r'class="value"[^>]*>([\d.]+%)', page)
    wanted = [accuracy("robust", 0, "whitebox"), accuracy("spliced", 12, "whitebox")]
    wanted += [accuracy("tuned", 12, "whitebox", front) for front in ("robust", "standard")]
    assert shown == [f"{value:.1%}" for value in wanted]
    assert len(page) < 30_000
    assert "http" not in page.replace("http://www.w3.org", "")


def test_every_cut_has_four_accuracies_for_each_choice():
    records = json.loads(re.search(r'json">(.*?)</script>', touch.cut(ROOT))[1])
    assert records["cuts"] == [2, 4, 6, 8, 10, 12, 14]
    for made in touch.MADE:
        for threat in touch.THREATS:
            assert [len(row) for row in records["values"][made][threat]] == [4] * 7


@pytest.mark.slow
@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: the figure was not moved")
def test_moving_the_slider_shows_the_records_of_that_cut(tmp_path):
    script = (ROOT / "book/assets/move-the-cut.js").read_text(encoding="utf-8")
    page = touch.cut(ROOT).replace('<script src="../_static/move-the-cut.js"></script>', "")
    file = tmp_path / "page.html"
    file.write_text(f"<meta charset=utf-8>{page}<script>{script}</script>{MOVED}", encoding="utf-8")
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'p'}", "--dump-dom", file.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    shown = re.findall(r'class="value"[^>]*>([\d.]+%)', dom)
    assert shown[1] == f"{accuracy('spliced', 2, 'static'):.1%}"
    assert "2 of 16 layers" in dom
