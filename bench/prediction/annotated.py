"""A copy of an .h5ad with what was found: `uns["cdnbench"]` and three columns of `obs`.

The file is copied and the copy is added to, so that its values are neither read nor changed.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cdnbench.errors import InvalidData
from cdnbench.files import partial_of, what_is
from cdnbench.prediction.result import Finding, Result

KEY = "cdnbench"
COLUMNS = ("cdnbench_first", "cdnbench_q", "cdnbench_verdict")
_PACKAGES = ("cdnbench", "numpy", "scipy", "torch", "anndata")


def write_annotated(result: Result, source: Path, path: Path) -> None:
    """Write a copy of an .h5ad that holds the result.

    obs gets `cdnbench_first`, `cdnbench_q` and `cdnbench_verdict`: first variable, q and verdict of
    each row's perturbation, by the first method. They are missing for controls and for rows that
    were left out. `uns["cdnbench"]` gets "settings", "versions", "notes" and "table"
    (`Result.table` as arrays, one entry per finding). Where `path` is a link, it stays and what it
    points to is written.

    Raises
    ------
    InvalidData: the result is not of this file, the file's obs has an old layout, or `path` is a
        pipe or a device.
    """
    import h5py
    from anndata.io import read_elem, write_elem

    source, path = Path(source), Path(path)
    if result.rows is None:
        raise InvalidData("Only a result of one file with many perturbations can be added to it.")
    if path.exists() and os.path.samefile(source, path):
        raise InvalidData(f"{path} is the input, which stays as it is. Name another file.")
    if path.exists() and not path.is_file():
        raise InvalidData(f"{path} is {what_is(path)}. An .h5ad can be written to a file only.")
    path = path.resolve()
    partial = partial_of(path)
    try:
        shutil.copyfile(source, partial)
        with h5py.File(partial, "r+") as file:
            if not isinstance(file["obs"], h5py.Group):
                raise InvalidData(
                    f"{source} has an old layout. Read it and write it anew with anndata first."
                )
            obs = read_elem(file["obs"])
            if len(obs) != len(result.rows):
                raise InvalidData(
                    f"{source} has {len(obs):,} rows and the result is of {len(result.rows):,}."
                )
            write_elem(file, "obs", obs.assign(**_columns(result, obs.index)))
            if "uns" not in file:
                write_elem(file, "uns", {})
            write_elem(file["uns"], KEY, _summary(result))
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _columns(result: Result, index: pd.Index) -> dict[str, pd.Series]:
    first: dict[tuple[str, str], Finding] = {}
    for finding in result.findings:
        first.setdefault((finding.perturbation, finding.group), finding)
    of_each = list(first.values())
    rows = np.asarray(result.rows)
    names = [None if f.failed else str(f.variables[0]) for f in of_each]
    q = np.array([np.nan if f.q is None else f.q for f in of_each] + [np.nan])
    return {
        COLUMNS[0]: _categories(names, rows, index),
        COLUMNS[1]: pd.Series(q[rows], index=index),  # -1 is the last one
        COLUMNS[2]: _categories([f.verdict for f in of_each], rows, index),
    }


def _categories(values: Sequence[str | None], rows: np.ndarray, index: pd.Index) -> pd.Series:
    known = sorted({value for value in values if value is not None})
    code = np.array([-1 if v is None else known.index(v) for v in values] + [-1])
    made = pd.Categorical.from_codes(code[rows], pd.Index(known, dtype=object))
    return pd.Series(made, index=index)


def _summary(result: Result) -> dict[str, Any]:
    table = {}
    for name, column in result.table.items():
        if column.dtype.kind in "fi":
            table[str(name)] = column.to_numpy()
        elif str(name) in ("p", "q"):
            table[str(name)] = column.astype(float).to_numpy()
        else:
            text = ["" if v is None or v != v else str(v) for v in column]
            table[str(name)] = np.array(text, dtype=object)
    settings = {
        name: np.array(list(map(str, value)), dtype=object)
        if isinstance(value, list | tuple)
        else ""
        if value is None
        else value
        for name, value in result.settings.items()
    }
    return {
        "settings": settings,
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "notes": np.array(result.notes, dtype=object),
        "table": table,
    }
