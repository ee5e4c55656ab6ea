"""Metrics of one ranking per regime, exact under ties and vectorised over regimes.

`evaluate(scores, targets, candidates)` looks at candidates only. A NaN score means "cannot say":
all NaN of a regime form one tie group below its numbers. A metric is NaN, and averages skip it,
where it is undefined: a regime without a target, or one whose candidates are all targets.

Write C for the number of candidates of a regime, T for its targets, and a tie group for a run of
equal scores.

>>> scores, targets = np.array([[3.0, 1.0, 2.0]]), np.array([[False, False, True]])
>>> float(evaluate(scores, targets)["average_precision"][0])
0.5
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

TOP = (1, 3, 5, 20)


@dataclass(frozen=True)
class MetricInfo:
    """best: the best possible value. ranked: whether methods may be ordered by it; secondary
    metrics never are."""

    name: str
    title: str
    summary: str
    best: float = 1.0
    ranked: bool = True


METRICS: Mapping[str, MetricInfo] = MappingProxyType(
    {
        info.name: info
        for info in (
            MetricInfo(
                "average_precision_tie",
                "mAP",
                "average precision in expectation over random orders within tie groups; what "
                "rankings use",
            ),
            MetricInfo(
                "average_precision",
                "mAP (grouped)",
                "average precision as scikit-learn computes it, ties grouped",
            ),
            MetricInfo(
                "auroc", "AUROC", "chance that a target outscores a non-target, ties one half"
            ),
            MetricInfo(
                "rank",
                "rank",
                "1 - (r - 1) / (C - 1), r the rank of a target among the non-targets; mean over "
                "targets",
            ),
            *(
                MetricInfo(
                    f"recall_at_{k}",
                    f"R@{k}",
                    f"share of min({k}, |T|) targets among the top {k}, ties in expectation",
                )
                for k in TOP
            ),
            MetricInfo(
                "coverage",
                "coverage",
                "share of the targets that have a score at all",
                ranked=False,
            ),
            MetricInfo(
                "rank_covered",
                "rank (covered)",
                "rank among the variables that have a score; secondary",
                ranked=False,
            ),
            MetricInfo(
                "top1_pearson",
                "top-1 r",
                "correlation of the true perturbation's profile with that of the first candidate "
                "that has one; 1 for a target",
            ),
            MetricInfo(
                "top1_profiled",
                "top-1 profiled",
                "whether the first candidate of all has a profile",
                ranked=False,
            ),
        )
    }
)


def evaluate(
    scores: np.ndarray,
    targets: np.ndarray,
    candidates: np.ndarray | None = None,
    profiles: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Every metric of every regime.

    Parameters
    ----------
    scores: (R, N) float, higher = more likely a target, NaN = cannot say, never infinite.
    targets, candidates: (R, N) bool; targets are candidates; all variables are candidates by
        default.
    profiles: (R, N) correlation of what perturbing each variable does with what was seen, NaN where
        that is not known.

    Returns
    -------
    Name -> (R,) float64, in the order of `METRICS`; NaN where undefined (`recall_at_k` also where k
    >= C).

    Raises
    ------
    ValueError: shapes that differ, infinite scores, or a target that is not a candidate.
    """
    scores = np.asarray(scores, dtype=np.float64)
    targets = np.asarray(targets, dtype=bool)
    candidates = np.ones_like(targets) if candidates is None else np.asarray(candidates, dtype=bool)
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
    order = _Order.of(scores, targets, candidates)
    covered = candidates & ~np.isnan(scores)
    auroc = order.auroc()
    values = {
        "average_precision_tie": order.average_precision_tie(),
        "average_precision": order.average_precision(),
        "auroc": auroc,
        # r - 1 counts the non-targets above and half of those beside, and C := C - |T| + 1: the
        # same number as auroc.
        "rank": auroc.copy(),
        **{f"recall_at_{k}": order.recall_at(k) for k in TOP},
        "coverage": _ratio((targets & covered).sum(axis=1), targets.sum(axis=1)),
        "rank_covered": _Order.of(scores, targets & covered, covered).auroc(),
        **_top_profile(scores, candidates, profiles),
    }
    return {name: values[name] for name in METRICS}


def _top_profile(
    scores: np.ndarray, candidates: np.ndarray, profiles: np.ndarray | None
) -> dict[str, np.ndarray]:
    if profiles is None or np.isnan(profiles).all():
        nothing = np.full(len(scores), np.nan)
        return {"top1_pearson": nothing, "top1_profiled": nothing.copy()}
    known = candidates & ~np.isnan(profiles)
    value = np.where(np.isnan(scores), -np.inf, scores)

    def mean_of_first(among: np.ndarray, of: np.ndarray) -> np.ndarray:
        best = np.where(among, value, -np.inf).max(axis=1, keepdims=True)
        first = among & (value == best)
        return _ratio(np.where(first, of, 0.0).sum(axis=1), first.sum(axis=1).astype(float))

    any_known = known.any(axis=1)
    return {
        "top1_pearson": np.where(any_known, mean_of_first(known, profiles), np.nan),
        "top1_profiled": np.where(
            any_known, mean_of_first(candidates, known.astype(float)), np.nan
        ),
    }


@dataclass(frozen=True)
class _Order:
    """The regimes' variables by falling score, non-candidates last. Arrays are (R, N), position by
    position.

    target: is it one. start, end: positions before its tie group, and through it. hits_before,
        hits: targets before its
    tie group, and inside it. n_targets, n_candidates: (R, 1).
    """

    target: np.ndarray
    start: np.ndarray
    end: np.ndarray
    hits_before: np.ndarray
    hits: np.ndarray
    n_targets: np.ndarray
    n_candidates: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, targets: np.ndarray, candidates: np.ndarray) -> _Order:
        n_regimes, n_variables = scores.shape
        loss = -np.where(np.isnan(scores), -np.inf, scores)
        order = np.lexsort((loss, ~candidates), axis=1)
        loss, target, candidate = (
            np.take_along_axis(a, order, axis=1) for a in (loss, targets & candidates, candidates)
        )
        position = np.broadcast_to(np.arange(n_variables), loss.shape)
        opens = np.ones(loss.shape, bool)
        opens[:, 1:] = (loss[:, 1:] != loss[:, :-1]) | (candidate[:, 1:] != candidate[:, :-1])
        closes = np.ones(loss.shape, bool)
        closes[:, :-1] = opens[:, 1:]
        start = np.maximum.accumulate(np.where(opens, position, 0), axis=1)
        end = np.minimum.accumulate(np.where(closes, position + 1, n_variables)[:, ::-1], axis=1)[
            :, ::-1
        ]
        counts = np.zeros((n_regimes, n_variables + 1), dtype=np.int64)
        np.cumsum(target, axis=1, out=counts[:, 1:])
        hits_before = np.take_along_axis(counts, start, axis=1)
        return cls(
            target=target,
            start=start,
            end=end,
            hits_before=hits_before,
            hits=np.take_along_axis(counts, end, axis=1) - hits_before,
            n_targets=target.sum(axis=1, keepdims=True),
            n_candidates=candidate.sum(axis=1, keepdims=True),
        )

    def average_precision(self) -> np.ndarray:
        """Sum over tie groups of (gain in recall) x (precision at the group's end)."""
        return self._mean_over_targets(self.target * (self.hits_before + self.hits) / self.end)

    def average_precision_tie(self) -> np.ndarray:
        """Position i of a group of n with p targets holds one with chance p / n, and then the
        group's i - 1 positions above hold (i - 1) (p - 1) / (n - 1) more in expectation."""
        size = self.end - self.start
        position = np.arange(self.target.shape[1])
        above = position - self.start
        expected_hits = self.hits_before + 1 + above * (self.hits - 1) / np.maximum(size - 1, 1)
        return self._mean_over_targets(self.hits / size * expected_hits / (position + 1))

    def auroc(self) -> np.ndarray:
        """Mean over targets of (non-targets below + half of those beside) / non-targets."""
        n_others = self.n_candidates - self.n_targets
        others_beside = self.end - self.start - self.hits
        others_above = self.start - self.hits_before
        beaten = n_others - others_above - others_beside / 2
        return self._mean_over_targets(self.target * beaten / np.maximum(n_others, 1))

    def recall_at(self, k: int) -> np.ndarray:
        """Targets of a group that lies across position k are in the top k with chance (places left)
        / (group size)."""
        chance = np.clip((k - self.start) / (self.end - self.start), 0, 1)
        recall = (self.target * chance).sum(axis=1) / np.maximum(np.minimum(k, self.n_targets), 1)[
            :, 0
        ]
        return np.where(self._defined & (k < self.n_candidates[:, 0]), recall, np.nan)

    @property
    def _defined(self) -> np.ndarray:
        return ((self.n_targets > 0) & (self.n_targets < self.n_candidates))[:, 0]

    def _mean_over_targets(self, terms: np.ndarray) -> np.ndarray:
        return np.where(self._defined, _ratio(terms.sum(axis=1), self.n_targets[:, 0]), np.nan)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
