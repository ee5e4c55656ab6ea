"""What a task is depends neither on the processor nor on how a file stores its values."""

import json
import os
import subprocess
import sys

import anndata
import numpy as np
import pytest

from cdnbench.datasets.cells.prepared import PreparedLine
from cdnbench.datasets.cells.screens.options import Preparation
from cdnbench.datasets.cells.screens.prepare import prepare
from cdnbench.datasets.cells.screens.raw import open_raw
from cdnbench.datasets.cells.simulated.embedded import simulated_line
from cdnbench.datasets.cells.simulated.simulate import SMALL, SMALL_DRUGS

PREPARE = """
import json, sys
from pathlib import Path
import numpy as np
from cdnbench.datasets.cells.simulated.embedded import simulated_line
from cdnbench.datasets.cells.simulated.simulate import SMALL, SMALL_DRUGS
for simulation in (SMALL, SMALL_DRUGS):
    simulated_line(simulation, simulation.lines[0], Path(sys.argv[1]) / simulation.kind)
print(json.dumps(np.log1p(np.arange(9999, dtype="f4")).tolist()))
"""
FROZEN = {
    "knock-down": "075b5b7a2c3fd0bc22c5099b0ed94427",
    "drug": "afbe54fb7dd7f0c918fffe87f1172f14",
}


@pytest.fixture(scope="module")
def on_an_older_processor(tmp_path_factory):
    """Folder of the small lines, and logarithms, of a process in which numpy, OpenBLAS and the C
    library use old instructions."""
    from numpy._core._multiarray_umath import __cpu_dispatch__

    folder = tmp_path_factory.mktemp("older")
    environment = {
        "NPY_DISABLE_CPU_FEATURES": " ".join(__cpu_dispatch__),
        "OPENBLAS_CORETYPE": "Nehalem",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA",
    }
    done = subprocess.run(
        [sys.executable, "-c", PREPARE, str(folder)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return folder, np.array(json.loads(done.stdout), dtype=np.float32)


@pytest.mark.parametrize("simulation", [SMALL, SMALL_DRUGS], ids=["knock-down", "drug"])
def test_an_older_processor_makes_the_same_tasks(simulation, tmp_path, on_an_older_processor):
    folder, logarithms = on_an_older_processor
    here = simulated_line(simulation, simulation.lines[0], tmp_path)
    there = PreparedLine.open(folder / simulation.kind / here.path.name)
    assert there.hash == here.hash == FROZEN[simulation.kind]
    for name, array in here.arrays.items():
        if array.dtype.kind == "f":
            np.testing.assert_allclose(there.arrays[name], array, rtol=1e-4, atol=1e-6)
        else:
            np.testing.assert_array_equal(there.arrays[name], array)
    if (np.log1p(np.arange(9999, dtype=np.float32)) == logarithms).all():
        pytest.skip("this processor computes like an old one")


def test_the_identity_covers_values_and_not_how_they_are_stored(tmp_path, screen):
    options = Preparation(min_candidates=40, max_candidates=50)
    path = screen.write(tmp_path / "screen.h5ad")

    def made(name, change):
        adata = anndata.read_h5ad(path)
        change(adata)
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
        return prepare(open_raw(tmp_path / f"{name}.h5ad"), "demo", tmp_path / name, options)

    def as_whole_numbers(adata):
        adata.X = adata.X.astype(np.int32)

    def by_column(adata):
        adata.X = adata.X.tocsc()

    def one_count_more(adata):
        x = adata.X.tocsr().copy()
        x.data[0] += 1
        adata.X = x

    lines = {f.__name__: made(f.__name__, f) for f in (as_whole_numbers, by_column, one_count_more)}
    plain = prepare(open_raw(path), "demo", tmp_path / "plain", options)
    assert plain.hash == lines["as_whole_numbers"].hash == lines["by_column"].hash
    assert plain.hash != lines["one_count_more"].hash
    np.testing.assert_array_equal(
        plain.arrays["cells/indices"], lines["one_count_more"].arrays["cells/indices"]
    )
