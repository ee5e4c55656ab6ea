"""Hill et al. 2018: CROP-seq of MCF10A cells, knock-outs of tumour suppressors.

"On the design of CRISPR-based single-cell molecular screens", Nature Methods 15:271; 28 genes as
distributed with scMAGeCK. That these are the doxorubicin-treated cells of that study is inferred
from the file's name and its panel of genes.

Cells with guides of one target (`n_targets` = 1), values log(1 + 10^4 x / nUMI). 27 targets are
columns. The signal is weak: no target's own column moves at the level `case.DETECTABLE`, and two
are expressed by no cell.
"""

from __future__ import annotations

from pathlib import Path

from cdnbench.datasets.real.case import Case
from cdnbench.datasets.real.counts import knock_outs, read_cells
from cdnbench.datasets.real.files import DataFile, refusing

FILE = DataFile(
    path="expression/hill2018_mcf10a_cropseq_28genes_counts.h5ad",
    source="weililab/scMAGeCK, inst/extdata/singles_dox_mki67_v3.RDS with barcode_rec.txt: X holds "
    "counts of 6,229 cells x 28 genes, obs the columns perturbation, n_targets and nUMI.",
    licence="public at GEO; the package under BSD-2-Clause.",
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
    cells = read_cells(path, ("perturbation", "n_targets", "nUMI"))
    kept = cells.obs["n_targets"] == 1
    return knock_outs("hill", cells, kept, cells.obs["nUMI"], CONTROL)
