"""Columns of numbers that describe samples, and are taken for variables unless a user says so."""

from __future__ import annotations

import numpy as np

from cdnbench.table_layout import INDEX_NAMES, some

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
        *INDEX_NAMES,
    ]
)
"""Names, in small letters, that describe samples and are no genes or proteins."""
_LEAST_ROWS = 5
"""With fewer rows on a side, a small count may well be constant."""
_LEAST_IN_ORDER, _LEAST_NUMBERED = 8, 20
"""With fewer rows, small counts may well be consecutive: in the order of the rows, or in any."""
_GAPS = 1.2
"""Numbers of rows may reach this many times the number of rows, where some rows were removed."""


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


def numbers_of_rows(*sides: np.ndarray) -> np.ndarray:
    """(N,) bool, whether a column of one or two tables (rows, N) numbers the rows: it holds
    distinct whole numbers, nearly consecutive in any order, over all rows or in each table."""
    n, n_variables = sum(map(len, sides)), sides[0].shape[1]
    found = np.zeros(n_variables, dtype=bool)
    if n < _LEAST_IN_ORDER:
        return found
    least, most = (
        [getattr(side, which)(axis=0).astype(np.float64) for side in sides]
        for which in ("min", "max")
    )
    span = np.max(most, axis=0) - np.min(least, axis=0) + 1
    fits = (n <= span) & (span <= _GAPS * n)
    alone = [
        (len(s) <= b - a + 1) & (b - a + 1 <= _GAPS * len(s))
        for s, a, b in zip(sides, least, most, strict=True)
    ]
    for i in np.flatnonzero(fits | np.all(alone, axis=0)):
        columns = [np.asarray(side[:, i], dtype=np.float64) for side in sides]
        together = [np.concatenate(columns)] if fits[i] else columns
        found[i] = _numbered(together, n) or (len(sides) > 1 and _numbered(columns, n))
    # Where most columns do, the values are ranks.
    return found if found.sum() <= n_variables / 2 else np.zeros(n_variables, dtype=bool)


def _numbered(parts: list[np.ndarray], n: int) -> bool:
    """Whether each part holds distinct whole numbers within its span. n: rows of all parts."""
    for part in parts:
        whole = (part == np.floor(part)).all() and len(np.unique(part)) == len(part)
        in_order = (np.abs(np.diff(part)) == 1).all()
        if not whole or np.ptp(part) + 1 > _GAPS * len(part):
            return False
        if n < _LEAST_NUMBERED and not in_order:
            return False
    return True


def note_on_descriptions(variables: list[str], suspicious: np.ndarray) -> list[str]:
    """A note on the variables that look like descriptions of samples, (N,) bool, if there are
    any."""
    found = [name for name, odd in zip(variables, suspicious, strict=True) if odd]
    if not found:
        return []
    short = ",".join(found[:5]) + (",..." if len(found) > 5 else "")
    one = len(found) == 1
    return [
        f"{some(found)} may describe the samples: by the name, by having one value on each side, "
        f"or because the rows are numbered there. {'It is' if one else 'They are'} used as "
        f"{'a variable' if one else 'variables'} all the same. --not-variables {short} leaves "
        f"{'it' if one else 'them'} out."
    ]
