"""Mechanism tests against one penalised regression a variable on the rows themselves, and the
residuals that it leaves."""

import numpy as np
import pytest
import torch

from cdnbench.methods.cdn import mechanism as module
from cdnbench.methods.cdn.mechanism import N_GRID_TEST, N_NODE_TEST, MechanismTests
from cdnbench.methods.cdn.summary import stack, summarise

ROWS = (80, 50, 65)


def data_sets(n_variables=5, rows=ROWS, seed=0) -> list[np.ndarray]:
    """A chain with a bent arrow; regime d moves variable d."""
    rng = np.random.default_rng(seed)
    found = []
    for d, m in enumerate(rows):
        x = rng.normal(size=(m, n_variables))
        for j in range(1, n_variables):
            x[:, j] = (
                2 * x[:, j] + 2 if d == j else x[:, j] + 0.8 * x[:, j - 1] + np.cos(x[:, j - 1])
            )
        found.append(x)
    return found


def beliefs(n_variables=5, n_sets=3, n_tasks=1, seed=1) -> tuple[torch.Tensor, torch.Tensor]:
    """Edge logits and weights."""
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(scale=3, size=(n_tasks, n_variables, n_variables)))
    return logits, torch.from_numpy(rng.uniform(0.05, 1, size=(n_tasks, n_sets, n_variables)))


def basis(sets: list[np.ndarray]) -> list[np.ndarray]:
    """The rows of psi of every data set, (rows, 1 + 3 N)."""
    found = []
    for x in sets:
        z = (x - sets[0].mean(0)) / sets[0].std(0)
        near = z.clip(-3, 3)
        found.append(
            np.column_stack(
                [np.ones(len(z)), z, (near**2 - 1) / 2**0.5, (near**3 - 3 * near) / 6**0.5]
            )
        )
    return found


def slow_coefficients(psi, logits, weights, j, most_parents=20) -> np.ndarray:
    """(F,) of z_j: weighted least squares over all rows, the penalty written as further rows."""
    n = len(logits)
    parents = sorted((i for i in range(n) if i != j), key=lambda i: -logits[i, j])[:most_parents]
    columns = [0, *[1 + b * n + i for b in range(3) for i in parents]]
    kappa = np.exp([0.0, 1.0, 1.0])  # of a new module, and shift = 2
    penalty = [
        0.0,
        *[kappa[b] * (1 + np.exp(min(2 - logits[i, j], 12))) for b in range(3) for i in parents],
    ]
    root = np.concatenate(
        [np.full(len(x), np.sqrt(w)) for x, w in zip(psi, weights[:, j], strict=True)]
    )
    rows = np.concatenate(psi)
    tiny = 1e-5 * (root**2).sum()  # keeps the equations solvable
    left = np.concatenate(
        [rows[:, columns] * root[:, None], np.diag(np.sqrt(np.add(penalty, tiny)))]
    )
    right = np.concatenate([rows[:, 1 + j] * root, np.zeros(len(columns))])
    beta = np.zeros(rows.shape[1])
    beta[columns] = np.linalg.lstsq(left, right, rcond=None)[0]
    return beta


def slow_residuals(psi, logits, weights, most_parents=20) -> list[np.ndarray]:
    """The arrays of every data set, (rows, N)."""
    n = len(logits)
    beta = np.stack([slow_coefficients(psi, logits, weights, j, most_parents) for j in range(n)])
    return [x[:, 1 : 1 + n] - x @ beta.T for x in psi]


# --- the regressions


@pytest.mark.parametrize("most_parents", [20, 2], ids=["all parents", "the two likeliest"])
def test_residuals_are_those_of_a_penalised_regression_on_the_rows(monkeypatch, most_parents):
    monkeypatch.setattr(module, "MOST_PARENTS", most_parents)
    sets, (logits, weights) = data_sets(), beliefs()
    found = MechanismTests().residual_maker(summarise(sets), logits, weights)[0].detach().numpy()
    psi = basis(sets)
    for j in range(5):
        expected = -slow_coefficients(psi, logits[0].numpy(), weights[0].numpy(), j, most_parents)
        expected[1 + j] += 1
        np.testing.assert_allclose(found[j], expected, rtol=1e-5, atol=1e-6)


def test_a_variable_is_no_parent_of_itself():
    sets, (logits, weights) = data_sets(), beliefs()
    found = MechanismTests().residual_maker(summarise(sets), logits + 20 * torch.eye(5), weights)[0]
    own = found[:, 1:].reshape(5, 3, 5).diagonal(dim1=0, dim2=2)
    np.testing.assert_array_equal(own.detach()[0], np.ones(5))
    np.testing.assert_array_equal(own.detach()[1:], np.zeros((2, 5)))


def test_unlikely_parents_hardly_count():
    """Many variables take another path, with the likeliest parents only; where the rest is unlikely
    it comes to the same."""
    sets = data_sets(n_variables=6)
    logits, weights = torch.full((1, 6, 6), -40.0), torch.ones(1, 3, 6)
    for j in range(1, 6):
        logits[0, j - 1, j] = 6.0
    tests = MechanismTests()
    every = tests(summarise(sets), logits, weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_PARENTS", 2)
        few = tests(summarise(sets), logits, weights)
    for a, b in zip(every, few, strict=True):
        torch.testing.assert_close(a, b, atol=2e-2, rtol=0)


def test_more_than_twenty_one_variables():
    sets, (logits, weights) = data_sets(n_variables=25), beliefs(n_variables=25)
    found = MechanismTests().residual_maker(summarise(sets), logits, weights)[0].detach().numpy()
    psi = basis(sets)
    for j in (0, 7, 24):
        expected = -slow_coefficients(psi, logits[0].numpy(), weights[0].numpy(), j)
        expected[1 + j] += 1
        np.testing.assert_allclose(found[j], expected, rtol=1e-4, atol=1e-5)


def test_weight_zero_leaves_a_regime_out():
    sets, (logits, weights) = data_sets(), beliefs()
    weights[0, 1, 2] = 0
    tests = MechanismTests()
    whole, without = summarise(sets), summarise([sets[0], sets[2]])
    found = tests.residual_maker(whole, logits, weights)[0]
    expected = tests.residual_maker(without, logits, weights[:, [0, 2]])[0]
    torch.testing.assert_close(found[2], expected[2])
    assert ((found - expected).abs().amax(-1) > 1e-4).tolist() == [True, True, False, True, True]


# --- what is read from the residuals


def slow_node(residuals, weights, r, j) -> list[float]:
    shares = [w * len(e) for w, e in zip(weights[:, j], residuals, strict=True)]
    seconds = [np.mean(e[:, j] ** 2) for e in residuals]
    reference = float(np.dot(shares, seconds) / np.sum(shares))
    e = residuals[r + 1][:, j]
    mean, variance, rows = e.mean(), e.var(), len(e)
    return [
        np.arcsinh(mean / np.sqrt(reference)),
        np.arcsinh(mean / np.sqrt(reference / rows)),
        np.arcsinh(mean / np.sqrt(variance / rows)),
        np.log(variance / reference),
        np.arcsinh(np.log(variance / reference) * np.sqrt(rows / 2)),
        np.log(np.sqrt(reference)),
        np.log(np.sqrt(variance)),
    ]


def slow_grid(residuals, psi, weights, r, i, j) -> list[float]:
    n = weights.shape[1]
    reference = np.exp(2 * slow_node(residuals, weights, r, j)[5])
    e, rows = residuals[r + 1], len(residuals[r + 1])
    linear, square = psi[r + 1][:, 1 + i], psi[r + 1][:, 1 + n + i]

    def effect(f) -> float:
        return np.arcsinh(np.cov(e[:, j], f, bias=True)[0, 1] / np.sqrt(reference * f.var()))

    both = np.corrcoef(e[:, i], e[:, j])[0, 1]
    return [
        np.arcsinh(np.corrcoef(e[:, j], linear)[0, 1] * np.sqrt(rows)),
        np.arcsinh(np.corrcoef(e[:, j], square)[0, 1] * np.sqrt(rows)),
        effect(linear),
        effect(square),
        np.arcsinh(both * np.sqrt(rows)),
        both,
    ]


def test_features_are_moments_of_the_residuals():
    sets, (logits, weights) = data_sets(), beliefs()
    node, grid = MechanismTests()(summarise(sets), logits, weights)
    assert node.shape == (1, 2, 5, N_NODE_TEST) and grid.shape == (1, 2, 5, 5, N_GRID_TEST)
    psi = basis(sets)
    residuals, w = slow_residuals(psi, logits[0].numpy(), weights[0].numpy()), weights[0].numpy()
    for r in range(2):
        for j in range(5):
            np.testing.assert_allclose(
                node[0, r, j].detach(), slow_node(residuals, w, r, j), rtol=1e-3, atol=1e-4
            )
            for i in range(5):
                expected = (
                    slow_grid(residuals, psi, w, r, i, j) if i != j else np.zeros(N_GRID_TEST)
                )
                np.testing.assert_allclose(
                    grid[0, r, i, j].detach(), expected, rtol=1e-3, atol=1e-4
                )


def test_the_targets_stand_out_under_the_true_graph():
    sets = data_sets(rows=(2000, 2000, 2000))
    logits, weights = torch.full((1, 5, 5), -8.0), torch.ones(1, 3, 5)
    for j in range(1, 5):
        logits[0, j - 1, j] = 8.0
    for d in (1, 2):
        weights[0, d, d] = 0
    node, _ = MechanismTests()(summarise(sets), logits, weights)
    z = node[0, ..., 1].detach().sinh().abs()  # standard errors of the mean
    targets = torch.zeros(2, 5, dtype=torch.bool)
    targets[0, 1] = targets[1, 2] = True
    assert z[targets].min() > 20 and z[~targets].max() < 4


def test_other_orders_of_variables_and_regimes_reorder_the_features():
    sets, (logits, weights) = data_sets(), beliefs()
    node, grid = MechanismTests()(summarise(sets), logits, weights)
    order = [3, 0, 4, 2, 1]
    shuffled = summarise([sets[d][:, order] for d in (0, 2, 1)])
    found = MechanismTests()(
        shuffled, logits[:, order][:, :, order], weights[:, [0, 2, 1]][:, :, order]
    )
    torch.testing.assert_close(found[0], node[:, [1, 0]][:, :, order], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        found[1], grid[:, [1, 0]][:, :, order][:, :, :, order], rtol=1e-5, atol=1e-5
    )


def test_a_task_has_the_same_features_among_others():
    tasks = [summarise(data_sets(seed=s)) for s in range(3)]
    logits, weights = beliefs(n_tasks=3)
    tests = MechanismTests()
    together = tests(stack(tasks), logits, weights)
    for b, single in enumerate(tasks):
        for all_of_them, one in zip(
            together, tests(single, logits[b : b + 1], weights[b : b + 1]), strict=True
        ):
            torch.testing.assert_close(all_of_them[b : b + 1], one)


# --- gradients


@pytest.mark.parametrize("most_parents", [20, 2])
def test_gradients_reach_edges_weights_and_the_penalty(monkeypatch, most_parents):
    monkeypatch.setattr(module, "MOST_PARENTS", most_parents)
    logits, weights = (x.requires_grad_() for x in beliefs())
    tests = MechanismTests()
    node, grid = tests(summarise(data_sets()), logits, weights)
    (node.square().sum() + grid.square().sum()).backward()
    off_diagonal = ~torch.eye(5, dtype=torch.bool)
    reached = (logits.grad[0] != 0) & off_diagonal
    assert (
        reached.sum(0).tolist() == [min(4, most_parents)] * 5
        and (logits.grad[0].diagonal() == 0).all()
    )
    assert (weights.grad != 0).all()
    assert (tests.log_kappa.grad != 0).all() and tests.shift.grad != 0


def test_gradients_are_those_of_small_differences():
    summary, (logits, weights) = summarise(data_sets(n_variables=3)), beliefs(n_variables=3)
    tests = MechanismTests().double()

    def residuals(logits, weights):
        return tests.residual_maker(summary, logits, weights)

    assert torch.autograd.gradcheck(residuals, (logits.requires_grad_(), weights.requires_grad_()))


# --- input that no regression is meant for


def degenerate_sets() -> dict[str, list[np.ndarray]]:
    found = {name: data_sets() for name in ("constant", "constant after", "duplicated")}
    for x in found["constant"]:
        x[:, 2] = 3
    found["constant after"][1][:] = 1
    found["duplicated"] = [np.column_stack([x, x[:, 0], x[:, 1]]) for x in found["duplicated"]]
    found["two variables"] = data_sets(n_variables=2)
    found["more parents than rows"] = data_sets(n_variables=30, rows=(30, 30, 30))
    found["far away"] = [x * 10.0 ** (5 * d) for d, x in enumerate(data_sets())]
    found["all constant"] = [np.ones((30, 4)) for _ in range(3)]
    return found


@pytest.mark.parametrize("extreme", [0.0, 60.0, -60.0])
@pytest.mark.parametrize("name", degenerate_sets())
def test_features_and_gradients_are_finite(name, extreme):
    sets = degenerate_sets()[name]
    n = sets[0].shape[1]
    logits = torch.full((1, n, n), extreme, requires_grad=True)
    weights = torch.cat([torch.ones(1, 1, n), torch.zeros(1, 2, n)], dim=1).requires_grad_()
    tests = MechanismTests()
    features = tests(summarise(sets), logits, weights)
    sum(x.square().sum() for x in features).backward()
    for value in (*features, logits.grad, weights.grad, tests.log_kappa.grad, tests.shift.grad):
        assert torch.isfinite(value).all()
