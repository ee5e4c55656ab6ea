"""What every method must do that can compute on a GPU."""

from __future__ import annotations

import numpy as np
import pytest
from contract_tasks import Trials, chain_task, outputs_or_reason, perturbation, screen

from cdnbench.registry import METHODS, load_class

USE_TORCH = (
    *("cdn", "cdn-suites", "cdn-axial", "cdn-mlp", "cdn-public"),
    *("cdn-cells", "cdn-axial-cells", "cdn-mlp-cells"),
    *("dcdi-g", "dcdi-dsf", "dcdi-g-tuned", "bacadi", "mlp", "gears", "pdgrapher"),
)


class Sizes:
    n_variables, n_regimes, n_samples, has_symbols = 1000, 60, 1000, True


def test_what_it_says_of_memory_is_a_number(name):
    info = load_class(METHODS, name).info  # type: ignore[attr-defined]
    assert np.isfinite(info.gpu_memory_mb(Sizes())) and info.gpu_memory_mb(Sizes()) >= 0
    assert np.isfinite(info.fit_gpu_memory_mb)


@pytest.mark.parametrize("of", USE_TORCH)
def test_methods_that_use_torch_have_a_device(of):
    """genept, whose networks are scikit-learn's, has none."""
    info = load_class(METHODS, of).info  # type: ignore[attr-defined]
    assert set(info.devices) == {"cpu", "cuda"}


@pytest.mark.gpu
@pytest.mark.parametrize("of", USE_TORCH)
def test_a_gpu_gives_scores_like_those_of_the_cpu(of, trials: Trials):
    """Up to rounding, and another order of random numbers where a method draws on the GPU."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    here, there = trials.load(of), trials.load(of).on_device("cuda")
    task = chain_task()
    if here.needs_fit:
        here = here.fitted(trials.fit(here, screen()))
        there = there.fitted(trials.fit(there, screen()))
        task = perturbation(3, seed=5).task
    ours, theirs = outputs_or_reason(here, task), outputs_or_reason(there, task)
    assert type(ours) is type(theirs)
    if isinstance(ours, str):
        assert ours == theirs
        return
    for variant, scores in ours.items():
        assert np.array_equal(np.isnan(scores), np.isnan(theirs[variant]))
        assert np.isfinite(theirs[variant][~np.isnan(scores)]).all()
        if not here.info.stochastic:
            np.testing.assert_allclose(scores, theirs[variant], rtol=1e-2, atol=1e-2)
