"""What `Task` takes besides arrays: sparse arrays, data frames, AnnData and tensors of torch.

A library is looked at only where it has been imported already: without it, there can be no such
object, and numpy alone suffices.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from cdnbench.errors import InvalidTask


def is_table(value: Any) -> bool:
    """Whether a value is one table of samples, and not a list of them."""
    dense = isinstance(value, np.ndarray) and value.ndim == 2
    dense = dense or (_is_tensor(value) and value.ndim == 2)
    return dense or _is_sparse(value) or _is_frame(value) or _is_annotated(value)


def column_names(value: Any) -> list[str] | None:
    """The names of a table's columns: of a data frame (any library's) or of AnnData; else None."""
    if _is_annotated(value):
        names = value.var_names
    else:  # a table of Arrow has both, and its `columns` are the values
        names = getattr(value, "column_names", getattr(value, "columns", None))
    return None if names is None else [str(name) for name in names]


def is_masked(value: Any) -> bool:
    """Whether an array, or an array in a list of them, hides some of its values."""
    each = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(x, np.ndarray) and bool(np.any(getattr(x, "mask", False))) for x in each)


def as_array(value: Any, where: str) -> np.ndarray:
    """The values of a table as a dense array. An array is not copied, a data frame is.

    Raises
    ------
    InvalidTask: AnnData without X, columns that hold dates, or something that is no table.
    """
    if _is_annotated(value):
        if value.isbacked:
            value = value.to_memory()
        if value.X is None:
            raise InvalidTask(f"{where}: the AnnData has no X. Copy the layer to use into X.")
        value = value.X
    if _is_frame(value):
        for name, dtype in value.dtypes.items():
            if getattr(dtype, "kind", "O") in "mM":
                raise InvalidTask(f"{where}: column {name!r} holds dates or times. Drop it.")
        copied = value.to_numpy(copy=True)
        copied.flags.writeable = False  # nobody else has it, so it need not be copied again
        return copied
    if _is_tensor(value):  # one that is differentiated, on a GPU or bfloat16 is no array as it is
        value = value.detach().cpu().to_dense()
        value = value.float() if "bfloat16" in str(value.dtype) else value
    try:
        array = value.toarray() if _is_sparse(value) else np.asarray(value)
    except ValueError as error:  # rows of several lengths
        raise InvalidTask(
            f"{where}: this is no table ({error}). Give an array or a data frame with one row per "
            "sample."
        ) from error
    if array.ndim == 0:
        cure = "Read the file first, for example with pandas.read_csv." * isinstance(value, str)
        raise InvalidTask(
            f"{where}: expected an array, got {value!r}. "
            f"{cure or 'Give a table with one row per sample.'}"
        )
    return array


def yes_or_no(values: Any, where: str, asked: str) -> np.ndarray:
    """A table of yes and no as an array of bool, which may be the one that was given.

    Anything else, such as names or indices, is refused: as a truth value, each name, each NaN and
    almost each index would be a yes.

    asked: the sentence that says what to give.

    Raises
    ------
    InvalidTask: it holds something else than True, False, 1 and 0, or is no table.
    """
    if is_masked(values):
        raise InvalidTask(f"{where} are masked in places. {asked}")
    try:
        given = as_array(values, where)
    except ValueError as error:  # rows of different lengths, or no table at all
        raise InvalidTask(f"{where} are no table ({error}). {asked}") from None
    if given.dtype.kind == "b":
        return given
    flat = given.ravel()
    if given.dtype.kind in "iuf":
        wrong = flat[(flat != 0) & (flat != 1)].tolist()
    else:
        whole = bool | np.bool_ | int | np.integer
        wrong = [v for v in flat.tolist() if not (isinstance(v, whole) and v in (0, 1))]
    if wrong:
        raise InvalidTask(f"{where} hold {wrong[0]!r}. {asked}")
    return given.astype(bool)


def in_order(names: list[str], variables: Sequence[str], where: str) -> list[int] | None:
    """Where each variable stands among the names of a table, or None where they are in order.

    Raises
    ------
    InvalidTask: the names are not those of the variables, or repeat; the message names them.
    """
    if names == list(variables):
        return None
    position = {name: i for i, name in enumerate(names)}
    missing = [v for v in variables if v not in position]
    extra = sorted(set(names) - set(variables))
    if missing or extra or len(names) != len(position):
        parts = [f"it lacks {missing[:5]}"] if missing else []
        parts += [f"it also has {extra[:5]}"] if extra else []
        raise InvalidTask(
            f"{where}: the table's columns are not the task's variables: "
            f"{' and '.join(parts) or 'some names repeat'}. Give the same names, or a plain array "
            "in the order of the variables."
        )
    return [position[v] for v in variables]


def _is_tensor(value: Any) -> bool:
    library = sys.modules.get("torch")
    return library is not None and isinstance(value, library.Tensor)


def _is_sparse(value: Any) -> bool:
    library = sys.modules.get("scipy.sparse")
    return library is not None and library.issparse(value)


def _is_frame(value: Any) -> bool:
    library = sys.modules.get("pandas")
    return library is not None and isinstance(value, library.DataFrame)


def _is_annotated(value: Any) -> bool:
    library = sys.modules.get("anndata")
    return library is not None and isinstance(value, library.AnnData)
