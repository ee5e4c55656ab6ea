"""What a suite is: a named list of task recipes, and a way to make each task.

A suite is a class that inherits from `Suite`, declares its `info` and defines `specs` and `load`.
Everything else has a default:

    class Doses(Suite):
        info = SuiteInfo(
            name="doses",
            summary="one drug at two doses",
            options=(SuiteOption(name="n", default=10, help="number of tasks"),),
            setting=("dose",),
            factors={"dose": ""},
        )

        def specs(self):
            return [TaskSpec(...) for i in range(self.options["n"])]

        def load(self, spec):
            return LabelledTask(task=Task(...), targets=...)
"""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from cdnbench.digest import plain
from cdnbench.errors import BenchError, InvalidParameter, did_you_mean
from cdnbench.files import is_name
from cdnbench.metrics import METRICS
from cdnbench.truth import LabelledTask

_YES, _NO = ("true", "yes"), ("false", "no")


@dataclass(frozen=True, kw_only=True)
class SuiteOption:
    """One option of a suite: `--<name>` on the command line, a keyword of the constructor.

    Parameters
    ----------
    name: with underscores; the command line writes hyphens.
    default: the value where none is given. Its type is the type of the option.
    help: what `bench list suites` says about it.
    choices: the texts that are accepted. Empty where every value of the type is.
    """

    name: str
    default: Any
    help: str
    choices: tuple[str, ...] = ()

    @property
    def takes(self) -> str:
        """What values the option accepts, in words."""
        if self.choices:
            return ", ".join(self.choices)
        if isinstance(self.default, bool):
            return "true or false"
        if isinstance(self.default, int):
            return "a whole number"
        return "a number" if isinstance(self.default, float) else "text"

    def typed(self, value: Any) -> Any:
        """The value in the type of the default. It may come as text from a command line.

        Raises
        ------
        InvalidParameter: the option does not accept this value. The message says what it accepts.
        """
        refused = InvalidParameter(f"{self.name} takes {self.takes}; got {value!r}.")
        if self.choices and str(value) not in self.choices:
            raise refused
        if isinstance(self.default, bool):
            text = str(value).lower()
            if text not in (*_YES, *_NO):
                raise refused
            return text in _YES
        if isinstance(self.default, int | float):
            number = _number(type(self.default), value)
            if number is None:
                raise refused
            return number
        if isinstance(self.default, str):
            if not (isinstance(value, str | os.PathLike) or self.choices):
                raise refused
            return str(value)
        return value


def _number(kind: type[int] | type[float], value: Any) -> int | float | None:
    """The value as a number of that kind; None where that is impossible or would lose something."""
    if isinstance(value, bool):
        return None
    try:
        number = kind(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if isinstance(value, str) or number == value else None


@dataclass(frozen=True, kw_only=True)
class SuiteInfo:
    """What a suite says about itself.

    Parameters
    ----------
    name: the name under which it is registered.
    summary: one line for `bench list suites`.
    options: what a user can choose.
    setting: names of the metadata whose combination is one setting. Averages are taken within it.
    factors: names of the metadata that a report never averages over -> the value that goes without
        saying in a title ("" where every value is said).
    strata: names of yes/no metadata by which tasks can be selected -> what "yes" means. Under
        `--subset trivial` those with "yes" are selected, under `--subset nontrivial` the others.
    citation: where the data come from.
    """

    name: str
    summary: str
    options: tuple[SuiteOption, ...] = ()
    setting: tuple[str, ...] = ()
    factors: Mapping[str, str] = field(default_factory=dict)
    strata: Mapping[str, str] = field(default_factory=dict)
    citation: str = ""

    def checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The values of all options: those given, in their types, and the defaults of the others.

        Raises
        ------
        UnknownName: an option that the suite does not have. The message lists the nearest ones.
        InvalidParameter: a value that an option does not accept.
        """
        known = {option.name: option for option in self.options}
        values = {option.name: option.default for option in self.options}
        for name, value in given.items():
            if name not in known:
                raise did_you_mean(f"option of the suite {self.name}", name, known)
            try:
                values[name] = known[name].typed(value)
            except InvalidParameter as error:
                raise InvalidParameter(f"{self.name}: {error}") from None
        return values


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """A task before it is made: enough to plan with.

    Parameters
    ----------
    name: unique in the suite. It says nothing about a target, since methods see it.
    hash: digest of the recipe (generated tasks) or of the content (data).
    n_variables, n_regimes, n_samples: sizes of the task. n_samples is the number of rows of its
        smallest data set.
    has_symbols: whether the variables are genes.
    metadata: plain values for reports, which no method sees. They include the suite's factors, what
        makes its settings, its strata, and `dataset`, the unit of all statistics. Numbers of numpy
        become plain.
    recipe: what `load` needs; plain or picklable.
    origin: identity of the file and the samples behind the task, whatever the options. Weights that
        were trained on a task with this origin have seen the answer. "" where no method can be
        trained on it.
    """

    name: str
    hash: str
    n_variables: int
    n_regimes: int
    n_samples: int
    has_symbols: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    recipe: Any = None
    origin: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.metadata, Mapping):
            values = {
                name: value.item() if isinstance(value, np.generic) else value
                for name, value in self.metadata.items()
            }
            object.__setattr__(self, "metadata", values)


class Suite(ABC):
    """A suite with its options. The same options give the same specs and the same tasks on every
    machine.

    Raises
    ------
    UnknownName, InvalidParameter: an option that does not exist, or a value that it does not take.
    """

    info: ClassVar[SuiteInfo]

    def __init__(self, **options: Any) -> None:
        self.options: dict[str, Any] = self.info.checked(options)

    @abstractmethod
    def specs(self) -> Sequence[TaskSpec]:
        """All tasks in their order, without making any."""

    @abstractmethod
    def load(self, spec: TaskSpec) -> LabelledTask:
        """Make the task of a spec of `specs` or `training`."""

    def training(self, spec: TaskSpec) -> Sequence[TaskSpec] | None:
        """The specs whose labelled tasks a method may be trained on before it is tested on `spec`.

        None if the suite has no training tasks at all. Tasks that are trained for alike share one
        list object.
        """
        return None

    def training_laws(self, trained: Sequence[TaskSpec]) -> Mapping[str, Any]:
        """Factor -> the values, or {"from", "to"}, that these specs of `training` have.

        Records of fitted methods hold it, and reports mark each setting as in or out of
        distribution by it. Empty if the suite does not say.
        """
        return {}

    @property
    def training_set(self) -> str:
        """What reports call the training tasks; "" for the usual ones."""
        return ""

    @property
    def resources(self) -> Mapping[str, Path]:
        """Kind of knowledge (see `cdnbench.knowledge`) -> file, for methods that need it."""
        return {}

    @property
    def knowledge(self) -> str:
        """What reports call the resources; "" where there is only one set of them."""
        return ""

    def why_no_task(self) -> str:
        """What a user can do about it when `specs` is empty with these options."""
        return ""

    @classmethod
    def small(cls, folder: Path) -> dict[str, Any]:
        """Options under which the suite is made within seconds, for tests.

        folder: an empty folder, where data can be put that the options then name.
        """
        return {}


def check_suite(cls: type, where: str) -> None:
    """Check that a class is a suite which can be made.

    where: how messages call it, for example `'my-suite' (my_package:MySuite)`.

    Raises
    ------
    BenchError: it does not inherit from `Suite`, or lacks `info`, `specs` or `load`.
    """
    if not (isinstance(cls, type) and issubclass(cls, Suite)):
        raise BenchError(
            f"The suite {where} does not inherit from cdnbench.suite.Suite. Let the class inherit "
            "from it and define `info`, `specs` and `load`."
        )
    missing = [] if isinstance(getattr(cls, "info", None), SuiteInfo) else ["info (a `SuiteInfo`)"]
    if missing := [*missing, *sorted(cls.__abstractmethods__)]:
        raise BenchError(f"The suite {where} does not define {' and '.join(missing)}.")
    wrong = _wrong_info(cls.info)
    if wrong:
        raise BenchError(f"The suite {where} has an `info` that cannot be used: {wrong}.")


RUN_OPTIONS = frozenset(
    [
        *("suite", "methods", "out", "jobs", "limit", "subset", "seeds", "timeout", "memory_gb"),
        *("device", "gpus", "jobs_per_gpu", "shard", "timing", "fresh", "retry", "update"),
        *("on_record", "executor", "scheduler", "workers", "dry_run", "help"),
    ]
)
"""What `cdnbench.run` and `bench run` take themselves, so that no suite would get it."""


def _wrong_info(info: SuiteInfo) -> str:
    """What reports or the command line could not use; "" if nothing is."""
    for name in ("setting", "options"):
        if isinstance(getattr(info, name), str) or not isinstance(getattr(info, name), Sequence):
            return f"{name} is {getattr(info, name)!r}, not a tuple"
    for name in ("factors", "strata"):
        given = getattr(info, name)
        texts = [*given, *given.values()] if isinstance(given, Mapping) else [None]
        if not all(isinstance(text, str) for text in texts):
            return f"{name} is {given!r}, not a mapping from names to words"
    names = [option.name for option in info.options]
    for name in names:
        if not name.isidentifier():
            return f"no option can be called {name!r}; write letters, digits and underscores"
        if name in RUN_OPTIONS:
            return f"the option {name} is one of `bench run` itself"
        if names.count(name) > 1:
            return f"there are two options called {name}"
    return ""


_COLUMNS = frozenset(
    [
        "average_rank",
        "by_gene",
        "dataset",
        "failures",
        "finished",
        "high",
        "is_default",
        "job",
        "key",
        "kind",
        "knowledge",
        "label",
        "low",
        "method",
        "metric",
        "n_settings",
        "n_units",
        "parameters",
        "regime",
        "seconds",
        "seed",
        "setting",
        "short",
        "smallest_setting",
        "spread",
        "status",
        "task",
        "total",
        "value",
        "variant",
        "wall_s",
    ]
)
"""Columns of reports beside the metrics. A factor of such a name would be lost there, and what it
tells apart averaged."""


def check_specs(specs: Sequence[TaskSpec], info: SuiteInfo) -> None:
    """Check that specs are what the suite declares, can be told apart and can be stored.

    Raises
    ------
    BenchError: a factor has the name of a column of reports, or the metadata of a task lack a
    factor, a name of the setting or a stratum, so that a report would average over it; two tasks
    share a name or a hash; or a spec holds what no record can.
    """
    if taken := sorted({*info.factors} & {*_COLUMNS, *METRICS}):
        raise BenchError(
            f"The suite {info.name} declares {', '.join(taken)} as factors, which are names of "
            "columns that reports have for themselves. Choose other names."
        )
    declared = (*info.factors, *info.setting, *info.strata)
    for spec in specs:
        if wrong := _wrong_spec(spec):
            raise BenchError(f"The suite {info.name} has a task that cannot be stored: {wrong}.")
        if missing := [name for name in dict.fromkeys(declared) if name not in spec.metadata]:
            raise BenchError(
                f"The suite {info.name} declares {', '.join(missing)} as factors, setting or "
                f"strata, but the metadata of its task {spec.name!r} lack them: they have "
                f"{', '.join(sorted(spec.metadata)) or 'nothing'}."
            )
    for what, values in (("name", [s.name for s in specs]), ("hash", [s.hash for s in specs])):
        if len(set(values)) < len(values):
            twice = next(value for value, n in Counter(values).items() if n > 1)
            raise BenchError(f"The suite {info.name} has several tasks of the {what} {twice!r}.")


def _wrong_spec(spec: Any) -> str:
    """What a record of the task could not hold, and why; "" if it can be stored."""
    if not isinstance(spec, TaskSpec):
        return f"{spec!r} is no `TaskSpec`"
    if not isinstance(spec.name, str):
        return f"its name {spec.name!r} is not a text"
    if not (isinstance(spec.hash, str) and is_name(spec.hash)):
        return f"the hash {spec.hash!r} of {spec.name!r} is no text that a file can be called by"
    for name in ("n_variables", "n_regimes", "n_samples"):
        if not isinstance(getattr(spec, name), Integral):
            return f"{name} of {spec.name!r} is {getattr(spec, name)!r}, not a whole number"
    if not isinstance(spec.metadata, Mapping):
        return f"the metadata of {spec.name!r} are a {type(spec.metadata).__name__}, not a dict"
    for name, value in spec.metadata.items():
        if not isinstance(name, str):
            return f"the metadata of {spec.name!r} have the name {name!r}, not a text"
        if not _is_plain(value):
            return f"the metadata {name} of {spec.name!r} are {value!r}, not a plain value"
    return ""


def _is_plain(value: Any) -> bool:
    """Whether it is of JSON."""
    if isinstance(value, Mapping):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or type(value) in (str, bool, int, float)


def check_loaded(labelled: Any, spec: TaskSpec) -> None:
    """Check that what `Suite.load` made is the task of a spec, and can be stored.

    Raises
    ------
    BenchError: it is no `LabelledTask`, has another name or other sizes, or facts that are not
    plain.
    """
    if not isinstance(labelled, LabelledTask):
        raise BenchError(f"load returned a {type(labelled).__name__}; return a LabelledTask")
    for name in ("name", "n_variables", "n_regimes"):
        made, told = getattr(labelled.task, name), getattr(spec, name)
        if made != told:
            raise BenchError(f"load made a task whose {name} is {made!r}; its spec says {told!r}")
    try:
        json.dumps(dict(labelled.facts), default=plain)
    except (TypeError, ValueError) as error:
        raise BenchError(f"load gave facts that cannot be stored ({error})") from None


class LabelledTasks(Sequence[LabelledTask]):
    """The tasks of some specs. Each is made when it is asked for, and not kept."""

    def __init__(self, suite: Suite, specs: Sequence[TaskSpec]) -> None:
        self._suite, self._specs = suite, specs

    def __len__(self) -> int:
        return len(self._specs)

    def __getitem__(self, index):  # type: ignore[override]
        if isinstance(index, slice):
            return LabelledTasks(self._suite, self._specs[index])
        return self._suite.load(self._specs[index])
