"""Dependencies point one way, and every folder of code is installed."""

import ast
import subprocess
import sys
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
    "bench/training": {"bench", "methods", "datasets", "bench/training"},
}
COMMAND_LINE = {"cli.py", "commands"}
INTERFACE = ROOT / "bench" / "__init__.py"
"""Names what users import from any layer, and imports it only when it is asked for."""


def layer(module: str) -> str:
    """The layer of an imported module; what is not in a layer of its own is the bench's core."""
    second = module.split(".")[1] if "." in module else ""
    return {"training": "bench/training"}.get(second, second if second in MAY_IMPORT else "bench")


def files_of(folder: str) -> list[Path]:
    """The files of a layer: without those of a layer inside it, and without the command line and
    the public interface, which bring all layers together."""
    inner = [ROOT / other for other in MAY_IMPORT if other.startswith(folder + "/")]
    return [
        path
        for path in (ROOT / folder).rglob("*.py")
        if path != INTERFACE
        and not COMMAND_LINE & set(path.relative_to(ROOT / folder).parts)
        and not any(path.is_relative_to(other) for other in inner)
    ]


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
    files = files_of(folder)
    assert files
    for path in files:
        wrong = {name for name in imports(path) if layer(name) not in MAY_IMPORT[folder]}
        assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize(
    "folder, module",
    [
        ("methods", "cdnbench.training.loop"),
        ("datasets", "cdnbench.training"),
        ("bench", "cdnbench.training.card.Origin"),
        ("bench/training", "cdnbench.runners.provenance"),
        ("bench/training", "cdnbench.reports.build"),
    ],
)
def test_what_no_file_of_a_layer_imports(folder, module):
    assert layer(module) not in MAY_IMPORT[folder]


def test_the_interface_imports_nothing_until_it_is_asked():
    code = "import sys, cdnbench; print([m for m in sys.modules if m.startswith('cdnbench.')])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n"


def test_every_folder_of_code_is_installed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {
        p.parent.relative_to(ROOT).as_posix() for f in MAY_IMPORT for p in (ROOT / f).rglob("*.py")
    }
    assert set(settings["package-dir"].values()) == folders
    assert set(settings["packages"]) == set(settings["package-dir"])
    assert all((ROOT / folder / "__init__.py").exists() for folder in folders)
