"""Sahin et al. 2009: protein arrays of a breast cancer line under knock-downs of ERBB signalling.

"Modeling ERBB receptor-regulated G1/S transition to find novel targets for de novo trastuzumab
resistance", BMC Systems Biology 3:1; as normalised in the R package nem (SahinRNAi2008).

24 arrays per knock-down and of mock transfection, half of them before and half after stimulation
by EGF, pooled. Eight single knock-downs hit a column. Two of these are seen through a
phosphorylated protein: AKT1 through pAKT1, and MEK1 through pERK1.2, which it phosphorylates. A
column with missing values on either side is left out of a case.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cdnbench.datasets.real.case import Case, control_cases
from cdnbench.datasets.real.files import DataFile, refusing
from cdnbench.errors import InvalidData

FILE = DataFile(
    path="expression/sahin2008_rppa_16proteins.csv.gz",
    source="Bioconductor package nem, data/SahinRNAi2008.RData, written as CSV: a column sample "
    "(MOCK or what was knocked down), one column per protein, and time (0 or 1).",
    licence="GPL (>= 2).",
)
FILES = (FILE,)
GENES = False
CONTROL = "MOCK"
TARGETS = {
    "ERBB1": "ERBB1",
    "CDK2": "CDK2",
    "CDK4": "CDK4",
    "p21": "p21",
    "p27": "p27",
    "Cyclin D1": "Cyclin D1",
    "AKT1": "pAKT1",
    "MEK1": "pERK1.2",
}
"""Knock-down -> the column that shows it."""


@refusing
def read(path: Path) -> list[Case]:
    """One case per single knock-down that is measured, then mock against mock.

    Raises
    ------
    InvalidData: it is not this file.
    """
    table = pd.read_csv(path)
    missing = [c for c in ("sample", "time", *TARGETS.values()) if c not in table]
    if missing:
        raise InvalidData(f"{path}: the column {missing[0]} is missing.")
    proteins = [c for c in table.columns if c not in ("sample", "time")]
    controls = table[table["sample"] == CONTROL]
    cases = []
    for name, target in TARGETS.items():
        perturbed = table[table["sample"] == name]
        if controls.empty or perturbed.empty:
            raise InvalidData(f"{path}: no rows of {CONTROL if controls.empty else name}.")
        kept = tuple(p for p in proteins if _complete(controls[p]) and _complete(perturbed[p]))
        if target not in kept:
            raise InvalidData(f"{path}: {target} has missing values under {name}.")
        cases.append(
            Case(
                unit=name,
                variables=kept,
                observational=_values(controls, kept),
                perturbed=_values(perturbed, kept),
                target=target,
            )
        )
    kept = tuple(p for p in proteins if _complete(controls[p]))
    times = controls["time"].to_numpy()
    half = [len(controls) // 2]
    return cases + control_cases("sahin", kept, _values(controls, kept), half, strata=times)


def _complete(column: pd.Series) -> bool:
    return bool(column.notna().all())


def _values(table: pd.DataFrame, columns: tuple[str, ...]) -> np.ndarray:
    return table[list(columns)].to_numpy(np.float32)
