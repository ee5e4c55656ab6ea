"""`bench merge`: results of several machines in one folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cdnbench.commands.options import counted


def merge(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR... OUT",
            help="Folders of results of one suite, and at last the folder to put them together in.",
        ),
    ],
) -> None:
    """Put results of one suite together that several machines have made.

    OUT may hold results already, and may be merged into again as more comes in. Where two folders
    have the same job, a finished one counts more than one that failed for want of something on its
    machine, and otherwise the later one. The exit code is 1 if something could not be added.

    Examples:

        bench merge part-1 part-2 results/synthetic
    """
    from cdnbench.archive import Archive
    from cdnbench.errors import BenchError, InvalidParameter
    from cdnbench.merging import merge as put_together
    from cdnbench.store import Store

    *parts, out = folders
    if not parts:
        raise InvalidParameter("bench merge takes the folders to merge and, at last, another one.")
    for part in parts:
        if not Store.is_at(part) and Archive.is_at(part):
            raise BenchError(
                f"{part} holds compacted results, which are not merged. `bench report` reads them "
                "as they are, also beside other folders in one; `bench compact` adds a folder of "
                "results to them."
            )
        if not Store.is_at(part):
            raise BenchError(f"{part} is not a folder of results; it has no jobs in it.")
        if part.resolve() == out.resolve():
            raise InvalidParameter(f"{part} is to be merged into itself. Name another OUT.")
    into = Store(out)
    merged = put_together([Store(part) for part in parts], into)
    for note in [*into.moved, *merged.notes]:
        print(f"note: {note}", file=sys.stderr)
    jobs, fits = counted(merged.jobs, "job"), counted(merged.fits, "fit")
    print(f"{out}: added {jobs} and {fits}")
    if merged.left_out:
        print(f"{merged.left_out} could not be added; see the notes.", file=sys.stderr)
        sys.exit(1)
