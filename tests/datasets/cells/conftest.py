import os
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def real_file():
    """Path of one of the real files under `expression`; skips where CDNBENCH_DATA has none."""

    def find(name: str) -> Path:
        path = Path(os.environ.get("CDNBENCH_DATA", "")) / "expression" / name
        if "CDNBENCH_DATA" not in os.environ or not path.is_file():
            pytest.skip(f"CDNBENCH_DATA does not name a folder with expression/{name}")
        return path

    return find


@pytest.fixture(scope="session")
def papalexi(real_file):
    """Log-normalised cells (M, 299) and the perturbation of each."""
    import anndata

    adata = anndata.read_h5ad(real_file("papalexi2021_thp1_eccite_299genes_counts.h5ad"))
    cells = adata.X.tocsr().astype(np.float32)
    cells.data = np.log1p(cells.data / np.repeat(adata.obs["total_umis"].to_numpy(), np.diff(cells.indptr)) * 1e4)
    return cells.astype(np.float32), adata.obs["perturbation"].astype(str).to_numpy()
