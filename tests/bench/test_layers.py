"""Dependencies point one way, and every folder of code is installed."""

import ast
import tomllib
from pathlib import Path

import pytest

import cdnbench

ROOT = Path(cdnbench.__file__).parent.parent
MAY_IMPORT = {
    "bench": {"bench"},
    "methods": {"bench", "methods"},
    "datasets": {"bench", "datasets"},
    "runners": {"bench", "runners"},
    "reports": {"bench", "reports"},
}
COMMAND_LINE = {"cli.py", "commands"}
INTERFACE = ROOT / "bench" / "__init__.py"
"""Hands out the names of all layers, and imports them only when they are asked for."""


def layer(module: str) -> str:
    second = module.split(".")[1] if "." in module else ""
    return second if second in MAY_IMPORT else "bench"


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] == "cdnbench"}


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_dependencies_point_one_way(folder):
    files = [
        p
        for p in (ROOT / folder).rglob("*.py")
        if not COMMAND_LINE & set(p.relative_to(ROOT / folder).parts) and p != INTERFACE
    ]
    assert files
    for path in files:
        wrong = {name for name in imports(path) if layer(name) not in MAY_IMPORT[folder]}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_every_folder_of_code_is_installed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {
        p.parent.relative_to(ROOT).as_posix() for f in MAY_IMPORT for p in (ROOT / f).rglob("*.py")
    }
    assert set(settings["package-dir"].values()) == folders
    assert set(settings["packages"]) == set(settings["package-dir"])
    assert all((ROOT / folder / "__init__.py").exists() for folder in folders)
