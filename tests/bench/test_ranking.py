"""Counting what lies above a target gives the very bits that sorting gives."""

from __future__ import annotations

import numpy as np
import pytest

from cdnbench.ranking import Order, Ranking, count

METRICS = [
    Order.average_precision,
    Order.average_precision_tie,
    Order.auroc,
    lambda order: order.recall_at(1),
    lambda order: order.recall_at(5),
]


def regimes(levels: int | None, most: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """500 regimes of 12 variables with up to `most` targets, some without a score or no
    candidates."""
    rng = np.random.default_rng(seed)
    shape = (500, 12)
    scores = rng.normal(size=shape) if levels is None else rng.integers(levels, size=shape) * 1.0
    scores[rng.random(shape) < 0.1] = np.nan
    targets = rng.permuted(np.arange(12) < rng.integers(0, most + 1, size=500)[:, None], axis=1)
    return scores, targets, targets | (rng.random(shape) < 0.8)


@pytest.mark.parametrize("levels", [None, 3, 40])
@pytest.mark.parametrize("most", [1, 2])
def test_counting_equals_sorting_where_no_target_is_tied(levels, most):
    scores, targets, candidates = regimes(levels, most, 1)
    counted, tied = Order.by_counting(scores, targets, candidates)
    whole = Order.by_sorting(scores, targets, candidates)
    for metric in METRICS:
        np.testing.assert_array_equal(metric(counted)[~tied], metric(whole)[~tied])
    beside = whole.target & (whole.end - whole.start > 1)
    np.testing.assert_array_equal(tied, beside.any(axis=1))


@pytest.mark.parametrize("levels", [None, 3, 40])
def test_a_ranking_equals_sorting_whatever_its_regimes_are(levels):
    scores, targets, candidates = regimes(levels, 4, 2)
    ranking = Ranking.of(scores, targets, candidates)
    whole = Order.by_sorting(scores, targets, candidates)
    np.testing.assert_array_equal(ranking.average_precision_tie(), whole.average_precision_tie())
    np.testing.assert_array_equal(ranking.average_precision(), whole.average_precision())
    np.testing.assert_array_equal(ranking.auroc(), whole.auroc())
    np.testing.assert_array_equal(ranking.recall_at(3), whole.recall_at(3))


def test_some_regimes_of_a_ranking_are_replaced():
    scores, targets, candidates = regimes(None, 2, 3)
    some = np.array([3, 7, 200])
    other = Ranking.of(-scores[some], targets[some], candidates[some])
    found = Ranking.of(scores, targets, candidates).but(some, other).auroc()
    expected = Ranking.of(scores, targets, candidates).auroc()
    expected[some] = other.auroc()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (4, 7), (2, 1000)])
def test_count(shape):
    mask = np.random.default_rng(0).random(shape) < 0.7
    np.testing.assert_array_equal(count(mask), mask.sum(axis=1))
    turned = np.asfortranarray(mask)
    np.testing.assert_array_equal(count(turned), mask.sum(axis=1))
