"""The ceiling against brute force: direct sums of scipy log densities on dense grids over every
parameter of the law."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import simpson, trapezoid
from scipy.special import logsumexp

from cdnbench.datasets.synthetic.ceiling import CERTAIN, ceiling_scores
from cdnbench.datasets.synthetic.generate import simulate
from cdnbench.datasets.synthetic.recipe import HARD, SCALE_RANGE, SHIFT_RANGE, Recipe
from cdnbench.datasets.synthetic.suites import Synthetic, SyntheticStat
from cdnbench.digest import generator

ROWS = 12


def recipe(intervention, **changes):
    usual = (
        (1.0, 1.0)
        if intervention in HARD
        else SHIFT_RANGE
        if intervention == "soft-shift"
        else SCALE_RANGE
    )
    settings = {
        "seed": ("test-ceiling",),
        "n_variables": 5,
        "n_edges": 6,
        "mechanism": "polynomial",
        "rows": ROWS,
        "regimes_per_count": 1,
        "target_counts": (1, 2),
        "factor": usual,
        "intervention": intervention,
    }
    return Recipe(**{**settings, **changes})


def log_area(log_values, points, rule=simpson):
    """log of the integral over the last axis."""
    top = log_values.max(-1, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        return np.log(rule(np.exp(log_values - top), x=points, axis=-1)) + top[..., 0]


def grid(low, high, n):
    """n points, dense at both ends, where integrands that peak outside of an interval have all
    their mass."""
    return low + (high - low) * (0.5 - 0.5 * np.cos(np.pi * np.linspace(0, 1, n)))


def parameter_grid(intervention, factor, n):
    """[(theta, log-scale grid, density on it)] of each branch, written out from the declaration."""
    low, high = np.log(factor)
    up, down = grid(low, high, n), grid(-high, -low, n)
    density = 0.5 / (high - low)
    if intervention == "soft-shift":
        return [(np.exp(up), up, density), (-np.exp(up), up, density)]
    return [(np.exp(up), up, density), (np.exp(down), down, density)]


def brute_score(simulation, r, i):
    """s_i of regime r, by the definition."""
    rc = simulation.recipe
    x, f = simulation.samples[i, r + 1], simulation.effects[i, r + 1]
    h = 1.0 if simulation.noise_scale is None else simulation.noise_scale[i, r + 1]
    root = simulation.roots[i]
    bound = {"clean": 2, "dcdi": 1}[rc.protocol]
    if root:
        variances = np.ones(1)  # roots have none
    elif rc.protocol == "dcdi":
        variances = grid(0.16, 0.32, 201)
    else:
        variances = simulation.noise_variance[i, :1]

    def noise_logpdf(e, scale, v):
        """Density of a noise e whose standard scale is multiplied by `scale`; e (..., rows), v and
        scale broadcast."""
        if root:
            return stats.uniform.logpdf(e + 0 * v, -bound * scale, 2 * bound * scale)
        sd = np.sqrt(v) * h * scale
        return (
            stats.laplace.logpdf(e, 0, sd / np.sqrt(2))
            if rc.noise == "laplace"
            else stats.norm.logpdf(e, 0, sd)
        )

    def over_noise(log_likelihood):
        """(.., variances) -> (..): integrated over the protocol's law of the variance."""
        if len(variances) == 1:
            return log_likelihood[..., 0]
        return log_area(log_likelihood - np.log(0.16), variances)

    v = variances[:, None]
    null = over_noise(noise_logpdf(x - f, 1.0, v).sum(-1))
    if rc.intervention == "hard-uniform":
        return stats.uniform.logpdf(x, -1, 2).sum() - null
    if rc.intervention == "hard-normal":
        return stats.norm.logpdf(x).sum() - null
    if rc.intervention == "reweight" and root:
        return -np.inf
    parts = []
    n_points = 40_001 if root else 4001 if rc.protocol == "clean" else 401
    for theta, points, density in parameter_grid(rc.intervention, rc.factor, n_points):
        c = theta[:, None, None]
        likelihood = {
            "soft-scale": lambda c=c: noise_logpdf(x - c * f, c, v),
            "variance": lambda c=c: noise_logpdf(x - f, c, v),
            "reweight": lambda c=c: noise_logpdf(x - c * f, 1.0, v),
            "soft-shift": lambda c=c: noise_logpdf(x - f - c, 1.0, v),
        }[rc.intervention]()
        parts.append(
            log_area(
                over_noise(likelihood.sum(-1)) + np.log(density),
                points,
                trapezoid if root else simpson,
            )
        )
    return logsumexp(parts) - null


CASES = [
    *[(i, "gaussian", p) for p in ("clean", "dcdi")
      for i in ("hard-uniform", "hard-normal", "soft-scale", "soft-shift", "variance", "reweight")],
    *[(i, noise, "clean") for noise in ("laplace", "heteroscedastic")
      for i in ("hard-uniform", "hard-normal", "soft-scale", "soft-shift", "variance", "reweight")],
]  # fmt: skip


@pytest.mark.parametrize("intervention, noise, protocol", CASES)
def test_every_law_against_brute_force(intervention, noise, protocol):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        simulation = simulate(recipe(intervention, noise=noise, protocol=protocol))
        scores = ceiling_scores(simulation)
    assert simulation.roots.any() and not simulation.roots.all()
    expected = np.array(
        [[brute_score(simulation, r, i) for i in range(5)] for r in range(len(scores))]
    )
    certain = ~np.isfinite(expected)
    assert (scores[certain] == np.sign(expected[certain]) * CERTAIN).all()
    # a uniform root's likelihood jumps between two points of the grid: an error of about rows *
    # step a Laplace likelihood has a kink at each row, which the ceiling's 48 nodes do not see
    absolute = np.where(simulation.roots, 2e-3, 5e-2 if noise == "laplace" else 1e-5)
    with np.errstate(invalid="ignore"):
        close = np.abs(scores - expected) <= absolute + 1e-6 * np.abs(expected)
    assert (close | certain).all()
    assert (~certain).any()


@pytest.mark.parametrize("intervention", ["soft-scale", "soft-shift", "variance", "reweight"])
def test_narrow_posteriors_of_a_thousand_rows(intervention):
    """The windows find peaks of any width and place: a fine grid over sums of squares says the
    same."""
    simulation = simulate(recipe(intervention, rows=1000))
    scores = ceiling_scores(simulation)
    n = 1000
    for r, i in np.argwhere(np.ones(scores.shape, bool)):
        if simulation.roots[i]:
            continue
        x, f, v = (
            simulation.samples[i, r + 1],
            simulation.effects[i, r + 1],
            simulation.noise_variance[i, 0],
        )
        parts = []
        for theta, points, density in parameter_grid(
            intervention, simulation.recipe.factor, 200_001
        ):
            xx, xf, ff, x1, f1 = x @ x, x @ f, f @ f, x.sum(), f.sum()
            match intervention:
                case "soft-scale":
                    squares, jacobian = xx / theta**2 - 2 * xf / theta + ff, -n * np.log(theta)
                case "variance":
                    squares, jacobian = (xx - 2 * xf + ff) / theta**2, -n * np.log(theta)
                case "reweight":
                    squares, jacobian = xx - 2 * theta * xf + theta**2 * ff, 0
                case "soft-shift":
                    squares, jacobian = xx - 2 * xf + ff - 2 * theta * (x1 - f1) + n * theta**2, 0
            parts.append(log_area(-squares / (2 * v) + jacobian + np.log(density), points))
        null = -((x - f) @ (x - f)) / (2 * v)
        assert scores[r, i] == pytest.approx(logsumexp(parts) - null, rel=1e-6, abs=1e-4)


def average_precision(targets, scores, rng):
    """Mean over regimes, ties broken at random."""
    values = []
    for y, s in zip(targets, scores, strict=True):
        ranked = y[np.lexsort((rng.random(len(s)), -s))]
        hits = np.flatnonzero(ranked)
        values.append(np.mean((np.arange(len(hits)) + 1) / (hits + 1)))
    return np.mean(values)


@pytest.mark.parametrize(
    "n, e, published", [(10, 10, 0.838), (10, 20, 0.954), (20, 20, 0.764), (20, 40, 0.890)]
)
def test_hard_interventions_of_the_dcdi_protocol_have_the_known_ceiling(n, e, published):
    """The oracle of facts/cdn.md. Datasets differ by 0.1 or so: 10 of each setting."""
    values = []
    for spec in SyntheticStat(protocol="dcdi").specs():
        m = spec.metadata
        wanted = (m["n_nodes"], m["n_edges"], m["mechanism"], m["intervention"]) == (
            n,
            e,
            "linear",
            "hard-uniform",
        )
        if wanted and m["index"] < 10:
            simulation = simulate(spec.recipe)
            values.append(
                average_precision(simulation.targets, ceiling_scores(simulation), generator("ties"))
            )
    assert np.mean(values) == pytest.approx(published, abs=0.06)


def test_the_clean_protocol_is_solved_by_the_oracle():
    for spec in Synthetic().specs()[:24]:
        simulation = simulate(spec.recipe)
        assert (
            average_precision(simulation.targets, ceiling_scores(simulation), generator("ties"))
            > 0.99
        )


def test_a_target_that_cannot_be_seen_scores_zero_like_every_untouched_root():
    simulation = simulate(recipe("hard-uniform", protocol="dcdi"))
    assert (ceiling_scores(simulation)[:, simulation.roots] == 0).all()


def test_scores_are_finite():
    for intervention in ("hard-uniform", "soft-scale", "soft-shift", "variance"):
        for protocol in ("clean", "dcdi"):
            simulation = simulate(
                recipe(intervention, protocol=protocol, rows=1000, regimes_per_count=5)
            )
            scores = ceiling_scores(simulation)
            assert np.isfinite(scores).all() and np.abs(scores).max() <= CERTAIN


def test_no_ceiling_where_densities_are_out_of_reach():
    base = recipe("soft-scale", n_edges=8)
    for change in ({"mechanism": "nn"}, {"n_hidden": 1}, {"standardise": "each"}):
        assert ceiling_scores(simulate(replace(base, **change))) is None
