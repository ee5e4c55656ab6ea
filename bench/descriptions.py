"""Columns of numbers that describe samples, and are taken for variables unless a user says so."""

from __future__ import annotations

import numpy as np

from cdnbench.table_layout import some

USUAL = frozenset(
    [
        "dose",
        "conc",
        "concentration",
        "batch",
        "replicate",
        "rep",
        "plate",
        "well",
        "lane",
        "run",
        "day",
        "age",
        "time",
        "timepoint",
        "time_point",
        "passage",
        "sex",
        "n_counts",
        "n_genes",
        "n_umis",
        "total_counts",
        "n_genes_by_counts",
        "ncount_rna",
        "nfeature_rna",
        "pct_counts_mt",
        "percent_mt",
        "percent.mt",
        "pct_mito",
        "size_factor",
        "size_factors",
        "library_size",
    ]
)
"""Names, in small letters, that describe samples and are no genes or proteins."""
_LEAST_ROWS = 5
"""With fewer rows on a side, a small count may well be constant."""


def listed(names: str) -> list[str]:
    """The names in "a,b", as `--not-variables` has them."""
    return [name.strip() for name in names.split(",") if name.strip()]


def named_as_descriptions(variables: list[str]) -> np.ndarray:
    """(N,) bool, whether a variable is called like something that describes samples."""
    return np.array([name.strip().lower() in USUAL for name in variables], dtype=bool)


def constant_on_sides(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(N,) bool, whether a column of two sides (rows, N) has one value per side, and another one on
    the other side, as a dose has."""
    if min(len(before), len(after)) < _LEAST_ROWS:
        return np.zeros(before.shape[1], dtype=bool)
    constant = [(side == side[0]).all(axis=0) for side in (before, after)]
    return constant[0] & constant[1] & (before[0] != after[0])


def note_on_descriptions(variables: list[str], suspicious: np.ndarray) -> list[str]:
    """A note on the variables that look like descriptions of samples, (N,) bool, if there are
    any."""
    found = [name for name, odd in zip(variables, suspicious, strict=True) if odd]
    if not found:
        return []
    short = ",".join(found[:5]) + (",..." if len(found) > 5 else "")
    return [
        f"{some(found)} may describe the samples, by the name or by one value on each side, but "
        f"count as variables. --not-variables {short} leaves them out."
    ]
