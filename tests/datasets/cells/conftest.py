import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse


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
    cells.data = np.log1p(
        cells.data / np.repeat(adata.obs["total_umis"].to_numpy(), np.diff(cells.indptr)) * 1e4
    )
    return cells.astype(np.float32), adata.obs["perturbation"].astype(str).to_numpy()


GENES = [f"G{i}" for i in range(60)] + ["MT-A"]
CONTROL = "non-targeting"


def counts(
    seed: int = 0, per_perturbation: int = 60, controls: int = 300
) -> tuple[sparse.csr_matrix, pd.DataFrame]:
    """Perturbations of G0 .. G7 lower their gene and shift 20 others; "weak" targets do nothing;
    "Elsewhere" is no gene; some cells have no perturbation."""
    rng = np.random.default_rng(seed)
    base = rng.uniform(1, 6, len(GENES))
    rows, labels = [], []
    kinds = [
        (CONTROL, controls),
        *((f"G{i}", per_perturbation) for i in range(8)),
        ("G20", 60),
        ("Elsewhere", 60),
        ("G30", 5),
    ]
    for name, n in kinds:
        mean = base.copy()
        if name in GENES[:8]:
            i = int(name[1:])
            mean[i] *= 0.1
            hit = 20 + (np.arange(20) + 5 * (i // 2)) % 40
            mean[hit] *= np.where(np.arange(20) % 2, 2.5, 0.4)
        depth = rng.lognormal(0, 0.2, n)[:, None]
        rows.append(rng.poisson(depth * mean))
        labels += [name] * n
    rows.append(rng.poisson(base, (7, len(GENES))))
    labels += [None] * 7
    order = rng.permutation(len(labels))
    x = sparse.csr_matrix(np.concatenate(rows)[order].astype(np.float32))
    return x, pd.DataFrame(
        {"perturbation": np.array(labels, dtype=object)[order], "batch": 1.0 * (order % 2)},
        index=[f"c{i}" for i in order],
    )


def write(path: Path, **more) -> Path:
    x, obs = counts(**more)
    import anndata

    var = pd.DataFrame({"gene_id": [f"ENSG{i}" for i in range(len(GENES))]}, index=GENES)
    anndata.AnnData(x, obs=obs, var=var).write_h5ad(path)
    return path


@pytest.fixture(scope="session")
def screen():
    """A small screen with known effects."""
    return SimpleNamespace(GENES=GENES, CONTROL=CONTROL, counts=counts, write=write)


@pytest.fixture(scope="module")
def small(screen):
    """An AnnData of counts with totals, a batch and a label for each cell."""
    import anndata

    x, obs = screen.counts(per_perturbation=12, controls=40)
    obs["total"] = 2 * np.asarray(x.sum(axis=1)).ravel()
    var = pd.DataFrame({"gene_id": [f"ENSG{i}" for i in range(x.shape[1])]}, index=screen.GENES)
    return anndata.AnnData(x, obs=obs, var=var)


@pytest.fixture(scope="module")
def expected(small):
    """Name of a perturbation -> its rows, by a slow and obvious computation, and the controls."""
    counts, totals = small.X.toarray(), small.obs["total"].to_numpy()
    values = np.log1p(1e4 * counts / totals[:, None])
    found = small.obs["perturbation"]
    labels = found.astype(object).where(found.notna(), "").astype(str)
    return {name: values[(labels == name).to_numpy()] for name in set(labels) if name}
