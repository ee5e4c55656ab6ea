"""The paper's Table 6: the screens after preparation."""

from __future__ import annotations

import pandas as pd

from cdnbench.reports.data_tables import TYPES, beside
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


_SPLIT = ["training", "trivial", "test"]


def build(results: Results) -> Table:
    """One row per line and source of values."""
    return beside(
        results,
        "table6",
        "table6_processed_datasets",
        _HEADINGS,
        _ours,
        (
            "training, test: perturbations by side of the split. Trivial: the target has the "
            "largest |log fold change|. DE: differentially expressed. Chemical lines are for tests "
            "alone, so all of their perturbations are.",
        ),
    )


def _ours(lines: pd.DataFrame) -> pd.DataFrame:
    chemical = (lines["suite"].map(TYPES) == "chemical").to_numpy()
    split = lines[_SPLIT].astype(float)
    split.loc[chemical, ["training", "trivial"]] = float("nan")
    split.loc[chemical, "test"] = lines["perturbations"].fillna(lines["test"]).astype(float)
    return pd.DataFrame(
        {
            "n_train": split["training"].to_numpy(),
            "n_test": split["test"].to_numpy(),
            "n_trivial": split["trivial"].to_numpy(),
            "n_nontrivial": (split["test"] - split["trivial"]).to_numpy(),
            "n_unique_de_genes": lines["unique_differential"].to_numpy(float),
            "median_de_genes": lines["median_differential"].to_numpy(float),
            "n_cells": (lines["cells"] + lines["controls"]).to_numpy(float),
        }
    )
