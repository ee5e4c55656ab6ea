"""Samples from a user's own files: .csv, .tsv, .parquet, .npz, .h5ad."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from cdnbench.errors import InvalidTask
from cdnbench.task import Task, repeated_names


def read_pair(control: Path, perturbed: Path) -> Task:
    """The single-regime task of two files. Columns are matched by name and stand in the order of
    the control file.

    Raises
    ------
    InvalidTask: a file that cannot be read, columns that differ, or values that are not finite
    numbers; the message names the file, the column and the row.
    """
    before, variables = read_samples(control)
    after, others = read_samples(perturbed)
    known, position = set(variables), {v: i for i, v in enumerate(others)}
    missing = [v for v in variables if v not in position]
    extra = [v for v in others if v not in known]
    if missing or extra:
        parts = [f"{_some(missing)} only in {control}"] if missing else []
        parts += [f"{_some(extra)} only in {perturbed}"] if extra else []
        raise InvalidTask("The two files must have the same variables: " + "; ".join(parts) + ".")
    after = after[:, [position[v] for v in variables]]
    return Task(name=perturbed.stem, variables=variables, observational=before, regimes=[after])


def read_samples(path: Path) -> tuple[np.ndarray, list[str]]:
    """(rows, variables) float32 and the names of the columns.

    Raises
    ------
    InvalidTask: see `read_pair`.
    """
    if not path.exists():
        raise InvalidTask(f"{path} does not exist.")
    suffix = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    if suffix not in READERS:
        raise InvalidTask(
            f"{path}: unknown kind of file; write .csv, .tsv, .parquet, .npz or .h5ad."
        )
    try:
        values, variables = READERS[suffix](path)
    except InvalidTask:
        raise
    except Exception as error:
        raise InvalidTask(f"{path} cannot be read as .{suffix}: {error}") from error
    repeated = repeated_names(variables)
    if repeated:
        raise InvalidTask(f"{path}: variable names must be unique, but {_some(repeated)} repeat.")
    if values.ndim != 2 or values.shape[1] != len(variables) or not values.size:
        raise InvalidTask(
            f"{path} holds an array of shape {values.shape} and {len(variables)} variable names."
        )
    with np.errstate(over="ignore"):
        values = values.astype(np.float32, copy=False)
    finite = np.isfinite(values)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise InvalidTask(
            f"{path}: {(~finite).sum()} values are missing or not finite, the first in row "
            f"{row + 1}, column "
            f"{variables[column]!r}. Drop those rows or columns, or impute them."
        )
    return values, variables


def _read_table(path: Path) -> tuple[np.ndarray, list[str]]:
    import pandas as pd

    separator = "\t" if ".tsv" in path.name.lower() else ","
    header = (
        pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str, keep_default_na=False)
        .iloc[0]
        .tolist()
    )
    if all(_is_number(name) for name in header):
        raise InvalidTask(f"{path}: the first line must name the variables; it holds numbers.")
    repeated = repeated_names(header)
    if repeated:  # pandas would rename them silently
        raise InvalidTask(f"{path}: variable names must be unique, but {_some(repeated)} repeat.")
    return _from_frame(pd.read_csv(path, sep=separator), path)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path) -> tuple[np.ndarray, list[str]]:
    import pandas as pd

    return _from_frame(pd.read_parquet(path), path)


def _from_frame(frame, path: Path) -> tuple[np.ndarray, list[str]]:
    """A first column without a name, or of text, is taken for row labels."""
    import pandas as pd

    if frame.empty:
        raise InvalidTask(f"{path} holds no samples.")
    first = frame.columns[0] if len(frame.columns) else None
    if first is not None and (
        str(first).startswith("Unnamed:") or not pd.api.types.is_numeric_dtype(frame[first])
    ):
        frame = frame.drop(columns=[first])
    text = [str(c) for c in frame.columns if not pd.api.types.is_numeric_dtype(frame[c])]
    if text:
        raise InvalidTask(
            f"{path}: columns must be numbers, but {_some(text)} hold text. Drop them, or name "
            "only the first one."
        )
    return frame.to_numpy(dtype=np.float64), [str(c) for c in frame.columns]


def _read_npz(path: Path) -> tuple[np.ndarray, list[str]]:
    with np.load(path) as arrays:
        if "variables" in arrays.files:
            try:
                arrays["variables"]
            except ValueError:
                raise InvalidTask(
                    f"{path}: save the names as text: variables=np.array(names, dtype=str)."
                ) from None
        tables = [name for name in arrays.files if arrays[name].ndim == 2]
        if len(tables) != 1:
            raise InvalidTask(
                f"{path} must hold exactly one two-dimensional array (rows, variables); it holds "
                f"{tables or 'none'}."
            )
        values = arrays[tables[0]]
        names = (
            arrays["variables"].tolist()
            if "variables" in arrays.files
            else [f"v{i}" for i in range(values.shape[1])]
        )
    return values, [str(name) for name in names]


def _read_h5ad(path: Path) -> tuple[np.ndarray, list[str]]:
    import anndata
    from scipy import sparse

    data = anndata.read_h5ad(path)
    if data.X is None:
        raise InvalidTask(f"{path} has no X.")
    values = data.X.toarray() if sparse.issparse(data.X) else np.asarray(data.X)  # type: ignore[union-attr]
    return values, [str(v) for v in data.var_names]


READERS: dict[str, Callable[[Path], tuple[np.ndarray, list[str]]]] = {
    "csv": _read_table,
    "tsv": _read_table,
    "parquet": _read_parquet,
    "npz": _read_npz,
    "h5ad": _read_h5ad,
}


def _some(names: list[str]) -> str:
    shown = ", ".join(repr(n) for n in names[:5])
    return shown + (f" and {len(names) - 5} more" if len(names) > 5 else "")
