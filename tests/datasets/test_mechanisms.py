"""Each mechanism against its formula written out, one parent and one row at a time."""

import numpy as np
import pytest

from cdnbench.datasets.synthetic.mechanisms import MECHANISMS
from cdnbench.digest import generator

ROWS = 5


def squash(x):
    return x / (1 + abs(x))


def by_hand(name, m, x, noise):
    p = len(x)
    match name:
        case "linear":
            return sum(m.weights[j] * x[j] for j in range(p))
        case "polynomial":
            terms = [sum(m.coefficients[j, k] * x[j] ** k for k in range(3)) for j in range(p)]
            return sum(min(max(t, -1), 1) for t in terms)
        case "sigmoid":
            return sum(m.a * m.b * (x[j] + m.c) / (1 + abs(m.b * (x[j] + m.c))) for j in range(p))
        case "sigmix":
            s = [squash(m.b[j] * (x[j] + m.c[j])) for j in range(p)]
            return sum(m.a[j] * s[j] for j in range(p)) + sum(
                m.gates[j] * s[j] * s[j + 1] for j in range(p - 1)
            )
        case "fourier":
            waves = [
                np.cos(sum(m.frequencies[k, j] * x[j] for j in range(p)) + m.phases[k])
                for k in range(32)
            ]
            return np.sqrt(2 / 32) * sum(w * v for w, v in zip(m.weights, waves, strict=True))
        case "nn":
            (w, b), (v, d) = m.hidden, m.output
            return sum(v[0, k] * np.tanh(w[k] @ [*x, noise] + b[k, 0]) for k in range(20)) + d[0, 0]
        case "nn_add":
            (w, b), (v, d) = m.hidden, m.output
            h = [w[k] @ x + b[k, 0] for k in range(10)]
            return sum(v[0, k] * (h[k] if h[k] > 0 else 0.25 * h[k]) for k in range(10)) + d[0, 0]


@pytest.mark.parametrize("name", MECHANISMS)
@pytest.mark.parametrize("n_parents", [1, 2, 5])
def test_formula(name, n_parents):
    rng = generator("mechanism", name, n_parents)
    mechanism = MECHANISMS[name].draw(rng, n_parents)
    x, noise = rng.random((n_parents, ROWS)) * 6 - 3, rng.random(ROWS)
    expected = [by_hand(name, mechanism, x[:, row], noise[row]) for row in range(ROWS)]
    assert np.allclose(mechanism(x, noise), expected)


def test_parameters_have_their_declared_ranges():
    rng = generator("parameters")
    linear = MECHANISMS["linear"].draw(rng, 3000).weights
    assert 0.25 < np.abs(linear).min() < 0.26 and 0.99 < np.abs(linear).max() < 1
    polynomial = MECHANISMS["polynomial"].draw(rng, 1000).coefficients
    assert polynomial.shape == (1000, 3) and polynomial.min() > 0 and polynomial.max() < 1
    sigmoids = [MECHANISMS["sigmoid"].draw(rng, 2) for _ in range(1000)]
    a, b, c = np.array([[s.a, s.b, s.c] for s in sigmoids]).T
    assert a.min() > 1 and abs(a.mean() - 1.25) < 0.03
    assert np.abs(b).min() > 0.5 and np.abs(b).max() < 2 and abs((b > 0).mean() - 0.5) < 0.06
    assert np.abs(c).max() < 2 and abs(c.mean()) < 0.15


@pytest.mark.parametrize("n_parents", [1, 3])
def test_fourier_effects_have_standard_deviation_about_one(n_parents):
    x = generator("fourier inputs").random((n_parents, 2000)) * 4 - 2
    draws = [
        MECHANISMS["fourier"].draw(generator("fourier", k), n_parents)(x, x[0]) for k in range(200)
    ]
    assert 0.85 < np.sqrt(np.mean(np.square(draws))) < 1.15


def test_only_the_network_takes_the_noise_as_an_input():
    assert [name for name, m in MECHANISMS.items() if m.noise_inside] == ["nn"]
