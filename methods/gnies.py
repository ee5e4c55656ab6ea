"""GnIES: a greedy search over graphs and target sets for the best penalised Gaussian likelihood,
one regime at a time.

Gamella, Taeb, Heinze-Deml, Bühlmann 2022, Characterization and greedy learning of Gaussian
structural causal models under unknown interventions, arXiv:2211.14897. The model: a linear Gaussian
SCM whose coefficients are the same in all environments, and whose noise variances are too but for
the targets I. The outer procedure searches over I, the inner one is GES with this score
(`gnies.fit`, called unchanged). The package is an optional extra: pip install 'cdnbench[gnies]'.

The published method takes all environments and returns one I, the variables that vary *somewhere*.
The question here is which ones vary in each regime, so it is run on the two environments
{observational, regime}, once for each regime.

Readings (variants)
    soft  node i scores score(i; V) - score(i; {}): how much its term of the penalised likelihood,
          given its parents in the estimated graph, gains when its noise may differ between the two.
          With that graph, i belongs in I if it is > 0
    set   1 for the estimated I, else 0: the published reading

Parameters
    approach   outer procedure: "rank" adds variables in the order of how much their noise varies
               when all may ("forward"); "greedy" tries them all in each step, six times as slow.
               The package's default is greedy; in the two regimes of N = 10 where we compared them
               they returned the same I
    penalty    the package's lmbda, for each parameter of the model; None is the package's BIC,
               log(rows) / 2

Deviations from the reference
    - Variables are in units of their pooled standard deviation and ordered by content.
    - A variable that is constant in one of the two data sets is left out and scores NaN: its
      likelihood is unbounded. Collinear columns get a jitter of 1e-4 standard deviations.
    - Data are centred in each environment (the package's default): blind to shifts of means.

Reference: https://github.com/juangamella/gnies, 0.3.3. Licence of the algorithm: BSD-3; of this
file: MIT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cdnbench.errors import CannotRun
from cdnbench.method import MethodInfo
from cdnbench.methods.causaldag import is_singular, jittered, quarantine
from cdnbench.ranges import at_least, one_of, or_none
from cdnbench.relabelling import in_canonical_order, task_generator
from cdnbench.task import Task


def _timeout_s(sizes) -> float:
    # 1.5 to 5.5 s per regime at N = 10 (greedy: 9 to 28 s); times 10
    return 120.0 + sizes.n_regimes * 50.0 * (sizes.n_variables / 10) ** 4


@dataclass(frozen=True)
class GnIES:
    """Greedy noise-interventional equivalence search."""

    approach: Literal["rank", "greedy"] = "rank"
    penalty: float | None = None

    info: ClassVar[MethodInfo] = MethodInfo(
        name="gnies",
        summary="Greedy search over graphs and noise interventions by penalised likelihood, one "
        "regime at a time",
        citation="Gamella, Taeb, Heinze-Deml, Bühlmann 2022, Characterization and greedy learning "
        "of Gaussian structural "
        "causal models under unknown interventions, arXiv:2211.14897",
        licence="BSD-3-Clause",
        reference="https://github.com/juangamella/gnies",
        variants=("soft", "set"),
        default=False,  # an optional package, and minutes per task
        timeout_s=_timeout_s,
        max_variables=12,
        min_samples=5,
        packages=("gnies",),
        takes={
            "approach": one_of("rank", "greedy"),
            "penalty": or_none(at_least(0)),
        },
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) soft scores: gain in penalised log-likelihood, positive for targets."""
        return self.predict_outputs(task, seed=seed)["soft"]

    def predict_outputs(self, task: Task, *, seed: int = 0) -> dict[str, np.ndarray]:
        """`soft` and `set`, each (R, N).

        Raises
        ------
        CannotRun: the package is missing, a data set with N + 2 rows or fewer, or fewer than two
        variables that vary.
        """
        try:
            import gnies  # noqa: F401
        except ImportError:
            raise CannotRun(
                "the package gnies is not installed: pip install 'cdnbench[gnies]'"
            ) from None
        if task.n_samples <= task.n_variables + 2:
            raise CannotRun(
                f"{task.n_samples} rows in the smallest data set; covariances of "
                f"{task.n_variables} variables need more "
                f"than {task.n_variables + 2}"
            )
        return in_canonical_order(task, self._solve)

    def _solve(self, task: Task) -> dict[str, np.ndarray]:
        soft, member = np.full((2, task.n_regimes, task.n_variables), np.nan)
        generator = task_generator(task, self.info.name, 0)
        for r, regime in enumerate(task.regimes):
            varies = (np.ptp(task.observational, axis=0) > 0) & (np.ptp(regime, axis=0) > 0)
            if varies.sum() < 2:
                raise CannotRun("fewer than two variables vary before and after; a graph needs two")
            data = _standardized(task.observational[:, varies], regime[:, varies])
            if any(map(is_singular, data)):
                data = [jittered(x, generator) for x in data]
            soft[r, varies], member[r, varies] = self._fit(data)
        return {"soft": soft, "set": member}

    def _fit(self, data: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Gains and 0/1 membership in I of each variable, from the samples of the two
        environments."""
        import gnies
        from gnies.scores import GnIESScore
        from gnies.utils import pa, pdag_to_dag

        nodes = range(data[0].shape[1])
        with quarantine(0):
            _, graph, targets = gnies.fit(data, lmbda=self.penalty, approach=self.approach)
            parents = [pa(i, pdag_to_dag(graph)) for i in nodes]
            some, none = (
                GnIESScore(data, target_set, lmbda=self.penalty)
                for target_set in (set(nodes), set())
            )
            gains = [
                some.local_score(i, parents[i]) - none.local_score(i, parents[i]) for i in nodes
            ]
        return np.array(gains), np.array([float(i in targets) for i in nodes])


def _standardized(before: np.ndarray, after: np.ndarray) -> list[np.ndarray]:
    """Both (n, N) samples, centred, in units of the root mean of the two variances."""
    samples = [np.array(x, dtype=np.float64) for x in (before, after)]
    samples = [x - x.mean(axis=0) for x in samples]
    unit = np.max([np.abs(x).max(axis=0) for x in samples], axis=0)
    samples = [x / unit for x in samples]
    scale = np.sqrt(np.mean([x.var(axis=0) for x in samples], axis=0))
    return [x / scale for x in samples]
