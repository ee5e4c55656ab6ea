"""A reader reads a file, or refuses it with an error of the project: no traceback, no crash of
compiled code, no waiting without end. What means the same is read to the same values."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import pickle
import random
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples_of_data import LABELS
from samples_of_files import READERS
from samples_of_knowledge import gaf_text, obo_text
from scipy import sparse
from trial import Trial, place

from cdnbench.errors import BenchError
from cdnbench.knowledge import read_annotations, read_embeddings
from cdnbench.knowledge.ontology import ancestors, read_parents
from cdnbench.samples import read_samples

FEW, MANY = 30, 3000
"""Examples per reader: about a minute in all, and an hour."""


@pytest.fixture(scope="module")
def trial():
    with Trial() as running:
        yield running


def quietly(examples: int):
    """Settings under which the same examples are drawn everywhere, however slow the machine."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize("name", READERS)
def test_a_valid_file_is_read(trial, name):
    """Or else the tests below would be of refusals alone."""
    kinds = [
        trial.of(name, lambda d, s=s: READERS[name].write(d, random.Random(s))) for s in (0, 3)
    ]
    assert "read" in {outcome.kind for outcome in kinds}, kinds


def attempts(trial: Trial, name: str, examples: int) -> None:
    @quietly(examples)
    @given(st.integers(0, 2**32 - 1))  # not st.randoms: some files differ each time in length
    def run(seed):
        outcome = trial.of(name, lambda folder: place(name, folder, random.Random(seed)))
        assert outcome.kind != "failed", outcome.text

    run()


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused(trial, name):
    attempts(trial, name, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_damaged_files_are_read_or_refused(trial, name):
    attempts(trial, name, MANY)


def test_a_crash_and_an_error_that_is_not_the_projects_are_seen(trial, tmp_path, monkeypatch):
    """The harness itself: the process that reads is killed, or meets a plain error."""
    path = tmp_path / "x.npz"
    path.mkdir()
    outcome = trial.on("public .ckpt", None)
    assert outcome.kind == "failed" and "Error" in outcome.text
    trial.on("checksums", path)
    os.kill(trial._process.pid, 11)
    assert "SIGSEGV" in trial.on("checksums", path).text
    assert trial.on("weights", tmp_path / "none.safetensors").kind == "refused"


# --- what means the same is read to the same values -----------------------------------------------

FINITE = st.floats(-1e6, 1e6, allow_nan=False, width=32)


def same(first, second) -> None:
    assert first.columns == second.columns
    assert np.array_equal(first.values.astype(np.float64), second.values.astype(np.float64))


@st.composite
def tables(draw):
    n, rows = draw(st.integers(2, 4)), draw(st.integers(2, 5))
    cells = draw(st.lists(FINITE, min_size=n * rows, max_size=n * rows))
    values = np.array(cells).reshape(rows, n)
    values[:, 0] += 0.5 + np.arange(rows) * 2.25  # so that no column counts the rows
    return values, [f"gene{i}" for i in range(n)]


@quietly(40)
@given(
    tables(),
    st.sampled_from(",;\t "),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.sampled_from(["", ".gz", ".bz2", ".xz"]),
    st.randoms(use_true_random=False),
)
def test_a_table_means_the_same_however_it_is_written(table, delimiter, end, mark, packing, rng):
    values, names = table
    order = list(range(len(names)))
    rng.shuffle(order)
    decimal = "," if delimiter == ";" and any(v % 1 for v in values.ravel()) else "."
    lines = [delimiter.join(names[i] for i in order)]
    lines += [
        delimiter.join(format(row[i], ".17g").replace(".", decimal) for i in order)
        for row in values
    ]
    text = ("\ufeff" if mark else "") + end.join(lines) + end
    pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}[packing]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t.csv{packing}"
        path.write_bytes(pack(text.encode()))
        try:
            found = read_samples(path)
        except BenchError as error:  # commas of three digits may separate thousands
            assert decimal == "," and "thousands" in str(error)
            return
    back = [found.columns.index(name) for name in names]
    assert np.array_equal(found.values[:, back], values)


@quietly(20)
@given(tables(), st.booleans())
def test_a_table_means_the_same_in_every_kind_of_file(table, single):
    import anndata

    values, names = table
    values = values.astype(np.float32 if single else np.float64)
    sparse_values = np.where(np.abs(values) < 1, 0, values)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        pd.DataFrame(sparse_values, columns=names).to_parquet(place / "t.parquet")
        np.savez(place / "t.npz", x=sparse_values, variables=np.array(names))
        np.savez_compressed(place / "f.npz", x=np.asfortranarray(sparse_values), names=names)
        for kind, form in (("d", np.asarray), ("r", sparse.csr_matrix), ("c", sparse.csc_matrix)):
            anndata.AnnData(form(sparse_values), var=pd.DataFrame(index=names)).write_h5ad(
                place / f"{kind}.h5ad", compression="gzip" if single else None
            )
        first, *others = [read_samples(path) for path in sorted(place.iterdir())]
        assert np.array_equal(first.values, sparse_values)
        for other in others:
            same(first, other)


@quietly(12)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from(["i4", "i8", "f4", "f8", "f2"]), st.integers(1, 9)
)
def test_cells_mean_the_same_however_they_are_stored(seed, dtype, chunk):
    from cdnbench.datasets.cells.screens.raw import open_raw

    counts = np.random.default_rng(seed).poisson(1.0, size=(len(LABELS), 5)).astype(dtype)
    with tempfile.TemporaryDirectory() as folder:
        for name, form in (("dense", None), ("csr", sparse.csr_matrix), ("csc", sparse.csc_matrix)):
            path = Path(folder) / f"{name}.h5ad"
            _write_screen(path, counts, form, chunk)
            found = [part.toarray() for _, part in open_raw(path).chunks()]
            assert np.array_equal(np.concatenate(found), counts), name


def _write_screen(path: Path, counts: np.ndarray, form, chunk: int) -> None:
    """By hand, as anndata writes no half precision; entries of the first row are split in two."""
    import anndata

    obs = pd.DataFrame(index=[f"c{i}" for i in range(len(counts))])
    anndata.AnnData(obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(5)])).write_h5ad(path)
    with h5py.File(path, "a") as file:
        if "X" in file:
            del file["X"]
        if form is None:
            file.create_dataset("X", data=counts, chunks=(chunk, 5), maxshape=(None, 5))
            file["X"].attrs["encoding-type"] = "array"
            return
        x = form(counts.astype(np.float64))
        half = x.data / 2
        group = file.create_group("X")
        group.attrs["encoding-type"] = f"{x.format}_matrix"
        group.attrs["shape"] = np.array(counts.shape)
        group["data"] = np.repeat(half, 2).astype("f8")
        group["indices"] = np.repeat(x.indices, 2)
        group["indptr"] = x.indptr * 2


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("packed", [False, True])
def test_annotations_mean_the_same_however_they_are_written(tmp_path, end, mark, packed):
    def write(folder: Path, end: bytes, mark: bytes, packed: bool):
        folder.mkdir()
        for name, text in (("a.gaf", gaf_text), ("go.obo", obo_text)):
            content = mark + text(random.Random(0)).encode().replace(b"\n", end)
            path = folder / (name + ".gz" * packed)
            path.write_bytes(gzip.compress(content) if packed else content)
        return read_annotations(folder)

    plain = write(tmp_path / "plain", b"\n", b"", False)
    found = write(tmp_path / "other", end, mark, packed)
    assert found.genes.tolist() == plain.genes.tolist()
    assert found.terms.tolist() == plain.terms.tolist() and found.matrix.nnz == 26
    assert (found.matrix != plain.matrix).nnz == 0


@quietly(30)
@given(st.integers(0, 5), st.sampled_from(["list", "tuple", "array", "f4", ">f8", "scalars"]))
def test_vectors_mean_the_same_in_every_protocol(protocol, form):
    values = np.random.default_rng(0).normal(size=(4, 1200)).astype(np.float32)
    forms = {
        "list": lambda v: v.astype(float).tolist(),
        "tuple": lambda v: tuple(v.astype(float).tolist()),
        "array": lambda v: v.astype(float),
        "f4": lambda v: v,
        ">f8": lambda v: v.astype(">f8"),
        "scalars": list,
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "e.pickle"
        vectors = {f"G{i}": forms[form](row) for i, row in enumerate(values)}
        path.write_bytes(pickle.dumps(vectors, protocol=protocol))
        assert np.array_equal(read_embeddings(path).vectors, values)


def test_an_ontology_may_be_deep(tmp_path):
    n = 3000
    terms = [f"[Term]\nid: T:{i}\n" + (f"is_a: T:{i - 1}\n" if i else "") for i in range(n)]
    (tmp_path / "o.obo").write_text("format-version: 1.2\n\n" + "\n".join(terms))
    assert len(ancestors(f"T:{n - 1}", read_parents(tmp_path / "o.obo"))) == n
