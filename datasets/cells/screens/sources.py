"""Public knowledge of human genes: where it is, under which terms, and of which kind."""

from __future__ import annotations

from cdnbench.datasets.cells.screens.catalogue import RemoteFile, Screen

_GO = "https://current.geneontology.org/"
_HGNC = "https://storage.googleapis.com/public-download-files/hgnc/tsv/tsv/hgnc_complete_set.txt"


def _source(title: str, reference: str, place: str, licence: str, *files: RemoteFile) -> Screen:
    return Screen(title, title, reference, place, licence, files, "")


SOURCES = (
    _source(
        "Gene ontology and its annotations of human genes",
        "Gene Ontology Consortium",
        "geneontology.org",
        "CC BY 4.0",
        RemoteFile(
            "annotations/go-basic.obo",
            (_GO + "ontology/go-basic.obo", "http://purl.obolibrary.org/obo/go/go-basic.obo"),
        ),
        RemoteFile("annotations/goa_human.gaf.gz", (_GO + "annotations/goa_human.gaf.gz",)),
    ),
    _source(
        "Human reference interactome, pairs of Ensembl genes",
        "Luck et al. 2020, Nature 580:402",
        "interactome-atlas.org",
        "CC BY 4.0",
        RemoteFile("interactions.tsv", ("http://www.interactome-atlas.org/data/HuRI.tsv",)),
    ),
    _source(
        "Symbols, former symbols and Ensembl identifiers of human genes",
        "HUGO Gene Nomenclature Committee",
        "genenames.org",
        "CC0",
        RemoteFile("identifiers.txt", (_HGNC,)),
    ),
)
"""What `bench data fetch knowledge` downloads. All of it changes with time, so that there are no
checksums."""

GENEPT = _source(
    "GenePT embeddings of 133,736 names of genes, 909 MB",
    "Chen, Zou 2024, bioRxiv 2023.10.16.562533",
    "Zenodo 10833191",
    "see the record",
    RemoteFile(
        "embeddings.zip", ("https://zenodo.org/records/10833191/files/GenePT_emebdding_v2.zip",)
    ),
)
