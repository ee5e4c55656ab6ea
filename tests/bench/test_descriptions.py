"""Columns that describe the samples, as their names and values tell."""

import numpy as np

from cdnbench.descriptions import numbers_of_rows


def test_what_numbers_the_rows():
    rng = np.random.default_rng(0)
    order = rng.permutation(70) + 100.0
    gaps = np.delete(np.arange(75.0), [3, 9, 20, 33, 50])
    columns = np.column_stack(
        [order, gaps, order / 2, rng.poisson(50, 70), *rng.normal(size=(4, 70))]
    )
    expected = [True, True, *[False] * 6]
    assert numbers_of_rows(columns).tolist() == expected
    assert numbers_of_rows(columns[:40], columns[40:]).tolist() == expected
    each = [np.column_stack([rng.permutation(n), rng.normal(size=(n, 3))]) for n in (40, 30)]
    assert numbers_of_rows(*each).tolist() == [True, False, False, False]
    ranks = np.column_stack([rng.permutation(70) for _ in range(5)])
    assert not numbers_of_rows(ranks).any()
    few = rng.poisson(4, size=(12, 20000))
    assert not numbers_of_rows(few).any() and not numbers_of_rows(few[:6], few[6:]).any()
    assert numbers_of_rows(np.column_stack([np.arange(8), rng.normal(size=(8, 2))]))[0]
