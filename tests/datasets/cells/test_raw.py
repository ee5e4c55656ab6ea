"""Reading raw cells in all layouts, and what broken files say."""

import gzip
from dataclasses import replace

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.io import mmwrite

from cdnbench.datasets.cells.screens.counts import check_values, log_normalise
from cdnbench.datasets.cells.screens.labels import read_labels
from cdnbench.datasets.cells.screens.options import Preparation
from cdnbench.datasets.cells.screens.raw import open_raw
from cdnbench.errors import InvalidData

GENES = [f"G{i}" for i in range(6)]
BARCODES = [f"cell{i}" for i in range(9)]
COUNTS = sparse.csr_matrix(np.random.default_rng(0).poisson(0.8, (9, 6)).astype(np.float32))
TOTALS = np.asarray(COUNTS.sum(axis=1)).ravel()
LOGS = log_normalise(COUNTS, TOTALS)
OBS = pd.DataFrame({"perturbation": ["a", "b", "control"] * 3}, index=BARCODES)


def h5ad(path, x=COUNTS, genes=GENES, **more):
    var = pd.DataFrame({"gene_id": [f"ENSG{i}" for i in range(len(genes))]}, index=genes)
    anndata.AnnData(x, obs=OBS, var=var, **more).write_h5ad(path)
    return path


def tenx(path):
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            matrix[name] = getattr(COUNTS, name)
        matrix["shape"], matrix["barcodes"] = np.array([6, 9]), np.array(BARCODES, dtype="S")
        matrix["features/name"] = np.array(GENES, dtype="S")
        matrix["features/id"] = np.array([f"ENSG{i}" for i in range(6)], dtype="S")
    return path


def market(path):
    path.mkdir()
    mmwrite(path / "matrix.mtx", COUNTS.T)
    (path / "features.tsv").write_text(
        "".join(f"ENSG{i}\t{g}\tGene Expression\n" for i, g in enumerate(GENES))
    )
    with gzip.open(path / "barcodes.tsv.gz", "wt") as file:
        file.write("".join(f"{b}\n" for b in BARCODES))
    return path


def cells_csv(path, barcodes=BARCODES):
    OBS.reindex(barcodes).to_csv(path)
    return path


def layouts(tmp_path):
    cells = cells_csv(tmp_path / "cells.csv", BARCODES[::-1])
    yield open_raw(h5ad(tmp_path / "csr.h5ad"))
    yield open_raw(h5ad(tmp_path / "csc.h5ad", COUNTS.tocsc()))
    yield open_raw(h5ad(tmp_path / "dense.h5ad", COUNTS.toarray()))
    yield open_raw(
        h5ad(tmp_path / "layer.h5ad", 0.5 * COUNTS, layers={"counts": COUNTS}), layer="counts"
    )
    yield open_raw(tenx(tmp_path / "tenx.h5"), cells=cells)
    yield open_raw(market(tmp_path / "market"), cells=cells)


def test_all_layouts_give_the_same_cells(tmp_path):
    for raw in layouts(tmp_path):
        assert (
            raw.genes == GENES and raw.obs["perturbation"].tolist() == OBS["perturbation"].tolist()
        )
        read = sparse.vstack([chunk for _, chunk in replace(raw, at_once=4).chunks()])
        np.testing.assert_array_equal(read.toarray(), COUNTS.toarray())


def test_cells_read_at_once_hold_a_limited_number_of_values(tmp_path, monkeypatch):
    """Stored ones: the non-zero values of a sparse matrix, all of an array, whose blocks are not
    torn."""
    monkeypatch.setattr("cdnbench.datasets.cells.screens.stored.CHUNK_VALUES", 12)
    csr, _, dense, _, tenx, market = layouts(tmp_path)
    assert csr.at_once == tenx.at_once == 12 * 9 // COUNTS.nnz
    assert dense.at_once == 12 // 6 and market.at_once == 20_000
    with h5py.File(h5ad(tmp_path / "blocks.h5ad", COUNTS.toarray()), "a") as file:
        attributes = dict(file["X"].attrs)
        del file["X"]
        file.create_dataset("X", data=COUNTS.toarray(), chunks=(5, 2)).attrs.update(attributes)
    blocks = open_raw(tmp_path / "blocks.h5ad")
    assert blocks.at_once == 5
    np.testing.assert_array_equal(
        sparse.vstack([c for _, c in blocks.chunks()]).toarray(), COUNTS.toarray()
    )


def test_genes_can_be_named_by_their_identifiers(tmp_path):
    cells = cells_csv(tmp_path / "cells.csv")
    expected = [f"ENSG{i}" for i in range(6)]
    assert open_raw(h5ad(tmp_path / "a.h5ad"), genes="gene_id").genes == expected
    assert open_raw(tenx(tmp_path / "b.h5"), genes="gene_id", cells=cells).genes == expected
    assert open_raw(market(tmp_path / "c"), genes="gene_id", cells=cells).genes == expected


def test_cells_that_are_not_listed_have_no_perturbation(tmp_path):
    raw = open_raw(tenx(tmp_path / "a.h5"), cells=cells_csv(tmp_path / "cells.csv", BARCODES[:3]))
    assert raw.obs["perturbation"].isna().tolist() == [False] * 3 + [True] * 6


def truncated(path):
    data = h5ad(path).read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def wrong_shape(path):
    with h5py.File(h5ad(path), "a") as file:
        file["X"].attrs["shape"] = np.array([9, 7])
    return path


BROKEN = {
    "missing": (lambda p: p / "no.h5ad", {}, "does not exist"),
    "truncated": (
        lambda p: truncated(p / "t.h5ad"),
        {},
        "t.h5ad cannot be read; it may be truncated",
    ),
    "kind": (lambda p: cells_csv(p / "x.csv"), {}, "unknown kind of file"),
    "empty folder": (lambda p: p, {}, "has no features.tsv or genes.tsv"),
    "shape": (
        lambda p: wrong_shape(p / "s.h5ad"),
        {},
        r"X has shape \(9, 7\), but there are 9 "
        r"cells and 6 genes",
    ),
    "gene column": (
        lambda p: h5ad(p / "a.h5ad"),
        {"genes": "symbol"},
        "var has no column 'symbol'; it has gene_id",
    ),
    "layer": (lambda p: h5ad(p / "a.h5ad"), {"layer": "counts"}, "has no layers/counts"),
    "repeated genes": (
        lambda p: h5ad(p / "a.h5ad", genes=["A", "A", "B", "C", "D", "E"]),
        {},
        "1 gene names repeat.*--genes gene_id",
    ),
    "nothing of the cells": (lambda p: tenx(p / "a.h5"), {}, "--cells FILE"),
}


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_says_what_to_do(tmp_path, name):
    make, options, message = BROKEN[name]
    with pytest.raises(InvalidData, match=message):
        open_raw(make(tmp_path), **options)


def test_a_large_file_by_columns_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("cdnbench.datasets.cells.screens.stored.CONVERTIBLE", 3)
    with pytest.raises(InvalidData, match="stored gene by gene.*tocsr"):
        open_raw(h5ad(tmp_path / "a.h5ad", COUNTS.tocsc()))


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([1.0, -0.5], "counts", "negative"),
        ([1.0, np.nan], "counts", "not finite"),
        ([1.0, 2.5], "counts", "logarithms.*--values lognorm"),
        ([1.0, 200.5], "counts", "normalised counts.*before normalisation"),
        ([1.0, 200.0], "lognorm", "too large for a logarithm"),
    ],
)
def test_values_that_are_not_what_they_are_said_to_be(tmp_path, values, kind, message):
    with pytest.raises(InvalidData, match=message):
        check_values(sparse.csr_matrix([values]), tmp_path, kind)


def test_values_that_are(tmp_path):
    check_values(COUNTS, tmp_path)
    check_values(LOGS, tmp_path, "lognorm")
    check_values(changed(lambda x: x.astype(np.float16).astype(np.float32)), tmp_path, "lognorm")
    zero = sparse.csr_matrix((np.zeros(2), ([0, 1], [0, 0])), shape=(2, 6))  # stored ones
    check_values(sparse.csr_matrix(sparse.vstack([LOGS, zero])), tmp_path, "lognorm")
    check_values(LOGS[:, :4], tmp_path, "lognorm", TOTALS)
    check_values(sparse.csr_matrix((3, 3)), tmp_path)


def changed(change):
    return sparse.csr_matrix((change(LOGS.data), LOGS.indices, LOGS.indptr), shape=LOGS.shape)


def scaled_to(total):
    return lambda logs: np.log1p(np.expm1(logs) * total / 1e4)


@pytest.mark.parametrize(
    ("logs", "totals", "message"),
    [
        (changed(lambda x: x / np.log(2)), None, "base 2: multiply them by log"),
        (changed(lambda x: x / np.log(10)), None, "base 10: multiply them by log"),
        (changed(np.log1p), None, "adds up to .* not to 10,000. They were logged twice"),
        (changed(scaled_to(1e6)), None, "adds up to 1,000,000 per cell.*scaled to 1,000,000"),
        (changed(scaled_to(5e3)), None, "adds up to 5,000 per cell.*scale them to 10,000"),
        (changed(scaled_to(9.8e3)), None, "adds up to 9,800 per cell"),
        (LOGS[:, :3], None, "only some of the genes.*--total COLUMN"),
        (LOGS[:, :3], TOTALS * 1.3, "come from no whole count"),
        (changed(scaled_to(2e4)), TOTALS, "adds up to 20,000 per cell, more than 10,000"),
    ],
)
def test_logarithms_of_another_kind_say_what_they_add_up_to(tmp_path, logs, totals, message):
    with pytest.raises(InvalidData, match=message):
        check_values(logs, tmp_path, "lognorm", totals)


def test_log_normalisation():
    totals = np.arange(1, 10) * 10
    expected = np.log1p(COUNTS.toarray() / totals[:, None] * 1e4)
    np.testing.assert_allclose(log_normalise(COUNTS, totals).toarray(), expected, rtol=1e-6)


@pytest.mark.parametrize("made", [tenx, market])
def test_labels_of_a_table_of_cells_are_read_as_they_are_written(tmp_path, made):
    """01 is not 1, and an empty cell makes no 0.0 of 0; NA is a label if it is written."""
    table, n = tmp_path / "cells.csv", len(BARCODES)
    written = (["0", "1", "01", "NA", ""] * n)[:n]
    lines = [f"{b},{w},{i}" for i, (b, w) in enumerate(zip(BARCODES, written, strict=True))]
    table.write_text("\n".join(["barcode,perturbation,depth", *lines]))
    raw = open_raw(made(tmp_path / "a.h5"), cells=table)
    found = read_labels(raw, Preparation(control="NA"))
    assert set(found.names) == {"0", "1", "01", None}
    assert found.control.tolist() == [w == "NA" for w in written]
    assert raw.obs["depth"].dtype.kind in "iu"


def test_barcodes_that_repeat_are_refused(tmp_path):
    folder = market(tmp_path / "a")
    with gzip.open(folder / "barcodes.tsv.gz", "wt") as file:
        file.write("".join(f"{b}\n" for b in [BARCODES[1], *BARCODES[1:]]))
    with pytest.raises(InvalidData, match=f"'{BARCODES[1]}' repeats .1 names do"):
        open_raw(folder, cells=cells_csv(tmp_path / "cells.csv"))


def test_files_of_a_folder_that_contradict_each_other_say_how_many_each_has(tmp_path):
    folder, table = market(tmp_path / "a"), cells_csv(tmp_path / "cells.csv")
    mmwrite(folder / "matrix.mtx", COUNTS)
    with pytest.raises(
        InvalidData,
        match="matrix.mtx has 9 rows and 6 columns, but features.tsv lists 6 features and "
        "barcodes.tsv 9 barcodes. It has cells in rows; write it transposed",
    ):
        open_raw(folder, cells=table)
    mmwrite(folder / "matrix.mtx", COUNTS.T.tocsr()[:4])
    with pytest.raises(InvalidData, match="4 rows and 9 columns.*all three files from one run"):
        open_raw(folder, cells=table)
    (folder / "features.tsv").write_text("ENSG0\tA\nENSG1\n")
    with pytest.raises(InvalidData, match="features.tsv: some rows have 1 and 2 fields, but all"):
        open_raw(folder, cells=table)
    (folder / "features.tsv").rename(folder / "genes.tsv")  # as older versions call the file
    with pytest.raises(InvalidData, match="genes.tsv: some rows have 1 and 2 fields, but all"):
        open_raw(folder, cells=table)
    (folder / "genes.tsv").write_text("ENSG0\tA\n")
    with pytest.raises(InvalidData, match="genes.tsv lists 1 features"):
        open_raw(folder, cells=table)


def test_a_table_of_other_barcodes_shows_one_of_each(tmp_path):
    table = tmp_path / "cells.csv"
    table.write_text("barcode,perturbation\nAAAC-1,A\nAAAG-1,control\n")
    with pytest.raises(
        InvalidData, match=f"They look like '{BARCODES[0]}' there, and like 'AAAC-1' in the table"
    ):
        open_raw(market(tmp_path / "a"), cells=table)
    table.write_text("barcode,perturbation\n")
    with pytest.raises(InvalidData, match="cells.csv has a header and no rows"):
        open_raw(market(tmp_path / "b"), cells=table)
