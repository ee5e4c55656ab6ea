"""The marginal baselines against plain scipy, one variable at a time."""

import numpy as np
import pytest
from scipy import stats

from cdnbench.method import Method
from cdnbench.methods.ks_shift import KSShift, ks_statistic
from cdnbench.methods.moderated_t import ModeratedT
from cdnbench.methods.random import Random
from cdnbench.methods.statistics import columns
from cdnbench.methods.target_shift import TargetShift, shifts, winsorised_moments
from cdnbench.task import Task


def task_of(observational, *regimes) -> Task:
    variables = [f"v{i}" for i in range(observational.shape[1])]
    return Task(name="t", variables=variables, observational=observational, regimes=regimes)


@pytest.mark.parametrize("seed", range(20))
def test_ks_equals_scipy(seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(2, 300, 2)
    first, second = rng.normal(size=(n, 6)), rng.normal(0.2, 1.3, size=(m, 6))
    first[:, 3:], second[:, 3:] = np.round(first[:, 3:]), np.round(second[:, 3:])  # ties
    second[:, 5] += 100  # separated
    task = task_of(first, second)
    expected = [
        stats.ks_2samp(task.observational[:, i], task.regimes[0][:, i], method="asymp").statistic
        for i in range(6)
    ]
    scores = KSShift().predict_targets(task)[0]
    np.testing.assert_allclose(scores, np.array(expected) * np.sqrt(n * m / (n + m)), rtol=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.005, 0.1])
def test_winsorised_moments_equal_scipy(share):
    rng = np.random.default_rng(1)
    x = rng.exponential(size=(401, 3)) * [1, 10, 0.1] - [0, 5, 100]
    moments = winsorised_moments(x, share)
    g = int(share * 401)
    for i in range(3):
        w = np.asarray(stats.mstats.winsorize(x[:, i], limits=(g / 401, g / 401)))
        assert moments.mean[i] == pytest.approx(w.mean())
        assert moments.variance[i] == pytest.approx(w.var(ddof=1))
        assert np.sqrt(moments.mean_error[i]) == pytest.approx(
            w.std(ddof=1) / (1 - 2 * g / 401) / np.sqrt(401)
        )
        kurtosis = stats.kurtosis(w, fisher=False)
        assert moments.log_variance_error[i] == pytest.approx((kurtosis - 1 + 2 / 400) / 401)


@pytest.mark.parametrize("law", ["normal", "uniform", "laplace", "exponential"])
def test_target_shift_is_calibrated_without_a_shift(law):
    """Both z-scores have variance about 1 whatever the law, so the squared score averages 2."""
    rng = np.random.default_rng(7)
    draw = lambda: getattr(rng, law)(size=(600, 1500))  # noqa: E731
    squared = TargetShift(winsorised=0.0).predict_targets(task_of(draw(), draw())) ** 2
    assert 1.8 < squared.mean() < 2.4


@pytest.mark.parametrize("statistic", ["mean", "variance"])
def test_target_shift_sees_mean_and_variance(statistic):
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 300, 5))
    after[:, 2] = after[:, 2] + 1 if statistic == "mean" else after[:, 2] * 2
    scores = TargetShift().predict_targets(task_of(before, after))[0]
    assert scores.argmax() == 2 and scores[2] > 5 > np.delete(scores, 2).max()


def test_target_shift_is_not_decided_by_one_broken_row():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 500, 4))
    after[3, 0] = 1e6
    after[:, 1] += 1
    assert TargetShift().predict_targets(task_of(before, after))[0].argmax() == 1


@pytest.mark.parametrize("n_rows", [5, 8, 20, 60, 199, 200])
@pytest.mark.parametrize("broken", ["before", "after"])
def test_target_shift_is_not_decided_by_a_broken_row_among_few(n_rows, broken):
    """A row of 1e5 throughout: found as often as without it."""
    found = np.zeros(2)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        before, after = rng.normal(size=(2, n_rows, 30))
        after[:, 4] += 14 / np.sqrt(n_rows)
        alone = TargetShift().predict_targets(task_of(before, after))[0]
        (before if broken == "before" else after)[n_rows // 2] = 1e5
        scores = TargetShift().predict_targets(task_of(before, after))[0]
        found += alone.argmax() == 4, scores.argmax() == 4
    assert found[0] >= 16 and found[1] >= found[0] - 2


def test_a_broken_count_among_few_rows():
    """Most counts are 0, so the quartiles are equal; one row has 1e5."""
    rng = np.random.default_rng(0)
    before, after = rng.poisson(0.2, size=(2, 100, 10)).astype(float)
    after[7] = 1e5
    after[:, 3] += rng.poisson(1, 100)
    assert TargetShift().predict_targets(task_of(before, after))[0].argmax() == 3


def test_target_shift_of_three_rows_against_three():
    """1,000 variables of differing variance, one shifted by 4 standard deviations: found as often
    as by limma's moderated t, and without a shift no score stands out."""
    found, highest = np.zeros(2), []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        scale = np.sqrt(4 / rng.chisquare(4, 1000))
        x = rng.normal(size=(6, 1000)) * scale
        highest.append(TargetShift().predict_targets(task_of(x[:3], x[3:]))[0].max())
        x[3:, 0] += 4 * scale[0]
        task = task_of(x[:3], x[3:])
        for k, method in enumerate((TargetShift(), ModeratedT())):
            found[k] += method.predict_targets(task)[0].argmax() == 0
    assert found[0] >= 12 and found[0] >= found[1] - 2
    assert 3 < np.mean(highest) < 5, "the largest of 1,000 normal pairs is about 3.8"


@pytest.mark.parametrize("rows", [(3, 3), (593, 5), (12, 25), (1, 40)])
def test_few_rows_are_calibrated_without_a_shift(rows):
    rng = np.random.default_rng(5)
    before, after = (rng.normal(size=(n, 3000)) for n in rows)
    z_mean, z_variance, *_ = shifts(before, [after], 0.0)
    assert (z_mean**2).mean() == pytest.approx(1, abs=0.1)
    assert (z_variance**2).mean() < 1.1, "conservative"


def test_units_mean_nothing_from_thirty_rows_on():
    """With fewer, the prior of the variances changes with the units; a clear target stays first."""
    rng = np.random.default_rng(0)
    units = 10 ** rng.uniform(-2, 2, 20)
    for n_rows in (8, 29, 30, 31):
        before, after = rng.normal(size=(2, n_rows, 20))
        after[:, 3] += 5
        plain, other = (
            TargetShift().predict_targets(task_of(before * u, after * u))[0] for u in (1, units)
        )
        assert plain.argmax() == other.argmax() == 3
        assert np.allclose(plain, other, rtol=1e-4) == (n_rows >= 30)


def test_a_variance_change_among_twenty_rows():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 20, 10))
    after[:, 6] *= 6
    assert TargetShift().predict_targets(task_of(before, after))[0].argmax() == 6


def test_equal_values_in_three_rows_are_no_certainty():
    """Counts: three rows of the same value happen by chance."""
    before = np.array([[4, 1], [6, 2], [7, 3]])
    after = np.array([[5, 11], [5, 12], [5, 13]])
    scores = TargetShift().predict_targets(task_of(before, after))[0]
    assert scores[0] < 2 < scores[1]


def test_target_shift_of_constants():
    """Unchanged constants score nothing; a variable that became constant, or another constant,
    scores high."""
    before = np.random.default_rng(0).normal(size=(100, 4))
    after = np.random.default_rng(1).normal(size=(100, 4))
    before[:, 0], after[:, 0] = 7, 7
    after[:, 1] = 0.3
    before[:, 2], after[:, 2] = 0, 1
    scores = TargetShift().predict_targets(task_of(before, after))[0]
    assert scores[0] == 0 and scores[1] > 20 and scores[2] > 20 > scores[3]


def test_column_blocks_cover_each_column_once():
    blocks = list(columns.column_blocks(100, 23, values=500))
    assert [i for block in blocks for i in range(23)[block]] == list(range(23)) and len(blocks) == 5


def test_blocks_do_not_change_the_scores(monkeypatch):
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(50, 7)), rng.normal(size=(40, 7))
    whole = ks_statistic(first, second), np.array(winsorised_moments(first, 0.05))
    narrow = lambda n_rows, n_variables: columns.column_blocks(n_rows, n_variables, values=100)  # noqa: E731
    monkeypatch.setattr("cdnbench.methods.ks_shift.column_blocks", narrow)
    monkeypatch.setattr("cdnbench.methods.target_shift.column_blocks", narrow)
    np.testing.assert_array_equal(ks_statistic(first, second), whole[0])
    np.testing.assert_allclose(np.array(winsorised_moments(first, 0.05)), whole[1], rtol=1e-13)


def test_random_is_uniform_and_changes_with_the_seed():
    rng = np.random.default_rng(0)
    task = task_of(rng.normal(size=(20, 30)), *rng.normal(size=(40, 20, 30)))
    method: Method = Random()
    first, second = method.predict_targets(task, seed=0), method.predict_targets(task, seed=1)
    assert not np.isclose(first, second).any()
    assert stats.kstest(first.ravel(), "uniform").pvalue > 1e-3


def test_target_shift_takes_a_rare_gene_that_was_not_drawn_for_what_it_is():
    """1 % of 2000 controls express a gene, and none of 100 cells: that happens every third time."""
    rng = np.random.default_rng(3)
    controls, cells = ((rng.random((n, 400)) < 0.01).astype(float) for n in (2000, 100))
    unseen = (cells == 0).all(axis=0)
    assert 80 < unseen.sum() < 240
    scores = TargetShift().predict_targets(task_of(controls, cells))[0]
    assert scores[unseen].max() < 3
    reversed_ = TargetShift(winsorised=0.0).predict_targets(task_of(cells, controls))[0]
    np.testing.assert_allclose(
        reversed_,
        TargetShift(winsorised=0.0).predict_targets(task_of(controls, cells))[0],
        rtol=1e-9,
    )
