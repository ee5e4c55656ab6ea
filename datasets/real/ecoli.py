"""PRECISE: RNA-seq of E. coli K-12 with gene deletions.

Sastry et al. 2019, "The Escherichia coli transcriptome mostly consists of independently regulated
modules", Nature Communications 10:5536; log2(1 + TPM) as in the Python package pymodulon.

A deletion is compared with the wild type of the same project under the same conditions: medium,
carbon source, supplement and pH. Deletions in BW25113 have no wild type of that strain, and these
strains differ in several genes, so they make no case; neither does a comparison with fewer than two
samples on either side. That leaves 22 comparisons, each of about two against two samples. No side
can be split, so there are no controls against controls. Deletions that several conditions show are
one unit of statistics.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from cdnbench.arrays import read_arrays
from cdnbench.datasets.real.case import Case
from cdnbench.datasets.real.files import DataFile, refusing
from cdnbench.errors import InvalidData

VALUES = DataFile(
    path="expression/ecoli_precise1_logtpm.npz",
    source="pymodulon 0.2.1, data/ecoli: arrays X (278 samples x 3,923 genes, log2 TPM), gene and "
    "samples.",
    licence="the package under MIT; data of PRECISE 1.0.",
)
SAMPLES = DataFile(
    path="expression/ecoli_precise1_samples.csv",
    source="pymodulon 0.2.1, data/ecoli: one row per sample with project, condition, strain, "
    "medium, supplement, and ko, the deleted genes.",
    licence="the package under MIT; data of PRECISE 1.0.",
)
FILES = (VALUES, SAMPLES)
GENES = True
_CONDITIONS = ["project", "strain", "Base Media", "Carbon Source (g/L)", "Supplement", "ph"]
_LEAST = 2


@refusing
def read(values: Path, samples: Path) -> list[Case]:
    """One case per deletion and condition with a matching wild type.

    Raises
    ------
    InvalidData: these are not the two files.
    """
    arrays = read_arrays(values, ("X", "gene", "samples"))
    x, genes = arrays["X"].astype(np.float32), list(map(str, arrays["gene"]))
    order = list(map(str, arrays["samples"]))
    if x.shape != (len(order), len(genes)):
        raise InvalidData(
            f"{values}: X has the shape {x.shape}, for {len(order)} samples and {len(genes)} genes."
        )
    table = pd.read_csv(samples, index_col=0)
    genes = _distinct(genes)
    columns = ["Strain Description", "condition", "ko", *_CONDITIONS]
    missing = [c for c in columns if c not in (*table.columns, "strain", "ph")]
    if missing:
        raise InvalidData(f"{samples}: the column {missing[0]} is missing.")
    if list(table.index) != order:
        raise InvalidData(f"{samples}: the rows are not the samples of {values} in their order.")
    deleted = table["ko"].fillna("").to_numpy(str)
    strain = table["Strain Description"].str.replace(r"\sdel_\w+", "", regex=True)
    ph = table["condition"].str.extract(r"(ph\d+)", expand=False)
    conditions = table.assign(strain=strain, ph=ph)[_CONDITIONS].fillna("")
    cases = []
    for _, rows in conditions.assign(row=np.arange(len(table))).groupby(_CONDITIONS)["row"]:
        row = rows.to_numpy()
        wild = row[deleted[row] == ""]
        for gene in sorted({str(g) for g in deleted[row]} & set(genes)):
            without = row[deleted[row] == gene]
            if min(len(wild), len(without)) >= _LEAST:
                cases.append(
                    Case(
                        unit=gene,
                        variables=genes,
                        observational=x[wild],
                        perturbed=x[without],
                        target=gene,
                    )
                )
    return cases


def _distinct(genes: list[str]) -> tuple[str, ...]:
    """Unique names: copies of an insertion element share one, so that they are numbered."""
    often, seen = Counter(genes), Counter()
    names = []
    for gene in genes:
        seen[gene] += 1
        names.append(f"{gene}.{seen[gene]}" if often[gene] > 1 else gene)
    return tuple(names)
