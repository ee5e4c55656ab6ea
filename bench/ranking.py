"""From scores to a ranked list."""

from __future__ import annotations

import numpy as np

from cdnbench.loaded import LoadedMethod
from cdnbench.task import Task


def rank_variables(
    task: Task, method: LoadedMethod, seed: int = 0
) -> list[tuple[float, str, float]]:
    """(rank, variable, score) for every variable of the first regime, the best first.

    Tied variables share the mean of their ranks. Variables without a score (NaN) come last. Raises
    as `LoadedMethod.predict_targets`.
    """
    from scipy.stats import rankdata

    scores = method.predict_targets(task, seed=seed)[0]
    ranks = rankdata(np.where(np.isnan(scores), np.inf, -scores))
    order = sorted(range(len(scores)), key=lambda i: (ranks[i], task.variables[i]))
    return [(float(ranks[i]), task.variables[i], float(scores[i])) for i in order]
