"""The paper's Table 6: the screens after preparation."""

from __future__ import annotations

from cdnbench.reports.data_tables import beside, columns_of, nontrivial
from cdnbench.reports.frame import Results
from cdnbench.reports.table import Table

SUMMARY = "the paper's Table 6 (screens after preparation), ours beside the printed values"
_HEADINGS = {
    "cell_line": "line",
    "n_train": "training",
    "n_test": "test",
    "n_trivial": "trivial",
    "n_nontrivial": "nontrivial",
    "n_unique_de_genes": "unique DE genes",
    "median_de_genes": "median DE genes",
    "n_cells": "cells",
}


def build(results: Results) -> Table:
    """One row per line and source of values."""
    return beside(
        results,
        "table6",
        "table6_processed_datasets",
        _HEADINGS,
        lambda lines: columns_of(
            lines,
            n_train="training",
            n_test="test",
            n_trivial="trivial",
            n_unique_de_genes="unique_differential",
            median_de_genes="median_differential",
        ).assign(
            n_nontrivial=nontrivial(lines),
            n_cells=(lines["cells"] + lines["controls"]).to_numpy(float),
        ),
        (
            "training, test: perturbations by side of the split. Trivial: the target has the "
            "largest |log fold change|. DE: differentially expressed.",
        ),
    )
