"""`bench report`: leaderboards, tables and pages from stored results."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cdnbench.commands.options import check_writable
from cdnbench.errors import did_you_mean
from cdnbench.reports.names import LEADERBOARD, TABLES

STANDARD_OUTPUT = "-"


def report(
    folder: Annotated[
        Path, typer.Argument(help="A folder of results, or a folder of such folders.")
    ] = Path("results"),
    table: Annotated[
        str, typer.Option(help="Which table; `bench list tables` shows them.")
    ] = LEADERBOARD,
    latex: Annotated[
        str | None,
        typer.Option(
            metavar="[FILE]",
            help="Write the table as LaTeX (booktabs); without a value to standard output.",
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the whole report as one page.")] = None,
    csv: Annotated[
        Path | None,
        typer.Option(
            help="Write the numbers: of the leaderboard one row a method, task, regime and metric."
        ),
    ] = None,
) -> None:
    """Show stored results as tables; nothing is run, and neither suites nor data are needed.

    Examples:

        bench report

        bench report results/synthetic --table table11 --latex table11.tex

        bench report --latex --table comparisons

        bench report results/sachs --table jobs --csv jobs.csv
    """
    if table not in TABLES:
        raise did_you_mean("table", table, TABLES)
    targets = [
        Path(target)
        for target in (latex, html, csv)
        if target is not None and str(target) != STANDARD_OUTPUT
    ]
    for target in targets:  # before the work starts
        check_writable(target)

    from cdnbench.reports import build

    made = build(folder)
    for note in made.notes:
        print(f"note: {note}", file=sys.stderr)
    if latex == STANDARD_OUTPUT:
        print(made.to_latex(table))
    elif latex is not None:
        Path(latex).write_text(made.to_latex(table))
    if html is not None:
        html.write_text(made.to_html())
    if csv is not None:
        made.to_csv(csv, table)
    if not (targets or latex):
        from rich.console import Console

        made.show(Console(), table)
    for target in targets:
        print(f"Wrote {target}.", file=sys.stderr)


def latex_to_standard_output(arguments: Sequence[str]) -> list[str]:
    """A bare `--latex` with `-` as its value, which the option parser cannot leave out."""
    following = [*arguments[1:], "--"]
    return [
        f"--latex={STANDARD_OUTPUT}" if word == "--latex" and after.startswith("--") else word
        for word, after in zip(arguments, following, strict=False)
    ]
