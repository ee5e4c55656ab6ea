"""`bench reproduce`: run what a table of the paper lacks, and show the table."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cdnbench.errors import BenchError, InvalidParameter, did_you_mean
from cdnbench.runners.recipes import OF_CELLS, RECIPES, TRAINED, Recipe, Scale

if TYPE_CHECKING:
    from cdnbench.runners.estimate import History
    from cdnbench.runners.run import Run

KEPT = Path("docs/results/store")
"""Where a checkout of this project keeps finished stores."""
_MINUTES = {Scale.small: (3.0, 2.0), Scale.full: (10.0, 5.0)}
"""Budgets of encoders and heads of Tables 7 and 8."""
OF_RUNS = {
    ("table7", Scale.small): "; on cells, where each variant is fine-tuned, some 6 minutes each",
    ("table7", Scale.full): "; on cells, where each variant is fine-tuned, over an hour each",
}
FIRST_ENCODER = {"table8": "sea"}
"""Weights that encoders of other statistics go on from. In Table 7 each encoder starts from
nothing, so that all have one budget."""
_SMALL_LIMIT = 24


def reproduce(
    table: Annotated[str, typer.Argument(help="table1 to table11; the paper's Table 3 is lost.")],
    scale: Annotated[
        Scale,
        typer.Option(help="small: some tasks and methods, in minutes. full: all of the table."),
    ] = Scale.small,
    out: Annotated[
        Path, typer.Option(help="Folder of the results; each suite has a folder below.")
    ] = Path("results"),
    records: Annotated[
        Path | None,
        typer.Option(
            help="Results whose times the estimate also rests on. The default is "
            f"{KEPT} where that exists."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of prepared screens for tables on cells; absent: simulated."),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=0, help="How many jobs run at once. 0 means one per usable core.")
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the runs and the estimate, and run nothing.")
    ] = False,
) -> None:
    """Run what a table of the paper lacks, and show it beside the printed values.

    Results that are there already are used as they are, and a run that was interrupted goes on
    where it was. An estimate of the time, from the records of earlier runs, comes first.

    Examples:

        bench reproduce table2

        bench reproduce table11 --scale full --dry-run
    """
    if table not in (*RECIPES, *TRAINED):
        raise did_you_mean("table of the paper", table, sorted((*RECIPES, *TRAINED)))
    if table in TRAINED:
        if data is not None:
            raise InvalidParameter(
                f"--data does not apply to {table}: its variants run on simulated data alone."
            )
        _trained(table, scale, out, dry_run)
        return
    recipes = RECIPES[table][scale]
    if data is not None:
        if not any(recipe.suite in OF_CELLS for recipe in recipes):
            raise InvalidParameter(f"--data is for tables on cells; {table} is on synthetic data.")
        recipes = tuple(_with_data(recipe, data) for recipe in recipes)
    print(f"{table}, scale {scale}: {len(recipes)} run{'s' if len(recipes) > 1 else ''}")
    history = _history(out, records)
    planned = [_plan(recipe, out, jobs, history) for recipe in recipes]
    if not dry_run:
        _run(planned, table)


def _with_data(recipe: Recipe, data: Path) -> Recipe:
    if recipe.suite not in OF_CELLS:
        return recipe
    return replace(recipe, options={**recipe.options, "data": str(data)})


def _history(out: Path, records: Path | None) -> History:
    """Times of the results that are there, and of those that `--records` names.

    Raises
    ------
    BenchError: the folder that was named holds no results.
    """
    from cdnbench.archive import find_stores
    from cdnbench.runners.estimate import History

    history = History()
    stores = find_stores(records) if records is not None else []
    for folder in (out, *([KEPT] if records is None else [])):
        try:
            stores += find_stores(folder)
        except BenchError:  # nothing was run yet
            continue
    for store in {store.folder.resolve(): store for store in stores}.values():
        history.add(store)
    return history


def _plan(recipe: Recipe, out: Path, jobs: int, history: History) -> Run:
    """Plan one run, and say what it will do and about how long that takes."""
    from cdnbench.runners.api import prepared
    from cdnbench.runners.plan import make_plan
    from cdnbench.runners.run import Mode

    plan = make_plan(recipe.suite, dict(recipe.options), recipe.methods, limit=recipe.limit)
    planned = prepared(plan, out / recipe.suite, jobs=jobs, mode=Mode(timing=recipe.timing))
    todo = planned.todo
    print(f"  {recipe.command}")
    done = f"{len(plan.jobs)} jobs, {len(plan.jobs) - len(todo)} of them done"
    if todo:
        estimate = history.estimate(recipe.suite, plan.suite.info.setting, todo)
        done += f"; {estimate.told(1 if recipe.timing else planned.jobs)}"
    print(f"    {done}", flush=True)
    return planned


def _run(planned: list[Run], table: str) -> None:
    """Run one after the other, show the table, and exit with code 1 if jobs failed."""
    from rich.console import Console

    from cdnbench.commands.run import execute, failure_summary
    from cdnbench.reports import build

    failed = []
    for run in planned:
        if run.todo:
            execute(run)
        lost = [record for record in run.records if record.failed]
        failed += lost
        for line in failure_summary(lost, run.store.folder):
            print(line)
    stores = {run.store.folder.resolve(): run.store for run in planned}
    build(list(stores.values())).show(Console(), table)
    if failed:
        print(f"Jobs that failed: {len(failed)}; `bench run --retry` runs them again.")
        sys.exit(1)


def _trained(table: str, scale: Scale, out: Path, dry_run: bool) -> None:
    """Tables 7 and 8: train the variants, run them, and show the table."""
    from cdnbench.commands.ablations import ablations
    from cdnbench.training.ablations import TABLES

    encoder, head = _MINUTES[scale]
    variants = len(TABLES[table])
    print(
        f"{table}, scale {scale}: {variants} variants with up to {encoder:g} minutes for an "
        f"encoder and {head:g} for a head each: at most {variants * (encoder + head):g} minutes of "
        f"training, and then the runs{OF_RUNS.get((table, scale), '')}"
    )
    if not dry_run:
        ablations(
            table,
            encoder_minutes=encoder,
            head_minutes=head,
            encoder=FIRST_ENCODER.get(table),
            cells_epochs=1 if table == "table7" and scale == Scale.small else None,
            out=out / table,
            limit=_SMALL_LIMIT if scale == Scale.small else None,
        )
