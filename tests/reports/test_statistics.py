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


def test_a_dataset_on_which_nothing_finished_ranks_nobody():
    alone = np.full((2, 1), np.nan)
    assert np.isnan(s.average_ranks(alone, np.ones((2, 1), bool))).all()
    values = np.array([[0.9, 0.5], [np.nan, np.nan]])
    np.testing.assert_array_equal(s.average_ranks(values, np.ones((2, 2), bool)), [1, 2])
    one_failed_alone = np.array([[np.nan, 0.5], [0.9, 0.5]])
    ran = np.array([[True, False], [True, True]])
    np.testing.assert_array_equal(s.average_ranks(one_failed_alone, ran), [1, 2])


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


def coverage(draw, interval, truth, rounds=500):
    """The share of `rounds` samples whose interval holds the truth."""
    hits = 0
    for _ in range(rounds):
        low, high = interval(draw())
        hits += low <= truth <= high
    return hits / rounds


@pytest.mark.parametrize(("n", "settings"), [(5, 1), (8, 2), (20, 4), (24, 24)])
def test_intervals_of_few_datasets_cover(n, settings):
    """Settings of their own difficulty, whose mean is known: normal values, from 5 datasets on."""
    codes = np.arange(n) % settings
    shift = np.linspace(0, 3, settings)
    found = coverage(
        lambda: RNG.normal(size=n) + shift[codes],
        lambda values: s.mean_interval(values, codes),
        shift.mean(),
    )
    least, most = (0.92, 1.0) if settings == n else (0.92, 0.975)  # alone in a setting: too wide
    assert least <= found <= most


@pytest.mark.parametrize(("n", "settings", "least"), [(5, 1, 0.85), (8, 2, 0.86), (120, 24, 0.9)])
def test_intervals_of_values_near_the_ceiling_cover(n, settings, least):
    """Precision near 1 is skewed, so that few datasets cover somewhat less than they say."""
    codes = np.arange(n) % settings
    found = coverage(
        lambda: RNG.beta(9, 1, size=n),
        lambda values: s.mean_interval(values, codes, bounds=(0, 1)),
        0.9,
        200 if n > 100 else 500,
    )
    assert least <= found <= 0.99


def test_intervals_by_gene_cover():
    genes = np.repeat(np.arange(15), [1, 2, 3, 2, 2] * 3)
    lines = np.arange(len(genes)) % 3
    found = coverage(
        lambda: RNG.normal(size=15)[genes] + 0.5 * RNG.normal(size=len(genes)),
        lambda values: s.mean_interval(values, lines, genes),
        0.0,
    )
    assert 0.92 <= found <= 0.98


@pytest.mark.parametrize(("share", "n"), [(0.5, 10), (0.9, 20), (0.97, 161)])
def test_intervals_of_a_share_cover(share, n):
    found = coverage(
        lambda: RNG.binomial(n, share), lambda hits: s.proportion_interval(hits, n), share, 4000
    )
    assert 0.90 <= found <= 0.99


def test_the_interval_of_a_share_is_wilsons():
    for hits, n in ((0, 9), (8, 9), (9, 9)):
        of = stats.binomtest(hits, n).proportion_ci(method="wilson")
        assert s.proportion_interval(hits, n) == pytest.approx((of.low, of.high))
    assert np.isnan(s.proportion_interval(0, 0)).all()


def test_equal_values_say_nothing_about_their_spread():
    assert np.isnan(s.mean_interval(np.ones(8), np.zeros(8))).all()
    low, high = s.mean_interval(np.array([1.0, 1, 1, 0.9]), np.zeros(4), bounds=(0, 1))
    assert low < 0.975 < high == 1


def test_one_setting_has_a_t_interval_of_what_is_defined():
    values = np.array([0.2, np.nan, 0.4, 0.3])
    low, high = stats.t.interval(0.95, 2, loc=0.3, scale=0.1 / np.sqrt(3))
    assert s.mean_interval(values, np.zeros(4)) == pytest.approx((low, high))


def frame(values: dict[str, list[float]], settings, genes=None) -> pd.DataFrame:
    n = len(settings)
    about = {
        "setting": settings,
        "dataset": [f"d{i}" for i in range(n)],
        "task": [f"d{i}" for i in range(n)],
        "gene": genes if genes is not None else [""] * n,
    }
    return pd.concat([pd.DataFrame({**about, "label": k, "x": v}) for k, v in values.items()])


def test_paired_differences_against_any_method_are_one_family():
    settings = ["a"] * 4 + ["b"] * 4
    base = RNG.normal(size=8)
    regimes = frame({"low": base, "mid": base + 1, "high": base + 2}, settings)
    found = s.paired_differences(regimes, "x", ["mid", "high", "absent"])
    pairs = list(zip(found["against"], found["label"], strict=True))
    assert pairs == [("mid", "high"), ("mid", "low"), ("high", "low")], "no pair comes twice"
    assert found["difference"].tolist() == pytest.approx([1, -1, -2])
    assert (found["p"] == 2 / 2**8).all() and (found["p_holm"] == 6 / 2**8).all()
    alone = s.paired_differences(regimes, "x", ["mid"], labels=["low"])
    assert alone["p_holm"].tolist() == [2 / 2**8]


def test_pairs_rest_on_what_both_finished():
    regimes = frame({"a": [1.0, 1, 1, np.nan], "b": [0.0, 0.5, np.nan, 0.2]}, ["s"] * 4)
    found = s.Pairs(regimes, "x").compare("a", "b")
    assert (found.n_datasets, found.difference) == (2, 0.75) and np.isnan(found.p)
    assert found.sd == pytest.approx(np.std([1, 0.5], ddof=1))


def test_a_handful_of_genes_has_no_interval():
    regimes = frame({"a": [1.0, 1, 1], "b": [0.0, 0.5, 1]}, ["s", "t", "t"], ["x", "x", "y"])
    found = s.Pairs(regimes, "x").compare("a", "b")
    assert found.by_gene and found.n_units == 2 and np.isnan([found.low, found.high]).all()


def test_no_difference_is_larger_than_the_metric_allows():
    """Student's factor for few units would stretch the interval beyond it."""
    values = {"a": [1.0, 1, 1, 1, 1, 0.9], "b": [0.0, 0, 0, 0, 0.9, 0]}
    genes = list("uvwxyz")
    wide = frame(values, ["s", "t"] * 3, genes)
    free = s.Pairs(wide, "x").compare("a", "b")
    kept = s.Pairs(wide.rename(columns={"x": "recall_at_1"}), "recall_at_1").compare("a", "b")
    assert free.high > 1 and kept.high == 1 and kept.low == free.low


def test_equal_differences_have_no_interval():
    for settings in (["s"] * 6, ["s", "t"] * 3):
        found = s.Pairs(frame({"a": [1.0] * 6, "b": [0.5] * 6}, settings), "x").compare("a", "b")
        assert found.difference == 0.5 and np.isnan([found.low, found.high]).all()


def test_the_interval_of_a_paired_difference_covers():
    settings = np.repeat(["a", "b"], 4)

    def draw():
        shared = RNG.normal(size=8)  # hard datasets are hard for both
        return frame(
            {"a": shared + RNG.normal(0.3, 0.2, 8), "b": shared + RNG.normal(0, 0.2, 8)}, settings
        )

    def interval(regimes):
        found = s.Pairs(regimes, "x").compare("a", "b")
        return found.low, found.high

    assert 0.88 <= coverage(draw, interval, 0.3, 80) <= 1


def test_friedman_is_scipys_and_its_critical_difference_demsars():
    values = RNG.normal(size=(30, 5)) + np.arange(5) / 2
    found = s.friedman(values)
    expected = stats.friedmanchisquare(*values.T)
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.ranks == pytest.approx(stats.rankdata(-values, axis=1).mean(axis=0))
    for k, q in ((2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)):  # Demsar 2006, table 5a
        assert s.critical_difference(k, 30) == pytest.approx(
            q * np.sqrt(k * (k + 1) / 180), rel=1e-3
        )


def test_friedman_holds_its_size_and_failures_rank_last():
    p = np.array([s.friedman(RNG.normal(size=(20, 4))).p for _ in range(400)])
    assert 0.02 <= np.mean(p <= 0.05) <= 0.08
    values = np.array([[0.9, np.nan, 0.5], [0.8, np.nan, 0.4], [np.nan] * 3])
    found = s.friedman(values)
    assert found.ranks == (1, 3, 2) and found.n_datasets == 2
    assert s.friedman(np.ones((4, 3))).p == 1
    with pytest.raises(ValueError, match="three methods"):
        s.friedman(np.ones((4, 2)))


def test_the_friedman_test_takes_what_finished_everything():
    values = {"a": [1.0, 2, 3, 4], "b": [0.0, 1, 2, 3], "c": [5.0, np.nan, 5, 5]}
    by_dataset = s.Pairs(frame(values, ["s"] * 4), "x").table()
    assert sorted(by_dataset["a"]) == [1, 2, 3, 4] and list(by_dataset) == ["a", "b"]
    genes = ["g", "g", "h", "h"]
    by_gene = s.Pairs(frame(values, ["s", "t"] * 2, genes), "x").table()
    assert sorted(by_gene["a"]) == [1.5, 3.5]


def test_groups_that_cannot_be_told_apart():
    ranks = np.array([3.0, 1.0, 1.4, 2.2])
    assert s.indistinct(ranks, 1.0) == [(1, 2), (2, 3), (3, 0)]
    assert s.indistinct(ranks, 1.3) == [(1, 2, 3), (3, 0)]
    assert s.indistinct(ranks, 0.1) == []
    assert s.indistinct(ranks, 5) == [(1, 2, 3, 0)]


def test_power_is_what_simulation_says():
    sd, n = 0.2, 10
    least = s.smallest_difference(sd, n)
    values = RNG.normal(least, sd, size=(4000, n))
    shown = stats.ttest_1samp(values, 0, axis=1).pvalue <= 0.05
    assert shown.mean() == pytest.approx(0.8, abs=0.03)
    tested = np.mean([s.sign_flip_test(v) <= 0.05 for v in values[:300]])
    assert tested == pytest.approx(0.8, abs=0.08), "the sign-flip test has nearly the same power"
    assert s.smallest_difference(sd, n, comparisons=10) > least > s.smallest_difference(sd, 40)
    assert np.isnan(s.smallest_difference(sd, 1))


def test_the_note_on_power():
    assert s.power_note(0.18, 8).startswith("Power: 8 datasets cannot show a difference below 0.2")
    assert "cannot show any difference: the smallest p" in s.power_note(0.1, 5)
    assert "comparisons: the smallest p" in s.power_note(0.1, 8, comparisons=13)
    assert s.power_note(0.1, 1) == s.power_note(np.nan, 8) == ""
    assert s.smallest_p(4) == s.sign_flip_test(np.ones(4))


def test_drawn_flips_have_a_smallest_p_which_a_note_tells():
    assert s.smallest_p(13) == s.sign_flip_test(np.ones(13))
    assert s.smallest_p(40) == s.sign_flip_test(np.ones(40)) == 1 / 10_001
    assert s.smallest_p(40, comparisons=83) == pytest.approx(0.0083, abs=1e-6)
    assert "cannot show any difference" in s.power_note(0.1, 40, comparisons=600)
    p = np.array([s.sign_flip_test(np.ones(40)), 0.3, np.nan, s.sign_flip_test(np.ones(13))])
    note = s.flips_note(p)
    assert "no p below 0.0001, after Holm's correction none below 0.0003" in note
    assert "1 of 3 comparisons" in note
    assert s.flips_note(p[1:]) == "", "exact p-values have no such limit"


def test_means_agree_up_to_a_limit():
    assert s.agreement_limit(0.04, 0.04, 5, 5) == pytest.approx(
        2.306 * 0.04 * np.sqrt(2 / 5), rel=1e-3
    )
    rejected = 0
    for _ in range(1000):
        a, b = RNG.normal(size=5), RNG.normal(size=5)
        limit = s.agreement_limit(a.std(ddof=1), b.std(ddof=1), 5, 5)
        rejected += abs(a.mean() - b.mean()) > limit
    assert 0.03 <= rejected / 1000 <= 0.075


@pytest.mark.parametrize("spread", [1.0, 3.0, 20.0])
def test_the_limit_is_that_of_welchs_test(spread):
    a, b = RNG.normal(size=5), spread * RNG.normal(size=7)
    limit = s.agreement_limit(a.std(ddof=1), b.std(ddof=1), 5, 7)
    shifted = a - a.mean() + b.mean() + limit
    assert stats.ttest_ind(shifted, b, equal_var=False).pvalue == pytest.approx(0.05)


def test_the_limit_where_a_spread_is_missing():
    one_mean = stats.t.ppf(0.975, 4) * 0.03 / np.sqrt(5)
    found = s.agreement_limit(np.array([0.03, 0.0, np.nan]), 0.0, 5, 5)
    assert found == pytest.approx([one_mean, 0.0, np.nan], nan_ok=True)
