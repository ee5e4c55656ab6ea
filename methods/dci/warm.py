"""Imported by the fork server: loads the compiled loops of DCI, or compiles them, so that no job
spends its time on it."""

import numpy as np

from cdnbench.methods.dci.covariances import Covariances, covariances
from cdnbench.methods.dci.dci import DCI, changed_edges


def _side(slope: float) -> Covariances:
    rows = np.random.default_rng(0).normal(size=(60, 6))
    rows[:, 1:] += slope * rows[:, :-1]
    return Covariances(covariances(rows, np.tile(np.arange(60), (2, 1))), 60)


def warm() -> None:
    """Solve a small problem of every type that the loops meet."""
    levels = DCI.alpha_ug, DCI.alpha_skeleton, DCI.alpha_orient
    changed_edges(_side(0.1), _side(3.0), *levels, DCI.max_set_size)


warm()
