"""Features that are no genes, unusual numbers, and sparse files whose parts disagree."""

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.io import mmwrite

from cdnbench.datasets.cells.screens.raw import open_raw
from cdnbench.errors import InvalidData

N_CELLS, N_GENES = 9, 6
COUNTS = sparse.csr_matrix(
    np.random.default_rng(0).poisson(0.8, (N_CELLS, N_GENES)).astype(np.float32)
)
NAMES = [f"G{i}" for i in range(N_GENES)]
OBS = pd.DataFrame(
    {"perturbation": ["a", "b", "control"] * 3}, index=[f"cell{i}" for i in range(N_CELLS)]
)
GENES_AND_GUIDES = ["Gene Expression"] * 2 + ["CRISPR Guide Capture"] + ["Gene Expression"] * 2
GENES_AND_GUIDES += ["Antibody Capture"]


def cells(folder):
    OBS.to_csv(folder / "cells.csv")
    return folder / "cells.csv"


def tenx(path, types=None):
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            matrix[name] = getattr(COUNTS, name)
        matrix["shape"] = np.array([N_GENES, N_CELLS])
        matrix["barcodes"] = np.array(OBS.index, dtype="S")
        matrix["features/name"] = matrix["features/id"] = np.array(NAMES, dtype="S")
        if types:
            matrix["features/feature_type"] = np.array(types, dtype="S")
    return path


def market(path, types):
    path.mkdir()
    mmwrite(path / "matrix.mtx", COUNTS.T)
    rows = [f"ENSG{n}\t{n}\t{t}\n" for n, t in zip(NAMES, types, strict=True)]
    (path / "features.tsv").write_text("".join(rows))
    (path / "barcodes.tsv").write_text("".join(f"{b}\n" for b in OBS.index))
    return path


def h5ad(path, x=COUNTS, types=None):
    var = pd.DataFrame(index=NAMES)
    if types:
        var["feature_types"] = types
    anndata.AnnData(x, obs=OBS, var=var).write_h5ad(path)
    return path


def values(raw):
    return sparse.vstack([chunk for _, chunk in raw.chunks()]).toarray()


@pytest.mark.parametrize("layout", ["h5", "mtx", "h5ad"])
def test_only_gene_expression_features_are_read(tmp_path, layout):
    if layout == "h5ad":
        raw = open_raw(h5ad(tmp_path / "a.h5ad", types=GENES_AND_GUIDES))
    else:
        made = {"h5": tenx, "mtx": market}[layout](tmp_path / f"a.{layout}", GENES_AND_GUIDES)
        raw = open_raw(made, cells=cells(tmp_path))
    assert raw.genes == ["G0", "G1", "G3", "G4"]
    assert raw.left_out == {"Antibody Capture": 1, "CRISPR Guide Capture": 1}
    np.testing.assert_array_equal(values(raw), COUNTS.toarray()[:, [0, 1, 3, 4]])


def test_a_file_without_genes_is_refused(tmp_path):
    made = tenx(tmp_path / "a.h5", ["Peaks"] * N_GENES)
    with pytest.raises(InvalidData, match="no feature of type 'Gene Expression'.*Peaks"):
        open_raw(made, cells=cells(tmp_path))


@pytest.mark.parametrize("by", ["rows", "columns", "array"])
def test_half_precision_counts_are_read(tmp_path, by):
    path = h5ad(tmp_path / "half.h5ad", COUNTS.toarray() if by == "array" else COUNTS)
    with h5py.File(path, "a") as file:
        if by == "array":
            attributes = dict(file["X"].attrs)
            del file["X"]
            file["X"] = COUNTS.toarray().astype(np.float16)
            file["X"].attrs.update(attributes)
        else:
            if by == "columns":
                file["X"].attrs["encoding-type"] = "csc_matrix"
                for name in ("indices", "indptr"):
                    del file["X"][name]
                    file["X"][name] = getattr(COUNTS.tocsc(), name)
            stored = COUNTS.tocsc() if by == "columns" else COUNTS
            del file["X/data"]
            file["X/data"] = stored.data.astype(np.float16)
    read = values(open_raw(path))
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, COUNTS.toarray())


def test_the_raw_layer_has_genes_of_its_own(tmp_path):
    whole = anndata.AnnData(COUNTS, obs=OBS, var=pd.DataFrame(index=NAMES))
    few = whole[:, ["G4", "G1"]].copy()
    few.X = few.X * 0.5
    few.raw = whole
    few.write_h5ad(tmp_path / "a.h5ad")
    raw = open_raw(tmp_path / "a.h5ad", layer="raw")
    assert raw.genes == NAMES
    np.testing.assert_array_equal(values(raw), COUNTS.toarray())
    with pytest.raises(InvalidData, match="no raw/X"):
        open_raw(h5ad(tmp_path / "b.h5ad"), layer="raw")


@pytest.mark.parametrize("kind", [np.float32, np.uint8])
@pytest.mark.parametrize("by", ["csr_matrix", "csc_matrix"])
def test_repeated_entries_are_summed(tmp_path, by, kind):
    """Small whole numbers do not overflow as they are summed."""
    path = h5ad(tmp_path / "twice.h5ad")
    with h5py.File(path, "a") as file:
        del file["X"]
        x = file.create_group("X")
        x.attrs.update({"encoding-type": by, "shape": np.array([N_CELLS, N_GENES])})
        n = N_CELLS if by == "csr_matrix" else N_GENES
        x["data"] = np.array([200, 3, 100, 4], dtype=kind)
        x["indices"] = np.array([2, 0, 2, 5])
        x["indptr"] = np.array([0, 3] + [4] * (n - 1))
    expected = np.zeros((N_CELLS, N_GENES))
    expected[[0, 0, 1], [2, 0, 5]] = [300, 3, 4]
    if by == "csc_matrix":
        expected = np.zeros((N_CELLS, N_GENES))
        expected[[2, 0, 5], [0, 0, 1]] = [300, 3, 4]
    np.testing.assert_array_equal(values(open_raw(path)), expected)


def replaced(name, change):
    def damage(path):
        with h5py.File(path, "a") as file:
            group = file["X"] if "X" in file else file["matrix"]
            stored = group[name][:]
            del group[name]
            group[name] = change(stored)

    return damage


def at(place, value):
    def change(stored):
        stored = stored.copy()
        stored[place] = value
        return stored

    return change


DAMAGE = {
    "index too large": (replaced("indices", at(4, N_GENES)), "a value at place 6, of 6"),
    "index negative": (replaced("indices", at(4, -1)), "a value at place -1, of 6"),
    "index of 64 bits": (
        replaced("indices", lambda i: at(4, 2**40)(i.astype(np.int64))),
        "a value at place 1099511627776, of 6",
    ),
    "pointers decrease": (replaced("indptr", at(3, 10**6)), "decreases"),
    "first pointer": (replaced("indptr", at(0, 1)), "does not start at 0"),
    "negative pointer": (replaced("indptr", at(2, -5)), "decreases"),
    "last pointer too large": (replaced("indptr", at(-1, 10**6)), "ends at 1000000, but"),
    "last pointer too small": (
        replaced("indptr", lambda p: np.minimum(p, p[-1] - 1)),
        "but there are",
    ),
    "too few pointers": (replaced("indptr", lambda p: p[:-1]), "entries, not 10"),
    "fewer indices": (replaced("indices", lambda i: i[:-1]), "values and .* indices"),
    "fractional pointers": (replaced("indptr", lambda p: p + 0.5), "in place of whole numbers"),
    "table of values": (replaced("data", lambda d: d[None]), "no list data"),
    "complex values": (replaced("data", lambda d: d + 1j), "complex.* in place of numbers"),
    "text": (replaced("data", lambda d: np.full(len(d), b"x")), "in place of numbers"),
}


@pytest.mark.parametrize("layout", ["h5ad", "10x"])
@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_sparse_matrix_is_refused_before_it_is_used(tmp_path, name, layout):
    damage, message = DAMAGE[name]
    path = h5ad(tmp_path / "a.h5ad") if layout == "h5ad" else tenx(tmp_path / "a.h5")
    damage(path)
    with pytest.raises(InvalidData, match=f"{path.name}: .*{message}"):
        values(open_raw(path, cells=None if layout == "h5ad" else cells(tmp_path)))


def test_a_part_that_cannot_be_read_names_the_file_and_the_cells(tmp_path):
    """A compressed block whose bytes are damaged: h5py finds out when the block is read."""
    path = tmp_path / "a.h5ad"
    anndata.AnnData(COUNTS, obs=OBS, var=pd.DataFrame(index=NAMES)).write_h5ad(
        path, compression="gzip"
    )
    with h5py.File(path) as file:
        block = file["X/data"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[block.byte_offset : block.byte_offset + block.size] = b"\xff" * block.size
    path.write_bytes(content)
    with pytest.raises(InvalidData, match="a.h5ad: cells 0 to 8 cannot be read"):
        values(open_raw(path))


def test_every_cut_of_a_file_is_refused_by_name(tmp_path):
    content = h5ad(tmp_path / "a.h5ad").read_bytes()
    for share in np.linspace(0, 0.95, 20):
        cut = tmp_path / "cut.h5ad"
        cut.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(InvalidData, match="cut.h5ad"):
            values(open_raw(cut))


def test_none_in_a_table_of_cells_is_a_label(tmp_path):
    table = OBS.assign(perturbation=["None", "a", ""] * 3, depth=[1.0, 2.0, None] * 3)
    table.to_csv(tmp_path / "cells.csv")
    read = open_raw(tenx(tmp_path / "a.h5"), cells=tmp_path / "cells.csv").obs
    assert read["perturbation"].isna().tolist() == [False, False, True] * 3
    assert read["perturbation"].iloc[0] == "None"
    assert read["depth"].dtype == float


def test_entries_in_another_order_stay_in_it(tmp_path):
    """Nothing repeats, so nothing is summed or sorted."""
    path = h5ad(tmp_path / "a.h5ad")
    with h5py.File(path, "a") as file:
        for name, stored in (("data", [5, 7, 1]), ("indices", [4, 1, 1])):
            del file["X"][name]
            file["X"][name] = np.array(stored)
        file["X/indptr"][:] = np.array([0, 2] + [3] * (N_CELLS - 1))
    ((_, chunk),) = open_raw(path).chunks()
    assert chunk.indices.tolist() == [4, 1, 1] and chunk.data.tolist() == [5, 7, 1]
