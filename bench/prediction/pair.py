"""The finding of one task: two files, or arrays of a user's own."""

from __future__ import annotations

import numpy as np

from cdnbench.errors import CannotRun
from cdnbench.loaded import LoadedMethod
from cdnbench.pairs import Pair
from cdnbench.prediction.methods import text_of, why_not
from cdnbench.prediction.result import Finding, Result
from cdnbench.prediction.screening import log_fold_change
from cdnbench.task import Task
from cdnbench.values import Extent


def finding_of(task: Task, method: LoadedMethod, seed: int = 0) -> Finding:
    """What a method says of the first regime of a task. Raises as `LoadedMethod.predict`."""
    before, after = task.observational, task.regimes[0]
    prediction = method.predict(task, seed=seed)
    kind = (Extent.of(before) | Extent.of(after)).kind
    change = log_fold_change(
        before.mean(axis=0, dtype=np.float64), after.mean(axis=0, dtype=np.float64), kind
    )
    nothing = np.empty(0)
    return Finding.ranked(
        np.array(task.variables, dtype=object),
        prediction.outputs[method.variant][0],
        np.empty(0, dtype=object),
        {"candidates": change, "outside": nothing},
        perturbation=task.name,
        method=text_of(method),
        n_control=len(before),
        n_perturbed=len(after),
        note=prediction.note,
    )


def predict_pair(pair: Pair, method: LoadedMethod, seed: int = 0) -> Result:
    """The finding of two files.

    Raises
    ------
    CannotRun: the method cannot run on these samples; the message names one that can.
    """
    try:
        found = finding_of(pair.task, method, seed)
    except CannotRun as why:
        raise CannotRun(why_not(method, str(why))) from why
    settings = {"methods": [text_of(method)], "seed": seed}
    return Result((found,), settings, pair.notes)
