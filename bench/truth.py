"""The answer to a task: which variables were targets, and what else the suite knows.

Methods never see any of this. `fit` gets it for training tasks, and metrics get it for the others.
A new kind of array is one more field of `Truth`: stores and archives loop over its fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from cdnbench.errors import InvalidTask
from cdnbench.tabular import as_array, column_names, in_order, is_masked, yes_or_no
from cdnbench.task import ASKED, Task


def _array(dtype: type, axes: int = 2, **default: Any) -> Any:
    """A field that holds an array: (n_regimes, n_variables), or (n_regimes,) for one axis."""
    return field(metadata={"dtype": dtype, "axes": axes}, **default)


@dataclass(frozen=True, eq=False, kw_only=True)
class Truth:
    """What is known of the interventions behind a task.

    Parameters
    ----------
    targets: (n_regimes, n_variables) bool. True where the variable was intervened on.
    detectable: (n_regimes, n_variables) bool, or None. False where the suite knows that the
        intervention left no trace in the samples.
    ceiling_scores: (n_regimes, n_variables) float64, or None. The scores of the likelihood-ratio
        oracle, which knows the generator.
    profiles: (n_regimes, n_variables) float64, or None. Pearson correlation between the mean shift
        that a perturbation of each variable causes and the shift that was seen. It is 1 for targets
        and NaN where it is not known.
    n_unmeasured: (n_regimes,) int, or None. How many targets of the regime are not among the
        variables. None means that every target is measured.
    facts: plain values that were computed from the truth. They go into records, never to methods.

    Raises
    ------
    InvalidTask: an array whose shape does not match that of the targets, or with values that are
    not of its kind; or a table with names of columns, whose order only a `LabelledTask` can tell.
    """

    targets: np.ndarray = _array(bool)
    detectable: np.ndarray | None = _array(bool, default=None)
    ceiling_scores: np.ndarray | None = _array(np.float64, default=None)
    profiles: np.ndarray | None = _array(np.float64, default=None)
    n_unmeasured: np.ndarray | None = _array(np.int64, axes=1, default=None)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape: tuple[int, ...] = ()
        for spec in ARRAYS:
            value = getattr(self, spec.name)
            if value is None and shape:
                continue
            array = _taken(value, spec.name, spec.metadata["dtype"])
            shape = shape or array.shape
            expected = shape[: spec.metadata["axes"]]
            if array.shape != expected or len(shape) != 2:
                raise InvalidTask(
                    f"{spec.name} has shape {array.shape}; expected "
                    f"{expected if len(shape) == 2 else 'two axes'}: one row per regime, one "
                    "column per variable."
                )
            array.flags.writeable = False
            object.__setattr__(self, spec.name, array)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that are there, by the name of their field."""
        found = {spec.name: getattr(self, spec.name) for spec in ARRAYS}
        return {name: array for name, array in found.items() if array is not None}

    @property
    def silent(self) -> np.ndarray:
        """(n_regimes,) bool: nothing was intervened on, measured or not."""
        touched = self.targets.any(axis=1)
        if self.n_unmeasured is not None:
            touched = touched | (self.n_unmeasured > 0)
        return np.logical_not(touched)

    @property
    def only_unmeasured(self) -> np.ndarray:
        """(n_regimes,) bool: there were targets, and none of them is among the variables."""
        return ~self.targets.any(axis=1) & ~self.silent

    def regime(self, r: int) -> Truth:
        """The truth of regime r alone."""
        return replace(self, **{name: array[r : r + 1] for name, array in self.arrays.items()})


def _taken(value: Any, name: str, dtype: type) -> np.ndarray:
    """A copy of an array of the truth in its own type."""
    if column_names(value) is not None:
        raise InvalidTask(
            f"{name} is a table whose columns have names. Give a plain array in the order of the "
            "variables, or give the table to a LabelledTask, beside its task."
        )
    if dtype is bool:
        return np.array(yes_or_no(value, name, ASKED))
    if is_masked(value):
        raise InvalidTask(f"{name} is masked in places. Give NaN where it is not known.")
    given = as_array(value, name)
    try:
        if given.dtype.kind == "c":
            raise TypeError("they are complex")
        with np.errstate(invalid="ignore"):
            array = np.array(given, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidTask(f"{name} are not numbers ({error}).") from None
    if dtype is np.int64 and not ((array == given) & (array >= 0)).all():
        raise InvalidTask(f"{name} holds {given.tolist()}. Give whole numbers from 0 on.")
    return array


ARRAYS = tuple(spec for spec in fields(Truth) if spec.metadata)
"""The fields of `Truth` that hold arrays. `metadata` tells their dtype and their number of axes."""


@dataclass(frozen=True, eq=False, init=False)
class LabelledTask:
    """A task and its truth. Suites make these; only `fit` and the metrics see them.

    `LabelledTask(task=task, targets=targets)` is short for
    `LabelledTask(task=task, truth=Truth(targets=targets))`, and so for every field of `Truth`.
    Beside a whole truth, such fields take the place of its own, so that `dataclasses.replace` works
    with them. Data frames are put into the order of the task's variables by their columns.

    Raises
    ------
    InvalidTask: the truth does not fit the task, or a target is not a candidate.
    """

    task: Task
    truth: Truth

    def __init__(self, *, task: Task, truth: Truth | None = None, **parts: Any) -> None:
        where = f"Task {task.name!r}"
        parts = {name: _in_order(value, task, f"{where}: {name}") for name, value in parts.items()}
        try:
            truth = Truth(**parts) if truth is None else replace(truth, **parts)
        except InvalidTask as error:
            raise InvalidTask(f"{where}: {error}") from None
        shape = (task.n_regimes, task.n_variables)
        if truth.targets.shape != shape:
            raise InvalidTask(
                f"{where}: targets has shape {truth.targets.shape}; expected {shape}."
            )
        outside = np.argwhere(truth.targets & ~task.candidates)  # type: ignore[operator]
        if len(outside):
            r, i = outside[0]
            raise InvalidTask(
                f"{where}: target {task.variables[i]!r} of regime {r} is not among its candidates."
            )
        object.__setattr__(self, "task", task)
        object.__setattr__(self, "truth", truth)

    @property
    def targets(self) -> np.ndarray:
        """(n_regimes, n_variables) bool."""
        return self.truth.targets

    @property
    def detectable(self) -> np.ndarray | None:
        """(n_regimes, n_variables) bool, or None."""
        return self.truth.detectable

    @property
    def ceiling_scores(self) -> np.ndarray | None:
        """(n_regimes, n_variables) float64, or None."""
        return self.truth.ceiling_scores

    @property
    def facts(self) -> Mapping[str, Any]:
        """Plain values that were computed from the truth."""
        return self.truth.facts

    def regime(self, r: int) -> LabelledTask:
        """The labelled task of regime r alone."""
        return LabelledTask(task=self.task.regime(r), truth=self.truth.regime(r))


def _in_order(value: Any, task: Task, where: str) -> Any:
    """A part of a truth; a table with names of columns as an array in the task's order."""
    if isinstance(value, Mapping) or (names := column_names(value)) is None:
        return value
    order = in_order(names, task.variables, where)
    array = as_array(value, where)
    return array if order is None else array[:, order]
