"""Files of knowledge in their many forms."""

from __future__ import annotations

import gzip
import json
import pickle

import numpy as np
import pytest

from cdnbench.errors import InvalidData, UnknownName
from cdnbench.knowledge import (
    GENEPT,
    file_digest,
    find_knowledge,
    read_annotations,
    read_embeddings,
    read_interactions,
    read_texts,
    renaming,
)

GAF = "".join(
    "\t".join(["UniProtKB", "P1", gene, qualifier, term, "x"]) + "\n"
    for gene, qualifier, term in [
        ("A1", "involved_in", "GO:1"),
        ("A1", "NOT|involved_in", "GO:2"),
        ("B1", "located_in", "GO:3"),
        ("B1", "located_in", "GO:0005575"),
    ]
)
OBO = """format-version: 1.2

[Term]
id: GO:1
name: one
is_a: GO:2 ! two

[Term]
id: GO:2
name: two
relationship: part_of GO:3 ! three

[Term]
id: GO:3
name: three

[Typedef]
id: part_of
"""


def pairs(annotations) -> set[tuple[str, str]]:
    i, j = annotations.matrix.nonzero()
    return {(str(annotations.genes[a]), str(annotations.terms[b])) for a, b in zip(i, j, strict=True)}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "gene\tterm\nA1\tt1\nB1\tt1\nB1\tt2\n"),
        ("a.csv", "A1,t1\nB1,t1\nB1,t2\nB1,t2\n"),
        ("a.txt", "# comment\nA1 t1\nB1 t1;t2\n"),
        ("a.tsv.gz", "A1\tt1\nB1\tt1|t2\n"),
        ("a.json", json.dumps({"A1": ["t1"], "B1": ["t1", "t2"]})),
        ("a.json.gz", json.dumps({"A1": "Gene symbol A1. name. t1", "B1": "Gene symbol B1. name. t1; t2"})),
    ],
)
def test_annotations(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    assert pairs(read_annotations(path)) == {("A1", "t1"), ("B1", "t1"), ("B1", "t2")}


def test_gene_ontology_files(tmp_path):
    """NOT and the three roots say nothing of a gene; with an ontology beside it, terms count for what is above them."""
    (tmp_path / "goa.gaf").write_text("!gaf-version: 2.2\n" + GAF)
    assert pairs(read_annotations(tmp_path / "goa.gaf")) == {("A1", "GO:1"), ("B1", "GO:3")}
    (tmp_path / "go-basic.obo").write_text(OBO)
    assert pairs(read_annotations(tmp_path)) == {("A1", "GO:1"), ("A1", "GO:2"), ("A1", "GO:3"), ("B1", "GO:3")}
    (tmp_path / "go-basic.obo").unlink()
    with pytest.raises(InvalidData, match=r"0 \.obo files"):
        read_annotations(tmp_path)


def test_interactions_are_undirected_and_counted_once(tmp_path):
    path = tmp_path / "ppi.tsv"
    path.write_text("a\tb\tscore\nB1\tA1\t3\nA1\tB1\t2\nA1\tA1\t2\nC1\tA1\t9\n")
    known = read_interactions(path)
    assert known.genes.tolist() == ["A1", "B1", "C1"] and known.edges.tolist() == [[0, 1], [0, 2]]


def test_other_names_of_genes(tmp_path):
    """A row of the table lists names of one gene; what would stand for two genes of the data stays as it is."""
    (tmp_path / "names.tsv").write_text('symbol\tensembl\nA1\tENSG1\nB1\tENSG2\t"OLD|B0"\nC1\tENSG3\tOLD\n')
    names = renaming(tmp_path / "names.tsv", ["ENSG1", "ENSG2", "ENSG3"])
    assert names == {"A1": "ENSG1", "B1": "ENSG2", "B0": "ENSG2", "C1": "ENSG3"}
    (tmp_path / "ppi.tsv").write_text("A1\tB1\nOLD\tA1\n")
    known = read_interactions(tmp_path / "ppi.tsv", names)
    assert {tuple(known.genes[e]) for e in known.edges} == {("ENSG1", "ENSG2"), ("ENSG1", "OLD")}
    assert renaming(None, ["x"]) == {}


def test_texts(tmp_path):
    (tmp_path / "t.tsv").write_text('symbol\tid\tsummary\nA1\t7\tIt "does" this, and that.\nB1\t8\t\n')
    assert read_texts(tmp_path / "t.tsv") == {"A1": 'It "does" this, and that.'}
    (tmp_path / "t.json").write_text(json.dumps({"A1": "text"}))
    assert read_texts(tmp_path / "t.json") == {"A1": "text"}


VECTORS = {"B1": [3.0, 4.0], "A1": [1.0, 2.0]}


def write_pickle(path):
    path.write_bytes(pickle.dumps({gene: np.array(v) for gene, v in VECTORS.items()}))


def write_npz(path):
    np.savez(path, genes=np.array(list(VECTORS)), vectors=np.array(list(VECTORS.values())))


def write_parquet(path):
    import pandas as pd

    pd.DataFrame.from_dict(VECTORS, orient="index").rename(columns=str).to_parquet(path)


def write_zip(path):
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("folder/other.pickle", pickle.dumps({"A1": [0.0]}))
        archive.writestr(f"folder/{GENEPT}.", pickle.dumps(VECTORS))  # the published archive has that dot


def write_table(path):
    path.write_text("gene\tv1\tv2\n" + "".join("\t".join([g, *map(str, v)]) + "\n" for g, v in VECTORS.items()))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("e.pickle", write_pickle),
        ("e.npz", write_npz),
        ("e.parquet", write_parquet),
        ("e.tsv", write_table),
        ("e.zip", write_zip),
    ],
)
def test_embeddings(tmp_path, name, write):
    write(tmp_path / name)
    found = read_embeddings(tmp_path / name)
    assert found.genes.tolist() == ["A1", "B1"] and found.vectors.tolist() == [[1, 2], [3, 4]]
    assert found.vectors.dtype == np.float32


def test_a_pickle_executes_nothing(tmp_path):
    class Harmful:
        def __reduce__(self):
            return print, ("executed",)

    (tmp_path / "e.pickle").write_bytes(pickle.dumps({"A1": Harmful()}))
    with pytest.raises(InvalidData, match=r"builtins\.print"):
        read_embeddings(tmp_path / "e.pickle")


@pytest.mark.parametrize("read", [read_annotations, read_interactions, read_texts])
def test_an_empty_file_says_what_was_expected(tmp_path, read):
    (tmp_path / "x.tsv").write_text("gene\tother\n")
    with pytest.raises(InvalidData, match=r"x\.tsv holds no .*expected"):
        read(tmp_path / "x.tsv")


def test_a_truncated_archive_is_named(tmp_path):
    whole = gzip.compress(b"A1\tB1\n" * 1000)
    (tmp_path / "x.tsv.gz").write_bytes(whole[:-20])
    with pytest.raises(InvalidData, match=r"x\.tsv\.gz cannot be read"):
        read_interactions(tmp_path / "x.tsv.gz")


def test_vectors_of_several_lengths(tmp_path):
    (tmp_path / "e.tsv").write_text("A1\t1\t2\nB1\t1\n")
    with pytest.raises(InvalidData, match="no table of vectors"):
        read_embeddings(tmp_path / "e.tsv")


def test_files_are_found_by_kind(tmp_path):
    (tmp_path / "interactions.tsv").write_text("A1\tB1\n")
    (tmp_path / "annotations").mkdir()
    assert find_knowledge(str(tmp_path)) == {
        "interactions": tmp_path / "interactions.tsv",
        "annotations": tmp_path / "annotations",
    }
    where = f"gene_text={tmp_path / 'interactions.tsv'}"
    assert find_knowledge(where) == {"gene_text": tmp_path / "interactions.tsv"}
    assert find_knowledge("") == {}
    with pytest.raises(InvalidData, match="does not exist"):
        find_knowledge("annotations=nowhere.tsv")
    with pytest.raises(UnknownName, match="interactions"):
        find_knowledge("interaction=x")
    with pytest.raises(InvalidData, match="holds no knowledge"):
        find_knowledge(str(tmp_path / "annotations"))


def test_the_digest_is_of_the_content(tmp_path):
    (tmp_path / "x").write_text("1")
    first = file_digest(tmp_path / "x")
    (tmp_path / "y").write_text("1")
    assert file_digest(tmp_path / "y") == first
    folder = file_digest(tmp_path)
    (tmp_path / "y").write_text("2")
    assert file_digest(tmp_path / "y") != first and file_digest(tmp_path) != folder
