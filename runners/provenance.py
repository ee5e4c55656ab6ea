"""What a result rests on: versions, commit and machine."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cdnbench.record import Provenance

PACKAGES = (
    "cdnbench",
    "numpy",
    "scipy",
    "torch",
    "scikit-learn",
    "causaldag",
    "conditional-independence",
    "graphical-models",
    "causal-learn",
    "gnies",
    "numba",
    "pandas",
    "anndata",
    "pydeseq2",
    "joblib",
    "safetensors",
    "pyarrow",
)
"""Packages on which scores may depend; those that are not installed are left out."""


@functools.cache
def provenance(package: tuple[str, str] | None = None) -> Provenance:
    """Versions, commit and machine, as they were at the first call.

    package: name and version of the package that the method comes from.
    """
    sha, dirty = _git_state(Path(__file__).resolve().parent.parent)
    known = versions() | dict([package] if package else [])
    return Provenance(versions=known, git_sha=sha, dirty=dirty, host=host())


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def host() -> str:
    """The kind of machine, and a digest that tells two machines apart without naming them."""
    node = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
    return f"{platform.system()} {platform.machine()}, {_cpu()}, {os.cpu_count()} cores, {node}"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


def _git_state(folder: Path) -> tuple[str | None, bool | None]:
    if not (folder / ".git").exists():
        return None, None

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        ).stdout

    try:
        return git("rev-parse", "HEAD").strip(), bool(git("status", "--porcelain").strip())
    except (OSError, subprocess.CalledProcessError):
        return None, None
