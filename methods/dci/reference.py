"""DCI with stability selection by causaldag itself: the reference of `dci`, which has the same
edges in a fraction of the time.

Wang, Squires, Belyaeva, Uhler 2018, Direct estimation of differences in causal graphs, NeurIPS (the
algorithm).
Belyaeva, Squires, Uhler 2021, DCI: learning causal differences between gene regulatory networks,
Bioinformatics 37:3067 (stability selection). This is `dci_stability_selection` of causaldag
(BSD-3), called unchanged: for each cell of a grid of levels and each subsample, pairs with
different precisions, then pairs whose regression coefficients differ given every small conditioning
set, then orientation by invariant residual variances. S[g, i, j] is the share of subsamples in
which edge i -> j is changed in grid cell g.

Readings (variants)
    stability  node j scores sum_i mean_g S[g, i, j], its changed incoming edges: what worked best
               here
    graph      node j's share of changed incoming edges in the returned graph, max_g S[g, i, j] >
               stability_threshold: the published reading

Parameters (the CDN paper's)
    alpha_ug, alpha_skeleton, alpha_orient
                         levels of the three phases: (.001, .01) x (.1, .5) x (.001, .01)
    max_set_size         largest conditioning set: 3 (2 for cells)
    bootstraps           subsamples: 50 (10 for cells)
    sample_fraction      their share of the rows: .7
    edge_threshold       0; read by causaldag's KLIEP variant only
    stability_threshold  .5, of `graph`
    max_rows             rows used of a data set, drawn at random: 1000

By construction it sees neither a shift of means nor an intervention on a root.

Deviations from the reference
    - Variables are in units of their observational standard deviation: nothing changes but that
      causaldag, which takes variances below 1e-8 for zero, works in any units.
    - A variable that is constant before or after is left out, since no regression on it is defined
      (causaldag raises), and scores NaN. Collinear columns get a jitter of 1e-4 standard
      deviations.
    - `random_state` comes from (regime, seed) instead of 0; the global generators that it reseeds
      are restored afterwards. Variables are ordered by content, not by column.

Reference: https://github.com/uhlerlab/causaldag, 0.1a163. Licence of the algorithm: BSD-3; of this
file: MIT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cdnbench.errors import CannotRun
from cdnbench.method import MethodInfo, Trial
from cdnbench.methods.causaldag import is_singular, jittered, quarantine, quiet_import, thinned
from cdnbench.methods.dci.parameters import TAKES
from cdnbench.relabelling import in_canonical_order, task_generator
from cdnbench.task import Task


def _timeout_s(sizes) -> float:
    # mean 2 to 15 s per regime at N = 10 (once 130) and 17 s at N = 20, with 1-3 targets; times 6
    # or more
    return 120.0 + 100.0 * (sizes.n_variables / 10) ** 2 * sizes.n_regimes


@dataclass(frozen=True)
class DCIReference:
    """Difference causal inference with stability selection, by causaldag."""

    alpha_ug: tuple[float, ...] = (0.001, 0.01)
    alpha_skeleton: tuple[float, ...] = (0.1, 0.5)
    alpha_orient: tuple[float, ...] = (0.001, 0.01)
    max_set_size: int = 3
    bootstraps: int = 50
    sample_fraction: float = 0.7
    edge_threshold: float = 0.0
    stability_threshold: float = 0.5
    max_rows: int = 1000

    info: ClassVar[MethodInfo] = MethodInfo(
        name="dci-reference",
        summary="Difference causal inference with stability selection, by causaldag: the "
        "reference of dci",
        citation="Belyaeva, Squires, Uhler 2021, DCI: learning causal differences between gene "
        "regulatory networks, "
        "Bioinformatics 37",
        licence="BSD-3-Clause",
        reference="https://github.com/uhlerlab/causaldag",
        variants=("stability", "graph"),
        stochastic=True,
        default=False,  # minutes per task
        preload=("causaldag",),
        timeout_s=_timeout_s,
        min_samples=6,
        trial=Trial(
            parameters={
                "bootstraps": 10,
                "alpha_ug": (0.01,),
                "alpha_skeleton": (0.1,),
                "alpha_orient": (0.01,),
                "max_set_size": 2,
            }
        ),
        takes=TAKES,
    )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) stability scores >= 0, in edges."""
        return self.predict_outputs(task, seed=seed)["stability"]

    def predict_outputs(self, task: Task, *, seed: int = 0) -> dict[str, np.ndarray]:
        """`stability` and `graph`, each (R, N). A regime's scores do not depend on the other
        regimes.

        Raises
        ------
        CannotRun: too few rows for a subsample's regressions, or no regime with two variables that
        vary.
        """
        rows = int(self.sample_fraction * min(task.n_samples, self.max_rows))
        if rows <= task.n_variables + 1:
            raise CannotRun(
                f"subsamples of {rows} rows; the precision matrix of {task.n_variables} variables "
                "needs more than "
                f"{task.n_variables + 1}"
            )
        regimes = [
            in_canonical_order(task.regime(r), lambda single: self._solve(single, seed))
            for r in range(task.n_regimes)
        ]
        outputs = {
            variant: np.concatenate([regime[variant] for regime in regimes])
            for variant in self.info.variants
        }
        if np.isnan(outputs["stability"]).all():
            raise CannotRun(
                "fewer than two variables vary before and after, and DCI compares their regressions"
            )
        return outputs

    def _solve(self, task: Task, seed: int) -> dict[str, np.ndarray]:
        """Both readings of a single-regime task, each (1, N)."""
        generator = task_generator(task, self.info.name, seed)
        before, after = (
            thinned(x, self.max_rows, generator) for x in (task.observational, task.regimes[0])
        )
        varies = (np.ptp(before, axis=0) > 0) & (np.ptp(after, axis=0) > 0)
        scale = np.where(varies, before.std(axis=0), 1.0)
        before, after = before / scale, after / scale
        scores = {variant: np.full((1, task.n_variables), np.nan) for variant in self.info.variants}
        if varies.sum() > 1:
            graph, stability = self._difference(before[:, varies], after[:, varies], generator)
            scores["stability"][0, varies] = stability.mean(axis=0).sum(axis=0)
            scores["graph"][0, varies] = graph.sum(axis=0) / (len(graph) - 1)
        return scores

    def _difference(
        self, before: np.ndarray, after: np.ndarray, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """causaldag's changed edges (N, N), i -> j, and their stability (grid, N, N)."""
        random_state = int(generator.integers(2**32))
        try:
            if not is_singular(before) and not is_singular(after):
                return self._call(before, after, random_state)
        except np.linalg.LinAlgError:
            pass  # a column was constant in a subsample
        try:
            return self._call(jittered(before, generator), jittered(after, generator), random_state)
        except np.linalg.LinAlgError as error:
            raise CannotRun(
                f"causaldag met a singular regression that a jitter does not cure ({error})"
            ) from None

    def _call(
        self, before: np.ndarray, after: np.ndarray, random_state: int
    ) -> tuple[np.ndarray, np.ndarray]:
        causaldag = quiet_import("causaldag")
        with quarantine(random_state):
            return causaldag.dci_stability_selection(
                before,
                after,
                alpha_ug_grid=list(self.alpha_ug),
                alpha_skeleton_grid=list(self.alpha_skeleton),
                alpha_orient_grid=list(self.alpha_orient),
                max_set_size=self.max_set_size,
                edge_threshold=self.edge_threshold,
                sample_fraction=self.sample_fraction,
                n_bootstrap_iterations=self.bootstraps,
                bootstrap_threshold=self.stability_threshold,
                n_jobs=1,
                random_state=random_state,
            )
