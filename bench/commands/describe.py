"""`bench data describe`: tables of screens for figures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from cdnbench.errors import BenchError
from cdnbench.files import write_atomically


def describe(
    data: Annotated[
        str,
        typer.Argument(
            help="Folder of prepared cell lines. Without one, the embedded simulation is described."
        ),
    ] = "",
    knowledge: Annotated[
        str,
        typer.Option(
            help="kind=FILE,kind=FILE or a folder; figure8 needs its annotations. Simulated lines "
            "have their own."
        ),
    ] = "",
    out: Annotated[
        Path, typer.Option(help="Folder for the tables: `screens` beside the stores of results.")
    ] = Path("results/screens"),
) -> None:
    """Write tables about the perturbations of prepared lines, which stores of results lack. The
    figures attrition, figure5, figure6, figure7 and figure8 are drawn from them.

    Examples:

        bench data describe --out results/screens && bench report --figure figure7

        bench data describe prepared --knowledge knowledge --out results/screens
    """
    import numpy as np

    from cdnbench.datasets.cells import facts
    from cdnbench.datasets.cells.suites import PerturbSeq
    from cdnbench.knowledge import read_annotations, renaming

    suite = PerturbSeq(data=data, knowledge=knowledge)
    lines, resources = suite.all_lines, suite.resources
    known = None
    if "annotations" in resources:
        genes = {str(gene) for line in lines.values() for gene in line.genes}
        names = renaming(resources.get("identifiers"), genes)
        annotations = read_annotations(resources["annotations"], names)
        has_term = np.diff(annotations.matrix.indptr) > 0
        known = set(np.asarray(annotations.genes)[has_term].tolist())
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write(facts.perturbations(lines, known), out / "perturbations.csv")
        _write(facts.attrition(lines), out / "attrition.csv")
        for line in lines.values():
            _write(facts.profiles(line), out / f"profiles-{line.name}.csv.gz")
    except OSError as error:
        raise BenchError(f"Cannot write to {out}: {error}.") from error
    print(
        f"{out}: {sum(line.n_perturbations for line in lines.values())} perturbations of "
        f"{', '.join(lines)}{'' if known is not None else '; no annotations, so no figure8'}"
    )


def _write(frame, path: Path) -> None:
    """The same frame gives the same bytes. The file appears whole."""
    packed = {"method": "gzip", "mtime": 0} if path.suffix == ".gz" else None
    content = io.BytesIO()
    frame.to_csv(content, index=False, compression=packed)
    write_atomically(path, content.getvalue())
