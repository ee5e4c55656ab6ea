"""A file with many perturbations as comparisons, their effects and their tasks.

The file is read once to look at the values, and twice per block of comparisons: for the effects of
all variables, and for the rows that methods get. Memory holds, beside one chunk of rows, two
numbers per comparison and variable of a block, the candidates of its perturbed rows, and the
controls that methods get. Cost is in proportion to the values of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy import sparse

import cdnbench
from cdnbench.datasets.cells.screens.comparisons import DROPPED, compare, rows_asked_for
from cdnbench.datasets.cells.screens.moments import GroupedMoments
from cdnbench.datasets.cells.screens.opening import Source, open_source
from cdnbench.datasets.cells.screens.values import CHANGES, check, look, treatment
from cdnbench.digest import digest
from cdnbench.prediction.options import Reading
from cdnbench.prediction.screening import (
    TESTED,
    Block,
    Comparison,
    Effects,
    Moments,
    Progress,
)
from cdnbench.task import Task
from cdnbench.treatment import Action
from cdnbench.values import Kind

READING = 3
"""Goes up when methods get other values for the same file and options."""
MOMENT_VALUES = 50_000_000
"""Comparisons times variables of a block (0.8 GB of sums)."""
TASK_VALUES = 200_000_000
"""Perturbed rows times variables that are read of a block, of which the non-zero ones are held."""


def _quiet(what: str, done: int, of: int) -> None:
    """Shows no progress."""


class OwnScreen:
    """See `cdnbench.prediction.screening.Screen`."""

    def __init__(self, source: Any, reading: Reading, progress: Progress = _quiet) -> None:
        """source: a path, an AnnData or a data frame (rows, variables).

        Raises
        ------
        BenchError: it cannot be read or used; the message names the culprit and the cure.
        """
        self.reading, self.progress = reading, progress
        self.source: Source = open_source(source, reading)
        raw = self.source.raw
        labels, selected, group = rows_asked_for(raw, reading)
        values = look(self.source, reading, selected, progress)
        action, kind, usable, notes = treatment(self.source, reading, values, selected)
        self.treat = CHANGES[action]
        self.kind: Kind = kind
        self.total = values.total
        if empty := int((selected & ~usable).sum()):
            notes.append(f"{empty:,} rows without any count are left out.")
        self.compared = compare(raw, reading, labels, selected & usable, group)
        self.notes = [
            *self.source.notes,
            *notes,
            *self.compared.notes,
            *check(self.source, reading, values, self.compared, action),
        ]
        self.comparisons: list[Comparison] = self.compared.found
        self.variables = np.array(raw.genes, dtype=object)
        self.has_symbols = self.source.has_symbols
        self.identity = self._identity(action)

    def _identity(self, action: Action) -> str:
        """Digest of all that methods get: not of columns of obs, whose types a condition may turn
        on, but of the rows that they lead to. action: what is done to the values."""
        compared = self.compared
        options = self.reading.plain()
        del options["candidates"]  # which is part of each task
        return digest(
            READING,
            cdnbench.__version__,
            self.source.content,
            options | {"cells": ""},
            [str(name) for name in self.variables],
            [[comparison.group, comparison.perturbation] for comparison in compared.found],
            compared.groups,
            compared.perturbed.astype(np.int64),
            compared.control.astype(np.int64),
            [action, self.kind],
            self.total if self.reading.total else "",
        )

    def blocks(self) -> Iterator[Block]:
        """All comparisons, as many at a time as the sizes above allow."""
        n = len(self.variables)
        most = min(self.reading.candidates + TESTED, n)
        block: list[int] = []
        values = 0
        for c, comparison in enumerate(self.comparisons):
            size = comparison.n_perturbed * most
            full = (len(block) + 1) * n > MOMENT_VALUES or values + size > TASK_VALUES
            if block and full:
                yield OwnBlock(self, block)
                block, values = [], 0
            block.append(c)
            values += size
        yield OwnBlock(self, block)

    def rows(self, wanted: np.ndarray, what: str) -> Iterator[tuple[np.ndarray, sparse.csr_matrix]]:
        """The rows that are wanted, (M,) bool, as methods get them: their numbers and values."""
        raw = self.source.raw
        for rows, chunk in raw.chunks():
            self.progress(what, rows.start, raw.n_cells)
            keep = np.flatnonzero(wanted[rows])
            if len(keep):
                number = keep + rows.start
                values = sparse.csr_matrix(self.treat(chunk[keep], self.total[number]))
                yield number, values


class OwnBlock:
    """See `cdnbench.prediction.screening.Block`. numbers: of its comparisons in the screen."""

    def __init__(self, screen: OwnScreen, numbers: Sequence[int]) -> None:
        self._screen, self._numbers = screen, list(numbers)
        self._groups = sorted({int(screen.compared.group[c]) for c in numbers})
        self._effects: list[Effects] = []
        self._tested = np.empty(0, dtype=int)
        self._held: dict[int, np.ndarray] = {}
        self._cells: dict[int, sparse.csr_matrix] = {}
        self._controls: dict[int, sparse.csc_matrix] = {}

    @property
    def comparisons(self) -> list[Comparison]:
        return [self._screen.comparisons[c] for c in self._numbers]

    @property
    def effects(self) -> Sequence[Effects]:
        """They are measured when they are first asked for."""
        if not self._effects:
            self._effects = self._measured()
        return self._effects

    def _measured(self) -> list[Effects]:
        screen, n = self._screen, len(self._numbers)
        compared = screen.compared
        code = _place(compared.perturbed, self._numbers, len(screen.comparisons))
        controls = _place(compared.control, self._groups, len(compared.groups))
        code = np.where(controls >= 0, n + controls, code)
        sums = GroupedMoments(n + len(self._groups), len(screen.variables))
        for number, values in screen.rows(code >= 0, "measuring effects"):
            sums.add(values, code[number])
        place = {group: n + i for i, group in enumerate(self._groups)}
        self._tested = _most_varied([sums.of(i) for i in range(n + len(self._groups))], TESTED)
        return [
            Effects.between(sums.of(place[int(compared.group[c])]), sums.of(i), screen.kind)
            for i, c in enumerate(self._numbers)
        ]

    @property
    def tested(self) -> np.ndarray:
        """See `cdnbench.prediction.screening.Block`."""
        assert self.effects
        return self._tested

    def controls(self, group: str) -> sparse.csc_matrix:
        """See `cdnbench.prediction.screening.Block`."""
        return self._controls[self._screen.compared.groups.index(group)][:, self.tested]

    def perturbed(self, i: int) -> sparse.csr_matrix:
        """See `cdnbench.prediction.screening.Block`."""
        return self._cells[i][:, np.searchsorted(self._held[i], self.tested)]

    def values(self, i: int, variable: int) -> tuple[np.ndarray, np.ndarray]:
        """See `cdnbench.prediction.screening.Block`."""
        column = int(np.searchsorted(self._held[i], variable))
        group = int(self._screen.compared.group[self._numbers[i]])
        control = self._controls[group][:, [variable]]
        return control.toarray().ravel(), self._cells[i][:, [column]].toarray().ravel()

    def gather(self, wanted: Sequence[int]) -> None:
        screen = self._screen
        compared, most = screen.compared, screen.reading.candidates
        chosen = {i: np.union1d(self.effects[i].candidates(most), self.tested) for i in wanted}
        self._held = chosen
        groups = {int(compared.group[self._numbers[i]]) for i in wanted}
        place = _place(
            compared.perturbed, [self._numbers[i] for i in wanted], len(screen.comparisons)
        )
        control = np.full(len(place), DROPPED)
        for group in groups:
            control[compared.controls_for_methods(group, screen.reading)] = group
        cells: dict[int, list[sparse.csr_matrix]] = {i: [] for i in wanted}
        controls: dict[int, list[sparse.csr_matrix]] = {group: [] for group in groups}
        for number, values in screen.rows((place >= 0) | (control >= 0), "reading rows"):
            for at, rows in _parts(place[number]):
                i = wanted[at]
                cells[i].append(values[rows][:, chosen[i]])
            for group, rows in _parts(control[number]):
                controls[group].append(values[rows])
        self._cells = {i: sparse.csr_matrix(sparse.vstack(cells.pop(i))) for i in wanted}
        self._controls = {g: sparse.csc_matrix(sparse.vstack(controls.pop(g))) for g in groups}

    def task(self, i: int, candidates: np.ndarray) -> Task:
        screen, c = self._screen, self._numbers[i]
        columns = np.searchsorted(self._held[i], candidates)
        names = [str(name) for name in screen.variables[candidates]]
        controls = self._controls[int(screen.compared.group[c])][:, candidates]
        return Task(
            name=screen.comparisons[c].name,
            variables=names,
            symbols=names if screen.has_symbols else None,
            observational=controls.toarray().astype(np.float32),
            regimes=[self._cells[i][:, columns].toarray().astype(np.float32)],
        )


def _most_varied(parts: Sequence[Moments], most: int) -> np.ndarray:
    """Ascending numbers of the variables that vary most over the rows of all parts together."""
    n = sum(part.n for part in parts)
    total, squares = sum(part.total for part in parts), sum(part.squares for part in parts)
    deviations = Moments(n, np.asarray(total), np.asarray(squares)).deviations
    return np.sort(np.argsort(-deviations, kind="stable")[:most])


def _place(number: np.ndarray, chosen: Sequence[int], n: int) -> np.ndarray:
    """For each number, where it stands among the chosen ones of 0 .. n - 1; DROPPED if nowhere."""
    place = np.full(n + 1, DROPPED)  # the last is for DROPPED itself
    place[list(chosen)] = np.arange(len(chosen))
    return place[number]


def _parts(number: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Each number that is not DROPPED, with the places where it stands."""
    order = np.argsort(number, kind="stable")
    present, first = np.unique(number[order], return_index=True)
    for value, rows in zip(present.tolist(), np.split(order, first[1:]), strict=True):
        if value != DROPPED:
            yield value, rows
