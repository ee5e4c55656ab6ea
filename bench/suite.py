"""What a suite is: a named list of task recipes, and a way to make each task.

A suite is a class whose constructor takes its options as keywords (`protocol=`, `track=`, ...),
with `info`, `specs()` and `load(spec)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from cdnbench.task import LabelledTask


@dataclass(frozen=True, kw_only=True)
class SuiteOption:
    """One option of a suite: `--<name>` on the command line, a keyword of the constructor.
    `choices` is empty for free text."""

    name: str
    default: Any
    help: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SuiteInfo:
    """setting: the metadata columns whose combination is one setting (what averages are taken
    within)."""

    name: str
    summary: str
    options: tuple[SuiteOption, ...] = ()
    setting: tuple[str, ...] = ()
    citation: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """A task before it is made: enough to plan with.

    name: unique in the suite. hash: digest of the recipe (generated tasks) or of the content
        (data).
    has_symbols: whether the variables are genes.
    metadata: the suite's factors and `dataset`, the unit of all statistics: plain values, no target
        among them.
    recipe: what `load` needs; plain or picklable.
    origin: identity of the file and the samples behind it, whatever the options: weights trained on
    them have seen the answer. "" where no method can be trained on them.
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


@runtime_checkable
class Suite(Protocol):
    """Frozen: the same options give the same specs and the same tasks on every machine.

    A suite that methods can be trained for has `training(spec)`: the specs whose labelled tasks may
    be used for it. It may have
    `resources`: kind of knowledge (`cdnbench.knowledge`) -> path, for methods that need it, and
    `knowledge`: what reports call it, "" if there is one only.
    """

    info: ClassVar[SuiteInfo]

    def specs(self) -> Sequence[TaskSpec]: ...

    def load(self, spec: TaskSpec) -> LabelledTask: ...
