"""What the values of a user's own file are, and how methods get them.

One pass over the file tells the kind of its values (`cdnbench.values`), for each row its total and
whether it is whole, and which rows are copies of others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from cdnbench.datasets.cells.screens.comparisons import Comparisons
from cdnbench.datasets.cells.screens.counts import log_normalise, other_logarithm
from cdnbench.datasets.cells.screens.opening import Source
from cdnbench.datasets.cells.screens.survey import totals_of
from cdnbench.digest import generator
from cdnbench.errors import InvalidData
from cdnbench.prediction.options import Reading
from cdnbench.prediction.screening import Progress
from cdnbench.values import DESCRIPTIONS, Extent, Kind

FEW_VARIABLES = 100
"""With fewer, the total of a row is no measure of its depth: it moves with every variable."""
SMALL_COUNT = 10
"""Whole numbers of a table up to here may be grades or classes."""
_LONG = 20
"""Rows with as many values that are not zero are equal only if one is a copy of the other."""
_WORDS: dict[Kind, str] = {
    "counts": "counts",
    "normalised": "normalised counts",
    "log": "logarithms of counts",
    "scaled": "scaled values, of both signs",
}
_TOTAL_NAMES = ("total", "umi", "n_count", "ncount", "library", "depth")

Change = Callable[[sparse.csr_matrix, np.ndarray], sparse.csr_matrix]


@dataclass(frozen=True, eq=False)
class Values:
    """What the M rows of a file hold.

    kind: of all values. total: (M,) sums, or what `--total` says. whole: (M,) bool, rows of whole
    numbers. key: (M,) equal for equal rows, NaN for rows that may be equal by chance. odd: what is
    wrong with logarithms, and the cure, or "".
    """

    kind: Kind
    largest: float
    total: np.ndarray
    whole: np.ndarray
    key: np.ndarray
    odd: str


def look(source: Source, reading: Reading, progress: Progress) -> Values:
    """Read all rows once.

    Raises
    ------
    InvalidData: values that are not finite, or totals smaller than the counts of a row.
    """
    raw, n = source.raw, source.raw.n_cells
    weights = generator("predict", "keys of rows").normal(size=len(raw.genes))
    extent, total, key = Extent(), np.zeros(n), np.full(n, np.nan)
    whole, odd = np.ones(n, dtype=bool), []
    for rows, chunk in raw.chunks():
        progress("looking", rows.start, n)
        if not np.isfinite(chunk.data).all():
            bad = int(np.flatnonzero(~np.isfinite(chunk.data))[0])
            row = rows.start + int(np.searchsorted(chunk.indptr, bad, side="right")) - 1
            raise InvalidData(
                f"{raw.path}: row {row + 1} holds values that are not finite. Drop such rows, or "
                "impute them."
            )
        chunk.eliminate_zeros()
        extent |= Extent.of(chunk.data)
        total[rows] = np.asarray(chunk.sum(axis=1, dtype=np.float64)).ravel()
        fractions = sparse.csr_matrix(
            (chunk.data != np.floor(chunk.data), chunk.indices, chunk.indptr), shape=chunk.shape
        )
        whole[rows] = np.asarray(fractions.sum(axis=1)).ravel() == 0
        filled = np.diff(chunk.indptr)
        distinct = (filled >= _LONG) | ((filled == len(raw.genes)) & ~whole[rows])
        key[rows] = np.where(distinct, chunk.astype(np.float64) @ weights, np.nan)
        if all(odd):  # one part that is as it should be suffices
            odd.append(other_logarithm(chunk) if extent.kind == "log" else "")
    if reading.total:
        given = totals_of(raw, reading.total)
        if extent.kind == "counts" and (total > given * (1 + 1e-6)).any():
            row = int(np.argmax(total - given))
            raise InvalidData(
                f"{raw.path}: row {row + 1} has {total[row]:g} counts in the file and "
                f"{given[row]:g} in {reading.total!r}. --total names the column with the counts "
                "of a row over all genes."
            )
        total = given
    same = odd[0] if odd and all(o == odd[0] for o in odd) and extent.kind == "log" else ""
    return Values(extent.kind, extent.largest, total, whole, key, same)


def check(source: Source, reading: Reading, values: Values, compared: Comparisons) -> list[str]:
    """Check both sides of each comparison, and return notes.

    Raises
    ------
    InvalidData: one side holds counts and the other does not, all rows of a perturbation are
    controls as well, or logarithms of another kind than log(1 + counts per ten thousand).
    """
    path, notes, copied = source.raw.path, [], []
    if values.odd and source.has_symbols:
        _refuse(reading, notes, f"{path}: {values.odd}, or give the counts: --layer NAME.")
    controls = [np.sort(values.key[rows]) for rows in compared.control_rows]
    whole = [values.whole[rows].mean() if len(rows) else 0.0 for rows in compared.control_rows]
    for c, (comparison, rows) in enumerate(
        zip(compared.found, compared.perturbed_rows, strict=True)
    ):
        group = compared.group[c]
        shares = whole[group], values.whole[rows].mean()
        if values.kind != "counts" and max(shares) > 0.9 and min(shares) < 0.1:
            one, other = ("controls", "perturbed rows")[:: 1 if shares[0] > 0.9 else -1]
            _refuse(
                reading,
                notes,
                f"{path}: {comparison.name} and its controls hold different kinds of values: the "
                f"{one} are {DESCRIPTIONS['counts']}, the {other} are not. Treat both alike first.",
            )
        keys, known = values.key[rows], controls[group]
        n = int((known[np.searchsorted(known, keys).clip(max=len(known) - 1)] == keys).sum())
        if n == len(rows):
            _refuse(
                reading,
                notes,
                f"{path}: every row of {comparison.name} is also a control. Remove the copies, or "
                "the perturbation.",
            )
        elif n:
            copied.append(f"{comparison.name} ({n})")
    if copied:
        more = f" and {len(copied) - 5} more" if len(copied) > 5 else ""
        notes.append(f"Some rows are also controls: {', '.join(copied[:5])}{more}.")
    return notes


def _refuse(reading: Reading, notes: list[str], text: str) -> None:
    if not reading.as_is:
        raise InvalidData(f"{text} --as-is goes on with the values as they are.")
    notes.append(text)


def treatment(
    source: Source, reading: Reading, values: Values
) -> tuple[Change, Kind, np.ndarray, list[str]]:
    """How methods get the values: a function of some rows and their totals, the kind of what it
    returns, (M,) bool which rows it can be applied to, and notes."""
    every, notes = np.ones(len(values.total), dtype=bool), []
    what = f"The values look like {_WORDS[values.kind]}"
    n = len(source.raw.genes)
    if reading.as_is:
        return _as_they_are, values.kind, every, [f"{what}; they are used as they are (--as-is)."]
    if values.kind == "normalised" and source.has_symbols:
        note = f"{what} without a logarithm; log(1 + value) is taken of all rows alike."
        return _logged, "log", every, [note]
    if values.kind != "counts":
        return _as_they_are, values.kind, every, [f"{what}; they are used as they are."]
    if not source.has_symbols and values.largest <= SMALL_COUNT and not reading.total:
        note = f"The values are whole numbers up to {values.largest:g}; they are used as they are."
        return _as_they_are, "counts", every, [note]
    if not source.has_symbols and n < FEW_VARIABLES and not reading.total:
        note = (
            f"The values are whole numbers of {n} variables, too few for totals of rows to say "
            "how deep they were measured; they are used as they are. --total COLUMN normalises "
            "them."
        )
        return _as_they_are, "counts", every, [note]
    by = f"the column {reading.total!r}" if reading.total else f"its sum over {n:,} variables"
    notes.append(
        "The values are counts; log(1 + 10,000 x count / total) is taken of all rows alike, with "
        f"{by} as the total of a row."
    )
    if not reading.total and n < 20 * FEW_VARIABLES:
        notes.append(_hint(source, values, n))
    return log_normalise, "log", values.total > 0, notes


def _hint(source: Source, values: Values, n: int) -> str:
    """What to do about a file with only some of the genes."""
    found = []
    for name in source.raw.obs:
        column = source.raw.obs[name]
        named = any(part in str(name).lower() for part in _TOTAL_NAMES)
        if named and column.dtype.kind in "iuf":
            enough = column.to_numpy(dtype=np.float64) >= values.total
            found += [str(name)] * bool(enough.all())
    cure = f"--total {found[0]} looks like it" if found else "name it with --total COLUMN"
    return (
        f"If these {n:,} variables are only some of the genes, the sum is no good total: a column "
        f"with the counts of each row over all genes is; {cure}."
    )


def _as_they_are(rows: sparse.csr_matrix, totals: np.ndarray) -> sparse.csr_matrix:
    return rows


def _logged(rows: sparse.csr_matrix, totals: np.ndarray) -> sparse.csr_matrix:
    data = np.log1p(rows.data.astype(np.float32))
    return sparse.csr_matrix((data, rows.indices, rows.indptr), shape=rows.shape)
