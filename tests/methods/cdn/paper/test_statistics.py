"""Global statistics against numpy and scikit-learn, and on data where those give up."""

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf as sklearn_ledoit_wolf

from cdnbench.digest import generator
from cdnbench.methods.cdn.paper import statistics
from cdnbench.methods.cdn.paper.statistics import (
    CHANNELS,
    SHRINKAGE_FROM,
    correlation,
    covariance,
    global_statistic,
    ledoit_wolf,
    precision,
)


def random_samples(n_rows: int, n: int, seed: int = 0) -> np.ndarray:
    """Correlated, in several units, away from 0."""
    rng = generator("statistics", n_rows, n, seed)
    x = rng.normal(size=(n_rows, n)) @ (np.eye(n) + 0.3 * rng.normal(size=(n, n)))
    return x * 10 ** rng.uniform(-2, 2, n) + 10 * rng.normal(size=n)


def awkward_samples() -> dict[str, np.ndarray]:
    x = random_samples(80, 6)
    constant, copies = x.copy(), x.copy()
    constant[:, [0, 3]] = [7, 0]
    copies[:, 4], copies[:, 5] = copies[:, 1], -3 * copies[:, 2] + 1
    return {
        "constants": constant,
        "duplicates": copies,
        "all constant": np.full((20, 6), 0.1),
        "one row": x[:1],
        "two rows": x[:2],
        "fewer rows than variables": x[:4],
        "wide": random_samples(30, SHRINKAGE_FROM + 5),
        "wide, one varies": np.column_stack([x[:, 0], *[np.ones(80)] * SHRINKAGE_FROM]),
        "wide, constant": np.full((20, SHRINKAGE_FROM), 0.1),
        "large offset": x + 1e7,
        "large units": x * 1e15,
        "small units": x * 1e-15,
    }


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("n_rows, n", [(50, 1), (50, 4), (200, 12)])
def test_covariance_and_correlation_are_those_of_numpy(n_rows, n, dtype):
    x = random_samples(n_rows, n).astype(dtype)
    expected = np.atleast_2d(np.cov(x.astype(np.float64), rowvar=False, bias=True))
    found = covariance(x)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12 * np.abs(expected).max())
    np.testing.assert_allclose(
        correlation(found), np.atleast_2d(np.corrcoef(x, rowvar=False)), atol=1e-5
    )


def test_samples_are_not_changed():
    x = random_samples(30, 4)
    x[:, 0] = 3
    before = x.copy()
    for kind in CHANNELS:
        global_statistic(x, covariance(x), kind)
    np.testing.assert_array_equal(x, before)


def test_correlations_of_a_stack_are_those_of_each():
    stack = np.stack([covariance(random_samples(40, 5, seed)) for seed in range(6)]).reshape(
        2, 3, 5, 5
    )
    stack[0, 1, 2] = stack[0, 1, :, 2] = 0
    for i, j in np.ndindex(2, 3):
        np.testing.assert_array_equal(correlation(stack)[i, j], correlation(stack[i, j]))


def test_rounding_leaves_correlations_within_one():
    x = random_samples(500, 3)
    copies = np.column_stack([x, -x / 3, 0.1 * x + 5])
    found = correlation(covariance(copies))
    assert np.abs(found).max() == 1 and (np.diagonal(found) == 1).all()


@pytest.mark.parametrize("n_rows, n", [(5, 30), (60, 10), (400, 10), (50, 120)])
def test_ledoit_wolf_is_that_of_scikit_learn(n_rows, n):
    x = generator("ledoit-wolf", n).normal(size=(n_rows, n)) * 3 + 1
    x[:, 0] += x[:, 1]
    np.testing.assert_allclose(
        ledoit_wolf(x, covariance(x)), sklearn_ledoit_wolf(x)[0], rtol=1e-8, atol=1e-10
    )


def test_what_needs_no_shrinkage_gets_none():
    """One variable, or a multiple of the identity: the target is the estimate."""
    x = random_samples(50, 1)
    np.testing.assert_allclose(ledoit_wolf(x, covariance(x)), covariance(x))
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
    np.testing.assert_allclose(ledoit_wolf(signs, covariance(signs)), np.eye(3))


@pytest.mark.parametrize("n", [1, 2, 10, SHRINKAGE_FROM - 1])
def test_precision_is_the_inverse(n):
    covariances = covariance(random_samples(500, n))
    found = precision(random_samples(500, n), covariances)
    scale = np.sqrt(np.diagonal(covariances))
    unit = found * scale[:, None] * scale  # compared where all units are 1
    expected = np.linalg.inv(covariances / scale[:, None] / scale)
    np.testing.assert_allclose(unit, expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max())


def test_precision_of_many_variables_is_that_of_the_shrunk_covariance():
    x = generator("statistics", "shrunk").normal(size=(60, SHRINKAGE_FROM))
    np.testing.assert_allclose(
        precision(x, covariance(x)), np.linalg.inv(sklearn_ledoit_wolf(x)[0]), atol=1e-8
    )


def test_precision_of_duplicates_is_a_pseudo_inverse_at_unit_variance():
    x = awkward_samples()["duplicates"]
    covariances = covariance(x)
    scale = 1 / np.sqrt(np.diagonal(covariances))
    expected = np.linalg.pinv(np.corrcoef(x, rowvar=False), rcond=1e-10) * scale[:, None] * scale
    np.testing.assert_allclose(
        precision(x, covariances) / scale[:, None] / scale, expected / scale[:, None] / scale
    )
    np.testing.assert_allclose(
        precision(x, covariances)[:, 4], precision(x, covariances)[:, 1], rtol=1e-6
    )


@pytest.mark.parametrize("name", ["duplicates", "fewer rows than variables", "constants"])
def test_units_scale_the_precision_and_change_nothing_else(name):
    x, units = awkward_samples()[name], np.array([1e-4, 1, 1e3, 1e6, 1e-2, 7])
    found = precision(x * units, covariance(x * units)) * units[:, None] * units
    expected = precision(x, covariance(x))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", awkward_samples())
def test_nothing_is_ever_nan(name, dtype, kind):
    x = awkward_samples()[name].astype(dtype)
    found = global_statistic(x, covariance(x), kind)
    assert found.shape == (x.shape[1], x.shape[1], CHANNELS[kind]) and found.dtype == np.float64
    assert np.isfinite(found).all()
    scale = np.abs(found).max(axis=(0, 1))
    np.testing.assert_allclose(found, found.transpose(1, 0, 2), atol=1e-9 * scale.max())


@pytest.mark.parametrize("n", [6, SHRINKAGE_FROM])
def test_constants_have_no_covariance_and_change_nothing_else(n):
    x = random_samples(90, n)
    constant = np.zeros(n, bool)
    constant[[0, 3]] = True
    x[:, constant] = [0.1, 1e9]  # 0.1 is no binary number: its mean need not be the value
    covariances = covariance(x)
    assert (covariances[constant] == 0).all() and (covariances[:, constant] == 0).all()
    np.testing.assert_array_equal(correlation(covariances)[constant], np.eye(n)[constant])
    inverse = precision(x, covariances)
    assert (inverse[constant] == 0).all() and (inverse[:, constant] == 0).all()
    rest = x[:, ~constant]
    inner = inverse[np.ix_(~constant, ~constant)]
    if n >= SHRINKAGE_FROM:
        expected = np.linalg.inv(sklearn_ledoit_wolf(rest)[0])
    else:
        expected = precision(rest, covariance(rest))
    np.testing.assert_allclose(inner, expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max())


def test_channels():
    x = random_samples(100, 5)
    covariances = covariance(x)
    np.testing.assert_array_equal(
        global_statistic(x, covariances, "precision")[..., 0], precision(x, covariances)
    )
    np.testing.assert_array_equal(
        global_statistic(x, covariances, "corr")[..., 0], correlation(covariances)
    )
    both = global_statistic(x, covariances, "corr+cov")
    np.testing.assert_array_equal(both[..., 0], correlation(covariances))
    np.testing.assert_array_equal(both[..., 1], covariances)


def test_an_unknown_statistic_is_named():
    assert set(statistics.CHANNELS) == {"precision", "corr", "corr+cov"}
    with pytest.raises(ValueError, match="no statistic 'cov'; known: precision, corr, corr"):
        global_statistic(np.eye(3), np.eye(3), "cov")
