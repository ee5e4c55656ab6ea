"""Rows of plain values and arrays in Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.files import opened_file, write_atomically

FORMAT = 2
"""The version of the form, which files carry. Files of version 1 carry none, and no checksums."""
_KEY = b"cdnbench.format"


class NewerVersion(ValueError):
    """A newer version of this package wrote the file."""


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Column -> value for each row; lists of numbers are arrays.

    Raises
    ------
    OSError: the file is missing or no plain file. NewerVersion, ValueError: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names: list[str] = []
    columns: list[Any] = []
    with opened_file(path) as file:
        try:
            content = pa.py_buffer(file.read())
            found = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
            version = int((found.schema_arrow.metadata or {}).get(_KEY, b"1"))
            if version <= FORMAT:
                table = found.read()
                table.validate(full=True)
                names, columns = table.column_names, [_column(each) for each in table.columns]
        except Exception as error:  # whatever Arrow makes of foreign bytes
            raise ValueError(f"it cannot be read: {error}") from error
    if version > FORMAT:
        raise NewerVersion(
            f"was written by a newer version of bench (form {version}, and this version knows up "
            f"to {FORMAT}): update cdnbench"
        )
    return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))


def holds_rows(path: Path, column: str) -> bool:
    """Whether a file was made by `write_rows` and has this column, as far as its head tells."""
    import pyarrow.parquet as pq

    try:
        with opened_file(path) as file:
            schema = pq.read_schema(file)
    except Exception:  # whatever Arrow makes of foreign bytes
        return False
    return _KEY in (schema.metadata or {}) and column in schema.names


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows. A column is missing in rows that lack it. Floating-point arrays are float32, or
    float64 throughout a column where one row has such an array."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = dict.fromkeys(name for row in rows for name in row)
    columns = {
        name: pa.array([row.get(name) for row in rows], type=_type(rows, name)) for name in names
    }
    table = pa.table(columns).replace_schema_metadata({_KEY: str(FORMAT)})
    sink = pa.BufferOutputStream()
    # Statistics would hold the longest records twice more, without a checksum.
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=9,
        write_page_checksum=True,
        write_statistics=False,
    )
    write_atomically(path, sink.getvalue().to_pybytes())


def _column(column: Any) -> list[Any]:
    """The values of an Arrow column; lists of numbers as arrays, which share its memory."""
    import pyarrow as pa

    kind = column.type
    if not (pa.types.is_list(kind) and pa.types.is_primitive(kind.value_type)):
        return column.to_pylist()
    found: list[Any] = []
    for chunk in (chunk for chunk in column.chunks if len(chunk)):
        values, ends = chunk.values.to_numpy(zero_copy_only=False), chunk.offsets.to_numpy()
        there = chunk.is_valid().to_pylist()
        found += [
            values[a:b] if valid else None
            for a, b, valid in zip(ends[:-1], ends[1:], there, strict=True)
        ]
    return found


def _type(rows: Sequence[Mapping[str, Any]], name: str) -> Any:
    """float32 where a column holds floating-point arrays, float64 where one of them is; else what
    Arrow makes of it."""
    import pyarrow as pa

    values = [row[name] for row in rows if row.get(name) is not None]
    first = values[0] if values else None
    if not (isinstance(first, np.ndarray) and first.dtype.kind == "f"):
        return None
    wide = any(value.dtype == np.float64 for value in values)
    return pa.list_(pa.float64() if wide else pa.float32())
