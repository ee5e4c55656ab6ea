"""Valid files of samples: tables, screens of cells, and the real data sets; and reading them."""

from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from reader import Reader, sample_names, sample_values
from scipy import sparse

# --- tables ---------------------------------------------------------------------------------------


def table_text(values: np.ndarray, rng: random.Random) -> str:
    delimiter = rng.choice((",", ";", "\t", " "))
    decimal = "," if delimiter == ";" and rng.random() < 0.5 else "."
    end = rng.choice(("\n", "\r\n"))
    labels = rng.random() < 0.4
    lines = [delimiter.join([*(["cell"] if labels else []), *sample_names(values.shape[1])])]
    for i, row in enumerate(values):
        cells = [repr(float(v)).replace(".", decimal) for v in row]
        lines.append(delimiter.join([*([f"c{i}"] if labels else []), *cells]))
    return end.join(lines) + end


def _text_table(folder: Path, rng: random.Random) -> Path:
    path = folder / ("t" + rng.choice((".csv", ".tsv", ".txt", ".csv.gz")))
    content = table_text(sample_values(rng), rng).encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def _parquet_table(folder: Path, rng: random.Random) -> Path:
    frame = pd.DataFrame(sample_values(rng), columns=sample_names(4))
    if rng.random() < 0.3:
        frame.index = pd.Index([f"c{i}" for i in range(6)], name="cell")
    if rng.random() < 0.3:
        frame["g0"] = frame["g0"].astype("float32")
    frame.to_parquet(folder / "t.parquet")
    return folder / "t.parquet"


def _npz_table(folder: Path, rng: random.Random) -> Path:
    save = rng.choice((np.savez, np.savez_compressed))
    with np.errstate(over="ignore"):
        values = sample_values(rng).astype(rng.choice(("f8", "f4", "f2", "i8", "c16")))
    save(folder / "t.npz", x=values, variables=np.array(sample_names(4)))
    return folder / "t.npz"


def _matrix(values: np.ndarray, rng: random.Random) -> Any:
    return rng.choice((np.asarray, sparse.csr_matrix, sparse.csc_matrix))(values)


def _h5ad_table(folder: Path, rng: random.Random) -> Path:
    import anndata

    x = _matrix(sample_values(rng).astype(rng.choice(("f4", "f8"))), rng)
    obs, var = (pd.DataFrame(index=[f"{p}{i}" for i in range(n)]) for p, n in (("c", 6), ("g", 4)))
    anndata.AnnData(x, obs=obs, var=var).write_h5ad(folder / "t.h5ad")
    return folder / "t.h5ad"


def _read_table(path: Path) -> Any:
    from cdnbench.samples import read_samples

    table = read_samples(path)
    return table.values.astype(np.float64), table.columns, table.rows


def _pair(folder: Path, rng: random.Random) -> Path:
    for name in ("control.csv", "treated.csv"):
        (folder / name).write_text(table_text(sample_values(rng, 12), rng), encoding="utf-8")
    return folder / "control.csv"


def _read_pair(path: Path) -> Any:
    from cdnbench.pairs import read_pair

    task = read_pair(path, path.with_name("treated.csv")).task
    return task.variables, task.observational, list(task.regimes)


# --- cells ----------------------------------------------------------------------------------------

LABELS = ("ctrl", "ctrl", "g0+ctrl", "ctrl+g1", "g0+g1", "g1+g0", " g2", "None")


def _counts(rng: random.Random) -> np.ndarray:
    numpy = np.random.default_rng(rng.randrange(2**32))
    return numpy.poisson(1.5, size=(len(LABELS), 5))


def _screen(folder: Path, rng: random.Random) -> Path:
    import anndata

    obs = pd.DataFrame({"perturbation": list(LABELS)}, index=[f"c{i}" for i in range(len(LABELS))])
    var = pd.DataFrame({"id": [f"E{i}" for i in range(5)]}, index=sample_names(5))
    if rng.random() < 0.3:
        var["feature_types"] = ["Gene Expression"] * 4 + ["CRISPR Guide Capture"]
    x = _matrix(_counts(rng).astype(rng.choice(("f4", "i4", "f8"))), rng)
    data = anndata.AnnData(x, obs=obs, var=var)
    chunks = {"compression": "gzip"} if rng.random() < 0.5 else {}
    data.write_h5ad(folder / "s.h5ad", **chunks)
    return folder / "s.h5ad"


def _cells_table(folder: Path) -> Path:
    rows = [f"b{i},{label}\n" for i, label in enumerate(LABELS)]
    (folder / "cells.csv").write_text("barcode,perturbation\n" + "".join(rows), encoding="utf-8")
    return folder / "cells.csv"


def _tenx(folder: Path, rng: random.Random) -> Path:
    _cells_table(folder)
    counts = sparse.csr_matrix(_counts(rng).astype("i4"))
    with h5py.File(folder / "s.h5", "w") as file:
        m = file.create_group("matrix")
        m["data"], m["indices"], m["indptr"] = counts.data, counts.indices, counts.indptr
        m["shape"] = np.array([5, len(LABELS)])
        m["barcodes"] = np.array([f"b{i}" for i in range(len(LABELS))], dtype="S")
        m["features/id"] = np.array([f"E{i}" for i in range(5)], dtype="S")
        m["features/name"] = np.array(sample_names(5), dtype="S")
        types = ["Gene Expression"] * 4 + ["CRISPR Guide Capture"]
        m["features/feature_type"] = np.array(types, dtype="S")
    return folder / "s.h5"


def _market(folder: Path, rng: random.Random) -> Path:
    from scipy.io import mmwrite

    inner = folder / "m"
    inner.mkdir()
    _cells_table(folder)
    made = io.BytesIO()
    mmwrite(made, sparse.coo_matrix(_counts(rng).T))
    features = "".join(f"E{i}\tg{i}\tGene Expression\n" for i in range(5)).encode()
    barcodes = "".join(f"b{i}\n" for i in range(len(LABELS))).encode()
    packed = rng.random() < 0.5
    for name, content in (
        ("matrix.mtx", made.getvalue()),
        ("features.tsv", features),
        ("barcodes.tsv", barcodes),
    ):
        path = inner / (name + ".gz" * packed)
        path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    return inner


def _read_cells(path: Path) -> Any:
    from cdnbench.datasets.cells.screens.counts import check_values, log_normalise
    from cdnbench.datasets.cells.screens.labels import read_labels
    from cdnbench.datasets.cells.screens.options import Preparation
    from cdnbench.datasets.cells.screens.raw import open_raw

    cells = path.with_name("cells.csv")
    raw = open_raw(path, cells=cells if cells.exists() else None)
    found = []
    for _, chunk in raw.chunks():
        check_values(chunk, path)
        total = np.maximum(np.asarray(chunk.sum(axis=1)).ravel(), 1)
        log_normalise(chunk, total)
        found.append(chunk.toarray().astype(np.float64))
    options = Preparation(perturbation="perturbation", control="ctrl")
    labels = read_labels(raw, options)
    return raw.genes, found, labels.names.tolist(), labels.control.tolist(), labels.targets


def _prepared(folder: Path, rng: random.Random) -> Path:
    from cdnbench.datasets.cells.prepared import Writer, text

    path = folder / "x.cells.h5"
    writer = Writer(path)
    for group, n in (("controls", 6), ("cells", 8)):
        x = sparse.csr_matrix(np.abs(sample_values(rng, n, 5)).astype("f4"))
        writer.put(f"{group}/data", x.data)
        writer.put(f"{group}/indices", x.indices)
        writer.put(f"{group}/indptr", x.indptr.astype("i8"))
    for name, values in (
        ("genes", sample_names(5)),
        ("names", ["g0", "g1"]),
        ("targets", ["g0", "g1"]),
        ("split", ["train", "test"]),
        ("profile_names", ["g0", "g1", "g2"]),
        ("profile_targets", ["g0", "g1", "g2"]),
    ):
        writer.put(name, text(values))
    writer.put("first", np.array([0, 3, 8]))
    writer.put("candidates", np.array([0, 1, 1, 2]))
    writer.put("candidates_first", np.array([0, 2, 4]))
    for name in ("n_differential", "trivial", "cluster"):
        writer.put(name, np.array([0, 1]))
    for name in ("reliability", "retrieval"):
        writer.put(name, np.array([0.5, 0.5]))
    for name in ("change", "adjusted"):
        writer.put(name, np.zeros((2, 5), "f4"))
    writer.put("profile_cells", np.array([3, 4, 5]))
    writer.put("profiles", np.abs(sample_values(rng, 3, 5)).astype("f4"))
    writer.mapped()
    writer.finish(
        {"name": "x", "options": {}, "source": {}, "attrition": {}, "simulated": False}, ""
    )
    return path


def _read_prepared(path: Path) -> Any:
    from cdnbench.datasets.cells.prepared import PreparedLine

    line = PreparedLine.open(path)
    cells = [line.cells(p).toarray() for p in range(line.n_perturbations)]
    candidates = [line.candidates(p).tolist() for p in range(line.n_perturbations)]
    return (
        line.name,
        line.hash,
        line.genes.tolist(),
        line.names.tolist(),
        line.targets,
        line.profile_targets,
        line.split.tolist(),
        line.controls().toarray(),
        cells,
        candidates,
        [np.asarray(m) for m in line.profile_moments],
    )


# --- real data ------------------------------------------------------------------------------------


def _real(name: str, *files: str) -> Reader:
    def write(folder: Path, rng: random.Random) -> Path:
        from cdnbench.datasets.real.small import write

        write(folder, name)
        found = sorted(p for p in folder.rglob("*") if p.is_file())
        return next(p for p in found if p.name.startswith(files[0]))

    def read(path: Path) -> Any:
        import importlib

        reader = importlib.import_module(f"cdnbench.datasets.real.{name}")
        others = [next(iter(path.parent.glob(f"{start}*"))) for start in files[1:]]
        return [
            (c.unit, c.variables, c.observational, c.perturbed, c.target)
            for c in reader.read(path, *others)
        ]

    return Reader(write, read, hdf5=name in ("hill", "papalexi"))


def _petshop(folder: Path, rng: random.Random) -> Path:
    from cdnbench.datasets.real.petshop import SHIPPED

    (folder / "petshop.npz").write_bytes(SHIPPED.read_bytes())
    return folder / "petshop.npz"


def _read_petshop(path: Path) -> Any:
    from cdnbench.datasets.real.petshop import read

    return [(c.unit, c.observational, c.perturbed) for c in read(path)]


def _petshop_archive(folder: Path, rng: random.Random) -> Path:
    path = folder / "p.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for traffic in ("low", "high"):
            for name, content in _incident(f"dataset/{traffic}_traffic/").items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def _incident(folder: str) -> dict[str, bytes]:
    head = ["service", "A", "A", "B", "B"], ["metric", *["latency", "availability"] * 2]
    rows = [
        *head,
        ["aggregation", *["Average"] * 4],
        *([str(t), "1", "2", "3", "4"] for t in "123"),
    ]
    metrics = "\n".join(",".join(row) for row in rows).encode()
    target = {"target": {"metric": "latency", "agg": "Average"}, "root_cause": {"node": "A"}}
    return {
        f"{folder}noissue/metrics.csv": metrics,
        f"{folder}issue0/metrics.csv": metrics,
        f"{folder}issue0/target.json": json.dumps(target).encode(),
        f"{folder}graph.csv": b",A,B\nA,0,1\nB,0,0\n",
    }


def _read_archive(path: Path) -> Any:
    from cdnbench.datasets.real.petshop import compact

    return list(compact(path).items())


def _sachs(folder: Path, rng: random.Random) -> Path:
    from cdnbench.datasets.real.sachs import CONDITIONS, PROTEINS

    rows = [",".join(["file", *PROTEINS])]
    for condition in CONDITIONS:
        rows += [f"{condition.number}" + ",2.5" * len(PROTEINS)] * condition.cells
    (folder / "s.csv").write_text("\n".join(rows) + "\n")
    return folder / "s.csv"


def _read_sachs(path: Path) -> Any:
    from cdnbench.datasets.real.sachs import read_conditions

    return list(read_conditions(path).items())


TABLES: dict[str, Reader] = {
    "table as text": Reader(_text_table, _read_table),
    "table as .parquet": Reader(_parquet_table, _read_table),
    "table as .npz": Reader(_npz_table, _read_table),
    "table as .h5ad": Reader(_h5ad_table, _read_table, hdf5=True),
    "pair of tables": Reader(_pair, _read_pair),
    "screen as .h5ad": Reader(_screen, _read_cells, hdf5=True),
    "screen as 10x .h5": Reader(_tenx, _read_cells, hdf5=True),
    "screen as .mtx": Reader(_market, _read_cells),
    "prepared line": Reader(_prepared, _read_prepared, hdf5=True),
}
REAL_DATA: dict[str, Reader] = {
    "papalexi": _real("papalexi", "papalexi"),
    "hill": _real("hill", "hill"),
    "sahin": _real("sahin", "sahin"),
    "pasilla": _real("pasilla", "pasilla"),
    "ecoli": _real("ecoli", "ecoli_precise1_logtpm", "ecoli_precise1_samples"),
    "petshop .npz": Reader(_petshop, _read_petshop),
    "petshop archive": Reader(_petshop_archive, _read_archive),
    "sachs": Reader(_sachs, _read_sachs),
}
