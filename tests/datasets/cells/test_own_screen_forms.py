"""A user's own file gives the same tasks in every form that it may have."""

import gzip
from dataclasses import replace

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from own_screens import (
    CONTROL,
    LABEL,
    continuous,
    labelled,
    notes_of,
    opened,
    saved,
    tasks_of,
)
from scipy import sparse
from scipy.io import mmwrite

from cdnbench.datasets.cells.screens import own_screen
from cdnbench.errors import BenchError, InvalidData


def tenx(path, adata, types=None):
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            matrix[name] = getattr(adata.X, name)
        matrix["shape"] = np.array(adata.shape[::-1])
        matrix["barcodes"] = np.array(adata.obs_names, dtype="S")
        matrix["features/name"] = np.array(adata.var_names, dtype="S")
        matrix["features/id"] = np.array(adata.var["gene_id"], dtype="S")
        if types:
            matrix["features/feature_type"] = np.array(types, dtype="S")
    return path


def market(folder, adata, prefix=""):
    folder.mkdir(exist_ok=True)
    mmwrite(folder / f"{prefix}matrix.mtx", adata.X.T)
    rows = zip(adata.var["gene_id"], adata.var_names, strict=True)
    text = "".join(f"{i}\t{name}\tGene Expression\n" for i, name in rows)
    (folder / f"{prefix}features.tsv").write_text(text)
    with gzip.open(folder / f"{prefix}barcodes.tsv.gz", "wt") as file:
        file.write("".join(f"{b}\n" for b in adata.obs_names))
    return folder


def layered(adata):
    made = anndata.AnnData(adata.X * 0.5, obs=adata.obs, var=adata.var)
    made.layers["counts"] = adata.X
    made.raw = adata
    return made


def as_dense(adata, kind=np.asarray):
    return anndata.AnnData(kind(adata.X.toarray()), obs=adata.obs, var=adata.var)


def as_frame(adata):
    frame = pd.DataFrame(adata.X.toarray(), columns=adata.var_names, index=adata.obs_names)
    return frame.assign(total=adata.obs["total"], **{LABEL: adata.obs[LABEL]})


FORMS = {
    "h5ad": lambda a, p: (saved(a, p / "a.h5ad"), {}),
    "h5ad, columns": lambda a, p: (saved(as_dense(a, sparse.csc_matrix), p / "a.h5ad"), {}),
    "h5ad, dense": lambda a, p: (saved(as_dense(a), p / "a.h5ad"), {}),
    "h5ad, layer": lambda a, p: (saved(layered(a), p / "a.h5ad"), {"layer": "counts"}),
    "h5ad, raw": lambda a, p: (saved(layered(a), p / "a.h5ad"), {"layer": "raw"}),
    "10x": lambda a, p: (tenx(p / "a.h5", a), {"cells": cells(a, p)}),
    "folder": lambda a, p: (market(p / "m", a), {"cells": cells(a, p)}),
    "mtx": lambda a, p: (market(p / "m", a, "x_") / "x_matrix.mtx", {"cells": cells(a, p)}),
    "AnnData": lambda a, p: (a, {}),
    "AnnData, columns": lambda a, p: (as_dense(a, sparse.csc_matrix), {}),
    "AnnData, dense": lambda a, p: (as_dense(a), {}),
    "AnnData, layer": lambda a, p: (layered(a), {"layer": "counts"}),
    "AnnData, raw": lambda a, p: (layered(a), {"layer": "raw"}),
    "data frame": lambda a, p: (as_frame(a), {}),
    "csv": lambda a, p: (table(a, p / "a.csv"), {}),
    "tsv": lambda a, p: (table(a, p / "a.tsv", sep="\t"), {}),
    "txt": lambda a, p: (table(a, p / "a.txt", sep=";", decimal=","), {}),
    "csv.gz": lambda a, p: (table(a, p / "a.csv.gz"), {}),
    "parquet": lambda a, p: (parquet(a, p / "a.parquet"), {}),
}


def cells(adata, folder):
    adata.obs.to_csv(folder / "cells.csv")
    return folder / "cells.csv"


def table(adata, path, **options):
    as_frame(adata).to_csv(path, **options)
    return path


def parquet(adata, path):
    as_frame(adata).to_parquet(path)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_file_gives_the_same_tasks(form, small, expected, tmp_path):
    source, options = FORMS[form](small, tmp_path)
    screen = opened(source, total="total", **options)
    tasks = tasks_of(screen)
    assert set(tasks) == set(expected) - {CONTROL}
    assert screen.has_symbols == (
        form not in ("data frame", "csv", "tsv", "txt", "csv.gz", "parquet")
    )
    for name, task in tasks.items():
        assert list(task.variables) == list(small.var_names)
        assert (task.symbols is not None) == screen.has_symbols
        np.testing.assert_allclose(task.regimes[0], expected[name], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(task.observational, expected[CONTROL], rtol=1e-4, atol=1e-5)
    assert "the column 'total' as the total" in notes_of(screen)


@pytest.mark.parametrize("kind", ["float16", "int8", "uint16", "int64", "float64"])
def test_any_type_of_number_in_memory_is_read(small, kind):
    whole = tasks_of(opened(small))["G3"].regimes[0]
    values = small.X.toarray().clip(max=100).astype(kind)
    found = opened(anndata.AnnData(values, obs=small.obs, var=small.var))
    np.testing.assert_allclose(tasks_of(found)["G3"].regimes[0], whole, rtol=1e-4)


def test_values_in_memory_that_cannot_be_read_are_no_damaged_file(small):
    def broken(low, high):
        raise ValueError("no rows")

    raw = replace(opened(small).source.raw, read=broken)
    with pytest.raises(InvalidData, match=r"the AnnData: rows 0 to .*\(no rows\)") as error:
        next(raw.chunks())
    assert "file" not in str(error.value)


def test_what_is_given_is_not_changed(small):
    before = small.copy()
    tasks_of(opened(small))
    assert (small.X != before.X).nnz == 0 and small.X.nnz == before.X.nnz
    pd.testing.assert_frame_equal(small.obs, before.obs)
    frame = continuous()
    same = frame.copy()
    tasks_of(opened(frame))
    pd.testing.assert_frame_equal(frame, same)


def test_a_backed_anndata_is_read_in_parts(small, expected, tmp_path):
    backed = anndata.read_h5ad(saved(small, tmp_path / "a.h5ad"), backed="r")
    screen = opened(backed, total="total")
    assert screen.source.inputs == (tmp_path / "a.h5ad",)
    found = tasks_of(screen)["G1"].regimes[0]
    np.testing.assert_allclose(found, expected["G1"], rtol=1e-4, atol=1e-5)


def test_rows_without_a_label_are_counted():
    """An empty label is none."""
    labels = [CONTROL] * 4 + ["a"] * 4 + ["", " ", None, np.nan]
    frame = labelled(np.random.default_rng(0).normal(size=(12, 3)), labels)
    adata = anndata.AnnData(frame.drop(columns=LABEL).to_numpy(), obs=frame[[LABEL]])
    for source in (frame, adata):
        screen = opened(source)
        assert [c.name for c in screen.comparisons] == ["a"]
        assert f"4 rows without a label in {LABEL!r}" in notes_of(screen)


def test_genes_are_named_by_a_column(small, tmp_path):
    for source in (small, saved(small, tmp_path / "a.h5ad")):
        assert opened(source, genes="gene_id").variables[0] == "ENSG0"
        with pytest.raises(BenchError, match="gene_idd"):
            opened(source, genes="gene_idd")


def test_genes_in_rows_are_told_by_where_the_labels_are(small, tmp_path):
    turned = small.T.copy()
    for source in (turned, saved(turned, tmp_path / "a.h5ad")):
        with pytest.raises(InvalidData, match="is in var, not in obs.*Transpose it"):
            opened(source)


def test_without_x_the_layers_that_are_there_are_named(small, tmp_path):
    small = small.copy()
    small.layers["mine"] = small.X.copy()
    small.X = None
    for source in (small, saved(small, tmp_path / "a.h5ad")):
        with pytest.raises(InvalidData, match="has no X.*mine") as error:
            opened(source)
        assert "counts" not in str(error.value) and "X and" not in str(error.value)
        assert len(opened(source, layer="mine").variables) == small.n_vars


def test_columns_of_one_name_ask_for_names_of_their_own():
    frame = continuous().rename(columns={"v1": "v0"})
    with pytest.raises(InvalidData, match="1 names of columns repeat.*v0.*a name of its own"):
        opened(frame)


@pytest.mark.parametrize("none", [None, np.nan, " "])
def test_a_gene_without_a_name_is_refused(small, tmp_path, none):
    small = small.copy()
    small.var["symbol"] = [none, *[f"S{i}" for i in range(1, small.n_vars)]]
    for source in (small, saved(small, tmp_path / "a.h5ad")):
        with pytest.raises(InvalidData, match="1 of .* genes have no name in .*'symbol'.*G0"):
            opened(source, genes="symbol")


def test_guides_of_10x_are_no_genes(small, tmp_path):
    types = ["Gene Expression"] * (small.n_vars - 2) + ["CRISPR Guide Capture"] * 2
    screen = opened(tenx(tmp_path / "a.h5", small, types), cells=cells(small, tmp_path))
    assert list(screen.variables) == list(small.var_names[:-2])
    assert "2 features of type CRISPR Guide Capture" in notes_of(screen)


def test_barcodes_that_look_like_numbers_are_text(small, tmp_path):
    small = small.copy()
    small.obs_names = [f"{i:03d}" for i in range(small.n_obs)]
    screen = opened(market(tmp_path / "m", small), cells=cells(small, tmp_path))
    wanted = [(c.name, c.n_control, c.n_perturbed) for c in opened(small).comparisons]
    assert [(c.name, c.n_control, c.n_perturbed) for c in screen.comparisons] == wanted


@pytest.mark.parametrize("rounds", [1, 4])
def test_blocks_and_chunks_change_nothing(rounds, small, expected, monkeypatch):
    monkeypatch.setattr(own_screen, "MOMENT_VALUES", small.n_vars * rounds)
    screen = opened(small, total="total")
    screen.source = replace(screen.source, raw=replace(screen.source.raw, at_once=17))
    assert len(list(screen.blocks())) == -(-len(screen.comparisons) // rounds)
    for name, task in tasks_of(screen).items():
        np.testing.assert_allclose(task.regimes[0], expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sparse", [False, True])
def test_halves_of_a_backed_anndata_are_different_data(small, tmp_path, sparse):
    """Their labels are the same, and so is the file behind them."""
    both = anndata.concat([small, small])
    n, values = small.n_obs, both.X.toarray()
    values[n:, [0, 1]] = values[n:, [1, 0]]
    both.X = type(small.X)(values) if sparse else values
    backed = anndata.read_h5ad(saved(both, tmp_path / "a.h5ad"), backed="r")
    one, other = (opened(backed[half]) for half in (slice(0, n), slice(n, 2 * n)))
    assert one.identity != other.identity and one.identity == opened(backed[:n]).identity


def test_the_identity_follows_the_rows_that_are_compared(small):
    """And not their names, or a column as text, unless a condition makes something of them."""
    renamed, text = small.copy(), small.copy()
    renamed.obs_names = np.roll(small.obs_names, 1)
    text.obs["batch"] = text.obs["batch"].astype(str)
    assert opened(renamed).identity == opened(text).identity == opened(small).identity
    where = "index < 'c3'"
    assert opened(renamed, where=where).identity != opened(small, where=where).identity
    moved = small.copy()
    moved.obs[LABEL] = small.obs[LABEL].astype(object).replace({"G1": "G2", "G2": "G1"})
    assert opened(moved).identity != opened(small).identity


def test_the_identity_follows_the_genes_that_remain(small):
    """Guides in place of other genes move the columns that methods get."""
    found = []
    for guides in ([], [2, 3], [4, 5]):
        marked = small.copy()
        marked.var["feature_types"] = "Gene Expression"
        marked.var.loc[marked.var_names[guides], "feature_types"] = "CRISPR Guide Capture"
        found.append(opened(marked).identity)
    assert len(set(found)) == 3


def test_the_identity_follows_the_totals_that_are_used(small):
    other = small.copy()
    other.obs["total"] *= 1.5
    assert opened(other).identity == opened(small).identity
    assert opened(other, total="total").identity != opened(small, total="total").identity
