"""Forms and evidence are free of units, right about few and dependent rows, and finite always."""

import numpy as np
import pytest
from scipy import stats

from cdnbench.datasets.worlds import WIDE, batch
from cdnbench.digest import generator
from cdnbench.methods.cdn.evidence import N_EVIDENCE, _Moments, evidence
from cdnbench.methods.cdn.forms import forms, normal_scores


def rng(*name):
    return generator("test forms", *name)


def example(step=0):
    e = batch(WIDE, 17, step, cells=2000)[0]
    return [e.task.observational.astype(float), *(x.astype(float) for x in e.task.regimes)]


@pytest.mark.parametrize("step", range(8))
def test_units_mean_nothing(step):
    data_sets = example(step)
    n = data_sets[0].shape[1]
    factor = 10 ** rng(step).uniform(-3, 3, n)
    # A shift by some spreads of the middle rows, so that no digit of the values is lost.
    offset = factor * 3 * np.ptp(np.quantile(data_sets[0], (0.25, 0.75), axis=0), axis=0)
    before, after = forms(data_sets), forms([x * factor + offset for x in data_sets])
    for name in ("level", "bent", "score", "typical_share"):
        assert np.allclose(getattr(before, name), getattr(after, name), atol=1e-5), name
    assert np.allclose(evidence(before), evidence(after), atol=1e-5)


@pytest.mark.parametrize("step", range(12))
def test_evidence_is_finite_and_of_its_width(step):
    made = evidence(forms(example(step)))
    assert made.shape[-1] == N_EVIDENCE
    assert np.isfinite(made).all() and np.abs(made).max() < 30


def test_constant_columns_and_three_rows_are_no_trouble():
    stream = rng("constant")
    before, after = stream.normal(size=(3, 4)), stream.normal(size=(3, 4))
    before[:, 0] = after[:, 0] = 7.0
    before[:, 1] = 7.0
    made = forms([before, after])
    assert (made.level[:, 0] == 0).all()
    assert np.isfinite(evidence(made)).all()
    assert np.abs(made.level[3:, 1]).max() > 0


def test_evidence_follows_its_variables_and_regimes():
    data_sets = example(3)
    n, r = data_sets[0].shape[1], len(data_sets) - 1
    columns, regimes = rng("p").permutation(n), rng("q").permutation(r)
    moved = [data_sets[0][:, columns], *(data_sets[1 + k][:, columns] for k in regimes)]
    expected = evidence(forms(data_sets))[regimes][:, columns]
    assert np.allclose(evidence(forms(moved)), expected, atol=1e-5)


def test_normal_scores_are_normal_where_they_come_from_and_keep_the_order():
    stream = rng("scores")
    x = np.exp(2 * stream.normal(size=2000))
    scores, typical = normal_scores(x, np.array([1000, 1000]), 1.0)
    assert not typical.any()
    assert (np.diff(scores[np.argsort(x)]) >= 0).all()
    assert stats.kstest(scores[:1000], "norm").pvalue > 0.9
    beyond, _ = normal_scores(
        np.array([*x[:1000], x.max() * 10, x.max() * 100]), np.array([1000, 2]), 1.0
    )
    assert beyond[-1] > beyond[-2] > scores[:1000].max()


def test_ties_get_scores_of_their_range_in_an_order_of_their_own():
    stream = rng("ties")
    counts = stream.poisson(0.5, size=(3000, 2)).astype(float)
    made = forms([counts[:1500], counts[1500:]])
    assert stats.kstest(made.score[:1500, 0], "norm").pvalue > 0.01
    assert made.typical_share[0, 0] == np.mean(counts[:1500, 0] == 0)
    zeros = (counts == 0).all(1)
    assert abs(np.corrcoef(made.score[zeros].T)[0, 1]) < 0.1  # not the same draws
    again = forms([counts[:1500], counts[1500:]])
    assert np.array_equal(made.score, again.score)


def test_levels_are_exact_in_the_usual_range_and_bounded_by_logarithms_beyond():
    stream = rng("levels")
    x = stream.normal(size=(500, 1))
    made = forms([np.concatenate([x, 2 * x], 1), np.array([[1e4, 1.0], [-1e4, 2.0]])])
    assert np.allclose(made.level[:500, 0], made.level[:500, 1], rtol=1e-3)
    assert 50 < made.level[500, 0] < 130


def test_autocorrelation_is_found_and_not_made_up():
    stream = rng("memory")
    white = stream.normal(size=(800, 40))
    rows = np.empty_like(white)
    rows[0] = white[0]
    for t in range(1, 800):
        rows[t] = 0.9 * rows[t - 1] + np.sqrt(1 - 0.81) * white[t]
    made = forms([rows[:600], rows[600:605], white[600:]])
    memory = _Moments(made.score, made).autocorrelation()
    assert np.median(memory[0]) == pytest.approx(0.88, abs=0.05)
    assert np.median(memory[1]) > 0.6  # five rows are believed to be as the others
    independent = forms([white[:600], white[600:]])
    assert np.median(_Moments(independent.score, independent).autocorrelation()) == 0


def test_moderated_variances_do_not_let_three_equal_rows_win():
    stream = rng("moderated")
    before, after = stream.normal(size=(4, 300)), stream.normal(size=(3, 300))
    after[:, 0] = before[:, 0].mean() + 0.8 + 1e-6 * stream.normal(size=3)
    after[:, 1] += 5.0
    t = evidence(forms([before, after]))[0, :, 2]
    assert np.abs(t[0]) < 1.5 < np.abs(t[1])
