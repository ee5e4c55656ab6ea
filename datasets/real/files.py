"""The folder of real data that cannot be shipped: what it holds, where each file comes from, and
what to do when one is missing."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np

from cdnbench.errors import BenchError, InvalidData

P = ParamSpec("P")
Found = TypeVar("Found")

VARIABLE = "CDNBENCH_DATA"
"""Environment variable that names the folder."""


@dataclass(frozen=True)
class DataFile:
    """path: inside the folder. source: what it is made from, and how. licence: its terms."""

    path: str
    source: str
    licence: str

    def find(self, folder: Path | None, data_set: str) -> Path:
        """Where the file lies.

        Raises
        ------
        BenchError: no folder is named, or the file is not in it; the message says how to place it.
        """
        if folder is not None and (folder / self.path).is_file():
            return folder / self.path
        where = (
            f"{folder / self.path}, which is not there"
            if folder is not None
            else f"the file {self.path}, and no data folder is named"
        )
        raise BenchError(
            f"The data set {data_set} needs {where}. Source: {self.source} Licence: {self.licence} "
            f"Place it in a folder as {self.path}, and name the folder with --data FOLDER or the "
            f"environment variable {VARIABLE}."
        )


def data_folder(option: str) -> Path | None:
    """The folder that `--data` names, or else the environment; None where neither does.

    Raises
    ------
    BenchError: it is no folder.
    """
    name = option or os.environ.get(VARIABLE, "")
    if not name:
        return None
    folder = Path(name).expanduser().resolve()
    if not folder.is_dir():
        said = "--data" if option else f"the environment variable {VARIABLE}"
        raise BenchError(f"{said} names {folder}, which is no folder.")
    return folder


def written(path: Path) -> tuple[int, int]:
    """When a file was written, in ns, and its size: what is kept of its content in memory is only
    as good as these. Zeros where there is none."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def refusing(read: Callable[P, Found]) -> Callable[P, Found]:
    """A reader of files that turns whatever goes wrong in a damaged file into `InvalidData`."""

    @functools.wraps(read)
    def careful(*arguments: P.args, **named: P.kwargs) -> Found:
        try:
            found = read(*arguments, **named)
            _check_finite(found)
            return found
        except (BenchError, MemoryError):
            raise
        except Exception as error:  # pandas, h5py and zlib raise all kinds for a damaged file
            paths = " and ".join(str(a) for a in arguments if isinstance(a, Path))
            raise InvalidData(
                f"{paths} cannot be read; it is damaged or of another kind. Place the published "
                f"file there again. ({type(error).__name__}: {error})"
            ) from error

    return careful


def _check_finite(found: object) -> None:
    """ValueError where a case holds values that are missing or not finite."""
    for case in found if isinstance(found, list) else ():
        for values in (case.observational, case.perturbed):
            if not np.isfinite(values).all():
                raise ValueError(f"{case.unit}: values are missing or not finite")
