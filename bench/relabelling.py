"""What makes a method indifferent to the names and the order of the variables: random streams and
an order that follow from the samples alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cdnbench.digest import digest, generator
from cdnbench.task import Task


def task_generator(task: Task, method: str, seed: int) -> np.random.Generator:
    """The random stream of a method on a task.

    It is the same whatever the variables are called and however they are ordered.
    """
    return generator("method", method, seed, sorted(_of_variables(task)))


def in_canonical_order(
    task: Task, solve: Callable[[Task], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Run `solve` on the task in `CanonicalOrder`, and map the scores back."""
    canonical = CanonicalOrder(task)
    return {variant: canonical.back(scores) for variant, scores in solve(canonical.task).items()}


class CanonicalOrder:
    """A task with its variables ordered by a digest of their columns, and the way back.

    Makes a method that depends on the order of its variables (by its random stream or by how it
    breaks ties) equivariant under relabelling. Variables with identical columns get the mean of
    their scores, since nothing tells them apart.
    """

    def __init__(self, task: Task) -> None:
        digests = _of_variables(task)
        self._order = sorted(range(task.n_variables), key=digests.__getitem__)
        first: dict[str, int] = {}
        self._group = np.array([first.setdefault(d, len(first)) for d in digests])
        self.task = task.select(self._order)

    def back(self, ordered: np.ndarray) -> np.ndarray:
        """Scores (R, N) in the order of the variables of the task that was given."""
        scores = np.empty(ordered.shape)
        scores[:, self._order] = ordered
        sizes = np.bincount(self._group)
        if len(sizes) == len(self._group):
            return scores
        sums = np.stack([np.bincount(self._group, weights=row) for row in scores])
        return (sums / sizes)[:, self._group]


def contents(*arrays: np.ndarray) -> list[str]:
    """What each of N columns holds: N digests, from arrays (M_k, N)."""
    columns = [np.ascontiguousarray(x.T) for x in arrays]
    return [digest(*(c[i] for c in columns)) for i in range(len(columns[0]))]


def _of_variables(task: Task) -> list[str]:
    """What each variable's samples are (N,), and where it is a candidate."""
    assert task.candidates is not None
    return contents(task.observational, *task.regimes, task.candidates)
