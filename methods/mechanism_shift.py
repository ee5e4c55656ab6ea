"""Mechanism Shift Score: of the graphs that observational data cannot tell apart, take the one
under which the fewest mechanisms changed, and score a variable by how clearly its mechanism changed
in that graph.

    1   a CPDAG from the observational rows
    2   for every DAG of its Markov equivalence class, every node i and every regime r: test whether
        p(x_i | pa_i) is the same in r as without intervention
    3   MSS(DAG) = number of (i, r) with p <= alpha / N; keep the DAGs of smallest score (all
        regimes count together)
    4   score of i in r = mean of -log p over the DAGs kept

R. Perry, J. von Kuegelgen, B. Schoelkopf 2022, Causal discovery in heterogeneous environments under
the sparse mechanism shift hypothesis, NeurIPS 35 (arXiv 2206.02013). Steps 2 and 3 are the paper's
score, whose purpose is the DAG; step 4 is our reading of it as a method for targets, and step 1 the
paper leaves open (it starts from the true CPDAG).

Readings
    soft  step 4
    set   share of the DAGs kept in which (i, r) is among the changes, p <= alpha / N

Parameters
    search       "boss" (Andrews et al. 2023, best order score search with linear-Gaussian BIC) or
                 "pc" (Fisher's z at `alpha_pc`), both causal-learn's
    alpha_pc     .01
    penalty      2, what causal-learn's `boss` takes by default. The score of a node with parents Pa
                 is -n/2 log s^2 - penalty log n (|Pa| + 1) since 0.1.4.5, so that .5 is the BIC
                 itself. On 36 data sets of `synthetic-dev` with 10 variables 2, 1 and .5 are alike
                 (mean AP .958, .958 and .955)
    alpha        level of the test, divided by N (the reference's `scale_alpha`): .05
    n_knots      knots a parent of the regression's additive linear splines: 4 (chosen on
                 `synthetic-dev`); 0 is linear
    selection    "hard": step 3; "soft": the paper's soft score, the sum of 1 - p
    max_dags     orientations enumerated of one chain component of the CPDAG: 1,000. Beyond it the
                 rest is not looked at.

The chain components are oriented independently of each other and the score is a sum over nodes, so
the minimum over the class is found component by component; the class may have millions of DAGs. PC
may find a graph of no DAG; orientations with a cycle are passed over, and the task is declined if
no other is left.

Deviations from the reference
    - The test: exact F tests of the regression's coefficients and noise variance, together one p
      (`statistics/invariance.py`), instead of kernel tests (KCI) or residual tests after a GAM.
      Seconds instead of hours; blind to changes of the noise's shape alone.
    - Each regime is compared with the observational rows, not each pair of regimes: R tests a
      mechanism and not R (R + 1) / 2. Two regimes with the same target need not have different
      mechanisms.
    - Ties are averaged over.
    - Scores of the search are rounded to four decimals, so that the graph is the same on every
      processor.
    - Collinear columns get a jitter of 1e-4 standard deviations for the search; a column that is
      constant in the observational rows is in no edge.

Reference: https://github.com/rflperry/sparse_shift (MIT), reimplemented from the paper. Searches:
causal-learn (MIT).
Licence of this file: MIT.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, Literal

import numpy as np

from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.method import MethodInfo
from cdnbench.methods.causaldag import is_singular, jittered, quarantine, quiet_import
from cdnbench.methods.statistics.equivalence import chain_components, is_acyclic, orientations
from cdnbench.methods.statistics.invariance import RegressionTests
from cdnbench.ranges import BETWEEN_0_AND_1, POSITIVE, at_least, one_of
from cdnbench.relabelling import in_canonical_order, task_generator
from cdnbench.task import Task

_SEARCHES = {
    "boss": "causallearn.search.PermutationBased.BOSS",
    "pc": "causallearn.search.ConstraintBased.PC",
}


_DIGITS = 4
"""Decimals of a score in the search. Orders that stand for one class have equal scores. Without
rounding, the last bits of a processor's linear algebra decided between them, and one in six results
on `synthetic-hard` was another on another processor. Differences that mean something are of log n.
"""


def _timeout_s(sizes) -> float:
    return 300.0 + sizes.n_regimes * 1.0 + 0.1 * sizes.n_variables**2


@dataclass(frozen=True)
class _LocalScore:
    """What the search calls to score a node with its parents: the BIC to `_DIGITS` decimals.

    function: causal-learn's. data: (M, N).
    """

    function: Callable[..., float]
    data: np.ndarray
    covariance: np.ndarray
    penalty: float

    def score_nocache(self, node: int, parents: list[int]) -> float:
        moments = self.covariance, len(self.data)
        score = self.function(moments, node, parents, {"lambda_value": self.penalty})
        return round(float(score), _DIGITS)


def _best_order(library: Any, samples: np.ndarray, penalty: float) -> np.ndarray:
    """(N, N) the CPDAG that causal-learn's `boss` finds with rounded scores: -1 at [i, j] for
    i -> j, at [i, j] and [j, i] for i - j."""
    covariance = np.cov(samples.T, ddof=0)
    score = _LocalScore(library.local_score_BIC_from_cov, samples, covariance, penalty)
    variables = list(range(samples.shape[1]))
    order = list(variables)
    trees = [library.GST(v, score) for v in variables]
    improved = True
    while improved:
        random.shuffle(variables)
        improved = any([library.better_mutation(v, order, trees) for v in variables])
    nodes = [library.GraphNode(f"X{v}") for v in range(len(order))]
    graph = library.GeneralGraph(nodes)
    for place, v in enumerate(order):
        parents: list[int] = []
        trees[v].trace(order[:place], parents)
        for parent in parents:
            graph.add_directed_edge(nodes[parent], nodes[v])
    return library.dag2cpdag(graph).graph


@dataclass(frozen=True)
class MechanismShift:
    """Fewest shifted mechanisms over a Markov equivalence class."""

    search: Literal["boss", "pc"] = "boss"
    alpha_pc: float = 0.01
    penalty: float = 2.0
    alpha: float = 0.05
    n_knots: int = 4
    selection: Literal["hard", "soft"] = "hard"
    max_dags: int = 1000

    info: ClassVar[MethodInfo] = MethodInfo(
        name="mechanism-shift",
        version="3",
        summary="Mechanism Shift Score: change of each mechanism in the DAG under which the "
        "fewest changed",
        citation="Perry, von Kuegelgen, Schoelkopf 2022, Causal discovery in heterogeneous "
        "environments under the "
        "sparse mechanism shift hypothesis, NeurIPS 35",
        licence="MIT",
        reference="https://github.com/rflperry/sparse_shift",
        variants=("soft", "set"),
        stochastic=True,
        preload=("causallearn.search.PermutationBased.BOSS", "scipy.special"),
        timeout_s=_timeout_s,
        max_variables=60,
        min_samples=4,
        takes={
            "search": one_of("boss", "pc"),
            "alpha_pc": BETWEEN_0_AND_1,
            "penalty": POSITIVE,
            "alpha": BETWEEN_0_AND_1,
            "n_knots": at_least(0),
            "selection": one_of("hard", "soft"),
            "max_dags": at_least(1),
        },
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) soft scores >= 0: mean -log p."""
        return self.predict_outputs(task, seed=seed)["soft"]

    def predict_outputs(self, task: Task, *, seed: int = 0) -> dict[str, np.ndarray]:
        """`soft` and `set`, each (R, N).

        Raises
        ------
        InvalidParameter: another search or selection than the documented ones.
        CannotRun: N + 3 observational rows or fewer, too few for the partial correlations; or the
        graph that the search found has no acyclic orientation.
        """
        if self.search not in ("boss", "pc") or self.selection not in ("hard", "soft"):
            raise InvalidParameter(
                f"mechanism-shift: search is boss or pc, and selection is hard or soft; got "
                f"{self.search!r} and {self.selection!r}."
            )
        rows = len(task.observational)
        if rows <= task.n_variables + 3:
            raise CannotRun(
                f"{rows} observational rows; the partial correlations of {task.n_variables} "
                "variables need more than "
                f"{task.n_variables + 3}"
            )
        return in_canonical_order(task, lambda ordered: self._solve(ordered, seed))

    def _solve(self, task: Task, seed: int) -> dict[str, np.ndarray]:
        cpdag = self._cpdag(task, task_generator(task, self.info.name, seed))
        tests = RegressionTests([task.observational, *task.regimes], self.n_knots)
        level = -np.log(self.alpha / task.n_variables)
        directed = cpdag & ~cpdag.T
        soft, member = np.empty((2, task.n_regimes, task.n_variables))
        for component in chain_components(cpdag):
            soft[:, component], member[:, component] = self._component(
                tests, level, cpdag, directed, component
            )
        return {"soft": soft, "set": member}

    def _component(
        self,
        tests: RegressionTests,
        level: float,
        cpdag: np.ndarray,
        directed: np.ndarray,
        component: list[int],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean -log p and share of changes, each (R, nodes of the component), over its orientations
        of least score.

        Raises
        ------
        CannotRun: none is acyclic.
        """
        outside = [np.flatnonzero(directed[:, i]).tolist() for i in component]
        known: dict[tuple[int, tuple[int, ...]], np.ndarray] = {}

        def mechanism(k: int, inside: tuple[int, ...]) -> np.ndarray:
            if (k, inside) not in known:
                parents = sorted([*outside[k], *(component[c] for c in inside)])
                known[k, inside] = tests.minus_log_p(component[k], parents)
            return known[k, inside]

        least, kept = np.inf, []
        inner = np.ix_(component, component)
        undirected, within = (cpdag & cpdag.T)[inner], directed[inner]
        for dag in islice(orientations(undirected), self.max_dags):
            if within.any() and not is_acyclic(dag | within):
                continue
            parents = [tuple(np.flatnonzero(dag[:, k]).tolist()) for k in range(len(component))]
            evidence = np.stack(
                [mechanism(k, p) for k, p in enumerate(parents)], axis=1
            )  # (R, nodes)
            with np.errstate(invalid="ignore"):
                changes = evidence >= level
            score = changes.sum() if self.selection == "hard" else np.nansum(-np.expm1(-evidence))
            if score < least:
                least, kept = score, []
            if score == least:
                kept.append((evidence, changes))
        if not kept:
            raise CannotRun(
                f"the graph that {self.search} found joins {len(component)} variables in a cycle "
                "and belongs to no DAG; use another search (boss finds that of a DAG) or alpha_pc"
            )
        evidence, changes = (np.mean([pair[k] for pair in kept], axis=0) for k in (0, 1))
        return evidence, changes

    def _cpdag(self, task: Task, generator: np.random.Generator) -> np.ndarray:
        """(N, N) bool: [i, j] for i -> j, and both ways for i - j."""
        varies = np.flatnonzero(np.ptp(task.observational, axis=0) > 0)
        cpdag = np.zeros((task.n_variables, task.n_variables), bool)
        if len(varies) < 2:
            return cpdag
        samples = np.array(task.observational[:, varies], dtype=np.float64)
        samples = (samples - samples.mean(axis=0)) / samples.std(axis=0)
        if is_singular(samples):
            samples = jittered(samples, generator)
        search = quiet_import(_SEARCHES[self.search])
        with quarantine(int(generator.integers(2**32))):
            if self.search == "boss":
                found = _best_order(search, samples, self.penalty)
            else:
                found = search.pc(samples, self.alpha_pc, "fisherz", show_progress=False).G.graph
        cpdag[np.ix_(varies, varies)] = found == -1
        return cpdag
