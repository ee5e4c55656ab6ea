"""Recipe -> simulation -> task: protocols, determinism, views, and that nothing a method sees
carries the answer."""

from dataclasses import replace

import numpy as np
import pytest

from cdnbench.datasets.synthetic.generate import simulate
from cdnbench.datasets.synthetic.recipe import Recipe
from cdnbench.datasets.synthetic.tasks import labelled_task, task

BASE = Recipe(
    seed=("test",),
    n_variables=10,
    n_edges=20,
    mechanism="linear",
    intervention="hard-uniform",
    rows=400,
    regimes_per_count=10,
)


def tiny(index, **changes):
    return replace(BASE, rows=2, index=index, **changes)


# The protocols


def test_noise_variance_is_constant_under_clean_and_redrawn_under_dcdi():
    clean, dcdi = simulate(BASE), simulate(replace(BASE, protocol="dcdi"))
    assert (clean.noise_variance == clean.noise_variance[:, :1]).all()
    assert len(np.unique(dcdi.noise_variance)) == dcdi.noise_variance.size
    for simulation in (clean, dcdi):
        v = simulation.noise_variance
        assert v.min() > 0.16 and v.max() < 0.32 and abs(v.mean() - 0.24) < 0.03
        # the residuals of untouched nodes have that variance: n s^2 / v is chi-squared,
        # standardised below
        residuals = (simulation.samples - simulation.effects)[~simulation.roots]
        untouched = np.vstack([np.ones((1, 10), bool), ~simulation.targets]).T[~simulation.roots]
        ratio = (residuals.var(2) / v[~simulation.roots])[untouched]
        z = (ratio - 1) * np.sqrt(BASE.rows / 2)
        assert abs(z.mean()) < 0.3 and 0.85 < z.std() < 1.15


@pytest.mark.parametrize("protocol, bound", [("clean", 2), ("dcdi", 1)])
def test_root_range(protocol, bound):
    simulation = simulate(replace(BASE, protocol=protocol))
    roots = simulation.samples[simulation.roots, 0]
    assert bound * 0.97 < np.abs(roots).max() < bound


def test_the_protocols_share_structure_but_no_sample():
    clean, dcdi = simulate(BASE), simulate(replace(BASE, protocol="dcdi"))
    assert (clean.adjacency == dcdi.adjacency).all() and (clean.targets == dcdi.targets).all()
    root = np.flatnonzero(clean.roots)[0]
    assert abs(np.corrcoef(clean.samples[root, 0], dcdi.samples[root, 0])[0, 1]) < 0.2


def test_settings_and_indices_have_graphs_of_their_own():
    others = [
        replace(BASE, index=1),
        replace(BASE, mechanism="sigmoid"),
        replace(BASE, intervention="hard-normal"),
    ]
    first = simulate(replace(BASE, rows=2)).adjacency
    assert all((simulate(replace(o, rows=2)).adjacency != first).any() for o in others)


def test_other_noise_has_the_same_variance():
    for noise in ("laplace", "heteroscedastic"):
        simulation = simulate(replace(BASE, noise=noise, rows=3000))
        e = (simulation.samples - simulation.effects)[~simulation.roots, 0]
        e = e / np.sqrt(simulation.noise_variance[~simulation.roots, 0])[:, None]
        if simulation.noise_scale is not None:
            scale = simulation.noise_scale[~simulation.roots, 0]
            assert scale.min() > 0.5 and scale.max() < 1.5 and scale.std() > 0.05
            e = e / scale
        kurtosis = (e**4).mean() / (e**2).mean() ** 2
        assert (e**2).mean() == pytest.approx(1, abs=0.05)
        assert kurtosis == pytest.approx(6 if noise == "laplace" else 3, abs=0.6)


# Determinism and views


def test_the_same_recipe_gives_the_same_bytes_whatever_the_global_state():
    first = task(simulate(BASE)).content_hash
    np.random.seed(1)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert task(simulate(BASE)).content_hash == first
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_a_single_regime_is_a_slice_of_its_dataset():
    whole = labelled_task(BASE)
    single = labelled_task(replace(BASE, track="single", regime=7))
    assert single.task.n_regimes == 1 and single.task.name == whole.task.name + "/r007"
    assert (single.task.regimes[0] == whole.task.regimes[7]).all()
    assert (single.task.observational == whole.task.observational).all()
    assert (single.targets == whole.targets[7:8]).all()
    assert (single.ceiling_scores == whole.ceiling_scores[7:8]).all()


def test_standardisation_by_the_observational_data_is_one_map_for_all():
    raw, obs = task(simulate(BASE)), task(simulate(replace(BASE, standardise="obs")))
    mean, sd = raw.observational.mean(0, dtype=float), raw.observational.std(0, dtype=float)
    for a, b in zip(raw.regimes, obs.regimes, strict=True):
        assert np.allclose((a - mean) / sd, b, atol=1e-4)


def test_standardisation_of_each_data_set_by_its_own():
    each = task(simulate(replace(BASE, standardise="each")))
    for x in (each.observational, *each.regimes):
        assert np.allclose(x.mean(0), 0, atol=1e-5) and np.allclose(x.std(0), 1, atol=1e-5)


def test_the_ceiling_survives_a_common_change_of_units_only():
    obs = labelled_task(replace(BASE, standardise="obs"))
    assert (obs.ceiling_scores == labelled_task(BASE).ceiling_scores).all()
    assert labelled_task(replace(BASE, standardise="each")).ceiling_scores is None
    assert labelled_task(replace(BASE, mechanism="nn")).ceiling_scores is None
    assert labelled_task(replace(BASE, n_hidden=2)).ceiling_scores is None


# Hidden confounders


def test_hidden_nodes_are_confounders_are_never_targets_and_do_not_show():
    for index in range(20):
        recipe = tiny(index, n_hidden=2)
        simulation = simulate(recipe)
        hidden = np.setdiff1d(np.arange(12), simulation.observed)
        assert len(hidden) == 2 and (simulation.adjacency[hidden].sum(1) >= 2).all()
        assert not simulation.targets[:, hidden].any()
        visible = task(simulation)
        assert visible.variables == tuple(f"X{i}" for i in range(10))
        assert (
            visible.observational == simulation.samples[simulation.observed, 0].T.astype(np.float32)
        ).all()


# Detectability


def test_undetectable_are_uniform_hard_targets_on_uniform_roots_and_nothing_else():
    simulation = simulate(replace(BASE, protocol="dcdi"))
    labelled = labelled_task(replace(BASE, protocol="dcdi"))
    assert (labelled.detectable == ~(simulation.targets & simulation.roots)).all()
    assert labelled_task(BASE).detectable.all()
    soft = replace(BASE, protocol="dcdi", intervention="soft-scale", factor=(1.5, 6.0))
    assert labelled_task(soft).detectable.all()


def test_standardising_each_data_set_hides_what_moves_no_shape():
    shift = replace(BASE, intervention="soft-shift", factor=(0.5, 2.0), standardise="each")
    assert (labelled_task(shift).detectable == ~labelled_task(shift).targets).all()
    scale = simulate(
        replace(BASE, n_edges=5, intervention="soft-scale", factor=(1.5, 6.0), standardise="each")
    )
    isolated = scale.roots & ~scale.adjacency.any(1)
    assert isolated.any()
    assert (labelled_task(scale.recipe).detectable == ~(scale.targets & isolated)).all()


# Nothing carries the answer


def test_target_counts_and_rows_are_as_declared():
    simulation = simulate(replace(BASE, target_counts=(1, 5), regimes_per_count=4))
    assert sorted(simulation.targets.sum(1)) == [1] * 4 + [5] * 4
    visible = task(simulation)
    assert {len(x) for x in (visible.observational, *visible.regimes)} == {BASE.rows}


def test_a_task_holds_no_metadata_and_its_name_no_target():
    visible = labelled_task(BASE).task
    assert not visible.metadata and visible.symbols is None and visible.candidates.all()
    assert visible.variables == tuple(f"X{i}" for i in range(10))
    assert visible.name == BASE.dataset


def test_neither_the_place_of_a_regime_nor_of_a_variable_tells_anything():
    """Over 300 datasets: target counts do not depend on the regime's place, targets not on the
    variable's or the regime's, and the causal order not on the variable's."""
    n_targets, frequency, place_in_graph = np.zeros(30), np.zeros((30, 10)), []
    for index in range(300):
        simulation = simulate(tiny(index))
        n_targets += simulation.targets.sum(1)
        frequency += simulation.targets
        place_in_graph.append(simulation.adjacency.sum(0) - simulation.adjacency.sum(1))
    # counts are 1, 2 or 3 with variance 2/3; targets have frequency 0.2
    assert np.abs(n_targets / 300 - 2).max() < 4 * np.sqrt(2 / 3 / 300)
    place = np.arange(30) - 14.5
    assert abs(np.corrcoef(place, n_targets)[0, 1]) < 4 / np.sqrt(30)
    per_variable = frequency.sum(0)
    assert np.abs(per_variable - per_variable.mean()).max() < 4 * np.sqrt(30 * 300 * 0.2 * 0.8)
    assert np.abs(frequency / 300 - 0.2).max() < 4.5 * np.sqrt(0.2 * 0.8 / 300)
    assert np.abs(np.mean(place_in_graph, 0)).max() < 4 * np.std(place_in_graph) / np.sqrt(300)


def test_facts_stay_outside_of_the_task():
    labelled = labelled_task(BASE)
    assert set(labelled.facts) == {"varsortability", "r2_sortability"}
    assert all(0 <= value <= 1 for value in labelled.facts.values())


def test_impossible_combinations_are_refused():
    with pytest.raises(ValueError, match="clean protocol only"):
        replace(BASE, noise="laplace", protocol="dcdi")
    with pytest.raises(ValueError, match="input of the mechanism"):
        replace(BASE, mechanism="nn", intervention="variance")
    with pytest.raises(ValueError, match="can be targets"):
        simulate(tiny(0, target_counts=(11,)))
