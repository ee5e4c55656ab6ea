"""What kind of numbers samples hold."""

import numpy as np
import pytest

from cdnbench.values import kind_of_values, lost_in_float32, why_unlike


@pytest.fixture
def kinds():
    counts = np.random.default_rng(0).poisson(np.linspace(0.1, 60, 20), size=(80, 20)).astype(float)
    normalised = 1e4 * counts / counts.sum(axis=1, keepdims=True)
    log = np.log1p(normalised)
    scaled = (log - log.mean(axis=0)) / np.maximum(log.std(axis=0), 1e-9)
    return {"counts": counts, "normalised": normalised, "log": log, "scaled": scaled}


@pytest.mark.parametrize("kind", ["counts", "normalised", "log", "scaled"])
def test_the_kind_is_told_from_the_values(kinds, kind):
    assert kind_of_values(kinds[kind]) == kind
    assert kind_of_values(kinds[kind].astype(np.float32)) == kind


def test_integers_and_zeros_are_counts():
    assert kind_of_values(np.arange(6).reshape(2, 3)) == "counts"
    assert kind_of_values(np.zeros((2, 3))) == "counts"
    assert kind_of_values(np.zeros((0, 3))) == "counts"


@pytest.mark.parametrize("one", ["counts", "normalised", "log", "scaled"])
@pytest.mark.parametrize("other", ["counts", "normalised", "log", "scaled"])
def test_two_sides_of_different_kinds_are_told_apart(kinds, one, other):
    why = why_unlike(kinds[one][:40], kinds[other][40:])
    assert bool(why) == (one != other)


def test_an_intervention_alone_makes_no_other_kind():
    rng = np.random.default_rng(0)
    positive = rng.normal(10, 1, size=(100, 8))
    moved = rng.normal(10, 1, size=(60, 8)) - 20 * np.eye(8)[2]
    assert kind_of_values(positive) == "log" and kind_of_values(moved) == "scaled"
    assert why_unlike(positive, moved) == ""
    assert why_unlike(positive, positive[:50] + 50 * np.eye(8)[2]) == ""
    assert why_unlike(rng.normal(size=(100, 8)), np.abs(rng.normal(size=(2, 8)))) == ""


def test_what_float32_loses():
    rng = np.random.default_rng(0)
    control, other = rng.normal(size=(50, 4)), rng.normal(size=(5, 4))
    offset = np.array([1e9, 0, 1e3, 0])
    assert lost_in_float32(control + offset, other + offset).tolist() == [True] + 3 * [False]
    as_float32 = (control + offset).astype(np.float32)
    assert not lost_in_float32(as_float32, as_float32).any()
    tiny = control * np.array([1, 1, 1, 1e-44])
    assert lost_in_float32(tiny).tolist() == 3 * [False] + [True]
