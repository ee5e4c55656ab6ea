"""The embedded default of the cell suites: simulated lines, made and prepared once in the user's
cache."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path

from cdnbench.datasets.cells.locking import locked
from cdnbench.datasets.cells.prepared import FORMAT, SUFFIX, PreparedLine
from cdnbench.datasets.cells.screens.options import Preparation
from cdnbench.datasets.cells.simulated.knowledge import KINDS, write_knowledge
from cdnbench.datasets.cells.simulated.knowledge import VERSION as KNOWLEDGE_VERSION
from cdnbench.datasets.cells.simulated.simulate import Simulation, write_raw
from cdnbench.digest import digest
from cdnbench.errors import InvalidData
from cdnbench.temporary import can_write, temporary_folder

PREPARATION = Preparation(target="target", clusters=40)


def cache_folder() -> Path:
    """The folder named by `CDNBENCH_CACHE`, or the user's cache of this program."""
    import pooch

    return Path(os.environ.get("CDNBENCH_CACHE") or pooch.os_cache("cdnbench"))


def embedded_lines(simulation: Simulation) -> list[PreparedLine]:
    """The prepared lines. Those that are missing or damaged are simulated and prepared first, which
    takes seconds per line."""
    files = [f"{name}{SUFFIX}" for name in simulation.lines]
    folder = _place(_folder(simulation), files, lambda path: _whole(path) is not None)
    lines = [line for file in files if (line := _whole(folder / file))]
    if len(lines) == len(files):
        return lines
    with locked(folder / ".lock"):
        return [simulated_line(simulation, name, folder) for name in simulation.lines]


def embedded_knowledge(simulation: Simulation, error: str) -> dict[str, Path]:
    """Kind -> file of knowledge about the simulated genes, of which a share `error` is wrong."""
    files = [f"{kind}.tsv" for kind in KINDS]
    folder = _place(f"{_folder(simulation)}/knowledge-{KNOWLEDGE_VERSION}-{error}", files)
    if all((folder / file).exists() for file in files):
        return write_knowledge(simulation, float(error), folder)
    with locked(folder / ".lock"):
        return write_knowledge(simulation, float(error), folder)


def _folder(simulation: Simulation) -> str:
    from cdnbench.datasets.cells.screens.prepare import READING

    identity = digest(FORMAT, READING, simulation.hash, PREPARATION.digest_of())
    return f"simulated-{simulation.kind}-{identity[:16]}"


def _whole(path: Path) -> PreparedLine | None:
    """The line in a file of the cache; None where there is none, or it is damaged.

    Nobody made it by hand, so it is made again instead of being reported.
    """
    with contextlib.suppress(InvalidData):
        return PreparedLine.open(path)
    return None


def _place(folder: str, files: list[str], there: Callable[[Path], bool] = Path.exists) -> Path:
    """Where the files of a folder are kept: in the cache, or in the temporary folder where they are
    not in the cache and it cannot be written.

    there: whether a file is, and can be used.
    """
    wanted = cache_folder() / folder
    if all(there(wanted / file) for file in files):
        return wanted
    without_home = wanted.parts[0] == "~"
    if not without_home and can_write(wanted):
        return wanted
    place = temporary_folder() / folder
    if not all(there(place / file) for file in files):
        warnings.warn(
            f"The cache {cache_folder()} cannot be written; simulated lines are kept in "
            f"{temporary_folder()}. Set CDNBENCH_CACHE to a folder that can be written.",
            stacklevel=3,
        )
    return place


def simulated_line(simulation: Simulation, name: str, folder: Path) -> PreparedLine:
    """A line of the simulation, simulated and prepared in `folder` unless it is there already and
    whole."""
    from cdnbench.datasets.cells.screens.prepare import prepare
    from cdnbench.datasets.cells.screens.raw import open_raw

    path = folder / f"{name}{SUFFIX}"
    if line := _whole(path):
        return line
    raw = folder / f"{name}.h5ad"
    if not raw.exists():
        write_raw(simulation, name, raw)
    made = prepare(open_raw(raw), name, folder, PREPARATION, simulated=True)
    raw.unlink(missing_ok=True)
    return made
