"""`bench predict`: a ranked list of targets for samples of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cdnbench.errors import CannotRun, InvalidParameter

DEFAULT_METHOD = "cdn"
ANYWHERE = "target-shift"


def predict(
    control: Annotated[
        Path,
        typer.Argument(
            help="Samples without the intervention: .csv, .tsv, .txt, .parquet, .npz or .h5ad."
        ),
    ],
    perturbed: Annotated[
        Path, typer.Argument(help="Samples after the intervention, with the same variables.")
    ],
    method: Annotated[
        str, typer.Option(help="name or name:parameter=value; see `bench list methods`.")
    ] = DEFAULT_METHOD,
    top: Annotated[int, typer.Option(min=1, help="How many variables to print.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Seed of a stochastic method.")] = 0,
    csv: Annotated[Path | None, typer.Option(help="Write the whole ranking to this file.")] = None,
    transpose: Annotated[
        bool, typer.Option("--transpose", help="The files have variables in rows.")
    ] = False,
    intersect: Annotated[
        bool, typer.Option("--intersect", help="Compare the variables that both files have.")
    ] = False,
    as_is: Annotated[
        bool,
        typer.Option(
            "--as-is",
            help="Go on where the files hold the same samples or names of rows, or different kinds "
            "of values.",
        ),
    ] = False,
) -> None:
    """Rank the variables by how likely the intervention targeted them.

    Rows are samples, columns are variables, unless --transpose is given. Values are used as they
    are: normalise counts before (e.g. log1p of counts per ten thousand), on both sides alike. Notes
    before the ranking say what was read as something other than a variable, and what speaks against
    trusting the ranking. Scores rank the variables of one prediction; they are not probabilities.

    Examples:

        bench predict control.csv treated.csv

        bench predict control.h5ad treated.h5ad --method target-shift --top 50 --csv ranking.csv

        bench predict genes_by_sample.tsv treated.tsv --transpose --intersect
    """
    from cdnbench.commands.options import check_no_input, check_writable
    from cdnbench.pairs import read_pair
    from cdnbench.ranking import rank_variables
    from cdnbench.registry import load_method, parse_methods

    if csv:
        check_no_input(csv, "--csv", (control, perturbed))
        check_writable(csv)
    chosen = parse_methods(method)
    if len(chosen) != 1:
        raise InvalidParameter(f"--method takes one method; got {method!r}.")
    name, parameters = chosen[0]
    loaded = load_method(name, **parameters)
    pair = read_pair(control, perturbed, transpose=transpose, intersect=intersect, as_is=as_is)
    task = pair.task
    try:
        ranking = rank_variables(task, loaded, seed)
    except CannotRun as why:
        hint = "" if name == ANYWHERE else f" --method {ANYWHERE} runs on any samples."
        raise CannotRun(f"{loaded.label} cannot run on these samples: {why}.{hint}") from why
    for note in pair.notes:
        print(f"Note: {note}")
    print(
        f"{loaded.label}: {task.n_variables} variables, {len(task.observational)} control and "
        f"{len(task.regimes[0])} perturbed samples"
    )
    width = max(len(variable) for _, variable, _ in ranking[:top])
    print(f"rank  {'variable':<{width}}  score")
    for rank, variable, score in ranking[:top]:
        print(f"{rank:>4g}  {variable:<{width}}  {score:.4g}")
    unscored = sum(score != score for _, _, score in ranking)
    if unscored:
        print(f"{unscored} variables could not be scored; they stand last.")
    if csv:
        lines = [
            "rank,variable,score",
            *(f"{rank:g},{_quoted(variable)},{score!r}" for rank, variable, score in ranking),
        ]
        csv.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"Wrote the whole ranking to {csv}.")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\n') else text
