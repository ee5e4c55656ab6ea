"""Damage to the values in a file, which can be read as a file of its kind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.segments import CHECK, checked
from cdnbench.store import Store
from trials.damage.kinds import files, kind, one

WRONG = (None, [], {}, "x", -1, 1.5, True, [None], [[1]], {"a": {"b": []}}, 10**400, 2**70)
HOSTILE = ("../../x", "/tmp/x", "..", ".", "a/b", "a\\b", "x\0y", "\x1b[2J", "n" * 5000, "\udcff")
NAMES = ("key", "suite", "method", "task_hash", "log", "fit", "hash", "id", "name", "task")


def records(folder: Path) -> list[tuple[Path, int]]:
    """(file, number of its entry) of each JSON object in the store."""
    found = []
    for path in files(folder):
        found += [(path, i) for i in range(len(entries(path)))]
    return found


def entries(path: Path) -> list[Any]:
    """The JSON values in a file."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_bytes().splitlines()]
    if path.suffix == ".json":
        return [json.loads(path.read_bytes())]
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return [json.loads(str(arrays["about"]))] if "about" in arrays.files else []
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        name = "record" if "record" in table.column_names else "about"
        return [json.loads(text) for text in table.column(name).to_pylist()]
    return []


def write_entries(path: Path, values: list[Any]) -> None:
    """Write them back, with checksums that fit: as a foreign program would have."""
    texts = [json.dumps(value, separators=(",", ":")) for value in values]
    if path.suffix == ".jsonl":
        lines = [_checked(text.encode()) for text in texts]
        path.write_bytes(b"\n".join(lines) + b"\n")
    elif path.suffix == ".json":
        path.write_text(texts[0])
    elif path.suffix == ".npz":
        with np.load(path) as arrays:
            found = dict(arrays)
        np.savez(path, **{**found, "about": np.array(texts[0])})
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        name = "record" if "record" in table.column_names else "about"
        at = table.column_names.index(name)
        pq.write_table(table.set_column(at, name, pa.array(texts)), path)


def _checked(text: bytes) -> bytes:
    if not text.startswith(b"{"):
        return text
    body = text.partition(CHECK)[0]
    return checked(text if body == text else body + b"}")


def changed(rng: np.random.Generator, folder: Path, change: Callable[[Any], Any]) -> Path:
    path, i = one(rng, records(folder))
    values = entries(path)
    values[i] = change(values[i])
    write_entries(path, values)
    return path


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(mapping or list, key or index) of everything in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, each in items:
        yield value, name
        if isinstance(each, dict | list):
            yield from _places(each)


@kind
def a_value_of_a_wrong_type(rng, folder):
    def change(value):
        inside, name = one(rng, list(_places(value)))
        inside[name] = one(rng, WRONG)
        return value

    return changed(rng, folder, change)


@kind
def a_missing_value(rng, folder):
    def change(value):
        inside, name = one(rng, list(_places(value)))
        del inside[name]
        return value

    return changed(rng, folder, change)


@kind
def no_record_at_all(rng, folder):
    return changed(rng, folder, lambda value: one(rng, (None, [], [value], "x", 1, {})))


@kind
def an_infinite_number(rng, folder):
    def change(value):
        numbers = [p for p in _places(value) if type(p[0][p[1]]) in (int, float)]
        inside, name = one(rng, numbers or list(_places(value)))
        inside[name] = one(rng, (float("inf"), float("-inf"), float("nan"), 1e300, 10**400))
        return value

    return changed(rng, folder, change)


@kind
def deeply_nested_values(rng, folder):
    def change(value):
        nested: Any = 1
        for _ in range(int(rng.integers(100, 900))):
            nested = [nested]
        inside, name = one(rng, list(_places(value)))
        inside[name] = nested
        return value

    return changed(rng, folder, change)


@kind
def a_name_that_leads_elsewhere(rng, folder):
    def change(value):
        word, metadata = one(rng, HOSTILE), value.get("metadata")
        if isinstance(metadata, dict) and "protocol" in metadata and rng.random() < 0.3:
            metadata["protocol"] = word
        else:
            names = [name for name in NAMES if name in value]
            value[one(rng, names or list(value) or ["key"])] = word
        return value

    return changed(rng, folder, change)


@kind
def another_time(rng, folder):
    def change(value):
        for name in ("stored_at", "started_at"):
            if name in value:
                value[name] = one(rng, (1e10, 0, "9999-12-31", "", -5, 1e300, "yesterday"))
        return value

    return changed(rng, folder, change)


@kind
def a_newer_version(rng, folder):
    path = one(rng, files(folder, ".jsonl", ".parquet") or files(folder))
    if path.suffix == ".jsonl":
        values = entries(path)
        values[0] = {"kind": "segment", "format": 3, "by": "9.0"}
        write_entries(path, values)
    elif path.suffix == ".parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(path).replace_schema_metadata({b"cdnbench.format": b"3"})
        pq.write_table(table, path)
    else:
        path.write_text("{}")
    return path


# Arrays


@kind
def arrays_that_cannot_be(rng, folder):
    """Infinite scores, other shapes, other types; in segments, places where no arrays are."""
    path = one(rng, files(folder, ".npz", ".parquet", ".jsonl"))
    if path.suffix == ".jsonl" and rng.random() < 0.5:
        store = Store(folder)
        record = one(rng, [record for record in store.jobs() if record.status == "ok"])
        (variant, scores), *_ = store.scores(record.key).items()
        store.write_job(record, {variant: np.asarray(_wrong_array(rng, scores))})
        store.close()
    elif path.suffix == ".npz":
        with np.load(path) as arrays:
            found = dict(arrays)
        name = one(rng, sorted(found))
        found[name] = _wrong_array(rng, found[name])
        np.savez(path, **found)
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        at = int(rng.integers(table.num_columns))
        other = one(rng, (None, [1.0], [np.inf] * 3, "x", [["y"]], 7))
        column = pa.array([other] * table.num_rows)
        pq.write_table(table.set_column(at, table.column_names[at], column), path)
    else:
        values = entries(path)
        held = [value for value in values if "arrays" in value]
        arrays = one(rng, held)["arrays"]
        at = int(rng.integers(len(arrays)))
        arrays[at] = one(rng, (*WRONG, [["scores", "<f8", [9, 10**9]]], [["x", "O", [3]]]))
        write_entries(path, values)
    return path


def _wrong_array(rng: np.random.Generator, array: np.ndarray) -> np.ndarray:
    return one(
        rng,
        (
            np.full(array.shape, np.inf),
            np.full(array.shape, -np.inf),
            np.full(array.shape, np.nan),
            np.zeros((*array.shape, 2)),
            np.zeros(0),
            np.array("text"),
            np.full(array.shape, 1j),
            np.full(array.shape, "word"),
            np.zeros((0, 5)),
        ),
    )
