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
from cdnbench.tabular import as_array, column_names, in_order, is_masked, is_table, yes_or_no
from cdnbench.values import lost_in_float32

ASKED = "Give one row per regime with True or False (or 1 or 0) for each variable."


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """Samples before and after R interventions on N variables.

    Parameters
    ----------
    name: a label; methods must not read anything into it.
    variables: N unique names, the columns of every array. Data frames and AnnData are put into
        this order by their own names; if one is given, `variables` may be left out, and the names
        and their order are those of the first.
    observational: (M0, N) samples without intervention, any unit; kept as read-only float32
        (read-only float32 arrays, memory maps among them, are not copied). Sparse arrays, data
        frames and AnnData (its X) are taken, too.
    regimes: R arrays (Mr, N), or other tables, one per intervention, in the same units.
    candidates: (R, N) bool, which variables may be named as targets of a regime; all by default.
    metadata: plain values about the samples (a cell line, a cluster). It never holds a target.
    symbols: N gene symbols where the variables are genes.

    Raises
    ------
    InvalidTask: names that repeat or differ, shapes that do not match, values that are not finite
    real numbers, or differences between them that float32 cannot hold; the message says where.
    """

    name: str
    variables: Sequence[str] = ()
    observational: np.ndarray
    regimes: Sequence[np.ndarray]
    candidates: np.ndarray | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    symbols: Sequence[str] | None = None

    def __post_init__(self) -> None:
        regimes = _listed(self.regimes, f"Task {self.name!r}: regimes")
        variables = _names(
            () if self.variables is None else self.variables, f"Task {self.name!r}: variables"
        )
        if not variables:
            named = (column_names(table) for table in (self.observational, *regimes))
            variables = tuple(next((names for names in named if names is not None), ()))
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
            raise InvalidTask(
                f"Task {self.name!r} has no variables. Name the columns of its arrays: "
                "variables=[...]."
            )
        if len(regimes) == 0:
            raise InvalidTask(
                f"Task {self.name!r} has no regime: give at least one array of perturbed samples."
            )
        put = lambda attribute, value: object.__setattr__(self, attribute, value)  # noqa: E731  (frozen dataclass)
        put("variables", variables)
        where = [f"Task {self.name!r}: observational"]
        where += [f"Task {self.name!r}: regime {r}" for r in range(len(regimes))]
        given = [
            _dense(table, variables, name)
            for table, name in zip([self.observational, *regimes], where, strict=True)
        ]
        samples = [_samples(x, variables, name) for x, name in zip(given, where, strict=True)]
        _check_precision(given, variables, f"Task {self.name!r}")
        put("observational", samples[0])
        put("regimes", tuple(samples[1:]))
        put(
            "candidates",
            _mask(self.candidates, len(regimes), variables, f"Task {self.name!r}: candidates"),
        )
        if not self.candidates.any(axis=1).all():  # type: ignore[union-attr]
            raise InvalidTask(f"Task {self.name!r}: every regime needs at least one candidate.")
        metadata = {} if self.metadata is None else self.metadata
        if not isinstance(metadata, Mapping):
            raise InvalidTask(
                f"Task {self.name!r}: metadata are a {type(metadata).__name__}. Give a dict."
            )
        put("metadata", MappingProxyType(dict(metadata)))
        if self.symbols is not None:
            symbols = _names(self.symbols, f"Task {self.name!r}: symbols")
            if len(symbols) != len(variables):
                raise InvalidTask(
                    f"Task {self.name!r}: {len(symbols)} symbols for {len(variables)} variables."
                )
            put("symbols", symbols)

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


def _names(names: Any, where: str) -> tuple[str, ...]:
    """Names as texts, in the order of the columns that they are given to."""
    if isinstance(names, set | frozenset):
        raise InvalidTask(
            f"{where} are a set, which has no order. Give a list in the order of the columns."
        )
    if not isinstance(names, Iterable):
        raise InvalidTask(
            f"{where} are {names!r}. Give a list of names in the order of the columns."
        )
    return tuple(str(name) for name in names)


def _listed(regimes: Any, where: str) -> list[Any]:
    """The tables of the regimes, of which one may stand alone."""
    if is_table(regimes):
        return [regimes]
    if isinstance(regimes, str | Mapping) or not isinstance(regimes, Iterable):
        raise InvalidTask(
            f"{where} are a {type(regimes).__name__}. Give a list of arrays (rows, variables), one "
            "per intervention."
        )
    return list(regimes)


def _dense(values: Any, variables: tuple[str, ...], where: str) -> np.ndarray:
    """A table as an array with its columns in the order of the variables, in its own precision."""
    if is_masked(values):
        raise InvalidTask(f"{where} samples are masked in places. Drop or impute them first.")
    names = column_names(values)
    order = None if names is None else in_order(names, variables, where)
    array = as_array(values, where)
    if array.dtype.kind == "c":
        raise InvalidTask(f"{where} samples are complex numbers. Give real ones.")
    if array.dtype.kind in "mM":
        raise InvalidTask(f"{where} samples are dates or times, not numbers.")
    if array.ndim != 2 or array.shape[1] != len(variables):
        raise InvalidTask(
            f"{where} samples have shape {array.shape}; expected (rows, {len(variables)}), one "
            "column per variable."
        )
    if len(array) == 0:
        raise InvalidTask(f"{where} has no rows.")
    if order is not None:
        array = array[:, order]
    return array if array.dtype.kind in "biuf" else _as_numbers(array, variables, where)


def _as_numbers(array: np.ndarray, variables: tuple[str, ...], where: str) -> np.ndarray:
    """An array of objects or texts as float64, so that what float32 would lose is seen."""
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidTask(
            f"{where} samples are not numbers ({error}){_in_column(array, variables)}."
        ) from None


def _samples(given: np.ndarray, variables: tuple[str, ...], where: str) -> np.ndarray:
    """A read-only float32 array that nobody else can write to."""
    array = given
    if array.dtype != np.float32:
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    finite = np.isfinite(array)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise InvalidTask(
            f"{where} samples hold {given[row, column]} at row {row}, variable "
            f"{variables[column]!r} "
            f"({(~finite).sum()} values are not finite in float32). Drop or impute them first."
        )
    if array.flags.writeable and np.may_share_memory(array, given):
        array = array.copy()  # what the caller does with the array later must not change the task
    array.flags.writeable = False  # of what the view is of, too, so that nobody can set it again
    array = array.view()
    array.flags.writeable = False
    return array


def _in_column(array: np.ndarray, variables: tuple[str, ...]) -> str:
    """Names the first column that cannot be converted to numbers."""
    for column, variable in zip(array.T, variables, strict=True):
        try:
            column.astype(np.float64)
        except (TypeError, ValueError, OverflowError):
            return f" in column {variable!r}. Drop it, or give it as numbers"
    return ""


def _check_precision(given: Sequence[np.ndarray], variables: tuple[str, ...], where: str) -> None:
    """Raises
    ------
    InvalidTask: a variable whose samples differ by less than float32 can hold.
    """
    lost = np.flatnonzero(lost_in_float32(*given))
    if lost.size:
        largest = max(np.abs(x[:, lost[0]].astype(np.float64)).max() for x in given)
        raise InvalidTask(
            f"{where}: samples of variable {variables[lost[0]]!r} differ by less than float32 can "
            f"hold beside values as large as {largest:.6g}. Subtract the same number from the "
            "variable in all data sets, or multiply it by one."
        )


def _mask(values: Any, n_regimes: int, variables: tuple[str, ...], where: str) -> np.ndarray:
    """A read-only table of yes and no."""
    shape = (n_regimes, len(variables))
    given = np.ones(shape, bool) if values is None else yes_or_no(values, where, ASKED)
    if given.shape != shape:
        raise InvalidTask(
            f"{where} has shape {given.shape}; expected (regimes, variables) = {shape}. {ASKED}"
        )
    names = column_names(values)
    if names is not None and (order := in_order(names, variables, where)) is not None:
        given = given[:, order]
    mask = given.copy()
    mask.flags.writeable = False
    return mask
