"""Effects of one perturbation on every variable, and which variables methods get to see.

Everything here comes from counts, sums and sums of squares, so that it costs one pass over the
rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cdnbench.task import Task
from cdnbench.treatment import WORDS
from cdnbench.values import LOG_LIMIT, Kind

LEVEL = 0.05
"""Level of the Benjamini-Hochberg adjusted p-values of differential variables, as in the suites."""
PSEUDO = 0.1
"""Counts per ten thousand that are added to both means of a fold change, as in `lfc-rank`."""
TESTED = 2000
"""So many variables are tested together for whether anything moved: those that vary most over all
rows. Which they are does not depend on which rows were perturbed, so that p-values stay valid."""
_LARGEST = 50.0  # of a mean logarithm

Progress = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and of how much."""


@dataclass(frozen=True)
class Comparison:
    """One perturbation in one group. n_control, n_perturbed: rows that methods get."""

    perturbation: str
    group: str
    n_control: int
    n_perturbed: int

    @property
    def name(self) -> str:
        return f"{self.group}: {self.perturbation}" if self.group else self.perturbation


@dataclass(frozen=True, eq=False)
class Moments:
    """Of n rows: total and squares, (N,) float64, their sums and sums of squares."""

    n: int
    total: np.ndarray
    squares: np.ndarray

    @staticmethod
    def of(values: np.ndarray) -> Moments:
        """Of (n, N) values."""
        wide = np.asarray(values, dtype=np.float64)
        return Moments(len(wide), wide.sum(axis=0), (wide**2).sum(axis=0))

    @property
    def mean(self) -> np.ndarray:
        return self.total / self.n

    @property
    def deviations(self) -> np.ndarray:
        """(N,) sum of squares about the mean; rounding errors count as 0."""
        found = self.squares - self.total**2 / self.n
        return np.where(found > 1e-12 * self.squares, found, 0.0)


@dataclass(frozen=True, eq=False)
class Effects:
    """How far each of N variables moved.

    log_fold_change: see `log_fold_change`. statistic: Student's t with one variance for both
    sides, 0 for a variable that is constant. p: its two-sided p-values. order: all variables, those
    first that methods get to see first.
    """

    log_fold_change: np.ndarray
    statistic: np.ndarray
    p: np.ndarray
    order: np.ndarray

    @property
    def smallest_p(self) -> float:
        """The smallest p-value times the number of variables, at most 1."""
        return float(min(1.0, self.p.min() * len(self.p)))

    def candidates(self, most: int) -> np.ndarray:
        """Ascending numbers of the variables that a method gets."""
        return np.sort(self.order[:most])

    @staticmethod
    def between(control: Moments, perturbed: Moments, kind: Kind) -> Effects:
        """kind: what the values are."""
        from scipy.special import stdtr
        from scipy.stats import false_discovery_control

        df = control.n + perturbed.n - 2
        shift = perturbed.mean - control.mean
        variance = (control.deviations + perturbed.deviations) / max(df, 1)
        error = np.sqrt(variance * (1 / control.n + 1 / perturbed.n))
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(shift == 0, 0.0, shift / error)
        p = 2 * stdtr(max(df, 1), -np.abs(t))
        change = log_fold_change(control.mean, perturbed.mean, kind)
        size = np.abs(t) if kind == "scaled" else np.abs(change)
        differential = false_discovery_control(p) < LEVEL
        order = np.lexsort((-np.abs(t), np.where(differential, -size, 0.0), ~differential))
        return Effects(change, t, p, order)


def log_fold_change(before: np.ndarray, after: np.ndarray, kind: Kind) -> np.ndarray:
    """(N,) from the means of N variables on either side.

    Of logarithms (log(1 + x)) the log2 ratio of exp(mean) - 1 + 0.1; of counts and normalised
    counts that of the means, with a thousandth of the average control mean added to both; of values
    with both signs the difference of the means.
    """
    if kind == "scaled":
        return after - before
    if kind == "log":
        before, after = (np.expm1(np.clip(m, 0.0, _LARGEST)) + PSEUDO for m in (before, after))
    else:
        pseudo = 1e-3 * float(before.mean()) or 1e-9
        before, after = before + pseudo, after + pseudo
    return np.log2(after / before)


def note_on_fold_changes(kind: Kind) -> str:
    """Which log fold changes are shown for values of a kind, and why."""
    if kind == "scaled":
        return "Log fold changes are differences of the means, since some values are negative."
    if kind == "log":
        return (
            "Log fold changes are log2 ratios of exp(mean) - 1 + 0.1, since the values are natural "
            f"logarithms of counts, or look like them: fractions from 0 to {LOG_LIMIT:g}."
        )
    return f"Log fold changes are log2 ratios of the means, as of {WORDS[kind]}."


class Block(Protocol):
    """Some comparisons of a screen whose effects are known."""

    @property
    def comparisons(self) -> Sequence[Comparison]: ...
    @property
    def effects(self) -> Sequence[Effects]: ...
    @property
    def tested(self) -> np.ndarray:
        """Ascending numbers of the variables that are tested together."""
        ...

    def gather(self, wanted: Sequence[int]) -> None:
        """Read the rows of the comparisons with these numbers, which the calls below need."""
        ...

    def controls(self, group: str) -> Any:
        """(M0, tested) sparse matrix of the controls of a group that methods get."""
        ...

    def perturbed(self, i: int) -> Any:
        """(M1, tested) sparse matrix of the perturbed rows of comparison i."""
        ...

    def values(self, i: int, variable: int) -> tuple[np.ndarray, np.ndarray]:
        """(M0,) and (M1,) values of a variable, a candidate or a tested one."""
        ...

    def task(self, i: int, candidates: np.ndarray) -> Task:
        """The task of comparison i with these variables."""
        ...


class Screen(Protocol):
    """A file with many perturbations.

    variables: N names. kind: what the values are that methods get. identity: digest of the content
    and of all that decides what methods get. notes: sentences on how it was read.
    """

    variables: np.ndarray
    has_symbols: bool
    kind: Kind
    identity: str
    notes: list[str]
    comparisons: list[Comparison]

    def blocks(self) -> Iterator[Block]:
        """All comparisons, as many at a time as fit into memory."""
        ...
