"""Intervals cover, tests hold their size, and ranks put failures last."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cdnbench.reports import statistics as s
from cdnbench.reports.factors import Factors

FACTORS = Factors().names
READING = [*FACTORS, "label"]

RNG = np.random.default_rng(3)


def regimes(rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(
        [{**dict.fromkeys(FACTORS, ""), "label": "m", "setting": "s", **row} for row in rows]
    )


def test_regimes_are_averaged_within_datasets_first():
    frame = regimes([{"dataset": "a", "x": v} for v in (0, 0, 0, 0)] + [{"dataset": "b", "x": 1.0}])
    means = s.dataset_means(frame, ["x"], READING)
    assert dict(zip(means["dataset"], means["x"], strict=True)) == {"a": 0, "b": 1}
    found = s.over_datasets(means, ["x"], ["label"]).iloc[0]
    assert (found["mean"], found["n"]) == (0.5, 2)
    assert found["sd"] == pytest.approx(np.std([0, 1], ddof=1))


def test_undefined_regimes_are_left_out_of_the_mean():
    frame = regimes(
        [{"dataset": "a", "x": np.nan}, {"dataset": "a", "x": 0.8}, {"dataset": "b", "x": np.nan}]
    )
    found = s.over_datasets(s.dataset_means(frame, ["x"], READING), ["x"], ["label"])
    assert (found["mean"].item(), found["n"].item()) == (pytest.approx(0.8), 1)


@pytest.mark.parametrize("factor", FACTORS)
def test_no_mean_crosses_a_factor(factor):
    frame = regimes(
        [{"dataset": "a", "x": 0.0, factor: "one"}, {"dataset": "a", "x": 1.0, factor: "two"}]
    )
    assert sorted(s.dataset_means(frame, ["x"], READING)["x"]) == [0, 1]


def test_t_interval_is_scipys():
    values = RNG.normal(size=5)
    low, high = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values))
    half = s.t_halfwidth(np.array([values.std(ddof=1), 1.0]), np.array([5, 1]))
    assert half[0] == pytest.approx((high - low) / 2)
    assert np.isnan(half[1])


def test_failures_are_tied_last():
    values = np.array([[0.9, 0.5, np.nan, np.nan], [0.2, 0.2, 0.1, np.nan]])
    ran = np.array([[True, True, True, True], [True, True, True, False]])
    np.testing.assert_allclose(
        s.average_ranks(values, ran), [(1 + 1.5) / 2, (2 + 1.5) / 2, (3.5 + 3) / 2, 3.5]
    )
    assert np.isnan(s.average_ranks(np.full((2, 1), np.nan), np.zeros((2, 1), bool))[0])


def test_bootstrap_has_the_stratified_standard_error():
    strata = np.repeat(np.arange(24), 5)
    values = (
        RNG.normal(size=120) + 3 * strata
    )  # settings differ a lot: that must not widen the interval
    low, high = s.bootstrap_interval(values, strata)
    within = np.mean([values[strata == k].var(ddof=1) for k in range(24)])
    assert (high - low) / 2 == pytest.approx(1.96 * np.sqrt(within / 120), rel=0.05)
    assert low < values.mean() < high


def test_bootstrap_covers():
    strata = np.repeat(np.arange(8), 5)
    hits = 0
    for _ in range(400):
        low, high = s.bootstrap_interval(RNG.normal(size=40), strata, resamples=1000)
        hits += low <= 0 <= high
    assert 0.90 <= hits / 400 <= 0.98


def test_bootstrap_of_settings_with_one_dataset_pools_them():
    values = RNG.normal(size=30)
    alone = s.bootstrap_interval(values, np.arange(30))
    assert alone == pytest.approx(s.bootstrap_interval(values, np.zeros(30)))
    assert alone[1] > alone[0]
    low, high = s.bootstrap_interval(np.array([0.0, 1.0, 5.0]), np.array(["a", "a", "b"]))
    assert low < high
    assert np.isnan(s.bootstrap_interval(np.array([1.0]), np.array(["a"]))).all()


def test_bootstrap_is_repeatable():
    values, strata = RNG.normal(size=20), np.repeat(["a", "b"], 10)
    assert s.bootstrap_interval(values, strata) == s.bootstrap_interval(values, strata)


def test_a_cluster_counts_once_however_often_it_is_repeated():
    genes = np.repeat(np.arange(40), 3)
    values = RNG.normal(size=40)[genes]
    low, high = s.cluster_bootstrap_interval(values, genes)
    alone = s.bootstrap_interval(values[::3], np.zeros(40))
    assert (low, high) == pytest.approx(alone)
    narrow = s.bootstrap_interval(values, np.zeros(120))
    assert high - low > 1.5 * (narrow[1] - narrow[0])


def test_clusters_of_several_sizes_have_the_standard_error_of_a_ratio():
    genes = np.repeat(np.arange(200), RNG.integers(1, 5, size=200))
    values = RNG.normal(size=200)[genes] + 0.3 * RNG.normal(size=len(genes))
    low, high = s.cluster_bootstrap_interval(values, genes)
    residual = np.bincount(genes, weights=values - values.mean())
    assert (high - low) / 2 == pytest.approx(
        1.96 * np.sqrt((residual**2).sum()) / len(values), rel=0.06
    )
    assert np.isnan(s.cluster_bootstrap_interval(np.ones(5), np.zeros(5))).all()


def test_sign_flips_are_exact_where_they_can_be():
    differences = np.array([1.0, 2.0, 3.0])
    slow = [abs(np.dot(signs, differences)) >= 6 for signs in itertools.product([1, -1], repeat=3)]
    assert s.sign_flip_test(differences) == np.mean(slow) == 0.25
    assert s.sign_flip_test(np.zeros(4)) == 1
    assert np.isnan(s.sign_flip_test(np.array([])))


def test_sign_flips_by_chance_agree_with_all_of_them():
    differences = RNG.normal(0.4, size=12)
    assert s.sign_flip_test(differences, resamples=4000) == pytest.approx(
        s.sign_flip_test(differences), abs=0.03
    )


def test_sign_flips_hold_their_size():
    p = np.array([s.sign_flip_test(RNG.normal(size=20), resamples=999) for _ in range(600)])
    assert np.mean(p <= 0.05) <= 0.075
    assert np.mean(p <= 0.05) >= 0.025
    assert s.sign_flip_test(RNG.normal(2, size=40)) < 0.001


def test_holm_by_hand():
    np.testing.assert_allclose(
        s.holm(np.array([0.01, 0.04, 0.03, np.nan])), [0.03, 0.06, 0.06, np.nan]
    )
    np.testing.assert_allclose(s.holm(np.array([0.6, 0.7])), [1, 1])
