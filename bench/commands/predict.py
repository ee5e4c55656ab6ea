"""`bench predict`: ranked lists of targets for samples of one's own."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdnbench.errors import InvalidParameter
from cdnbench.fields import LARGEST

if TYPE_CHECKING:
    from cdnbench.prediction.result import Result

_ONE, _TWO = "One file with many perturbations", "Two files"
_TOP_OF_PAIR, _TOP_OF_SCREEN = 20, 3


def predict(
    context: typer.Context,
    first: Annotated[
        Path,
        typer.Argument(
            metavar="SCREEN|CONTROL",
            help="SCREEN: one file with all rows and --perturbation: .h5ad, 10x (folder or .h5), "
            ".mtx, .csv, .tsv, .txt or .parquet. CONTROL: samples without the intervention, and "
            "the second file has those after it: .csv, .tsv, .txt, .parquet, .npz or .h5ad.",
        ),
    ],
    perturbed: Annotated[
        Path | None,
        typer.Argument(help="Samples after the intervention, with the same variables."),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="auto chooses by the numbers of rows and the kind of values, and says why. Or a "
            "name, name:parameter=value, or several: a,b; see `bench list methods`."
        ),
    ] = "auto",
    fdr: Annotated[
        float,
        typer.Option(
            help="Share of wrong claims that verdicts may hold, over all perturbations of the file."
        ),
    ] = 0.1,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many variables to print. Default: 20 for two files, else 3 per perturbation.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST, help="Seed of all random draws.")] = 0,
    csv: Annotated[Path | None, typer.Option(help="Write the whole ranking to this file.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="The same as .parquet file.")] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="Write a page with tables and pictures, which needs no network."),
    ] = None,
    as_is: Annotated[
        bool,
        typer.Option(
            "--as-is",
            help="Use the values as they are, and go on where the two sides hold the same samples "
            "or different kinds of values.",
        ),
    ] = False,
    perturbation: Annotated[
        str,
        typer.Option(help="Column that names what was done to each row.", rich_help_panel=_ONE),
    ] = "",
    control: Annotated[
        str,
        typer.Option(
            help="Value of this column in controls. Several are separated by commas, and patterns "
            "match many: 'NegCtrl,non-targeting*'. By default non-targeting.",
            rich_help_panel=_ONE,
        ),
    ] = "",
    group: Annotated[
        str,
        typer.Option(
            help="Column with the cell line or batch; each perturbation is compared with the "
            "controls of its own.",
            rich_help_panel=_ONE,
        ),
    ] = "",
    where: Annotated[
        str,
        typer.Option(
            help="Condition on columns that a row must fulfil, e.g. 'guide_frac > 0.5'.",
            rich_help_panel=_ONE,
        ),
    ] = "",
    total: Annotated[
        str,
        typer.Option(
            help="Column with the total count of each row. It is needed where the file holds only "
            "some of the genes.",
            rich_help_panel=_ONE,
        ),
    ] = "",
    layer: Annotated[
        str,
        typer.Option(
            help="Layer of the .h5ad to use, or raw. Without it, X.", rich_help_panel=_ONE
        ),
    ] = "",
    genes: Annotated[
        str,
        typer.Option(
            help="Column of var that names the genes. Without it, the index of var.",
            rich_help_panel=_ONE,
        ),
    ] = "",
    cells: Annotated[
        Path | None,
        typer.Option(
            help=".csv with one row per barcode or sample, which says what was done to it: for 10x "
            "files, .mtx, and tables whose rows (or columns, with --transpose) have names.",
            rich_help_panel=_ONE,
        ),
    ] = None,
    drop_missing: Annotated[
        bool,
        typer.Option(
            "--drop-missing",
            help="Leave out the variables of a table that have missing values.",
            rich_help_panel=_ONE,
        ),
    ] = False,
    candidates: Annotated[
        int,
        typer.Option(
            help="Most variables per perturbation that a method gets: those that differ most. The "
            "others follow after them in the ranking.",
            rich_help_panel=_ONE,
        ),
    ] = 1000,
    max_controls: Annotated[
        int,
        typer.Option(
            help="Most controls of a group that a method gets, drawn at random.",
            rich_help_panel=_ONE,
        ),
    ] = 2000,
    jobs: Annotated[
        int,
        typer.Option(
            min=0,
            max=10_000,
            help="How many perturbations run at once. 0 means one per usable core.",
            rich_help_panel=_ONE,
        ),
    ] = 0,
    timeout: Annotated[
        float | None,
        typer.Option(
            help="Seconds per perturbation. The default is the method's own estimate.",
            rich_help_panel=_ONE,
        ),
    ] = None,
    memory_gb: Annotated[
        float, typer.Option(help="GB per perturbation.", rich_help_panel=_ONE)
    ] = 8.0,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps results, so that the same command goes on after an "
            "interruption. Without it, one in the user's cache.",
            rich_help_panel=_ONE,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write a copy of the .h5ad with the result in uns['cdnbench'] and in obs.",
            rich_help_panel=_ONE,
        ),
    ] = None,
    transpose: Annotated[
        bool,
        typer.Option(
            "--transpose",
            help="Variables are in rows, samples in columns. One file then needs --cells.",
        ),
    ] = False,
    not_variables: Annotated[
        str,
        typer.Option(
            help="Columns of numbers that describe the samples and are no variables, such as "
            "'dose,batch'."
        ),
    ] = "",
    intersect: Annotated[
        bool,
        typer.Option(
            "--intersect",
            help="Compare the variables that both files have.",
            rich_help_panel=_TWO,
        ),
    ] = False,
) -> None:
    """Rank the variables by how likely an intervention targeted them.

    One file with a column of labels gives one ranking per perturbation, each against the controls.
    Two files give one ranking. Counts are normalised to log(1 + counts per ten thousand); other
    values are used as they are. Two sides that were not normalised alike are refused.
    Notes say how the samples were read, which method was chosen and why, and give reasons to
    distrust a ranking. For each perturbation, q says whether anything moved, and the verdict names
    the targets where the method has probabilities. Scores rank the variables of one perturbation.

    Examples:

        bench predict screen.h5ad --perturbation gene --control non-targeting --csv rankings.csv

        bench predict thp1.h5ad --perturbation perturbation --control non-targeting --total
        total_umis --where 'guide_frac > 0.5' --method cdn,target-shift

        bench predict filtered_feature_bc_matrix --cells guides.csv --perturbation guide --control
        'NT_*' --group batch

        bench predict proteins.csv --perturbation drug --control DMSO --as-is

        bench predict counts.tsv --transpose --cells samples.csv --perturbation condition --control
        untreated

        bench predict control.csv treated.csv

        bench predict genes_by_sample.tsv treated.tsv --transpose --intersect
    """
    from cdnbench.commands.options import check_no_input, check_writable

    inputs = [path for path in (first, perturbed, cells) if path]
    outputs = {
        f"--{option}": path
        for option, path in (("csv", csv), ("parquet", parquet), ("html", html), ("out", out))
        if path
    }
    taken: dict[Path, str] = {}
    for option, path in outputs.items():
        check_no_input(path, option, _files(inputs))
        check_writable(path)
        if other := taken.get(path.resolve()):
            raise InvalidParameter(f"{other} and {option} name the same file. Name two.")
        taken[path.resolve()] = option
    if out and perturbed is None and (first.suffix != ".h5ad" or out.suffix != ".h5ad"):
        raise InvalidParameter(
            f"--out writes a copy of an .h5ad, and this is {first.name} to {out.name}. --csv, "
            "--parquet and --html write the result of any file."
        )
    given = context.params
    if not 0 < fdr < 1:
        raise InvalidParameter(f"--fdr is a number between 0 and 1; got {fdr!r}.")
    if perturbed is None:
        _check_form(context, _ONE, _TWO)
        if not perturbation:
            raise InvalidParameter(
                "One file needs the column that says what was done to each row: --perturbation "
                "COLUMN --control NAME. Without labels, give two files: controls and perturbed."
            )
        result = _screen(first, given)
    else:
        _check_form(context, _TWO, _ONE)
        result = _pair(first, perturbed, given)
    _write(result, csv, parquet)
    if html:
        result.write_html(html)
        print(f"Wrote a page to {html}.")
    if out:
        result.write_h5ad(first, out)
        print(f"Wrote a copy of {first} with the result to {out}.")
    if failed := [f for f in result.findings if f.failed and not f.note.startswith("skipped")]:
        print(f"{len(failed)} of {len(result.findings)} failed; see above.", file=sys.stderr)
        raise typer.Exit(1)


def _files(inputs: list[Path]) -> list[Path]:
    """The files that are read; in a folder, those directly in it."""
    parts = [p for path in inputs if path.is_dir() for p in path.iterdir()]
    beside = [p for path in inputs if ".mtx" in path.suffixes for p in path.parent.iterdir()]
    return [*inputs, *parts, *beside]


def _check_form(context: typer.Context, form: str, other: str) -> None:
    """Check that no option of the other form was given."""
    for option in context.command.params:
        panel = getattr(option, "rich_help_panel", None)
        name = str(option.name)
        source = context.get_parameter_source(name)
        if panel == other and source is not None and source.name == "COMMANDLINE":
            raise InvalidParameter(
                f"{option.opts[0]} only applies to {other[0].lower()}{other[1:]}, and this is "
                f"{'one file' if form == _ONE else 'two files'}. Leave it out."
            )


def _pair(control: Path, perturbed: Path, given: dict[str, Any]) -> Result:
    from cdnbench.pairs import read_pair
    from cdnbench.prediction.methods import chosen_methods, is_auto
    from cdnbench.prediction.pair import predict_pair
    from cdnbench.prediction.text import ranking_lines

    if not is_auto(given["method"]):
        chosen_methods(given["method"])  # a wrong name is said before the files are read
    options = {name: given[name] for name in ("transpose", "intersect", "as_is", "not_variables")}
    pair = read_pair(control, perturbed, **options)
    result = predict_pair(pair, given["method"], given["seed"], given["fdr"])
    for note in result.notes:
        print(f"Note: {note}")
    for finding in result.findings:
        for line in ranking_lines(finding, given["top"] or _TOP_OF_PAIR):
            print(line)
    return result


def _screen(path: Path, given: dict[str, Any]) -> Result:
    from cdnbench.commands.data import reading_progress
    from cdnbench.commands.progress import progress
    from cdnbench.commands.screen import predict_screen
    from cdnbench.prediction.options import Reading
    from cdnbench.prediction.text import table_lines

    names = set(Reading.__dataclass_fields__) & set(given)
    options = {name: given[name] for name in names}
    options["control"] = given["control"] or "non-targeting"
    reading = Reading(**options)
    with contextlib.ExitStack() as stack:
        showing = stack.enter_context(reading_progress("rows", sys.stderr))
        result = predict_screen(
            path,
            reading,
            given["method"],
            **{name: given[name] for name in ("fdr", "jobs", "timeout", "memory_gb", "work")},
            progress=showing,
            show=lambda total, folder: progress(total, folder, sys.stderr),
        )
    for note in result.notes:
        print(f"Note: {note}")
    for line in table_lines(result, given["top"] or _TOP_OF_SCREEN):
        print(line)
    return result


def _write(result: Result, csv: Path | None, parquet: Path | None) -> None:
    what = "the whole ranking" if len(result.findings) == 1 else "all rankings"
    if csv:
        result.write_csv(csv)
        print(f"Wrote {what} to {csv}.")
    if parquet:
        result.write_parquet(parquet)
        print(f"Wrote {what} to {parquet}.")
