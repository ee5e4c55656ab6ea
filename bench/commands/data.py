"""`bench data`: from raw cells to tasks."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

data_app = typer.Typer(no_args_is_help=True, help="Prepare single-cell screens.")
LOG_EVERY_S = 10.0
_THRESHOLDS, _CELLS = "Thresholds", "What the cells say"


@data_app.callback()
def data() -> None:
    """Prepare single-cell screens."""


@data_app.command()
def prepare(
    file: Annotated[Path, typer.Argument(help="Counts: .h5ad, 10x .h5, or a folder with matrix.mtx.")],
    line: Annotated[str, typer.Option(help="Name of the cell line, and of the file that is made.")],
    out: Annotated[Path, typer.Option(help="Folder of the prepared cell lines.")] = Path("prepared"),
    perturbation: Annotated[
        str, typer.Option(help="Column of obs with the perturbation.", rich_help_panel=_CELLS)
    ] = "perturbation",
    control: Annotated[str, typer.Option(help="Its value in control cells.", rich_help_panel=_CELLS)] = "non-targeting",
    target: Annotated[
        str,
        typer.Option(
            help="Column of obs with the targeted genes, joined by +; absent: the perturbation is named after them.",
            rich_help_panel=_CELLS,
        ),
    ] = "",
    total: Annotated[
        str,
        typer.Option(
            help="Column of obs with a cell's total count, where the file holds some of the genes only.",
            rich_help_panel=_CELLS,
        ),
    ] = "",
    where: Annotated[
        str,
        typer.Option(help="Condition on columns of obs, e.g. 'guide_frac > 0.5'.", rich_help_panel=_CELLS),
    ] = "",
    cells: Annotated[
        Path | None,
        typer.Option(help=".csv with a row a barcode, for 10x files.", rich_help_panel=_CELLS),
    ] = None,
    genes: Annotated[
        str, typer.Option(help="Column of var that names the genes; absent: its index.", rich_help_panel=_CELLS)
    ] = "",
    layer: Annotated[str, typer.Option(help="Layer with the counts, or raw; absent: X.", rich_help_panel=_CELLS)] = "",
    values: Annotated[
        str, typer.Option(help="counts, or lognorm: log(1 + counts per 10,000).", rich_help_panel=_CELLS)
    ] = "counts",
    min_genes: Annotated[int, typer.Option(help="Genes that a cell expresses.", rich_help_panel=_THRESHOLDS)] = 0,
    max_mito: Annotated[float, typer.Option(help="Share of MT- genes in a cell.", rich_help_panel=_THRESHOLDS)] = 1.0,
    min_cells: Annotated[int, typer.Option(help="Cells that express a gene.", rich_help_panel=_THRESHOLDS)] = 1,
    min_perturbed: Annotated[int, typer.Option(help="Cells of a perturbation.", rich_help_panel=_THRESHOLDS)] = 20,
    alpha: Annotated[float, typer.Option(help="Of adjusted p-values.", rich_help_panel=_THRESHOLDS)] = 0.05,
    more_than: Annotated[
        int, typer.Option(help="Differential genes that a perturbation must exceed.", rich_help_panel=_THRESHOLDS)
    ] = 10,
    max_candidates: Annotated[int, typer.Option(help="Of a perturbation.", rich_help_panel=_THRESHOLDS)] = 1000,
    min_candidates: Annotated[int, typer.Option(help="Filled up at random.", rich_help_panel=_THRESHOLDS)] = 100,
    max_controls: Annotated[int, typer.Option(help="Control cells kept.", rich_help_panel=_THRESHOLDS)] = 10_000,
    clusters: Annotated[int, typer.Option(help="Of k-means, for the split.", rich_help_panel=_THRESHOLDS)] = 200,
    split_list: Annotated[
        Path | None,
        typer.Option(help="A published list (pert, name, cluster, split, fp_data) instead of own clusters."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all draws.")] = 0,
) -> None:
    """Filter, normalise and test a raw screen, choose its tasks and split them; prints what each step lost.

    A preparation that was stopped goes on where it was. Sources of the thresholds: cdnbench.datasets.cells.options.

    Examples:

        bench data prepare rpe1.h5ad --line rpe1 --perturbation gene --genes gene_name

        bench data prepare thp1.h5ad --line thp1 --total total_umis --where 'guide_frac > 0.5'
    """
    from cdnbench.datasets.cells.options import Attrition, Preparation
    from cdnbench.datasets.cells.prepare import prepare as run
    from cdnbench.datasets.cells.raw import open_raw

    options = Preparation(
        perturbation=perturbation, control=control, target=target, total=total, where=where, values=values,
        min_genes=min_genes, max_mito=max_mito, min_cells=min_cells, min_perturbed=min_perturbed, alpha=alpha,
        more_than=more_than, max_candidates=max_candidates, min_candidates=min_candidates, max_controls=max_controls,
        clusters=clusters, seed=seed,
    )  # fmt: skip
    raw = open_raw(file, genes=genes, layer=layer, cells=cells)
    with _progress() as show:
        made = run(raw, line, out, options, split_list=split_list, progress=show)
    print(Attrition(made.attributes["attrition"]).text())
    split = {name: int((made.split == name).sum()) for name in ("train", "test", "")}
    missing = f", {split['']} not in the split list" if split[""] else ""
    print(
        f"{made.path}: {made.n_perturbations} perturbations ({split['train']} train, {split['test']} test{missing}), "
        f"{int(made.arrays['trivial'].sum())} of them trivial; hash {made.hash}"
    )


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A live bar on a terminal, a line every ten seconds in a log."""
    if not sys.stdout.isatty():
        last = [time.monotonic()]

        def line(what: str, done: int, of: int) -> None:
            if time.monotonic() - last[0] >= LOG_EVERY_S:
                last[0] = time.monotonic()
                print(f"{what}: {done:,} of {of:,} cells", flush=True)

        yield line
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, transient=True) as bar:
        tasks: dict[str, int] = {}

        def show(what: str, done: int, of: int) -> None:
            if what not in tasks:
                for task in tasks.values():
                    bar.remove_task(task)  # type: ignore[arg-type]
                tasks.clear()
                tasks[what] = bar.add_task(what, total=of)
            bar.update(tasks[what], completed=done)  # type: ignore[arg-type]

        yield show
