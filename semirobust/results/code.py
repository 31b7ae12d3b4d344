"""What code a number depends on: a digest of every definition that code reaches.

From an entry, names are followed through the package: to definitions of the same module and,
through imports, faces and aliases, of others. A definition is digested by its syntax tree, in
which every name of the package is replaced by the tree of what it stands for. So a definition that
moves to another file, or is imported under another name, keeps its digest, and one that is edited
does not.

Annotations, comments, docstrings, layout and import statements do not count, and neither does what
only names and stores files, or shows how far something is (``PLUMBING``).
"""

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = Path(__file__).resolve().parents[1]
PLUMBING = (
    "progress",
    "results.artefacts",
    "results.code",
    "results.records",
    "training.files",
)
TYPES = ("annotation", "returns")
BAR = "watched"  # of ``progress``: its steps count, that they are shown does not


class Place(NamedTuple):
    """A name of a module: "" for what the module does when imported, None for all of it."""

    module: str
    name: str | None


class Module(NamedTuple):
    """A parsed module: its definitions, what it imports, and statements that define nothing."""

    definitions: dict[str, ast.AST]
    imported: dict[str, Place]
    rest: list[ast.AST]


def salt(entries: Iterable[Any]) -> str:
    """Return sixteen hex digits of all code that functions and classes reach."""
    return _salt(reached(entries))


def salt_of_text(code: str) -> str:
    """Return sixteen hex digits of all code of the package that a notebook's cells reach."""
    module = _parsed(code, "")
    nodes = [*module.definitions.values(), *module.rest]
    return _salt(_followed(end for ends in _ends(nodes, module, "").values() for end in ends))


def _salt(places: Iterable[Place]) -> str:
    return hashed(sorted(f"{place.name} {_digest(place)}" for place in places if _nodes(place)))


def reached(entries: Iterable[Any]) -> set[Place]:
    """Return every definition that functions or classes of the package reach by name."""
    return _followed(place for entry in entries for place in _places(entry))


def _followed(places: Iterable[Place]) -> set[Place]:
    seen: set[Place] = set()
    waiting = list(places)
    while waiting:
        place = waiting.pop()
        if place not in seen and place.module not in PLUMBING:
            seen.add(place)
            ends = _ends_of(place).values()
            waiting += [Place(place.module, ""), *(end for group in ends for end in group)]
    return seen


def _places(entry: Any) -> list[Place]:
    while isinstance(entry, partial):
        entry = entry.func
    package, _, module = entry.__module__.partition(".")
    name = entry.__qualname__.split(".")[0]
    return _definitions(module, name) if package == PACKAGE.name else []


def _definitions(module: str, name: str | None = None) -> list[Place]:
    """Return where a name of a module is defined; a module alone stands for all that it defines."""
    own = parsed(module)
    if name is None and path_of(module).stem == "__init__":  # a face defines nothing
        return [end for shown in own.imported for end in _definitions(module, shown)]
    if name is None:
        return [Place(module, defined) for defined in own.definitions]
    if name in own.definitions:
        return [Place(module, name)]
    if name in own.imported:
        return _definitions(*own.imported[name])
    inside = f"{module}.{name}".strip(".")
    return _definitions(inside) if path_of(inside).exists() else []


@cache
def _ends_of(place: Place) -> dict[str, list[Place]]:
    """Return {spelling: definitions} for what one definition takes from the package."""
    ends = _ends(_nodes(place), parsed(place.module), place.module)
    return {spelling: group for spelling, group in ends.items() if group != [place]}


def _ends(nodes: list[ast.AST], module: Module, name_of_module: str) -> dict[str, list[Place]]:
    ends: dict[str, list[Place]] = {}
    for node in nodes:
        inner = [pair for part in ast.walk(node) for pair in _imports(part, name_of_module)]
        known = module.imported | dict(inner)
        for spelling in _spellings(node):
            name, _, attribute = spelling.partition(".")
            if name in known:
                source, bound = known[name]
                taken = _definitions(source, attribute) if attribute and bound is None else []
                ends[spelling if taken else name] = taken or _definitions(source, bound)
            elif name in module.definitions and name_of_module:
                ends[name] = [Place(name_of_module, name)]
    return {spelling: places for spelling, places in ends.items() if places}


def _nodes(place: Place) -> list[ast.AST]:
    module = parsed(place.module)
    return [module.definitions[place.name]] if place.name else module.rest


def _spellings(node: ast.AST) -> Iterator[str]:
    """Yield the names that are read, each with the attribute that is taken of it."""
    if spelling := _spelling(node):
        yield spelling
        return
    for name, value in ast.iter_fields(node):
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, ast.AST) and name not in TYPES:
                yield from _spellings(part)


def path_of(module: str) -> Path:
    """Return the file of a module; of a folder the list of what its face shows."""
    path = PACKAGE.joinpath(*module.split(".")) if module else PACKAGE
    if path.is_dir():
        stub = path / "__init__.pyi"
        return stub if stub.exists() else path / "__init__.py"
    return path.with_suffix(".py")


@cache
def parsed(module: str) -> Module:
    """Return a module of the package by what it defines, imports and does."""
    return _parsed(path_of(module).read_text(encoding="utf-8"), module)


def _parsed(code: str, name: str) -> Module:
    module = Module({}, {}, [])
    for node in ast.parse(code).body:
        names = _defined(node)
        module.definitions.update(dict.fromkeys(names, node))
        module.imported.update(_imports(node, name))
        if not names and not _is_left_out(node):
            module.rest.append(node)
    return module


def _defined(node: ast.AST) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return []
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    parts = [part for target in targets for part in ast.walk(target)]
    names = [part for part in parts if isinstance(part, ast.Name)]
    return [name.id for name in names if isinstance(name.ctx, ast.Store)]


def _imports(node: ast.AST, module: str) -> list[tuple[str, Place]]:
    """Return alias and target of what a statement imports from the package."""
    if isinstance(node, ast.Import):
        inside = [alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE.name]
        if inside and inside != [PACKAGE.name]:
            raise ValueError(f"{module}: write `from {inside[0].rpartition('.')[0]} import ...`")
        return [(PACKAGE.name, Place("", None)) for _ in inside]
    if not isinstance(node, ast.ImportFrom):
        return []
    package, _, source = (node.module or "").partition(".")
    if node.level and path_of(module).suffix == ".pyi":  # a face lists modules of its own folder
        source = ".".join(filter(None, [module, node.module]))
    elif node.level:
        raise ValueError(f"{module}: write imports in full, a relative one is not followed")
    elif package != PACKAGE.name:
        return []
    return [(alias.asname or alias.name, _bound(source, alias.name)) for alias in node.names]


def _bound(source: str, name: str) -> Place:
    inside = f"{source}.{name}".strip(".")
    return Place(inside, None) if path_of(inside).exists() else Place(source, name)


@cache
def _tree(place: Place) -> str:
    """Return the digest of a definition alone, the names of the package left open."""
    return hashed(bare(_nodes(place), dict.fromkeys(_ends_of(place), "")))


@cache
def _digest(place: Place) -> str:
    """Return the digest of a definition with the trees of what its names stand for."""
    known = {
        spelling: sorted(
            f"{end.name} {'' if end.module in PLUMBING else _tree(end)}" for end in ends
        )
        for spelling, ends in _ends_of(place).items()
    }
    return hashed(bare(_nodes(place), known))


def bare(node: Any, known: dict[str, Any]) -> Any:
    """Return a syntax tree as lists, with what names of the package stand for in their place."""
    if isinstance(node, list):
        return [bare(item, known) for item in node if not _is_left_out(item)]
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.Call) and _spelling(node.func) == BAR:
        return bare(node.args[0], known)
    if (spelling := _spelling(node)) in known:
        return ["of the package", known[spelling]]
    parts = {
        name: bare(value, known)
        for name, value in ast.iter_fields(node)
        if value not in (None, []) and name not in TYPES
    }
    return [type(node).__name__, parts]


def _spelling(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return ""


def _is_left_out(node: Any) -> bool:
    """Return whether a statement is an import, or a string alone, such as a docstring."""
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text or isinstance(node, ast.Import | ast.ImportFrom)


def hashed(value: Any) -> str:
    """Return sixteen hex digits of anything that JSON holds."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
