"""Root Cause Discovery: the failure is an intervention, so add a node F that says which data set a
row is from, and learn only F's neighbours, a few variables at a time.

For each regime the observational rows (F = 0) and the regime's (F = 1) are stacked and binned
together. The local Psi-PC step on a set of variables starts with F joined to all of them and
removes F - x as soon as a conditional independence test finds p(x, F | S) > level for a set S of d
of F's other neighbours, d = 0, 1, ... (F's edges only: edges among the variables are never tested,
and since nothing causes F its neighbours are the targets). Around it:

    phase 1   divide the variables at random into subsets of `gamma`; in each, run the step at level
              `alpha`, raised by .1 until at least one variable stays; unite what stays, and repeat
              until gamma or fewer are left or a round removes nothing
    phase 2   run the step on the variables left, at level `alpha_last`, raised by .1 until one
              stays

A. Ikram, S. Chakraborty, S. Mitra, S. Saini, S. Bagchi, M. Kocaoglu 2022, Root cause analysis of
failures in microservices through causal discovery, NeurIPS 35:31158: its localized learning (Psi-PC
around the F-node) and its hierarchical learning (the loop above).

Readings
    soft  -log of the largest p of all tests that the variable took part in. A variable that left at
          level a scores below -log a, so the order is that of the reference's rising levels,
          without its steps.
    set   0/1: F's neighbours at the end of phase 2

Parameters (the authors' code's values, except where noted)
    gamma        variables in a subset: 5
    alpha        level at which phase 1 starts: .01
    alpha_last   level at which phase 2 starts: .001
    bins         bins of a variable: 5, PyRCA's value. The authors' code leaves it to the caller and
                 does not bin by default, since its simulated data are discrete
    binning      "kmeans" (scikit-learn's k-means bins) or "quantile" (equal counts; ours)
    max_depth    variables in a conditioning set: at most 4, what a subset of gamma = 5 can have
                 (ours: the authors have no limit, but phase 2 may start with more than gamma
                 variables)
    max_tests    tests of one depth of one step: where more would be due, the step ends before that
                 depth: 20,000 (ours)

Deviations from the reference
    - A depth's removals happen together after the depth (as in PC-stable), so that they do not
      depend on the order. The authors' code removes at once, in random order.
    - Phase 2 ends at the first level that leaves a variable. The authors' code goes on to higher
      levels until every variable has been left once, which is its ranking.
    - Localized learning always, an option of the authors' code.
    - Ranked by the largest p of all tests instead of by the level of entry and then the p of the
      last test.
    - Logarithms of the chi-square tail, which does not saturate at zero.
    - No preprocessing that knows microservices (latency percentiles, memory units).
    - Copies of a column are scored as one (`copies.py`).
    - Subsets are drawn by content and seed: relabelling the variables permutes the scores.
What the binned test cannot do: what remains inside of a bin is not conditioned on, so descendants
of a strong intervention keep an edge to F; and two interventions so strong that either gives F away
separate each other from F.

Reference: https://github.com/azamikram/rcd (states no licence; a copy in salesforce/PyRCA is
BSD-3-Clause). Reimplemented from the paper; parameter values and order of steps were checked
against the code. Licence of this file: MIT.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import ClassVar, Literal

import numpy as np

from cdnbench.errors import InvalidParameter
from cdnbench.method import MethodInfo
from cdnbench.methods.copies import solve_without_copies
from cdnbench.methods.statistics.columns import column_blocks
from cdnbench.methods.statistics.contingency import kmeans_bins, log_p_independent, quantile_bins
from cdnbench.ranges import BETWEEN_0_AND_1, at_least, one_of
from cdnbench.relabelling import in_canonical_order, task_generator
from cdnbench.task import Task

_ALPHA_STEP = 0.1


def _timeout_s(sizes) -> float:
    return 120.0 + sizes.n_regimes * (2.0 + 0.05 * sizes.n_variables)


@dataclass(frozen=True)
class RCD:
    """Hierarchical local search for the neighbours of the regime indicator."""

    gamma: int = 5
    alpha: float = 0.01
    alpha_last: float = 0.001
    bins: int = 5
    binning: Literal["kmeans", "quantile"] = "kmeans"
    max_depth: int = 4
    max_tests: int = 20_000

    info: ClassVar[MethodInfo] = MethodInfo(
        name="rcd",
        summary="Root Cause Discovery: hierarchical chi-square tests around a node that indicates "
        "the regime",
        citation="Ikram et al. 2022, Root cause analysis of failures in microservices through "
        "causal discovery, "
        "NeurIPS 35",
        version="2",
        licence="MIT",
        reference="https://github.com/azamikram/rcd",
        variants=("soft", "set"),
        stochastic=True,
        preload=("scipy.special",),
        timeout_s=_timeout_s,
        takes={
            "gamma": at_least(1),
            "alpha": BETWEEN_0_AND_1,
            "alpha_last": BETWEEN_0_AND_1,
            "bins": at_least(2),
            "binning": one_of("kmeans", "quantile"),
            "max_depth": at_least(0),
            "max_tests": at_least(1),
        },
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) soft scores >= 0: -log of a variable's largest p."""
        return self.predict_outputs(task, seed=seed)["soft"]

    def predict_outputs(self, task: Task, *, seed: int = 0) -> dict[str, np.ndarray]:
        """`soft` and `set`, each (R, N).

        Raises
        ------
        InvalidParameter: another binning than the documented ones.
        """
        if self.binning not in ("kmeans", "quantile"):
            raise InvalidParameter(f"rcd: binning is kmeans or quantile; got {self.binning!r}.")
        regimes = [self._regime(task.regime(r), seed) for r in range(task.n_regimes)]
        return {
            variant: np.vstack([scores[variant] for scores in regimes])
            for variant in self.info.variants
        }

    def _regime(self, task: Task, seed: int) -> dict[str, np.ndarray]:
        """Both readings of the single-regime task."""

        def solve(ordered: Task) -> dict[str, np.ndarray]:
            search = _LocalSearch(ordered.observational, ordered.regimes[0], self)
            generator = task_generator(ordered, self.info.name, seed)
            member = np.zeros((1, ordered.n_variables))
            member[0, self._hierarchy(search, ordered.n_variables, generator)] = 1
            return {"soft": -search.log_p[None], "set": member}

        return in_canonical_order(task, lambda ordered: solve_without_copies(ordered, solve))

    def _hierarchy(
        self, search: _LocalSearch, n_variables: int, generator: np.random.Generator
    ) -> list[int]:
        """F's neighbours after both phases."""
        left = list(range(n_variables))
        while True:
            shuffled = generator.permutation(left)
            subsets = [
                shuffled[k : k + self.gamma].tolist() for k in range(0, len(left), self.gamma)
            ]
            stay = sorted(x for subset in subsets for x in search.neighbours(subset, self.alpha))
            done = len(stay) <= self.gamma or len(stay) == len(left)
            left = stay
            if done:
                return search.neighbours(left, self.alpha_last)


class _LocalSearch:
    """Psi-PC's edges at F for one regime, with the tests kept. `log_p` (N,): the largest log p of
    each variable so far."""

    def __init__(self, observational: np.ndarray, regime: np.ndarray, method: RCD) -> None:
        self._method = method
        n_rows, n_variables = len(observational) + len(regime), observational.shape[1]
        self._indicator = np.repeat([0, 1], [len(observational), len(regime)])
        self._bins = np.empty((n_rows, n_variables), np.int64)
        to_bins = kmeans_bins if method.binning == "kmeans" else quantile_bins
        for block in column_blocks(n_rows, n_variables):
            self._bins[:, block] = to_bins(
                np.vstack([observational[:, block], regime[:, block]]), method.bins
            )
        self.log_p = np.full(n_variables, -np.inf)
        self._tests: dict[tuple[int, ...], dict[int, float]] = {}

    def neighbours(self, variables: list[int], alpha: float) -> list[int]:
        """The variables that no test separates from F.

        They are those at the first of the rising levels that leaves any.
        """
        while alpha < 1:
            found = self._step(variables, np.log(alpha))
            if found:
                return found
            alpha += _ALPHA_STEP
        return []

    def _step(self, variables: list[int], log_alpha: float) -> list[int]:
        found = variables
        for depth in range(min(self._method.max_depth, len(variables) - 1) + 1):
            if (
                depth >= len(found)
                or len(found) * comb(len(found) - 1, depth) > self._method.max_tests
            ):
                break
            removed = set()
            for tested, log_p in self._depth(found, depth):
                removed.update(
                    x for x, value in zip(tested, log_p, strict=True) if value > log_alpha
                )
            found = [x for x in found if x not in removed]
        return found

    def _depth(self, found: list[int], depth: int) -> Iterator[tuple[list[int], list[float]]]:
        """Tests of every variable against F given every `depth` of the others."""
        for given in combinations(sorted(found), depth):
            known = self._tests.setdefault(given, {})
            tested = [x for x in found if x not in given]
            new = [x for x in tested if x not in known]
            if new:
                strata = np.zeros(len(self._bins), np.int64)
                for s in given:
                    strata = strata * self._method.bins + self._bins[:, s]
                log_p = log_p_independent(
                    self._indicator, self._bins[:, new], strata, self._method.bins
                )
                self.log_p[new] = np.maximum(self.log_p[new], log_p)
                known.update(zip(new, log_p.tolist(), strict=True))
            yield tested, [known[x] for x in tested]
