"""`bench train ablations`: train the variants of a table, run them, and show the table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cdnbench.commands.training_options import (
    Datasets,
    Device,
    Seed,
    Threads,
    Workers,
    one_of,
    origin,
    prepare,
)


def ablations(
    table: Annotated[
        str,
        typer.Argument(help="table7 or table8.", callback=one_of("table7", "table8")),
    ],
    encoder_minutes: Annotated[
        float, typer.Option(min=0.01, help="Budget of each encoder.")
    ] = 10.0,
    head_minutes: Annotated[float, typer.Option(min=0.01, help="Budget of each head.")] = 5.0,
    datasets: Datasets = 2_000,
    run: Annotated[
        Path, typer.Option("--run", help="Folder of the training runs of all variants.")
    ] = Path("results/train/ablations"),
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; by default results/<table>.")
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="The suite's protocol: clean, dcdi or both.",
            callback=one_of("clean", "dcdi", "both"),
        ),
    ] = "dcdi",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Run only this many tasks of the suite.")
    ] = None,
    seed: Seed = 0,
    device: Device = "auto",
    workers: Workers = 0,
    threads: Threads = 0,
) -> None:
    """Train, run and show the variants of Table 7 or 8.

    Every variant is trained with one budget and run on the suite `synthetic`. Weights and results
    that are there already are used as they are. Repeat the command to go on after an interruption.

    Examples:

        bench train ablations table8

        bench train ablations table7 --encoder-minutes 3 --head-minutes 2 --limit 24
    """
    from rich.console import Console

    from cdnbench.reports import build
    from cdnbench.runners.api import prepared
    from cdnbench.runners.plan import make_plan
    from cdnbench.training.ablations import Budget, method_names, train_variants

    budget = Budget(
        encoder_minutes=encoder_minutes,
        head_minutes=head_minutes,
        datasets=datasets,
        seed=seed,
        device=prepare(device, threads, None),
        workers=workers,
    )
    weights = train_variants(table, run.resolve(), budget, origin())
    names = method_names(weights, table)
    plan = make_plan("synthetic", {"protocol": protocol}, names, limit=limit)
    planned = prepared(plan, out or Path("results") / table)
    planned.execute()
    build([planned.store]).show(Console(), table)
