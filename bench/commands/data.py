"""`bench data`: where raw cells come from, and how they become tasks."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TextIO

import typer

from cdnbench.fields import LARGEST

data_app = typer.Typer(
    no_args_is_help=True, help="Fetch, simulate and prepare single-cell screens."
)
LOG_EVERY_S = 10.0
_THRESHOLDS, _CELLS = "Thresholds", "What the file says about its cells"


@data_app.callback()
def data() -> None:
    """Fetch, simulate and prepare single-cell screens."""


@data_app.command(name="list")
def list_screens() -> None:
    """List public screens and public knowledge of genes: source, accession, licence, and the
    command that prepares each."""
    from cdnbench.datasets.cells.screens.catalogue import SCREENS
    from cdnbench.datasets.cells.screens.sources import GENEPT, SOURCES

    for screen in SCREENS:
        print(f"{screen.name:9} {screen.title}{' (in the CDN paper)' if screen.paper else ''}")
        print(f"          {screen.reference}; {screen.accession}; {screen.licence}")
        for file in screen.files:
            size = f", {file.size / 1e9:.1f} GB" if file.size else ""
            print(f"          {file.urls[0]}{size}{', MD5 ' + file.md5 if file.md5 else ''}")
        print(f"          bench data prepare {screen.files[0].name} {screen.prepare}")
        if screen.note:
            print(f"          {screen.note}")
    for source in (*SOURCES, GENEPT):
        print(f"{'genept' if source is GENEPT else 'knowledge':9} {source.title}")
        print(f"          {source.reference}; {source.accession}; {source.licence}")
        for file in source.files:
            print(f"          {file.urls[0]} -> {file.name}")


@data_app.command()
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of a screen in `bench data list`, knowledge, genept, or petshop-calls: the "
            "call graph of PetShop, which comes with the package."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the files; by default raw, or knowledge for knowledge."),
    ] = None,
) -> None:
    """Download a public screen, or public knowledge of human genes.

    A download that was stopped is resumed, and complete files are not fetched again.

    Examples:

        bench data fetch rpe1

        bench data fetch knowledge && bench run --suite perturbseq --data prepared --knowledge
        knowledge
    """
    from cdnbench.datasets.cells.screens.catalogue import screen
    from cdnbench.datasets.cells.screens.fetch import fetch as download
    from cdnbench.datasets.cells.screens.sources import GENEPT, SOURCES

    if name == "petshop-calls":
        from cdnbench.datasets.real.petshop import write_call_graph

        folder = out or Path("knowledge")
        folder.mkdir(parents=True, exist_ok=True)
        write_call_graph(folder / "petshop_calls.tsv")
        print(folder / "petshop_calls.tsv")
        return
    if name in ("knowledge", "genept"):
        folder = out or Path("knowledge")
        with reading_progress("bytes") as show:
            for source in SOURCES if name == "knowledge" else (GENEPT,):
                for path in download(source, folder, show):
                    print(path)
        print(f"next: bench data check prepared --knowledge {folder}")
        return
    found = screen(name)
    with reading_progress("bytes") as show:
        paths = download(found, out or Path("raw"), show)
    for path in paths:
        print(path)
    print(f"next: bench data prepare {paths[0]} {found.prepare}")


@data_app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="Folder for the raw files.")] = Path("simulated"),
    kind: Annotated[str, typer.Option(help="knock-down or drug.")] = "knock-down",
    lines: Annotated[int, typer.Option(min=1, max=26, help="Number of cell lines.")] = 5,
    genes: Annotated[int, typer.Option(min=50, help="Number of genes.")] = 1000,
    perturbations: Annotated[
        int, typer.Option(min=1, help="Number of perturbations per line.")
    ] = 220,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST, help="Seed of the network and of all cells.")
    ] = 0,
) -> None:
    """Write raw counts of simulated cell lines as .h5ad.

    The cell suites run on such lines where no data are given.

    Example:

        bench data simulate --lines 2 && bench data prepare simulated/sim-a.h5ad --line sim-a
        --target target
    """
    from cdnbench.datasets.cells.simulated.simulate import DRUGS, Simulation, write_raw
    from cdnbench.errors import InvalidParameter

    if kind not in ("knock-down", "drug"):
        raise InvalidParameter(f"--kind takes knock-down or drug; got {kind!r}.")
    names = tuple(f"sim-{chr(ord('a') + i)}" for i in range(lines))
    base = DRUGS if kind == "drug" else Simulation()
    simulation = replace(
        base,
        lines=names,
        n_genes=genes,
        n_regulators=max(min(base.n_regulators, genes // 3), min(perturbations, genes // 2)),
        n_perturbed=min(perturbations, genes // 2),
        seed=seed,
    )
    for name in names:
        write_raw(simulation, name, out / f"{name}.h5ad")
        print(out / f"{name}.h5ad", flush=True)


@data_app.command()
def check(
    data: Annotated[
        str,
        typer.Argument(
            help="Folder of prepared cell lines. Without one, the embedded simulation and the "
            "synthetic suites are checked."
        ),
    ] = "",
    knowledge: Annotated[
        str,
        typer.Option(
            help="kind=FILE,kind=FILE or a folder. The report says how many genes of the lines "
            "each file covers."
        ),
    ] = "",
) -> None:
    """Report what trained methods have seen of the test, how well a repetition with as many cells
    would agree, and how many of the genes the knowledge covers.

    Examples:

        bench data check

        bench data check prepared --knowledge interactions=HuRI.tsv.gz,annotations=goa_human.gaf.gz
    """
    from cdnbench.commands.audit import (
        knowledge_report,
        leakage_report,
        noise_report,
        synthetic_report,
    )
    from cdnbench.datasets.cells.suites import PerturbSeq

    suite = PerturbSeq(data=data, knowledge=knowledge)
    lines, resources = suite.all_lines, suite.resources
    print(
        "simulated data" if any(line.attributes["simulated"] for line in lines.values()) else data
    )
    print(
        "\n\n".join(
            [leakage_report(lines), noise_report(lines), *knowledge_report(lines, resources)]
        )
    )
    if not data:
        print(f"\nsynthetic suites\n{synthetic_report()}")


@data_app.command()
def prepare(
    file: Annotated[
        Path,
        typer.Argument(help="File of counts: .h5ad, 10x .h5, or a folder with matrix.mtx."),
    ],
    line: Annotated[str, typer.Option(help="Name of the cell line and of its prepared file.")],
    out: Annotated[Path, typer.Option(help="Folder for the prepared cell lines.")] = Path(
        "prepared"
    ),
    perturbation: Annotated[
        str, typer.Option(help="Column of obs that names the perturbation.", rich_help_panel=_CELLS)
    ] = "perturbation",
    control: Annotated[
        str,
        typer.Option(
            help="Value of this column in control cells. Several are separated by commas, and "
            "patterns match many: 'NegCtrl,non-targeting*'. In labels such as GENE+ctrl it is no "
            "target.",
            rich_help_panel=_CELLS,
        ),
    ] = "non-targeting",
    target: Annotated[
        str,
        typer.Option(
            help="Column of obs with the targeted genes, joined by +. Without it, perturbations "
            "are taken to be named after their targets.",
            rich_help_panel=_CELLS,
        ),
    ] = "",
    total: Annotated[
        str,
        typer.Option(
            help="Column of obs with the total count of each cell. It is needed where the file "
            "holds only some of the genes.",
            rich_help_panel=_CELLS,
        ),
    ] = "",
    where: Annotated[
        str,
        typer.Option(
            help="Condition on columns of obs that a cell must fulfil, e.g. 'guide_frac > 0.5'.",
            rich_help_panel=_CELLS,
        ),
    ] = "",
    cells: Annotated[
        Path | None,
        typer.Option(
            help=".csv with one row per barcode, for 10x files and matrix.mtx.",
            rich_help_panel=_CELLS,
        ),
    ] = None,
    genes: Annotated[
        str,
        typer.Option(
            help="Column of var that names the genes. Without it, the index of var is used.",
            rich_help_panel=_CELLS,
        ),
    ] = "",
    layer: Annotated[
        str,
        typer.Option(
            help="Layer that holds the counts, or raw. Without it, X is used.",
            rich_help_panel=_CELLS,
        ),
    ] = "",
    values: Annotated[
        str,
        typer.Option(
            help="What the values are: counts, or lognorm for log(1 + counts per 10,000).",
            rich_help_panel=_CELLS,
        ),
    ] = "counts",
    min_genes: Annotated[
        int,
        typer.Option(
            help="Least number of genes that a cell expresses.", rich_help_panel=_THRESHOLDS
        ),
    ] = 0,
    max_mito: Annotated[
        float,
        typer.Option(
            help="Largest share of a cell's counts in MT- genes.", rich_help_panel=_THRESHOLDS
        ),
    ] = 1.0,
    min_cells: Annotated[
        int,
        typer.Option(
            help="Least number of cells that express a gene.", rich_help_panel=_THRESHOLDS
        ),
    ] = 1,
    min_perturbed: Annotated[
        int,
        typer.Option(help="Least number of cells per perturbation.", rich_help_panel=_THRESHOLDS),
    ] = 20,
    alpha: Annotated[
        float,
        typer.Option(
            help="Level of the adjusted p-values of differential genes.",
            rich_help_panel=_THRESHOLDS,
        ),
    ] = 0.05,
    more_than: Annotated[
        int,
        typer.Option(
            help="A perturbation must have more differential genes than this.",
            rich_help_panel=_THRESHOLDS,
        ),
    ] = 10,
    max_candidates: Annotated[
        int,
        typer.Option(
            help="Largest number of candidate genes per perturbation.",
            rich_help_panel=_THRESHOLDS,
        ),
    ] = 1000,
    min_candidates: Annotated[
        int,
        typer.Option(
            help="Least number of candidate genes; random genes are added to reach it.",
            rich_help_panel=_THRESHOLDS,
        ),
    ] = 100,
    max_controls: Annotated[
        int,
        typer.Option(
            help="Largest number of control cells that are kept.", rich_help_panel=_THRESHOLDS
        ),
    ] = 10_000,
    clusters: Annotated[
        int,
        typer.Option(help="Number of k-means clusters for the split.", rich_help_panel=_THRESHOLDS),
    ] = 200,
    split_list: Annotated[
        Path | None,
        typer.Option(
            help="Published list of the split (columns pert, name, cluster, split, fp_data), to "
            "be used instead of clusters."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST, help="Seed of all random draws.")] = 0,
) -> None:
    """Filter, normalise and test a raw screen, choose its tasks and split them.

    Prints what each step left. A preparation that was stopped is resumed. Where the thresholds come
    from is written in cdnbench.datasets.cells.screens.options.

    Examples:

        bench data prepare rpe1.h5ad --line rpe1 --perturbation gene --genes gene_name

        bench data prepare thp1.h5ad --line thp1 --total total_umis --where 'guide_frac > 0.5'
    """
    from cdnbench.datasets.cells.screens.options import Attrition, Preparation
    from cdnbench.datasets.cells.screens.prepare import prepare as run
    from cdnbench.datasets.cells.screens.raw import open_raw

    options = Preparation(
        perturbation=perturbation,
        control=control,
        target=target,
        total=total,
        where=where,
        values=values,
        min_genes=min_genes,
        max_mito=max_mito,
        min_cells=min_cells,
        min_perturbed=min_perturbed,
        alpha=alpha,
        more_than=more_than,
        max_candidates=max_candidates,
        min_candidates=min_candidates,
        max_controls=max_controls,
        clusters=clusters,
        seed=seed,
    )
    raw = open_raw(file, genes=genes, layer=layer, cells=cells)
    with reading_progress("cells") as show:
        made = run(raw, line, out, options, split_list=split_list, progress=show)
    print(Attrition(made.attributes["attrition"]).text())
    split = {name: int((made.split == name).sum()) for name in ("train", "test", "")}
    missing = f", {split['']} not in the split list" if split[""] else ""
    print(
        f"{made.path}: {made.n_perturbations} perturbations ({split['train']} train, "
        f"{split['test']} test{missing}), "
        f"{int(made.arrays['trivial'].sum())} of them trivial; hash {made.hash}"
    )


@contextlib.contextmanager
def reading_progress(
    unit: str, to: TextIO | None = None
) -> Iterator[Callable[[str, int, int], None]]:
    """Show progress: a live bar on a terminal, one line every ten seconds in a log.

    to: where; standard output by default.
    """
    stream: TextIO = to or sys.stdout
    if not stream.isatty():
        last = [time.monotonic()]

        def line(what: str, done: int, of: int) -> None:
            if time.monotonic() - last[0] >= LOG_EVERY_S:
                last[0] = time.monotonic()
                print(f"{what}: {done:,} of {of:,} {unit}", file=stream, flush=True)

        yield line
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, transient=True, console=Console(file=stream)) as bar:
        tasks: dict[str, int] = {}

        def show(what: str, done: int, of: int) -> None:
            if what not in tasks:
                for task in tasks.values():
                    bar.remove_task(task)  # type: ignore[arg-type]
                tasks.clear()
                tasks[what] = bar.add_task(what, total=of)
            bar.update(tasks[what], completed=done)  # type: ignore[arg-type]

        yield show
