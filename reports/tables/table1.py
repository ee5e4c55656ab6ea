"""The paper's Table 1: cell lines, their perturbations and their cells."""

from __future__ import annotations

from cdnbench.reports.data_tables import beside, columns_of
from cdnbench.reports.frame import Results
from cdnbench.reports.table import Table

SUMMARY = "the paper's Table 1 (cell lines in numbers), lines of the stores beside the printed ones"
_HEADINGS = {
    "type": "type",
    "cell_line": "line",
    "n_perturbations": "perturbations",
    "n_cells": "cells",
}


def build(results: Results) -> Table:
    """One row per line and source of values."""
    return beside(
        results,
        "table1",
        "table1_datasets",
        _HEADINGS,
        lambda lines: columns_of(lines, n_perturbations="perturbations").assign(
            n_cells=(lines["cells"] + lines["controls"]).to_numpy(float)
        ),
        (
            "Ours: perturbations that became tasks, and their cells with the controls that were "
            "kept.",
        ),
    )
