"""DCI with stability selection: the edges whose regressions differ between two data sets, one
regime at a time.

Wang, Squires, Belyaeva, Uhler 2018, Direct estimation of differences in causal graphs, NeurIPS (the
algorithm, with constraint-based initialisation). Belyaeva, Squires, Uhler 2021, DCI: learning
causal differences between gene regulatory networks, Bioinformatics 37:3067 (stability selection).
For every subsample of both data sets and every cell of a grid of levels (alpha_ug, alpha_skeleton,
alpha_orient):

    1. difference graph  the pairs i - j whose precisions differ; the variables of these pairs may
    be conditioned on
    2. skeleton          of these, the pairs whose regression coefficients differ in both
                         directions, given every conditioning set of up to max_set_size variables
    3. orientation       towards x_i from the members of the first conditioning set (by size up to
                         max_set_size + 1, then by p) given which the residual variance of x_i is
                         invariant, and from x_i to its other neighbours; then along directed paths;
                         a pair left over counts in both directions

S[g, i, j] is the share of subsamples in which edge i -> j is changed in grid cell g.
`skeleton.py` has the equations of phases 1 and 2, `orientation.py` those of phase 3.

This is an implementation of our own. The skeleton does not depend on the order of tests, and no
level of the grid changes a statistic, so each test is made once for all cells of the grid. It is
made of covariance matrices of the subsamples, after which the number of rows no longer matters, and
of their Schur complements, in compiled loops. Given the same subsamples it returns causaldag's
edges (golden tests; `dci-reference` is causaldag itself). All regimes share the observational
subsamples. The first call in an installation compiles the loops, which takes some ten seconds;
they are then kept on disk.

Readings (variants)
    stability  node j scores sum_i mean_g S[g, i, j], its changed incoming edges: what worked best
               here
    graph      node j's share of changed incoming edges in the graph max_g S[g, i, j] >
               stability_threshold: the published reading

Parameters (the CDN paper's)
    alpha_ug, alpha_skeleton, alpha_orient
                         levels of the three phases: (.001, .01) x (.1, .5) x (.001, .01)
    max_set_size         largest conditioning set: 3 (2 for cells)
    bootstraps           subsamples: 50 (10 for cells)
    sample_fraction      their share of the rows: .7
    edge_threshold       0; kept for its name: only causaldag's KLIEP variant reads it
    stability_threshold  .5, of `graph`
    counted              "incoming" edges of a node, or "incident": incoming and outgoing ones
    indicator            False; True: `graph` says 1 for any changed edge of the node, else 0
    max_rows             rows used of a data set, drawn at random: 1000

By construction it sees neither a shift of means nor an intervention on a root.

Deviations from the reference
    - The subsamples of the two data sets are drawn independently; causaldag reseeds between them,
      so that the first pair has the same row numbers. They come from (data, seed), not from
      `random_state` 0.
    - A regression coefficient whose variance is not positive, or a p that is not a number, removes
      no pair (as there).
    - More than 100,000 admissible sets of one size for one variable in one subsample (N > 40): the
      best 100,000 count.
    - Variables are ordered by the content of their observational column, and in units of its
      standard deviation.
    - A variable that is constant before or after is left out, since no regression on it is defined
      (causaldag raises), and scores NaN. A data set with collinear columns, in all rows or a
      subsample, gets a jitter of 1e-4 standard deviations.

Reference: https://github.com/uhlerlab/causaldag, 0.1a163 (BSD-3). Licence of this file: MIT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cdnbench.digest import generator
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.method import MethodInfo, Trial
from cdnbench.methods.causaldag import jittered, thinned
from cdnbench.methods.dci.covariances import Covariances, covariances
from cdnbench.methods.dci.orientation import orient
from cdnbench.methods.dci.parameters import TAKES
from cdnbench.methods.dci.skeleton import difference_graphs, skeletons
from cdnbench.ranges import one_of
from cdnbench.relabelling import contents, in_canonical_order
from cdnbench.task import Task

_LARGEST_CONDITION = (
    1e10  # of a subsample's correlation matrix; beyond it float32 samples are collinear
)


def _timeout_s(sizes) -> float:
    # mean 8 ms per regime at N = 10 and 17 ms at N = 20, and once the compilation; far more where
    # much has changed
    return 120.0 + sizes.n_regimes * (1.0 + 0.01 * sizes.n_variables**2)


@dataclass(frozen=True)
class DCI:
    """Difference causal inference with stability selection."""

    alpha_ug: tuple[float, ...] = (0.001, 0.01)
    alpha_skeleton: tuple[float, ...] = (0.1, 0.5)
    alpha_orient: tuple[float, ...] = (0.001, 0.01)
    max_set_size: int = 3
    bootstraps: int = 50
    sample_fraction: float = 0.7
    edge_threshold: float = 0.0
    stability_threshold: float = 0.5
    counted: Literal["incoming", "incident"] = "incoming"
    indicator: bool = False
    max_rows: int = 1000

    info: ClassVar[MethodInfo] = MethodInfo(
        name="dci",
        summary="Difference causal inference with stability selection, one regime at a time",
        version="2",
        citation="Belyaeva, Squires, Uhler 2021, DCI: learning causal differences between gene "
        "regulatory networks, "
        "Bioinformatics 37",
        licence="MIT",
        reference="https://github.com/uhlerlab/causaldag",
        variants=("stability", "graph"),
        stochastic=True,
        default_up_to=60,
        preload=("scipy.special", "cdnbench.methods.dci.warm"),
        timeout_s=_timeout_s,
        min_samples=6,
        trial=Trial(parameters={"bootstraps": 10}),
        takes=TAKES | {"counted": one_of("incoming", "incident")},
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
        InvalidParameter: `counted` is neither of its values.
        """
        if self.counted not in ("incoming", "incident"):
            raise InvalidParameter(
                f"dci: counted takes incoming or incident; got {self.counted!r}."
            )
        rows = int(self.sample_fraction * min(task.n_samples, self.max_rows))
        if rows <= task.n_variables + 1:
            raise CannotRun(
                f"subsamples of {rows} rows; the precision matrix of {task.n_variables} variables "
                "needs more than "
                f"{task.n_variables + 1}"
            )
        outputs = in_canonical_order(task, lambda ordered: self._solve(ordered, seed))
        if np.isnan(outputs["stability"]).all():
            raise CannotRun(
                "fewer than two variables vary before and after, and DCI compares their regressions"
            )
        return outputs

    def _solve(self, task: Task, seed: int) -> dict[str, np.ndarray]:
        # by observational columns alone, so that the order does not depend on the other regimes
        # either
        identities = contents(task.observational)
        order = np.array(sorted(range(task.n_variables), key=identities.__getitem__))
        stream = generator("method", self.info.name, seed, sorted(identities))
        observational = thinned(task.observational, self.max_rows, stream)[:, order]
        varied = np.ptp(observational, axis=0) > 0
        scale = np.where(varied, observational.std(axis=0), 1.0)
        before = self._subsampled(observational[:, varied] / scale[varied], stream)
        outputs = {
            variant: np.full((task.n_regimes, task.n_variables), np.nan)
            for variant in self.info.variants
        }
        for r, regime in enumerate(task.regimes):
            stream = generator(
                "method", self.info.name, seed, sorted(identities), sorted(contents(regime))
            )
            samples = thinned(regime, self.max_rows, stream)[:, order] / scale
            varies = varied & (np.ptp(samples, axis=0) > 0)
            if varies.sum() < 2:
                continue
            after = self._subsampled(samples[:, varies], stream)
            counts = changed_edges(
                before.select(np.flatnonzero(varies[varied])),
                after,
                self.alpha_ug,
                self.alpha_skeleton,
                self.alpha_orient,
                self.max_set_size,
            )
            for variant, scores in self._readings(counts).items():
                outputs[variant][r, order[varies]] = scores
        return outputs

    def _subsampled(self, samples: np.ndarray, stream: np.random.Generator) -> Covariances:
        """Covariances of subsamples of (n, N) samples, jittered where they are singular."""
        n = len(samples)
        rows = int(self.sample_fraction * n)
        subsamples = stream.permuted(np.tile(np.arange(n), (self.bootstraps, 1)), axis=1)[:, :rows]
        result = Covariances(covariances(samples, subsamples), rows)
        if samples.shape[1] > 1 and result.largest_condition() > _LARGEST_CONDITION:
            result = Covariances(covariances(jittered(samples, stream), subsamples), rows)
        return result

    def _readings(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Node scores (N,) of each variant, from counts (alpha_ug, alpha_skeleton, alpha_orient, N,
        N)."""
        n = counts.shape[-1]
        graph = counts.max(axis=(0, 1, 2)) > self.stability_threshold * self.bootstraps
        total = counts.sum(axis=(0, 1, 2))
        if self.counted == "incident":
            graph, total = graph | graph.T, total + total.T
        n_changed = graph.sum(axis=0)
        cells = int(np.prod(counts.shape[:3]))
        return {
            "stability": total.sum(axis=0) / (cells * self.bootstraps),
            "graph": (n_changed > 0).astype(float) if self.indicator else n_changed / (n - 1),
        }


def changed_edges(
    before: Covariances,
    after: Covariances,
    alpha_ug: Sequence[float],
    alpha_skeleton: Sequence[float],
    alpha_orient: Sequence[float],
    max_set_size: int,
) -> np.ndarray:
    """In how many subsamples i -> j is a changed edge: (alpha_ug, alpha_skeleton, alpha_orient, N,
    N) integers.

    before, after: covariances of as many subsamples of either data set, on the same N variables.
    The levels are taken in increasing order. A pair without direction counts in both.
    """
    levels = [
        np.unique(np.asarray(alpha, dtype=float))
        for alpha in (alpha_ug, alpha_skeleton, alpha_orient)
    ]
    n = before.n_variables
    counts = np.zeros((*map(len, levels), n, n), dtype=np.int64)
    pair_level = difference_graphs(before, after, levels[0])
    used = np.flatnonzero((pair_level < len(levels[0])).any(axis=(0, 1)))
    if len(used):
        before, after = before.select(used), after.select(used)
        kept = skeletons(before, after, pair_level[:, used][:, :, used], levels[1], max_set_size)
        counts[..., used[:, None], used] = orient(
            before, after, kept, levels[2], max_set_size, used
        )
    return counts
