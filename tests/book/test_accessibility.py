"""Every page of the built book under axe-core, in a browser, in light and dark.

axe-core (https://github.com/dequelabs/axe-core, MPL 2.0) lies unchanged in ``tests/book/axe``.
"""

import json
import re
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browser import CHROMIUM

from book._ext.print import FLAGS

AXE = Path(__file__).parent / "axe" / "axe.min.js"
HARNESS = """<!doctype html><meta charset="utf-8"><title>audit</title><body><script>
const pages = PAGES, found = [];
let passes = 0;
async function look(page) {
  const frame = document.createElement('iframe');
  frame.style = 'width:1280px;height:1600px';
  frame.src = page;
  const there = new Promise(done => frame.onload = done);
  document.body.append(frame);
  await there;
  const inside = frame.contentDocument, script = inside.createElement('script');
  script.src = '/axe.min.js';
  const ready = new Promise(done => script.onload = done);
  const still = inside.createElement('style');  // colours change at once
  still.textContent = '* {transition: none !important}';
  inside.head.append(still, script);
  await ready;
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'];
  for (const theme of ['light', 'dark']) {
    inside.documentElement.dataset.theme = theme;
    const answer = await frame.contentWindow.axe.run(inside, {runOnly: tags});
    passes += answer.passes.length;
    for (const rule of answer.violations)
      for (const node of rule.nodes)
        found.push({page, theme, rule: rule.id, impact: node.impact, where: node.target.join(' '),
                    html: node.html.slice(0, 160)});
  }
  frame.remove();
}
(async () => {
  for (const page of pages) await look(page);
  document.body.innerHTML = '';
  const told = document.createElement('pre');
  told.textContent = JSON.stringify({passes, found});
  document.body.append(told);
})();
</script></body>"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without telling of each, some of them from another folder."""

    def __init__(self, *given: object, beside: Path, **how: object) -> None:
        self.beside = beside
        super().__init__(*given, **how)

    def translate_path(self, path: str) -> str:
        """Return the file beside the book where there is one of that name."""
        beside = self.beside / path.lstrip("/")
        return str(beside) if beside.is_file() else super().translate_path(path)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def audit(html: Path, pages: list[str], folder: Path) -> dict:
    """Return how many rules passed, and every violation, of some pages in both themes."""
    shutil.copy(AXE, folder / "axe.min.js")
    harness = HARNESS.replace("PAGES", json.dumps(pages))
    (folder / "audit.html").write_text(harness, encoding="utf-8")
    served = partial(Quiet, directory=html, beside=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), served) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        flags = [
            *FLAGS,
            "--virtual-time-budget=3000000",
            f"--user-data-dir={folder / 'profile'}",
            "--dump-dom",
            f"http://127.0.0.1:{server.server_port}/audit.html",
        ]
        done = subprocess.run(
            [CHROMIUM, *flags], capture_output=True, text=True, check=True, timeout=900
        )
        server.shutdown()
    told = re.search(r"<pre>(.*)</pre>", done.stdout, re.DOTALL)
    assert told, done.stdout[-2000:]
    text = told[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return json.loads(text)


# of the theme: its buttons and its folds; of docutils: the roles of a bibliography
THEIRS = ("search-button", "theme-switch", "nav-link", "summary", "citation-list")


def ours(answer: dict) -> list[dict]:
    """Return the serious violations in what this book writes."""
    serious = [one for one in answer["found"] if one["impact"] in ("serious", "critical")]
    return [one for one in serious if not any(word in one["where"] for word in THEIRS)]


needs_browser = pytest.mark.skipif(
    not CHROMIUM, reason="no Chromium here: the pages were not looked at by axe"
)


@pytest.mark.slow
@needs_browser
def test_no_page_has_a_serious_violation_in_light_or_dark(html, tmp_path):
    pages = sorted(path.relative_to(html).as_posix() for path in html.glob("*/*.html"))
    pages += ["search.html", "book/reference/semirobust/layers/index.html"]
    answer = audit(html, [page for page in pages if not page.startswith("_")], tmp_path)
    assert answer["passes"] > 10 * len(pages)
    assert ours(answer) == []


@pytest.mark.slow
@needs_browser
def test_the_audit_is_able_to_complain(tmp_path):
    page = '<html lang="en"><title>x</title><main><h1>Dark</h1><img src="x.png">BODY</main></html>'
    body = "<a href='#'></a><style>[data-theme=dark] h1 {color: #333; background: #222}</style>"
    (tmp_path / "bad.html").write_text(page.replace("BODY", body), encoding="utf-8")
    found = {(one["rule"], one["theme"]) for one in ours(audit(tmp_path, ["bad.html"], tmp_path))}
    assert {("image-alt", "light"), ("link-name", "light"), ("color-contrast", "dark")} <= found
