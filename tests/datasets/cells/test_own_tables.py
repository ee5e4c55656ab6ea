"""A user's own table whose labels lie in another file, whose variables are in rows, or which has
missing values."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cdnbench.datasets.cells.screens.own_screen import OwnScreen
from cdnbench.errors import BenchError, InvalidParameter, InvalidTask, UnknownName
from cdnbench.prediction.options import Reading

READING = Reading(perturbation="done", control="none")
NAMES = [f"s{i}" for i in range(12)]
DONE = ["none"] * 6 + ["a"] * 3 + ["b"] * 3
BATCH = [1, 2] * 6


@pytest.fixture
def frame():
    values = np.random.default_rng(0).normal(size=(12, 5))
    return pd.DataFrame(values, index=NAMES, columns=[f"g{i}" for i in range(5)])


@pytest.fixture
def labels(tmp_path):
    """Labels in another order than the samples."""
    path = tmp_path / "labels.csv"
    pd.DataFrame({"done": DONE}, index=NAMES).iloc[::-1].to_csv(path)
    return path


def values_of(screen):
    """Name -> the perturbed rows."""
    found = {}
    for block in screen.blocks():
        block.gather(range(len(block.comparisons)))
        for i, comparison in enumerate(block.comparisons):
            found[comparison.name] = block.task(i, np.arange(len(screen.variables))).regimes[0]
    return found


@pytest.mark.parametrize("transpose", [False, True])
def test_labels_of_another_file_follow_the_names_of_the_samples(tmp_path, frame, labels, transpose):
    path = tmp_path / "values.tsv"
    (frame.T if transpose else frame).to_csv(path, sep="\t", index_label="name")
    screen = OwnScreen(path, replace(READING, cells=labels, transpose=transpose))
    assert list(screen.variables) == list(frame.columns)
    found = values_of(screen)
    np.testing.assert_allclose(found["a"], frame.to_numpy()[6:9], rtol=1e-6)
    np.testing.assert_allclose(found["b"], frame.to_numpy()[9:], rtol=1e-6)


@pytest.mark.parametrize("names", ["{:02d}", "{:02d}.0", "{}"])
def test_names_of_samples_that_look_like_numbers_are_text(tmp_path, frame, names):
    frame.index = [names.format(i) for i in range(12)]
    path, cells = tmp_path / "values.tsv", tmp_path / "cells.csv"
    frame.T.to_csv(path, sep="\t", index_label="name")
    about = pd.DataFrame({"done": DONE, "batch": BATCH}, index=frame.index)
    about.iloc[::-1].to_csv(cells, index_label="sample")
    reading = replace(READING, cells=cells, transpose=True, where="batch > 0")
    found = values_of(OwnScreen(path, reading))
    np.testing.assert_allclose(found["a"], frame.to_numpy()[6:9], rtol=1e-6)


def test_columns_of_numbers_that_describe_samples(tmp_path, frame, labels):
    """They are said, and left out where they are named, wherever the labels are."""
    frame = pd.concat([frame, frame + 0.1]).set_axis(range(24))
    frame["plate"] = range(24)
    frame["amount"] = np.repeat([0.0, 10.0, 20.0], [12, 6, 6])
    path, cells = tmp_path / "with.csv", tmp_path / "cells.csv"
    frame.iloc[:, :5] += np.random.default_rng(1).normal(size=(24, 5))
    done = pd.Series(np.repeat(DONE, 2), name="done").rename_axis("sample")
    frame.assign(done=done).to_csv(path, index=False)
    notes = " ".join(OwnScreen(path, READING).notes)
    assert "'plate', 'amount' may describe" in notes
    for name in ("Unnamed: 0", "row", "counter"):
        numbered = frame.drop(columns=["plate", "amount"]).assign(done=done)
        numbered.insert(3, name, np.random.default_rng(2).permutation(24))
        screen = OwnScreen(numbered, READING)
        assert (name in screen.variables) == (name != "Unnamed: 0")
        assert any(repr(name) in note for note in screen.notes)
    reading = replace(READING, not_variables="amount,plate")
    screen = OwnScreen(path, reading)
    assert list(screen.variables) == [f"g{i}" for i in range(5)]
    assert "may describe" not in " ".join(screen.notes)
    assert list(OwnScreen(frame.assign(done=done), reading).variables) == list(screen.variables)
    frame.index = [f"s{i}" for i in range(24)]
    frame.to_csv(path)
    done.set_axis(frame.index).to_csv(cells, index_label="sample")
    other = OwnScreen(path, replace(reading, cells=cells))
    assert list(other.variables) == list(screen.variables)
    with pytest.raises(BenchError, match="'amounts'. Did you mean amount"):
        OwnScreen(path, replace(reading, cells=cells, not_variables="amounts"))


def test_variables_with_missing_values_are_left_out_when_asked(tmp_path, frame, labels):
    frame.iloc[2, 1] = np.nan
    for path, cells in ((tmp_path / "with.csv", None), (tmp_path / "names.csv", labels)):
        frame.assign(done=DONE).to_csv(path, index=False) if cells is None else frame.to_csv(path)
        reading = replace(READING, cells=cells)
        with pytest.raises(InvalidTask, match="g1"):
            OwnScreen(path, reading)
        screen = OwnScreen(path, replace(reading, drop_missing=True))
        assert list(screen.variables) == ["g0", "g2", "g3", "g4"]
        assert "'g1' has missing values" in " ".join(screen.notes)
    frame.iloc[0] = np.nan
    frame.assign(done=DONE).to_csv(path, index=False)
    with pytest.raises(InvalidTask, match="every variable has missing values"):
        OwnScreen(path, replace(READING, drop_missing=True))


def batches(form, frame, folder):
    """A table with numbers as labels, in one of the forms that it may have, and its options."""
    about = pd.DataFrame({"batch": BATCH, "done": DONE}, index=frame.index)
    whole = pd.concat([frame, about], axis=1)
    path = folder / f"values.{'csv' if form == 'cells' else form}"
    if form == "data frame":
        return whole, {}
    if form == "parquet":
        whole.to_parquet(path)
        return path, {}
    if form == "cells":
        about.to_csv(folder / "about.csv")
        frame.to_csv(path)
        return path, {"cells": folder / "about.csv"}
    whole.to_csv(path)
    return path, {}


@pytest.mark.parametrize("form", ["csv", "parquet", "data frame", "cells"])
def test_conditions_compare_numbers_with_numbers_of_columns_of_labels(tmp_path, frame, form):
    """As they do in an AnnData, though labels are read as they are written."""
    source, options = batches(form, frame, tmp_path)
    for where, left in (("batch != 2", "1"), ("batch > 1", "2"), ("batch == 1", "1")):
        screen = OwnScreen(source, replace(READING, group="batch", where=where, **options))
        assert {c.group for c in screen.comparisons} == {left}
        assert screen.compared.control.tolist().count(0) == 3


def test_conditions_on_numbers_that_are_labels_of_perturbations(tmp_path, frame):
    path = tmp_path / "values.csv"
    for zero, one in (("00", "01"), ("0", "1.0")):
        done = [zero] * 6 + [one] * 3 + ["2"] * 3
        frame.assign(done=done).to_csv(path)
        screen = OwnScreen(path, replace(READING, control=zero, where="done != 2"))
        assert [c.perturbation for c in screen.comparisons] == [one]


@pytest.mark.parametrize("separator, decimal", [(",", "."), (";", ",")])
def test_conditions_on_a_first_column_of_numbers(tmp_path, frame, separator, decimal):
    path = tmp_path / "values.csv"
    frame.insert(0, "n", [1.5, 2.0] * 6)
    frame.assign(done=DONE).to_csv(path, index=False, sep=separator, decimal=decimal)
    for where, left in (("n != 2", 0), ("n == 1.5", 0), ("n > 1.7", 1), ("n > 0", None)):
        screen = OwnScreen(path, replace(READING, where=where))
        expected = [i for i in range(6) if left is None or i % 2 == left]
        assert screen.compared.control_rows[0].tolist() == expected


def test_conditions_on_labels_that_are_true_or_false(tmp_path, frame):
    frame.assign(ok=[True, False] * 6, done=DONE).to_csv(tmp_path / "values.csv")
    screen = OwnScreen(tmp_path / "values.csv", replace(READING, group="ok", where="ok"))
    assert {c.group for c in screen.comparisons} == {"True"}


def test_what_does_not_fit_together_is_refused(tmp_path, frame, labels):
    path = tmp_path / "values.csv"
    frame.to_csv(path, index=False)
    with pytest.raises(InvalidParameter, match="--cells FILE names"):
        OwnScreen(path, replace(READING, transpose=True))
    with pytest.raises(BenchError, match="the rows of .*have no names"):
        OwnScreen(path, replace(READING, cells=labels))
    with pytest.raises(UnknownName, match=r"named 'done'\. .* add --transpose, and --cells FILE"):
        OwnScreen(path, READING)
    with pytest.raises(InvalidParameter, match="--transpose says nothing about a data frame"):
        OwnScreen(frame.assign(done=DONE), replace(READING, transpose=True))
