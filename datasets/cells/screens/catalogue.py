"""Public screens: where they are, under which terms, and how to prepare them.

Checksums are given where they are publicly recorded. Sizes are those of the files as served in
2025, in bytes, where they are known.
"""

from __future__ import annotations

from dataclasses import dataclass

from cdnbench.errors import did_you_mean


@dataclass(frozen=True)
class RemoteFile:
    """A file to download. urls: the source, then mirrors. md5: "" where it is not publicly known.
    size: bytes, 0 where they are not publicly known."""

    name: str
    urls: tuple[str, ...]
    md5: str = ""
    size: int = 0


@dataclass(frozen=True)
class Screen:
    """A public screen. prepare: options of `bench data prepare` for its first file. paper: whether
    it is among the seven data sets of the CDN paper."""

    name: str
    title: str
    reference: str
    accession: str
    licence: str
    files: tuple[RemoteFile, ...]
    prepare: str
    paper: bool = False
    note: str = ""


_FIGSHARE = "https://plus.figshare.com/ndownloader/files/"
_SCPERTURB = "https://zenodo.org/records/10044268/files/"
_GEO = "https://ftp.ncbi.nlm.nih.gov/geo/"
_REPLOGLE = "Replogle et al. 2022, Cell 185:2559"
_NADIG = "Nadig et al. 2025, Nature Genetics"
_BROWSER = "If the source refuses the download, open its address in a browser."
_BY_ID = "--perturbation gene --target gene_id"


def _replogle(name: str, title: str, file: str, number: str, md5: str) -> Screen:
    remote = RemoteFile(file, (_FIGSHARE + number,), md5)
    options = f"--line {name} {_BY_ID}"
    return Screen(
        name,
        title,
        _REPLOGLE,
        "figshare+ 20029387",
        "CC BY 4.0",
        (remote,),
        options,
        True,
        _BROWSER,
    )


def _nadig(name: str, title: str, size: int) -> Screen:
    file = f"GSE264667_{name}_raw_singlecell_01.h5ad"
    remote = RemoteFile(file, (f"{_GEO}series/GSE264nnn/GSE264667/suppl/{file}",), "", size)
    note = "The CDN paper prints the accession GSE220095, which is another study."
    return Screen(
        name,
        title,
        _NADIG,
        "GSE264667",
        "GEO, public",
        (remote,),
        f"--line {name} {_BY_ID}",
        True,
        note,
    )


def _mcfaline(name: str, title: str) -> Screen:
    prefix = "GSM7056151_sciPlex_4"
    file = f"{prefix}_preprocessed_cds.list.rds.gz"
    remote = RemoteFile(file, (f"{_GEO}samples/GSM7056nnn/GSM7056151/suppl/{file}",))
    note = (
        "Monocle objects of R, for all lines in one file: write counts and column data of this "
        "line to .h5ad first, with a column of "
        "the drug's targets."
    )
    return Screen(
        name,
        title,
        "McFaline-Figueroa et al. 2024, Cell Genomics 4:100487",
        "GSM7056151",
        "GEO, public",
        (remote,),
        f"--line {name} --perturbation treatment --control DMSO --target target",
        True,
        note,
    )


def _scperturb(
    name: str, title: str, reference: str, accession: str, file: str, md5: str, note: str = ""
) -> Screen:
    remote = RemoteFile(file, (_SCPERTURB + file,), md5)
    options = f"--line {name} --control control"
    return Screen(
        name,
        title,
        reference,
        f"{accession}, scPerturb",
        "CC BY 4.0",
        (remote,),
        options,
        False,
        note,
    )


SCREENS = (
    _replogle(
        "k562_gw",
        "K562, genome-wide CRISPRi",
        "K562_gwps_raw_singlecell_01.h5ad",
        "35775507",
        "887e3e6a8c8df6eadf7a3030a53c9546",
    ),
    _replogle(
        "k562_es",
        "K562, essential genes, CRISPRi",
        "K562_essential_raw_singlecell_01.h5ad",
        "35773219",
        "4f1122ce1c7f13299a68df6459a266d3",
    ),
    _replogle(
        "rpe1",
        "RPE1, essential genes, CRISPRi",
        "rpe1_raw_singlecell_01.h5ad",
        "35775606",
        "6a2a9d0d2bf4ec147f4d1104043b268c",
    ),
    _nadig("hepg2", "HepG2, essential genes, CRISPRi", 5_614_460_941),
    _nadig("jurkat", "Jurkat, essential genes, CRISPRi", 0),
    _mcfaline("a172", "A172, drugs"),
    _mcfaline("t98g", "T98G, drugs"),
    _scperturb(
        "papalexi",
        "THP-1, 25 regulators of PD-L1",
        "Papalexi et al. 2021, Nature Genetics 53:322",
        "GSE153056",
        "PapalexiSatija2021_eccite_RNA.h5ad",
        "",
        "Perturbations are named by guide (STAT1g2): give a column of the genes with --target.",
    ),
    _scperturb(
        "norman",
        "K562, CRISPRa of single genes and pairs",
        "Norman et al. 2019, Science 365:786",
        "GSE133344",
        "NormanWeissman2019_filtered.h5ad",
        "c870e6967d91c017d9da827bab183cd6",
        "Pairs are joined by _: give a column with + by --target.",
    ),
    _scperturb(
        "adamson",
        "K562, CRISPRi of the unfolded protein response",
        "Adamson et al. 2016, Cell 167:1867",
        "GSE90546",
        "AdamsonWeissman2016_GSM2406681_10X010.h5ad",
        "2fa44ea61a8dd35742af618638ec65fc",
        "Perturbations are named by construct: give a column of the genes with --target.",
    ),
)


def screen(name: str) -> Screen:
    """The screen of this name.

    Raises
    ------
    UnknownName: no screen has this name.
    """
    for found in SCREENS:
        if found.name == name:
            return found
    raise did_you_mean("screen", name, [s.name for s in SCREENS])
