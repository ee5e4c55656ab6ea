"""A data folder of tiny made-up files, laid out as the real one, and the real one where it is."""

from __future__ import annotations

import os
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from cdnbench.datasets.real import ecoli, hill, papalexi, pasilla, sahin
from cdnbench.datasets.real.files import DataFile


@pytest.fixture
def real_folder(monkeypatch) -> Path:
    """The folder that CDNBENCH_DATA names; skips where there is none."""
    folder = Path(os.environ.get("CDNBENCH_DATA", ""))
    if "CDNBENCH_DATA" not in os.environ or not (folder / papalexi.FILE.path).is_file():
        pytest.skip("CDNBENCH_DATA does not name a folder with the real data sets")
    return folder


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory) -> Path:
    """Made-up data in which the knocked-out variable falls."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    _screen(folder, papalexi.FILE, rng, {"guide_frac": (0.9, 0.3), "total_umis": (8000, 8000)})
    _screen(folder, hill.FILE, rng, {"n_targets": (1, 2), "nUMI": (8000, 8000)})
    _sahin(folder, rng)
    _pasilla(folder, rng)
    _ecoli(folder, rng)
    return folder


def _place(folder: Path, file: DataFile) -> Path:
    path = folder / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _screen(folder: Path, file: DataFile, rng, columns: dict[str, tuple]) -> None:
    """160 cells x 6 genes: 60 controls, 50 without G1, 30 without a gene that is not measured, and
    20 without G2 that the filter drops. columns: value in cells that are kept, and in others."""
    labels = ["non-targeting"] * 60 + ["G1"] * 50 + ["UNMEASURED"] * 30 + ["G2"] * 20
    counts = rng.poisson(5.0, size=(160, 6))
    counts[60:110, 1] = 0
    kept = np.array(labels) != "G2"
    obs = pd.DataFrame(
        {"perturbation": pd.Categorical(labels)}
        | {name: np.where(kept, *values) for name, values in columns.items()},
        index=[f"c{i}" for i in range(160)],
    )
    data = anndata.AnnData(
        sparse.csr_matrix(counts.astype(np.float32)),
        obs=obs,
        var=pd.DataFrame(index=[f"G{i}" for i in range(6)]),
    )
    data.write_h5ad(_place(folder, file))


def _sahin(folder: Path, rng) -> None:
    """MOCK and every single knock-down, 8 rows each; one protein is never measured, p21 is missing
    under CDK2, and time moves everything."""
    proteins = [*sahin.TARGETS.values(), "ERBB2", "MYC"]
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


def _pasilla(folder: Path, rng) -> None:
    """30 genes; the last is read 3 times in all."""
    genes = [pasilla.TARGET, *(f"FBgn{i:07d}" for i in range(29))]
    samples = [*(f"untreated{i}" for i in range(1, 5)), *(f"treated{i}" for i in range(1, 4))]
    counts = pd.DataFrame(rng.poisson(200, size=(30, 7)), index=genes, columns=samples)
    counts.loc[pasilla.TARGET, samples[4:]] = 20
    counts.iloc[-1] = [1, 1, 1, 0, 0, 0, 0]
    counts.rename_axis("gene_id").to_csv(_place(folder, pasilla.FILE), sep="\t")


def _ecoli(folder: Path, rng) -> None:
    """Two samples each of a wild type, of a deletion of `fur` at the same pH and at another, of one
    in another strain, and of `crp` in a project without a wild type."""
    mg, bw = "Escherichia coli K-12 MG1655", "Escherichia coli K-12 BW25113"
    rows = [
        ("a", "wt_ph5", mg, ""),
        ("a", "delfur_ph5", f"{mg} del_fur", "fur"),
        ("a", "delfur_ph8", f"{mg} del_fur", "fur"),
        ("a", "bw_delcra_ph5", f"{bw} del_cra", "cra"),
        ("b", "delcrp", f"{mg} del_crp", "crp"),
    ]
    table = pd.DataFrame(
        [row for row in rows for _ in range(2)],
        columns=["project", "condition", "Strain Description", "ko"],
        index=[f"s{i}" for i in range(10)],
    )
    table["ko"] = table["ko"].replace("", np.nan)
    table[["Base Media", "Carbon Source (g/L)"]] = "M9", "glucose(2)"
    table["Supplement"] = np.nan
    table.to_csv(_place(folder, ecoli.SAMPLES))
    genes = np.array(["fur", "cra", "crp", "insA", "insA", "thrA"])
    values = rng.normal(8, 0.1, size=(10, 6))
    for i, gene in enumerate(table["ko"]):
        values[i, genes == gene] = 0
    np.savez(
        _place(folder, ecoli.VALUES),
        X=values.astype(np.float16),
        gene=genes,
        samples=table.index.to_numpy(str),
    )
