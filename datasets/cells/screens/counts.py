"""Counts of molecules: what makes a matrix one, and log(1 + counts per ten thousand)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import sparse

from cdnbench.errors import InvalidData
from cdnbench.treatment import TARGET_SUM
from cdnbench.values import LOG_LIMIT, Extent

_ROUNDING = 0.01
"""Share by which the values of a cell may miss `TARGET_SUM`: half precision, or three decimals."""


def check_values(
    chunk: sparse.csr_matrix,
    path: Path,
    values: str = "counts",
    totals: np.ndarray | None = None,
) -> None:
    """Check that the values of some cells are what they are said to be: "counts", or "lognorm" for
    log(1 + counts per ten thousand).

    totals: (M,) counts of each cell over all genes, where the file holds only some of the genes.

    Raises
    ------
    InvalidData: values that are not finite, negative, (counts) fractional or (lognorm) do not add
    up to 10,000 per cell; the message says what they look like and what to do.
    """
    data = chunk.data
    if not len(data):
        return
    if not np.isfinite(data).all():
        raise InvalidData(f"{path} holds values that are not finite. Drop those cells first.")
    extent = Extent.of(data)
    largest = extent.largest
    if extent.kind == "scaled":
        raise InvalidData(
            f"{path} holds negative values (down to {extent.least:.3g}): it was scaled or is a "
            "residual. Give the counts: --layer NAME, or another file."
        )
    if values == "lognorm":
        if largest > LOG_LIMIT:
            raise InvalidData(
                f"{path} holds {largest:.3g}, too large for a logarithm. Leave --values lognorm "
                "out for counts."
            )
        _check_sums(chunk, path, totals)
    elif extent.kind != "counts":
        logged = extent.kind == "log"
        looks = "logarithms of normalised counts" if logged else "normalised counts"
        cure = (
            "--values lognorm if they are log(1 + counts per 10,000)"
            if logged
            else "the file before normalisation"
        )
        raise InvalidData(
            f"{path} holds fractional values (up to {largest:.3g}), which look like {looks}. Use "
            f"--layer NAME for counts, or {cure}."
        )


def _check_sums(chunk: sparse.csr_matrix, path: Path, totals: np.ndarray | None) -> None:
    """Counts per ten thousand add up to 10,000; with totals, they come from whole counts."""
    if not chunk.data.all():
        chunk = chunk.copy()
        chunk.eliminate_zeros()
    if not chunk.nnz:
        return
    per_cell = np.diff(chunk.indptr)
    logs = chunk.data.astype(np.float64)
    scaled = np.expm1(logs)
    sums = _sums(scaled, per_cell)
    said = f"{path}: the values are said to be log(1 + counts per 10,000), but "
    if totals is None:
        if _is_target(sums).all():
            return
        raise InvalidData(
            f"{said}exp(value) - 1 adds up to {_range(sums)} per cell, not to 10,000. "
            f"{_looks(logs, sums, per_cell)}"
        )
    if (sums > TARGET_SUM * (1 + _ROUNDING)).any():
        raise InvalidData(
            f"{said}exp(value) - 1 adds up to {_range(sums)} per cell, more than 10,000. "
            f"{_looks(logs, sums, per_cell)}"
        )
    counts = scaled * np.repeat(np.asarray(totals, dtype=np.float64) / TARGET_SUM, per_cell)
    whole = np.abs(counts - np.maximum(np.round(counts), 1)) <= 0.02 + _ROUNDING * counts
    if whole.mean() < 0.99:
        raise InvalidData(
            f"{said}with the totals that --total names, {1 - whole.mean():.0%} of them come from "
            f"no whole count; exp(value) - 1 adds up to {_range(sums)} per cell. Name the column "
            "with the totals that the values were divided by, or give the counts: --layer NAME."
        )


def _sums(values: np.ndarray, per_cell: np.ndarray) -> np.ndarray:
    """Sums of the values of each cell that has any."""
    starts = np.concatenate([[0], np.cumsum(per_cell)[:-1]])[per_cell > 0]
    return np.add.reduceat(values, starts)


def _is_target(sums: np.ndarray, target: float = TARGET_SUM) -> np.ndarray:
    return np.abs(sums / target - 1) <= _ROUNDING


def _range(sums: np.ndarray) -> str:
    low, high = float(sums.min()), float(sums.max())
    alike = high <= low * (1 + _ROUNDING)
    return _number(high) if alike else f"{_number(low)} to {_number(high)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _looks(logs: np.ndarray, sums: np.ndarray, per_cell: np.ndarray) -> str:
    """What logarithms (n,) of another kind look like, and what to do."""
    counts = "or give the counts: --layer NAME."
    if known := _another_logarithm(logs, per_cell):
        return f"{known}, {counts}"
    middle = float(np.median(sums))
    if _is_target(sums, middle).all():
        return f"They were scaled to {_number(middle)} per cell: scale them to 10,000, {counts}"
    return (
        "If the file holds only some of the genes, name the column with the counts of each cell "
        f"over all genes: --total COLUMN, {counts}"
    )


def other_logarithm(chunk: sparse.csr_matrix) -> str:
    """What the values of some cells are, and what to do, where they are logarithms of counts per
    ten thousand to another base than e, or were logged twice; "" for everything else."""
    if not chunk.nnz or float(chunk.data.min()) < 0:
        return ""
    logs, per_cell = chunk.data.astype(np.float64), np.diff(chunk.indptr)
    return _another_logarithm(logs, per_cell)


def _another_logarithm(logs: np.ndarray, per_cell: np.ndarray) -> str:
    for base in (2, 10):
        exponents = np.minimum(np.log(base) * logs, LOG_LIMIT)
        if _is_target(_sums(np.expm1(exponents), per_cell)).all():
            return f"They are logarithms to base {base}: multiply them by log({base})"
    if _is_target(_sums(np.expm1(np.minimum(np.expm1(logs), LOG_LIMIT)), per_cell)).all():
        return "They were logged twice: apply exp(value) - 1 once"
    return ""


def log_normalise(counts: sparse.csr_matrix, totals: np.ndarray) -> sparse.csr_matrix:
    """log(1 + 10,000 counts / total) in float32. totals: (M,) counts of each cell over all genes of
    the file, not only those that are kept.

    It is computed in float64. Logarithms of float32 differ between processors in the last digit,
    and with them which values tie, which changes tests and so the candidates of a task.
    """
    scale = np.repeat(np.asarray(totals, dtype=np.float64) / TARGET_SUM, np.diff(counts.indptr))
    data = np.log1p(counts.data / scale).astype(np.float32)
    return sparse.csr_matrix((data, counts.indices, counts.indptr), shape=counts.shape)
