"""Prepared files whose parts disagree: refused by name before compiled code trusts them."""

import shutil

import h5py
import numpy as np
import pytest

from cdnbench.datasets.cells.prepared import PreparedLine
from cdnbench.datasets.cells.screens.options import Preparation
from cdnbench.datasets.cells.screens.prepare import prepare
from cdnbench.datasets.cells.screens.raw import open_raw
from cdnbench.errors import InvalidData


@pytest.fixture(scope="module")
def line(tmp_path_factory, screen):
    folder = tmp_path_factory.mktemp("prepared")
    raw = open_raw(screen.write(folder / "screen.h5ad"))
    return prepare(raw, "demo", folder, Preparation(min_candidates=40, max_candidates=50))


def use(path):
    """Read everything that tasks are made of."""
    line = PreparedLine.open(path)
    assert len(line.names) == len(line.targets) == len(line.split) == line.n_perturbations
    assert len(line.genes) == line.controls().toarray().shape[1]
    for p in range(line.n_perturbations):
        line.cells(p)[:, line.candidates(p)].toarray()


CHANGES = {
    "cells/indices": [(5, 61, "genes that do not exist")],
    "controls/indices": [(0, 65_535, "genes that do not exist")],
    "cells/indptr": [(-1, 10**9, "does not go from 0"), (3, -4, "decreases")],
    "controls/indptr": [(0, 1, "does not go from 0"), (2, 10**7, "decreases")],
    "first": [(-1, 10**6, "does not go from 0"), (1, 10**6, "decreases")],
    "candidates": [(0, 61, "candidates are not genes"), (3, -1, "candidates are not genes")],
    "candidates_first": [(1, 10**9, "decreases")],
    "genes": [(0, b"\xff\xfe", "can't decode")],
}


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [(name, *change) for name, changes in CHANGES.items() for change in changes],
)
def test_a_number_that_points_nowhere(line, tmp_path, name, place, value, message):
    path = tmp_path / "demo.cells.h5"
    shutil.copy(line.path, path)
    with h5py.File(path, "a") as file:
        file[name][np.arange(len(file[name]))[place]] = value
    with pytest.raises(InvalidData, match=f"demo.cells.h5 is not a whole.*{message}"):
        use(path)


@pytest.mark.parametrize("name", ["names", "change", "profiles", "cells/indices", "reliability"])
@pytest.mark.parametrize("damage", ["shorter", "missing", "text"])
def test_an_array_of_another_shape_or_kind(line, tmp_path, name, damage):
    path = tmp_path / "demo.cells.h5"
    shutil.copy(line.path, path)
    with h5py.File(path, "a") as file:
        stored = file[name][()]
        del file[name]
        if damage == "shorter":
            file[name] = stored[:-1]
        elif damage == "text":
            file[name] = "text"
    with pytest.raises(InvalidData, match="demo.cells.h5 is not a whole prepared cell line"):
        use(path)


def test_damaged_bytes_are_refused_or_change_values_only(line, tmp_path):
    """One byte at random of the arrays of indices and pointers, 60 times."""
    content, path = line.path.read_bytes(), tmp_path / "demo.cells.h5"
    with h5py.File(line.path) as file:
        places = np.concatenate(
            [
                file[name].id.get_offset() + np.arange(file[name].nbytes)
                for name in ("cells/indices", "cells/indptr", "controls/indptr", "candidates")
            ]
        )
    refused = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        damaged = bytearray(content)
        damaged[rng.choice(places)] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            use(path)
        except InvalidData:
            refused += 1
    assert 0 < refused < 60
