"""Reading a user's own files: rightly, or not at all."""

import numpy as np
import pandas as pd
import pytest

from cdnbench.errors import InvalidTask
from cdnbench.samples import read_samples


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
    table = read_samples(write(frame, tmp_path / name))
    assert table.columns == ["a", "b", "c"]
    np.testing.assert_allclose(table.values, frame.to_numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    "index, label, words",
    [
        (range(6), "", "has no name"),
        ([f"cell{i}" for i in range(6)], "", "has no name"),
        ([f"cell{i}" for i in range(6)], "cell", "holds text"),
        (range(6), "cell", "is called as row labels are"),
        ([7, 3, 19, 4, 1, 1000], "Sample_ID", "is called as row labels are"),
        (range(1000, 1006), "nr", "counts the rows"),
    ],
)
def test_row_labels_are_not_a_variable_and_a_note_says_so(tmp_path, frame, index, label, words):
    frame.set_index(pd.Index(list(index), name=label or None)).to_csv(tmp_path / "x.csv")
    table = read_samples(tmp_path / "x.csv")
    assert table.columns == ["a", "b", "c"] and table.rows == [str(i) for i in index]
    assert len(table.notes) == 1 and words in table.notes[0] and "x.csv" in table.notes[0]
    np.testing.assert_allclose(table.values, frame.to_numpy(), rtol=1e-6)


@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize("name", ["Unnamed: 0", "unnamed: 0.1", "Unnamed: 12"])
@pytest.mark.parametrize("index", [[3, 0, 5, 1, 4, 2], [0.5, 1, 1, 2, 3, 4], list("uvwxyz")])
def test_a_column_that_pandas_named_is_no_variable(tmp_path, frame, place, name, index):
    frame.insert(place, name, index)
    frame.to_csv(tmp_path / "x.csv", index=False)
    table = read_samples(tmp_path / "x.csv")
    assert table.columns == ["a", "b", "c"] and table.values.shape == (6, 3)
    assert len(table.notes) == 1 and repr(name) in table.notes[0]
    labels = place == 0 and len(set(index)) == 6
    assert table.rows == ([str(i) for i in index] if labels else None)


def test_columns_that_pandas_named_stay_where_they_are_samples(tmp_path):
    (tmp_path / "x.csv").write_text("gene,s1,Unnamed: 2\na,1.5,2.5\nb,3.5,4.5\n")
    table = read_samples(tmp_path / "x.csv", transpose=True)
    assert table.columns == ["a", "b"] and table.rows == ["s1", "Unnamed: 2"]


def test_a_numeric_first_column_with_a_name_is_a_variable(tmp_path):
    for content in (
        "dose,b\n1,2\n1,3\n2,4\n",
        "id,b\n0.5,2\n1.5,3\n2.5,4\n",
        "n,b\n3,1\n1,2\n2,2\n",
    ):
        (tmp_path / "x.csv").write_text(content)
        table = read_samples(tmp_path / "x.csv")
        assert len(table.columns) == 2 and table.rows is None and not table.notes


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.txt", "x.txt.gz", "x.csv.xz"])
@pytest.mark.parametrize(
    "separator, decimal", [(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ","), (" ", ".")]
)
@pytest.mark.parametrize("index", [False, True])
def test_delimiter_and_decimal_sign_are_found_out(tmp_path, frame, name, separator, decimal, index):
    frame.index = [f"cell{i}" for i in range(6)]
    frame.to_csv(
        tmp_path / name, sep=separator, decimal=decimal, index=index, index_label="the-cell"
    )
    table = read_samples(tmp_path / name)
    assert table.columns == ["a", "b", "c"]
    assert table.rows == (list(frame.index) if index else None)
    np.testing.assert_allclose(table.values, frame.to_numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    "content",
    [
        "  a   b\n 1.5   2\n-3   4e1\n",
        "a, b\n1.5, 2\n-3, 4e1\n",
        "\ufeffa;b\r\n1,5;2\r\n-3;4e1\r\n",
        '"a","b"\n"1,5","2"\n"-3","4e1"\n',
        "\n\na\tb\n\n1.5\t2\n-3\t4e1\n\n",
        "a,b,\n1.5,2,\n-3,4e1,\n",
        '"a" "b"\n"1" 1.5 2\n"2" -3 4e1\n"3" 0 0\n',
        "a\tb\nr1\t1.5\t2\nr2\t-3\t4e1\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_other_spellings_of_one_table(tmp_path, content, encoding):
    text = content if encoding == "utf-8" else content.removeprefix("\ufeff")
    (tmp_path / "x.csv").write_bytes(text.encode(encoding))
    table = read_samples(tmp_path / "x.csv")
    assert table.columns == ["a", "b"]
    np.testing.assert_array_equal(table.values[:2], [[1.5, 2], [-3, 40]])


def test_a_column_without_name_and_values_is_left_out_with_a_note(tmp_path):
    (tmp_path / "x.csv").write_text("a,b,\n1,2,\n")
    assert "column 3 has no name and no values" in read_samples(tmp_path / "x.csv").notes[0]


def test_names_saved_as_objects_are_explained(tmp_path, frame):
    np.savez(
        tmp_path / "x.npz", X=frame.to_numpy(), variables=np.array(["a", "b", "c"], dtype=object)
    )
    with pytest.raises(InvalidTask, match="save the names as text"):
        read_samples(tmp_path / "x.npz")


@pytest.mark.parametrize("key", ["genes", "labels_of_columns"])
def test_names_of_an_npz_under_another_key(tmp_path, key):
    values = np.arange(6.0).reshape(2, 3)
    np.savez(tmp_path / "x.npz", X=values, **{key: ["c", "a", "b"]}, sample=["s1", "s2"])
    table = read_samples(tmp_path / "x.npz")
    assert table.columns == ["c", "a", "b"] and key in table.notes[0]


@pytest.mark.parametrize(
    "arrays, words",
    [
        (
            {"one": ["a", "b", "c"], "two": ["A", "B", "C"]},
            "which array names the columns: 'one', 'two'",
        ),
        ({"names": ["a", "b"]}, "'names' holds 2 names for 3 columns"),
        ({"variables": ["a", "b"]}, "'variables' holds 2 names for 3 columns"),
        ({"something": ["a", "b", "c", "d"]}, "'something' holds 4 names"),
        ({"second": np.ones((2, 2))}, "exactly one two-dimensional"),
        ({"X": np.ones((2, 3)) * 1j}, "complex"),
        ({"X": np.zeros((2, 3), "M8[D]")}, "dates"),
        ({"X": np.full((2, 3), "x")}, "not numbers"),
    ],
)
def test_an_npz_that_leaves_something_open_is_refused(tmp_path, arrays, words):
    np.savez(tmp_path / "bad.npz", **({"X": np.arange(6.0).reshape(2, 3)} | arrays))
    with pytest.raises(InvalidTask, match=f"bad.npz.*{words}"):
        read_samples(tmp_path / "bad.npz")


def test_an_index_and_dates_in_parquet(tmp_path, frame):
    frame.index = [f"cell{i}" for i in range(6)]
    frame.to_parquet(tmp_path / "x.parquet")
    table = read_samples(tmp_path / "x.parquet")
    assert table.columns == ["a", "b", "c"] and table.rows == list(frame.index)
    frame.assign(day=pd.Timestamp("2024-01-01")).to_parquet(tmp_path / "y.parquet")
    with pytest.raises(InvalidTask, match="'day' holds dates"):
        read_samples(tmp_path / "y.parquet")


@pytest.mark.parametrize(
    "content, words",
    [
        ("a,b\n1,1\n2,\n", "first in row 2, column 'b'"),
        ("a,b\n1,1\nNA,3\n", "first in row 2, column 'a'"),
        ("a,b\n1,2\nND,3\n", "'a' holds text and numbers: 'ND' in row 2"),
        ("a,b\nND,2\nND,3\n", "'a', holds text that repeats"),
        ("a,b\n1,2\n3,ND\n", "'b' holds text: 'ND' in row 2"),
        ("a,b\n1,1+2j\n", "a complex number"),
        ("a,b\n1+2j,1\n3-1j,2\n", "'a' holds complex numbers"),
        ("a,b\n1,2024-01-31\n", "a date"),
        (",b\n1.5,2\n2.5,2\n", "first column has no name, but holds numbers"),
        ("a,,b\n1,2,3\n", "column 2 has no name"),
        ("a,b\n1.5,2.5,0\n2.5,3.5,1\n", "row 1 below the header has 3 fields, from '1.5' to '0'"),
        ("cell,a,b\nx,1,2,9\ny,3,4,9\n", "has 4 fields"),
        ("a,b,c\n1,5,2,5,3,5\n2,5,2,5,7\n", "decimal commas"),
        ("id,a\nx,1,5\ny,2,5\n", "has 3 fields"),
        ("a,b\n1,2\n1,2,3\n", "row 2 below the header has 3 fields"),
        ("a;b\n1,5;2.5\n", "both decimal commas .'1,5' in row 1. and decimal points"),
        ("a;b\n1.000,5;2,5\n", "separators of thousands"),
        ("a;b\n1,234;2,500\n", "may be a decimal sign or a separator of thousands"),
        ("", "empty"),
        ("a,b\n1,inf\n2,3\n", "not finite"),
        ("a,b\n1e999,1\n2,3\n", "not finite"),
        ("a,a\n1,2\n", "'a' repeat"),
        ("1,2\n3,4\n", "must name the variables"),
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


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"a,b\n1,\xff\xe9\n")
    with pytest.raises(InvalidTask, match=r"x.csv is not UTF-8 text"):
        read_samples(tmp_path / "x.csv")


def test_a_long_row_far_below_is_refused(tmp_path):
    lines = ["a,b", *["1.25,2.5"] * 600_000, "1,2,3"]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    with pytest.raises(InvalidTask, match=r"x.csv: row 600001 has 3 fields"):
        read_samples(tmp_path / "x.csv")


@pytest.mark.parametrize("quoting", ["", '"'])
def test_a_wide_table(tmp_path, quoting):
    names = [f"{quoting}ENSG{i:011d}{quoting}" for i in range(20_000)]
    lines = [",".join(names), *[",".join(["1.25"] * 20_000)] * 3]
    (tmp_path / "x.csv").write_text("\n".join(lines))
    table = read_samples(tmp_path / "x.csv")
    assert table.values.shape == (3, 20_000) and table.columns[-1] == "ENSG00000019999"
