"""Digests of the code that the scores of a method depend on.

The code of a method is its class and every function, class and constant that this one names, in its
own package, and those that they name, and so on. Names inside of it, comments, docstrings and type
annotations leave the digest as it is; so do the method's `info` and everything that it does not
use. What other packages do is told by their versions, which every record has.

What it cannot see: code that is found by a name made at run time (`getattr`, `importlib`), and data
files. Weights and knowledge have digests of their own in every key.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cdnbench.digest import digest

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


_ROUNDS = 3
"""How far a definition's digest follows what it uses, so that two that changed places are seen."""

_PARSING = threading.Lock()
"""Python 3.11 counts the depth of a syntax tree for all threads together, and fails where two of
them make trees at once ("AST constructor recursion depth mismatch")."""

Definition = tuple[str, str]
"""A module and a name at its top level."""


@functools.cache
def code_digest(loaded: type) -> str:
    """Of a method's class; "" if its source cannot be read."""
    package = loaded.__module__.partition(".")[0]
    root = (loaded.__module__, loaded.__qualname__.partition(".")[0])
    texts: dict[Definition, list[str | Definition]] = {}
    todo = [root]
    while todo:
        definition = todo.pop()
        if definition not in texts:
            texts[definition] = _text(definition, package)
            todo += [part for part in texts[definition] if not isinstance(part, str)]
    if not texts[root]:
        return ""
    digests = dict.fromkeys(texts, "")
    for _ in range(_ROUNDS):
        digests = {
            definition: digest([part if isinstance(part, str) else digests[part] for part in text])
            for definition, text in texts.items()
        }
    return digest(digests[root], sorted(set(digests.values())), size=8)


def _text(definition: Definition, package: str) -> list[str | Definition]:
    """The statements of a definition in a form in which names do not matter, with the definitions
    that it uses; nothing if its source cannot be read."""
    module, name = definition
    source = _source(module)
    if source is None:
        return []
    writer = _Canonical(source, package)
    for statement in source.definitions.get(name, []):
        writer.visit(statement)
    return writer.written


@dataclass(frozen=True, eq=False)
class _Source:
    """A module. definitions: name at its top level -> the statements that make it. imported: name
    -> (module, name in it or "" for the module itself), wherever in the module it is imported."""

    module: str
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)


def _source(module: str) -> _Source | None:
    """The source of a module, None if it has none that can be read."""
    try:
        spec = importlib.util.find_spec(module)
        if spec is None or not spec.origin or not spec.origin.endswith(".py"):
            return None
        written = Path(spec.origin).stat().st_mtime_ns
    except (ImportError, ValueError, AttributeError, OSError):
        return None
    package = module if spec.submodule_search_locations else module.rpartition(".")[0]
    return _parsed(module, package, spec.origin, written)


@functools.cache
def _parsed(module: str, package: str, path: str, written: int) -> _Source | None:
    """written: when the file was, so that an edited one is read again."""
    try:
        content = Path(path).read_bytes()
        with _PARSING:
            tree = ast.parse(content)
    except (OSError, SyntaxError, ValueError):
        return None
    source = _Source(module)
    for node in ast.walk(tree):
        source.imported.update(_imports(node, package))
    for statement in _top_level(tree.body):
        for name in _bound(statement):
            source.definitions.setdefault(name, []).append(statement)
    return source


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a module, those inside of `if` and `try` included."""
    for statement in body:
        if isinstance(statement, ast.If | ast.Try):
            for part in ("body", "orelse", "finalbody"):
                yield from _top_level(getattr(statement, part, []))
            for handler in getattr(statement, "handlers", []):
                yield from _top_level(handler.body)
        else:
            yield statement


def _bound(statement: ast.stmt) -> set[str]:
    if isinstance(statement, _SCOPES):
        return {statement.name}
    return {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _imports(node: ast.AST, package: str) -> Iterator[tuple[str, tuple[str, str]]]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            whole = alias.name if alias.asname else alias.name.partition(".")[0]
            yield alias.asname or whole, (whole, "")
    elif isinstance(node, ast.ImportFrom):
        parents = package.split(".")
        base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
        module = ".".join(filter(None, [base, node.module]))
        for alias in node.names:
            yield alias.asname or alias.name, (module, alias.name)


class _Canonical(ast.NodeVisitor):
    """Writes statements so that names do not matter."""

    def __init__(self, source: _Source, package: str) -> None:
        self.source, self.package = source, package
        self.written: list[str | Definition] = []
        self._numbers: dict[str, int] = {}

    def _name(self, name: str) -> str | Definition:
        """What a name stands for: a definition of the package, a thing of another package by its
        full name, and any other name by the order in which it comes."""
        if name in self.source.imported:
            module, of = self.source.imported[name]
            target = self._resolved(module, of)
            if target is None:
                return f"{module}:{of}"
            if target[1]:
                return target
        elif name in self.source.definitions:
            return self.source.module, name
        elif name in _BUILTINS:
            return name
        return f"#{self._numbers.setdefault(name, len(self._numbers))}"

    def _resolved(self, module: str, of: str) -> Definition | None:
        """(module, definition) of an import from the package, None from any other. A name that a
        module only passes on is followed to where it is defined."""
        for _ in range(10):
            if module.partition(".")[0] != self.package:
                return None
            if not of or _source(f"{module}.{of}"):
                return (module if not of else f"{module}.{of}", "")
            source = _source(module)
            if source is None or of in source.definitions or of not in source.imported:
                break
            module, of = source.imported[of]
        return module, of

    def generic_visit(self, node: ast.AST) -> None:
        self.written.append(type(node).__name__)
        for name, value in ast.iter_fields(node):
            if name in _LEFT_OUT:
                continue
            if name == "body" and isinstance(node, _SCOPES):
                value = _without_docstring(value)
                if isinstance(node, ast.ClassDef):
                    value = [part for part in value if not _is_info(part)]
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, ast.AST):
                    self.visit(part)
                elif part is not None:
                    self.written.append(self._plain(node, name, part))
        self.written.append(")")

    def _plain(self, node: ast.AST, name: str, value: object) -> str | Definition:
        is_name = (
            (isinstance(node, _SCOPES) and name == "name")
            or (isinstance(node, ast.arg) and name == "arg")
            or (isinstance(node, ast.Global | ast.Nonlocal))
            or (isinstance(node, ast.ExceptHandler) and name == "name")
        )
        return self._name(str(value)) if is_name else repr(value)

    def visit_Name(self, node: ast.Name) -> None:
        self.written.append(self._name(node.id))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """`module.thing` of the package is used as if it were imported itself."""
        if isinstance(node.value, ast.Name) and node.value.id in self.source.imported:
            target = self._resolved(*self.source.imported[node.value.id])
            if target is not None and not target[1]:
                self.written.append((target[0], node.attr))
                return
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """A field of a data class keeps its name, which is that of a parameter."""
        self.written.append("AnnAssign")
        if isinstance(node.target, ast.Name):
            self.written.append(node.target.id)
        else:
            self.visit(node.target)
        if node.value is not None:
            self.visit(node.value)

    def visit_Import(self, node: ast.Import) -> None:
        """What is imported counts where it is used."""

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        pass


_LEFT_OUT = ("annotation", "returns", "type_comment", "type_params", "kind", "ctx")
_BUILTINS = frozenset(dir(__import__("builtins")))


def _is_info(statement: ast.stmt) -> bool:
    """Whether it is the `info` of a method, which says what it is called and where it can run."""
    targets = statement.targets if isinstance(statement, ast.Assign) else ()
    if isinstance(statement, ast.AnnAssign):
        targets = (statement.target,)
    return any(isinstance(target, ast.Name) and target.id == "info" for target in targets)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return body[1:]
    return body
