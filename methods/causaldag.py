"""Guards around causaldag, which draws from Python's and numpy's global generators, prints, and
needs regular data."""

from __future__ import annotations

import io
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from types import ModuleType

import numpy as np


@contextmanager
def quarantine(seed: int) -> Iterator[None]:
    """Seed the global generators and swallow output and warnings; restore everything afterwards."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002  (restored below)
    try:
        with (
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
            warnings.catch_warnings(),
            np.errstate(all="ignore"),
        ):
            warnings.simplefilter("ignore")
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002  (what causaldag draws from)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


def quiet_import(module: str) -> ModuleType:
    """A module whose import draws from the global generators or prints.

    Import it before the quarantine of the search: inside, the first call in a process would search
    with other random numbers than all later ones.
    """
    with quarantine(0):
        return import_module(module)


def thinned(samples: np.ndarray, max_rows: int, generator: np.random.Generator) -> np.ndarray:
    """A float64 copy of an (n, N) array, with `max_rows` rows drawn without replacement where it
    has more."""
    if len(samples) > max_rows:
        samples = samples[np.sort(generator.choice(len(samples), max_rows, replace=False))]
    return np.array(samples, dtype=np.float64)


def jittered(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The samples with Gaussian noise of 1e-4 of each column's standard deviation: collinear
    columns become regular."""
    return samples + 1e-4 * samples.std(axis=0) * generator.standard_normal(samples.shape)


def is_singular(samples: np.ndarray) -> bool:
    """Whether the correlation matrix of these varying columns is singular to working precision (of
    float32 samples)."""
    return samples.shape[1] > 1 and bool(np.linalg.cond(np.corrcoef(samples, rowvar=False)) > 1e10)
