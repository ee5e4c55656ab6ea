"""CD-NOD, or JCI with one context variable: is a variable adjacent to "which data set is this row
from"?

Huang, Zhang, Zhang, Ramsey, Sanchez-Romero, Glymour, Schölkopf 2020, Causal discovery from
heterogeneous/nonstationary
data, JMLR 21(89), Algorithm 1: the rows of all data sets are pooled, a surrogate C that names the
data set becomes a variable of its own, and the skeleton of PC over the N + 1 variables is learnt; a
variable that stays adjacent to C has a changing mechanism. Mooij, Magliacane, Claassen 2020, Joint
causal inference from multiple contexts, JMLR 21(99), make it one of a family (JCI, here PC with a
context that nothing causes). One regime at a time: C = 0 in the observational rows, 1 in the
regime's. Only adjacency to C is read, so the orientation phases, which add no edge, are left out.

Two tests of X_i independent of C given S (pairs of two variables always take the first)
    fisherz   Fisher's z of the partial correlation: what causal-learn's `cdnod` does by default. It
              compares the means of the residuals only, so an intervention that leaves means alone,
              as a hard one with U(-1, 1) does, is at chance. The paper itself tests with kernels
              (KCI), which see every change, at a cost cubic in the rows.
    default   the same, and an F test of whether the residuals' variance differs, the residuals of
              x_i on (1, S) with coefficients common to the data sets and means of their own.
              Fisher's combination of the two (nearly
              independent for Gaussian residuals): -log p = s - log(1 + s), s = -log p_mean - log
              p_variance. A changed coefficient shows as a changed variance.

Readings (variants)
    soft, fisherz       node i scores the -log of the largest p of its tests against C, over every S
                        that PC tried before it cut the pair, or stopped. So the pair is uncut where
                        the score exceeds -log alpha.
    set, fisherz-set    1 where the node is adjacent to C in the skeleton, else 0; fisherz-set is
                        causal-learn's output

Parameters
    alpha          level of the tests: .05 (causal-learn's default)
    max_set_size   largest conditioning set: 3; None for no limit, as in causal-learn (the number of
                   sets explodes in dense graphs)

Deviations from the reference
    - Reimplemented: all tests of one depth at once. The skeleton is that of PC-stable and so of
      causal-learn (golden test, with max_set_size None), without its p = 0 below 1e-16.
    - Defined results on degenerate data. A variable that is constant in the pooled rows is adjacent
      to none: score 0. A singular correlation matrix is shrunk by 1e-6. Residual variances below
      1e-10 of the pooled variance count as that.
    - Copies of a column are scored as one (`copies.py`).
    - Sets too large for the rows (|S| > n_d - 2) are not tried.

Reference: https://github.com/py-why/causal-learn, 0.1.4 (MIT), `cdnod`. Licence of this file: MIT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np

from cdnbench.method import MethodInfo
from cdnbench.methods.copies import solve_without_copies
from cdnbench.methods.statistics.tails import log_f_two_sided
from cdnbench.ranges import BETWEEN_0_AND_1, at_least, or_none
from cdnbench.relabelling import in_canonical_order
from cdnbench.task import Task

_SMALLEST_EIGENVALUE = (
    1e-10  # of a correlation matrix of float32 samples; below it the matrix is shrunk
)
_SHRINKAGE = 1e-6
_SMALLEST_VARIANCE = 1e-10  # of residuals, in pooled variances
_BLOCK = 2**21  # entries of the matrices inverted at once


def _timeout_s(sizes) -> float:
    # mean 10 to 25 ms per regime at N = 10, 20 to 50 ms at N = 20, 0.1 to 1.3 s at N = 50, by
    # density; times 10 or more
    return 60.0 + 0.02 * sizes.n_regimes * sizes.n_variables**2


@dataclass(frozen=True)
class CDNOD:
    """Causal discovery from heterogeneous data: adjacency to a context variable."""

    alpha: float = 0.05
    max_set_size: int | None = 3

    info: ClassVar[MethodInfo] = MethodInfo(
        name="cd-nod",
        summary="PC over the variables and a context variable; adjacency to the context, one "
        "regime at a time",
        citation="Huang, Zhang, Zhang, Ramsey, Sanchez-Romero, Glymour, Schölkopf 2020, Causal "
        "discovery from "
        "heterogeneous/nonstationary data, JMLR 21",
        version="2",
        licence="MIT",
        reference="https://github.com/py-why/causal-learn",
        variants=("soft", "set", "fisherz", "fisherz-set"),
        preload=("scipy.special",),
        timeout_s=_timeout_s,
        max_variables=50,
        min_samples=3,
        takes={
            "alpha": BETWEEN_0_AND_1,
            "max_set_size": or_none(at_least(0)),
        },
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) soft scores >= 0: -log of the largest p of the tests against the context."""
        return self.predict_outputs(task, seed=seed)["soft"]

    def predict_outputs(self, task: Task, *, seed: int = 0) -> dict[str, np.ndarray]:
        """`soft`, `set`, `fisherz` and `fisherz-set`, each (R, N)."""
        return in_canonical_order(task, lambda ordered: solve_without_copies(ordered, self._solve))

    def _solve(self, task: Task) -> dict[str, np.ndarray]:
        outputs = {
            variant: np.zeros((task.n_regimes, task.n_variables)) for variant in self.info.variants
        }
        for r, regime in enumerate(task.regimes):
            tests = ContextTests(task.observational, regime)
            limit = (
                tests.max_set_size
                if self.max_set_size is None
                else min(self.max_set_size, tests.max_set_size)
            )
            for soft, member, test in (
                ("soft", "set", tests.log_p),
                ("fisherz", "fisherz-set", tests.log_p_fisherz),
            ):
                adjacent, largest = skeleton(test, task.n_variables + 1, np.log(self.alpha), limit)
                outputs[soft][r] = -largest[-1, :-1]
                outputs[member][r] = adjacent[-1, :-1]
        return outputs


class ContextTests:
    """Tests on the pooled rows of two data sets and their context variable, the last one (index N).

    before, after: (n_0, N) and (n_1, N) samples. A test is a row (x, y, S...) of a (B, 2 + |S|)
        array of indices.
    """

    def __init__(self, before: np.ndarray, after: np.ndarray) -> None:
        pooled = np.concatenate([before, after]).astype(np.float64)
        pooled -= pooled.mean(axis=0)
        scale = np.abs(pooled).max(axis=0)
        pooled /= np.where(scale > 0, scale, 1.0)
        deviation = pooled.std(axis=0)
        varies = deviation > 0
        pooled /= np.where(varies, deviation, 1.0)
        self._rows = np.array([len(before), len(after)])
        self.context = pooled.shape[1]
        self.max_set_size = max(int(self._rows.min()) - 2, 0)

        context = np.repeat([0.0, 1.0], self._rows)
        context = (context - context.mean()) / context.std()
        everything = np.column_stack([pooled, context])
        correlation = everything.T @ everything / len(pooled)
        np.fill_diagonal(correlation, 1.0)
        if np.linalg.eigvalsh(correlation)[0] < _SMALLEST_EIGENVALUE:
            correlation = (1 - _SHRINKAGE) * correlation + _SHRINKAGE * np.eye(len(correlation))
        self._correlation = correlation

        parts = [pooled[: len(before)], pooled[len(before) :]]
        parts = [x - x.mean(axis=0) for x in parts]
        self._scatter = np.stack(
            [x.T @ x for x in parts]
        )  # (2, N, N), about the mean of each data set

    def log_p_fisherz(self, tests: np.ndarray) -> np.ndarray:
        """(B,) log p of the partial correlations."""
        from scipy.special import log_ndtr

        inverse = np.linalg.inv(self._correlation[tests[:, :, None], tests[:, None, :]])
        r = inverse[:, 0, 1] / np.sqrt(np.abs(inverse[:, 0, 0] * inverse[:, 1, 1]))
        z = np.arctanh(np.minimum(np.abs(r), 1 - np.finfo(float).eps))
        n_conditions = tests.shape[1] - 2
        return np.minimum(
            np.log(2) + log_ndtr(-np.sqrt(max(self._rows.sum() - n_conditions - 3, 0)) * z), 0
        )

    def log_p(self, tests: np.ndarray) -> np.ndarray:
        """(B,) log p; for pairs with the context, of a change of mean or variance."""
        log_p = self.log_p_fisherz(tests)
        with_context = (tests[:, :2] == self.context).any(axis=1)
        if with_context.any():
            pairs = tests[with_context]
            node = np.where(pairs[:, 0] == self.context, pairs[:, 1], pairs[:, 0])
            s = -log_p[with_context] - self._log_p_variance(node, pairs[:, 2:])
            log_p[with_context] = np.log1p(s) - s
        return log_p

    def _log_p_variance(self, node: np.ndarray, conditions: np.ndarray) -> np.ndarray:
        """(B,) log p of the F test for one residual variance in both data sets, of `node` (B,) on
        `conditions` (B, k)."""
        d = np.arange(2)[:, None, None]
        rss = self._scatter[:, node, node]  # (2, B)
        if conditions.shape[1]:
            square = self._scatter[
                d[..., None], conditions[:, :, None], conditions[:, None, :]
            ]  # (2, B, k, k)
            product = self._scatter[d, conditions, node[:, None]]  # (2, B, k)
            ridge = _SMALLEST_VARIANCE * self._rows.sum() * np.eye(conditions.shape[1])
            b = np.linalg.solve(square.sum(axis=0) + ridge, product.sum(axis=0)[..., None])[..., 0]
            rss = (
                rss
                - 2 * np.einsum("bk,dbk->db", b, product)
                + np.einsum("bk,dbkl,bl->db", b, square, b)
            )
        df = self._rows - 1 - conditions.shape[1] * self._rows / self._rows.sum()
        variance = np.maximum(rss / df[:, None], _SMALLEST_VARIANCE)
        return np.minimum(log_f_two_sided(variance[0] / variance[1], df[0], df[1]), 0)


def skeleton(
    log_p_of: Callable[[np.ndarray], np.ndarray],
    n_variables: int,
    log_alpha: float,
    max_set_size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The skeleton of PC-stable, and the largest p of the tests of each pair.

    log_p_of: log p of a (B, 2 + k) array of tests (x, y, S...).
    max_set_size: largest |S|.

    Returns (V, V) bool `adjacent` and (V, V) `largest`, log p over the sets tried until the pair
    was cut; 0 for V = 1.
    """
    adjacent = ~np.eye(n_variables, dtype=bool)
    largest = np.where(adjacent, -np.inf, 0.0)
    for size in range(max_set_size + 1):
        if adjacent.sum(axis=1).max() <= size:
            break
        for tests in _blocks(
            _tests(x, np.flatnonzero(adjacent[x]), size) for x in range(n_variables)
        ):
            np.maximum.at(largest, (tests[:, 0], tests[:, 1]), log_p_of(tests))
        largest = np.maximum(largest, largest.T)
        adjacent &= largest <= log_alpha
    return adjacent, largest


def _tests(x: int, neighbours: np.ndarray, size: int) -> np.ndarray:
    """Every (x, y, S...) with y and all of S, |S| = size, among the neighbours of x; (B, 2 +
    size)."""
    sets = np.array(list(combinations(neighbours, size + 1)), dtype=np.intp).reshape(-1, size + 1)
    tests = []
    for position in range(size + 1):
        y, rest = sets[:, position : position + 1], np.delete(sets, position, axis=1)
        tests.append(np.concatenate([np.full_like(y, x), y, rest], axis=1))
    return np.concatenate(tests)


def _blocks(parts: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The rows of the (B, 2 + size) arrays in parts, put together or cut into blocks of at most
    `_BLOCK` matrix entries."""
    waiting: list[np.ndarray] = []
    for part in parts:
        width = max(1, _BLOCK // part.shape[1] ** 2)
        waiting.append(part)
        if sum(map(len, waiting)) >= width:
            rows = np.concatenate(waiting)
            yield from (rows[start : start + width] for start in range(0, len(rows), width))
            waiting = []
    if sum(map(len, waiting)):
        yield np.concatenate(waiting)
