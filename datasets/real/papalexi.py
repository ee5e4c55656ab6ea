"""Papalexi et al. 2021: ECCITE-seq of THP-1 cells, knock-outs of regulators of PD-L1.

"Characterizing the molecular regulation of inhibitory immune checkpoints with multimodal
single-cell screens", Nature Genetics 53:322, GEO GSE153056; the 299 genes and the covariates of
the example data of the R package sceptre.

Cells whose dominant guide has more than half of their guide molecules (`guide_frac` > .5), values
log(1 + 10^4 x / total_umis). Nine targets are columns.
"""

from __future__ import annotations

from pathlib import Path

from cdnbench.datasets.real.case import Case
from cdnbench.datasets.real.counts import knock_outs, read_cells
from cdnbench.datasets.real.files import DataFile, refusing

FILE = DataFile(
    path="expression/papalexi2021_thp1_eccite_299genes_counts.h5ad",
    source="Katsevich-Lab/sceptredata, data/lowmoi_example_data.rda, with the covariates of "
    "sceptre (GEO GSE153056): X holds counts of 20,729 cells x 299 genes, obs the columns "
    "perturbation, guide_frac and total_umis.",
    licence="public at GEO; the package under MIT.",
)
FILES = (FILE,)
GENES = True
CONTROL = "non-targeting"


@refusing
def read(path: Path) -> list[Case]:
    """One case per knock-out of a measured gene, then controls against controls.

    Raises
    ------
    InvalidData: it is not this file.
    """
    cells = read_cells(path, ("perturbation", "guide_frac", "total_umis"))
    kept = cells.obs["guide_frac"] > 0.5
    return knock_outs("papalexi", cells, kept, cells.obs["total_umis"], CONTROL)
