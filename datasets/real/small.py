"""Tiny made-up files, laid out as those that the readers read, for tests.

`write` places them in a data folder. In each, what was knocked out falls, and nothing else moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from cdnbench.datasets.real import ecoli, hill, papalexi, pasilla, sahin
from cdnbench.datasets.real.files import DataFile
from cdnbench.digest import generator

KNOCKED_OUT = (1, 3, 4, 8, 10)
"""Genes of a made-up screen that are knocked out, of `N_GENES`."""
N_GENES = 12
N_CONTROLS, N_CELLS = 60, 20
DELETED = ("fur", "arcA", "soxR", "crp")
"""Genes of E. coli whose deletion has a wild type."""


def write(folder: Path, name: str) -> None:
    """Place the files of a data set; nothing for those that need none."""
    if name in _WRITERS:
        _WRITERS[name](folder, generator("real", "small", name))


def _place(folder: Path, file: DataFile) -> Path:
    path = folder / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _screen(file: DataFile, columns: Mapping[str, tuple]) -> Callable:
    """Cells x genes: controls, cells without each gene of `KNOCKED_OUT`, cells without a gene that
    is not measured, and cells without G2 that the reader drops.

    columns: column of obs -> its value in cells that are kept, and in those that are dropped.
    """

    def written(folder: Path, rng: np.random.Generator) -> None:
        labels = [
            *["non-targeting"] * N_CONTROLS,
            *[f"G{i}" for i in KNOCKED_OUT for _ in range(N_CELLS)],
            *["UNMEASURED"] * N_CELLS,
            *["G2"] * N_CELLS,
        ]
        counts = rng.poisson(5.0, size=(len(labels), N_GENES))
        for i in KNOCKED_OUT:
            counts[[label == f"G{i}" for label in labels], i] = 0
        kept = np.array(labels) != "G2"
        obs = pd.DataFrame(
            {"perturbation": pd.Categorical(labels)}
            | {name: np.where(kept, *values) for name, values in columns.items()},
            index=[f"c{i}" for i in range(len(labels))],
        )
        data = anndata.AnnData(
            sparse.csr_matrix(counts.astype(np.float32)),
            obs=obs,
            var=pd.DataFrame(index=[f"G{i}" for i in range(N_GENES)]),
        )
        data.write_h5ad(_place(folder, file))

    return written


def _sahin(folder: Path, rng: np.random.Generator) -> None:
    """Mock and every single knock-down, 8 rows each. MYC is never measured, p21 is missing under
    CDK2, and time moves everything."""
    proteins = rng.permutation([*sahin.TARGETS.values(), "ERBB2", "MYC"]).tolist()
    tables = []
    for name in (sahin.CONTROL, *sahin.TARGETS, "ERBB1_2"):
        values = pd.DataFrame(rng.normal(1, 0.1, size=(8, len(proteins))), columns=proteins)
        values["time"] = np.repeat([0.0, 1.0], 4)
        values[proteins] += values[["time"]].to_numpy()
        if name in sahin.TARGETS:
            values[sahin.TARGETS[name]] -= 1.0
        if name == "CDK2":
            values.loc[2, "p21"] = np.nan
        values["MYC"] = np.nan
        tables.append(values.assign(sample=name))
    pd.concat(tables).to_csv(_place(folder, sahin.FILE), index=False)


def _pasilla(folder: Path, rng: np.random.Generator) -> None:
    """30 genes. The last is read 3 times in all."""
    genes = [pasilla.TARGET, *(f"FBgn{i:07d}" for i in range(29))]
    samples = [*(f"untreated{i}" for i in range(1, 5)), *(f"treated{i}" for i in range(1, 4))]
    counts = pd.DataFrame(rng.poisson(200, size=(30, 7)), index=genes, columns=samples)
    counts.loc[pasilla.TARGET, samples[4:]] = 20
    counts.iloc[-1] = [1, 1, 1, 0, 0, 0, 0]
    counts.rename_axis("gene_id").to_csv(_place(folder, pasilla.FILE), sep="\t")


def _ecoli(folder: Path, rng: np.random.Generator) -> None:
    """Two samples each: a wild type, the deletions that it is compared with, one of these at
    another pH, one in another strain, and one in a project without a wild type."""
    mg, bw = "Escherichia coli K-12 MG1655", "Escherichia coli K-12 BW25113"
    rows = [
        ("a", "wt_ph5", mg, ""),
        *(("a", f"del{gene}_ph5", f"{mg} del_{gene}", gene) for gene in DELETED),
        ("a", "delfur_ph8", f"{mg} del_fur", "fur"),
        ("a", "bw_delcra_ph5", f"{bw} del_cra", "cra"),
        ("b", "delfnr", f"{mg} del_fnr", "fnr"),
    ]
    table = pd.DataFrame(
        [row for row in rows for _ in range(2)],
        columns=["project", "condition", "Strain Description", "ko"],
        index=[f"s{i}" for i in range(2 * len(rows))],
    )
    table["ko"] = table["ko"].replace("", np.nan)
    table[["Base Media", "Carbon Source (g/L)"]] = "M9", "glucose(2)"
    table["Supplement"] = np.nan
    table.to_csv(_place(folder, ecoli.SAMPLES))
    genes = np.array(["fur", "cra", "arcA", "insA", "insA", "soxR", "thrA", "crp", "fnr"])
    values = rng.normal(8, 0.1, size=(len(table), len(genes)))
    for i, gene in enumerate(table["ko"]):
        values[i, genes == gene] = 0
    np.savez(
        _place(folder, ecoli.VALUES),
        X=values.astype(np.float16),
        gene=genes,
        samples=table.index.to_numpy(str),
    )


_WRITERS: Mapping[str, Callable[[Path, np.random.Generator], None]] = {
    "papalexi": _screen(papalexi.FILE, {"guide_frac": (0.9, 0.3), "total_umis": (8000, 8000)}),
    "hill": _screen(hill.FILE, {"n_targets": (1, 2), "nUMI": (8000, 8000)}),
    "sahin": _sahin,
    "pasilla": _pasilla,
    "ecoli": _ecoli,
}
