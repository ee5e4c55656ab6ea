"""The fused row against reciprocal ranks counted one variable at a time."""

import numpy as np
import pytest

from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.methods.fused import Fused, ranks_from_the_top
from cdnbench.registry import load_method, parse_methods
from cdnbench.task import Task


def task_of(n_rows: int = 60, seed: int = 0) -> Task:
    rng = np.random.default_rng(seed)
    before, after = rng.normal(size=(2, n_rows, 5))
    after[:, 3] += 3
    return Task(name="t", variables="abcde", observational=before, regimes=[after, before + 0.1])


@pytest.mark.parametrize("offset", [0.0, 60.0])
def test_equals_ranks_counted_one_by_one(offset):
    task, members = task_of(), ("effect-size", "ks-shift", "baro")
    expected = np.zeros((2, 5))
    for name in members:
        scores = load_method(name).predict_targets(task)
        for r in range(2):
            for i in range(5):
                above = (scores[r] > scores[r, i]).sum()
                beside = (scores[r] == scores[r, i]).sum() - 1
                expected[r, i] += 1 / (offset + 1 + above + beside / 2)
    fused = Fused(members=members, offset=offset).predict_targets(task)
    np.testing.assert_allclose(fused, expected)


def test_ranks_with_ties_and_without_a_score():
    ranks = ranks_from_the_top(np.array([[3.0, 1, np.nan, 3, 2]]))
    np.testing.assert_array_equal(ranks, [[1.5, 4, np.nan, 1.5, 3]])


def test_a_member_that_declines_is_named():
    """quantile-invariance needs more rows than five variables and two."""
    task = task_of(n_rows=6)
    loaded = load_method("fused", members=["effect-size", "quantile-invariance"])
    prediction = loaded.predict(task)
    assert "quantile-invariance: 6 rows" in prediction.note
    assert prediction.facts == {"left_out": ["quantile-invariance"]}
    alone = load_method("fused", members=["effect-size"]).predict(task)
    np.testing.assert_array_equal(prediction.outputs[""], alone.outputs[""])
    assert alone.note == ""


def test_declines_where_all_members_do():
    with pytest.raises(CannotRun, match="quantile-invariance: 6 rows"):
        Fused(members=("quantile-invariance",)).predict_targets(task_of(n_rows=6))


def test_members_by_command_line_and_in_the_key():
    ((name, parameters),) = parse_methods('fused:members=["effect-size","baro"]')
    chosen = load_method(name, **parameters)
    assert chosen.method.members == ("effect-size", "baro")
    assert chosen.weights_digest() != load_method("fused").weights_digest()


@pytest.mark.parametrize("members", [(), ("fused", "baro"), ("linear",)])
def test_members_that_cannot_be(members):
    with pytest.raises(InvalidParameter, match="fused"):
        Fused(members=members).predict_targets(task_of())


@pytest.mark.parametrize("again", ["quantile-invariance", "rcd", "rcd-soft"])
def test_a_member_that_is_named_twice_is_refused(again):
    """`rcd-soft` is what `rcd` alone means. Where such a member declined, all scores were NaN."""
    members = ("quantile-invariance", "rcd", again)
    with pytest.raises(InvalidParameter, match="fused: members=.* names .* twice; name each"):
        Fused(members=members).predict_targets(task_of(n_rows=6))
    with pytest.raises(InvalidParameter, match="twice"):
        load_method("fused", members=members).weights_digest()
