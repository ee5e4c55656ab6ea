"""Traversal of a known graph: what counts as a cause, and the scores by hand."""

import numpy as np
import pytest

from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.methods.effect_size import EffectSize
from cdnbench.methods.traversal import Traversal, causes_among
from cdnbench.task import Task


def graph_file(folder, pairs):
    path = folder / "calls.tsv"
    path.write_text("source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in pairs))
    return str(path)


def task_of(shifts: dict[str, float], names="abcd") -> Task:
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(200, len(names))), rng.normal(size=(30, len(names)))
    after += [shifts.get(name, 0.0) for name in names]
    return Task(name="shop", variables=names, observational=before, regimes=[after])


def test_causes_pass_through_variables_that_are_missing():
    pairs = [("a", "x"), ("x", "y"), ("y", "b"), ("b", "c")]
    assert causes_among("abc", pairs).tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]


def test_variables_on_a_cycle_are_not_causes_of_each_other():
    pairs = [("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")]
    assert causes_among("abcd", pairs).tolist() == [
        [0, 1, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 0],
    ]


def test_an_anomalous_variable_without_an_anomalous_cause_comes_first(tmp_path):
    """b is hit and c, which depends on it, moves twice as far; a is calm."""
    graph = graph_file(tmp_path, [("a", "b"), ("b", "c"), ("c", "d")])
    task = task_of({"b": 5.0, "c": 10.0, "d": 1.0})
    scores = Traversal(graph=graph).predict_targets(task)[0]
    z = EffectSize().predict_targets(task)[0]
    np.testing.assert_allclose(scores, z / (1 + z) + [0, 2, 1, 0])
    assert z.argmax() == 2 and scores.argmax() == 1


def test_the_threshold_says_what_is_anomalous(tmp_path):
    graph = graph_file(tmp_path, [("a", "b")])
    task = task_of({"a": 2.0, "b": 5.0})
    assert Traversal(graph=graph).predict_targets(task)[0].argmax() == 1
    assert Traversal(graph=graph, threshold=1.0).predict_targets(task)[0].argmax() == 0


def test_a_graph_of_other_variables_or_none_is_a_reason(tmp_path):
    graph = graph_file(tmp_path, [("p", "q")])
    with pytest.raises(CannotRun, match="none of the 4 variables"):
        Traversal(graph=graph).predict_targets(task_of({}))
    with pytest.raises(CannotRun, match="traversal:graph=FILE"):
        Traversal().predict_targets(task_of({}))


def test_what_is_wrong_with_the_file_is_named(tmp_path):
    with pytest.raises(InvalidParameter, match="there is no file .*missing"):
        Traversal(graph=str(tmp_path / "missing.tsv")).weights_digest()
    with pytest.raises(InvalidParameter, match="no pair"):
        Traversal(graph=graph_file(tmp_path, [("a", "a")])).weights_digest()
    with pytest.raises(InvalidParameter, match="positive"):
        Traversal(threshold=0.0)


def test_the_digest_is_that_of_the_pairs(tmp_path):
    (tmp_path / "other").mkdir()
    one = Traversal(graph=graph_file(tmp_path, [("a", "b"), ("b", "c")])).weights_digest()
    same = graph_file(tmp_path / "other", [("b", "c"), ("a", "b"), ("a", "b")])
    assert Traversal(graph=same).weights_digest() == one
    other = graph_file(tmp_path / "other", [("b", "a"), ("b", "c")])
    assert Traversal(graph=other).weights_digest() != one
