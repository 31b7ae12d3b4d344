"""The reference: one page per module, read from the source without importing anything.

Signatures and docstrings come from the syntax tree, so the pages need none of the dependencies.
Docstrings are plain text with ``code`` and Google sections; formulae indented below a line stay as
they are written.
"""

import ast
import re
import textwrap
from pathlib import Path
from typing import TypeAlias

SECTION = re.compile(r"^(Args|Attributes|Example|Examples|Raises|Returns|Yields):\s*$")
ENTRY = re.compile(r"^([\w*., ]+):\s+(.*)", re.DOTALL)
CODE = re.compile(r"(``.+?``|`[^`]+`)", re.DOTALL)
TITLES = {"Args": "Arguments"}
SPECIAL = re.compile(r"([\\*_\[\]<>$#{}~^])")

Definition: TypeAlias = ast.FunctionDef | ast.ClassDef


def modules(package: Path) -> list[Path]:
    """Return the public modules of a package."""
    return [path for path in sorted(package.rglob("*.py")) if not path.stem.startswith("_")]


def name_of(path: Path, package: Path) -> str:
    """Return the dotted name of a module, such as ``semirobust.layers``."""
    return ".".join(path.relative_to(package.parent).with_suffix("").parts)


def words(package: Path) -> set[str]:
    """Return every name that the package uses: of modules, definitions, arguments, values."""
    found = set()
    for path in modules(package):
        found.add(path.stem)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.arg):
                found.add(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.add(node.id)
    return found


def pages(package: Path, source: str) -> dict[str, str]:
    """Return the text of every page of the reference by file name.

    Args:
        package: Folder of the package.
        source: Address under which the repository shows a file, such as ``.../blob/main``.
    """
    texts, rows = {}, []
    for path in modules(package):
        name, tree = name_of(path, package), ast.parse(path.read_text(encoding="utf-8"))
        about = ast.get_docstring(tree) or ""
        address = f"{source}/{path.relative_to(package.parent).as_posix()}"
        parts = [f"# {name.partition('.')[2]}", f"```{{py:module}} {name}\n```", markdown(about)]
        parts += [_described(item) for item in _public(tree.body)]
        texts[f"modules/{name}.md"] = "\n\n".join([*parts, f"[Source of this module]({address})\n"])
        first = markdown(about.split("\n\n")[0].replace("\n", " "))
        rows.append(f"* - [`{name}`](modules/{name}.md)\n  - {first}")
    table = "```{list-table}\n:header-rows: 1\n\n* - module\n  - what it holds\n"
    table += "\n".join(rows) + "\n```\n"
    texts["index.md"] = f"# Reference\n\n{INTRODUCTION}\n\n{table}"
    return texts


INTRODUCTION = (
    "Every public function and class, from the docstrings of the package. Each module is one object"
    " of the paper; imports between them only go one way."
)


def _public(body: list[ast.stmt]) -> list[Definition]:
    found = [item for item in body if isinstance(item, ast.FunctionDef | ast.ClassDef)]
    return [item for item in found if not item.name.startswith("_") or item.name == "__call__"]


def _assigned(body: list[ast.stmt]) -> list[str]:
    found = []
    for item in body:
        targets = item.targets if isinstance(item, ast.Assign) else []
        targets = [item.target] if isinstance(item, ast.AnnAssign) else targets
        found += [name.id for name in targets if isinstance(name, ast.Name)]
    return [name for name in found if not name.startswith("_")]


def _described(item: Definition, kind: str = "function", fence: str = "::::::") -> str:
    if isinstance(item, ast.ClassDef):
        kind, signature = "class", item.name + _constructor(item)
        inner = [_described(member, "method", fence[1:]) for member in _public(item.body)]
    else:
        signature, inner = item.name + _signature(item, method=kind == "method"), []
        kind = "property" if _is_property(item) else kind
        signature = item.name if kind == "property" else signature
    text = markdown(ast.get_docstring(item) or "")
    return "\n\n".join([f"{fence}{{py:{kind}}} {signature}", text, *inner, fence])


def _is_property(item: ast.FunctionDef) -> bool:
    return any(ast.unparse(name) in {"property", "cached_property"} for name in item.decorator_list)


def _signature(item: ast.FunctionDef, *, method: bool) -> str:
    arguments = ast.unparse(item.args)
    if method and not any(ast.unparse(name) == "staticmethod" for name in item.decorator_list):
        arguments = arguments.partition(", ")[2]
    return f"({arguments})" + (f" -> {ast.unparse(item.returns)}" if item.returns else "")


def _constructor(item: ast.ClassDef) -> str:
    """Return the arguments of a class: those of ``__init__``, else the fields of a dataclass."""
    for member in item.body:
        if isinstance(member, ast.FunctionDef) and member.name == "__init__":
            return _signature(member, method=True).removesuffix(" -> None")
    fields = [ast.unparse(member) for member in item.body if isinstance(member, ast.AnnAssign)]
    plain = [re.sub(r"field\(default_factory=(.*)\)$", "...", field) for field in fields]
    decorators = " ".join(ast.unparse(decorator) for decorator in item.decorator_list)
    arguments = ["*", *plain] if "kw_only=True" in decorators else plain
    return f"({', '.join(arguments)})" if plain else ""


def markdown(docstring: str) -> str:
    r"""Return a docstring as Markdown: text escaped, sections as lists, examples as code.

    Example:
        >>> markdown("Return ``h[j]`` * 2.")
        'Return `h[j]` \\* 2.'
    """
    parts, section = [], ""
    for block in _blocks(docstring):
        head, _, rest = block.partition("\n")
        if SECTION.match(head):
            section = head.rstrip(": \n")
            parts.append(_section(section, textwrap.dedent(rest)))
        elif block.startswith(" "):
            parts.append(_indented(textwrap.dedent(block), section))
        else:
            parts.append(_text(block))
    return "\n\n".join(parts)


def _blocks(docstring: str) -> list[str]:
    return [block.strip("\n") for block in re.split(r"\n\s*\n", docstring) if block.strip()]


def _section(section: str, body: str) -> str:
    if section.startswith("Example"):
        return f"```python\n{body}\n```"
    if section in {"Returns", "Yields"}:
        return f"**{section}** {_text(body)}"
    entries = [ENTRY.match(" ".join(entry.split())) for entry in re.split(r"\n(?=\S)", body)]
    lines = [f"- `{entry[1]}`: {_text(entry[2])}" for entry in entries if entry]
    return "\n".join([f"**{TITLES.get(section, section)}**", "", *lines])


def _indented(body: str, section: str) -> str:
    if section.startswith("Example"):
        return f"```python\n{body}\n```"
    return f"```text\n{body}\n```"


def _text(block: str) -> str:
    """Return text with code in single backticks and everything special to Markdown escaped."""
    pieces = CODE.split(block)
    pieces[0::2] = [SPECIAL.sub(r"\\\1", piece) for piece in pieces[0::2]]
    pieces[1::2] = ["`" + piece.strip("`") + "`" for piece in pieces[1::2]]
    return "".join(pieces)
