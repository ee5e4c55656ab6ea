"""Features against one pair of columns at a time. The data stay within 3 standard deviations, where
nothing is winsorised."""

import numpy as np
import pytest
import torch

from cdnbench.methods.cdn import features as module
from cdnbench.methods.cdn.features import (
    N_GRID,
    N_GRID_SHIFT,
    N_NODE,
    N_NODE_SHIFT,
    capped,
    set_features,
    shift_features,
)
from cdnbench.methods.cdn.summary import LEVELS, stack, summarise

N, D = 4, 3
ROWS = (90, 60, 75)


def data_sets(seed=0, n_variables=N, rows=ROWS) -> list[np.ndarray]:
    """A chain with bounded noise and a bent arrow; regime d moves variable d."""
    rng = np.random.default_rng(seed)
    units, found = rng.uniform(0.5, 3, n_variables), []
    for d, m in enumerate(rows):
        x = rng.uniform(-1, 1, size=(m, n_variables))
        for j in range(1, n_variables):
            x[:, j] += 0.5 * x[:, j - 1] + 0.3 * (j % 2) * x[:, j - 1] ** 2
            if d and j == d % n_variables:
                x[:, j] = 0.9 * x[:, j] + 0.3
        found.append(x * units + 2 * units)
    return found


def standardised(sets: list[np.ndarray]) -> list[np.ndarray]:
    z = [(x - sets[0].mean(0)) / sets[0].std(0) for x in sets]
    assert max(np.abs(x).max() for x in z) < 3
    return z


def covariance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean((a - a.mean()) * (b - b.mean())))


def corr(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def ordered_pairs(n=N):
    return [(i, j) for i in range(n) for j in range(n) if i != j]


# --- of every data set alone


def slow_set_grid(z: np.ndarray, i: int, j: int) -> list[float]:
    shrunk = np.corrcoef(z, rowvar=False) + (1e-3 + 0.2 * N / len(z)) * np.eye(N)
    rest = [k for k in range(N) if k not in (i, j)]
    pair = shrunk[np.ix_([i, j], [i, j])] - shrunk[np.ix_([i, j], rest)] @ np.linalg.solve(
        shrunk[np.ix_(rest, rest)], shrunk[np.ix_(rest, [i, j])]
    )
    others = [k for k in range(N) if k != j]
    regression = np.linalg.solve(shrunk[np.ix_(others, others)], shrunk[others, j])
    a, b = z[:, i], z[:, j]
    return [
        corr(a, b),
        pair[0, 1] / np.sqrt(pair[0, 0] * pair[1, 1]),
        np.arcsinh(np.polyfit(a, b, 1)[0]),
        np.arcsinh(regression[others.index(i)]),
        corr(a**2, b),
        corr(b**2, a),
        corr(a**2, b**2),
        np.arcsinh(covariance((a**3 - 3 * a) / np.sqrt(6), b) / b.std()),
    ]


def slow_set_node(x: np.ndarray, z: np.ndarray, j: int) -> list[float]:
    shrunk = np.corrcoef(z, rowvar=False) + (1e-3 + 0.2 * N / len(z)) * np.eye(N)
    others = [k for k in range(N) if k != j]
    unexplained = shrunk[j, j] - shrunk[j, others] @ np.linalg.solve(
        shrunk[np.ix_(others, others)], shrunk[others, j]
    )
    return [
        np.arcsinh(x[:, j].mean()),
        np.log(x[:, j].std()),
        z[:, j].mean(),
        np.log(z[:, j].std()),
        0.5 * np.log(unexplained),
        np.arcsinh((z[:, j] ** 2).std() / np.sqrt(2)),
        np.log(len(z)) - 6,
        *np.arcsinh(np.quantile(z[:, j], LEVELS)),
        *np.arcsinh(np.quantile(x[:, j], LEVELS)),
    ]


def test_features_of_a_data_set():
    sets = data_sets()
    node, grid = set_features(summarise(sets))
    assert node.shape == (1, D, N, N_NODE) and grid.shape == (1, D, N, N, N_GRID)
    for d, (x, z) in enumerate(zip(sets, standardised(sets), strict=True)):
        for j in range(N):
            np.testing.assert_allclose(node[0, d, j], slow_set_node(x, z, j), rtol=1e-4, atol=1e-5)
        for i, j in ordered_pairs():
            np.testing.assert_allclose(
                grid[0, d, i, j], slow_set_grid(z, i, j), rtol=1e-4, atol=1e-5
            )


def test_partial_correlations_are_those_of_residuals_where_rows_abound():
    sets = data_sets(rows=(20_000, 50))
    z, grid = sets[0], set_features(summarise(sets))[1]
    for i, j in ordered_pairs():
        rest = np.column_stack([np.ones(len(z)), *[z[:, k] for k in range(N) if k not in (i, j)]])
        a, b = (y - rest @ np.linalg.lstsq(rest, y, rcond=None)[0] for y in (z[:, i], z[:, j]))
        assert float(grid[0, 0, i, j, 1]) == pytest.approx(corr(a, b), abs=5e-3)


# --- of every regime against the observational data


def slow_shift_node(before: np.ndarray, after: np.ndarray, j: int) -> list[float]:
    a, b = before[:, j], after[:, j]
    n0, n1 = len(a), len(b)
    shift, log_ratio = b.mean() - a.mean(), np.log(b.var() / a.var())
    pooled = np.sqrt(1 / (1 / n0 + 1 / n1))
    return [
        shift,
        np.arcsinh(shift / np.sqrt(a.var() / n0 + b.var() / n1)),
        log_ratio,
        np.arcsinh(log_ratio / np.sqrt(2 / n0 + 2 / n1)),
        np.log(pooled) - 3,
        *np.arcsinh((np.quantile(b, LEVELS) - np.quantile(a, LEVELS)) * pooled),
    ]


def slow_shift_grid(before: np.ndarray, after: np.ndarray, i: int, j: int) -> list[float]:
    n0, n1 = len(before), len(after)
    pooled = np.sqrt(1 / (1 / n0 + 1 / n1))

    def fisher(f, g) -> float:
        old, new = (corr(f(x[:, i]), g(x[:, j])) for x in (before, after))
        return np.arcsinh((np.arctanh(new) - np.arctanh(old)) * pooled)

    def same(v):
        return v

    slope, slope_after = (np.polyfit(x[:, i], x[:, j], 1)[0] for x in (before, after))
    residual, residual_after = (
        x[:, j] - slope * x[:, i] for x in (before, after)
    )  # the slope is the observational one
    intercept = residual_after.mean() - residual.mean()
    rest, rest_after = residual.var(), residual_after.var()
    slope_error = rest / (n0 * before[:, i].var()) + rest_after / (n1 * after[:, i].var())
    log_ratio = np.log(rest_after / rest)
    return [
        fisher(same, same),
        fisher(np.square, same),
        fisher(same, np.square),
        fisher(np.square, np.square),
        np.arcsinh(intercept / np.sqrt(rest / n0 + rest_after / n1)),
        np.arcsinh((slope_after - slope) / np.sqrt(slope_error)),
        np.arcsinh(log_ratio / np.sqrt(2 / n0 + 2 / n1)),
        log_ratio,
        np.arcsinh(intercept),
    ]


def test_features_of_a_regime_against_the_observational_data():
    sets = data_sets()
    node, grid = shift_features(summarise(sets))
    assert node.shape == (1, D - 1, N, N_NODE_SHIFT) and grid.shape == (
        1,
        D - 1,
        N,
        N,
        N_GRID_SHIFT,
    )
    z = standardised(sets)
    for r in range(D - 1):
        for j in range(N):
            np.testing.assert_allclose(
                node[0, r, j], slow_shift_node(z[0], z[r + 1], j), rtol=1e-4, atol=1e-4
            )
        for i, j in ordered_pairs():
            expected = slow_shift_grid(z[0], z[r + 1], i, j)
            np.testing.assert_allclose(grid[0, r, i, j], expected, rtol=1e-4, atol=1e-4)


def test_nothing_moved_where_a_regime_is_the_observational_data():
    x = data_sets()[0]
    node, grid = shift_features(summarise([x, x]))
    moved = torch.cat([node[..., :4], node[..., 5:]], dim=-1)  # all but the number of rows
    assert moved.abs().max() < 1e-6 and grid.abs().max() < 1e-6


def test_beyond_4000_rows_standard_errors_no_longer_shrink():
    assert capped(torch.tensor([30.0, 4000.0, 1e6])).tolist() == [30, 4000, 4000]
    sets = data_sets(rows=(100, 100))
    many = [np.tile(x, (100, 1)) for x in sets]
    more = [np.tile(x, (200, 1)) for x in sets]
    for a, b in zip(shift_features(summarise(many)), shift_features(summarise(more)), strict=True):
        torch.testing.assert_close(
            a, b, rtol=1e-2, atol=1e-2
        )  # quantiles interpolate a little differently


# --- what holds of all of them


def everything(summary) -> list[torch.Tensor]:
    return [*set_features(summary), *shift_features(summary)]


def degenerate_sets() -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(0)

    def normal(*rows, n=5):
        return [rng.normal(size=(m, n)) for m in rows]

    found = {
        name: normal(40, 35, 30)
        for name in ("constant", "constant before", "constant after", "two values")
    }
    for x in found["constant"]:
        x[:, 2] = 7
    found["constant before"][0][:, 2] = 0
    found["constant after"][1][:, 2] = 0
    for x in found["two values"]:
        x[:, 1] = x[:, 1] > 1
    found["duplicated"] = [np.column_stack([x, x[:, 0], -x[:, 1]]) for x in normal(40, 35, 30)]
    found["all constant"] = [np.full((30, 5), float(d)) for d in range(3)]
    found["more variables than rows"] = normal(30, 30, n=50)
    found["one row after"] = normal(30, 1)
    found["far away"] = [x * 10.0 ** (6 * d) for d, x in enumerate(normal(30, 30))]
    found["tiny units"] = [x * 1e-12 for x in normal(30, 30)]
    found["two variables"] = normal(30, 30, n=2)
    return found


@pytest.mark.parametrize("name", degenerate_sets())
def test_every_feature_is_finite_and_moderate(name):
    for value in everything(summarise(degenerate_sets()[name])):
        assert torch.isfinite(value).all() and value.abs().max() < 60


def test_the_diagonal_of_the_grids_is_zero():
    _, grid, _, shift = everything(summarise(data_sets()))
    for value in (grid, shift):
        assert (value.diagonal(dim1=-3, dim2=-2) == 0).all() and value.abs().sum() > 0


def test_other_orders_of_variables_and_regimes_reorder_the_features():
    sets = data_sets()
    node, grid, node_shift, grid_shift = everything(summarise(sets))
    order, regimes = [2, 0, 3, 1], [1, 0]
    shuffled = summarise([sets[0][:, order], *(sets[1 + r][:, order] for r in regimes)])
    all_sets = [0, *(1 + r for r in regimes)]
    expected = [
        node[:, all_sets][:, :, order],
        grid[:, all_sets][:, :, order][:, :, :, order],
        node_shift[:, regimes][:, :, order],
        grid_shift[:, regimes][:, :, order][:, :, :, order],
    ]
    for found, value in zip(everything(shuffled), expected, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-5, atol=1e-5)


def test_a_task_has_the_same_features_among_others():
    tasks = [summarise(data_sets(seed)) for seed in range(3)]
    for together, *single in zip(
        everything(stack(tasks)), *(everything(s) for s in tasks), strict=True
    ):
        torch.testing.assert_close(together, torch.cat(single), rtol=1e-5, atol=1e-6)


def test_sizes_are_those_that_the_network_is_built_for():
    assert (module.N_NODE, module.N_GRID, module.N_NODE_SHIFT, module.N_GRID_SHIFT) == (
        25,
        8,
        14,
        9,
    )
