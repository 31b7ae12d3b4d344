"""What other extensions leave in a page: ids that stand twice, a script that is loaded twice."""

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

ID = re.compile(r'\sid="([^"]*)"')


def without_strip(_: Sphinx, __: str, ___: str, ____: Any, page: nodes.document | None) -> None:
    """Let the description of a chapter, made of its first words, begin behind what stands above."""
    for node in list(page.findall(nodes.Element)) if page else []:
        above = {"provenance", "guide"} & set(node.get("classes", []))
        if above or isinstance(node, addnodes.download_reference):
            node.parent.remove(node)


def mend(_: Sphinx, __: str, ___: str, context: dict[str, Any], ____: Any) -> None:
    """Keep an id where it stands first, and leave out Thebe, which the theme loads once more."""
    known: set[str] = set()

    def once(found: re.Match[str]) -> str:
        again = found[1] in known
        known.add(found[1])
        return "" if again else found[0]

    context["body"] = ID.sub(once, context.get("body", ""))
    context["script_files"] = [one for one in context["script_files"] if "thebe" not in _said(one)]


def _said(script: Any) -> str:
    return f"{getattr(script, 'filename', script)} {getattr(script, 'attributes', '')}".lower()
