"""Text files are written and read as UTF-8 (or ASCII, which is part of it), whatever the locale."""

import ast
import importlib
from pathlib import Path

import pytest

import cdnbench

PARTS = ("", "methods", "datasets", "runners", "reports")


def sources():
    for part in PARTS:
        package = importlib.import_module(f"cdnbench.{part}") if part else cdnbench
        for folder in package.__path__:
            yield from Path(folder).rglob("*.py")


def without_encoding(tree):
    """The lines of calls that open a file as text and leave its encoding to the locale."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        named = {keyword.arg: keyword.value for keyword in node.keywords}
        if name in ("read_text", "write_text"):
            text = isinstance(node.func, ast.Attribute)
        elif name in ("open", "fdopen"):
            # Path(...).open(mode) has no path among its arguments.
            is_path = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) not in (
                "os",
                "io",
            )
            modes = node.args[0 if is_path else 1 :][:1] + [named.get("mode")]
            values = [mode.value for mode in modes if isinstance(mode, ast.Constant)]
            opens_by_number = ast.unparse(node.func) == "os.open"
            mode = values[0] if values and isinstance(values[0], str) else "r"
            text = not opens_by_number and "b" not in mode and set(mode) <= set("rwax+t")
            text = text and (bool(values) or not is_path)
        else:
            text = False
        if text and "encoding" not in named:
            yield node.lineno


def test_every_call_that_opens_text_says_utf8():
    found = {
        f"{path}:{line}"
        for path in sources()
        for line in without_encoding(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert not found


@pytest.mark.parametrize(
    ("code", "tells"),
    [
        ("open(p)", True),
        ("open(p, 'w')", True),
        ("p.open('a+')", True),
        ("p.write_text(t)", True),
        ("open(p, 'rb')", False),
        ("open(p, encoding='utf-8')", False),
        ("os.open(p, os.O_RDONLY)", False),
        ("PreparedLine.open(path)", False),
        ("p.open('rb')", False),
    ],
)
def test_the_search_tells_text_from_bytes(code, tells):
    assert list(without_encoding(ast.parse(code))) == ([1] if tells else [])
