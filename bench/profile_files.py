"""Files of profiles: one row per perturbed gene, one column per measured gene."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.errors import InvalidTask
from cdnbench.hdf5 import opened
from cdnbench.samples import checked_values, read_samples
from cdnbench.table_layout import some
from cdnbench.tables import Table, table_of_frame, text_frame

_CONTROL = ("+ctrl", "ctrl+")
"""Beside the name of a single perturbed gene, as GEARS and scGPT write it."""


@dataclass(frozen=True, eq=False)
class ProfileTable:
    """values (P, G): a row per perturbed gene (P), a column per measured gene (G)."""

    perturbed: list[str]
    genes: list[str]
    values: np.ndarray


def read_profiles(path: Path, column: str = "") -> ProfileTable:
    """The profiles of a file. column: what names the perturbed genes, "" for the rows' own names.

    Raises
    ------
    InvalidTask: a file that cannot be read, without names of rows or with the same name twice, or
    values that are not finite numbers; the message says what to change.
    """
    table = _with_column(path, column) if column else read_samples(path)
    if table.rows is None:
        raise InvalidTask(
            f"{path} does not name its rows. Name the perturbed gene of each row in its first "
            "column or index, or say which column does, with column=NAME."
        )
    perturbed = [_single(str(name)) for name in table.rows]
    repeated = sorted(name for name, count in Counter(perturbed).items() if count > 1)
    if repeated:
        raise InvalidTask(
            f"{path} has several rows for {some(repeated)}. Give one row per perturbed gene, for "
            "example their mean, and one file per cell line."
        )
    return ProfileTable(perturbed, list(table.columns), table.values)


def _single(name: str) -> str:
    for control in _CONTROL:
        name = name.removeprefix(control).removesuffix(control)
    return name


def _with_column(path: Path, column: str) -> Table:
    """The table of a file, its rows named by one of its columns."""
    if not path.is_file():
        raise InvalidTask(f"{path} does not exist.")
    suffix = path.suffix.lower()
    if suffix == ".h5ad":
        table = read_samples(path)
        return Table(table.values, table.columns, _of_obs(path, column))
    if suffix == ".npz":
        raise InvalidTask(f"{path}: an .npz has no column {column!r}. Write a table or an .h5ad.")
    if suffix == ".parquet":
        import pandas as pd

        frame = pd.read_parquet(path)
        frame, names = frame.reset_index(drop=True), [str(name) for name in frame.columns]
    else:
        frame, names = text_frame(path, as_text=(column,))
    if column not in names:
        raise InvalidTask(f"{path} has no column {column!r}; it has {some(names)}.")
    at = names.index(column)
    labels = [str(value) for value in frame.iloc[:, at]]
    frame = frame.drop(columns=frame.columns[at])
    rest = [name for i, name in enumerate(names) if i != at]
    table = table_of_frame(frame, rest, path)
    if len(set(table.columns)) < len(table.columns):
        raise InvalidTask(f"{path} has several columns of the same name. Name each gene once.")
    return Table(checked_values(table.values, table.columns, path), table.columns, labels)


def _of_obs(path: Path, column: str) -> list[str]:
    from anndata.io import read_elem

    with opened(path) as file:
        obs: Any = file["obs"]
        if hasattr(obs, "dtype"):
            raise InvalidTask(
                f"{path} has an old layout. Read it and write it anew with anndata first."
            )
        if column not in obs:
            names = sorted(str(name) for name in obs)
            raise InvalidTask(f"{path}: obs has no column {column!r}; it has {some(names)}.")
        return [str(value) for value in np.asarray(read_elem(obs[column]), dtype=object)]
