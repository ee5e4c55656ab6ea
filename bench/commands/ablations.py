"""`bench train ablations`: train the variants of a table, run them, and show the table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cdnbench.commands.training_options import (
    Device,
    Seed,
    Threads,
    Workers,
    one_of,
    origin,
    prepare,
    refuse,
    shipped_or_path,
)
from cdnbench.errors import InvalidParameter

if TYPE_CHECKING:
    from cdnbench.training.ablations import Budget
    from cdnbench.training.variants import Budget as VariantBudget

CDN = "cdn"
TRAINING = Path("results/train/ablations")
DEVELOPMENT = "papalexi,hill,sachs,sahin,pasilla,petshop"
"""The real data sets that choices may be made on."""


def ablations(
    table: Annotated[
        str,
        typer.Argument(help="table7, table8 or cdn.", callback=one_of("table7", "table8", CDN)),
    ],
    encoder_minutes: Annotated[
        float | None,
        typer.Option(min=0.01, help="Tables 7 and 8: budget of each encoder, 10 by default."),
    ] = None,
    head_minutes: Annotated[
        float | None,
        typer.Option(min=0.01, help="Tables 7 and 8: budget of each head, 5 by default."),
    ] = None,
    datasets: Annotated[
        int | None,
        typer.Option(min=1, help="Tables 7 and 8: size of the training collection, 2000."),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Table 8: SEA weights that read the inverse covariance, by shipped name or path, "
            "used as they are; absent: trained too.",
            callback=shipped_or_path,
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="The synthetic suite's protocol: clean, dcdi or both; dcdi by default."),
    ] = None,
    cells_epochs: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Table 7: epochs of fine-tuning on cells at most; absent: the methods' 30; 0: "
            "nothing is run on cells.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.01, help="cdn: budget of each variant, 15 by default."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="cdn: steps of each variant in place of minutes; fairer on a shared machine.",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="cdn: weights of cdn or cdn-suites that all variants start from; without, from "
            "nothing.",
            callback=shipped_or_path,
        ),
    ] = None,
    variants: Annotated[
        str | None, typer.Option(help="cdn: a,b: only these variants; absent: all.")
    ] = None,
    lr: Annotated[
        float | None, typer.Option(min=0, max=10, help="cdn: learning rate at its highest, 5e-4.")
    ] = None,
    cells: Annotated[
        int | None,
        typer.Option(min=100, help="cdn: grid cells (regimes x N^2) per step, 4000 by default."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="cdn: folder of the real data sets; absent: CDNBENCH_DATA."),
    ] = None,
    run: Annotated[
        Path, typer.Option("--run", help="Folder of the training runs of all variants.")
    ] = TRAINING,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; by default results/<table>.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Run only this many tasks of each suite.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=0, help="How many jobs run at once. 0 means one per usable core.")
    ] = 0,
    seed: Seed = 0,
    device: Device = "auto",
    workers: Workers = 0,
    threads: Threads = 0,
) -> None:
    """Train, run and show the variants of Table 7 or 8, or of cdn.

    Every variant is trained with one budget. An encoder of another statistic (Table 8) is trained
    on from that of the inverse covariance, which `--encoder` can name. The variants of Tables 7 and
    8 run on `synthetic`, those of Table 7 also on `perturbseq`, fine-tuned on its training
    perturbations, which takes hours. Those of cdn, each without one thing, run on `synthetic-dev`
    and on the real data sets that choices may be made on, and start from the same weights. Weights
    and results that are there already are used as they are; weights of Tables 7 and 8 that had
    another budget are refused. Repeat the command to go on after an interruption.

    Examples:

        bench train ablations table8 --encoder sea

        bench train ablations table7 --encoder-minutes 3 --head-minutes 2 --cells-epochs 1

        bench train ablations cdn --minutes 15 --threads 1 --workers 1

        bench train ablations cdn --variants full,without-cells,level-only --from cdn
    """
    of_paper = {
        "--encoder-minutes": encoder_minutes,
        "--head-minutes": head_minutes,
        "--datasets": datasets,
        "--encoder": encoder,
        "--protocol": protocol,
        "--cells-epochs": cells_epochs,
    }
    of_cdn = {
        "--minutes": minutes,
        "--steps": steps,
        "--from": start,
        "--variants": variants,
        "--lr": lr,
        "--cells": cells,
        "--data": data,
    }
    refuse(of_paper if table == CDN else of_cdn, f"`bench train ablations {table}`")
    if protocol not in (None, "clean", "dcdi", "both"):
        raise InvalidParameter(f"--protocol takes clean, dcdi or both; got {protocol!r}.")
    of_other = {"table7": {"--encoder": encoder}, "table8": {"--cells-epochs": cells_epochs}}
    refuse(of_other.get(table, {}), f"`bench train ablations {table}`")
    chosen = prepare(device, threads, None)
    if table == CDN:
        from cdnbench.training.loop import UNLIMITED
        from cdnbench.training.variants import Budget as VariantBudget

        if minutes and steps:
            raise InvalidParameter("--minutes and --steps are two budgets: give one of them.")
        budget = VariantBudget(
            minutes=None if steps else minutes or 15.0,
            steps=steps or UNLIMITED,
            lr=5e-4 if lr is None else lr,
            cells=cells or 4_000,
            start=start or "",
            seed=seed,
            device=chosen,
            workers=workers,
        )
        _of_cdn(budget, run, out or Path("results/ablations"), variants, data, limit, jobs)
        return
    from cdnbench.training.ablations import Budget

    _of_paper(
        table,
        Budget(
            encoder_minutes=encoder_minutes or 10.0,
            head_minutes=head_minutes or 5.0,
            datasets=datasets or 2_000,
            seed=seed,
            device=chosen,
            workers=workers,
            encoder=encoder or "",
        ),
        run,
        out or Path("results") / table,
        protocol or "dcdi",
        limit,
        0 if table == "table8" else cells_epochs,
        jobs,
    )


def _of_paper(
    table: str,
    budget: Budget,
    run: Path,
    out: Path,
    protocol: str,
    limit: int | None,
    cells_epochs: int | None,
    jobs: int = 0,
) -> None:
    """Train and run the variants and show their table. cells_epochs: of fine-tuning on cells, None
    for the methods' own number, 0 for nothing on cells."""
    from rich.console import Console

    from cdnbench.reports import build
    from cdnbench.runners.api import prepared
    from cdnbench.runners.plan import make_plan
    from cdnbench.training.ablations import method_names, methods_on_cells, train_variants

    weights = train_variants(table, run, budget, origin())
    runs = [("synthetic", {"protocol": protocol}, method_names(weights, table))]
    if cells_epochs != 0:
        names = methods_on_cells(weights, table, cells_epochs)
        runs.append(("perturbseq", {"split": "seen"}, names))
    stores = []
    for suite, options, names in runs:
        planned = prepared(make_plan(suite, options, names, limit=limit), out / suite, jobs=jobs)
        planned.execute()
        stores.append(planned.store)
    build(stores).show(Console(), table)


def _of_cdn(
    budget: VariantBudget,
    run: Path,
    out: Path,
    variants: str | None,
    data: str | None,
    limit: int | None,
    jobs: int = 0,
) -> None:
    """Train and run the variants, show their table, and write it as `ablations.txt` and
    `ablations.csv` into the folder of the results."""
    from dataclasses import replace

    from rich.console import Console

    from cdnbench.reports import build
    from cdnbench.reports.report import write_csv
    from cdnbench.reports.show import terminal
    from cdnbench.runners.api import prepared
    from cdnbench.runners.plan import make_plan
    from cdnbench.training.variants import TABLE, chosen, notes, train_variants

    names = chosen([name.strip() for name in (variants or "").split(",") if name.strip()])
    real = {"datasets": DEVELOPMENT, **({"data": data} if data else {})}
    suites = {"synthetic-dev": {"protocol": "both"}, "real": real}
    for suite, options in suites.items():  # missing data is said before hours of training
        make_plan(suite, options, "random", limit=limit)
    weights = train_variants(names, run, budget, origin())
    methods = ",".join(f"cdn:weights={path}" for path in weights.values())
    stores = []
    for suite, options in suites.items():
        planned = prepared(make_plan(suite, options, methods, limit=limit), out / suite, jobs=jobs)
        planned.execute()
        stores.append(planned.store)
    made = build(stores).table(TABLE)
    made = replace(made, notes=(*made.notes, *notes(weights)))
    terminal.show(made, Console())
    (out / f"{TABLE}.txt").write_text(terminal.text(made) + "\n", encoding="utf-8")
    write_csv(made.frame, out / f"{TABLE}.csv")
    print(f"Wrote {out / TABLE}.txt and {TABLE}.csv.")
