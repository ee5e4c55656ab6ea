"""Time and memory of `bench predict` on a screen of any size, which it makes.

    python benchmarks/predict.py --cells 20000 --genes 5000 --perturbations 50
    python benchmarks/predict.py --cells 100000 --genes 20000 --perturbations 200 --method auto

Counts are sparse (a tenth of the values is not zero), and each perturbation silences its gene. The
process group's memory is that of the command and of all its jobs, as proportional set sizes.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import psutil
from scipy import sparse

STEP = 2_000


def write(path: Path, cells: int, genes: int, perturbations: int, density: float) -> None:
    """An .h5ad in CSR form, written some cells at a time. A tenth of the cells are controls."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, perturbations, cells)
    label[rng.random(cells) < 0.1] = -1
    rate = rng.gamma(0.5, 1.0, genes)
    rate *= density * genes / (1 - np.exp(-rate)).sum()
    base = sparse.csr_matrix(rng.poisson(np.tile(rate, (STEP, 1))).astype(np.float32))
    string = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        x = file.create_group("X")
        x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
        x.attrs["shape"] = (cells, genes)
        data, indices = (
            x.create_dataset(
                name, (0,), kind, maxshape=(None,), chunks=(1 << 18,), compression="lzf"
            )
            for name, kind in (("data", "f4"), ("indices", "i4"))
        )
        pointer = [np.zeros(1, np.int64)]
        for low in range(0, cells, STEP):
            part = label[low : low + STEP]
            block = base[: len(part)].copy()
            block.data += rng.random(block.nnz) < 0.2  # no cell is a copy of another
            row = np.repeat(np.arange(len(part)), np.diff(block.indptr))
            block.data[block.indices == part[row]] = 0
            block.eliminate_zeros()
            old = data.shape[0]
            for array, values in ((data, block.data), (indices, block.indices)):
                array.resize((old + block.nnz,))
                array[old:] = values
            pointer.append(old + block.indptr[1:].astype(np.int64))
        x["indptr"] = np.concatenate(pointer)
        names = {"obs": [f"c{i}" for i in range(cells)], "var": [f"G{i}" for i in range(genes)]}
        for table, index in names.items():
            group = file.create_group(table)
            group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0"})
            group.attrs["_index"] = "_index"
            group.attrs["column-order"] = np.array(["gene"] if table == "obs" else [], dtype=string)
            group.create_dataset("_index", data=index, dtype=string)
            group["_index"].attrs.update({"encoding-type": "string-array"})
            group["_index"].attrs["encoding-version"] = "0.2.0"
        text = ["control" if p < 0 else f"G{p}" for p in label]
        column = file["obs"].create_dataset("gene", data=text, dtype=string)
        column.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})


def measured(command: list[str]) -> tuple[float, float, float, float]:
    """Wall seconds, and seconds of CPU with all jobs; GB at the peak of the command alone, and of
    it with all its jobs."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = psutil.Popen(command)
    own = whole = 0.0
    while process.poll() is None:
        try:
            family = [process, *process.children(recursive=True)]
            used = [p.memory_full_info().pss / 1e9 for p in family]
            own, whole = max(own, used[0]), max(whole, sum(used))
        except psutil.Error:
            pass
        time.sleep(0.5)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu, own, whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--genes", type=int, default=5_000)
    parser.add_argument("--perturbations", type=int, default=50)
    parser.add_argument("--density", type=float, default=0.1)
    parser.add_argument("--method", default="moderated-t")
    parser.add_argument("--jobs", default="2")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "screen.h5ad"
        write(path, asked.cells, asked.genes, asked.perturbations, asked.density)
        print(f"{path.stat().st_size / 1e9:.2f} GB on disk", flush=True)
        command = [sys.executable, "-m", "cdnbench.cli", "predict", str(path)]
        command += ["--perturbation", "gene", "--control", "control", "--method", asked.method]
        command += ["--jobs", asked.jobs, "--work", f"{folder}/work", "--top", "1"]
        command += ["--parquet", f"{folder}/out.parquet"]
        wall, cpu, own, whole = measured(command)
        dense = asked.cells * asked.genes * 4 / 1e9
        print(
            f"{asked.cells:,} cells x {asked.genes:,} genes x {asked.perturbations} perturbations, "
            f"{asked.method}: {wall:.0f} s ({cpu:.0f} s of CPU), {own:.2f} GB, with "
            f"jobs {whole:.2f} GB; a dense float32 matrix has {dense:.2f} GB"
        )


if __name__ == "__main__":
    main()
