"""What lies behind a cell of a page's leaderboard: regimes, their targets, the variables that a
method ranked first, and where it placed the targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cdnbench.reports.evaluate import Piece, Scores
from cdnbench.reports.frame import Results
from cdnbench.reports.show.explorer import Cells
from cdnbench.reports.show.packed import packed, small
from cdnbench.reports.standings import RANKING

LARGEST = 3_800_000
"""Characters that the details may take, so that a page stays below 5 MB."""
TIERS = ((5, True), (3, True), (3, False), (1, False))
"""(variables that are kept of each ranking, whether their scores are), richest first."""
_CHARACTERS = (12, 8, 6, 4)
"""About what a row of each tier takes, so that one that is far too large is not tried."""
_ELEMENTS = 250_000
_NO_VALUE = 255


@dataclass(frozen=True, eq=False)
class _Ranked:
    """One reading. top: (R, k) columns, -1 where there is none. scores: (R, k), -inf where there is
    none. places: one per target, in the order of `np.nonzero(targets)`."""

    top: np.ndarray
    scores: np.ndarray
    places: np.ndarray


def details(results: Results, cells: Sequence[Cells]) -> str:
    """The text for the page, as `packed` writes it, with as much as fits into `LARGEST`; "" where
    not even the smallest form does, or no scores are at hand."""
    wanted = [int(r) for grid in cells for r in grid.readings.ravel() if r in results.pieces]
    rows = sum(len(results.pieces[r].task.truth.targets) for r in wanted)
    if not rows:
        return ""
    ranked = dict(_ranked(results, wanted))
    precision = _precision(results)
    for (top, scored), each in zip(TIERS, _CHARACTERS, strict=True):
        if rows * each > 1.2 * LARGEST:
            continue
        text = _text(results, cells, ranked, precision, top, scored)
        if len(text) <= LARGEST:
            return text
    return ""


def _precision(results: Results) -> dict[int, np.ndarray]:
    """Reading -> (R,) its `RANKING` in steps of 1/250, `_NO_VALUE` where there is none."""
    values = results.regimes[RANKING].to_numpy(float)
    steps = np.where(np.isnan(values), _NO_VALUE, np.round(np.nan_to_num(values) * 250))
    readings, starts = np.unique(results.rows, return_index=True)
    parts = np.split(steps.astype(np.uint8), starts[1:])
    return dict(zip(readings.tolist(), parts, strict=True))


def _ranked(results: Results, wanted: Sequence[int]) -> Iterator[tuple[int, _Ranked]]:
    """The top of every reading, many at once where they have as many variables."""
    scores = Scores()
    pending: dict[int, list[tuple[int, Piece, np.ndarray]]] = {}
    held: dict[int, int] = {}
    for reading in sorted(wanted):
        piece = results.pieces[reading]
        found = scores.of(piece)
        width = found.shape[1]
        pending.setdefault(width, []).append((reading, piece, found))
        held[width] = held.get(width, 0) + found.size
        if held[width] > _ELEMENTS:
            yield from _measured(pending.pop(width))
            held[width] = 0
    for group in pending.values():
        yield from _measured(group)


def _measured(group: Sequence[tuple[int, Piece, np.ndarray]]) -> Iterator[tuple[int, _Ranked]]:
    scores = np.concatenate([found for *_, found in group])
    candidates = np.concatenate([piece.task.candidates for _, piece, _ in group])
    targets = np.concatenate([piece.task.truth.targets for _, piece, _ in group])
    value = np.where(candidates & ~np.isnan(scores), scores, -np.inf)
    missing = max(0, TIERS[0][0] - value.shape[1])
    if missing:
        value = np.pad(value, ((0, 0), (0, missing)), constant_values=-np.inf)
        candidates = np.pad(candidates, ((0, 0), (0, missing)))
    columns = np.argsort(-value, axis=1, kind="stable")[:, : TIERS[0][0]]
    best = np.take_along_axis(value, columns, axis=1)
    row, column = np.nonzero(targets)
    own = value[row, column][:, None]
    above = (value[row] > own).sum(axis=1)
    beside = ((value[row] == own) & candidates[row]).sum(axis=1) - 1
    places = 1 + above + beside / 2
    ends = np.cumsum([len(found) for *_, found in group])
    cuts = np.searchsorted(row, ends[:-1])
    parts = (
        np.split(np.where(np.isinf(best), -1, columns), ends[:-1]),
        np.split(best, ends[:-1]),
        np.split(places, cuts),
    )
    for (reading, *_), top, score, place in zip(group, *parts, strict=True):
        yield reading, _Ranked(top, score, place)


def _text(
    results: Results,
    cells: Sequence[Cells],
    ranked: dict[int, _Ranked],
    precision: dict[int, np.ndarray],
    top: int,
    scored: bool,
) -> str:
    arrays: dict[str, np.ndarray] = {}
    blocks = []
    for number, grid in enumerate(cells):
        kept = np.isin(grid.readings, list(ranked))
        names: dict[str, int] = {}
        tasks = []
        for j in range(len(grid.tasks)):
            known = grid.readings[kept[:, j], j]
            tasks.append(results.pieces[int(known[0])].task if len(known) else None)
        columns = [
            np.array([names.setdefault(v, len(names)) for v in task.variables]) if task else None
            for task in tasks
        ]
        order = [(int(grid.readings[i, j]), j) for i, j in np.argwhere(kept)]
        own = [ranked[reading] for reading, _ in order]
        named = [None if known is None else np.append(known, len(names)) for known in columns]
        ids = [named[j][part.top[:, :top]] for part, (_, j) in zip(own, order, strict=True)]
        targets = [task.truth.targets if task else np.zeros((0, 0), bool) for task in tasks]
        whose = [
            names_of[np.nonzero(own_targets)[1]]
            for names_of, own_targets in zip(columns, targets, strict=True)
            if names_of is not None
        ]
        arrays |= {
            f"{number}.kept": kept.astype(np.uint8),
            f"{number}.regimes": small(np.array([len(t) for t in targets], np.int64)),
            f"{number}.targets": small(_joined([t.sum(axis=1) for t in targets])),
            f"{number}.whose": small(_joined(whose)),
            f"{number}.precision": _joined([precision[r] for r, _ in order], np.uint8),
            f"{number}.places": small(
                np.round(2 * _joined([part.places for part in own], float)).astype(np.int64)
            ),
            f"{number}.top": small(_joined(ids).reshape(-1, top).T.astype(np.int64)),
        }
        if scored:
            values = _joined([part.scores[:, :top] for part in own], float)
            half = _rounded(values.reshape(-1, top).T)
            arrays[f"{number}.high"] = (half >> 8).astype(np.uint8)
            arrays[f"{number}.low"] = (half & 255).astype(np.uint8)
        blocks.append({"variables": list(names)})
    header: dict[str, Any] = {"top": top, "scored": scored, "blocks": blocks}
    return packed(header, arrays)


def _joined(parts: Sequence[np.ndarray], dtype: type = np.int64) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype), *(np.ravel(part) for part in parts)]).astype(dtype)


def _rounded(values: np.ndarray) -> np.ndarray:
    """The upper half of the bits of float32 values, rounded: two digits at least, in any range."""
    bits = np.where(np.isfinite(values), values, np.nan).astype(np.float32)
    return np.minimum((bits.view(np.uint32).astype(np.uint64) + 0x8000) >> 16, 0xFFFF)
