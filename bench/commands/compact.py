"""`bench compact`: results in a form worth committing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer


def compact(
    folder: Annotated[
        Path, typer.Argument(help="A folder of results of one suite, e.g. results/synthetic.")
    ],
    into: Annotated[
        Path, typer.Argument(help="Where to write <suite>-<protocol>/<method>.parquet.")
    ],
    drop_superseded: Annotated[
        bool,
        typer.Option(
            "--drop-superseded",
            help="Leave out what reports no longer use, because there is a newer result of the "
            "same method on the same task. What was there before is removed too.",
        ),
    ] = False,
) -> None:
    """Write results as a few small Parquet files, which `bench report` reads like the folder
    itself.

    Examples:

        bench compact results/synthetic docs/results/store
    """
    from cdnbench.compaction import compact as write
    from cdnbench.errors import BenchError
    from cdnbench.store import Store

    store = Store(folder)
    if not Store.is_at(folder):
        raise BenchError(f"{folder} is not a folder of results; it has no jobs in it.")
    made = write(store, into)
    for note in made.notes:
        print(f"note: {note}", file=sys.stderr)
    if drop_superseded:
        _drop_superseded(made.folders)
    for archive in made.folders:
        size = sum(path.stat().st_size for path in archive.glob("*.parquet"))
        print(f"{archive}: {size / 1e6:.1f} MB")


def _drop_superseded(folders: Sequence[Path]) -> None:
    from cdnbench.archive import Archive
    from cdnbench.compaction import drop
    from cdnbench.reports.read import load, replaced

    for folder in folders:
        old, others = replaced(load([Archive(folder)]))
        if old:
            print(f"{folder}: {drop(folder, old)} superseded results are left out")
        if others:
            print(
                f"note: {folder}: {others} results on an older version of the data stay. Reports "
                "do not count them, and nothing newer of their methods is there in their place.",
                file=sys.stderr,
            )
