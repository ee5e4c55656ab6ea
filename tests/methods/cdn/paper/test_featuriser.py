"""Features against one batch at a time; a data set's features are its own, whatever it is
featurised with."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from cdnbench.digest import generator
from cdnbench.methods.cdn.paper import featuriser
from cdnbench.methods.cdn.paper.featuriser import BATCH_ROWS, Features, concatenate, featurise
from cdnbench.methods.cdn.paper.marginals import PADDING, TOKENS, reference_estimate
from cdnbench.methods.cdn.paper.statistics import covariance, global_statistic
from cdnbench.methods.cdn.samplers import sample_batches_many

NAMES = [f.name for f in fields(Features)]


def random_samples(n_rows: int, n: int, seed: int = 0) -> np.ndarray:
    rng = generator("featuriser", n_rows, n, seed)
    weights = np.triu(rng.uniform(0.4, 1.2, (n, n)) * (rng.random((n, n)) < 2.5 / n), 1)
    return (rng.normal(size=(n_rows, n)) @ np.linalg.inv(np.eye(n) - weights)).astype(np.float32)


def assert_equal(a: Features, b: Features) -> None:
    for name in NAMES:
        assert torch.equal(getattr(a, name), getattr(b, name)), name


@pytest.fixture
def estimated(monkeypatch):
    """What `marginal_estimates` is asked: a list of (correlations (B T, k, k), rows (B T,)), one a
    call."""
    calls = []
    original = featuriser.marginal_estimates

    def spy(correlations, n_rows):
        calls.append((correlations.numpy().copy(), n_rows.numpy().copy()))
        return original(correlations, n_rows)

    monkeypatch.setattr(featuriser, "marginal_estimates", spy)
    return calls


@pytest.mark.parametrize("statistic, channels", [("precision", 1), ("corr", 1), ("corr+cov", 2)])
@pytest.mark.parametrize("n, k", [(2, 2), (3, 3), (4, 4), (5, 5), (9, 5)])
def test_shapes_and_types(n, k, statistic, channels):
    features = featurise(
        [random_samples(30, n, s) for s in range(3)], 7, generator("f"), statistic=statistic
    )
    pairs = (3, 7, k * (k - 1))
    for name, shape, dtype in [
        ("tokens", pairs, torch.int64),
        ("rows", pairs, torch.int64),
        ("columns", pairs, torch.int64),
        ("statistics", (3, n, n, channels), torch.float32),
        ("moments", (3, n, 2), torch.float32),
    ]:
        assert getattr(features, name).shape == shape and getattr(features, name).dtype == dtype, (
            name
        )
    assert len(features) == 3
    assert (features.tokens != PADDING).all() and (features.rows != features.columns).all()
    assert features.rows.max() < n and features.columns.max() < n


def test_the_pairs_of_a_batch_are_all_ordered_pairs_of_its_variables():
    features = featurise([random_samples(30, 8)], 20, generator("f"), k=4)
    for rows, columns in zip(features.rows[0].tolist(), features.columns[0].tolist(), strict=True):
        nodes = set(rows)
        assert len(nodes) == 4
        assert sorted(zip(rows, columns, strict=True)) == sorted(
            (i, j) for i in nodes for j in nodes if i != j
        )


@pytest.mark.parametrize("n_rows", [12, 80, BATCH_ROWS])
def test_tokens_are_causal_learns_reading_of_all_rows_of_a_small_set(n_rows, estimated):
    x = random_samples(n_rows, 7, 1)
    features = featurise([x], 25, generator("f"))
    (_, counted), *_ = estimated
    assert (counted == n_rows).all()
    for t in range(25):
        rows, columns = features.rows[0, t].tolist(), features.columns[0, t].tolist()
        nodes = list(dict.fromkeys(rows))
        marks = reference_estimate(x[:, nodes].astype(np.float64))
        for i, j, token in zip(rows, columns, features.tokens[0, t].tolist(), strict=True):
            a, b = nodes.index(i), nodes.index(j)
            assert token == TOKENS[marks[b, a], marks[a, b]]


def test_windows_of_a_large_set_are_rows_of_one_permutation(estimated):
    """The stream of a data set gives, in this order, the variables of the batches, the starts and
    the permutation."""
    n_batches, k, rows = 15, 5, 40
    sets = [
        random_samples(m, 7, m) + m for m in (41, 100, 30)
    ]  # the last is small, and takes all rows
    featurise(sets, n_batches, generator("windows"), rows=rows)
    ((correlations, counted),) = estimated
    assert counted.reshape(3, n_batches).T.tolist() == [[40, 40, 30]] * n_batches
    for b, (x, stream) in enumerate(zip(sets, generator("windows").spawn(3), strict=True)):
        x = x.astype(np.float64)
        statistic = global_statistic(x, covariance(x), "precision")[..., 0]
        nodes = sample_batches_many(statistic[None], stream.random((1, n_batches, k)))[0]
        if len(x) > rows:
            starts = stream.integers(len(x), size=(n_batches, 1))[:, 0]
            permuted = x[stream.permutation(len(x))]
        for t in range(n_batches):
            picked = np.roll(permuted, -starts[t], axis=0)[:rows] if len(x) > rows else x
            expected = np.corrcoef(picked[:, nodes[t]], rowvar=False)
            np.testing.assert_allclose(correlations[b * n_batches + t], expected, atol=1e-10)


def test_every_subset_of_rows_is_equally_likely(estimated):
    """Four rows, three a batch: the correlation tells which row was left out."""
    x = np.array([[0, 0], [1, 2], [2, 1], [5, 3]], np.float32)
    left_out = np.array(
        [np.corrcoef(np.delete(x, r, axis=0), rowvar=False)[0, 1] for r in range(4)]
    )
    featurise([x] * 1500, 2, generator("subsets"), rows=3)
    ((correlations, _),) = estimated
    distances = np.abs(correlations[:, 0, 1, None] - left_out)
    assert (distances.min(1) < 1e-9).all()
    share = np.bincount(distances.argmin(1), minlength=4) / 3000
    np.testing.assert_allclose(share, 1 / 4, atol=5 * np.sqrt(3 / 16 / 3000))


def test_the_seed_decides():
    x = [random_samples(600, 9)]
    assert_equal(featurise(x, 8, generator("s", 1)), featurise(x, 8, generator("s", 1)))
    assert not torch.equal(
        featurise(x, 8, generator("s", 1)).rows, featurise(x, 8, generator("s", 2)).rows
    )


def test_a_data_set_has_the_features_it_has_in_other_company():
    sets = [random_samples(m, 9, m) for m in (600, 30, 501, 700)]
    together = featurise(sets, 8, generator("company"))
    companions = featurise([sets[3], *sets[1:3], sets[0]], 8, generator("company"))
    for b in (1, 2):
        assert_equal(together.select([b]), companions.select([b]))
    # a stream is spawned for each in turn, so calls in sequence continue where the last one stopped
    rng = generator("company")
    assert_equal(concatenate([featurise(sets[:1], 8, rng), featurise(sets[1:], 8, rng)]), together)


def test_statistics_and_moments_are_of_all_rows():
    x = random_samples(700, 6) + 3
    features = featurise([x], 4, generator("f"), statistic="corr+cov")
    np.testing.assert_allclose(
        features.statistics[0, ..., 0], np.corrcoef(x, rowvar=False), atol=1e-5
    )
    np.testing.assert_allclose(
        features.statistics[0, ..., 1], np.cov(x, rowvar=False, bias=True), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(features.moments[0], np.stack([x.mean(0), x.var(0)], -1), rtol=1e-4)


def test_without_marginals_there_are_no_batches():
    sets = [random_samples(30, 6)] * 2
    features = featurise(sets, 9, generator("f"), marginals=False)
    assert features.tokens.shape == features.rows.shape == features.columns.shape == (2, 0, 20)
    assert torch.equal(features.statistics, featurise(sets, 9, generator("f")).statistics)


def test_a_single_variable_has_no_pairs():
    features = featurise([random_samples(30, 1)] * 2, 9, generator("f"))
    assert features.tokens.numel() == 0 and features.statistics.shape == (2, 1, 1, 1)


@pytest.mark.parametrize("statistic", ["precision", "corr", "corr+cov"])
@pytest.mark.parametrize("unit", [1e-30, 1e-15, 1, 1e15, 1e30])
def test_features_are_finite_in_any_unit(unit, statistic):
    """float32 holds samples whose variances, or inverse variances, it does not hold."""
    x = random_samples(600, 6)
    x[:, 2], x[:, 3] = 1, x[:, 4]
    x[:, :2] *= unit
    assert np.isfinite(x).all()
    features = featurise([x], 4, generator("f"), statistic=statistic)
    assert torch.isfinite(features.statistics).all() and torch.isfinite(features.moments).all()


def test_select_and_concatenate_are_inverse():
    features = featurise([random_samples(30, 6, s) for s in range(5)], 3, generator("f"))
    assert_equal(concatenate([features.select([b]) for b in range(5)]), features)
    assert_equal(
        concatenate([features.select(slice(2)), features.select(torch.tensor([2, 3, 4]))]), features
    )
    assert_equal(features.to("cpu"), features)
