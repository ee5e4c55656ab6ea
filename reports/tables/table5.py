"""The paper's Table 5: the screens before preparation."""

from __future__ import annotations

from cdnbench.reports.data_tables import beside, columns_of
from cdnbench.reports.frame import Results
from cdnbench.reports.table import Table

SUMMARY = "the paper's Table 5 (screens before preparation), ours beside the printed values"
_HEADINGS = {
    "type": "type",
    "source": "source",
    "accession": "accession",
    "cell_line": "line",
    "n_perturbations": "perturbations",
    "n_genes": "genes",
    "n_ntcs": "controls",
    "n_cells": "cells",
}


def build(results: Results) -> Table:
    """One row per line and source of values."""
    return beside(
        results,
        "table5",
        "table5_raw_datasets",
        _HEADINGS,
        lambda lines: columns_of(
            lines,
            n_perturbations="raw_perturbations",
            n_genes="raw_genes",
            n_ntcs="controls",
            n_cells="raw_cells",
        ).assign(source=lines["source"].to_numpy(object), accession=""),
        ("Ours: of the raw file, but control cells are those that preparation kept.",),
    )
