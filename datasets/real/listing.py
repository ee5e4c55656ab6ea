"""What `bench list datasets` says of real data sets and public screens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cdnbench.datasets.cells.screens.catalogue import SCREENS
from cdnbench.datasets.real.files import data_folder
from cdnbench.datasets.real.suites import NAMES, SACHS, reader_of


def datasets(folder: Path | None = None) -> Iterator[tuple[str, str]]:
    """(name, what it is, where it is and under which terms) of every data set.

    folder: of the files that cannot be shipped; the one that CDNBENCH_DATA names by default.
    """
    folder = folder or data_folder("")
    for name in NAMES:
        reader = reader_of(name)
        about = (reader.__doc__ or "").partition("\n\n")[0].replace("\n", " ").rstrip(".")
        yield name, f"{about}. Suite {name}. {'; '.join(_places(name, folder))}"
    for screen in SCREENS:
        yield (
            screen.name,
            f"{screen.title} ({screen.reference}). Licence: {screen.licence}. A screen for the "
            f"suite perturbseq: bench data fetch {screen.name}",
        )


def _places(name: str, folder: Path | None) -> Iterator[str]:
    files = () if name == SACHS else reader_of(name).FILES
    if not files:
        yield "comes with the installation" + (" (package cdt)" if name == SACHS else "")
    for file in files:
        there = folder is not None and (folder / file.path).is_file()
        state = f"found in {folder}" if there else f"to be placed as {file.path}"
        yield f"{state}; licence: {file.licence.rstrip('.')}"
