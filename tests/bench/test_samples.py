"""`bench predict` on a user's own files."""

import numpy as np
import pandas as pd
import pytest

from cdnbench.errors import InvalidTask
from cdnbench.samples import read_pair, read_samples


@pytest.fixture
def frame():
    return pd.DataFrame(
        np.random.default_rng(0).normal(size=(6, 3)), columns=["a", "b", "c"]
    ).astype("float32")


def write(frame, path):
    if path.suffix == ".npz":
        np.savez(path, X=frame.to_numpy(), variables=np.array(frame.columns, dtype=str))
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".h5ad":
        import anndata
        from scipy import sparse

        data = anndata.AnnData(sparse.csr_matrix(frame.to_numpy()))
        data.var_names = list(frame.columns)
        data.write_h5ad(path)
    else:
        frame.to_csv(path, sep="\t" if ".tsv" in path.name else ",", index=False)
    return path


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.tsv", "x.parquet", "x.npz", "x.h5ad"])
def test_every_kind_of_file_reads_the_same(tmp_path, frame, name):
    values, variables = read_samples(write(frame, tmp_path / name))
    assert variables == ["a", "b", "c"]
    np.testing.assert_allclose(values, frame.to_numpy(), rtol=1e-6)


def test_row_labels_are_not_a_variable(tmp_path, frame):
    frame.to_csv(tmp_path / "unnamed.csv")
    frame.set_index(pd.Index([f"cell{i}" for i in range(6)], name="cell")).to_csv(
        tmp_path / "named.csv"
    )
    for name in ("unnamed.csv", "named.csv"):
        assert read_samples(tmp_path / name)[1] == ["a", "b", "c"]


def test_names_saved_as_objects_are_explained(tmp_path, frame):
    np.savez(
        tmp_path / "x.npz", X=frame.to_numpy(), variables=np.array(["a", "b", "c"], dtype=object)
    )
    with pytest.raises(InvalidTask, match="save the names as text"):
        read_samples(tmp_path / "x.npz")


def test_columns_are_matched_by_name(tmp_path, frame):
    task = read_pair(
        write(frame, tmp_path / "x.csv"), write(frame[["c", "a", "b"]], tmp_path / "y.csv")
    )
    np.testing.assert_array_equal(task.observational, task.regimes[0])


@pytest.mark.parametrize(
    "content, words",
    [
        ("a,b\n1,\n2,3\n", "first in row 1, column 'b'"),
        ("a,b\n1,inf\n2,3\n", "not finite"),
        ("a,a\n1,2\n", "'a' repeat"),
        ("1,2\n3,4\n", "must name the variables"),
        ("a,b\n1,x\n2,y\n", "'b' hold text"),
        ("a,b\n", "holds no samples"),
    ],
)
def test_a_bad_table_is_named(tmp_path, content, words):
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(InvalidTask, match=words) as error:
        read_samples(path)
    assert "bad.csv" in str(error.value)


def test_a_file_that_is_not_there_or_not_known_or_broken(tmp_path):
    for name, words in [
        ("none.csv", "does not exist"),
        ("x.xlsx", "unknown kind"),
        ("x.npz", "cannot be read as .npz"),
    ]:
        if name != "none.csv":
            (tmp_path / name).write_text("nonsense")
        with pytest.raises(InvalidTask, match=words):
            read_samples(tmp_path / name)


def test_columns_that_differ_are_named_with_their_file(tmp_path, frame):
    before = write(frame, tmp_path / "x.csv")
    after = write(frame.rename(columns={"c": "d"}), tmp_path / "y.csv")
    with pytest.raises(InvalidTask, match=r"'c' only in .*x.csv; 'd' only in .*y.csv"):
        read_pair(before, after)
