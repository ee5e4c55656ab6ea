"""A task: samples of one system before and after interventions. What a method may see, and nothing
else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from cdnbench.digest import digest
from cdnbench.errors import InvalidTask


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """Samples before and after R interventions on N variables.

    Parameters
    ----------
    name: a label; methods must not read anything into it.
    variables: N unique names, the columns of every array.
    observational: (M0, N) samples without intervention, any unit; kept as read-only float32
        (read-only float32 arrays, memory maps among them, are not copied).
    regimes: R arrays (Mr, N), one per intervention, in the same units.
    candidates: (R, N) bool, which variables may be named as targets of a regime; all by default.
    metadata: plain values about the samples (a cell line, a cluster). It never holds a target.
    symbols: N gene symbols where the variables are genes.

    Raises
    ------
    InvalidTask: names that repeat, shapes that do not match, or values that are not finite; the
    message says where.
    """

    name: str
    variables: Sequence[str]
    observational: np.ndarray
    regimes: Sequence[np.ndarray]
    candidates: np.ndarray | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    symbols: Sequence[str] | None = None

    def __post_init__(self) -> None:
        variables = tuple(str(v) for v in self.variables)
        repeated = (
            sorted({v for v in variables if variables.count(v) > 1})
            if len(set(variables)) < len(variables)
            else []
        )
        if repeated:
            raise InvalidTask(
                f"Task {self.name!r}: variable names must be unique, but {repeated[:5]} repeat."
            )
        if not variables:
            raise InvalidTask(f"Task {self.name!r} has no variables.")
        regimes = (
            [self.regimes]
            if isinstance(self.regimes, np.ndarray) and self.regimes.ndim == 2
            else self.regimes
        )
        if len(regimes) == 0:
            raise InvalidTask(
                f"Task {self.name!r} has no regime: give at least one array of perturbed samples."
            )
        put = lambda attribute, value: object.__setattr__(self, attribute, value)  # noqa: E731  (frozen dataclass)
        put("variables", variables)
        put(
            "observational",
            _samples(self.observational, variables, f"Task {self.name!r}: observational"),
        )
        put(
            "regimes",
            tuple(
                _samples(x, variables, f"Task {self.name!r}: regime {r}")
                for r, x in enumerate(regimes)
            ),
        )
        put(
            "candidates",
            _mask(
                self.candidates, (len(regimes), len(variables)), f"Task {self.name!r}: candidates"
            ),
        )
        if not self.candidates.any(axis=1).all():  # type: ignore[union-attr]
            raise InvalidTask(f"Task {self.name!r}: every regime needs at least one candidate.")
        put("metadata", MappingProxyType(dict(self.metadata)))
        if self.symbols is not None:
            if len(self.symbols) != len(variables):
                raise InvalidTask(
                    f"Task {self.name!r}: {len(self.symbols)} symbols for {len(variables)} "
                    "variables."
                )
            put("symbols", tuple(str(s) for s in self.symbols))

    @property
    def n_variables(self) -> int:
        return len(self.variables)

    @property
    def n_regimes(self) -> int:
        return len(self.regimes)

    @property
    def n_samples(self) -> int:
        """Rows of the smallest of the R + 1 data sets."""
        return min(len(self.observational), *(len(x) for x in self.regimes))

    @property
    def has_symbols(self) -> bool:
        """Whether the variables are genes."""
        return self.symbols is not None

    @property
    def content_hash(self) -> str:
        """Digest of the samples and names: the identity of a user's own task."""
        return digest(
            list(self.variables),
            self.observational,
            list(self.symbols or ()),
            self.candidates,
            *self.regimes,
        )

    def select(self, order: Sequence[int] | np.ndarray) -> Task:
        """The same task with its variables in another order (a permutation of range(N))."""
        order = np.asarray(order)
        return replace(
            self,
            variables=[self.variables[i] for i in order],
            observational=self.observational[:, order],
            regimes=[x[:, order] for x in self.regimes],
            candidates=self.candidates[:, order],  # type: ignore[index]
            symbols=None if self.symbols is None else [self.symbols[i] for i in order],
        )

    def regime(self, r: int) -> Task:
        """The single-regime task of regime r."""
        return replace(self, regimes=[self.regimes[r]], candidates=self.candidates[r : r + 1])  # type: ignore[index]

    def __reduce__(self):  # a mapping proxy does not pickle
        state = {f: getattr(self, f) for f in self.__dataclass_fields__}
        return _rebuild, (dict(state, metadata=dict(self.metadata)),)


def _rebuild(state: dict[str, Any]) -> Task:
    return Task(**state)


def repeated_names(names: Iterable[str]) -> list[str]:
    """The names that occur more than once, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _samples(values: Any, variables: tuple[str, ...], where: str) -> np.ndarray:
    labels = getattr(values, "columns", None)
    if labels is not None and [str(label) for label in labels] != list(variables):
        raise InvalidTask(
            f"{where}: the columns of the table are not the task's variables in their order; "
            "reorder them."
        )
    if isinstance(values, np.ndarray) and np.any(
        getattr(values, "mask", False)
    ):  # without importing numpy.ma
        raise InvalidTask(f"{where} samples are masked in places. Drop or impute them first.")
    array = np.asarray(values)
    if array.dtype != np.float32:
        try:
            with np.errstate(over="ignore"):
                array = array.astype(np.float32)
        except (TypeError, ValueError) as error:
            raise InvalidTask(f"{where} samples are not numbers ({error}).") from None
    if array.ndim != 2 or array.shape[1] != len(variables):
        raise InvalidTask(
            f"{where} samples have shape {array.shape}; expected (rows, {len(variables)}), one "
            "column per variable."
        )
    if len(array) == 0:
        raise InvalidTask(f"{where} has no rows.")
    finite = np.isfinite(array)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise InvalidTask(
            f"{where} samples hold {np.asarray(values)[row, column]} at row {row}, variable "
            f"{variables[column]!r} "
            f"({(~finite).sum()} values are not finite in float32). Drop or impute them first."
        )
    if array.flags.writeable and np.may_share_memory(array, np.asarray(values)):
        array = array.copy()  # what the caller does with the array later must not change the task
    array = array.view()
    array.flags.writeable = False
    return array


def _mask(values: Any, shape: tuple[int, int], where: str) -> np.ndarray:
    mask = np.ones(shape, bool) if values is None else np.array(values, dtype=bool)
    if mask.shape != shape:
        raise InvalidTask(
            f"{where} has shape {mask.shape}; expected (regimes, variables) = {shape}."
        )
    mask.flags.writeable = False
    return mask
