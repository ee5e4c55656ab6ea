"""What makes a task, and what does not."""

import pickle

import anndata
import numpy as np
import pandas as pd
import pyarrow
import pytest
from scipy import sparse

from cdnbench import LabelledTask, Task
from cdnbench.errors import InvalidTask


def task(**changes):
    rng = np.random.default_rng(0)
    fields = dict(
        name="t",
        variables=["a", "b", "c"],
        observational=rng.normal(size=(5, 3)),
        regimes=[rng.normal(size=(4, 3)), rng.normal(size=(6, 3))],
    )
    return Task(**(fields | changes))


def test_arrays_are_read_only_float32_and_all_variables_are_candidates():
    t = task()
    assert (
        t.observational.dtype == np.float32 and t.candidates.all() and t.candidates.shape == (2, 3)
    )
    for array in (t.observational, *t.regimes, t.candidates):
        with pytest.raises(ValueError):
            array[0, 0] = 1
    assert (t.n_variables, t.n_regimes, t.n_samples) == (3, 2, 4)


def test_the_callers_array_stays_writable_and_the_task_as_it_was():
    mine = np.zeros((5, 3), np.float32)
    made = task(observational=mine)
    mine[0, 0] = 1
    assert made.observational[0, 0] == 0


def test_what_is_read_only_already_is_not_copied(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 3), np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.shares_memory(task(observational=mapped).observational, mapped)


def test_one_array_stands_for_one_regime():
    assert task(regimes=np.ones((4, 3))).n_regimes == 1


def test_regimes_and_names_may_come_one_by_one():
    made = task(variables=iter("abc"), regimes=(np.ones((4, 3)) for _ in range(2)))
    assert made.n_regimes == 2 and made.variables == ("a", "b", "c")
    assert task(variables=np.array(["a", "b", "c"])).variables == ("a", "b", "c")
    assert dict(task(metadata=None).metadata) == {}


def test_tensors_are_taken_as_they_come():
    torch = pytest.importorskip("torch")
    values = torch.arange(15.0).reshape(5, 3)
    differentiated = values.clone().requires_grad_()
    for given in (values, differentiated, values.bfloat16(), values.to_sparse(), values.int()):
        made = task(observational=given, regimes=given)
        assert np.array_equal(made.observational, values.numpy()) and made.n_regimes == 1
    assert differentiated.requires_grad


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"variables": ["a", "b", "a"]}, "'a'.*repeat"),
        (
            {"observational": np.full((5, 3), [1, np.nan, 1])},
            "observational.*nan at row 0, variable 'b'",
        ),
        ({"regimes": [np.ones((2, 3)), np.full((2, 3), np.inf)]}, "regime 1.*inf"),
        ({"observational": np.full((5, 3), 1e300)}, "not finite in float32"),
        ({"regimes": [np.ones((2, 4))]}, r"regime 0 samples have shape \(2, 4\)"),
        ({"regimes": []}, "no regime"),
        ({"observational": np.ones((0, 3))}, "no rows"),
        ({"observational": np.array([["x", "y", "z"]])}, "not numbers"),
        ({"candidates": np.ones((1, 3))}, "candidates has shape"),
        ({"candidates": np.zeros((2, 3))}, "at least one candidate"),
        ({"candidates": [["a", "b", "c"]] * 2}, "candidates hold 'a'.*True or False"),
        ({"candidates": [["False", "True", "True"]] * 2}, "candidates hold 'False'"),
        ({"candidates": [[0, 1, 2]] * 2}, "candidates hold 2"),
        ({"candidates": [[np.nan, 1, 1]] * 2}, "candidates hold nan"),
        ({"candidates": np.array([[None, True, True]] * 2)}, "candidates hold None"),
        ({"candidates": [[0, 2], [1]]}, "candidates are no table.*True or False"),
        (
            {"candidates": pd.DataFrame(np.ones((2, 3), bool), columns=["a", "b", "d"])},
            "candidates: .*lacks.*'c'",
        ),
        (
            {"observational": np.ma.masked_less(np.arange(15.0).reshape(5, 3), 2)},
            "masked in places",
        ),
        (
            {"observational": pd.DataFrame(np.ones((5, 3)), columns=["a", "c", "d"])},
            r"not the task's variables: it lacks \['b'\] and it also has \['d'\]",
        ),
        (
            {"regimes": [pd.DataFrame(np.ones((5, 4)), columns=["a", "b", "c", "a"])]},
            "regime 0.*some names repeat",
        ),
        ({"variables": []}, "no variables. Name the columns"),
        ({"observational": np.ones((5, 3)) + 1j}, "complex numbers"),
        ({"observational": np.zeros((5, 3), "M8[D]")}, "dates or times"),
        (
            {"regimes": [pd.DataFrame({"a": [1], "b": pd.to_datetime(["2024-01-01"]), "c": [1]})]},
            "regime 0: column 'b' holds dates",
        ),
        (
            {"observational": 1e9 + 1e-2 * np.random.default_rng(0).normal(size=(5, 3))},
            "'a' differ by less than float32",
        ),
        ({"symbols": ["A"]}, "1 symbols for 3 variables"),
        ({"regimes": None}, "regimes are a NoneType. Give a list of arrays"),
        ({"regimes": {"A": np.ones((2, 3))}}, "regimes are a dict. Give a list of arrays"),
        ({"regimes": "y.csv"}, "regimes are a str. Give a list"),
        ({"regimes": ["y.csv"]}, "regime 0: expected an array, got 'y.csv'. Read the file first"),
        ({"observational": None}, "observational: expected an array, got None. Give a table"),
        ({"observational": 3.5}, "observational: expected an array, got 3.5. Give a table"),
        ({"variables": None}, "no variables. Name the columns"),
    ],
)
def test_bad_input_is_named(changes, words):
    with pytest.raises(InvalidTask, match=words):
        task(**changes)


def test_targets_are_candidates():
    candidates = np.array([[True, True, False], [True, True, True]])
    with pytest.raises(InvalidTask, match="target 'c' of regime 0"):
        LabelledTask(task=task(candidates=candidates), targets=[[0, 0, 1], [0, 0, 1]])
    with pytest.raises(InvalidTask, match="targets has shape"):
        LabelledTask(task=task(), targets=[[0, 0, 1]])


def test_candidates_with_names_are_put_in_order():
    frame = pd.DataFrame({"c": [True, True], "a": [False, True], "b": [1, 0]})
    assert task(candidates=frame).candidates.tolist() == [[False, True, True], [True, False, True]]


def test_select_reorders_everything():
    t = task(symbols=["A", "B", "C"], candidates=[[1, 0, 1], [1, 1, 0]])
    s = t.select([2, 0, 1])
    assert s.variables == ("c", "a", "b") and s.symbols == ("C", "A", "B")
    assert np.array_equal(s.regimes[1], t.regimes[1][:, [2, 0, 1]])
    assert np.array_equal(s.candidates, t.candidates[:, [2, 0, 1]])


def test_one_regime_of_a_labelled_task():
    labelled = LabelledTask(
        task=task(), targets=[[1, 0, 0], [0, 1, 1]], ceiling_scores=np.arange(6.0).reshape(2, 3)
    )
    one = labelled.regime(1)
    assert one.targets.tolist() == [[False, True, True]] and one.ceiling_scores.tolist() == [
        [3, 4, 5]
    ]
    assert np.array_equal(one.task.regimes[0], labelled.task.regimes[1])


def test_content_hash_sees_samples_and_names_but_not_the_label():
    assert task().content_hash == task(name="other").content_hash
    assert task().content_hash != task(variables=["a", "b", "d"]).content_hash
    assert task().content_hash != task(observational=np.ones((5, 3))).content_hash


def test_a_task_pickles():
    t = pickle.loads(pickle.dumps(task(metadata={"line": "k562"})))
    assert t.content_hash == task().content_hash and t.metadata["line"] == "k562"


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "frame", "anndata", "sparse anndata"])
def test_tables_of_other_libraries_are_samples(kind):
    values = np.random.default_rng(0).poisson(1.0, size=(5, 3)).astype(float)
    rows = [f"r{i}" for i in range(5)]
    frame = pd.DataFrame(values, index=rows, columns=["a", "b", "c"])
    if kind in ("csr", "csc", "coo"):
        given, names = sparse.coo_array(values).asformat(kind), ["a", "b", "c"]
    elif kind == "frame":
        given, names = frame, []
    else:
        given, names = anndata.AnnData(frame), []
        if kind == "sparse anndata":
            given.X = sparse.csr_matrix(values)
    made = Task(name="t", variables=names, observational=given, regimes=[given, given])
    assert made.variables == ("a", "b", "c") and made.n_regimes == 2
    np.testing.assert_array_equal(made.observational, values)
    assert Task(name="t", variables=names, observational=given, regimes=given).n_regimes == 1


def test_columns_of_tables_are_matched_by_name():
    frame = pd.DataFrame(np.arange(15.0).reshape(5, 3), columns=["a", "b", "c"])
    other = anndata.AnnData(frame.set_axis([f"r{i}" for i in range(5)])[["c", "a", "b"]])
    made = Task(name="t", observational=frame, regimes=[other, frame[["b", "a", "c"]]])
    for regime in made.regimes:
        np.testing.assert_array_equal(regime, made.observational)
    named = Task(name="t", variables=["c", "b", "a"], observational=frame, regimes=[other])
    np.testing.assert_array_equal(named.observational, frame[["c", "b", "a"]])
    np.testing.assert_array_equal(named.regimes[0], named.observational)


def test_a_named_table_beside_plain_arrays_names_them():
    frame = pd.DataFrame(np.ones((4, 2)), columns=["x", "y"])
    made = Task(name="t", observational=np.zeros((3, 2)), regimes=[frame])
    assert made.variables == ("x", "y")


def test_the_callers_data_frame_may_change_afterwards():
    frame = pd.DataFrame(np.zeros((5, 2), np.float32), columns=["a", "b"])
    made = Task(name="t", observational=frame, regimes=[frame])
    frame.iloc[0, 0] = 1
    assert made.observational[0, 0] == 0


def test_a_large_shift_and_noise_of_rounding_are_no_loss():
    rng = np.random.default_rng(0)
    control = 1e-6 * rng.normal(size=(50, 3))
    control[:, 1] = 0.1 + 1e-16 * rng.normal(size=50)
    task(observational=control, regimes=[control[:5] + 1000, control[:1]])


def test_a_column_of_text_is_named():
    frame = pd.DataFrame({"a": [1.0, 2.0, 4.0], "batch": ["x", "y", "x"]})
    with pytest.raises(InvalidTask, match="not numbers .*in column 'batch'. Drop it"):
        Task(name="t", observational=frame, regimes=[frame])


@pytest.mark.parametrize("rows", [[[1.0, 2.0], [3.0]], ("a", pd.DataFrame({"x": [1.0]}))])
def test_a_regime_that_is_no_table_is_named(rows):
    with pytest.raises(InvalidTask, match="this is no table"):
        Task(name="t", observational=np.ones((3, 2)), regimes=[rows], variables=["x", "y"])


@pytest.mark.parametrize("dtype", [object, str, "Float64"])
def test_what_float32_would_lose_is_seen_in_objects_and_texts_too(dtype):
    large = 1e9 + np.random.default_rng(0).normal(size=(20, 3))
    as_given = pd.DataFrame(large, columns=list("abc")).astype(dtype)
    for table in (as_given, as_given.to_numpy(), large):
        with pytest.raises(InvalidTask, match="float32"):
            task(observational=table, regimes=[table])


def test_names_without_an_order_are_refused():
    for names in ({"a", "b", "c"}, frozenset("abc"), 3):
        with pytest.raises(InvalidTask, match="in the order of the columns"):
            task(variables=names)
        with pytest.raises(InvalidTask, match="in the order of the columns"):
            task(symbols=names)
    assert task(symbols=iter("xyz")).symbols == ("x", "y", "z")
    with pytest.raises(InvalidTask, match="metadata"):
        task(metadata=["line"])


def test_masks_are_seen_in_lists_of_rows_and_in_candidates():
    hidden = np.ma.masked_array(np.ones((5, 3)), mask=np.eye(5, 3))
    for samples in (hidden, list(hidden)):
        with pytest.raises(InvalidTask, match="masked"):
            task(observational=samples)
    with pytest.raises(InvalidTask, match="masked"):
        task(candidates=np.ma.masked_array(np.ones((2, 3), bool), mask=np.eye(2, 3)))


def test_a_table_of_arrow_is_taken_by_its_names():
    values = np.random.default_rng(0).normal(size=(5, 3))
    table = pyarrow.table(pd.DataFrame(values[:, [2, 0, 1]], columns=list("cab")))
    assert np.allclose(task(observational=table).observational, values)


def test_nobody_can_make_the_samples_writable_again():
    made = task(observational=np.zeros((5, 3), np.float32))
    for array in (made.observational, *made.regimes):
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
