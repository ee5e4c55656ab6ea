"""`bench logs`: how jobs failed, with the end of what they printed."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from cdnbench.errors import BenchError, UnknownName


def logs(
    method: Annotated[str, typer.Argument(help="Name of a method; without it, every method.")] = "",
    folder: Annotated[
        Path, typer.Option("--in", help="A folder of results, or a folder of such folders.")
    ] = Path("results"),
    lines: Annotated[int, typer.Option(min=1, help="Lines of each log.")] = 12,
) -> None:
    """Show the end of the log of failed jobs, once for all jobs that ended in the same way.

    Examples:

        bench logs dci

        bench logs --in results/sachs --lines 40
    """
    from cdnbench.archive import find_stores
    from cdnbench.registry import resolve_method
    from cdnbench.reports.logs import endings

    stores = list(find_stores(folder))
    known = {record.method for store in stores for record in store.records()}
    if (asked := method) and method not in known:
        with contextlib.suppress(UnknownName):  # `dci-graph` is a reading of the jobs of `dci`
            method = resolve_method(asked)[0]
        if method not in known:
            raise BenchError(
                f"There is no result of {asked!r} in {folder}. There are results of "
                f"{', '.join(sorted(known))}."
            )
    found = endings(stores, method, lines)
    if not found:
        print("No job failed.")
    for i, ending in enumerate(found):
        if i:
            print()
        print(ending)
