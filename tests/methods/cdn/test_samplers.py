"""The samplers against a data set at a time, batch at a time, variable at a time, with the same
uniform numbers."""

import numpy as np
import pytest

from cdnbench.digest import generator
from cdnbench.methods.cdn.samplers import sample_batches, sample_batches_many


def slow_batches(statistic: np.ndarray, uniforms: np.ndarray, n_guided: int) -> list[list[int]]:
    """The formulas of the module's docstring, weights recomputed at every draw; uniforms (T, k)."""
    n = len(statistic)
    visits = np.zeros((n, n))
    batches = []
    for t, draws in enumerate(uniforms):
        s = np.abs(statistic) if t >= len(uniforms) - n_guided else np.ones((n, n))
        w = s / np.sqrt(1 + visits)
        np.fill_diagonal(w, 0)
        chosen: list[int] = []
        for u in draws:
            left = [j for j in range(n) if j not in chosen]
            p = np.array([w[chosen, j].sum() if chosen else w[:, j].sum() for j in left])
            if p.sum() == 0:
                p = np.ones(len(left))
            chosen.append(
                left[min(np.searchsorted(np.cumsum(p), u * p.sum(), side="right"), len(left) - 1)]
            )
        for i in chosen:
            for j in chosen:
                visits[i, j] += 1
        batches.append(chosen)
    return batches


def random_statistics(rng, n_sets: int, n: int, kind: str) -> np.ndarray:
    s = rng.normal(size=(n_sets, n, n)) * np.exp(
        rng.normal(size=(n_sets, n, n)) * (3 if kind == "heavy" else 0)
    )
    if kind == "sparse":
        s *= rng.random(s.shape) < 0.15
    return s + s.transpose(0, 2, 1)


@pytest.mark.parametrize("kind", ["plain", "heavy", "sparse"])
@pytest.mark.parametrize(
    "n, k, n_batches", [(2, 2, 6), (5, 5, 8), (6, 3, 20), (12, 5, 30), (40, 5, 15)]
)
def test_equals_the_formulas(n, k, n_batches, kind):
    rng = generator("samplers", n, kind)
    statistics, uniforms = random_statistics(rng, 7, n, kind), rng.random((7, n_batches, k))
    batches = sample_batches_many(statistics, uniforms)
    assert batches.shape == (7, n_batches, k) and batches.dtype == np.int64
    for s, u, found in zip(statistics, uniforms, batches, strict=True):
        assert found.tolist() == slow_batches(s, u, n_batches // 2)


@pytest.mark.parametrize("share, n_guided", [(0, 0), (0.3, 3), (0.5, 5), (1, 11)])
def test_the_guided_share_are_the_last_batches(share, n_guided):
    """The first ones of T = 11 batches, rounded down, do not look at the statistic."""
    rng = generator("samplers", "share", share)
    statistics, uniforms = random_statistics(rng, 2, 9, "heavy"), rng.random((2, 11, 4))
    batches = sample_batches_many(statistics, uniforms, share)
    for s, u, found in zip(statistics, uniforms, batches, strict=True):
        assert found.tolist() == slow_batches(s, u, n_guided)
    blind = sample_batches_many(np.zeros_like(statistics), uniforms, 0)
    np.testing.assert_array_equal(batches[:, : 11 - n_guided], blind[:, : 11 - n_guided])


def test_a_data_set_has_the_batches_it_has_alone():
    rng = generator("samplers", "alone")
    statistics, uniforms = random_statistics(rng, 6, 15, "sparse"), rng.random((6, 24, 5))
    together = sample_batches_many(statistics, uniforms)
    for b in range(6):
        np.testing.assert_array_equal(
            sample_batches_many(statistics[[b]], uniforms[[b]])[0], together[b]
        )


def test_neither_sign_nor_diagonal_of_the_statistic_counts():
    rng = generator("samplers", "sign")
    statistics, uniforms = random_statistics(rng, 3, 8, "heavy"), rng.random((3, 20, 5))
    expected = sample_batches_many(statistics, uniforms)
    changed = np.abs(statistics) + 100 * np.eye(8)
    np.testing.assert_array_equal(sample_batches_many(changed, uniforms), expected)


@pytest.mark.parametrize("kind", ["plain", "heavy", "sparse", "zero"])
def test_no_variable_comes_twice_in_a_batch(kind):
    rng = generator("samplers", "twice", kind)
    statistics = random_statistics(rng, 20, 11, kind) * (kind != "zero")
    # draws at both ends of the unit interval are where rounding could pick a variable again, or
    # none
    uniforms = rng.choice([0.0, 0.5, np.nextafter(1, 0)], size=(20, 40, 5))
    batches = np.sort(sample_batches_many(statistics, uniforms), axis=-1)
    assert (np.diff(batches, axis=-1) > 0).all() and batches.min() >= 0 and batches.max() < 11


def test_uniform_batches_are_uniform():
    """Without visits and statistic each variable is as likely as any other, in every position, and
    so is every pair."""
    n, k, n_sets = 6, 3, 30_000
    rng = generator("samplers", "uniform")
    batches = sample_batches_many(np.zeros((n_sets, n, n)), rng.random((n_sets, 1, k)), 0)[:, 0]
    for position in range(k):
        share = np.bincount(batches[:, position], minlength=n) / n_sets
        np.testing.assert_allclose(share, 1 / n, atol=5 * np.sqrt(1 / n / n_sets))
    pairs = np.bincount(batches[:, 0] * n + batches[:, 1], minlength=n * n).reshape(n, n) / n_sets
    expected = (1 - np.eye(n)) / (n * (n - 1))
    np.testing.assert_allclose(pairs, expected, atol=5 * np.sqrt(1 / 30 / n_sets))


def test_visits_spread_the_uniform_half():
    """Pairs that were seen together are avoided, so that counts are more even than those of
    independent batches."""
    n, k, n_batches = 12, 5, 60
    rng = generator("samplers", "spread")

    def variance_of_counts(batches):
        counts = np.zeros((len(batches), n, n))
        for t in range(batches.shape[1]):
            chosen = batches[:, t]
            counts[
                np.arange(len(batches))[:, None, None], chosen[:, :, None], chosen[:, None, :]
            ] += 1
        return counts[:, *np.triu_indices(n, 1)].var(axis=1).mean()

    ours = sample_batches_many(np.zeros((50, n, n)), rng.random((50, n_batches, k)), 0)
    independent = rng.random((50, n_batches, n)).argsort(-1)[..., :k]
    assert variance_of_counts(ours) < 0.8 * variance_of_counts(independent)


def test_guided_batches_follow_the_statistic():
    """Two blocks that know nothing of each other: a guided batch stays within one, the first ones
    do not."""
    n = 12
    statistic = np.kron(np.eye(2), np.ones((n // 2, n // 2)))
    batches = sample_batches(statistic, 200, 5, generator("samplers", "blocks"))
    pure = np.isin((batches >= n // 2).sum(1), (0, 5))
    assert pure[100:].all() and pure[:100].mean() < 0.1


def test_zero_weights_are_drawn_uniformly_among_the_rest():
    """One related pair among eight: after these two the third is any of the other six."""
    n, n_sets = 8, 12_000
    statistics = np.zeros((n_sets, n, n))
    statistics[:, 0, 1] = statistics[:, 1, 0] = 2.5
    batches = sample_batches_many(
        statistics, generator("samplers", "zero").random((n_sets, 1, 3)), 1
    )[:, 0]
    assert (np.sort(batches[:, :2], axis=1) == [0, 1]).all()
    share = np.bincount(batches[:, 2], minlength=n) / n_sets
    np.testing.assert_allclose(share, [0, 0, *[1 / 6] * 6], atol=5 * np.sqrt(1 / 6 / n_sets))
    nothing = sample_batches_many(
        0 * statistics, generator("samplers", "zero").random((n_sets, 1, 3)), 1
    )[:, 0]
    share = np.bincount(nothing[:, 0], minlength=n) / n_sets
    np.testing.assert_allclose(share, 1 / n, atol=5 * np.sqrt(1 / n / n_sets))


@pytest.mark.parametrize("n", [1, 2, 4])
def test_fewer_variables_than_a_batch_holds(n):
    batches = sample_batches(np.ones((n, n)), 7, 5, generator("samplers", "small"))
    np.testing.assert_array_equal(np.sort(batches, axis=1), np.tile(np.arange(n), (7, 1)))
    with pytest.raises(ValueError, match=f"batches of 5 variables out of {n}"):
        sample_batches_many(np.ones((1, n, n)), np.zeros((1, 7, 5)))


def test_one_set_is_many_with_one():
    statistic = random_statistics(generator("samplers", "one"), 1, 9, "plain")
    expected = sample_batches_many(statistic, generator("samplers", "draws").random((1, 12, 5)))[0]
    np.testing.assert_array_equal(
        sample_batches(statistic[0], 12, 5, generator("samplers", "draws")), expected
    )
    assert sample_batches(statistic[0], 0, 5, generator("samplers", "draws")).shape == (0, 5)
