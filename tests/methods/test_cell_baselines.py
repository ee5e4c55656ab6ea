"""The baselines that read expression of genes."""

import numpy as np
import pytest

from cdnbench import Task, load_method
from cdnbench.errors import CannotRun, InvalidParameter


def task(**changes) -> Task:
    """Three genes: the first falls to a quarter, the second doubles, the third is not expressed."""
    rng = np.random.default_rng(0)

    def cells(means):
        return np.log1p(rng.poisson(np.broadcast_to(means, (4000, 3)))).astype(np.float32)

    fields = {
        "name": "cells", "variables": ["A", "B", "C"], "symbols": ["A", "B", "C"],
        "observational": cells([8.0, 4.0, 0.0]), "regimes": [cells([2.0, 8.0, 0.0])],
    }  # fmt: skip
    return Task(**{**fields, **changes})


def test_lfc_rank():
    t = task()
    outputs = load_method("lfc-rank", pseudo=1e-9).predict_outputs(t)
    mean = [np.expm1(x.mean(0, dtype=float)) for x in (t.observational, t.regimes[0])]
    np.testing.assert_allclose(outputs["down"][0, :2], np.log2(mean[0] / mean[1])[:2], rtol=1e-6)
    np.testing.assert_array_equal(outputs["size"], np.abs(outputs["down"]))
    assert outputs["size"][0, 2] == 0 and load_method("lfc-rank-down").predict_targets(t)[0].argmax() == 0


def test_target_shift_down_is_the_signed_shift():
    scores = load_method("target-shift-down").predict_targets(task())[0]
    assert scores[0] > 10 and scores[1] < -10 and scores[2] == 0


def test_control_mean_does_not_look_at_the_perturbed_cells():
    t = task()
    other = task(observational=t.observational, regimes=[t.regimes[0] + 1])
    first, second = (load_method("control-mean").predict_targets(x) for x in (t, other))
    np.testing.assert_array_equal(first, second)
    assert first[0].argmax() == 0


@pytest.mark.parametrize("name", ["lfc-rank", "target-shift-down", "control-mean"])
def test_they_decline_what_are_no_genes(name):
    with pytest.raises(CannotRun, match="needs genes"):
        load_method(name).predict_targets(task(symbols=None))


def test_a_pseudo_count_of_zero_is_refused():
    with pytest.raises(InvalidParameter, match="pseudo is positive"):
        load_method("lfc-rank", pseudo=0.0)
