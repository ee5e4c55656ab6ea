"""Brooks et al. 2011: RNA-seq of Drosophila S2 cells under RNAi of pasilla (FBgn0261552).

"Conservation of an RNA regulatory map between Drosophila and mammals", Genome Research 21:193;
counts of the Bioconductor package pasilla. One case: 4 untreated samples against 3 treated ones.

Genes with at least 10 reads over all samples (9,921 of 14,599), values log(1 + counts per
million), where a sample's million counts all of its genes. Mock cases are the three ways to split
the untreated samples in halves.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cdnbench.datasets.real.case import Case
from cdnbench.datasets.real.files import DataFile, refusing
from cdnbench.errors import InvalidData

FILE = DataFile(
    path="expression/pasilla_gene_counts.tsv.gz",
    source="Bioconductor package pasilla, inst/extdata/pasilla_gene_counts.tsv: genes in rows, "
    "samples untreated1-4 and treated1-3 in columns.",
    licence="LGPL.",
)
FILES = (FILE,)
GENES = True
TARGET = "FBgn0261552"
MIN_READS = 10
_SPLITS = ((0, 1), (0, 2), (0, 3))


@refusing
def read(path: Path) -> list[Case]:
    """The one case, then untreated against untreated samples.

    Raises
    ------
    InvalidData: it is not this file.
    """
    table = pd.read_csv(path, sep="\t", index_col=0)
    controls = [c for c in table.columns if c.startswith("untreated")]
    treated = [c for c in table.columns if c.startswith("treated")]
    if len(controls) != 4 or len(treated) != 3 or TARGET not in table.index:
        raise InvalidData(
            f"{path}: expected columns untreated1-4 and treated1-3, and a row {TARGET}."
        )
    millions = table.sum(axis=0) / 1e6
    kept = table[table.sum(axis=1) >= MIN_READS]
    values = np.log1p(kept / millions).T.astype(np.float32)
    genes = tuple(map(str, kept.index))
    before = values.loc[controls].to_numpy()
    case = Case(
        unit=TARGET,
        variables=genes,
        observational=before,
        perturbed=values.loc[treated].to_numpy(),
        target=TARGET,
    )
    halves = [
        Case(
            unit=f"control {i}",
            variables=genes,
            observational=np.delete(before, rows, axis=0),
            perturbed=before[list(rows)],
        )
        for i, rows in enumerate(_SPLITS)
    ]
    return [case, *halves]
