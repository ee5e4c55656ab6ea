"""External knowledge of genes: annotations, interactions, texts and embeddings, read from files of
many forms.

kind            what it is                          forms
annotations     gene -> terms (gene ontology)       .gaf; a table of (gene, term), several terms
                                                    joined by ; or |; .json of gene -> terms; a
                                                    folder with one .gaf and one .obo: terms then
                                                    count for their ancestors too
interactions    pairs of genes                      a table whose first two columns are genes
gene_text       gene -> text                        a table whose first column is the gene and whose
                last is the text; .json
embeddings      gene -> vector                      .pickle of gene -> vector or a .zip with it
                                                    (GenePT's form), .npz (genes, vectors),
                                                    .parquet, a table
identifiers     names of the same gene, row by row  a table: symbol (first, or the column of that
                                                    name), Ensembl identifier, further names,
                                                    several joined by |; HGNC's
                                                    hgnc_complete_set.txt is one; optional

Tables are .tsv, .csv, .txt: separated by tabs, else commas (fields with commas in quotes), else
spaces. Lines that start with # or ! are comments; a first row of column names is recognised by its
words. Tables, .json, .gaf, .obo and .pickle may also be .gz.
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
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, dropwhile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cdnbench.errors import InvalidData, did_you_mean

if TYPE_CHECKING:
    from scipy import sparse

KINDS = ("annotations", "interactions", "gene_text", "embeddings", "identifiers")
ROOTS = {
    "molecular_function",
    "cellular_component",
    "biological_process",
    "GO:0003674",
    "GO:0005575",
    "GO:0008150",
}
"""Terms that say of a gene that it is one."""
GENEPT = "GenePT_gene_protein_embedding_model_3_text.pickle"
_HEADER = re.compile(
    r"^(a|b|gene|genes?[ _]?\d?[ab]?|symbols?|gene[ "
    r"_](symbol|name|id)s?|source|target|(protein|node|interactor|from|to)[ _]?[12ab]?|"
    r"term|go[ _]?(id|term)?|name|official symbol.*|ensembl.*|(hgnc|entrez|ncbi)[ _].*)$",
    re.IGNORECASE,
)
_COMMENT = ("#", "!")
_ARRAYS = r"numpy\.(_?core\.(multiarray|numeric)\.)?(ndarray|dtype|_reconstruct|scalar|_frombuffer)"
_IDENTIFIER = re.compile(r"HGNC:\d+|ENS[A-Z]*\d+(\.\d+)?")


@dataclass(frozen=True, eq=False)
class Annotations:
    """genes (G,), terms (T,): sorted. matrix (G, T): whether the gene has the term."""

    genes: np.ndarray
    terms: np.ndarray
    matrix: sparse.csr_matrix


@dataclass(frozen=True, eq=False)
class Interactions:
    """genes (G,): sorted. edges (E, 2): numbers of two different genes, the lower first; each pair
    once."""

    genes: np.ndarray
    edges: np.ndarray


@dataclass(frozen=True, eq=False)
class Embeddings:
    """genes (G,): sorted. vectors (G, D) float32."""

    genes: np.ndarray
    vectors: np.ndarray


def find_knowledge(where: str) -> dict[str, Path]:
    """Kind -> file, from `kind=path,kind=path` or a folder with files or folders named after the
    kinds.

    Raises
    ------
    InvalidData: a path that does not exist, or a folder without knowledge. UnknownName: a kind that
    does not exist.
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
        named = [
            (kind, path)
            for kind in KINDS
            for path in [folder / kind, *sorted(folder.glob(f"{kind}.*"))]
        ]
        found = {kind: path for kind, path in reversed(named) if path.exists()}
        if not found:
            kinds = ", ".join(f"{kind}.*" for kind in KINDS)
            raise InvalidData(
                f"{where} holds no knowledge ({kinds}). Write kind=FILE,kind=FILE or rename them."
            )
    for kind, path in found.items():
        if not path.exists():
            raise InvalidData(
                f"{path} ({kind}) does not exist. `bench data fetch knowledge` says where to get "
                "it."
            )
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
    """Other name -> name among `genes`, for names of one gene in the table.

    The symbol and identifiers are a gene's primary names, all else in its rows aliases. The primary
    name among `genes` stands for it, else its only alias there. A primary name is no alias of
    another gene; what would stand for two genes is left out.
    """
    if identifiers is None:
        return {}
    header, rows = _table(identifiers)
    column = next((i for i, name in enumerate(header) if name.lower() == "symbol"), 0)
    primary, listed = defaultdict(set), defaultdict(set)
    for row in rows:
        fields = [{name.strip(' "') for name in field.split("|")} - {""} for field in row]
        every, symbols = set[str]().union(*fields), set[str]().union(*fields[column : column + 1])
        own = symbols | {name for name in every if _IDENTIFIER.fullmatch(name)}
        if own:
            primary[min(symbols or own)] |= own
            listed[min(symbols or own)] |= every
    primaries = set().union(*primary.values())
    genes_of = Counter(alias for every in listed.values() for alias in every - primaries)
    wanted, names = set(genes), defaultdict(set)
    for symbol, own in primary.items():
        aliases = {alias for alias in listed[symbol] if genes_of[alias] == 1}
        measured = own & wanted or aliases & wanted
        for other in (own | aliases) - wanted if len(measured) == 1 else ():
            names[other] |= measured
    return {other: measured.pop() for other, measured in names.items() if len(measured) == 1}


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
            f"{path} holds no annotation: expected rows of (gene, term), .gaf or .json of gene -> "
            "terms."
        )
    (genes, i), (terms, j) = map(_numbered, zip(*pairs, strict=True))
    matrix = sparse.csr_matrix(
        (np.ones(len(i), dtype=bool), (i, j)), shape=(len(genes), len(terms))
    )
    return Annotations(genes, terms, matrix)


def read_interactions(path: Path, names: Mapping[str, str] | None = None) -> Interactions:
    """Undirected pairs; loops and repetitions are dropped. Raises as `read_annotations`."""
    pairs = {(min(a, b), max(a, b)) for a, b in _renamed(_pairs(path), names, both=True) if a != b}
    if not pairs:
        raise InvalidData(
            f"{path} holds no pair of genes: expected a table whose first two columns are genes."
        )
    genes, ends = _numbered([gene for pair in sorted(pairs) for gene in pair])
    return Interactions(genes, ends.reshape(-1, 2))


def _numbered(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The different names, sorted, and the number of each."""
    different = sorted(set(names))
    number = {name: i for i, name in enumerate(different)}
    return np.array(different), np.array([number[name] for name in names], dtype=np.int64)


def read_texts(path: Path, names: Mapping[str, str] | None = None) -> dict[str, str]:
    """Gene -> text; a gene's own counts before one of another name. Raises as
    `read_annotations`."""
    names = names or {}
    if _stem(path).endswith(".json"):
        found = _json(path)
        rows: Iterable[tuple[str, str]] = ((gene, _joined(text)) for gene, text in found.items())
    else:
        rows = ((row[0], row[-1]) for row in _rows(path) if len(row) > 1)
    translated_first = sorted((row for row in rows if row[1]), key=lambda row: row[0] not in names)
    texts = dict(_renamed(translated_first, names))
    if not texts:
        raise InvalidData(
            f"{path} holds no text: expected a table with the gene first and the text last."
        )
    return texts


def read_embeddings(path: Path, names: Mapping[str, str] | None = None) -> Embeddings:
    """A gene's own vector counts before one of another name. Raises as `read_annotations`; nothing
    in a .pickle is executed."""
    names = names or {}
    with _readable(path):
        listed, vectors = _embedded(path)
        vectors = np.asarray(vectors, dtype=np.float32)
    genes = np.array([names.get(gene, gene) for gene in listed])
    if vectors.ndim != 2 or len(vectors) != len(genes) or not len(genes):
        raise InvalidData(
            f"{path} holds {len(genes)} genes and vectors of shape {vectors.shape}; expected "
            "(genes, D)."
        )
    if not np.isfinite(vectors).all():
        raise InvalidData(f"{path} holds values that are no numbers; drop their genes.")
    own_first = np.argsort([gene in names for gene in listed], kind="stable")
    genes, first = np.unique(genes[own_first], return_index=True)
    return Embeddings(genes, vectors[own_first[first]])


def _renamed(
    pairs: Iterable[tuple[str, str]], names: Mapping[str, str] | None, *, both: bool = False
) -> Iterator[tuple[str, str]]:
    names = names or {}
    return ((names.get(a, a), names.get(b, b) if both else b) for a, b in pairs)


def _stem(path: Path) -> str:
    return path.name.lower().removesuffix(".gz")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Readers raise whatever comes of it when a file is damaged."""
    try:
        yield
    except (InvalidData, ImportError):
        raise
    except Exception as error:
        raise InvalidData(
            f"{path} cannot be read: {error!r}. If it is not whole, fetch it again."
        ) from error


def _bytes(path: Path) -> bytes:
    with _readable(path):
        raw = path.read_bytes()
        return gzip.decompress(raw) if path.name.lower().endswith(".gz") else raw


def _text(path: Path) -> str:
    return _bytes(path).decode("utf-8-sig", errors="replace")


def _json(path: Path) -> dict:
    with _readable(path):
        found = json.loads(_text(path))
    if not isinstance(found, dict):
        raise InvalidData(f"{path} holds a {type(found).__name__}; expected gene -> value.")
    return found


def _joined(value: object) -> str:
    return value if isinstance(value, str) else "; ".join(map(str, value))  # type: ignore[arg-type]


def _rows(path: Path) -> Iterator[list[str]]:
    """Of a table, without its column names and comments."""
    return _table(path)[1]


def _table(path: Path) -> tuple[list[str], Iterator[list[str]]]:
    """Column names, none if it has none, and rows."""
    text = io.StringIO(_text(path), newline=None)
    lines = dropwhile(lambda line: line.strip(' \t\n"')[:1] in ("", *_COMMENT), text)
    first = next(lines, "")
    lines = chain([first], lines)
    found: Iterable[list[str]]
    if "," in first and "\t" not in first:
        found = _comma_separated(path, lines)
    else:
        fields = (line.split("\t" if "\t" in first else None) for line in lines)
        found = ([field.strip().strip('"') for field in row] for row in fields)
    rows = (row for row in found if any(row) and not row[0].startswith(_COMMENT))
    header = next(rows, None)
    if header is None or _HEADER.match(header[0]):
        return header or [], rows
    return [], chain([header], rows)


def _comma_separated(path: Path, lines: Iterable[str]) -> list[list[str]]:
    reader = csv.reader(lines, quoting=csv.QUOTE_MINIMAL, skipinitialspace=True, strict=True)
    limit = csv.field_size_limit(2**31 - 1)
    try:
        return [[field.strip() for field in row] for row in reader]
    except csv.Error as error:
        raise InvalidData(
            f"{path}, row {reader.line_num}: {error}. Mend its quotes, or separate by tabs."
        ) from error
    finally:
        csv.field_size_limit(limit)


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
        raise InvalidData(
            f"{folder} holds {len(found)} {ending} files; expected one .gaf and one .obo."
        )
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
            above[term[1]] = set(
                re.findall(r"^(?:is_a:|relationship: part_of) (\S+)", stanza, re.MULTILINE)
            )
    closed: dict[str, set[str]] = {}

    def close(term: str) -> set[str]:
        if term not in closed:
            closed[term] = {term}
            closed[term] = {term}.union(*(close(parent) for parent in above.get(term, ())))
        return closed[term]

    return {term: close(term) for term in above}


def _embedded(path: Path) -> tuple[list[str], object]:
    stem = _stem(path).rstrip(".")
    if stem.endswith((".pickle", ".pkl", ".zip")):
        found = _Plain(io.BytesIO(_member(path) if stem.endswith(".zip") else _bytes(path))).load()
        if not isinstance(found, dict):
            raise InvalidData(f"{path} holds a {type(found).__name__}; expected gene -> vector.")
        return list(found), list(found.values())
    if stem.endswith(".npz"):
        with np.load(path, allow_pickle=False) as file:
            if not {"genes", "vectors"} <= set(file):
                raise InvalidData(
                    f"{path} holds {sorted(file)}; expected the arrays genes and vectors."
                )
            return file["genes"].tolist(), file["vectors"]
    if stem.endswith(".parquet"):
        import pandas as pd

        frame = pd.read_parquet(path)
        frame = (
            frame
            if pd.api.types.is_string_dtype(frame.index)
            else frame.set_index(frame.columns[0])
        )
        return frame.index.tolist(), frame.to_numpy()
    rows = list(_rows(path))
    rows = rows[1:] if rows and not _is_number(rows[0][-1]) else rows
    try:
        return [row[0] for row in rows], np.array([row[1:] for row in rows], dtype=np.float32)
    except ValueError as error:
        raise InvalidData(f"{path} is no table of vectors: {error}.") from error


def _member(path: Path) -> bytes:
    """The pickle in an archive; of GenePT's several the one that its authors recommend."""
    with zipfile.ZipFile(path) as archive:
        names = [
            name for name in archive.namelist() if name.rstrip(".").endswith((".pickle", ".pkl"))
        ]
        chosen = [name for name in names if name.rstrip(".").endswith(GENEPT)] or names
        if len(chosen) != 1:
            raise InvalidData(
                f"{path} holds {len(names)} pickles; unpack it and name one: {', '.join(names)}"
            )
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
        if re.fullmatch(_ARRAYS, f"{module}.{name}"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not plain data")
