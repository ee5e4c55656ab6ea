"""Effect size, BARO's scorer and the moderated t against plain formulas and reference numbers."""

import numpy as np
import pytest
from scipy import optimize, special, stats

from cdnbench.errors import CannotRun
from cdnbench.methods.baro import BARO
from cdnbench.methods.effect_size import EffectSize
from cdnbench.methods.moderated_t import ModeratedT
from cdnbench.moderation import moderated, trigamma_inverse, variance_prior
from cdnbench.registry import load_method
from cdnbench.task import Task


def task_of(observational, *regimes) -> Task:
    variables = [f"v{i}" for i in range(np.shape(observational)[1])]
    return Task(name="t", variables=variables, observational=observational, regimes=regimes)


def test_effect_size_equals_the_formula():
    rng = np.random.default_rng(0)
    before, first, second = rng.normal(3, 2, size=(30, 4)), *rng.normal(size=(2, 7, 4))
    task = task_of(before, first, second)
    scores = EffectSize().predict_targets(task)
    for r, after in enumerate(task.regimes):
        for i in range(4):
            x, y = task.observational[:, i].astype(float), after[:, i].astype(float)
            assert scores[r, i] == pytest.approx(abs(y.mean() - x.mean()) / np.std(x, ddof=1))


def test_effect_size_takes_no_notice_of_repeated_rows():
    """Rows that depend on each other: the same five rows twenty times over are no more evidence."""
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(100, 4)), rng.normal(size=(5, 4))
    once = EffectSize().predict_targets(task_of(before, after))
    often = EffectSize().predict_targets(task_of(before, np.tile(after, (20, 1))))
    np.testing.assert_allclose(once, often, rtol=1e-6)


@pytest.mark.parametrize("two_sided", [True, False])
def test_baro_equals_scikit_learn(two_sided):
    """`robust_scorer` of the authors: scikit-learn's RobustScaler, and the largest value."""
    from sklearn.preprocessing import RobustScaler

    rng = np.random.default_rng(0)
    task = task_of(rng.gamma(2, size=(50, 5)), rng.gamma(2, size=(6, 5)))
    scaled = RobustScaler().fit(task.observational).transform(task.regimes[0])
    expected = (np.abs(scaled) if two_sided else scaled).max(axis=0)
    scores = BARO(two_sided=two_sided).predict_targets(task)[0]
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_baro_is_not_moved_by_broken_control_rows():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(40, 5)), rng.normal(size=(3, 5))
    before[:3] = 1e6
    after[:, 1] += 8
    assert BARO().predict_targets(task_of(before, after))[0].argmax() == 1


def test_baro_on_counts_of_a_rare_event():
    """Quartiles 0 and 0: measured by 1.349 standard deviations, whatever the unit."""
    before, after = np.zeros((40, 2)), np.zeros((5, 2))
    before[:4, 0], before[:, 1] = 2, np.arange(40)
    after[0, 0] = 6
    score = BARO().predict_targets(task_of(before, after))[0, 0]
    assert score == pytest.approx(6 / (1.3489795 * np.std(before[:, 0], ddof=1)))


@pytest.mark.parametrize("value", [1e-8, 1e-3, 0.3, 1.0, 7.0, 1e4, 1e9])
def test_trigamma_inverse(value):
    assert special.polygamma(1, trigamma_inverse(value)) == pytest.approx(value, rel=1e-6)


def test_prior_solves_the_moment_equations():
    """Equations of section 6.2 of Smyth (2004), solved by bisection."""
    rng = np.random.default_rng(0)
    df = 4
    variance = 0.7 * rng.chisquare(df, 500) / df * 5 / rng.chisquare(5, 500)
    logs = np.log(variance)
    wanted = logs.var(ddof=1) - special.polygamma(1, df / 2)
    d0 = 2 * optimize.brentq(lambda x: special.polygamma(1, x) - wanted, 0.01, 1e4)
    location = np.exp(
        logs.mean() - special.digamma(df / 2) + special.digamma(d0 / 2) - np.log(d0 / df)
    )
    prior = variance_prior(variance, df)
    assert prior.df == pytest.approx(d0, rel=1e-6)
    assert prior.variance == pytest.approx(location, rel=1e-6)
    assert 3 < prior.df < 9 and 0.6 < prior.variance < 0.8, "what the variances were drawn from"


def test_prior_of_variances_that_differ_by_chance_only():
    """The log variances spread less than chi-square variables do: all are the mean variance."""
    variance = np.linspace(0.9, 1.1, 50)
    prior = variance_prior(variance, 4)
    assert np.isinf(prior.df) and prior.variance == pytest.approx(1.0)
    np.testing.assert_allclose(moderated(variance, 4, prior), 1.0)


def test_moderated_t_equals_the_formula():
    rng = np.random.default_rng(2)
    scale = np.sqrt(4 / rng.chisquare(4, 200))
    task = task_of(rng.normal(size=(4, 200)) * scale, rng.normal(size=(3, 200)) * scale)
    before, after = task.observational.astype(float), task.regimes[0].astype(float)
    pooled = (3 * before.var(axis=0, ddof=1) + 2 * after.var(axis=0, ddof=1)) / 5
    d0, location = variance_prior(pooled, 5)
    expected = np.abs(after.mean(axis=0) - before.mean(axis=0)) / np.sqrt(
        (d0 * location + 5 * pooled) / (d0 + 5) * (1 / 4 + 1 / 3)
    )
    np.testing.assert_allclose(ModeratedT().predict_targets(task)[0], expected, rtol=1e-5)


def test_moderated_t_is_students_t_with_many_rows():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2000, 20)), rng.normal(0.1, 1, size=(1500, 20))
    before[:, ::2] *= 50
    after[:, ::2] *= 50
    plain = np.abs(stats.ttest_ind(after, before).statistic)
    scores = ModeratedT().predict_targets(task_of(before, after))[0]
    np.testing.assert_allclose(scores, plain, rtol=0.01)


def test_moderated_t_finds_with_three_rows_what_students_t_does_not():
    found = np.zeros(2)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        scale = np.sqrt(4 / rng.chisquare(4, 1000))
        x = rng.normal(size=(6, 1000)) * scale
        x[3:, 0] += 4 * scale[0]
        scores = ModeratedT().predict_targets(task_of(x[:3], x[3:]))[0]
        plain = np.abs(stats.ttest_ind(x[3:], x[:3]).statistic)
        found += scores.argmax() == 0, plain.argmax() == 0
    assert found[0] >= 12 and found[0] > 1.5 * found[1]


def test_moderated_t_needs_three_rows():
    with pytest.raises(CannotRun, match="a third"):
        ModeratedT().predict_targets(task_of([[1.0, 2.0]], [[2.0, 1.0]]))
    scores = ModeratedT().predict_targets(task_of([[1, 2], [2, 5]], [[9, 3]]))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    "name", ["effect-size", "baro", "moderated-t", "precision-shift", "cholesky-root-cause"]
)
def test_constant_columns(name):
    """Constant throughout: cannot say. Constant before and moved: a high score."""
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(60, 5)), rng.normal(size=(6, 5))
    before[:, 0] = after[:, 0] = 3
    before[:, 1], after[:, 1] = 3, 4
    scores = load_method(name).predict_targets(task_of(before, after))[0]
    assert np.isnan(scores[0]) and scores[1] > np.nanmedian(scores)
    with pytest.raises(CannotRun, match="constant"):
        load_method(name).predict_targets(task_of(np.ones((9, 3)), np.ones((4, 3))))


@pytest.mark.parametrize(
    "name", ["effect-size", "baro", "precision-shift", "cholesky-root-cause", "target-shift"]
)
def test_units_mean_nothing(name):
    rng = np.random.default_rng(3)
    mixing = np.eye(8) + np.tril(rng.normal(size=(8, 8)), -1)
    before, after = rng.normal(size=(90, 8)) @ mixing, rng.normal(size=(40, 8)) @ mixing
    after += 3 * mixing[2]
    units, offsets = 2.0 ** rng.integers(-6, 7, 8), rng.normal(size=8)
    method = load_method(name)
    scores = method.predict_targets(task_of(before, after))
    moved = method.predict_targets(task_of(before * units + offsets, after * units + offsets))
    if method.info.stochastic:  # orders are drawn by content: the ranking agrees, scores less so
        assert scores[0].argmax() == moved[0].argmax()
    else:
        np.testing.assert_allclose(scores, moved, rtol=1e-3)


@pytest.mark.parametrize("name", ["effect-size", "baro", "precision-shift", "cholesky-root-cause"])
def test_one_abnormal_row_is_enough(name):
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(200, 6)), rng.normal(size=(1, 6))
    after[:, 4] += 12
    assert load_method(name).predict_targets(task_of(before, after))[0].argmax() == 4
    with pytest.raises(CannotRun, match="at least 2"):
        load_method(name).predict_targets(task_of(before[:1], after))
