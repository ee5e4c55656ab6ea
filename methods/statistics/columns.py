"""Blocks of columns, so that a pass over thousands of genes needs memory for a block of them
only."""

from __future__ import annotations

from collections.abc import Iterator


def column_blocks(n_rows: int, n_variables: int, values: int = 2**22) -> Iterator[slice]:
    """Slices that cover range(n_variables), each of at most `values` entries of an (n_rows,
    n_variables) array."""
    width = max(1, values // max(n_rows, 1))
    for start in range(0, n_variables, width):
        yield slice(start, min(start + width, n_variables))
