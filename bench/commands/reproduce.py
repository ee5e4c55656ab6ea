"""`bench reproduce`: run what a table of the paper lacks, and show the table."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cdnbench.errors import BenchError, InvalidParameter, did_you_mean
from cdnbench.registry import SUITES, load_class, load_method, load_suite
from cdnbench.runners.recipes import LOST, OF_CELLS, RECIPES, TRAINED, Recipe, Scale

if TYPE_CHECKING:
    from cdnbench.archive import Archive
    from cdnbench.runners.estimate import History
    from cdnbench.runners.kept import Kept
    from cdnbench.runners.run import Run
    from cdnbench.store import Store

KEPT = (Path("docs/results/store"), Path("docs/results/variants"))
"""Where a checkout of this project keeps finished stores."""
NONE = "none"
_MINUTES = {Scale.small: (3.0, 2.0), Scale.full: (10.0, 5.0)}
"""Budgets of encoders and heads of Tables 7 and 8."""
_FOLDER = {Scale.small: "-small", Scale.full: ""}
"""What the names of the folders of Tables 7 and 8 end with: budgets are never mixed."""
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
    kept: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Folders of finished results: their jobs are not run again, and the table shows "
            f"them too. The default is {KEPT[0]} and {KEPT[1]} where these exist; none for no "
            "folder.",
        ),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(
            help="Results whose times the estimate rests on, beside those in --out and --kept."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of prepared screens for tables on cells; absent: simulated."),
    ] = None,
    knowledge: Annotated[
        str | None,
        typer.Option(
            metavar="KIND=FILE,...",
            help="What is known of the genes, or a folder of it, for methods on cells that need "
            "it, as in `bench run`; absent: simulated for simulated lines.",
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=0, help="How many jobs run at once. 0 means one per usable core.")
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the runs and the estimate, and run nothing.")
    ] = False,
) -> None:
    """Run what a table of the paper lacks, and show it beside the printed values.

    A job is done if its result is in --out or in a folder of --kept, and the table is made from
    both. What was computed with another version of a method or of the data does not count, and
    neither do the times of Table 9, which are those of this machine. A run that was interrupted
    goes on where it was. An estimate of the time, from the records of earlier runs, comes first.

    Examples:

        bench reproduce table2

        bench reproduce table11 --scale full --dry-run

        bench reproduce table4 --scale full --kept none

        bench reproduce table2 --scale full --data screens --knowledge knowledge
    """
    from cdnbench.commands.training_options import refuse
    from cdnbench.runners.kept import Kept

    if table in LOST:
        others = ", ".join(sorted((*RECIPES, *TRAINED), key=_number))
        raise InvalidParameter(
            f"{table} of the paper is lost: its values are in no copy that was found, so there is "
            f"nothing to reproduce. The others are {others}."
        )
    if table not in (*RECIPES, *TRAINED):
        raise did_you_mean("table of the paper", table, sorted((*RECIPES, *TRAINED)))
    given = {"data": None if data is None else str(data), "knowledge": knowledge}
    options = {name: value for name, value in given.items() if value is not None}
    recipes = () if table in TRAINED else RECIPES[table][scale]
    for name in options:
        if not any(_takes(recipe, name) for recipe in recipes):
            raise InvalidParameter(_refusal(name, table))
    if table in TRAINED:
        refuse(
            {"--kept": kept, "--records": records},
            f"{table}, whose variants are trained here and have no earlier records,",
        )
        _trained(table, scale, out, jobs, dry_run)
        return
    print(f"{table}, scale {scale}: {len(recipes)} run{'s' if len(recipes) > 1 else ''}")
    recipes = [_with(recipe, options) for recipe in recipes]
    lacking = {name: why for recipe in recipes for name, why in _uninformed(recipe).items()}
    for name, why in lacking.items():
        print(f"  left out: {name}: {why}")
    recipes = [_informed(recipe) for recipe in recipes]
    finished = _finished(out, kept)
    history = _history(finished, records)
    found = Kept(finished)
    planned = [_plan(recipe, out, jobs, history, found) for recipe in recipes]
    if not dry_run:
        _run(planned, table)


def _number(table: str) -> int:
    return int(table.removeprefix("table"))


def _takes(recipe: Recipe, option: str) -> bool:
    """Whether the suite of a run has an option."""
    info = load_class(SUITES, recipe.suite).info  # type: ignore[attr-defined]
    return any(known.name == option for known in info.options)


def _refusal(option: str, table: str) -> str:
    if table in TRAINED:
        return f"--{option} does not apply to {table}: its variants run on simulated data alone."
    if not any(recipe.suite in OF_CELLS for recipe in RECIPES[table][Scale.small]):
        return f"--{option} is for tables on cells; {table} is on synthetic data."
    return f"--{option} does not apply to {table}: no method of it needs knowledge."


def _with(recipe: Recipe, options: Mapping[str, str]) -> Recipe:
    """A run with those of the options that its suite has."""
    taken = {name: value for name, value in options.items() if _takes(recipe, name)}
    return replace(recipe, options={**recipe.options, **taken})


def _uninformed(recipe: Recipe) -> dict[str, str]:
    """Those of a run's informed methods for which there is no knowledge -> what they lack."""
    names = [name for name in recipe.informed.split(",") if name]
    resources = load_suite(recipe.suite, **recipe.options).resources if names else {}
    reasons = {name: load_method(name).info.why_no_fit(resources) for name in names}
    return {name: why for name, why in reasons.items() if why}


def _informed(recipe: Recipe) -> Recipe:
    """A run with those of its informed methods for which there is knowledge."""
    lacking = _uninformed(recipe)
    able = [name for name in recipe.informed.split(",") if name and name not in lacking]
    return replace(recipe, methods=",".join([*able, recipe.methods]), informed="")


def _finished(out: Path, kept: str | None) -> list[Store | Archive]:
    """The stores and archives in the folder of the results and in those of `--kept`, each once.

    Raises
    ------
    BenchError: a folder that was named holds no results.
    """
    from cdnbench.archive import find_stores

    names = [] if kept is None else [name.strip() for name in kept.split(",")]
    named = [Path(name) for name in names if name not in ("", NONE)]
    stores = [store for folder in named for store in find_stores(folder)]
    for folder in (*(KEPT if kept is None else ()), out):
        with contextlib.suppress(BenchError):  # it may hold nothing yet
            stores += find_stores(folder)
    return list({(type(store), store.folder.resolve()): store for store in stores}.values())


def _history(finished: Sequence[Store | Archive], records: Path | None) -> History:
    """Times of the results that are there, and of those that `--records` names.

    Raises
    ------
    BenchError: the folder that was named holds no results.
    """
    from cdnbench.archive import find_stores
    from cdnbench.runners.estimate import History

    history = History()
    there = {store.folder.resolve() for store in finished}
    named = find_stores(records) if records is not None else []
    for store in (*finished, *(s for s in named if s.folder.resolve() not in there)):
        history.add(store)
    return history


def _plan(recipe: Recipe, out: Path, jobs: int, history: History, kept: Kept) -> Run:
    """Plan one run, and say what it will do, what it will skip, and about how long that takes."""
    from cdnbench.commands.run import skip_notes
    from cdnbench.runners.api import prepared
    from cdnbench.runners.kept import Kept
    from cdnbench.runners.plan import make_plan
    from cdnbench.runners.run import Mode

    plan = make_plan(recipe.suite, dict(recipe.options), recipe.methods, limit=recipe.limit)
    planned = prepared(
        plan,
        out / recipe.suite,
        jobs=jobs,
        mode=Mode(timing=recipe.timing),
        kept=Kept() if recipe.timing else kept,  # times are of one machine
    )
    todo, elsewhere = planned.todo, _elsewhere(planned)
    print(f"  {recipe.command}")
    done = f"{len(plan.jobs)} jobs, {len(plan.jobs) - len(todo)} of them done"
    if elsewhere:
        folders = ", ".join(str(store.folder) for store in planned.kept.stores(elsewhere))
        done += f" ({len(elsewhere)} in {folders})"
    if todo:
        setting = plan.suite.info.setting
        estimate = history.estimate(recipe.suite, setting, todo, timing=recipe.timing)
        done += f"; {estimate.told(1 if recipe.timing else planned.jobs)}"
    print(f"    {done}", flush=True)
    for name, n in planned.outdated.items():
        print(
            f"    note: the code of {name} changed since {n} of these results were stored; "
            "--kept none and another --out run them again",
            flush=True,
        )
    for line in skip_notes(planned):
        print(f"    {line}", flush=True)
    return planned


def _elsewhere(planned: Run) -> list[str]:
    """The keys of the jobs whose results are in other folders than the run's own."""
    left = {job.key for job in planned.todo}
    done = {job.key: planned.store.job(job.key) for job in planned.mine if job.key not in left}
    return [
        key
        for key, own in done.items()
        if own is None or own.outside or not planned.store.is_done(own)
    ]


def _run(planned: list[Run], table: str) -> None:
    """Run one after the other, show the table, and exit with code 1 if jobs failed."""
    from rich.console import Console

    from cdnbench.commands.run import execute, failure_summary
    from cdnbench.reports import build
    from cdnbench.store import Store

    failed = []
    for run in planned:
        if run.todo:
            execute(run)
        lost = [record for record in run.records if record.failed]
        failed += lost
        for line in failure_summary(lost, run.store.folder):
            print(line)
    own = [run.store for run in planned if Store.is_at(run.store.folder)]
    others = [store for run in planned for store in run.kept.stores(_elsewhere(run))]
    stores = {(type(store), store.folder.resolve()): store for store in (*own, *others)}
    build(list(stores.values())).show(Console(), table)
    if failed:
        print(f"Jobs that failed: {len(failed)}; `bench run --retry` runs them again.")
        sys.exit(1)


def _trained(table: str, scale: Scale, out: Path, jobs: int, dry_run: bool) -> None:
    """Tables 7 and 8: train the variants, run them, and show the table."""
    from cdnbench.commands.ablations import TRAINING, ablations
    from cdnbench.training.ablations import TABLES

    encoder, head = _MINUTES[scale]
    variants = len(TABLES[table])
    print(
        f"{table}, scale {scale}: {variants} variants with up to {encoder:g} minutes for an "
        f"encoder and {head:g} for a head each: at most {variants * (encoder + head):g} minutes of "
        f"training, and then the runs{OF_RUNS.get((table, scale), '')}"
    )
    if KEPT[1].is_dir():
        print(
            f"Variants trained before, whose weights are not kept, are shown by: bench report "
            f"{KEPT[1]} --table {table}"
        )
    if not dry_run:
        ablations(
            table,
            encoder_minutes=encoder,
            head_minutes=head,
            encoder=FIRST_ENCODER.get(table),
            cells_epochs=1 if table == "table7" and scale == Scale.small else None,
            run=Path(f"{TRAINING}{_FOLDER[scale]}"),
            out=out / f"{table}{_FOLDER[scale]}",
            jobs=jobs,
            limit=_SMALL_LIMIT if scale == Scale.small else None,
        )
