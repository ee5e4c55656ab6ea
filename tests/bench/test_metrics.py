"""The metrics against scikit-learn, against slow loops, and against every order of the ties."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

import cdnbench.metrics
from cdnbench.metrics import METRICS, TOP, Metric, evaluate, measure
from cdnbench.truth import Truth

RNG = np.random.default_rng(7)


def random_regimes(
    n_regimes: int,
    n_variables: int,
    levels: int | None,
    nan_share: float = 0.0,
    mask_share: float = 0.0,
):
    """Scores with `levels` distinct values (None: no ties); targets and candidates with at least
    one of each kind."""
    shape = (n_regimes, n_variables)
    scores = (
        RNG.normal(size=shape) if levels is None else RNG.integers(levels, size=shape).astype(float)
    )
    scores[RNG.random(shape) < nan_share] = np.nan
    targets = np.zeros(shape, bool)
    candidates = RNG.random(shape) >= mask_share
    for r in range(n_regimes):
        chosen = RNG.permutation(n_variables)[: RNG.integers(1, max(2, n_variables // 2))]
        targets[r, chosen] = True
    candidates |= targets
    candidates[np.arange(n_regimes), targets.argmin(axis=1)] = True
    return scores, targets, candidates


def numbers(
    scores: np.ndarray, candidates: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """One regime's candidates as scikit-learn wants them, NaN below all numbers."""
    s = np.where(np.isnan(scores), -1e15, scores)[candidates]
    return targets[candidates], s


@pytest.mark.parametrize("levels", [None, 2, 4])
@pytest.mark.parametrize("nan_share", [0.0, 0.3])
def test_average_precision_and_auroc_equal_scikit_learn(levels, nan_share):
    scores, targets, candidates = random_regimes(60, 12, levels, nan_share, mask_share=0.2)
    found = evaluate(scores, targets, candidates)
    for r in range(len(scores)):
        y, s = numbers(scores[r], candidates[r], targets[r])
        assert found["average_precision"][r] == pytest.approx(
            average_precision_score(y, s), abs=1e-12
        )
        assert found["auroc"][r] == pytest.approx(roc_auc_score(y, s), abs=1e-12)


@pytest.mark.parametrize("nan_share", [0.0, 0.4])
def test_ties_are_the_mean_over_all_orders(nan_share):
    scores, targets, candidates = random_regimes(25, 6, 3, nan_share, mask_share=0.1)
    found = evaluate(scores, targets, candidates)
    for r in range(len(scores)):
        y, s = numbers(scores[r], candidates[r], targets[r])
        orders = [
            np.array(p)
            for p in itertools.permutations(range(len(s)))
            if np.all(np.diff(s[list(p)]) <= 0)
        ]
        ap = np.mean([average_precision_score(y[p], -np.arange(len(p))) for p in orders])
        assert found["average_precision_tie"][r] == pytest.approx(ap, abs=1e-12)
        for k in TOP:
            if k < len(s):
                recall = np.mean([y[p][:k].sum() / min(k, y.sum()) for p in orders])
                assert found[f"recall_at_{k}"][r] == pytest.approx(recall, abs=1e-12)
            else:
                assert np.isnan(found[f"recall_at_{k}"][r])


def test_rank_follows_its_definition():
    scores, targets, candidates = random_regimes(40, 9, 4, nan_share=0.2, mask_share=0.2)
    found = evaluate(scores, targets, candidates)["rank"]
    for r in range(len(scores)):
        y, s = numbers(scores[r], candidates[r], targets[r])
        others, ranks = s[~y], []
        for score in s[y]:
            position = 1 + (others > score).sum() + (others == score).sum() / 2
            n = len(s) - y.sum() + 1
            ranks.append(1 - (position - 1) / (n - 1))
        assert found[r] == pytest.approx(np.mean(ranks), abs=1e-12)


def test_without_ties_both_average_precisions_agree():
    scores, targets, candidates = random_regimes(50, 15, None, mask_share=0.3)
    found = evaluate(scores, targets, candidates)
    np.testing.assert_allclose(
        found["average_precision"], found["average_precision_tie"], atol=1e-12
    )


def test_a_constant_score_is_chance():
    targets = np.eye(5, dtype=bool)[:1]
    found = {name: values[0] for name, values in evaluate(np.zeros((1, 5)), targets).items()}
    assert found["auroc"] == found["rank"] == 0.5
    assert found["recall_at_1"] == pytest.approx(0.2)
    assert found["average_precision"] == pytest.approx(
        0.2
    )  # ties grouped: as if the target came last
    assert found["average_precision_tie"] == pytest.approx(np.mean([1 / i for i in range(1, 6)]))


def test_nan_is_one_tie_group_below_all_numbers():
    scores = np.array([[np.nan, -1e12, 1e12, np.nan]])
    found = evaluate(scores, np.array([[True, False, False, False]]))
    assert found["rank"][0] == pytest.approx(1 - 2.5 / 3)
    assert found["coverage"][0] == 0
    assert np.isnan(found["rank_covered"][0])  # no covered target is left
    assert evaluate(scores, np.array([[False, True, False, False]]))["rank_covered"][0] == 0


def test_metrics_of_covered_targets_leave_the_others_out_as_candidates_and_as_targets():
    rng = np.random.default_rng(4)
    scores, targets = rng.normal(size=(3, 40)), np.zeros((3, 40), dtype=bool)
    targets[0, 7] = targets[1, [7, 30]] = targets[2, 30] = True
    profiles = rng.normal(size=(3, 40))
    scores[:, 25:] = np.nan
    found = evaluate(scores, targets, profiles=profiles)
    alone = evaluate(scores[:2, :25], targets[:2, :25], profiles=profiles[:2, :25])
    for name in ("rank", "recall_at_20"):
        np.testing.assert_allclose(found[f"{name}_covered"][:2], alone[name])
    np.testing.assert_array_equal(found["top1_pearson_covered"][:2], found["top1_pearson"][:2])
    assert all(np.isnan(found[f"{name}_covered"][2]) for name in ("rank", "recall_at_20"))
    assert np.isnan(found["top1_pearson_covered"][2])


def test_coverage_and_the_rank_of_covered_targets():
    scores = np.array([[np.nan, 2.0, 1.0, np.nan]])
    found = evaluate(scores, np.array([[True, True, False, False]]))
    assert found["coverage"][0] == 0.5
    assert found["rank_covered"][0] == 1
    assert found["rank"][0] == pytest.approx((1 + 0.25) / 2)


def test_what_is_no_candidate_does_not_count():
    scores, targets, candidates = random_regimes(30, 10, 3, nan_share=0.2, mask_share=0.4)
    found = evaluate(scores, targets, candidates)
    changed = np.where(candidates, scores, 1e12)
    for name, values in evaluate(changed, targets, candidates).items():
        np.testing.assert_array_equal(values, found[name], err_msg=name)
    for r in range(len(scores)):
        kept = candidates[r]
        alone = evaluate(scores[r : r + 1, kept], targets[r : r + 1, kept])
        for name in METRICS:
            np.testing.assert_allclose(alone[name][0], found[name][r], atol=1e-12, err_msg=name)


def test_the_order_of_the_variables_does_not_matter():
    scores, targets, candidates = random_regimes(30, 10, 3, nan_share=0.2, mask_share=0.2)
    order = RNG.permutation(10)
    found = evaluate(scores, targets, candidates)
    for name, values in evaluate(scores[:, order], targets[:, order], candidates[:, order]).items():
        np.testing.assert_allclose(values, found[name], atol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    ("targets", "candidates"),
    [([[0, 0, 0]], [[1, 1, 1]]), ([[1, 1, 1]], [[1, 1, 1]]), ([[0, 1, 0]], [[0, 1, 0]])],
    ids=["no target", "all are targets", "one candidate"],
)
def test_undefined_is_nan(targets, candidates):
    found = evaluate(
        np.array([[1.0, 2.0, 3.0]]), np.array(targets, bool), np.array(candidates, bool)
    )
    for name in set(METRICS) - {"coverage", "top_score"}:
        assert np.isnan(found[name][0]), name
    assert np.isnan(found["coverage"][0]) == (np.sum(targets) == 0)


def test_the_top_score_is_that_of_candidates_whatever_the_targets():
    scores = np.array([[1.0, 9.0, -2.0], [np.nan, 9.0, -2.0], [np.nan, 9.0, np.nan]])
    candidates = np.array([[True, False, True]] * 3)
    for targets in (np.zeros((3, 3), bool), np.eye(3, dtype=bool)[[0, 0, 0]]):
        found = evaluate(scores, targets, candidates)["top_score"]
        np.testing.assert_array_equal(found, [1.0, -2.0, np.nan])
    assert not METRICS["top_score"].ranked


def test_a_single_variable():
    assert np.isnan(evaluate(np.array([[1.0]]), np.array([[True]]))["rank"][0])


def test_merit_is_larger_for_the_better_value():
    info = METRICS["auroc"]
    assert info.merit(0.9) > info.merit(0.1)
    lower = dataclasses.replace(info, higher_is_better=False)
    assert lower.merit(0.9) < lower.merit(0.1)


def test_a_metric_gets_the_whole_truth(monkeypatch):
    """A metric of an array of its own is one more entry, and reads the array off the truth."""
    silent = Metric("silent", "silent", "of silent regimes", lambda s: s.truth.silent.astype(float))
    monkeypatch.setattr(cdnbench.metrics, "METRICS", {"silent": silent})
    truth = Truth(targets=np.zeros((2, 3), bool), n_unmeasured=np.array([0, 1]))
    found = measure(np.zeros((2, 3)), truth, np.ones((2, 3), bool))
    assert found["silent"].tolist() == [1, 0]


def test_a_metric_without_enough_candidates_does_not_exist():
    assert {name for name, metric in METRICS.items() if metric.min_candidates > 4} == {
        "recall_at_5",
        "recall_at_20",
        "recall_at_20_covered",
    }


def test_the_table_lists_what_is_computed():
    found = evaluate(np.zeros((2, 30)), np.eye(30, dtype=bool)[:2])
    assert list(found) == list(METRICS)
    assert all(values.shape == (2,) and values.dtype == np.float64 for values in found.values())
    assert not METRICS["coverage"].ranked and not METRICS["rank_covered"].ranked


@pytest.mark.parametrize(
    ("scores", "targets", "candidates", "message"),
    [
        (np.zeros((1, 2)), np.zeros((1, 3), bool), None, "must all be"),
        (np.array([[np.inf, 0]]), np.zeros((1, 2), bool), None, "infinite"),
        (np.zeros((1, 2)), np.array([[True, False]]), np.array([[False, True]]), "not a candidate"),
    ],
)
def test_bad_input_is_named(scores, targets, candidates, message):
    with pytest.raises(ValueError, match=message):
        evaluate(scores, targets, candidates)


def test_top1_pearson_is_of_the_first_candidate_with_a_profile():
    scores = np.array([[5.0, 4.0, 3.0, 2.0], [1.0, 1.0, 0.0, 2.0], [np.nan, np.nan, np.nan, 1.0]])
    targets = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0]], dtype=bool)
    candidates = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]], dtype=bool)
    profiles = np.array([[np.nan, 0.3, 1.0, 0.5], [1.0, 0.2, 0.9, 0.7], [0.4, 1.0, np.nan, np.nan]])
    found = evaluate(scores, targets, candidates, profiles)
    # The first has none; two tie, the fourth is no candidate; those without a score tie behind the
    # one that has.
    np.testing.assert_allclose(found["top1_pearson"], [0.3, 0.6, 0.7])
    np.testing.assert_allclose(found["top1_profiled"], [0.0, 1.0, 0.0])
    assert np.isnan(evaluate(scores, targets, candidates)["top1_pearson"]).all()
    unknown = np.where(np.arange(3)[:, None] == 0, np.nan, profiles)
    assert np.isnan(evaluate(scores, targets, candidates, unknown)["top1_pearson"]).tolist() == [
        True,
        False,
        False,
    ]
