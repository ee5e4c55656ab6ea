from math import comb

import numpy as np
import pytest
from scipy import sparse, stats

from cdnbench.errors import InvalidData
from cdnbench.multiple_testing import q_values
from cdnbench.prediction.certainty import Controls, moved
from cdnbench.prediction.few_rows import moderated_p_values
from cdnbench.prediction.judging import evidence_of, judged
from cdnbench.prediction.normal_scores import score_blocks, thinned
from cdnbench.prediction.permutations import labels
from cdnbench.prediction.result import Finding
from cdnbench.registry import load_method


def counts(rng, rows, columns=40):
    return rng.poisson(0.3, size=(rows, columns))


def tied_heavy_and_constant(rng, rows):
    cause = rng.standard_t(3, size=(rows, 1))
    x = cause + 0.3 * rng.standard_cauchy(size=(rows, 25))
    x[:, 0] = 1.0
    x[:, 1] = x[:, 2] > 3
    return x


DRAWS = {
    "gaussian, unequal sides": lambda rng: (rng.normal(size=(60, 20)), rng.normal(size=(15, 20))),
    "counts with ties": lambda rng: (counts(rng, 150), counts(rng, 30)),
    "dependent heavy columns": lambda rng: (
        tied_heavy_and_constant(rng, 20),
        tied_heavy_and_constant(rng, 70),
    ),
}


def null_p(draw, n, seed=0):
    rng = np.random.default_rng(seed)
    return np.array([moved(*draw(rng), rng=rng, n_permutations=999).p for _ in range(n)])


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_p_is_uniform_where_nothing_moved(draw):
    p = null_p(draw, 150)
    assert stats.kstest(p, "uniform").pvalue > 0.005
    for level in (0.01, 0.1):
        few = stats.binomtest(int((p <= level).sum()), len(p), level, alternative="greater")
        assert few.pvalue > 0.01


def test_p_of_three_against_three_is_no_smaller_than_it_should_be():
    rng = np.random.default_rng(3)
    p = np.array(
        [moved(rng.normal(size=(3, 100)), rng.normal(size=(3, 100)), rng=rng).p for _ in range(400)]
    )
    for level in (0.01, 0.05, 0.1):
        few = stats.binomtest(int((p <= level).sum()), len(p), level, alternative="greater")
        assert few.pvalue > 0.01


def sides(seed, change, rows=100):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(500, 200))
    y = rng.normal(size=(rows, 200))
    x[:, 1] += x[:, 0] * 1.5
    y[:, 1] += y[:, 0] * 1.5
    change(y, rng)
    return x, y, rng


def shifted(y, rng):
    y[:, 7] += 1.0


def all_shifted_a_little(y, rng):
    y += 0.12


def narrowed(y, rng):
    y[:, 7] *= 0.4


def decoupled(y, rng):
    y[:, 1] = y[rng.permutation(len(y)), 1]


@pytest.mark.parametrize("change", [shifted, all_shifted_a_little, narrowed, decoupled])
def test_every_kind_of_change_is_seen(change):
    x, y, rng = sides(1, change)
    assert moved(x, y, rng=rng).p < 1e-3


def test_a_lone_hit_among_200_perturbations_passes_benjamini_hochberg():
    x, y, rng = sides(2, shifted)
    controls = Controls(x, rng)
    p = np.random.default_rng(0).random(200)
    p[0] = moved(controls, y, rng=rng).p
    q = q_values(p)
    assert q[0] < 0.05 and (q[1:] > 0.05).all()


def test_which_variable_moved():
    x, y, rng = sides(4, shifted)
    p = moved(x, y, rng=rng).variable_p
    assert p.argmin() == 7 and p[7] < 1e-8
    assert stats.kstest(np.delete(p, 7), "uniform", alternative="greater").pvalue > 0.01


@pytest.mark.parametrize("rows", [(300, 5), (60, 60), (20, 200)])
def test_p_values_of_variables_are_not_too_small(rows):
    rng = np.random.default_rng(0)
    x, y = ([rng.normal(size=(n, 4000)), counts(rng, n, 4000)] for n in rows)
    for before, after in zip(x, y, strict=True):
        p = moved(before, after, rng=rng, n_permutations=999).variable_p
        for level in (0.001, 0.01, 0.1):
            few = stats.binomtest(int((p <= level).sum()), len(p), level, alternative="greater")
            assert few.pvalue > 0.01, (level, (p <= level).mean())


def test_units_mean_nothing_and_a_broken_row_does_little():
    x, y, _ = sides(5, shifted)
    scale = 10.0 ** np.random.default_rng(0).uniform(-3, 3, 200)
    one, other = (moved(x * s, y * s, rng=np.random.default_rng(0)) for s in (np.ones(200), scale))
    assert one.p == pytest.approx(other.p, rel=1e-6)
    x[0] = 1e5
    assert moved(x, y, rng=np.random.default_rng(0)).p < 1e-4


def test_sparse_samples_and_shared_controls_give_the_same():
    rng = np.random.default_rng(0)
    x, y = counts(rng, 120).astype(float), counts(rng, 40).astype(float)
    dense = moved(x, y, rng=np.random.default_rng(1))
    shared = moved(
        Controls(sparse.csr_array(x), rng), sparse.csr_matrix(y), rng=np.random.default_rng(1)
    )
    assert dense.p == shared.p and dense.statistic == shared.statistic


def test_what_was_done_is_said_with_its_resolution():
    rng = np.random.default_rng(0)
    many = moved(rng.normal(size=(50, 5)), rng.normal(size=(50, 5)), rng=rng)
    assert "permutations of 50 control and 50 perturbed rows" in many.how
    some = moved(rng.normal(size=(8, 5)), rng.normal(size=(8, 5)), rng=rng)
    assert some.resolution == 1 / comb(16, 8)
    few = moved(rng.normal(size=(3, 5)), rng.normal(size=(3, 5)), rng=rng)
    assert "moderated t" in few.how and few.p > 0
    none = moved(rng.normal(size=(1, 5)), rng.normal(size=(1, 5)), rng=rng)
    assert np.isnan(none.p) and "no test" in none.how


def test_nothing_varies():
    rng = np.random.default_rng(0)
    assert moved(np.ones((20, 3)), np.ones((20, 3)), rng=rng).p == 1
    assert np.isnan(moved(np.ones((3, 3)), np.ones((3, 3)), rng=rng).p)
    assert moved(np.ones((20, 3)), np.zeros((20, 3)), rng=rng).p < 1e-4


def test_bad_samples_are_refused():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 3))
    with pytest.raises(InvalidData, match="3 variables and the perturbed samples 2"):
        moved(x, x[:, :2], rng=rng)
    with pytest.raises(InvalidData, match="not finite"):
        moved(x, np.where(x > 1, np.nan, x), rng=rng)
    with pytest.raises(InvalidData, match="at least one of each"):
        moved(x, x[:0], rng=rng)
    with pytest.raises(ValueError, match="at least 999"):
        moved(x, x, rng=rng, n_permutations=100)


def test_scores_are_those_of_scipy():
    rng = np.random.default_rng(0)
    x, y = counts(rng, 30, 6), counts(rng, 20, 6)
    joint = np.concatenate([x, y])
    ((columns, level, spread),) = score_blocks(Controls(x, rng), thinned(y, rng))
    table = stats.norm.ppf(np.arange(1, 51) / 51)
    for g in range(6):
        place = np.searchsorted(np.sort(joint[:, g]), joint[:, g], side="left")
        ends = np.searchsorted(np.sort(joint[:, g]), joint[:, g], side="right")
        for row in range(50):
            tied = table[place[row] : ends[row]]
            assert level[g, row] == pytest.approx(tied.mean(), abs=1e-6)
            squares = (tied**2).mean() - (table**2).mean()
            assert spread[g, row] == pytest.approx(squares, abs=1e-6)
    assert columns.tolist() == list(range(6))


@pytest.mark.parametrize("n0, n1", [(30, 5), (5, 30), (1, 9)])
def test_labels_keep_the_sizes_of_both_sides(n0, n1):
    drawn = labels(n0, n1, 2000, np.random.default_rng(0))
    assert (drawn.sum(axis=1) == n1).all()
    assert drawn[0].tolist() == [0.0] * n0 + [1.0] * n1
    chance = stats.chisquare(drawn[1:].sum(axis=0))
    assert chance.pvalue > 0.001


def test_moderated_t_without_a_prior_is_students():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 1)), rng.normal(size=(5, 1)) + 2
    assert moderated_p_values(x, y)[0] == pytest.approx(stats.ttest_ind(x, y).pvalue[0])


def far(n0, n1, n_variables, seed=0):
    """One variable has moved by a hundred standard deviations."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n0, n_variables)), rng.normal(size=(n1, n_variables))
    y[:, 7] -= 100
    return x, y


@pytest.mark.parametrize("rows", [(8, 8), (10, 10), (15, 15), (60, 3), (60, 5), (60, 20)])
def test_no_variable_without_ties_has_less_than_a_separated_one(rows):
    x, y = far(*rows, 300)
    found = moved(x, y, rng=np.random.default_rng(0), n_permutations=999)
    assert found.variable_p[7] == pytest.approx(found.least_variable_p, rel=1e-4)
    assert found.variable_p.min() >= 0.999 * found.least_variable_p
    assert found.p <= 1.001 * found.lone_p or found.lone_p > 0.1
    few = moved(x[:3], y[:3], rng=np.random.default_rng(0))
    assert few.least_variable_p == few.lone_p == 0


@pytest.mark.parametrize(
    "rows, n_variables, kind",
    [
        ((7, 7), 2000, "moved"),
        ((8, 8), 2000, "undetermined"),
        ((10, 10), 2000, "undetermined"),
        ((12, 12), 2000, "undetermined"),
        ((60, 4), 2000, "undetermined"),
        ((15, 15), 2000, "moved"),
        ((60, 8), 2000, "moved"),
        ((10, 10), 50, "moved"),
    ],
)
def test_one_replicate_more_does_not_say_that_nothing_moved(rows, n_variables, kind):
    x, y = far(*rows, n_variables)
    names = np.array([f"G{i}" for i in range(n_variables)], dtype=object)
    seen = evidence_of(x, y, names, seed=0)
    method = load_method("target-shift")
    scores = np.abs(y.mean(axis=0) - x.mean(axis=0))
    found = Finding.ranked(
        *(names, scores, names[:0], {"candidates": scores, "outside": scores[:0]}),
        **{"perturbation": "A", "method": "target-shift", "n_control": 1, "n_perturbed": 1},
    )
    (said,), notes = judged([found], {"target-shift": method}, {("A", ""): seen}, 0.1)
    assert said.verdict == kind and (kind != "moved" or said.named[0] == "G7")
    assert any("too few to decide" in note for note in notes) == (kind == "undetermined")


def test_rows_that_could_show_a_lone_variable_may_say_that_nothing_moved():
    rng = np.random.default_rng(2)
    for rows in ((20, 20), (300, 10)):
        found = moved(*(rng.normal(size=(n, 2000)) for n in rows), rng=rng, n_permutations=999)
        assert found.lone_p < 1e-3 and found.least_variable_p < 1e-5
