"""Valid files of what is known of genes, and reading them."""

from __future__ import annotations

import gzip
import json
import pickle
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from reader import Reader, sample_values


def gaf_text(rng: random.Random) -> str:
    lines = ["!gaf-version: 2.2"]
    for i in range(8):
        qualifier = "NOT|involved_in" if i == 3 else "involved_in"
        row = ["UniProtKB", f"P{i}", f"G{i % 4}", qualifier, f"GO:{i:07d}", "R", "IEA", "", "P"]
        lines.append("\t".join([*row, "", "", "protein", "taxon:9606", "20240101", "U", "", ""]))
    return "\n".join(lines) + "\n"


def obo_text(rng: random.Random) -> str:
    parts = ["format-version: 1.2\nontology: go\n"]
    for i in range(8):
        parts.append(f"[Term]\nid: GO:{i:07d}\nname: term {i}\nnamespace: biological_process\n")
        if i:
            parts[-1] += f"is_a: GO:{i - 1:07d} ! term {i - 1}\n"
        if i > 2:
            parts[-1] += f"relationship: part_of GO:{i - 3:07d} ! term\n"
    return "\n".join([*parts, "[Typedef]\nid: part_of\nname: part of\n"])


def _gaf(folder: Path, rng: random.Random) -> Path:
    path = folder / rng.choice(("a.gaf", "a.gaf.gz"))
    content = gaf_text(rng).encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def _ontology(folder: Path, rng: random.Random) -> Path:
    inner = folder / "go"
    inner.mkdir()
    (inner / "go.obo").write_text(obo_text(rng), encoding="utf-8")
    (inner / "a.gaf").write_text(gaf_text(rng), encoding="utf-8")
    return inner


def _read_annotations(path: Path) -> Any:
    from cdnbench.knowledge import read_annotations

    found = read_annotations(path)
    return found.genes.tolist(), found.terms.tolist(), found.matrix.toarray()


def _knowledge_table(folder: Path, rng: random.Random) -> Path:
    delimiter = rng.choice(("\t", ",", " "))
    rows = [("gene", "term"), *((f"G{i % 5}", f"G{i % 3 + 1}") for i in range(9))]
    content = "".join(delimiter.join(row) + "\n" for row in rows)
    path = folder / "k.tsv"
    path.write_text(content, encoding="utf-8")
    return path


def _read_knowledge_table(path: Path) -> Any:
    from cdnbench.knowledge import read_interactions, renaming

    found = read_interactions(path)
    renaming(path, ["G1", "G2"])
    return found.genes.tolist(), found.edges.tolist(), _read_annotations(path)


def _texts(folder: Path, rng: random.Random) -> Path:
    if rng.random() < 0.5:
        path = folder / "t.json"
        path.write_text(json.dumps({f"G{i}": f"It binds G{i + 1}. a; b" for i in range(5)}))
        return path
    path = folder / "t.tsv"
    path.write_text("gene\ttext\n" + "".join(f"G{i}\tIt binds DNA, {i}.\n" for i in range(5)))
    return path


def _read_texts(path: Path) -> Any:
    from cdnbench.knowledge import read_texts

    return read_texts(path), _read_annotations(path)


def _vectors(rng: random.Random) -> dict[str, Any]:
    values = sample_values(rng, 5, 3)
    form = rng.choice(
        (np.ndarray.tolist, np.asarray, tuple, list, lambda v: v.astype("f4"), lambda v: v[::-1])
    )
    return {f"G{i}": form(row) for i, row in enumerate(values)}


def _pickle(folder: Path, rng: random.Random) -> Path:
    content = pickle.dumps(_vectors(rng), protocol=rng.randrange(6))
    kind = rng.choice((".pickle", ".pickle.gz", ".zip"))
    path = folder / f"e{kind}"
    if kind == ".zip":
        with zipfile.ZipFile(path, "w", rng.choice((0, zipfile.ZIP_DEFLATED))) as archive:
            archive.writestr("e.pickle", content)
    else:
        path.write_bytes(gzip.compress(content, mtime=0) if kind.endswith(".gz") else content)
    return path


def _embeddings(folder: Path, rng: random.Random) -> Path:
    names, values = np.array([f"G{i}" for i in range(5)]), sample_values(rng, 5, 3).astype("f4")
    kind = rng.choice((".npz", ".parquet", ".tsv"))
    path = folder / f"e{kind}"
    if kind == ".npz":
        np.savez(path, genes=names, vectors=values)
    elif kind == ".parquet":
        pd.DataFrame(values, index=names, columns=["a", "b", "c"]).to_parquet(path)
    else:
        rows = zip(names, values.tolist(), strict=True)
        path.write_text("".join("\t".join([n, *map(repr, v)]) + "\n" for n, v in rows))
    return path


def _read_embeddings(path: Path) -> Any:
    from cdnbench.knowledge import read_embeddings

    found = read_embeddings(path)
    return found.genes.tolist(), found.vectors


KNOWLEDGE: dict[str, Reader] = {
    "annotations .gaf": Reader(_gaf, _read_annotations),
    "ontology .obo": Reader(_ontology, _read_annotations),
    "knowledge table": Reader(_knowledge_table, _read_knowledge_table),
    "texts, .json": Reader(_texts, _read_texts),
    "embeddings .pickle": Reader(_pickle, _read_embeddings),
    "other embeddings": Reader(_embeddings, _read_embeddings),
}
