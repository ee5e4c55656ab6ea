"""What a prepared line is, in numbers: the facts behind Tables 1, 5 and 6 of the paper.

The suites store them with each task, so that a report needs no prepared file.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cdnbench.datasets.cells.prepared import PreparedLine


def describe(line: PreparedLine) -> dict[str, Any]:
    """Plain values of one line.

    raw_cells, raw_perturbations, raw_genes: of the file before any step of preparation.
    genes, controls, cells: what was kept; `cells` counts perturbed cells.
    perturbations, training, test: those that became tasks, by side of the split.
    trivial: test perturbations whose target has the largest |log fold change|.
    unique_differential: genes that are differential under any perturbation.
    median_differential: differential genes per perturbation.
    source: name of the raw file.
    """
    test = line.split == "test"
    _, raw_cells, raw_perturbations, raw_genes = line.attributes["attrition"][0]
    alpha = line.attributes["options"]["alpha"]
    return {
        "source": str(line.attributes["source"]),
        "simulated": bool(line.attributes["simulated"]),
        "raw_cells": int(raw_cells),
        "raw_perturbations": int(raw_perturbations),
        "raw_genes": int(raw_genes),
        "genes": len(line.genes),
        "controls": len(line.arrays["controls/indptr"]) - 1,
        "cells": int(line.arrays["first"][-1]),
        "perturbations": line.n_perturbations,
        "training": int((line.split == "train").sum()),
        "test": int(test.sum()),
        "trivial": int(np.asarray(line.arrays["trivial"])[test].sum()),
        "unique_differential": int(_differential(line.arrays["adjusted"], alpha).sum()),
        "median_differential": float(np.median(line.arrays["n_differential"])),
    }


def _differential(adjusted: np.ndarray, alpha: float) -> np.ndarray:
    """(G,) whether a gene is differential under any perturbation; `adjusted` is (P, G)."""
    found = np.zeros(adjusted.shape[1], bool)
    for low in range(0, len(adjusted), 256):
        found |= (np.asarray(adjusted[low : low + 256]) < alpha).any(axis=0)
    return found
