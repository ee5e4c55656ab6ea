"""What methods and suites say of themselves, read from their source text.

Nothing is imported: importing all methods would load torch and everything else that they rest on.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from cdnbench.registry import METHODS, SUITES, entries

_DECLARED = ("summary", "citation", "licence", "reference", "supervised", "version")


@dataclass(frozen=True)
class About:
    """What is known of a registered name.

    declared: field of its `info` -> text, where the source holds a plain text.
    text: the docstring of its module, and of its class where that has one.
    deviations: the part of the text that says how it differs from its reference.
    """

    declared: dict[str, str]
    text: str = ""
    deviations: str = ""


def method(name: str) -> About | None:
    """None where this installation does not have a method of this name."""
    return _about(METHODS, name)


def suite(name: str) -> About | None:
    """None where this installation does not have a suite of this name."""
    return _about(SUITES, name)


@cache
def _about(group: str, name: str) -> About | None:
    entry = entries(group).get(name)
    if entry is None:
        return None
    try:
        spec = find_spec(entry.module)
        source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
        module = ast.parse(source)
    except Exception:  # somebody else's package: a page does without its description
        return About({})
    found = next(
        (n for n in module.body if isinstance(n, ast.ClassDef) and n.name == entry.attr), None
    )
    texts = [ast.get_docstring(node) or "" for node in (module, found) if node is not None]
    text = "\n\n".join(filter(None, texts))
    constants = {
        target.id: node.value
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return About(_declared(found, constants) if found else {}, text, deviations(text))


def _declared(node: ast.ClassDef, constants: dict[str, ast.expr]) -> dict[str, str]:
    for part in node.body:
        value = getattr(part, "value", None)
        names = [
            ast.unparse(t) for t in getattr(part, "targets", [getattr(part, "target", None)]) if t
        ]
        if "info" in names and isinstance(value, ast.Call):
            given = {k.arg: constants.get(ast.unparse(k.value), k.value) for k in value.keywords}
            found = {name: _plain_text(given.get(name)) for name in _DECLARED}
            return {name: text for name, text in found.items() if text}
    return {}


def _plain_text(value: ast.expr | None) -> str:
    """The text of an expression that is a plain string; "" of another."""
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""


def deviations(text: str) -> str:
    """The block of a docstring that begins with a line on deviations, up to the next line that is
    indented no deeper.

    >>> deviations("A test.\\n\\nDeviations\\n    - none\\n\\nReadings\\n    one")
    'Deviations\\n    - none'
    """
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if re.match(r"\s*(deviation|deviates|differs|differences)", line, re.IGNORECASE):
            depth = len(line) - len(line.lstrip())
            end = i + 1
            while end < len(lines) and (
                not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > depth
            ):
                end += 1
            return "\n".join(lines[i:end]).strip()
    return ""
