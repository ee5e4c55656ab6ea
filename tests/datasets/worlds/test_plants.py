"""What plants and services have: responses that lag, set points, faults that begin within a
regime, contexts that move beside the target."""

import numpy as np
import pytest

from cdnbench.datasets.worlds.measurement import MARGINALS
from cdnbench.datasets.worlds.noise import lagged
from cdnbench.datasets.worlds.simulate import simulate
from cdnbench.datasets.worlds.world import Rows, World


def world(**changes) -> World:
    parts = {
        "kind": "physical", "n_variables": 12, "rows": Rows(counts=(80, 40, 40)),
        "interventions": ("shift", "shift"), "n_targets": (1, 1), "strength": (5.0, 6.0),
    }  # fmt: skip
    return World(**{**parts, **changes})


def test_a_lagging_response_nears_what_it_follows():
    step = np.r_[np.zeros(5), np.full(5, 2.0), np.full(30, 1.0)]
    found = lagged(step, np.array([0, 5, 10]), 4.0)
    assert (found[:5] == 0).all()
    np.testing.assert_allclose(found[5:10], 2.0)  # the second stretch begins where its values do
    after = np.arange(1, 31)
    np.testing.assert_allclose(found[10:], 1 - np.exp(-after / 4.0))  # the third one begins at 0


def test_set_points_never_vary_unless_they_are_hit():
    for seed in range(6):
        made = simulate(world(held=1.0), np.random.default_rng(seed))
        roots = np.flatnonzero(~made.adjacency.any(0))
        for r, sample in enumerate(made.samples):
            constant = sample[:, roots].std(0) == 0
            hit = made.targets[r - 1, roots] if r else np.zeros(len(roots), bool)
            assert constant[~hit].all()
            moved = np.abs(sample[:, roots].mean(0) - made.samples[0][:, roots].mean(0)) > 1
            np.testing.assert_array_equal(moved, hit)


def test_a_sudden_fault_reaches_the_rows_at_one_end():
    rows = Rows(counts=(80, 40, 40), onset=True)
    ends = set()
    for seed in range(8):
        made = simulate(world(rows=rows, unaffected=(0.3, 0.6)), np.random.default_rng(seed))
        for r in (1, 2):
            reached = made.affected[made.stretch == r]
            assert 0 < reached.sum() < 40 and np.abs(np.diff(reached.astype(int))).sum() == 1
            ends.add(bool(reached[0]))
    assert ends == {True, False}


def test_contexts_move_hidden_nodes_and_are_no_targets():
    rng = np.random.default_rng
    still, moving = (simulate(world(n_hidden=1, context=share), rng(3)) for share in (0.0, 1.0))
    for made, least in ((still, False), (moving, True)):
        assert not made.targets[:, -1].any()
        control, regime = (made.states[-1, made.stretch == r] for r in (0, 1))
        assert (abs(regime.mean() - control.mean()) > 3 * control.std()) == least


def test_a_full_instrument_rarely_leaves_its_limit():
    z = np.random.default_rng(0).normal(size=5000)
    for seed in range(10):
        found = MARGINALS["full"](np.random.default_rng(seed), z)
        values, counts = np.unique(found, return_counts=True)
        assert counts.max() > 0.6 * len(z) and np.abs(values[counts.argmax()]) <= 4


def test_worlds_at_steady_state_have_no_lag_and_hold_nothing():
    for wrong in ({"held": 0.5}, {"rows": Rows(counts=(80, 40, 40), lag=3.0)}):
        with pytest.raises(ValueError, match="steady state"):
            world(cyclic=True, **wrong)
