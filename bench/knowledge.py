"""External knowledge of genes: annotations, interactions, texts and embeddings, read from files of many forms.

kind            what it is                          forms (each also as .gz)
annotations     gene -> terms (gene ontology)       .gaf; a table of (gene, term), several terms joined by ; or |; .json of gene -> terms;
                                                    a folder with one .gaf and one .obo: terms then count for their ancestors too
interactions    pairs of genes                      a table whose first two columns are genes
gene_text       gene -> text                        a table whose first column is the gene and whose last is the text; .json
embeddings      gene -> vector                      .pickle of gene -> vector or a .zip with it (GenePT's form), .npz (genes,
                                                    vectors), .parquet, a table
identifiers     names of the same gene, row by row  a table: symbol, Ensembl identifier, further names; optional

Tables are .tsv, .csv, .txt; a first row of column names is recognised by its words. `Knowledge` finds the files.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import pickle
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cdnbench.errors import InvalidData, did_you_mean

if TYPE_CHECKING:
    from scipy import sparse

KINDS = ("annotations", "interactions", "gene_text", "embeddings", "identifiers")
ROOTS = {"molecular_function", "cellular_component", "biological_process", "GO:0003674", "GO:0005575", "GO:0008150"}
"""Terms that say of a gene that it is one."""
GENEPT = "GenePT_gene_protein_embedding_model_3_text.pickle"
_HEADER = re.compile(
    r"^(#.*|a|b|gene|genes?[ _]?\d?[ab]?|symbols?|gene[ _](symbol|name|id)s?|source|target|(protein|node|interactor|from|to)[ _]?[12ab]?|"
    r"term|go[ _]?(id|term)?|name|official symbol.*|ensembl.*)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, eq=False)
class Annotations:
    """genes (G,), terms (T,): sorted. matrix (G, T): whether the gene has the term."""

    genes: np.ndarray
    terms: np.ndarray
    matrix: sparse.csr_matrix


@dataclass(frozen=True, eq=False)
class Interactions:
    """genes (G,): sorted. edges (E, 2): numbers of two different genes, the lower first; each pair once."""

    genes: np.ndarray
    edges: np.ndarray


@dataclass(frozen=True, eq=False)
class Embeddings:
    """genes (G,): sorted. vectors (G, D) float32."""

    genes: np.ndarray
    vectors: np.ndarray


def find_knowledge(where: str) -> dict[str, Path]:
    """Kind -> file, from `kind=path,kind=path` or a folder with files or folders named after the kinds.

    Raises
    ------
    InvalidData: a path that does not exist, or a folder without knowledge. UnknownName: a kind that does not exist.
    """
    if not where:
        return {}
    if "=" in where:
        found = {}
        for part in filter(None, where.split(",")):
            kind, _, path = part.partition("=")
            if kind not in KINDS:
                raise did_you_mean("kind of knowledge", kind, KINDS)
            found[kind] = Path(path).expanduser()
    else:
        folder = Path(where).expanduser()
        named = [(kind, path) for kind in KINDS for path in [folder / kind, *sorted(folder.glob(f"{kind}.*"))]]
        found = {kind: path for kind, path in reversed(named) if path.exists()}
        if not found:
            kinds = ", ".join(f"{kind}.*" for kind in KINDS)
            raise InvalidData(
                f"{where} holds no knowledge ({kinds}). Write kind=FILE,kind=FILE instead, or rename them."
            )
    for kind, path in found.items():
        if not path.exists():
            raise InvalidData(f"{path} ({kind}) does not exist. `bench data fetch knowledge` says where to get it.")
    return found


def file_digest(path: Path) -> str:
    """Of the content of a file, or of all files in a folder."""
    h = hashlib.blake2b(digest_size=16)
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        h.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            while block := stream.read(2**20):
                h.update(block)
    return h.hexdigest()


def renaming(identifiers: Path | None, genes: Iterable[str]) -> dict[str, str]:
    """Other name -> name among `genes`, for names of one row of the table. A name that would stand for two genes is left out."""
    if identifiers is None:
        return {}
    wanted, names, twice = set(genes), {}, set()
    for row in ([name for field in fields for name in field.split("|")] for fields in _rows(identifiers)):
        own = [name for name in dict.fromkeys(row) if name in wanted]
        for other in set(row) - wanted - {""}:
            if len(own) > 1 or (own and names.get(other, own[0]) != own[0]):
                twice.add(other)
            elif own:
                names[other] = own[0]
    return {other: name for other, name in names.items() if other not in twice}


def read_annotations(path: Path, names: Mapping[str, str] | None = None) -> Annotations:
    """names: other name -> name, see `renaming`.

    Raises
    ------
    InvalidData: the file cannot be read as annotations.
    """
    from scipy import sparse

    pairs = {(gene, term) for gene, term in _renamed(_annotated(path), names) if term not in ROOTS}
    if not pairs:
        raise InvalidData(
            f"{path} holds no annotation: expected rows of (gene, term), a .gaf or a .json of gene -> terms."
        )
    (genes, i), (terms, j) = map(_numbered, zip(*pairs, strict=True))
    matrix = sparse.csr_matrix((np.ones(len(i), dtype=bool), (i, j)), shape=(len(genes), len(terms)))
    return Annotations(genes, terms, matrix)


def read_interactions(path: Path, names: Mapping[str, str] | None = None) -> Interactions:
    """Undirected pairs; loops and repetitions are dropped. Raises as `read_annotations`."""
    pairs = {(min(a, b), max(a, b)) for a, b in _renamed(_pairs(path), names, both=True) if a != b}
    if not pairs:
        raise InvalidData(f"{path} holds no pair of genes: expected a table whose first two columns are genes.")
    genes, ends = _numbered([gene for pair in sorted(pairs) for gene in pair])
    return Interactions(genes, ends.reshape(-1, 2))


def _numbered(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The different names, sorted, and the number of each."""
    different = sorted(set(names))
    number = {name: i for i, name in enumerate(different)}
    return np.array(different), np.array([number[name] for name in names], dtype=np.int64)


def read_texts(path: Path, names: Mapping[str, str] | None = None) -> dict[str, str]:
    """Gene -> text. Raises as `read_annotations`."""
    if _stem(path).endswith(".json"):
        found = _json(path)
        rows: Iterable[tuple[str, str]] = ((gene, _joined(text)) for gene, text in found.items())
    else:
        rows = ((row[0], row[-1]) for row in _rows(path) if len(row) > 1)
    texts = {gene: text for gene, text in _renamed(rows, names) if text}
    if not texts:
        raise InvalidData(
            f"{path} holds no text: expected a table whose first column is the gene and whose last the text."
        )
    return texts


def read_embeddings(path: Path, names: Mapping[str, str] | None = None) -> Embeddings:
    """Raises as `read_annotations`. A .pickle is read without executing anything: only plain values and numpy arrays may be in it."""
    genes, vectors = _embedded(path)
    genes = np.array([(names or {}).get(gene, gene) for gene in genes])
    vectors = np.asarray(vectors, dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(genes) or not len(genes):
        raise InvalidData(f"{path} holds {len(genes)} genes and vectors of shape {vectors.shape}; expected (genes, D).")
    if not np.isfinite(vectors).all():
        raise InvalidData(f"{path} holds values that are no numbers; drop their genes.")
    genes, first = np.unique(genes, return_index=True)
    return Embeddings(genes, vectors[first])


def _renamed(
    pairs: Iterable[tuple[str, str]], names: Mapping[str, str] | None, *, both: bool = False
) -> Iterator[tuple[str, str]]:
    names = names or {}
    return ((names.get(a, a), names.get(b, b) if both else b) for a, b in pairs)


def _stem(path: Path) -> str:
    return path.name.lower().removesuffix(".gz")


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.name.lower().endswith(".gz") else raw).decode("utf-8", errors="replace")
    except (OSError, EOFError) as error:
        raise InvalidData(f"{path} cannot be read: {error}. Fetch it again.") from error


def _json(path: Path) -> dict:
    try:
        found = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise InvalidData(f"{path} is no JSON: {error}.") from error
    if not isinstance(found, dict):
        raise InvalidData(f"{path} holds a {type(found).__name__}; expected gene -> value.")
    return found


def _joined(value: object) -> str:
    return value if isinstance(value, str) else "; ".join(map(str, value))  # type: ignore[arg-type]


def _rows(path: Path) -> Iterator[list[str]]:
    """Of a table, without its column names and comments."""
    text = _text(path)
    first = text.split("\n", 1)[0]
    separator = next((s for s in "\t," if s in first), " ")
    for number, row in enumerate(csv.reader(io.StringIO(text), delimiter=separator, quoting=csv.QUOTE_NONE)):
        row = [field.strip().strip('"') for field in row]
        if not row or row[0].startswith(("!", "#")) or not any(row):
            continue
        if number == 0 and _HEADER.match(row[0]):
            continue
        yield row


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    return ((row[0], row[1]) for row in _rows(path) if len(row) > 1 and row[0] and row[1])


def _annotated(path: Path) -> Iterator[tuple[str, str]]:
    """(gene, term) of any form."""
    if path.is_dir():
        gaf, obo = (_only(path, ending) for ending in (".gaf", ".obo"))
        ancestors = _ancestors(obo)
        for gene, term in _gaf(gaf):
            yield from ((gene, t) for t in ancestors.get(term, {term}))
    elif _stem(path).endswith(".gaf"):
        yield from _gaf(path)
    elif _stem(path).endswith(".json"):
        for gene, terms in _json(path).items():
            listed = terms.rsplit(". ", 1)[-1].split(";") if isinstance(terms, str) else terms
            yield from ((gene, str(term).strip()) for term in listed if str(term).strip())
    else:
        for gene, joined in _pairs(path):
            yield from ((gene, term.strip()) for term in re.split(r"[;|]", joined) if term.strip())


def _only(folder: Path, ending: str) -> Path:
    found = [p for p in sorted(folder.iterdir()) if _stem(p).endswith(ending)]
    if len(found) != 1:
        raise InvalidData(f"{folder} holds {len(found)} {ending} files; expected one .gaf and one .obo.")
    return found[0]


def _gaf(path: Path) -> Iterator[tuple[str, str]]:
    """Symbol and term; what is said not to hold (NOT) is left out."""
    for line in _text(path).splitlines():
        fields = line.split("\t")
        if not line.startswith("!") and len(fields) > 4 and "NOT" not in fields[3].split("|"):
            yield fields[2], fields[4]


def _ancestors(obo: Path) -> dict[str, set[str]]:
    """Term -> itself and all terms above it by is_a and part_of."""
    above: dict[str, set[str]] = {}
    for stanza in _text(obo).split("\n[Term]\n")[1:]:
        stanza = stanza.split("\n[", 1)[0]
        term = re.search(r"^id: (\S+)", stanza, re.MULTILINE)
        if term:
            above[term[1]] = set(re.findall(r"^(?:is_a:|relationship: part_of) (\S+)", stanza, re.MULTILINE))
    closed: dict[str, set[str]] = {}

    def close(term: str) -> set[str]:
        if term not in closed:
            closed[term] = {term}
            closed[term] = {term}.union(*(close(parent) for parent in above.get(term, ())))
        return closed[term]

    for term in above:
        close(term)
    return closed


def _embedded(path: Path) -> tuple[list[str], object]:
    stem = _stem(path).rstrip(".")
    if stem.endswith((".pickle", ".pkl", ".zip")):
        raw = _member(path) if stem.endswith(".zip") else path.read_bytes()
        raw = gzip.decompress(raw) if path.name.lower().endswith(".gz") else raw
        try:
            found = _Plain(io.BytesIO(raw)).load()
        except (pickle.UnpicklingError, EOFError, AttributeError, ValueError) as error:
            raise InvalidData(f"{path} cannot be read as gene -> vector: {error}") from error
        if not isinstance(found, dict):
            raise InvalidData(f"{path} holds a {type(found).__name__}; expected gene -> vector.")
        return list(found), list(found.values())
    if stem.endswith(".npz"):
        with np.load(path, allow_pickle=False) as file:
            if not {"genes", "vectors"} <= set(file):
                raise InvalidData(f"{path} holds {sorted(file)}; expected the arrays genes and vectors.")
            return file["genes"].tolist(), file["vectors"]
    if stem.endswith(".parquet"):
        import pandas as pd

        frame = pd.read_parquet(path)
        frame = frame if frame.index.dtype == object else frame.set_index(frame.columns[0])
        return frame.index.tolist(), frame.to_numpy()
    rows = list(_rows(path))
    if rows and not _is_number(rows[0][-1]):
        rows = rows[1:]
    try:
        return [row[0] for row in rows], np.array([row[1:] for row in rows], dtype=np.float32)
    except ValueError as error:
        raise InvalidData(f"{path} is no table of vectors: {error}.") from error


def _member(path: Path) -> bytes:
    """The pickle in an archive; of GenePT's several the one that its authors recommend."""
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.rstrip(".").endswith((".pickle", ".pkl"))]
        chosen = [name for name in names if name.rstrip(".").endswith(GENEPT)] or names
        if len(chosen) != 1:
            raise InvalidData(f"{path} holds {len(names)} pickles; unpack it and name one: {', '.join(names)}")
        return archive.read(chosen[0])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _Plain(pickle.Unpickler):
    """Reads plain values and numpy arrays, and refuses everything else."""

    def find_class(self, module: str, name: str):
        if (module.split(".")[0], name) in {("numpy", n) for n in ("ndarray", "dtype", "_reconstruct", "scalar")}:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not plain data")
