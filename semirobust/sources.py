"""What code a number depends on: a digest of every definition that a function reaches.

From an entry, a function or a class, names are followed through the package: to definitions of the
same module and, through imports, of others. Annotations, comments, docstrings and layout do not
count, and neither does what only stores and names files (``PLUMBING``). So an edit of a training
step makes what was trained stale, and an edit of a table's settings does not.
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = Path(__file__).resolve().parent
PLUMBING = frozenset({"artefacts", "results", "sources"})
TYPES = ("annotation", "returns")


class Module(NamedTuple):
    """A parsed module: its definitions, the imported names, and statements that define nothing."""

    definitions: dict[str, ast.AST]
    imported: dict[str, tuple[str, str | None]]
    rest: list[ast.AST]


class Place(NamedTuple):
    """A definition of the package; ``name`` is empty for what a module does when imported."""

    module: str
    name: str


def salt(entries: Iterable[Any]) -> str:
    """Return sixteen hex digits of all code that functions and classes reach."""
    found = reached(entries)
    return hashed({f"{place.module}.{place.name}": _digest(place) for place in found})


def reached(entries: Iterable[Any]) -> set[Place]:
    """Return every definition that functions or classes of the package reach by name."""
    found: set[Place] = set()
    waiting = [place for entry in entries for place in _places(entry)]
    while waiting:
        place = waiting.pop()
        if place in found or place.module in PLUMBING:
            continue
        found |= {place}
        waiting += [Place(place.module, ""), *_named(place)]
    return found


def _places(entry: Any) -> list[Place]:
    """Return where a function, a class or a partial application is defined."""
    while isinstance(entry, partial):
        entry = entry.func
    package, _, module = entry.__module__.partition(".")
    return [Place(module, entry.__qualname__.split(".")[0])] if package == PACKAGE.name else []


@cache
def _named(place: Place) -> frozenset[Place]:
    """Return the definitions that one definition names."""
    module = parsed(place.module)
    found: set[Place] = set()
    for node in _nodes(place):
        inner = {alias: target for part in ast.walk(node) for alias, target in _imports(part)}
        known = module.imported | inner
        for name, attribute in _names(node):
            if name in known:
                found |= set(_through(known[name], attribute))
            elif name in module.definitions:
                found.add(Place(place.module, name))
    return frozenset(found - {place})


def _through(target: tuple[str, str | None], attribute: str | None) -> Iterator[Place]:
    """Yield what an imported name stands for; a module alone stands for all that it defines."""
    module, name = target
    name = name or attribute
    if name is None or name not in parsed(module).definitions:
        yield from (Place(module, one) for one in parsed(module).definitions)
    else:
        yield Place(module, name)


def _nodes(place: Place) -> list[ast.AST]:
    module = parsed(place.module)
    return [module.definitions[place.name]] if place.name else module.rest


def _names(node: ast.AST) -> Iterator[tuple[str, str | None]]:
    """Yield the names that are read, each with the attribute that is taken of it."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        yield node.value.id, node.attr
        return
    if isinstance(node, ast.Name):
        yield node.id, None
    for name, value in ast.iter_fields(node):
        if name not in TYPES:
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, ast.AST):
                    yield from _names(part)


@cache
def parsed(name: str) -> Module:
    """Return a module of the package by what it defines, imports and does."""
    found = Module({}, {}, [])
    for node in ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8")).body:
        names = _defined(node)
        found.definitions.update(dict.fromkeys(names, node))
        found.imported.update(_imports(node))
        if not names and not isinstance(node, ast.Import | ast.ImportFrom) and not is_text(node):
            found.rest.append(node)
    return found


def _defined(node: ast.AST) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    parts = [part for one in targets if one for part in ast.walk(one)]
    names = [
        part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    ]
    return names if isinstance(node, ast.Assign | ast.AnnAssign) else []


def _imports(node: ast.AST) -> list[tuple[str, tuple[str, str | None]]]:
    """Return alias and target of what a statement imports from the package."""
    if not isinstance(node, ast.ImportFrom) or node.module is None:
        return []
    package, _, module = node.module.partition(".")
    if package != PACKAGE.name:
        return []
    aliases = [(alias.asname or alias.name, alias.name) for alias in node.names]
    if module:
        return [(alias, (module, name)) for alias, name in aliases]
    return [(alias, (name, None)) for alias, name in aliases if (PACKAGE / f"{name}.py").exists()]


@cache
def _digest(place: Place) -> str:
    return hashed(bare(_nodes(place), without=TYPES))


def bare(node: Any, *, without: tuple[str, ...] = ()) -> Any:
    """Return a syntax tree as lists, without docstrings, comments, layout and some fields."""
    if isinstance(node, list):
        return [bare(item, without=without) for item in node if not is_text(item)]
    if not isinstance(node, ast.AST):
        return repr(node)
    parts = {
        name: bare(value, without=without)
        for name, value in ast.iter_fields(node)
        if value not in (None, []) and name not in without
    }
    return [type(node).__name__, parts]


def is_text(node: Any) -> bool:
    """Return whether a statement is a string alone, such as a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def hashed(value: Any) -> str:
    """Return sixteen hex digits of anything that JSON holds."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
