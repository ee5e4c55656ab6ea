"""The batched marginal estimates are causal-learn's, batch by batch, on data of every kind that the
featuriser may meet.

The search alone, on made-up test outcomes, is compared in `test_marginal_rules`; here the numbers
count as well. The
only excuse for another answer is a test on the edge: a p-value within 1e-6 of alpha.
"""

from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import norm

from cdnbench.digest import generator
from cdnbench.methods.cdn.paper.marginals import (
    ARROW,
    CIRCLE,
    MAX_VARIABLES,
    N_TOKENS,
    NONE,
    PADDING,
    TAIL,
    TOKENS,
    marginal_estimates,
    reference_estimate,
    tokens,
)

ALPHA = 0.05
EDGE = 1e-6  # in p: what may round to either side of alpha
MECHANISMS = {
    "linear": lambda x: x,
    "nn": lambda x: 2 * np.tanh(x),
    "relu": lambda x: np.maximum(x, 0) - x / 4,
}


def random_samples(rng: np.random.Generator, k: int, n_rows: int) -> np.ndarray:
    """(n_rows, k) of k variables out of a random SCM of up to k + 3, in random order: the others
    are hidden."""
    n = k + rng.integers(4)
    weights = np.triu(rng.uniform(0.25, 1.2, (n, n)) * rng.choice([-1, 1], (n, n)), 1)
    weights *= rng.random((n, n)) < rng.uniform(0.15, 0.9)
    mechanism = MECHANISMS[rng.choice(list(MECHANISMS))]
    x = rng.normal(size=(n_rows, n)) * rng.uniform(0.4, 1, n)
    for i in range(n):
        x[:, i] += mechanism(x @ weights[:, i] - x[:, i] * weights[i, i])
    return x[:, rng.permutation(n)[:k]]


def correlations_of(batches) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.corrcoef(x, rowvar=False) for x in batches]))


def p_values(x: np.ndarray) -> np.ndarray:
    """Fisher's z test of every pair given every set of the others, one inverse each."""
    n, k = x.shape
    correlation = np.corrcoef(x, rowvar=False)
    found = []
    for size in range(k - 1):
        for i, j in combinations(range(k), 2):
            for given in combinations([z for z in range(k) if z not in (i, j)], size):
                inverse = np.linalg.inv(correlation[np.ix_([i, j, *given], [i, j, *given])])
                r = -inverse[0, 1] / np.sqrt(inverse[0, 0] * inverse[1, 1])
                found.append(2 * norm.sf(np.sqrt(n - size - 3) * abs(np.arctanh(r))))
    return np.array(found)


def check_against_causal_learn(batches, algorithm="fci", alpha=ALPHA, needed=0.999):
    """All batches have the same k. At least `needed` of them agree, the others sit on the edge of
    alpha."""
    n_rows = torch.tensor([len(x) for x in batches])
    marks = marginal_estimates(
        correlations_of(batches), n_rows, alpha=alpha, algorithm=algorithm
    ).numpy()
    different = []
    for b, x in enumerate(batches):
        if (marks[b] != reference_estimate(x, alpha=alpha, algorithm=algorithm)).any():
            different.append(b)
            assert np.abs(p_values(x) - alpha).min() < EDGE
    assert len(different) <= (1 - needed) * len(batches)
    return marks


def test_a_thousand_batches_of_500_rows_are_those_of_causal_learn():
    rng = generator("marginals", 500)
    marks = check_against_causal_learn([random_samples(rng, 5, 500) for _ in range(1000)])
    ends = {(m[j, i], m[i, j]) for m in marks for i, j in combinations(range(5), 2)}
    assert ends >= {
        (NONE, NONE),
        (TAIL, ARROW),
        (ARROW, TAIL),
        (ARROW, ARROW),
        (CIRCLE, ARROW),
        (CIRCLE, CIRCLE),
    }, "the data reach every common mark"


@pytest.mark.parametrize("k", [2, 3, 4, 5, 6])
def test_few_rows_and_all_sizes(k):
    rng = generator("marginals", "few", k)
    check_against_causal_learn([random_samples(rng, k, rng.integers(k + 6, 80)) for _ in range(60)])


@pytest.mark.parametrize("alpha", [0.001, 0.3])
def test_other_levels(alpha):
    rng = generator("marginals", "alpha", alpha)
    check_against_causal_learn([random_samples(rng, 5, 500) for _ in range(60)], alpha=alpha)


@pytest.mark.parametrize(("k", "count"), [(3, 40), (5, 300)])
def test_pc_is_that_of_causal_learn(k, count):
    rng = generator("marginals", "pc", k)
    check_against_causal_learn([random_samples(rng, k, 500) for _ in range(count)], algorithm="pc")


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["fci", "pc"])
def test_many_more_batches(algorithm):
    rng = generator("marginals", "many", algorithm)
    check_against_causal_learn(
        [random_samples(rng, 5, 500) for _ in range(8000)], algorithm=algorithm
    )


def test_a_batch_alone_has_the_marks_it_has_among_others(monkeypatch):
    rng = generator("marginals", "alone")
    batches = [random_samples(rng, 5, rng.integers(20, 500)) for _ in range(70)]
    correlations, n_rows = correlations_of(batches), torch.tensor([len(x) for x in batches])
    together = marginal_estimates(correlations, n_rows)
    for b in range(len(batches)):
        assert torch.equal(
            marginal_estimates(correlations[b : b + 1], n_rows[b : b + 1])[0], together[b]
        )
    monkeypatch.setattr("cdnbench.methods.cdn.paper.marginals._CHUNK", 9)
    assert torch.equal(marginal_estimates(correlations, n_rows), together)


def test_one_number_of_rows_serves_all():
    rng = generator("marginals", "rows")
    correlations = correlations_of([random_samples(rng, 4, 50) for _ in range(9)])
    each = marginal_estimates(correlations, torch.full((9,), 50))
    assert torch.equal(marginal_estimates(correlations, 50), each)
    assert marginal_estimates(correlations[:0], 50).shape == (0, 4, 4)


def test_correlations_in_float32_give_the_marks_of_float64():
    rng = generator("marginals", "float32")
    correlations = correlations_of([random_samples(rng, 5, 500) for _ in range(400)])
    different = (
        marginal_estimates(correlations.float(), 500) != marginal_estimates(correlations, 500)
    ).flatten(1)
    assert different.any(1).sum() <= 2


def test_marks_are_of_edges_and_skeletons_are_symmetric():
    rng = generator("marginals", "symmetric")
    for algorithm in ("fci", "pc"):
        marks = marginal_estimates(
            correlations_of([random_samples(rng, 5, 60) for _ in range(200)]),
            60,
            algorithm=algorithm,
        )
        assert marks.dtype == torch.int8
        assert torch.equal(marks != NONE, (marks != NONE).mT)
        assert (marks.diagonal(dim1=1, dim2=2) == NONE).all()
        assert algorithm == "fci" or not (marks == CIRCLE).any()


# Where causal-learn fails


def test_causal_learn_fails_on_duplicates():
    x = random_samples(generator("marginals", "singular"), 3, 100)
    with pytest.raises(ValueError, match="singular"):
        reference_estimate(x[:, [0, 1, 1, 2]])


@pytest.mark.parametrize("fill", [np.nan, 0.0])
@pytest.mark.parametrize("algorithm", ["fci", "pc"])
def test_a_constant_column_is_apart_and_changes_nothing_else(algorithm, fill):
    """Its correlations are NaN as numpy has them, 0 as the featuriser has them."""
    rng = generator("marginals", "constant", algorithm)
    correlations = correlations_of([random_samples(rng, 4, 500) for _ in range(50)])
    wide = torch.full((50, 5, 5), fill, dtype=torch.float64)
    wide[:, :4, :4] = correlations
    marks = marginal_estimates(wide, 500, algorithm=algorithm)
    assert (marks[:, 4] == NONE).all() and (marks[:, :, 4] == NONE).all()
    assert torch.equal(marks[:, :4, :4], marginal_estimates(correlations, 500, algorithm=algorithm))


@pytest.mark.parametrize("algorithm", ["fci", "pc"])
def test_everything_constant_gives_no_edge(algorithm):
    assert (
        marginal_estimates(torch.full((2, 5, 5), torch.nan), 500, algorithm=algorithm) == NONE
    ).all()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_of_duplicated_columns_each_counts_as_a_copy_of_the_other(sign, dtype):
    """Given its copy a column is independent of the rest, so that each keeps an edge to the other
    at most."""
    rng = generator("marginals", "duplicates")
    for _ in range(20):
        x = random_samples(rng, 4, 500)
        marks = marginal_estimates(
            correlations_of([np.column_stack([x, sign * x[:, 3]])]).to(dtype), 500
        )[0]
        assert marks[3, 4] != NONE and marks[4, 3] != NONE
        assert (marks[3:, :3] == NONE).all() and (marks[:3, 3:] == NONE).all()
    copies = correlations_of([np.column_stack([x[:, 0]] * 5)]).to(dtype)
    assert torch.equal(
        marginal_estimates(copies, 500), marginal_estimates(torch.ones(1, 5, 5), 500)
    )


@pytest.mark.parametrize("n_rows", [0, 1, 2, 3])
def test_without_a_degree_of_freedom_all_is_independent(n_rows):
    rng = generator("marginals", "three")
    correlations = correlations_of([random_samples(rng, 5, 60) for _ in range(20)])
    assert (marginal_estimates(correlations, n_rows) == NONE).all()


def test_sets_without_a_degree_of_freedom_separate():
    """n = 4 tests pairs alone; the first set leaves n - 1 - 3 = 0, so that every pair with a
    neighbour is separated."""
    full = torch.full((1, 3, 3), 0.999, dtype=torch.float64)
    full[0].fill_diagonal_(1)
    assert (marginal_estimates(full, 4) == NONE).all()
    assert (
        (marginal_estimates(full[:, :2, :2], 4)[0] == CIRCLE)
        .logical_xor(torch.eye(2, dtype=torch.bool))
        .all()
    )


# The reading of the marks


def test_every_pair_of_marks_has_a_token_of_its_own():
    marks = [TAIL, ARROW, CIRCLE]
    assert set(TOKENS) == {(NONE, NONE), *((a, b) for a in marks for b in marks)}
    assert sorted([PADDING, *TOKENS.values()]) == list(range(N_TOKENS))


def test_tokens_read_the_marks_at_both_ends():
    """[i, j] holds the mark at j, and the table is keyed by (mark at i, mark at j)."""
    for (at_i, at_j), token in TOKENS.items():
        marks = torch.zeros((1, 3, 3), dtype=torch.int8)
        marks[0, 2, 0], marks[0, 0, 2] = at_i, at_j
        expected = torch.ones((3, 3), dtype=torch.int64).fill_diagonal_(PADDING)
        expected[0, 2], expected[2, 0] = token, TOKENS[at_j, at_i]
        assert torch.equal(tokens(marks)[0], expected)


def test_the_public_numbers_of_tokens():
    chain = torch.zeros((1, 3, 3), dtype=torch.int8)
    chain[0, 0, 1], chain[0, 1, 0] = ARROW, TAIL  # 0 -> 1
    assert tokens(chain)[0].tolist() == [[0, 2, 1], [3, 0, 1], [1, 1, 0]]


def test_a_collider_is_read_from_data():
    x = generator("marginals", "collider").normal(size=(500, 3))
    x[:, 2] += x[:, 0] + x[:, 1]
    marks = marginal_estimates(correlations_of([x]), 500)
    assert tokens(marks)[0].tolist() == [[0, 1, 6], [1, 0, 6], [5, 5, 0]], "0 o-> 2 <-o 1"
    marks = marginal_estimates(correlations_of([x]), 500, algorithm="pc")
    assert tokens(marks)[0].tolist() == [[0, 1, 2], [1, 0, 2], [3, 3, 0]], "0 -> 2 <- 1"


# Bad input


@pytest.mark.parametrize(
    "correlations, n_rows, options, message",
    [
        (
            torch.ones(1, 5, 5),
            9,
            {"algorithm": "ges"},
            "no marginal algorithm 'ges'; there are fci, pc",
        ),
        (torch.ones(1, 5, 5), 9, {"alpha": 0.0}, "alpha must lie between 0 and 1"),
        (torch.ones(1, 5, 5), 9, {"alpha": 1.0}, "alpha must lie between 0 and 1"),
        (torch.ones(5, 5), 9, {}, r"must have the shape \(batches, k, k\)"),
        (torch.ones(1, 5, 4), 9, {}, r"must have the shape \(batches, k, k\)"),
        (torch.ones(1, 1, 1), 9, {}, "must have 2 to 6 variables, not 1"),
        (
            torch.ones(1, MAX_VARIABLES + 1, MAX_VARIABLES + 1),
            9,
            {},
            "must have 2 to 6 variables, not 7",
        ),
        (
            torch.ones(2, 5, 5),
            torch.tensor([9, 9, 9]),
            {},
            r"n_samples must be one number or \(2,\)",
        ),
    ],
)
def test_bad_input_is_named(correlations, n_rows, options, message):
    with pytest.raises(ValueError, match=message):
        marginal_estimates(correlations, n_rows, **options)


def test_the_reference_names_a_bad_algorithm():
    with pytest.raises(ValueError, match="no marginal algorithm 'ges'"):
        reference_estimate(np.eye(5), algorithm="ges")
