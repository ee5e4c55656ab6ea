"""`bench compare`: two stores, methods, versions or settings side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cdnbench.commands.options import check_writable


def compare(
    a: Annotated[
        str, typer.Argument(help="A folder of results, or METHOD[@VERSION][:NAME=VALUE].")
    ],
    b: Annotated[str, typer.Argument(help="What A is compared with, the same way.")],
    folder: Annotated[Path, typer.Option("--in", help="Where the results of methods lie.")] = Path(
        "results"
    ),
    metric: Annotated[
        str, typer.Option(help="What is compared; `bench report --csv` names the metrics.")
    ] = "average_precision_tie",
    csv: Annotated[Path | None, typer.Option(help="Write the numbers.")] = None,
) -> None:
    """Compare two sides on the tasks that both finished: means, paired difference, interval, p.

    Two folders are compared method by method, which shows what a change of code did.

    Examples:

        bench compare results/before results/after

        bench compare cdn target-shift --in results/synthetic

        bench compare dci@1 dci@2

        bench compare 'dci:max_set_size=1' 'dci:max_set_size=2' --metric rank
    """
    from rich.console import Console

    from cdnbench.reports.report import write_csv
    from cdnbench.reports.show import terminal
    from cdnbench.reports.versus import Side, versus

    if csv is not None:
        check_writable(csv)
    table = versus(Side.of(a, folder), Side.of(b, folder), metric)
    terminal.show(table, Console())
    if csv is not None:
        write_csv(table.frame, csv)
