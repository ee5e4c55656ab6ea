"""`bench report`: leaderboards, tables, figures and pages from stored results."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cdnbench.commands.options import check_writable
from cdnbench.errors import InvalidParameter, did_you_mean
from cdnbench.files import output
from cdnbench.reports.figures import FIGURES, FORMATS
from cdnbench.reports.tables import COMPARISONS, LEADERBOARD, TABLES

STANDARD_OUTPUT = "-"
EVERY = "all"


def report(
    folder: Annotated[
        Path, typer.Argument(help="A folder of results, or a folder of such folders.")
    ] = Path("results"),
    table: Annotated[
        str,
        typer.Option(
            help="Which table, or several, as in table2,table11; `bench list tables` shows them."
        ),
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
            help="Write the numbers behind the table. The leaderboard's have one row per method, "
            "task, regime and metric."
        ),
    ] = None,
    figure: Annotated[
        str | None,
        typer.Option(
            help="Write figures as PDF, SVG and PNG: one or several, as in dots,ranks; `bench list "
            "figures` shows them. `all` writes each that has something to show, and says what the "
            "others lack; one that is named and has nothing to show is an error."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder that --figure writes to (default figures).")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Only these columns of the table, by title, by the heading over them, or "
            "HEADING:TITLE. For the terminal and --latex.",
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Only these methods, readings or rows of tables, with their printed values. Ranks "
            "and comparisons are computed among these alone.",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="What the table comparisons compares with: methods or readings in place of the "
            "best method and target-shift.",
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(help="The formats of figures: pdf, svg, png, or several, as in pdf,png."),
    ] = None,
    width: Annotated[
        str | None,
        typer.Option(help="The width of figures in columns of a page: one or two (default two)."),
    ] = None,
    highlight: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD", help="The method that stands out in figures; the others are paler."
        ),
    ] = None,
    subset: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Which tasks count: all, trivial, nontrivial, or another yes/no column of the "
            "tasks, with `non` before its name for those where the answer is no.",
        ),
    ] = EVERY,
) -> None:
    """Show stored results as tables and figures. Nothing is run, and neither suites nor data are
    needed.

    Examples:

        bench report

        bench report results/synthetic --table table11 --latex table11.tex

        bench report --latex --table comparisons

        bench report --table comparisons --against dci

        bench report --table leaderboard --methods cdn,target-shift --columns mAP,R@1 --latex

        bench report results/sachs --table jobs --csv jobs.csv

        bench report results/synthetic --figure dots --out figures

        bench report --figure all --width one --format pdf --highlight my-method

        bench report --table table2,table11 --latex paper.tex --figure figure5,figure9
    """
    tables = names_in(table) or [table]
    drawn = list(dict.fromkeys(names_in(figure))) or [figure or ""]
    every = EVERY in drawn
    for name in tables:
        TABLES.check(name)
    if figure is not None and not every:
        for name in drawn:
            FIGURES.check(name)
    if csv is not None and len(tables) > 1:
        raise InvalidParameter(f"--csv takes one table; --table names {len(tables)}.")
    if against is not None and COMPARISONS not in tables:
        raise InvalidParameter(f"--against only applies together with --table {COMPARISONS}.")
    given = {"--out": out, "--format": format, "--width": width, "--highlight": highlight}
    for name, value in given.items():
        if value is not None and figure is None:
            raise InvalidParameter(f"{name} only applies together with --figure.")
    formats = _formats(format)
    if width not in (None, "one", "two"):
        raise InvalidParameter(f"--width is one or two columns; got {width!r}.")
    targets = [
        Path(target)
        for target in (latex, html, csv)
        if target is not None and str(target) != STANDARD_OUTPUT
    ]
    if twice := [
        target
        for i, target in enumerate(targets)
        if target.resolve() in {other.resolve() for other in targets[:i]}
    ]:
        raise InvalidParameter(f"{twice[0]} is named for two outputs. Name two files.")
    for target in targets:  # before the work starts
        check_writable(target)

    from threadpoolctl import threadpool_limits

    from cdnbench.reports import build

    with threadpool_limits(1):  # resampling waits for memory: more threads only burn time
        made = build(folder, subset=subset, methods=names_in(methods), against=names_in(against))
        wanted = names_in(columns)
        for note in made.notes:
            print(f"note: {note}", file=sys.stderr)
        if latex is not None:
            text = "\n".join(made.to_latex(name, wanted) for name in tables)
            if latex == STANDARD_OUTPUT:
                print(text)
            else:
                _write(Path(latex), text)
        if html is not None:
            _write(html, made.to_html())
        if csv is not None:
            made.to_csv(csv, tables[0])
        missing: list[str] = []
        if figure is not None:
            from cdnbench.reports.drawing.look import Look

            look, folder = Look(width or "two", highlight or ""), out or Path("figures")
            if len(drawn) == 1 and not every:
                targets += made.figure(drawn[0], folder, look, formats)
            else:
                names = FIGURES.names if every else drawn
                written, missing = made.figures(folder, look, formats, names)
                targets += written
                for line in missing:
                    print(f"note: {line}", file=sys.stderr)
        if not (targets or latex):
            from rich.console import Console

            for name in tables:
                made.show(Console(), name, wanted)
        for target in targets:
            print(f"Wrote {target}.", file=sys.stderr)
        if missing and not every:
            sys.exit(1)


def _write(path: Path, text: str) -> None:
    with output(path) as file:
        file.write(text.encode())


def names_in(text: str | None) -> list[str]:
    """`a, b[x=1, y=2]` -> [a, b[x=1, y=2]]: commas inside brackets belong to a name."""
    names, depth = [""], 0
    for character in text or "":
        depth = max(0, depth + (character in "[(") - (character in "])"))
        if character == "," and depth == 0:
            names.append("")
        else:
            names[-1] += character
    return [name.strip() for name in names if name.strip()]


def _formats(text: str | None) -> tuple[str, ...]:
    """The formats that --format names, in its order."""
    if text is None:
        return FORMATS
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",")))
    for name in names:
        if name not in FORMATS:
            raise did_you_mean("format", name, FORMATS)
    return names


def latex_to_standard_output(arguments: Sequence[str]) -> list[str]:
    """A bare `--latex` with `-` as its value, which the option parser cannot leave out."""
    following = [*arguments[1:], "--"]
    return [
        f"--latex={STANDARD_OUTPUT}" if word == "--latex" and after.startswith("--") else word
        for word, after in zip(arguments, following, strict=False)
    ]
