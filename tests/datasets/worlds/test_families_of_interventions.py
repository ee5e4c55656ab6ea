"""Every family of interventions does what it is named for, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from asked_worlds import rng, world
from scipy import stats

from cdnbench.datasets.worlds import simulate
from cdnbench.datasets.worlds.graphs import ancestors
from cdnbench.datasets.worlds.interventions import INTERVENTIONS, draw_blow, log_fold, strike
from cdnbench.datasets.worlds.mechanisms import Linear


def struck(family, effect, noise, **changes):
    blow = replace(draw_blow(rng(family), family, np.arange(len(effect)), (1.0, 1.0), 1), **changes)
    mechanism = Linear(np.array([1.0]))
    return blow, strike(rng(family), blow, effect[None], mechanism, effect, noise, 0.0, 1.0)


@pytest.fixture
def parts():
    stream = rng("parts")
    return stream.normal(size=20_000), 0.5 * stream.normal(size=20_000)


def test_hard_cuts_a_target_off_from_its_parents(parts):
    effect, noise = parts
    _, x = struck("hard", effect, noise, uniform=np.full(4, 0.5))
    assert abs(np.corrcoef(x, effect)[0, 1]) < 0.03


def test_shift_moves_the_mean_alone(parts):
    effect, noise = parts
    blow, x = struck("shift", effect, noise)
    assert np.allclose(x - effect - noise, blow.sign)


def test_a_ramp_grows_from_nothing_to_twice_its_mean(parts):
    effect, noise = parts
    blow, x = struck("ramp", effect, noise)
    moved = blow.sign * (x - effect - noise)
    assert moved[0] == pytest.approx(0, abs=1e-12) and moved[-1] == pytest.approx(2)
    assert moved.mean() == pytest.approx(1)


def test_some_hard_interventions_leave_a_target_stuck(parts):
    effect, noise = parts
    stream = rng("stuck")
    spreads = []
    for _ in range(200):
        blow = draw_blow(stream, "hard", np.arange(50), (1.0, 1.0), 1)
        spreads.append(
            np.ptp(strike(stream, blow, effect[None, :50], None, effect[:50], noise[:50], 0.0, 1.0))
        )
    assert 0.07 < np.mean(np.array(spreads) == 0) < 0.25


def test_variance_changes_the_noise_alone(parts):
    effect, noise = parts
    _, x = struck("variance", effect, noise, sign=1.0)
    assert np.allclose(x - effect, 2 * noise)


def test_scale_and_knock_down_are_linear_maps(parts):
    effect, noise = parts
    for family, low, high in (("scale", 2, 2), ("knock-down", 0, 0.6)):
        _, x = struck(family, effect, noise, sign=1.0)
        slope, intercept = np.polyfit(effect + noise, x, 1)
        assert np.allclose(x, slope * (effect + noise) + intercept)
        assert low - 1e-6 <= slope <= high + 1e-6


def test_reweighted_edges_keep_the_noise(parts):
    effect, noise = parts
    _, x = struck("reweight", effect, noise, factors=np.array([-0.5]))
    assert np.allclose(x, -0.5 * effect + noise)


def test_knock_outs_lower_and_activations_raise(parts):
    effect, noise = parts
    for family, sign in (("knock-out", -1), ("activation", 1)):
        blow, x = struck(family, effect, noise)
        assert np.allclose(x - effect - noise, log_fold(blow))
        assert sign * log_fold(blow) > 0


def test_a_messenger_may_be_spared_where_its_protein_is_lost():
    """The level that acts falls as in any knock-out, the one that is measured by less."""
    asked = world(interventions=("knock-out",) * 60, counts=(300, *(50,) * 60), calibrated=False)
    made = simulate(asked, rng("own"))
    falls = []
    for regime, target in zip(*np.nonzero(made.targets), strict=True):
        state = made.states[target]
        fall = state[made.stretch == regime + 1].mean() - state[made.stretch == 0].mean()
        column = made.samples[regime + 1][:, target].mean() - made.samples[0][:, target].mean()
        falls.append(column * state[made.stretch == -1].std() - fall)
    spared = np.array(falls) > 0.1
    assert 0.1 < spared.mean() < 0.6


@pytest.mark.parametrize("family", INTERVENTIONS)
def test_nothing_upstream_of_a_target_moves(family):
    for i in range(10):
        asked = world(interventions=(family,), calibrated=family not in ("knock-out", "activation"))
        made = simulate(asked, rng(family, i))
        target = int(np.flatnonzero(made.targets[0])[0])
        apart = ~ancestors(made.adjacency)[target]
        apart[target] = False
        before, after = (made.states[apart][:, made.stretch == s] for s in (0, 1))
        for a, b in zip(before, after, strict=True):
            assert stats.ks_2samp(a, b).pvalue > 1e-5


def test_unaffected_rows_are_as_without_intervention():
    asked = world(
        interventions=("shift",), unaffected=(0.5, 0.5), strength=(20.0, 20.0), counts=(400, 1000)
    )
    made = simulate(asked, rng("missed"))
    target = int(np.flatnonzero(made.targets[0])[0])
    regime = made.stretch == 1
    assert 0.42 < made.affected[regime].mean() < 0.58
    column = made.samples[1][:, target]
    far = np.abs(column) > 10
    assert np.array_equal(far, made.affected[regime])


def test_silent_regimes_move_nothing_and_hidden_ones_no_measured_target():
    asked = world(
        interventions=("none", "hidden"), counts=(2000, 2000, 2000), n_hidden=2, n_targets=(1, 1),
        strength=(4.0, 4.0),
    )  # fmt: skip
    made = simulate(asked, rng("silent"))
    assert not made.targets[0].any()
    assert made.targets[1, 8:].sum() == 1 and not made.targets[1, :8].any()
    for before, after in zip(made.samples[0].T, made.samples[1].T, strict=True):
        assert stats.ks_2samp(before, after).pvalue > 1e-4
    moved = [
        stats.ks_2samp(before, after).pvalue < 1e-6
        for before, after in zip(made.samples[0].T, made.samples[2].T, strict=True)
    ]
    assert any(moved)
