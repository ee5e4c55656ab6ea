"""Files of knowledge in their many forms."""

from __future__ import annotations

import contextlib
import csv
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
    return {
        (str(annotations.genes[a]), str(annotations.terms[b])) for a, b in zip(i, j, strict=True)
    }


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "gene\tterm\nA1\tt1\nB1\tt1\nB1\tt2\n"),
        ("a.csv", "A1,t1\nB1,t1\nB1,t2\nB1,t2\n"),
        ("a.txt", "# comment\nA1 t1\nB1 t1;t2\n"),
        ("a.tsv.gz", "A1\tt1\nB1\tt1|t2\n"),
        ("a.json", json.dumps({"A1": ["t1"], "B1": ["t1", "t2"]})),
        (
            "a.json.gz",
            json.dumps({"A1": "Gene symbol A1. name. t1", "B1": "Gene symbol B1. name. t1; t2"}),
        ),
    ],
)
def test_annotations(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())
    assert pairs(read_annotations(path)) == {("A1", "t1"), ("B1", "t1"), ("B1", "t2")}


def test_gene_ontology_files(tmp_path):
    """NOT and the three roots say nothing of a gene; with an ontology beside it, terms count for
    what is above them."""
    (tmp_path / "goa.gaf").write_text("!gaf-version: 2.2\n" + GAF)
    assert pairs(read_annotations(tmp_path / "goa.gaf")) == {("A1", "GO:1"), ("B1", "GO:3")}
    (tmp_path / "go-basic.obo").write_text(OBO)
    assert pairs(read_annotations(tmp_path)) == {
        ("A1", "GO:1"),
        ("A1", "GO:2"),
        ("A1", "GO:3"),
        ("B1", "GO:3"),
    }
    (tmp_path / "go-basic.obo").unlink()
    with pytest.raises(InvalidData, match=r"0 \.obo files"):
        read_annotations(tmp_path)


def test_interactions_are_undirected_and_counted_once(tmp_path):
    path = tmp_path / "ppi.tsv"
    path.write_text("a\tb\tscore\nB1\tA1\t3\nA1\tB1\t2\nA1\tA1\t2\nC1\tA1\t9\n")
    known = read_interactions(path)
    assert known.genes.tolist() == ["A1", "B1", "C1"] and known.edges.tolist() == [[0, 1], [0, 2]]


def test_other_names_of_genes(tmp_path):
    """A row of the table lists names of one gene; what would stand for two genes of the data stays
    as it is."""
    (tmp_path / "names.tsv").write_text(
        'symbol\tensembl\nA1\tENSG1\nB1\tENSG2\t"OLD|B0"\nC1\tENSG3\tOLD\n'
    )
    names = renaming(tmp_path / "names.tsv", ["ENSG1", "ENSG2", "ENSG3"])
    assert names == {"A1": "ENSG1", "B1": "ENSG2", "B0": "ENSG2", "C1": "ENSG3"}
    (tmp_path / "ppi.tsv").write_text("A1\tB1\nOLD\tA1\n")
    known = read_interactions(tmp_path / "ppi.tsv", names)
    assert {tuple(known.genes[e]) for e in known.edges} == {("ENSG1", "ENSG2"), ("ENSG1", "OLD")}
    assert renaming(None, ["x"]) == {}


HGNC = "".join(
    "\t".join(row) + "\n"
    for row in [
        ("hgnc_id", "symbol", "name", "status", "alias_symbol", "prev_symbol", "ensembl_gene_id"),
        ("HGNC:1", "AAA", "a gene", "Approved", '"BBB|A-1"', "OLD", "ENSG1"),
        ("HGNC:2", "BBB", "another", "Approved", "", '"OLD|B-1"', "ENSG2"),
        ("HGNC:3", "CCC", "a third", "Approved", '"A-1|C-1"', "C-2", "ENSG3"),
    ]
)


@pytest.mark.parametrize(
    ("genes", "expected"),
    [
        (["AAA"], {"ENSG1": "AAA", "HGNC:1": "AAA", "a gene": "AAA"}),
        (["ENSG2"], {"BBB": "ENSG2", "HGNC:2": "ENSG2", "B-1": "ENSG2", "another": "ENSG2"}),
        (["C-1"], {"CCC": "C-1", "ENSG3": "C-1", "HGNC:3": "C-1", "C-2": "C-1", "a third": "C-1"}),
        (["C-1", "C-2"], {}),  # which of the two is the gene?
        (["CCC", "C-1"], {"ENSG3": "CCC", "HGNC:3": "CCC", "C-2": "CCC", "a third": "CCC"}),
        (["OLD", "A-1", "Approved"], {}),  # names of several genes
    ],
)
def test_names_of_the_nomenclature_committee(tmp_path, genes, expected):
    (tmp_path / "hgnc_complete_set.txt").write_text(HGNC)
    assert renaming(tmp_path / "hgnc_complete_set.txt", genes) == expected


def test_a_former_name_is_not_taken_from_the_gene_that_has_it(tmp_path):
    """Without column names the first column holds the symbols; rows of one symbol are one gene."""
    path = tmp_path / "names.csv"
    path.write_text("AAA,ENSG1,BBB\nBBB,ENSG2\nCCC,ENSG3.4,C-1\nCCC,ENSG3.4,C-2\n")
    assert renaming(path, ["AAA"]) == {"ENSG1": "AAA"}
    assert renaming(path, ["AAA", "BBB"]) == {"ENSG1": "AAA", "ENSG2": "BBB"}
    assert renaming(path, ["BBB"]) == {"ENSG2": "BBB"}
    assert renaming(path, ["CCC"]) == {"ENSG3.4": "CCC", "C-1": "CCC", "C-2": "CCC"}


@pytest.mark.parametrize("order", [["OLD", "A1"], ["A1", "OLD"]])
def test_what_is_said_of_a_gene_by_its_own_name_counts_first(tmp_path, order):
    value = {"A1": 1.0, "OLD": 2.0}
    (tmp_path / "e.tsv").write_text("".join(f"{gene}\t{value[gene]}\t0\n" for gene in order))
    (tmp_path / "t.tsv").write_text("".join(f"{gene}\tText of {gene}.\n" for gene in order))
    found = read_embeddings(tmp_path / "e.tsv", {"OLD": "A1"})
    assert found.genes.tolist() == ["A1"] and found.vectors.tolist() == [[1, 0]]
    assert read_texts(tmp_path / "t.tsv", {"OLD": "A1"}) == {"A1": "Text of A1."}


def test_texts(tmp_path):
    (tmp_path / "t.tsv").write_text(
        'symbol\tid\tsummary\nA1\t7\tIt "does" this, and that.\nB1\t8\t\n'
    )
    assert read_texts(tmp_path / "t.tsv") == {"A1": 'It "does" this, and that.'}
    (tmp_path / "t.json").write_text(json.dumps({"A1": "text"}))
    assert read_texts(tmp_path / "t.json") == {"A1": "text"}


def test_texts_separated_by_commas(tmp_path):
    long = "long, " * 50_000
    path = tmp_path / "t.csv"
    path.write_text(
        f'gene,text\nA1,"It binds DNA, and ""more""."\nB1, "Two\n# lines"\nC1,"{long}end"\n'
    )
    assert read_texts(path) == {
        "A1": 'It binds DNA, and "more".',
        "B1": "Two\n# lines",
        "C1": long + "end",
    }
    assert csv.field_size_limit() < len(long)  # the limit of others is as it was
    path.write_text('A1,"It binds DNA\nB1,It does not.\n')
    with pytest.raises(InvalidData, match=r"t\.csv, row 2: .*quotes"):
        read_texts(path)
    (tmp_path / "t.tsv").write_text(f'A1\t"{long}end"\nB1\t"open\n')
    assert read_texts(tmp_path / "t.tsv") == {"A1": long + "end", "B1": "open"}


@pytest.mark.parametrize(
    "content",
    [
        "# made 2024\nA1\tB1\n",
        "! one, two\n\n#three\nprotein1\tprotein2\tscore\nA1\tB1\t3\n# A1\tC1\n",
        '"# made, in 2024"\ngene1,gene2\nA1,B1\n',
        "# a\tb\nprotein1 protein2\nA1 B1\n",
        "\ufeffgene1,gene2\r\nA1,B1\r\n",
    ],
)
def test_comments_before_a_table(tmp_path, content):
    (tmp_path / "x.txt").write_text(content, encoding="utf-8", newline="")
    assert read_interactions(tmp_path / "x.txt").genes.tolist() == ["A1", "B1"]


VECTORS = {"B1": [3.0, 4.0], "A1": [1.0, 2.0]}


def write_pickle(path):
    path.write_bytes(pickle.dumps({gene: np.array(v) for gene, v in VECTORS.items()}, protocol=4))


def write_pickle_5(path):
    content = pickle.dumps({gene: np.array(v) for gene, v in VECTORS.items()}, protocol=5)
    assert b"_frombuffer" in content
    path.write_bytes(gzip.compress(content))


def write_npz(path):
    np.savez(path, genes=np.array(list(VECTORS)), vectors=np.array(list(VECTORS.values())))


def write_parquet(path):
    import pandas as pd

    pd.DataFrame.from_dict(VECTORS, orient="index").rename(columns=str).to_parquet(path)


def write_parquet_with_a_column_of_genes(path):
    import pandas as pd

    pd.DataFrame(
        {"gene": list(VECTORS), **dict(zip("xy", zip(*VECTORS.values(), strict=True), strict=True))}
    ).to_parquet(path)


def write_zip(path):
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("folder/other.pickle", pickle.dumps({"A1": [0.0]}))
        archive.writestr(
            f"folder/{GENEPT}.", pickle.dumps(VECTORS)
        )  # the published archive has that dot


def write_table(path):
    path.write_text(
        "gene\tv1\tv2\n" + "".join("\t".join([g, *map(str, v)]) + "\n" for g, v in VECTORS.items())
    )


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("e.pickle", write_pickle),
        ("e.pickle.gz", write_pickle_5),
        ("e.npz", write_npz),
        ("e.parquet", write_parquet),
        ("column.parquet", write_parquet_with_a_column_of_genes),
        ("e.tsv", write_table),
        ("e.zip", write_zip),
    ],
)
def test_embeddings(tmp_path, name, write):
    write(tmp_path / name)
    found = read_embeddings(tmp_path / name)
    assert found.genes.tolist() == ["A1", "B1"] and found.vectors.tolist() == [[1, 2], [3, 4]]
    assert found.vectors.dtype == np.float32


def test_an_index_of_the_string_type_of_pandas(tmp_path):
    """What pandas 3 makes of every text."""
    import pandas as pd

    write_parquet(tmp_path / "e.parquet")
    with pd.option_context("future.infer_string", True):
        assert pd.read_parquet(tmp_path / "e.parquet").index.dtype != object
        found = read_embeddings(tmp_path / "e.parquet")
    assert found.genes.tolist() == ["A1", "B1"] and found.vectors.tolist() == [[1, 2], [3, 4]]


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


@pytest.mark.parametrize("share", [0.0, 0.3, 0.97])
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("e.zip", write_zip),
        ("e.npz", write_npz),
        ("e.pickle", write_pickle),
        ("e.pickle.gz", write_pickle_5),
        ("e.parquet", write_parquet),
    ],
)
def test_truncated_embeddings_are_named(tmp_path, name, write, share):
    path = tmp_path / name
    write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InvalidData, match=rf"{name} cannot be read.*fetch it again"):
        read_embeddings(path)


@pytest.mark.parametrize(
    ("name", "write"), [("e.npz", write_npz), ("e.zip", write_zip), ("e.pickle.gz", write_pickle_5)]
)
def test_damaged_embeddings_are_named(tmp_path, name, write):
    """A file of the right length with a stretch overwritten never raises another error."""
    path = tmp_path / name
    write(path)
    whole = path.read_bytes()
    for start in range(0, len(whole), 16):
        path.write_bytes(whole[:start] + b"\xff" * 16 + whole[start + 16 :])
        with contextlib.suppress(InvalidData):
            read_embeddings(path)
    path.write_bytes(b"\xff" * len(whole))
    with pytest.raises(InvalidData, match=rf"{name} cannot be read"):
        read_embeddings(path)


def test_arrays_without_names_of_genes(tmp_path):
    np.savez(tmp_path / "e.npz", x=np.zeros(3))
    with pytest.raises(InvalidData, match="expected the arrays genes and vectors"):
        read_embeddings(tmp_path / "e.npz")


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
