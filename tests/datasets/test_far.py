"""`synthetic-far`: its laws are what they are named for, and none of them is in training data."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cdnbench import load_suite
from cdnbench.datasets.synthetic.far import (
    INTERVENTIONS,
    MARGINALS,
    NOISE,
    FarRecipe,
    _standard_noise,
    labelled_task,
    simulate,
)
from cdnbench.datasets.worlds import HELD_OUT, measurement, noise
from cdnbench.datasets.worlds import interventions as trained_interventions
from cdnbench.digest import generator
from cdnbench.errors import UnknownName

BASE = FarRecipe(
    n_variables=10, n_edges=20, mechanism="linear", noise="exponential", intervention="truncate",
    marginal="gap", index=0,
)  # fmt: skip


def test_training_has_none_of_its_families():
    assert HELD_OUT["noise"] == NOISE and not set(NOISE) & set(noise.NOISE)
    assert HELD_OUT["marginal"] == MARGINALS
    assert not set(MARGINALS) & set(measurement.MARGINALS)
    assert HELD_OUT["intervention"] == INTERVENTIONS
    assert not set(INTERVENTIONS) & set(trained_interventions.INTERVENTIONS)


def test_the_suite():
    suite = load_suite("synthetic-far")
    specs = suite.specs()
    assert len({s.name for s in specs}) == len({s.hash for s in specs}) == len(specs) == 64
    labelled = suite.load(specs[0])
    assert labelled.ceiling_scores is None
    assert labelled.targets.shape == (30, 10)
    assert sorted(labelled.targets.sum(1)) == [1] * 10 + [2] * 10 + [3] * 10
    assert labelled.task.content_hash == suite.load(specs[0]).task.content_hash
    with pytest.raises(UnknownName, match="rows"):
        load_suite("synthetic-far", rows="10")


def test_noise_is_standard_and_of_its_shape():
    rng = generator("far noise")
    for family in NOISE:
        e = _standard_noise(family, rng, 1, 100_000)[0]
        assert abs(e.mean()) < 0.02 and e.var() == pytest.approx(1, abs=0.03)
    assert stats.skew(_standard_noise("exponential", rng, 1, 100_000)[0]) > 1.8
    two = _standard_noise("two-sided", rng, 1, 100_000)[0]
    assert np.mean(np.abs(two) < 0.2) < 0.7 * np.mean(np.abs(np.abs(two) - 0.9) < 0.2)


def test_truncated_targets_stop_at_a_quantile():
    made = simulate(BASE)
    for regime, target in zip(*np.nonzero(made.targets), strict=True):
        after = made.states[target, regime + 1]
        stuck = max((after == after.min()).mean(), (after == after.max()).mean())
        assert stuck > 0.02


def test_decoupled_targets_look_as_before_and_follow_nothing():
    made = simulate(replace(BASE, intervention="decouple"))
    assert not made.targets[:, ~made.adjacency.any(0)].any()
    for regime, target in zip(*np.nonzero(made.targets), strict=True):
        own, after = made.states[target, 0], made.states[target, regime + 1]
        assert set(after) <= set(own)
        assert stats.ks_2samp(own, after).pvalue > 1e-5
        for parent in np.flatnonzero(made.adjacency[:, target]):
            together = np.corrcoef(made.states[parent, regime + 1], after)[0, 1]
            assert abs(together) < 0.25


@pytest.mark.parametrize("marginal", MARGINALS)
def test_marginals_keep_the_order_and_have_two_modes(marginal):
    made = simulate(replace(BASE, marginal=marginal))
    for state, measured in zip(made.states[:, 0], made.measured[:, 0], strict=True):
        assert (np.diff(measured[np.argsort(state)]) >= 0).all()
        centred = (measured - measured.mean()) / measured.std()
        assert np.mean(np.abs(centred) < 0.3) < 0.2
    assert np.isfinite(labelled_task(replace(BASE, marginal=marginal)).task.observational).all()
