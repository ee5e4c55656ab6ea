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
from cdnbench.descriptions import (
    constant_on_sides,
    named_as_descriptions,
    note_on_descriptions,
    numbers_of_rows,
)
from cdnbench.digest import generator
from cdnbench.errors import InvalidData, InvalidParameter
from cdnbench.prediction.options import Reading
from cdnbench.prediction.screening import Progress
from cdnbench.scales import (
    NATURAL,
    PLAIN,
    Side,
    Sums,
    are_shares,
    has_one_total,
    sums_by,
    why_scaled_otherwise,
)
from cdnbench.treatment import FEW_VARIABLES, WORDS, Action, Seen, treatment_of
from cdnbench.values import DESCRIPTIONS, LOG_LIMIT, Extent, Kind

_LONG = 20
"""Rows with as many values that are not zero are equal only if one is a copy of the other."""
_LARGER = 5
"""So many values above 1 in a long row of whole numbers, and they are counts."""
_SOME = 0.1
"""Share of the rows that is too large to be chance."""
_TOTAL_NAMES = ("total", "umi", "n_count", "ncount", "library", "depth")

Change = Callable[[sparse.csr_matrix, np.ndarray], sparse.csr_matrix]


@dataclass(frozen=True, eq=False)
class Values:
    """What the M rows of a file hold.

    All is of the rows that are asked for; of others, numbers of rows mean nothing. kind, largest,
    lowest (above 0): of all values. total: (M,) sums, or what `--total` says. whole: (M,) bool,
    rows of whole numbers. counted, logged: (M,) bool, rows that are counts beyond doubt, and rows
    of small fractions, which neither counts nor estimates of them are. key: (M,) equal for equal
    rows, NaN for rows that may be equal by chance. odd: what is wrong with logarithms, and the
    cure, or "". sums: (M,) of each row with its logarithm undone, in every scale that
    `cdnbench.scales` tries.
    """

    kind: Kind
    largest: float
    lowest: float
    total: np.ndarray
    whole: np.ndarray
    counted: np.ndarray
    logged: np.ndarray
    key: np.ndarray
    odd: str
    sums: Sums

    def side(self, rows: np.ndarray) -> Side:
        return Side({scale: sums[rows] for scale, sums in self.sums.items()})


def look(source: Source, reading: Reading, selected: np.ndarray, progress: Progress) -> Values:
    """Read all rows once. selected: (M,) bool, the rows that are asked for. Others decide nothing.

    Raises
    ------
    InvalidData: values that are not finite, or totals smaller than the counts of a row.
    """
    raw, n = source.raw, source.raw.n_cells
    weights = generator("predict", "keys of rows").normal(size=len(raw.genes))
    extent, total, key = Extent(), np.zeros(n), np.full(n, np.nan)
    whole, odd = np.ones(n, dtype=bool), []
    counted, logged = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    sums: dict[str, np.ndarray] = {}
    for part, all_rows in raw.chunks():
        progress("looking", part.start, n)
        rows = part.start + np.flatnonzero(selected[part])
        if not len(rows):
            continue
        chunk = sparse.csr_matrix(all_rows[rows - part.start])
        if not np.isfinite(chunk.data).all():
            bad = int(np.flatnonzero(~np.isfinite(chunk.data))[0])
            row = int(rows[np.searchsorted(chunk.indptr, bad, side="right") - 1])
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
        n_fractions = np.asarray(fractions.sum(axis=1)).ravel()
        whole[rows] = n_fractions == 0
        filled = np.diff(chunk.indptr)
        larger = np.asarray((chunk > 1).sum(axis=1)).ravel()
        largest = chunk.max(axis=1).toarray().ravel()
        counted[rows] = whole[rows] & (filled >= _LONG) & (larger >= _LARGER)
        logged[rows] = (
            (n_fractions >= (1 - _SOME) * filled) & (filled >= _LONG) & (largest < LOG_LIMIT)
        )
        distinct = (filled >= _LONG) | ((filled == len(raw.genes)) & ~whole[rows])
        key[rows] = np.where(distinct, chunk.astype(np.float64) @ weights, np.nan)
        if all(odd):  # one part that is as it should be suffices
            odd.append(other_logarithm(chunk) if extent.kind == "log" else "")
        if extent.kind == "log":
            _add_sums(sums, rows, chunk, n)
    sums = sums if extent.kind == "log" else {} if extent.kind == "scaled" else {PLAIN: total}
    if reading.total:
        given = totals_of(raw, reading.total, selected)
        if extent.kind == "counts" and (selected & (total > given * (1 + 1e-6))).any():
            row = int(np.argmax(np.where(selected, total - given, 0)))
            raise InvalidData(
                f"{raw.path}: row {row + 1} has {total[row]:g} counts in the file and "
                f"{given[row]:g} in {reading.total!r}. --total names the column with the counts "
                "of a row over all genes."
            )
        total = given
    same = odd[0] if odd and all(o == odd[0] for o in odd) and extent.kind == "log" else ""
    return Values(
        extent.kind,
        extent.largest,
        extent.lowest,
        total,
        whole,
        counted,
        logged,
        key,
        same,
        sums,
    )


def _add_sums(
    sums: dict[str, np.ndarray], rows: np.ndarray, chunk: sparse.csr_matrix, n: int
) -> None:
    """Add the sums of some rows, logarithms, to those of the n rows of a file."""
    if not chunk.nnz:
        return

    def total(undo: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        data = undo(chunk.data.astype(np.float64))
        undone = sparse.csr_matrix((data, chunk.indices, chunk.indptr), shape=chunk.shape)
        return np.asarray(undone.sum(axis=1)).ravel()

    earlier = sums.get(NATURAL, np.empty(0))
    seen = earlier[earlier > 0]
    found = sums_by(total, "log", float(seen[0]) if len(seen) else np.nan)
    for scale, values in found.items():
        sums.setdefault(scale, np.full(n, np.nan))[rows] = values


def check(
    source: Source, reading: Reading, values: Values, compared: Comparisons, action: Action
) -> list[str]:
    """Check both sides of each comparison, and return notes. action: what is done to the values.

    Raises
    ------
    InvalidData: one side holds counts and the other does not, or both hold counts and logarithms,
    or one group the ones and another group the others; both were normalised or logged in
    other ways, all rows of a perturbation are controls as well, or logarithms of another kind than
    log(1 + counts per ten thousand).
    """
    path, notes, copied = source.raw.path, _on_descriptions(source, compared), []
    n_columns = len(source.raw.genes)
    if values.odd and source.has_symbols:
        _refuse(reading, notes, f"{path}: {values.odd}, or give the counts: --layer NAME.")
    controls = [np.sort(values.key[rows]) for rows in compared.control_rows]
    control_sides = [values.side(rows) for rows in compared.control_rows]
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
        elif values.kind != "counts":
            sides = (control_sides[group], values.side(rows))
            why = why_scaled_otherwise(sides, ("controls", "perturbed rows"), n_columns)
            if why:
                _refuse(
                    reading,
                    notes,
                    f"{path}: {comparison.name} and its controls were not normalised alike: {why}. "
                    "Treat both alike first.",
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
    if why := _mixed(source, reading, values, compared):
        _refuse(reading, notes, f"{path}: {why}")
    if copied:
        more = f" and {len(copied) - 5} more" if len(copied) > 5 else ""
        notes.append(f"Some rows are also controls: {', '.join(copied[:5])}{more}.")
    return notes


def _mixed(source: Source, reading: Reading, values: Values, compared: Comparisons) -> str:
    """Why no treatment fits all rows, or "". Both are clear cases: estimated counts may have rows
    of whole numbers as well, but not beside rows of nothing but small fractions."""
    few = not source.has_symbols and len(source.raw.genes) < FEW_VARIABLES
    used = (compared.perturbed >= 0) | (compared.control >= 0)
    counted, logged = used & values.counted, used & values.logged
    if values.kind == "counts" or few or not (counted.any() and logged.any()):
        return ""
    cure = "Treat all rows alike first, or keep one kind of them: --where."
    rows_of = [list(rows) for rows in compared.control_rows]
    for g, rows in zip(compared.group, compared.perturbed_rows, strict=True):
        rows_of[g].extend(rows)
    of = {
        what: [
            name
            for name, rows in zip(compared.groups, rows_of, strict=True)
            if rows and sure[rows].mean() > 1 - _SOME
        ]
        for what, sure in (("counts", counted), ("log", logged))
    }
    if of["counts"] and of["log"]:
        return (
            f"the rows of {of['counts'][0]!r} are {DESCRIPTIONS['counts']}, and those of "
            f"{of['log'][0]!r} are small numbers with fractions, as logarithms are "
            f"(--group {reading.group}). {cure}"
        )
    if min(counted.sum(), logged.sum()) < _SOME * used.sum():
        return ""
    one, other = (int(np.argmax(rows)) + 1 for rows in (counted, logged))
    return (
        f"{int(counted.sum()):,} rows are {DESCRIPTIONS['counts']} (the first is row {one}), and "
        f"{int(logged.sum()):,} are small numbers with fractions, as logarithms are (the first is "
        f"row {other}). {cure}"
    )


def _on_descriptions(source: Source, compared: Comparisons) -> list[str]:
    """A note on the variables of a table that look like descriptions of its rows."""
    raw = source.raw
    if source.has_symbols:
        return []
    values, names = raw.read(0, raw.n_cells).toarray(), list(raw.genes)
    suspicious = named_as_descriptions(names) | numbers_of_rows(values)
    controls = [values[rows] for rows in compared.control_rows]
    for group, rows in zip(compared.group, compared.perturbed_rows, strict=True):
        suspicious = suspicious | constant_on_sides(controls[group], values[rows])
    return note_on_descriptions(names, suspicious)


def _refuse(reading: Reading, notes: list[str], text: str) -> None:
    if not reading.as_is:
        raise InvalidData(f"{text} --as-is goes on with the values as they are.")
    notes.append(text)


def treatment(
    source: Source, reading: Reading, values: Values, selected: np.ndarray
) -> tuple[Action, Kind, np.ndarray, list[str]]:
    """How methods get the values: what is done to them, the kind of what this returns, (M,) bool
    which rows it can be done to, and notes. selected: (M,) bool, the rows that are asked for.

    Raises
    ------
    InvalidParameter: `--total` for values that are not divided by a total.
    """
    every, n = np.ones(len(values.total), dtype=bool), len(source.raw.genes)
    if reading.as_is and reading.total:
        raise InvalidParameter(
            "--as-is leaves every value as it is, and --total divides by a total. Leave one out."
        )
    if reading.as_is:
        note = f"The values look like {WORDS[values.kind]}; they are used as they are (--as-is)."
        return "as they are", values.kind, every, [note]
    plain = values.sums.get(PLAIN)
    one_total = plain is not None and has_one_total(plain[selected])
    found = treatment_of(
        Seen(
            values.kind,
            values.largest,
            n,
            source.has_symbols,
            one_total,
            values.lowest,
            reading.total,
        )
    )
    if found.action != "log of shares" and reading.total:
        raise InvalidParameter(
            f"--total divides counts by a total, and the values of {source.raw.path} look like "
            f"{WORDS[values.kind]}{' with one total per row' * one_total}. Leave it out, or give "
            "the counts: --layer NAME."
        )
    if found.kind == "log" and found.action == "as they are" and are_shares(values.total[selected]):
        note = "The values are shares of one total per row; they are used as they are."
        return found.action, "normalised", every, [note]
    if found.action != "log of shares":
        return found.action, found.kind, every, [found.note]
    notes = [found.note]
    if not reading.total and n <= 20 * FEW_VARIABLES:
        notes.append(_hint(source, values, n, selected))
    return found.action, found.kind, values.total > 0, notes


def _hint(source: Source, values: Values, n: int, selected: np.ndarray) -> str:
    """What to do about a file with only some of the genes. selected: (M,) bool."""
    found = []
    for name in source.raw.obs:
        column = source.raw.obs[name]
        named = any(part in str(name).lower() for part in _TOTAL_NAMES)
        if named and column.dtype.kind in "iuf":
            enough = (column.to_numpy(dtype=np.float64) >= values.total)[selected]
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


CHANGES: dict[Action, Change] = {
    "as they are": _as_they_are,
    "log": _logged,
    "log of shares": log_normalise,
}
"""What each action does to some rows, which have these totals."""
