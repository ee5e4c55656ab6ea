"""Every family of graphs, mechanisms, noise and marginals has the property that it is there for."""

import numpy as np
import pytest
from asked_worlds import rng, world
from scipy import stats

from cdnbench.datasets.worlds import Counts, simulate
from cdnbench.datasets.worlds.graphs import GRAPHS, ancestors, sweep_order, with_cycles
from cdnbench.datasets.worlds.measurement import (
    MARGINALS,
    in_units,
    quantised,
    sequenced,
    through_marginals,
)
from cdnbench.datasets.worlds.mechanisms import MECHANISMS, SETTLING
from cdnbench.datasets.worlds.noise import STANDARD, dependent, drift, scale_of, standard

# --- graphs


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_are_acyclic_without_order_in_their_labels_and_about_as_dense_as_asked(name):
    made = [GRAPHS[name](rng(name, i), 30, 1.5) for i in range(40)]
    for graph in made:
        assert not ancestors(graph).diagonal().any()
        place = np.argsort(sweep_order(graph))
        tails, heads = np.nonzero(graph)
        assert (place[tails] < place[heads]).all()
    assert 0.5 * 1.5 < np.mean([g.sum() / 30 for g in made]) < 1.5 * 1.5
    forward = sum(np.triu(g).sum() for g in made) / sum(g.sum() for g in made)
    assert 0.45 < forward < 0.55


def test_scale_free_graphs_have_hubs_and_modular_ones_modules():
    def largest(name):
        return np.mean([GRAPHS[name](rng(i), 60, 2.0).sum(1).max() for i in range(20)])

    assert largest("sf") > 1.5 * largest("er")

    def triangles(name):
        counts = []
        for i in range(20):
            both = GRAPHS[name](rng(i), 60, 2.0)
            both = (both | both.T).astype(int)
            counts.append(np.trace(both @ both @ both) / 6)
        return np.mean(counts)

    assert triangles("modular") > 2 * triangles("er")


def test_cycles_close_loops_but_no_pair_points_both_ways():
    closed = 0
    for i in range(30):
        graph = GRAPHS["er"](rng("cycles", i), 12, 1.5)
        cyclic = with_cycles(rng(i), graph)
        assert not (cyclic & cyclic.T).any()
        assert (cyclic >= graph).all()
        closed += ancestors(cyclic).diagonal().any()
    assert closed >= 25
    lonely = np.zeros((3, 3), bool)
    assert with_cycles(rng(), lonely) is lonely


@pytest.mark.parametrize("mechanism", SETTLING)
def test_cyclic_worlds_settle(mechanism):
    """More sweeps over the same draws change nothing."""
    asked = world(cyclic=True, mechanisms=(mechanism,), density=2.0, calibrated=False)
    made = simulate(asked, rng(mechanism)).states
    longer = simulate(asked, rng(mechanism), sweeps=100).states
    shorter = simulate(asked, rng(mechanism), sweeps=1).states
    assert np.abs(made - longer).max() < 0.02 * longer.std() < 2 * np.abs(shorter - longer).max()


# --- mechanisms


@pytest.mark.parametrize("name", SETTLING)
def test_settling_mechanisms_are_no_steeper_than_their_gains(name):
    for i in range(20):
        stream = rng(name, i)
        gains = stream.uniform(0.1, 0.85, 3)
        mechanism = MECHANISMS[name].draw(stream, gains)
        x, step = stream.normal(size=(3, 500)), 0.1 * stream.normal(size=(3, 500))
        change = np.abs(mechanism(x + step) - mechanism(x))
        assert (change <= gains @ np.abs(step) + 1e-9).all()


def test_beyond_its_knee_a_mechanism_is_steeper():
    mechanism = MECHANISMS["knee"].draw(rng(), np.array([1.0]))
    slopes = np.diff(mechanism(np.array([[-1.0, 0.0, 3.0, 4.0]])))
    assert slopes[0] == pytest.approx(1.0)
    assert slopes[2] > 3


def test_regulation_saturates_at_its_fold_change():
    mechanism = MECHANISMS["regulation"].draw(rng("fold"), np.array([0.6]))
    ends = mechanism(np.array([[-25.0, 25.0]]))
    assert abs(ends[1] - ends[0]) == pytest.approx(abs(mechanism.log_fold[0, 0]), rel=1e-3)


# --- noise


@pytest.mark.parametrize("family", STANDARD)
def test_standard_noise_has_mean_0_and_variance_1(family):
    e = standard(rng(family), family, 20, 20_000)
    assert np.abs(e.mean(1)).max() < 0.05
    assert np.abs(e.var(1) - 1).max() < 0.25
    assert abs(e.var() - 1) < 0.05


def test_tails_and_skewness_of_noise():
    kurtosis = {f: stats.kurtosis(standard(rng(f), f, 1, 50_000)[0]) for f in STANDARD}
    assert abs(kurtosis["gaussian"]) < 0.2
    assert kurtosis["laplace"] > 2 and kurtosis["student"] > 2 > 0 > -1 > kurtosis["uniform"]
    bursts = standard(rng("b"), "bursts", 30, 5000)
    assert (stats.skew(bursts, axis=1) < -0.2).all()


def test_scales_follow_the_parents_and_the_effect():
    stream = rng("scale")
    parents, effect = stream.normal(size=(2, 5000)), stream.normal(size=5000)
    scale = scale_of(stream, "heteroscedastic", parents, effect)
    assert scale.max() / scale.min() > 4
    share = scale_of(stream, "multiplicative", parents, effect)
    assert np.corrcoef(share, np.abs(effect))[0, 1] > 0.99


@pytest.mark.parametrize("memory", [0.3, 0.9])
def test_dependent_rows_have_their_autocorrelation_within_stretches_only(memory):
    e = standard(rng(memory), "gaussian", 200, 600)
    rows = dependent(e, np.array([0, 300]), np.full(200, memory))
    lag = np.mean(rows[:, 1:300] * rows[:, :299]) / np.mean(rows**2)
    assert lag == pytest.approx(memory, abs=0.03)
    assert abs(np.mean(rows[:, 300] * rows[:, 299])) < 0.25
    assert rows[:, [0, 300]].var() == pytest.approx(1, abs=0.2)
    half = dependent(e, np.array([0]), np.where(np.arange(200) < 100, memory, 0.0))
    assert np.array_equal(half[100:], e[100:])


def test_drift_is_slow_and_of_its_size():
    trend = drift(rng("drift"), 400, 1000, 0.5)
    assert trend.std() == pytest.approx(0.5, abs=0.08)
    assert np.abs(np.diff(trend, axis=1)).max() < 0.1


# --- measurement


@pytest.mark.parametrize(
    "family",
    ["plain", "skewed", "heavy", "light", "power", "saturated", "clipped", "full", "zeros"],
)
def test_monotone_marginals_keep_the_order(family):
    z = np.sort(rng(family).normal(size=(20, 400)), axis=1)
    values = through_marginals(rng(family), z, (family,))
    rising, falling = (np.diff(sign * values, axis=1) >= -1e-9 for sign in (1, -1))
    assert (rising.all(1) | falling.all(1)).all()
    assert np.isfinite(values).all()


def test_marginals_have_the_shapes_that_they_are_named_for():
    z = rng("shapes").normal(size=(40, 4000))
    made = {family: through_marginals(rng(family), z, (family,)) for family in MARGINALS}
    assert (np.abs(stats.skew(made["skewed"], axis=1)) > 0.4).all()
    assert (stats.kurtosis(made["heavy"], axis=1) > 0.5).all()
    assert (stats.kurtosis(made["light"], axis=1) < 0).all()
    assert (np.ptp(made["saturated"], axis=1) <= 1).all()
    at_an_end = (made["clipped"] == made["clipped"].max(1, keepdims=True)).mean(1)
    assert (at_an_end > 1e-4).mean() > 0.8
    zeros = (made["zeros"] == 0).mean(1)
    assert zeros.min() > 0.1 and zeros.max() < 0.97
    lost = made["dropout"] == 0
    assert z[lost].mean() < z[~lost].mean() - 0.2
    assert np.array_equal(made["count"], np.round(made["count"]))
    assert (made["count"] >= 0).all()


def test_quantised_variables_have_ties_and_units_are_linear():
    z = rng("q").normal(size=(30, 2000))
    rounded = quantised(rng("q"), z, 0.5)
    few = np.array([len(np.unique(row)) < 400 for row in rounded])
    assert 5 < few.sum() < 25
    scaled = in_units(rng("u"), z, 3.0)
    correlation = [np.corrcoef(a, b)[0, 1] for a, b in zip(z, scaled, strict=True)]
    assert np.min(correlation) > 1 - 1e-9
    spread = scaled.std(1)
    assert spread.max() / spread.min() > 1e3
    assert in_units(rng("u"), z, 0.0) is z


def test_a_library_size_couples_all_genes_and_normalisation_uncouples_them():
    state = np.zeros((20, 3000))

    def mean_correlation(**changes):
        counts = Counts(**{"depth": 50, "library": 0.5, "basal": 0.3, "rest": 30.0, **changes})
        made = np.corrcoef(sequenced(rng("library"), counts, state))
        return made[np.triu_indices(20, 1)].mean()

    assert mean_correlation(output="log") > 0.5
    assert mean_correlation(output="log", library=0.0) < 0.05
    assert abs(mean_correlation(output="log-normalised")) < 0.1


def test_normalising_by_the_total_of_few_genes_moves_the_others():
    """Composition: where one gene of few rises, the shares of all others fall."""
    state = np.zeros((5, 4000))
    state[0, 2000:] = 2.0
    made = sequenced(rng("c"), Counts(depth=100, basal=0.1, library=0.2, output="share"), state)
    before, after = made[1:, :2000].mean(1), made[1:, 2000:].mean(1)
    assert (after < 0.7 * before).all()


@pytest.mark.parametrize("output", ["raw", "log", "share", "log-normalised"])
def test_outputs_of_sequencing_are_counts_or_made_of_them(output):
    made = sequenced(rng(output), Counts(depth=1, output=output), rng().normal(size=(10, 500)))
    assert (made >= 0).all() and (made == 0).any()
    assert np.array_equal(made, np.round(made)) == (output == "raw")
