"""Counts of molecules: what makes a matrix one, and log(1 + counts per ten thousand)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import sparse

from cdnbench.errors import InvalidData

TARGET_SUM = 1e4
_LOG_LIMIT = 25.0
"""No logarithm of a count is larger. Fractional values above have been scaled, not logged."""


def check_values(chunk: sparse.csr_matrix, path: Path, values: str = "counts") -> None:
    """Check that the values of some cells are what they are said to be: "counts", or "lognorm" for
    log(1 + counts per ten thousand).

    Raises
    ------
    InvalidData: values that are not finite, negative or (counts) fractional; the message says what
    they look like and what to do.
    """
    data = chunk.data
    if not len(data):
        return
    if not np.isfinite(data).all():
        raise InvalidData(f"{path} holds values that are not finite. Drop those cells first.")
    least, largest = float(data.min()), float(data.max())
    if least < 0:
        raise InvalidData(
            f"{path} holds negative values (down to {least:.3g}): it was scaled or is a residual. "
            "Give the counts: --layer NAME, or "
            "another file."
        )
    if values == "lognorm":
        if largest > _LOG_LIMIT:
            raise InvalidData(
                f"{path} holds {largest:.3g}, too large for a logarithm. Leave --values lognorm "
                "out for counts."
            )
    elif not (data == np.floor(data)).all():
        looks = "logarithms of normalised counts" if largest < _LOG_LIMIT else "normalised counts"
        cure = (
            "--values lognorm if they are log(1 + counts per 10,000)"
            if largest < _LOG_LIMIT
            else "the file before normalisation"
        )
        raise InvalidData(
            f"{path} holds fractional values (up to {largest:.3g}), which look like {looks}. Use "
            f"--layer NAME for counts, or {cure}."
        )


def log_normalise(counts: sparse.csr_matrix, totals: np.ndarray) -> sparse.csr_matrix:
    """log(1 + 10,000 counts / total) in float32. totals: (M,) counts of each cell over all genes of
    the file, not only those that are kept."""
    totals = np.asarray(totals, dtype=np.float32)
    scale = np.repeat(totals / np.float32(TARGET_SUM), np.diff(counts.indptr))
    data = np.log1p(counts.data.astype(np.float32) / scale)
    return sparse.csr_matrix((data, counts.indices, counts.indptr), shape=counts.shape)
