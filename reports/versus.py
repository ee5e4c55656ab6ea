"""Two sides of one comparison: stores, methods, versions of a method, or settings of it."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cdnbench.archive import find_stores
from cdnbench.errors import BenchError, InvalidParameter, did_you_mean
from cdnbench.metrics import METRICS
from cdnbench.record import Record, TaskRecord
from cdnbench.registry import METHODS, load_class, parse_methods, resolve_method
from cdnbench.reports import statistics
from cdnbench.reports.frame import CEILING, Readable, Results, read
from cdnbench.reports.standings import RANKING, block_title
from cdnbench.reports.table import Block, Cell, Column, Row, Table, number
from cdnbench.reports.tables.comparisons import p_text, signed


@dataclass(frozen=True)
class Side:
    """What stands on one side.

    folder: where the results lie. method: its registered name, "" for every method. variant: the
    reading. version, parameters: what records must have; "" and nothing for any.
    """

    text: str
    folder: Path
    method: str = ""
    variant: str | None = None
    version: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(text: str, folder: Path) -> Side:
        """A folder of results, or `method@version:parameter=value` of the results in `folder`.

        Raises
        ------
        BenchError: it is neither.
        """
        if Path(text).is_dir():
            return Side(text, Path(text))
        if "/" in text.partition(":")[0]:
            raise InvalidParameter(f"There is no folder {text}, and no method is called like that.")
        parsed = parse_methods(text)
        if len(parsed) != 1:
            raise InvalidParameter(f"{text!r} is not one method, nor a folder of results.")
        (name, parameters), *_ = parsed
        name, _, version = name.partition("@")
        method, variant = resolve_method(name)
        known = inspect.signature(load_class(METHODS, method)).parameters
        for parameter in parameters:
            if parameter not in known:
                raise did_you_mean(f"parameter of {method}", parameter, known)
        return Side(text, folder, method, variant, version, parameters)

    def takes(self, record: Record) -> bool:
        return (
            self.method in ("", record.method)
            and self.version in ("", record.method_version)
            and all(self._value(record, k) == v for k, v in self.parameters.items())
        )

    def _value(self, record: Record, parameter: str) -> Any:
        """Of a parameter in a job. Records hold those that differ from the method's defaults."""
        if parameter in record.parameters:
            return record.parameters[parameter]
        known = inspect.signature(load_class(METHODS, self.method)).parameters.get(parameter)
        default = None if known is None else known.default
        return list(default) if isinstance(default, tuple) else default

    def results(self) -> Results:
        """
        Raises
        ------
        BenchError: there is no such result.
        """
        stores = [_Part(store, self) for store in find_stores(self.folder)]
        if not any(True for store in stores for _ in store.records()):
            known = {
                f"{r.method}@{r.method_version}"
                for store in find_stores(self.folder)
                for r in store.records()
            }
            if not known:
                raise BenchError(f"{self.folder} holds no result.")
            raise BenchError(
                f"There is no result of {self.text} in {self.folder}. There are "
                f"{', '.join(sorted(known))}."
            )
        return read(stores)


@dataclass(frozen=True)
class _Part:
    """The records of a store that one side takes."""

    store: Readable
    side: Side

    @property
    def folder(self) -> Path:
        return self.store.folder

    @property
    def problems(self) -> Sequence[str]:
        return self.store.problems

    def records(self) -> Iterator[Record]:
        return (record for record in self.store.records() if self.side.takes(record))

    def scores(self, key: str) -> dict[str, np.ndarray]:
        return self.store.scores(key)

    def task(self, hash: str) -> TaskRecord:
        return self.store.task(hash)


def versus(a: Side, b: Side, metric: str = RANKING) -> Table:
    """A minus B on the tasks that both finished, block by block.

    Two folders are compared method by method. Otherwise each side has one reading.

    Raises
    ------
    BenchError: a side has no result, or more readings than one. UnknownName: no such metric.
    """
    if metric not in METRICS:
        raise did_you_mean("metric", metric, METRICS)
    results = {"A": a.results(), "B": b.results()}
    pair = f"{a.text} − {b.text}" if a.method or b.method else ""
    frames = [_named(side, results[letter], letter, pair) for letter, side in (("A", a), ("B", b))]
    factors = results["A"].factors
    blocks, rows = [], []
    finished = all(map(len, frames))
    both = statistics.with_genes(pd.concat(frames, ignore_index=True)) if finished else None
    for key, block in () if both is None else factors.blocks(both):
        found = _differences(block, metric)
        if len(found):
            rows.append(found.assign(**dict(zip(factors.names, key, strict=True))))
            blocks.append(_block(block_title(results["A"], key), found, metric))
    notes = [f"A is {a.text}, B is {b.text}. Δ is A minus B.", *_ran(results)]
    if not blocks:
        notes.append(f"There is nothing to compare: {_why_nothing(frames)}")
    return Table(
        name="compare",
        title=f"{METRICS[metric].title}, paired",
        blocks=tuple(blocks),
        frame=pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(),
        notes=tuple(notes),
    )


def _named(side: Side, results: Results, letter: str, pair: str) -> pd.DataFrame:
    """The regimes of one side, with columns `label`, which begins with the side's letter, and
    `pair`: what it is compared as, each label for itself where `pair` is ""."""
    frame = results.regimes[results.regimes["method"] != CEILING]
    if side.variant:
        frame = frame[frame["variant"].astype(str) == side.variant]
    labels = frame["label"].astype(str)
    if pair and labels.nunique() > 1:
        raise BenchError(
            f"{side.text} has more than one reading in {side.folder}: "
            f"{', '.join(sorted(labels.unique()))}. Say which, as in "
            f"'{side.method or 'method'}:parameter=value'; a parameter that no reading names has "
            "its default, which can be written out as well."
        )
    return frame.assign(label=letter if pair else letter + labels, pair=pair or labels)


def _why_nothing(frames: Sequence[pd.DataFrame]) -> str:
    for letter, frame in zip("AB", frames, strict=True):
        if frame.empty:
            return f"no job of {letter} was finished."
    pairs = [set(frame["pair"].astype(str)) for frame in frames]
    if not pairs[0] & pairs[1]:
        a, b = (", ".join(sorted(each)) for each in pairs)
        return (
            f"no method is on both sides. A has {a}; B has {b}. To compare two methods, name "
            "them in place of the folders, with --in FOLDER."
        )
    return "no task was finished on both sides."


def _differences(block: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per pair: the means of both sides on shared tasks, and their difference."""
    rows = []
    for pair, own in block.groupby("pair", observed=True, sort=True):
        pairs = statistics.Pairs(own, metric)
        if len(pairs.labels) == 2:
            a, b, _ = pairs.values(*pairs.labels)
            if len(a):
                found = vars(pairs.compare(*pairs.labels))
                rows.append({**found, "pair": pair, "a": a.mean(), "b": b.mean()})
    frame = pd.DataFrame(rows)
    if len(frame):
        frame["p_holm"] = statistics.holm(frame["p"].to_numpy(float))
    return frame


def _block(title: str, rows: pd.DataFrame, metric: str) -> Block:
    columns = (
        Column("method", align="left"),
        Column("datasets"),
        Column("A"),
        Column("B"),
        Column("Δ"),
        Column("95 % interval"),
        Column("p (Holm)"),
    )
    lines = [
        Row(
            (
                Cell(str(row["pair"])),
                Cell(str(row["n_datasets"])),
                Cell(number(row["a"])),
                Cell(number(row["b"])),
                Cell(signed(row["difference"])),
                Cell(
                    "–"
                    if np.isnan(row["low"])
                    else f"{signed(row['low'])} to {signed(row['high'])}"
                ),
                Cell(p_text(row["p_holm"]), best=bool(row["p_holm"] < 0.05)),
            )
        )
        for _, row in rows.iterrows()
    ]
    note = f"{METRICS[metric].title} over what both finished; Holm over the block."
    flips = statistics.flips_note(rows["p"].to_numpy(float))
    return Block(title, columns, tuple(lines), (note, flips) if flips else (note,))


def _ran(results: Mapping[str, Results]) -> list[str]:
    """What else differs between the sides: the versions, the code and the seeds of their
    methods."""
    said = []
    kinds = {"versions": "method_version", "digests of code": "code", "seeds": "seed"}
    for what, column in kinds.items():
        found = {
            letter: {
                (row["method"], row[column])
                for _, row in each.jobs[["method", column]].drop_duplicates().iterrows()
                if row[column] != ""
            }
            for letter, each in results.items()
        }
        shared = {m for m, _ in found["A"]} & {m for m, _ in found["B"]}
        for method in sorted(shared):
            own = {k: sorted(v for m, v in f if m == method) for k, f in found.items()}
            if own["A"] != own["B"]:
                said.append(
                    f"{method}: {what} {_listed(own['A'])} in A and {_listed(own['B'])} in B."
                )
    return said


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values)) or "none"
