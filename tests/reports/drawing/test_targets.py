"""Places of targets agree with the metrics of the same scores."""

from __future__ import annotations

import numpy as np
import pytest

from cdnbench.metrics import measure
from cdnbench.reports import build
from cdnbench.reports.drawing.targets import in_top, target_places
from cdnbench.reports.figures.recall import precision_recall
from cdnbench.truth import Truth


@pytest.fixture
def made(make_store):
    """Random scores with ties and gaps, several targets, candidates that leave out some."""
    rng = np.random.default_rng(0)
    store = make_store()
    targets = np.zeros((30, 12), bool)
    for row in targets:
        row[rng.choice(12, rng.integers(1, 4), replace=False)] = True
    candidates = targets | (rng.uniform(size=targets.shape) < 0.8)
    scores = rng.integers(0, 5, targets.shape).astype(float)
    scores[rng.uniform(size=targets.shape) < 0.1] = np.nan
    task = store.task("t", targets, candidates=candidates)
    store.job("m", task, scores)
    return build(store.store).results, measure(scores, Truth(targets=targets), candidates)


def test_recall_at_k_is_the_metric(made):
    results, metrics = made
    places = target_places(results, results.readings.index.to_list())
    for k in (1, 3, 5):
        hits = in_top(places, np.array([k]))[:, 0]
        found = np.bincount(places["regime"], hits) / np.minimum(k, np.bincount(places["regime"]))
        assert found == pytest.approx(metrics[f"recall_at_{k}"], nan_ok=True)


def test_precision_and_recall_of_all_candidates(made):
    results, _ = made
    places = target_places(results, results.readings.index.to_list())
    own = places[places["n_targets"] == 2].assign(setting="s", dataset="d")
    k = np.array([1.0, 12.0])
    recall, precision = precision_recall(own, k)
    assert recall[-1] == 1 and precision[-1] == pytest.approx(2 / 12)
    first = in_top(own, np.array([1.0]))[:, 0].sum() / own["regime"].nunique()
    assert precision[0] == pytest.approx(first)


def test_a_reading_that_did_not_finish_has_no_places(make_store):
    store = make_store()
    store.job("slow", store.task("t", np.eye(2, dtype=bool)), status="timeout")
    results = build(store.store).results
    assert target_places(results, results.readings.index.to_list()).empty
