"""The places of the targets in rankings, exact under ties: what the metrics are computed from.

A tie group is a run of equal scores. A regime with many targets, or with a target in a tie group,
is sorted. All that the metrics ask of any other is how many candidates lie above each of its one or
two targets, and counting them is much cheaper than sorting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranking:
    """The candidates of each regime by falling score.

    n_regimes: R. parts: (indices of regimes, their order); the last that has a regime counts.
    """

    n_regimes: int
    parts: tuple[tuple[np.ndarray, Order], ...]

    @classmethod
    def of(cls, scores: np.ndarray, targets: np.ndarray, candidates: np.ndarray) -> Ranking:
        """
        Parameters
        ----------
        scores: (R, N) float64, NaN = "cannot say". All NaN form one tie group below the numbers.
        targets, candidates: (R, N) bool.
        """
        arrays = scores, targets & candidates, candidates
        return cls(len(scores), tuple(_parts(*arrays)))

    def but(self, regimes: np.ndarray, other: Ranking) -> Ranking:
        """The ranking with these regimes from another one, which has them alone."""
        parts = tuple((regimes[rows], order) for rows, order in other.parts)
        return Ranking(self.n_regimes, self.parts + parts)

    def average_precision(self) -> np.ndarray:
        """(R,) sum over tie groups of (gain in recall) x (precision at the group's end)."""
        return self._each(Order.average_precision)

    def average_precision_tie(self) -> np.ndarray:
        """(R,) average precision in expectation over random orders within tie groups."""
        return self._each(Order.average_precision_tie)

    def auroc(self) -> np.ndarray:
        """(R,) mean over targets of (non-targets below + half of those beside) / non-targets."""
        return self._each(Order.auroc)

    def recall_at(self, k: int) -> np.ndarray:
        """(R,) share of min(k, |T|) targets among the top k, ties in expectation."""
        return self._each(lambda order: order.recall_at(k))

    def _each(self, metric: Callable[[Order], np.ndarray]) -> np.ndarray:
        found = np.full(self.n_regimes, np.nan)
        for rows, order in self.parts:
            found[rows] = metric(order)
        return found


def count(mask: np.ndarray) -> np.ndarray:
    """(R,) int64: how many are true in each row of (R, N) bool."""
    found = np.einsum("ij->i", mask.view(np.uint8), dtype=np.int32, casting="unsafe")
    return found.astype(np.int64)  # a plain sum takes three times as long where rows are short


def _parts(
    scores: np.ndarray, targets: np.ndarray, candidates: np.ndarray
) -> Iterator[tuple[np.ndarray, Order]]:
    every = np.arange(len(scores))
    few = np.flatnonzero(count(targets) <= _FEW)
    counted = [a if len(few) == len(every) else a[few] for a in (scores, targets, candidates)]
    order, tied = Order.by_counting(*counted)
    if len(few):
        yield few, order  # those of them that are tied are overwritten by the next
    left = np.ones(len(scores), bool)
    left[few] = tied
    if left.any():
        yield every[left], Order.by_sorting(scores[left], targets[left], candidates[left])


@dataclass(frozen=True)
class Order:
    """Places in the rankings of regimes, (regimes, places): all of them, or those of the targets.

    target: whether the variable at the place is one.
    position: of the place, from 0.
    start, end: how many positions lie before its tie group, and through it.
    hits_before, hits: how many targets lie before its tie group, and inside it.
    n_targets, n_candidates: (regimes, 1).
    """

    target: np.ndarray
    position: np.ndarray
    start: np.ndarray
    end: np.ndarray
    hits_before: np.ndarray
    hits: np.ndarray
    n_targets: np.ndarray
    n_candidates: np.ndarray

    @classmethod
    def by_counting(
        cls, scores: np.ndarray, targets: np.ndarray, candidates: np.ndarray
    ) -> tuple[Order, np.ndarray]:
        """The places of at most two targets in each regime, and (regimes,) whether one of them is
        tied: there the places are wrong."""
        rows = np.arange(len(scores))
        values = np.where(np.isnan(scores), -np.inf, scores)
        values[~candidates] = np.nan  # which no comparison counts
        n_targets = count(targets)
        columns = [targets.argmax(axis=1)]
        if n_targets.max(initial=0) > 1:
            columns.append(targets.shape[1] - 1 - targets[:, ::-1].argmax(axis=1))
        own = [values[rows, column] for column in columns]
        above = np.column_stack([count(values > each[:, None]) for each in own])
        reached = np.column_stack([count(values >= each[:, None]) for each in own])
        target = n_targets[:, None] > np.arange(len(columns))
        before = np.zeros_like(above)
        if len(columns) > 1:
            both = target[:, 1]
            before[:, 0], before[:, 1] = both & (own[1] > own[0]), both & (own[0] > own[1])
        start = np.where(target, above, 0)
        order = cls(
            target=target,
            position=start,
            start=start,
            end=start + 1,
            hits_before=before,
            hits=target.astype(np.int64),
            n_targets=n_targets[:, None],
            n_candidates=count(candidates)[:, None],
        )
        return order, np.asarray((target & (reached - above > 1)).any(axis=1))

    @classmethod
    def by_sorting(cls, scores: np.ndarray, targets: np.ndarray, candidates: np.ndarray) -> Order:
        """All places of each regime, non-candidates last."""
        n_regimes, n_variables = scores.shape
        loss = -np.where(np.isnan(scores), -np.inf, scores)
        order = (
            np.argsort(loss, axis=1, kind="stable")
            if candidates.all()
            else np.lexsort((loss, ~candidates), axis=1)
        )
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
            position=position,
            start=start,
            end=end,
            hits_before=hits_before,
            hits=np.take_along_axis(counts, end, axis=1) - hits_before,
            n_targets=target.sum(axis=1, keepdims=True),
            n_candidates=candidate.sum(axis=1, keepdims=True),
        )

    def average_precision(self) -> np.ndarray:
        return self._mean_over_targets(self.target * (self.hits_before + self.hits) / self.end)

    def average_precision_tie(self) -> np.ndarray:
        """In a tie group of n with p targets, position i holds a target with chance p / n. If it
        does, the i - 1 positions of the group above it hold (i - 1) (p - 1) / (n - 1) more in
        expectation."""
        size = self.end - self.start
        above = self.position - self.start
        expected_hits = self.hits_before + 1 + above * (self.hits - 1) / np.maximum(size - 1, 1)
        return self._mean_over_targets(self.hits / size * expected_hits / (self.position + 1))

    def auroc(self) -> np.ndarray:
        n_others = self.n_candidates - self.n_targets
        others_beside = self.end - self.start - self.hits
        others_above = self.start - self.hits_before
        beaten = n_others - others_above - others_beside / 2
        return self._mean_over_targets(self.target * beaten / np.maximum(n_others, 1))

    def recall_at(self, k: int) -> np.ndarray:
        """Where a tie group lies across position k, each of its targets is in the top k with the
        chance (places left) / (group size)."""
        chance = np.clip((k - self.start) / (self.end - self.start), 0, 1)
        recall = (self.target * chance).sum(axis=1) / np.maximum(np.minimum(k, self.n_targets), 1)[
            :, 0
        ]
        return np.where(self._defined & (k < self.n_candidates[:, 0]), recall, np.nan)

    @property
    def _defined(self) -> np.ndarray:
        return ((self.n_targets > 0) & (self.n_targets < self.n_candidates))[:, 0]

    def _mean_over_targets(self, terms: np.ndarray) -> np.ndarray:
        return np.where(self._defined, ratio(terms.sum(axis=1), self.n_targets[:, 0]), np.nan)


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


_FEW = 2
"""The most targets of a regime that is not sorted. Sums of two numbers do not depend on their
order, so that both ways give the same bits."""
