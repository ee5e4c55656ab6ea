"""Scores -> metrics, one row per regime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cdnbench.metrics import METRICS, measure
from cdnbench.ranking import count
from cdnbench.record import TaskRecord
from cdnbench.reports.read import Readable
from cdnbench.truth import Truth

_ELEMENTS = 250_000
"""Scores that are measured at once: few enough that the arrays between stay in a processor's
cache."""


@dataclass(frozen=True, eq=False)
class Piece:
    """The scores of one reading, to be measured.

    reading: its number. task: what it was run on.
    store, key, variant: where its scores are; the ceiling's are in the truth, and its store is
        None.
    """

    reading: int
    task: TaskRecord
    store: Readable | None = None
    key: str = ""
    variant: str = ""


@dataclass(frozen=True, eq=False)
class Measured:
    """readings: (rows,) the number of the reading of each row. columns: name -> (rows,).

    broken: reading -> why its scores cannot be used.
    """

    readings: np.ndarray
    columns: dict[str, np.ndarray | pd.Categorical]
    broken: dict[int, str]


def evaluate(pieces: Iterable[Piece]) -> Measured:
    """The metrics of every regime of every piece, in the order of the readings.

    Tasks with as many variables and the same arrays of truth are measured together.
    """
    done: list[tuple[Piece, np.ndarray]] = []  # metrics: (R, n_metrics)
    pending: dict[tuple, list[tuple[Piece, np.ndarray]]] = {}
    broken: dict[int, str] = {}
    held = 0
    scores = Scores()
    for piece in pieces:
        shape = piece.task.truth.targets.shape
        try:
            found = scores.of(piece)
        except (OSError, KeyError, ValueError) as error:
            where = piece.store.folder if piece.store else "the ceiling"
            broken[piece.reading] = (
                f"Scores {piece.variant!r} of job {piece.key} on {piece.task.name} in {where} "
                f"cannot be used: {error}. Run it again."
            )
            continue
        kind = shape[1], tuple(piece.task.truth.arrays)
        pending.setdefault(kind, []).append((piece, found))
        held += found.size
        if held > _ELEMENTS:
            done += _measure_all(pending)
            pending, held = {}, 0
    done += _measure_all(pending)
    done.sort(key=lambda part: part[0].reading)
    sizes = [len(part) for _, part in done]
    readings = np.repeat([piece.reading for piece, _ in done], sizes).astype(np.int64)
    return Measured(readings, _columns(done), broken)


class Scores:
    """Opens the scores of a job once for all of its readings."""

    def __init__(self) -> None:
        self._key, self._variants = "", {}
        self._sound: dict[int, tuple[TaskRecord, bool]] = {}

    def of(self, piece: Piece) -> np.ndarray:
        """(R, N) float64; raises OSError, KeyError or ValueError."""
        expected = piece.task.truth.targets.shape
        if piece.store is None:
            found = piece.task.truth.ceiling_scores
        else:
            if self._key != piece.key:
                self._variants = piece.store.scores(piece.key)
                self._key = piece.key
            if piece.variant not in self._variants:
                raise ValueError(f"there are only {', '.join(map(repr, self._variants))}")
            found = self._variants[piece.variant]
        if found is None or found.shape != expected:
            shape = None if found is None else found.shape
            raise ValueError(f"their shape is {shape}, and that of the targets is {expected}")
        found = np.asarray(found, dtype=np.float64)
        if np.isinf(found).any():
            raise ValueError("they hold infinite values")
        if not self._is_sound(piece.task):
            raise ValueError("a target of the task is not among its candidates")
        return found

    def _is_sound(self, task: TaskRecord) -> bool:
        if id(task) not in self._sound:
            outside = task.truth.targets & ~np.asarray(task.candidates, dtype=bool)
            self._sound[id(task)] = task, not outside.any()
        return self._sound[id(task)][1]


def _measure_all(
    pending: dict[tuple, list[tuple[Piece, np.ndarray]]],
) -> list[tuple[Piece, np.ndarray]]:
    done = []
    for (_, names), group in pending.items():
        truths = [piece.task.truth.arrays for piece, _ in group]
        arrays: dict[str, Any] = {
            name: np.concatenate([truth[name] for truth in truths]) for name in names
        }
        found = measure(
            np.concatenate([scores for _, scores in group]),
            Truth(**arrays),
            np.concatenate([piece.task.candidates for piece, _ in group]),
        )
        values = np.column_stack(list(found.values()))
        ends = np.cumsum([len(scores) for _, scores in group])
        parts = np.split(values, ends[:-1])
        done += [(piece, part) for (piece, _), part in zip(group, parts, strict=True)]
    return done


def _columns(done: Sequence[tuple[Piece, np.ndarray]]) -> dict[str, np.ndarray | pd.Categorical]:
    tasks = {id(piece.task): piece.task for piece, _ in done}
    sizes = [len(task.truth.targets) for task in tasks.values()]
    first = dict(zip(tasks, np.cumsum([0, *sizes]).tolist(), strict=False))
    # All regimes of all tasks, each once, and for each row which of them it is.
    names = pd.Categorical([name for task in tasks.values() for name in _target_names(task)])
    rows = _joined([first[id(piece.task)] + np.arange(len(part)) for piece, part in done], np.int64)

    def each(of: Callable[[TaskRecord], np.ndarray], dtype: type) -> np.ndarray:
        return _joined([of(task) for task in tasks.values()], dtype)[rows]

    # One array for all, whose rows become the columns of a frame without being copied.
    values = np.empty((len(METRICS), len(rows)))
    at = 0
    for _, part in done:
        values[:, at : at + len(part)] = part.T
        at += len(part)
    return {
        "regime": each(lambda task: np.arange(len(task.truth.targets)), np.int64),
        "n_targets": each(lambda task: count(task.truth.targets), np.int64),
        "n_candidates": each(lambda task: count(task.candidates), np.int64),
        "targets": names.take(rows),
        "detectable": each(lambda task: _detectable(task.truth), float),
        **dict(zip(METRICS, values, strict=True)),
    }


def _joined(parts: Iterable[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype), *parts])


def _target_names(task: TaskRecord) -> list[str]:
    """The names of each regime's targets."""
    found: list[list[str]] = [[] for _ in task.truth.targets]
    for regime, variable in np.argwhere(task.truth.targets).tolist():
        found[regime].append(task.variables[variable])
    return ["+".join(names) for names in found]


def _detectable(truth: Truth) -> np.ndarray:
    """(R,) share of each regime's targets whose intervention left a trace. NaN for a regime without
    targets, and where the suite does not say."""
    n_targets = truth.targets.sum(axis=1)
    share = np.full(len(n_targets), np.nan)
    if truth.detectable is None:
        return share
    found = (truth.targets & truth.detectable).sum(axis=1)
    return np.divide(found, n_targets, out=share, where=n_targets > 0)
