"""A first look at a raw file: which cells and genes are kept, and the perturbation of each cell."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from cdnbench.datasets.cells.screens.counts import check_values, log_normalise
from cdnbench.datasets.cells.screens.labels import Labels, column_of, frequent, read_labels
from cdnbench.datasets.cells.screens.options import Attrition, Preparation
from cdnbench.datasets.cells.screens.raw import RawCells
from cdnbench.errors import InvalidData

Progress = Callable[[str, int, int], None]  # what is done, of how many
TARGETS_MEASURED = "their targets among the genes"
DROPPED, CONTROL = -2, -1


@dataclass(frozen=True, eq=False)
class Survey:
    """Which cells and genes are kept.

    label: (M,) number of the perturbation of each cell, or CONTROL or DROPPED. total: (M,) count of
    each cell. genes: places of the kept genes in the file. names: name of each perturbation.
    targets: numbers of its targets among the kept genes; empty if one of them is missing.
    """

    label: np.ndarray
    total: np.ndarray
    genes: np.ndarray
    names: list[str]
    targets: list[list[int]]


def survey(raw: RawCells, options: Preparation, attrition: Attrition, progress: Progress) -> Survey:
    """Read all cells once and decide what is kept.

    Raises
    ------
    InvalidData: a column that is missing, no controls, no perturbation with enough cells, or values
    that are not counts.
    """
    labels = read_labels(raw, options)
    selected = labels.labelled
    if options.where:
        selected &= fulfils(raw, options.where)
    n_features = len(raw.genes) + sum(raw.left_out.values())
    attrition.add("file", raw.n_cells, labels.distinct(), n_features)
    if raw.left_out:
        others = ", ".join(f"{n:,} {kind}" for kind, n in raw.left_out.items())
        attrition.add(f"without {others}", raw.n_cells, labels.distinct(), len(raw.genes))
    attrition.add(
        "cells with a perturbation" + (f", {options.where}" if options.where else ""),
        selected.sum(),
        labels.distinct(selected),
        len(raw.genes),
    )

    total = np.zeros(raw.n_cells)
    if options.total:
        total = totals_of(raw, options.total, selected)
    expressed_by = np.zeros(len(raw.genes), dtype=np.int64)
    mitochondrial = np.array([gene.upper().startswith("MT-") for gene in raw.genes])
    if options.max_mito < 1 and not mitochondrial.any():
        raise InvalidData(
            f"{raw.path}: no gene is named MT-..., so --max-mito filters nothing. Leave it out, "
            "or filter by a column: "
            "--where 'p_mito < 0.1'."
        )
    for rows, chunk in raw.chunks():
        progress("looking", rows.start, raw.n_cells)
        check_values(chunk, raw.path, options.values, total[rows] if options.total else None)
        chunk.eliminate_zeros()
        counted = np.asarray(chunk.sum(axis=1, dtype=np.float64)).ravel()
        if not options.total:
            total[rows] = counted
        elif options.values == "counts" and (counted > total[rows] * (1 + 1e-6)).any():
            cell = rows.start + int(np.argmax(counted - total[rows]))
            raise InvalidData(
                f"{raw.path}: cell {cell} has {counted[cell - rows.start]:g} counts in the file "
                f"and {total[cell]:g} in "
                f"{options.total!r}. --total names the column with a cell's counts over all genes."
            )
        enough = np.diff(chunk.indptr) >= options.min_genes
        if options.max_mito < 1:
            counts = np.asarray(chunk[:, mitochondrial].sum(axis=1, dtype=np.float64)).ravel()
            enough &= counts <= options.max_mito * total[rows]
        selected[rows] &= enough & (total[rows] > 0)
        expressed_by += np.bincount(chunk[selected[rows]].indices, minlength=len(raw.genes))
    attrition.add(
        f"cells with counts, {options.min_genes} genes or more"
        + (f", mitochondrial share at most {options.max_mito}" if options.max_mito < 1 else ""),
        selected.sum(),
        labels.distinct(selected),
        len(raw.genes),
    )
    genes = np.flatnonzero(expressed_by >= max(options.min_cells, 1))
    attrition.add(
        f"genes in {max(options.min_cells, 1)} cells or more",
        selected.sum(),
        labels.distinct(selected),
        len(genes),
    )
    return _labelled(raw, options, attrition, labels, selected, total, genes)


def _labelled(raw, options, attrition, labels: Labels, selected, total, genes) -> Survey:
    label = np.full(raw.n_cells, DROPPED, dtype=np.int64)
    controls = selected & labels.control
    perturbed = selected & ~labels.control
    present, place, counts = np.unique(
        labels.names[perturbed].astype(str), return_inverse=True, return_counts=True
    )
    if not controls.any():
        left = frequent(Counter(dict(zip(present.tolist(), counts.tolist(), strict=True))))
        raise InvalidData(
            f"{raw.path}: no cell has {options.perturbation} = {options.control!r} after the "
            f"filters. Lower the thresholds, or name other controls: --control NAME. Left: {left}."
        )
    position = {raw.genes[g]: i for i, g in enumerate(genes)}
    target_of = labels.targets
    often = [i for i in range(len(present)) if counts[i] >= options.min_perturbed]
    measured = [i for i in often if all(t in position for t in target_of[present[i]])]
    n_controls = int(controls.sum())
    attrition.add(
        f"perturbations of {options.min_perturbed} cells or more",
        n_controls + counts[often].sum(),
        len(often),
        len(genes),
    )
    attrition.add(TARGETS_MEASURED, n_controls + counts[measured].sum(), len(measured), len(genes))
    if not often:
        raise InvalidData(
            f"{raw.path}: no perturbation has {options.min_perturbed} cells. Lower --min-perturbed."
        )
    number = np.full(len(present), DROPPED)
    number[often] = np.arange(len(often))  # the others serve as profiles
    label[perturbed] = number[place]
    label[controls] = CONTROL
    kept = [str(present[i]) for i in often]
    targets = [
        [position[t] for t in target_of[name]]
        if all(t in position for t in target_of[name])
        else []
        for name in kept
    ]
    return Survey(label, total, genes, kept, targets)


def kept_values(found: Survey, chunk: sparse.csr_matrix, keep: np.ndarray) -> sparse.csr_matrix:
    """The kept genes of those cells of a chunk (keep, bool) as the file has them, in float32."""
    cells = sparse.csr_matrix(chunk[keep][:, found.genes], dtype=np.float32)
    cells.eliminate_zeros()
    return cells


def normalised(
    found: Survey,
    options: Preparation,
    rows: slice,
    chunk: sparse.csr_matrix,
    keep: np.ndarray,
) -> sparse.csr_matrix:
    """The kept genes of those cells of a chunk (keep, bool) as log(1 + counts per 10,000)."""
    cells = kept_values(found, chunk, keep)
    return log_normalise(cells, found.total[rows][keep]) if options.values == "counts" else cells


def totals_of(raw: RawCells, name: str, selected: np.ndarray) -> np.ndarray:
    """(M,) counts of each cell over all genes, from a column of obs (`--total`). selected:
    (M,) bool, the cells that need one.

    Raises
    ------
    InvalidData: a total that is missing, not finite or negative.
    """
    try:
        total = column_of(raw, name).to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InvalidData(
            f"{raw.path}: --total names a column of numbers; {name!r} is none ({error})."
        ) from error
    wrong = selected & ~(np.isfinite(total) & (total >= 0))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InvalidData(
            f"{raw.path}: {int(wrong.sum()):,} cells have no total in {name!r}, the first in row "
            f"{row + 1} ({total[row]:g}). Give finite totals of 0 or more, or leave these cells "
            f"out: --where '0 < {name} < 1e15'."
        )
    return total


def fulfils(raw: RawCells, condition: str) -> np.ndarray:
    """(M,) bool: which cells fulfil a condition on the columns of obs (`--where`). A missing
    value of a column of a nullable type fulfils none.

    Raises
    ------
    InvalidData: it cannot be evaluated, is no condition, or compares numbers with text.
    """
    _check_compared(raw, condition)
    columns = ", ".join(map(str, raw.obs.columns))
    try:
        result = raw.obs.eval(condition, engine="python")  # numexpr does not know all types
        nullable = str(getattr(result, "dtype", "")) in ("boolean", "bool[pyarrow]")
        found = np.asarray(result.fillna(False).astype(bool) if nullable else result)
    except Exception as error:
        raise InvalidData(
            f"{raw.path}: --where {condition!r} cannot be evaluated ({error}). Columns: {columns}."
        ) from error
    if found.dtype != bool or found.shape != (raw.n_cells,):
        raise InvalidData(
            f"{raw.path}: --where {condition!r} is no condition. It must be true or false for "
            "each cell, as in 'n_targets == 1'. "
            f"Columns: {columns}."
        )
    return found


def _check_compared(raw: RawCells, condition: str) -> None:
    """
    Raises
    ------
    InvalidData: numbers are said to be equal to texts, or not: the answer is the same for each
    cell, whatever the column holds.
    """
    places = {str(name): place for place, name in enumerate(raw.obs.columns)}
    plain = re.sub(
        "`([^`]*)`", lambda quoted: f"_column_{places.get(quoted[1], '')}", condition.strip()
    )
    names = {f"_column_{place}": name for name, place in places.items()}
    try:
        tree = ast.parse(plain, mode="eval")
    except (SyntaxError, ValueError):  # pandas says what is wrong with it
        return
    for part in ast.walk(tree):
        if not isinstance(part, ast.Compare):
            continue
        kinds: dict[str, str] = {}
        for leaf in (leaf for side in (part.left, *part.comparators) for leaf in _leaves(side)):
            if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str | int | float):
                kind = "text" if isinstance(leaf.value, str) else "number"
                kinds.setdefault(kind, f"the {kind} {leaf.value!r}")
            elif isinstance(leaf, ast.Name):
                name = names.get(leaf.id, leaf.id)
                if name in places and (kind := _kind(raw.obs.iloc[:, places[name]])):
                    kinds.setdefault(kind, f"{name!r}, a column of {kind}s")
        if len(kinds) > 1:
            raise InvalidData(
                f"{raw.path}: --where {condition!r} compares {kinds['text']}, with "
                f"{kinds['number']}. The two are never equal. Write a number without quotes where "
                "the column holds numbers, and with quotes where it holds texts."
            )


def _leaves(side: ast.expr) -> Iterator[ast.expr]:
    """The names and constants that one side of a comparison consists of."""
    if isinstance(side, ast.Constant | ast.Name):
        yield side
    elif isinstance(side, ast.UnaryOp):
        yield from _leaves(side.operand)
    elif isinstance(side, ast.List | ast.Tuple | ast.Set):
        for part in side.elts:
            yield from _leaves(part)


def _kind(column: pd.Series) -> str:
    """ "number", "text", or "" where a column holds both, neither or nothing."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _kind(column.cat.categories.to_series())
    if pd.api.types.is_numeric_dtype(column.dtype):
        return "number"  # truth values too
    return "text" if pd.api.types.infer_dtype(column, skipna=True) == "string" else ""
