"""Metrics of one ranking per regime, exact under ties and vectorised over regimes.

`evaluate(scores, targets, candidates)` looks at candidates only. A NaN score means "cannot say":
all NaN of a regime form one tie group below its numbers. A metric of the ranking is undefined for a
regime without a target, and for one whose candidates are all targets. It is NaN there, and averages
leave it out. `coverage` and `top_score` say so themselves.

C is the number of candidates of a regime, T its targets, and a tie group is a run of equal scores.
A new metric is one more entry of `METRICS`, at the end of this file.

>>> scores, targets = np.array([[3.0, 1.0, 2.0]]), np.array([[False, False, True]])
>>> float(evaluate(scores, targets)["average_precision"][0])
0.5
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np

from cdnbench.ranking import Ranking, count, ratio
from cdnbench.tabular import is_masked, yes_or_no
from cdnbench.task import ASKED
from cdnbench.truth import Truth

TOP = (1, 3, 5, 20)


@dataclass(frozen=True, eq=False)
class Scored:
    """The scores of R regimes beside the truth: what the function of a metric gets.

    scores: (R, N) float64, NaN = "cannot say". candidates: (R, N) bool. truth: see `Truth`.
    """

    scores: np.ndarray
    candidates: np.ndarray
    truth: Truth

    @property
    def targets(self) -> np.ndarray:
        """(R, N) bool."""
        return self.truth.targets

    @cached_property
    def covered(self) -> np.ndarray:
        """(R, N) bool: candidates that have a score."""
        return self.candidates & ~np.isnan(self.scores)

    @cached_property
    def order(self) -> Ranking:
        """The ranking of all candidates."""
        return Ranking.of(self.scores, self.targets, self.candidates)

    @cached_property
    def covered_order(self) -> Ranking:
        """The ranking of the candidates that have a score, with the targets among them."""
        covered = self.covered
        rows = np.flatnonzero((covered != self.candidates).any(axis=1))
        if not len(rows):
            return self.order
        own = Ranking.of(self.scores[rows], self.targets[rows], covered[rows])
        return self.order.but(rows, own)

    @cached_property
    def auroc(self) -> np.ndarray:
        """(R,) float64. Two metrics share it."""
        return self.order.auroc()


@dataclass(frozen=True)
class Metric:
    """One number per regime: what it is, and how it is computed.

    Parameters
    ----------
    name: the name in columns and files. title: the heading in tables. summary: one line.
    function: takes a `Scored` and returns (R,) float64, NaN where the metric is undefined.
    best: the best possible value. worst: the worst one, infinite where there is none or it is not
        known. Intervals keep to both.
    higher_is_better: the direction of rankings and of "best" marks.
    ranked: whether methods may be ordered by it. Secondary metrics are only shown.
    min_candidates: a regime with fewer candidates does not have this metric at all.
    """

    name: str
    title: str
    summary: str
    function: Callable[[Scored], np.ndarray]
    best: float = 1.0
    worst: float = -np.inf
    higher_is_better: bool = True
    ranked: bool = True
    min_candidates: int = 0

    def merit(self, values):
        """The values, with the sign that makes the better of two the larger one."""
        return values if self.higher_is_better else -values


def measure(scores: np.ndarray, truth: Truth, candidates: np.ndarray) -> dict[str, np.ndarray]:
    """Every metric of every regime.

    Parameters
    ----------
    scores: (R, N) float. Higher means more likely a target, NaN means "cannot say"; never infinite.
    truth: its targets must be candidates.
    candidates: (R, N) bool.

    Returns
    -------
    Name -> (R,) float64, in the order of `METRICS`; NaN where undefined.

    Raises
    ------
    ValueError: shapes that differ, scores that are infinite or masked, or a target that is not a
    candidate.
    """
    if is_masked(scores):
        raise ValueError("scores are masked in places; use NaN for 'cannot say'")
    scores = np.asarray(scores, dtype=np.float64)
    candidates = yes_or_no(candidates, "candidates", ASKED)
    targets = truth.targets
    if not scores.shape == targets.shape == candidates.shape or scores.ndim != 2:
        raise ValueError(
            f"scores {scores.shape}, targets {targets.shape} and candidates {candidates.shape} "
            "must all be (regimes, variables)"
        )
    if np.isinf(scores).any():
        raise ValueError("scores hold infinite values; use finite numbers, or NaN for 'cannot say'")
    if (targets & ~candidates).any():
        regime, variable = np.argwhere(targets & ~candidates)[0]
        raise ValueError(f"variable {variable} is a target of regime {regime} but not a candidate")
    scored = Scored(scores, candidates, truth)
    return {name: metric.function(scored) for name, metric in METRICS.items()}


def evaluate(
    scores: np.ndarray,
    targets: np.ndarray,
    candidates: np.ndarray | None = None,
    profiles: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """`measure` for plain arrays.

    Parameters
    ----------
    scores: (R, N) float, as in `measure`.
    targets, candidates: (R, N) bool. By default all variables are candidates.
    profiles: (R, N) float, as in `Truth`.

    Raises
    ------
    ValueError: as in `measure`.
    """
    truth = Truth(targets=targets, profiles=profiles)
    candidates = np.ones_like(truth.targets) if candidates is None else candidates
    return measure(scores, truth, candidates)


def _coverage(scored: Scored) -> np.ndarray:
    return ratio(count(scored.targets & scored.covered), count(scored.targets))


def _top1_pearson_covered(scored: Scored) -> np.ndarray:
    any_covered = (scored.targets & scored.covered).any(axis=1)
    return np.where(any_covered, _top1_pearson(scored), np.nan)


def _top1_pearson(scored: Scored) -> np.ndarray:
    profiles = scored.truth.profiles
    if profiles is None:
        return np.full(len(scored.scores), np.nan)
    known = scored.candidates & ~np.isnan(profiles)
    return np.where(known.any(axis=1), _mean_of_first(scored, known, profiles), np.nan)


def _top1_profiled(scored: Scored) -> np.ndarray:
    profiles = scored.truth.profiles
    if profiles is None:
        return np.full(len(scored.scores), np.nan)
    known = scored.candidates & ~np.isnan(profiles)
    share = _mean_of_first(scored, scored.candidates, known.astype(float))
    return np.where(known.any(axis=1), share, np.nan)


def _top_score(scored: Scored) -> np.ndarray:
    covered = scored.covered
    found = np.where(covered, scored.scores, -np.inf).max(axis=1, initial=-np.inf)
    return np.where(covered.any(axis=1), found, np.nan)


def _mean_of_first(scored: Scored, among: np.ndarray, of: np.ndarray) -> np.ndarray:
    """(R,) mean of `of` over the variables that tie for the first place among some."""
    value = np.where(np.isnan(scored.scores), -np.inf, scored.scores)
    best = np.where(among, value, -np.inf).max(axis=1, keepdims=True)
    first = among & (value == best)
    return ratio(np.where(first, of, 0.0).sum(axis=1), count(first).astype(float))


def _recall_at(k: int) -> Metric:
    return Metric(
        name=f"recall_at_{k}",
        title=f"R@{k}",
        summary=f"share of min({k}, |T|) targets among the top {k}; ties count as the "
        "mean over their orders",
        function=lambda scored: scored.order.recall_at(k),
        worst=0.0,
        min_candidates=k + 1,
    )


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric(
                "average_precision_tie",
                "mAP",
                "average precision; ties count as the mean over their orders; what rankings use",
                lambda scored: scored.order.average_precision_tie(),
                worst=0.0,
            ),
            Metric(
                "average_precision",
                "mAP (grouped)",
                "average precision as scikit-learn computes it, ties grouped",
                lambda scored: scored.order.average_precision(),
                worst=0.0,
            ),
            Metric(
                "auroc",
                "AUROC",
                "chance that a target outscores a non-target, ties one half",
                lambda scored: scored.auroc,
                worst=0.0,
            ),
            Metric(
                # r - 1 counts the non-targets above and half of those beside, and C stands for
                # C - |T| + 1: the same number as auroc.
                "rank",
                "rank",
                "1 - (r - 1) / (C - 1), r the rank of a target among the non-targets; mean over "
                "targets",
                lambda scored: scored.auroc.copy(),
                worst=0.0,
            ),
            *map(_recall_at, TOP),
            Metric(
                "coverage",
                "coverage",
                "share of the targets that have a score at all",
                _coverage,
                ranked=False,
            ),
            Metric(
                "rank_covered",
                "rank (covered)",
                "rank among the variables that have a score; secondary",
                lambda scored: scored.covered_order.auroc(),
                ranked=False,
            ),
            Metric(
                "recall_at_20_covered",
                "R@20 (covered)",
                "R@20 among the variables that have a score; secondary",
                lambda scored: scored.covered_order.recall_at(20),
                ranked=False,
                min_candidates=21,
            ),
            Metric(
                "top1_pearson_covered",
                "top-1 r (covered)",
                "top-1 r where a target has a score; secondary",
                _top1_pearson_covered,
                ranked=False,
            ),
            Metric(
                "top1_pearson",
                "top-1 r",
                "correlation of the true perturbation's profile with that of the first candidate "
                "that has one; 1 for a target",
                _top1_pearson,
                worst=-1.0,
            ),
            Metric(
                "top1_profiled",
                "top-1 profiled",
                "whether the first candidate of all has a profile",
                _top1_profiled,
                ranked=False,
            ),
            Metric(
                "top_score",
                "top score",
                "largest score of a candidate: how sure the method is that something moved, in its "
                "own units; targets do not matter",
                _top_score,
                best=np.inf,
                ranked=False,
            ),
        )
    }
)
"""All metrics by name: what tables know, and the order of columns."""
