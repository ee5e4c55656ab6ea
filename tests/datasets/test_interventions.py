"""Intervention laws: of the parameter, of the target given its parents, and as a regression sees
them."""

import numpy as np
import pytest
from scipy import stats

from cdnbench.datasets.synthetic.generate import simulate
from cdnbench.datasets.synthetic.interventions import draw_parameters, parameter_law
from cdnbench.datasets.synthetic.recipe import HARD, SCALE_RANGE, SHIFT_RANGE, Recipe
from cdnbench.digest import generator


def recipe(intervention, **changes):
    usual = (
        (1.0, 1.0)
        if intervention in HARD
        else SHIFT_RANGE
        if intervention == "soft-shift"
        else SCALE_RANGE
    )
    settings = {
        "seed": ("test",),
        "n_variables": 8,
        "n_edges": 14,
        "mechanism": "linear",
        "rows": 2000,
        "regimes_per_count": 6,
        "factor": usual,
        "intervention": intervention,
    }
    return Recipe(**{**settings, **changes})


def hits(simulation, roots):
    """(node, data set) of the targets that are roots, or that are not."""
    return [(i, r + 1) for r, i in np.argwhere(simulation.targets) if simulation.roots[i] == roots]


@pytest.mark.parametrize("factor", [SCALE_RANGE, (1.1, 1.5)])
def test_scale_factors_are_log_uniform_above_and_below_one(factor):
    t = np.log(draw_parameters(generator("c", factor), parameter_law("soft-scale", factor), 4000))
    low, high = np.log(factor)
    assert abs((t > 0).mean() - 0.5) < 0.04
    for half in (t[t > 0], -t[t < 0]):
        assert stats.kstest(half, stats.uniform(low, high - low).cdf).pvalue > 1e-3


def test_shifts_have_either_sign_and_log_uniform_size():
    d = draw_parameters(generator("d"), parameter_law("soft-shift", SHIFT_RANGE), 4000)
    assert abs((d > 0).mean() - 0.5) < 0.04
    assert stats.kstest(np.log(np.abs(d)), stats.uniform(np.log(0.5), np.log(4)).cdf).pvalue > 1e-3


@pytest.mark.parametrize("protocol", ["clean", "dcdi"])
@pytest.mark.parametrize(
    "intervention", [*HARD, "soft-scale", "soft-shift", "variance", "reweight"]
)
def test_targets_follow_the_declared_law_and_others_their_own(intervention, protocol):
    simulation = simulate(recipe(intervention, protocol=protocol))
    x, f, v = simulation.samples, simulation.effects, simulation.noise_variance
    bound = {"clean": 2, "dcdi": 1}[protocol]

    def pvalue(values, law):
        return stats.kstest(values, law.cdf).pvalue

    pvalues = []
    for roots in (True, False):
        targets = set(hits(simulation, roots))
        for i in np.flatnonzero(simulation.roots == roots):
            theta = simulation.parameters[i]
            own = stats.uniform(-bound, 2 * bound) if roots else None
            for d in range(x.shape[1]):
                noise_law = own or stats.norm(scale=np.sqrt(v[i, d]))
                xi, fi = x[i, d], f[i, d]
                if (i, d) not in targets:
                    pvalues.append(pvalue(xi - fi, noise_law))
                    continue
                match intervention:
                    case "hard-uniform":
                        pvalues.append(pvalue(xi, stats.uniform(-1, 2)))
                    case "hard-normal":
                        pvalues.append(pvalue(xi, stats.norm()))
                    case "soft-scale":
                        pvalues.append(pvalue(xi / theta - fi, noise_law))
                    case "soft-shift":
                        pvalues.append(pvalue(xi - theta - fi, noise_law))
                    case "variance":
                        pvalues.append(pvalue((xi - fi) / theta, noise_law))
                    case "reweight":
                        pvalues.append(pvalue(xi - theta * fi, noise_law))
    assert min(pvalues) * len(pvalues) > 1e-3
    assert stats.kstest(pvalues, "uniform").pvalue > 1e-4


def test_a_regression_sees_scaled_weights_and_residuals():
    simulation = simulate(recipe("soft-scale", rows=4000))
    seen = 0
    for i, d in hits(simulation, roots=False):
        parents = np.flatnonzero(simulation.adjacency[:, i])
        fits = []
        for data_set in (0, d):
            inputs, output = (
                simulation.samples[parents, data_set].T,
                simulation.samples[i, data_set],
            )
            weights, *_ = np.linalg.lstsq(inputs, output, rcond=None)
            fits.append((weights, np.var(output - inputs @ weights)))
        c = simulation.parameters[i]
        assert np.allclose(fits[1][0], c * fits[0][0], atol=0.15 * c + 0.05)
        assert fits[1][1] / fits[0][1] == pytest.approx(c**2, rel=0.15)
        seen += 1
    assert seen > 10


def test_one_parameter_a_node_and_dataset_shared_by_the_protocols():
    clean, dcdi = simulate(recipe("soft-scale")), simulate(recipe("soft-scale", protocol="dcdi"))
    assert clean.parameters.shape == (8,)
    for name in ("adjacency", "targets", "parameters"):
        assert (getattr(clean, name) == getattr(dcdi, name)).all()


def test_reweighting_targets_have_parents():
    for index in range(30):
        simulation = simulate(recipe("reweight", rows=2, index=index))
        assert not (simulation.targets & simulation.roots).any()


def test_scaling_a_network_scales_its_output():
    simulation = simulate(recipe("soft-scale", mechanism="nn", rows=50))
    for i, d in hits(simulation, roots=False):
        assert np.allclose(
            simulation.samples[i, d], simulation.parameters[i] * simulation.effects[i, d]
        )
