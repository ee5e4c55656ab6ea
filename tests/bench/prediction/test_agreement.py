"""What two rankings have in common, by hand and against the definition of rank-biased overlap."""

import numpy as np
import pytest

from cdnbench.prediction import Finding
from cdnbench.prediction.agreement import agreement


def ranking(names, unscored=0, scores=None):
    scores = scores or [float(-i) for i in range(len(names) - unscored)] + [np.nan] * unscored
    n = len(names)
    about = {"perturbation": "p", "method": "m", "n_control": 5, "n_perturbed": 5}
    return Finding(
        variables=np.array(list(names), dtype=object),
        scores=np.array(scores),
        log_fold_change=np.zeros(n),
        n_candidates=n,
        **about,
    )


def test_the_same_ranking_and_its_reverse():
    names = [f"v{i}" for i in range(30)]
    same = agreement(ranking(names), ranking(names))
    assert same.same_first and same.shared == same.top == 10
    assert same.overlap == pytest.approx(1)
    reverse = agreement(ranking(names), ranking(names[::-1]))
    assert not reverse.same_first and reverse.shared == 0 and reverse.overlap < 0.2


def test_by_hand():
    """Shares of the first 1, 2, 3, 4: 0, 1, 2/3, 1. The last stands for all that follow."""
    found = agreement(ranking("abcd"), ranking("badc"))
    p = 0.9
    assert found.overlap == pytest.approx((1 - p) * (p + 2 / 3 * p**2 + p**3) + p**4)
    assert found.shared == found.top == 2 and not found.same_first
    text = found.sentence(("one", "two"))
    assert text.startswith("one puts a first and two b; 2 of their first 2 are the same")


def test_overlap_is_its_definition_on_random_rankings():
    rng = np.random.default_rng(0)
    for n in (3, 12, 50):
        one, two = ([f"v{i}" for i in rng.permutation(n)] for _ in range(2))
        shares = [len(set(one[:d]) & set(two[:d])) / d for d in range(1, n + 1)]
        expected = 0.1 * sum(s * 0.9**d for d, s in enumerate(shares)) + shares[-1] * 0.9**n
        assert agreement(ranking(one), ranking(two)).overlap == pytest.approx(expected)


def test_any_of_tied_first_variables_counts():
    tied = ranking("abcd", scores=[2.0, 2.0, 1.0, 0.0])
    found = agreement(tied, ranking("bcda"))
    assert found.first == (("a", "b"), ("b",)) and found.same_first
    assert found.sentence(("one", "two")).startswith("one and two both put b first")


def test_variables_without_a_score_have_no_place():
    found = agreement(ranking("abcd", unscored=2), ranking("abdc"))
    assert found.overlap == pytest.approx(1) and found.top == 2


def test_what_cannot_be_compared():
    with pytest.raises(ValueError, match="same variables"):
        agreement(ranking("ab"), ranking("ac"))
    with pytest.raises(ValueError, match="without a single score"):
        agreement(ranking("ab", unscored=2), ranking("ab"))
