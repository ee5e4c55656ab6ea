"""UT-IGSP: a greedy search for the sparsest DAG whose mechanisms change in the fewest places, over
all regimes jointly.

Squires, Wang, Uhler 2020, Permutation-based causal structure learning with unknown intervention
targets, UAI (PMLR 124:1039). The search (Algorithm 1) is `unknown_target_igsp` of causaldag
(BSD-3), called unchanged: partial-correlation tests on the observational rows, Gaussian invariance
tests between them and each regime.

Readings (variants)
    soft  for node i with its parents in the estimated DAG, -log min(p_coefficients, p_variance) of
          the invariance test
    set   1 where the test rejects (either p below alpha_inv / 2), else 0: the target set that
          causaldag returns

Invariance test of x_i given parents S, k = |S| + 1 coefficients with the intercept
(`gauss_invariance_test`):

    F_v = s_0^2 / s_r^2 against F(n_0 - 1, n_r - 1)
    F_c = d' (s_0^2 G_0^-1 + s_r^2 G_r^-1)^-1 d / k against F(k, n_0 + n_r - k), both two-sided,

with s^2 the residual variances (n - k degrees of freedom), G the Gram matrices and d the difference
of coefficients.

Parameters
    alpha, alpha_inv  levels of the independence and invariance tests: 1e-3, the defaults of the
                      runner in DCDI's code. The simulations in the authors' code have 1e-5
    depth, n_runs     depth of the search 4, number of starts 5: causaldag's defaults. The authors'
                      simulations have 10 starts
    max_rows          observational rows used, drawn at random: 1000 (the CDN paper's setting)
`known_interventions` is empty for each regime (DCDI's runner passes the true targets there).

Deviations from the reference
    - A node's invariance tests come for all regimes at once from Gram matrices, instead of one by
      one from the rows: the same p-values to rounding (golden test) in a fraction of the time.
    - Coefficients that are the same to rounding do not reject. In causaldag the lower tail of F_c
      rejects them, which happens where a rare 0/1 variable has equal counts before and after. A
      note says where variables are discrete (at most 10 values): their variances are not what the
      test of F_v supposes.
    - The soft score uses logarithms of tail probabilities, so it does not saturate: causaldag's 1 -
      cdf is 0 below 1e-16, where all strong effects tie.
    - Defined results on degenerate data. A variable that is constant in the observational rows has
      no parents and is no parent. Collinear observational columns get a jitter of 1e-4 standard
      deviations for the independence tests. A residual variance below 1e-10 observational variances
      counts as that; with both there (a deterministic relation before and after) the coefficients'
      lower tail does not count. A regime with too few rows for the regression does not reject, and
      its soft score is NaN.
    - Global generators are seeded for the call and restored afterwards. Variables are ordered by
      content, not by column, and in units of their observational standard deviation.

Reference: https://github.com/uhlerlab/causaldag, 0.1a163. Licence of the search: BSD-3; of this
file: MIT.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.errors import CannotRun
from cdnbench.method import MethodInfo, Prediction
from cdnbench.methods.causaldag import is_singular, jittered, quarantine, quiet_import, thinned
from cdnbench.methods.statistics.tails import log_f_sf, log_f_two_sided
from cdnbench.ranges import BETWEEN_0_AND_1, at_least
from cdnbench.relabelling import in_canonical_order, task_generator
from cdnbench.task import Task

_SMALLEST_VARIANCE = 1e-10  # of a residual, in observational variances
_EQUAL = 1e-18  # F statistic of coefficients that differ by rounding only
_FEW_VALUES = 10  # distinct values among at least three times as many rows: a discrete variable


def _timeout_s(sizes) -> float:
    # 0.1 s at N = 10, R = 30; 0.2 s (at most 0.5) at N = 20, R = 60; 34 s at N = 100, R = 300; and
    # the cold import
    return 120.0 + 2e-4 * sizes.n_variables**2 * sizes.n_regimes


@dataclass(frozen=True)
class UTIGSP:
    """Unknown-target interventional greedy sparsest permutation."""

    alpha: float = 1e-3
    alpha_inv: float = 1e-3
    depth: int = 4
    n_runs: int = 5
    max_rows: int = 1000

    info: ClassVar[MethodInfo] = MethodInfo(
        name="ut-igsp",
        summary="Greedy sparsest permutation search with Gaussian invariance tests, all regimes "
        "jointly",
        citation="Squires, Wang, Uhler 2020, Permutation-based causal structure learning with "
        "unknown intervention "
        "targets, UAI",
        licence="BSD-3-Clause",
        reference="https://github.com/uhlerlab/causaldag",
        version="2",
        variants=("soft", "set"),
        stochastic=True,
        batch_size=1,  # for the note
        preload=("causaldag", "scipy.special"),
        timeout_s=_timeout_s,
        min_samples=3,
        takes={
            "alpha": BETWEEN_0_AND_1,
            "alpha_inv": BETWEEN_0_AND_1,
            "depth": at_least(0),
            "n_runs": at_least(1),
            "max_rows": at_least(3),
        },
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) soft scores >= 0: -log p."""
        return self.predict_outputs(task, seed=seed)["soft"]

    def predict_outputs(self, task: Task, *, seed: int = 0) -> dict[str, np.ndarray]:
        """`soft` and `set`, each (R, N).

        Raises
        ------
        CannotRun: N + 3 observational rows or fewer, too few for the partial correlations.
        """
        rows = min(len(task.observational), self.max_rows)
        if rows <= task.n_variables + 3:
            raise CannotRun(
                f"{rows} observational rows; the partial correlations of {task.n_variables} "
                "variables need more than "
                f"{task.n_variables + 3}"
            )
        return in_canonical_order(task, lambda ordered: self._solve(ordered, seed))

    def predict_targets_batch(
        self, tasks: Sequence[Task], *, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Prediction | Exception]]:
        """Each task's readings, with a note where variables are discrete."""
        for i, (task, seed) in enumerate(zip(tasks, seeds, strict=True)):
            try:
                yield i, Prediction(self.predict_outputs(task, seed=seed), note_on_discrete(task))
            except Exception as error:
                yield i, error

    def _solve(self, task: Task, seed: int) -> dict[str, np.ndarray]:
        generator = task_generator(task, self.info.name, seed)
        observational = thinned(task.observational, self.max_rows, generator)
        constant = np.ptp(observational, axis=0) == 0
        order = np.argsort(
            constant, kind="stable"
        )  # the search runs on the first columns, those that vary
        n_searched = int((~constant).sum())
        tester = GaussianInvariance(
            observational[:, order], [x[:, order] for x in task.regimes], self.alpha_inv
        )
        parents = self._search(
            observational[:, order[:n_searched]], tester, task.n_regimes, generator
        )
        parents += [frozenset()] * int(constant.sum())
        soft, member = np.empty((2, task.n_regimes, task.n_variables))
        for i, column in enumerate(order):
            soft[:, column] = -tester.log_p(i, parents[i])
            member[:, column] = tester.rejects(i, parents[i])
        return {"soft": soft, "set": member}

    def _search(
        self,
        samples: np.ndarray,
        tester: GaussianInvariance,
        n_regimes: int,
        generator: np.random.Generator,
    ) -> list[frozenset[int]]:
        """The parents of each variable in the estimated DAG."""
        if samples.shape[1] < 2:
            return [frozenset()] * samples.shape[1]
        seed = int(generator.integers(2**32))
        samples = samples / samples.std(axis=0)
        if is_singular(samples):
            samples = jittered(samples, generator)
        causaldag = quiet_import("causaldag")
        with quarantine(seed):
            dag, _ = causaldag.unknown_target_igsp(
                [{"known_interventions": []} for _ in range(n_regimes)],
                set(range(samples.shape[1])),
                causaldag.MemoizedCI_Tester(
                    causaldag.partial_correlation_test,
                    causaldag.partial_correlation_suffstat(samples),
                    alpha=self.alpha,
                ),
                tester,
                depth=self.depth,
                nruns=self.n_runs,
            )
        return [frozenset(map(int, dag.parents_of(i))) for i in range(samples.shape[1])]


def note_on_discrete(task: Task) -> str:
    """What must be said of discrete variables, "" if there are none."""
    x = np.sort(task.observational, axis=0)
    n_values = 1 + (np.diff(x, axis=0) > 0).sum(axis=0)
    few = (n_values > 1) & (n_values <= _FEW_VALUES) & (len(x) >= 3 * n_values)
    if not few.any():
        return ""
    return (
        f"{int(few.sum())} of {task.n_variables} variables are discrete; the tests suppose "
        "Gaussian ones and find too many targets among rare values"
    )


class GaussianInvariance:
    """causaldag's `InvarianceTester`, with the tests of a node in all regimes made at once from
    Gram matrices and kept.

    observational: (M0, N) float64. regimes: R arrays (Mr, N). alpha: level of the two tests
        together (Bonferroni).
    """

    def __init__(
        self, observational: np.ndarray, regimes: Sequence[np.ndarray], alpha: float
    ) -> None:
        # The statistics do not change with the units of the variables; these keep the Gram matrices
        # well conditioned.
        mean, scale = observational.mean(axis=0), observational.std(axis=0)
        spread = np.max([np.abs(x - mean).max(axis=0) for x in regimes], axis=0)
        scale = np.where(
            np.ptp(observational, axis=0) > 0, scale, np.where(spread > 0, spread, 1.0)
        )
        self._gram = np.stack([_gram_matrix((x - mean) / scale) for x in (observational, *regimes)])
        self._rows = np.array([len(observational), *map(len, regimes)])
        self._log_level = np.log(alpha / 2)
        self._log_p: dict[tuple[int, frozenset[int]], np.ndarray] = {}
        self._rejects: dict[tuple[int, frozenset[int]], list[bool]] = {}

    def is_invariant(self, node: int, context: int, cond_set: Collection[int] = ()) -> bool:
        """Whether the regression of `node` on `cond_set` is the same in regime `context` as without
        intervention."""
        return not self.rejects(node, frozenset(cond_set))[context]

    def rejects(self, node: int, parents: frozenset[int]) -> list[bool]:
        """For each regime, whether the coefficients or the noise changed at level alpha."""
        rejects = self._rejects.get((node, parents))
        if rejects is None:
            rejects = self._rejects[node, parents] = (
                self.log_p(node, parents) < self._log_level
            ).tolist()
        return rejects

    def log_p(self, node: int, parents: frozenset[int]) -> np.ndarray:
        """(R,) log of the smaller of the two p-values; NaN where a regime has too few rows for the
        regression."""
        log_p = self._log_p.get((node, parents))
        if log_p is None:
            log_p = self._log_p[node, parents] = self._test(node, sorted(parents))
        return log_p

    def _test(self, node: int, parents: list[int]) -> np.ndarray:
        columns = [
            *parents,
            self._gram.shape[1] - 1,
        ]  # the last row of the Gram matrices is the intercept's
        k = len(columns)
        inverse = np.linalg.pinv(
            self._gram[:, columns][:, :, columns], hermitian=True
        )  # (R + 1, k, k), obs. first
        products = self._gram[:, columns, node]
        coefficients = np.einsum("dij,dj->di", inverse, products)
        rss = self._gram[:, node, node] - np.einsum("di,di->d", coefficients, products)
        variance = np.maximum(rss / np.maximum(self._rows - k, 1), _SMALLEST_VARIANCE)

        n0, n = self._rows[0], self._rows[1:]
        d = coefficients[1:] - coefficients[0]
        spread = variance[0] * inverse[0] + variance[1:, None, None] * inverse[1:]
        statistic = np.einsum("ri,rij,rj->r", d, np.linalg.pinv(spread, hermitian=True), d) / k
        equal = statistic <= _EQUAL
        statistic = np.maximum(statistic, 1e-200)
        log_p_variance = log_f_two_sided(variance[0] / variance[1:], n0 - 1, n - 1)
        deterministic = np.maximum(variance[0], variance[1:]) <= _SMALLEST_VARIANCE
        log_p_coefficients = np.where(
            deterministic,
            log_f_sf(statistic, k, n0 + n - k),
            log_f_two_sided(statistic, k, n0 + n - k),
        )
        log_p_coefficients = np.where(equal, 0.0, log_p_coefficients)
        log_p = np.minimum(np.minimum(log_p_coefficients, log_p_variance), 0.0)
        return np.where(n > k, log_p, np.nan)


def _gram_matrix(samples: np.ndarray) -> np.ndarray:
    """(N + 1, N + 1) products of the columns of an (n, N) array and a last column of ones."""
    extended = np.column_stack([samples, np.ones(len(samples))])
    return extended.T @ extended
