"""The folder of real data that cannot be shipped: what it holds, where each file comes from, and
what to do when one is missing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cdnbench.errors import BenchError

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
