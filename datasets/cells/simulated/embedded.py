"""The embedded default of the cell suites: simulated lines, made and prepared once in the user's
cache."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cdnbench.datasets.cells.prepared import FORMAT, SUFFIX, PreparedLine
from cdnbench.datasets.cells.screens.options import Preparation
from cdnbench.datasets.cells.simulated.knowledge import VERSION as KNOWLEDGE_VERSION
from cdnbench.datasets.cells.simulated.knowledge import write_knowledge
from cdnbench.datasets.cells.simulated.simulate import Simulation, write_raw
from cdnbench.digest import digest

PREPARATION = Preparation(target="target", clusters=40)


def cache_folder() -> Path:
    """The folder named by `CDNBENCH_CACHE`, or the user's cache of this program."""
    import pooch

    return Path(os.environ.get("CDNBENCH_CACHE") or pooch.os_cache("cdnbench"))


def embedded_lines(simulation: Simulation) -> list[PreparedLine]:
    """The prepared lines. Missing ones are simulated and prepared first, which takes seconds per
    line."""
    folder = _folder(simulation)
    paths = [folder / f"{name}{SUFFIX}" for name in simulation.lines]
    if all(path.exists() for path in paths):
        return [PreparedLine.open(path) for path in paths]
    with _locked(folder):
        return [simulated_line(simulation, name, folder) for name in simulation.lines]


def embedded_knowledge(simulation: Simulation, error: str) -> dict[str, Path]:
    """Kind -> file of knowledge about the simulated genes, of which a share `error` is wrong."""
    folder = _folder(simulation) / f"knowledge-{KNOWLEDGE_VERSION}-{error}"
    with _locked(folder):
        return write_knowledge(simulation, float(error), folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time makes what is missing; the others wait."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _folder(simulation: Simulation) -> Path:
    identity = digest(FORMAT, simulation.hash, PREPARATION.digest_of())
    return cache_folder() / f"simulated-{simulation.kind}-{identity[:16]}"


def simulated_line(simulation: Simulation, name: str, folder: Path) -> PreparedLine:
    """A line of the simulation, simulated and prepared in `folder` unless it is there already."""
    from cdnbench.datasets.cells.screens.prepare import prepare
    from cdnbench.datasets.cells.screens.raw import open_raw

    path = folder / f"{name}{SUFFIX}"
    if path.exists():
        return PreparedLine.open(path)
    raw = folder / f"{name}.h5ad"
    if not raw.exists():
        write_raw(simulation, name, raw)
    made = prepare(open_raw(raw), name, folder, PREPARATION, simulated=True)
    raw.unlink(missing_ok=True)
    return made
