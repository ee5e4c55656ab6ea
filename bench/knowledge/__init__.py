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
spaces. Lines that start with # or ! are comments. A first row of column names is recognised by its
words. Tables, .json, .gaf, .obo and .pickle may also be .gz.
"""

from cdnbench.knowledge.annotations import ROOTS, Annotations, read_annotations
from cdnbench.knowledge.embeddings import GENEPT, Embeddings, read_embeddings
from cdnbench.knowledge.files import KINDS, file_digest, find_knowledge
from cdnbench.knowledge.identifiers import renaming
from cdnbench.knowledge.interactions import Interactions, read_interactions
from cdnbench.knowledge.texts import read_texts

__all__ = [
    "GENEPT",
    "KINDS",
    "ROOTS",
    "Annotations",
    "Embeddings",
    "Interactions",
    "file_digest",
    "find_knowledge",
    "read_annotations",
    "read_embeddings",
    "read_interactions",
    "read_texts",
    "renaming",
]
