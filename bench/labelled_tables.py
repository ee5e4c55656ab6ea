"""Tables in which some columns say what was done to each row, and the others are variables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.errors import InvalidTask, did_you_mean
from cdnbench.samples import COMPRESSIONS, checked_values
from cdnbench.table_layout import COMMA, POINT, layout_of, some
from cdnbench.tables import Table, is_missing, is_number, table_of_frame, text_frame

TEXT, PARQUET = ("csv", "tsv", "txt"), "parquet"


@dataclass(frozen=True)
class LabelledTable:
    """table: the variables. about: a data frame with the other columns, one row per sample, with
    numbers where a column holds nothing else. written: its labels, as they are written."""

    table: Table
    about: Any
    written: Any


def kind_of_table(path: Path) -> str:
    """The ending that says how a table is stored, without that of a compression; "" for none."""
    name = path.name.lower()
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    ending = name.rpartition(".")[2]
    return ending if ending in (*TEXT, PARQUET) else ""


def read_labelled(
    path: Path,
    labels: Collection[str],
    numbers: Collection[str],
    mentioned: Collection[str] = (),
    *,
    drop_missing: bool = False,
) -> LabelledTable:
    """Read a .csv, .tsv, .txt (also compressed) or .parquet file.

    labels: columns that are read as they are written. numbers: other columns that say something
    about the rows and are no variables. mentioned: names that may be such columns. Columns of
    nothing but text or of true and false are no variables either. drop_missing: leave out variables
    with missing values. Notes name what is left out.

    Raises
    ------
    UnknownName: a column of labels or numbers that the file does not have.
    InvalidTask: as `read_samples`.
    """
    if kind_of_table(path) == PARQUET:
        import pandas as pd

        frame = pd.read_parquet(path)
        if not isinstance(frame.index, pd.RangeIndex):  # pandas stored an index
            frame = frame.rename_axis(index=frame.index.name or "").reset_index()
    else:
        frame, names = text_frame(path, labels)
        decimal = layout_of(path).decimal
        as_numbers = {
            i: _numbers_of_text(frame[i], decimal)
            for i, name in enumerate(names)
            if name in labels or (i == 0 and name in {*numbers, *mentioned})
        }
        return labelled(
            frame.set_axis(names, axis=1),
            path,
            labels,
            numbers,
            mentioned,
            drop_missing=drop_missing,
            typed=as_numbers,
        )
    return labelled(frame, path, labels, numbers, mentioned, drop_missing=drop_missing)


def labelled(
    frame: Any,
    path: Path,
    labels: Collection[str],
    numbers: Collection[str],
    mentioned: Collection[str] = (),
    *,
    drop_missing: bool = False,
    typed: Mapping[int, Any] | None = None,
) -> LabelledTable:
    """The same for a data frame. path: what messages call it. typed: place of a column -> what it
    is for conditions, where it was read as text."""
    names = [str(name) for name in frame.columns]
    for name in (*labels, *numbers):
        if name not in names:
            raise did_you_mean(f"column of {path}", name, [n for n in names if n.strip()][:50])
    frame = frame.set_axis(range(len(names)), axis=1).reset_index(drop=True)
    said = {*labels, *numbers, *mentioned}
    known = {i for i, name in enumerate(names) if name in said}
    described = [i for i in range(len(names)) if i not in known and _describes(frame[i], i)]
    written = {names[i]: _as_label(frame[i]) for i in sorted(known) if names[i] in labels}
    columns = {i: frame[i] for i in known} | dict(typed or {})
    about = {
        names[i]: _as_label(columns[i])
        if names[i] in labels and _is_text(columns[i])
        else columns[i]
        for i in sorted(known)
    }
    about |= {names[i]: _as_label(frame[i]) for i in described}
    kept = [i for i in range(len(names)) if i not in known and i not in described]
    if not kept:
        raise InvalidTask(f"{path} has no variables beside the columns with labels.")
    table = table_of_frame(frame[kept], [names[i] for i in kept], path)
    notes = list(table.notes)
    if described:
        one = len(described) == 1
        notes.append(
            f"{path}: {some([names[i] for i in described])} {'holds' if one else 'hold'} text or "
            f"true and false, and {'is no variable' if one else 'are no variables'}."
        )
    if conditions := [names[i] for i in known if names[i] not in (*labels, *numbers)]:
        notes.append(f"{path}: {some(conditions)} are part of the condition, and no variables.")
    import pandas as pd

    table = Table(table.values, table.columns, table.rows, tuple(notes))
    if drop_missing:
        table = without_missing(table, path)
    table = replace(table, values=checked_values(table.values, table.columns, path))
    return LabelledTable(table, pd.DataFrame(about), pd.DataFrame(written))


def without_missing(table: Table, path: Path) -> Table:
    """The table without variables that have missing values, and a note that names them.

    Raises
    ------
    InvalidTask: no variable is left.
    """
    values = np.asarray(table.values)
    if values.dtype.kind != "f":
        return table
    lacking = np.isnan(values).any(axis=0)
    if lacking.all():
        raise InvalidTask(f"{path}: every variable has missing values. Impute them first.")
    if not lacking.any():
        return table
    left_out = [table.columns[i] for i in np.flatnonzero(lacking)]
    kept = [table.columns[i] for i in np.flatnonzero(~lacking)]
    words = "has missing values and was" if len(left_out) == 1 else "have missing values and were"
    note = f"{path}: {some(left_out)} {words} left out."
    return Table(values[:, ~lacking], kept, table.rows, (*table.notes, note))


def _describes(column: Any, place: int) -> bool:
    """Whether a column that nobody named holds no numbers at all. Row labels, distinct text in the
    first column, are left to `table_of_frame`."""
    if column.dtype == bool:
        return True
    if column.dtype.kind not in "OSUT" and str(column.dtype) not in ("category", "string", "str"):
        return False
    cells = [str(cell).strip() for cell in column]
    present = [cell for cell in cells if not is_missing(cell)]
    text = bool(present) and not any(map(is_number, present))
    return text and (place > 0 or len(set(present)) < len(present))


def _numbers_of_text(column: Any, decimal: str) -> Any:
    """A column that was read as text, as numbers, or as true and false, if all of its cells are;
    else as it is. decimal: the sign of the file."""
    import pandas as pd

    present = [cell for cell in column if not is_missing(cell)]
    pattern = COMMA if decimal == "," else POINT
    if present and all(pattern.fullmatch(c) or POINT.fullmatch(c) for c in present):
        cells = [None if is_missing(cell) else cell.replace(",", ".") for cell in column]
        return pd.Series(pd.to_numeric(pd.Series(cells, dtype=object)), index=column.index)
    if len(column) and column.str.lower().isin(("true", "false")).all():
        return column.str.lower() == "true"
    return column


def _is_text(column: Any) -> bool:
    """Whether a column holds text and nothing else, missing cells aside."""
    return all(isinstance(cell, str) for cell in column[column.notna()])


def _as_label(column: Any) -> Any:
    """Labels as text, None where there is none."""
    import pandas as pd

    missing = column.isna()
    text: Sequence[str] = column.astype(str).str.strip()
    return pd.Series(
        [None if m or not t else t for t, m in zip(text, missing, strict=True)], dtype=object
    )
