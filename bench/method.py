"""What a method is: a class with `info` and `predict_targets`, and nothing to inherit from.

A method is usually a frozen dataclass whose fields are its parameters:

    @dataclass(frozen=True)
    class MyMethod:
        threshold: float = 2.0
        info: ClassVar[MethodInfo] = MethodInfo(name="my-method", summary="...")

        def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray: ...

Everything else is optional and declared in `info`. Each declaration below stands for a protocol,
and `cdnbench.declarations` compares the two when the class is loaded:

    variants=("soft", "set")                  `Variants`    several readings of one run
    supervised="required"                     `Trainable`   has to be trained before it predicts
    ... with needs=("interactions",)          `TrainableWithKnowledge`
    ... with resumable=True                   `Resumable`   goes on with a fit that was ended
    supervised="pretrained", or
    starts_from_weights=True                  `Pretrained`  uses weights from a file
    batch_size=...                            `Batched`     solves several tasks at once
    devices=("cpu", "cuda")                   `OnDevice`    has a parameter `device`
    probabilities=True                        `Calibrated`  its scores are logits of probabilities
    per_line=True                             `PerLine`     what it reads is of one cell line

`load_method` returns a `cdnbench.loaded.LoadedMethod`, which checks the limits before every call
and the scores after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from cdnbench.checkpoint import NO_CHECKPOINT, Checkpoint
from cdnbench.ranges import Values
from cdnbench.task import Task
from cdnbench.truth import LabelledTask

if TYPE_CHECKING:
    from cdnbench.prediction.calibration import Calibration

Supervised = Literal["no", "pretrained", "required"]


class Sizes(Protocol):
    """What limits and time estimates may depend on.

    A `Task` has these properties, and so has a `TaskSpec` before its task is made.
    """

    @property
    def n_variables(self) -> int: ...
    @property
    def n_regimes(self) -> int: ...
    @property
    def n_samples(self) -> int: ...
    @property
    def has_symbols(self) -> bool: ...


ADDED_LATER = "added later"


def added_later(default: Any) -> Any:
    """The field of a parameter that a method has got since results of it were stored.

    At its default, which has to be what the method did before, it is not part of any key: these
    results are still found.
    """
    return field(default=default, metadata={ADDED_LATER: True})


@dataclass(frozen=True, kw_only=True)
class Trial:
    """How the contract tests (`tests/contract`) try a method.

    parameters: values with which the method runs in about a second. Where parameters name files,
        this is a function instead, which gets an empty folder to put them in and returns the
        values.
    finds_target: whether, with these parameters, it ranks a variable first that an intervention
        moved by several standard deviations in a short linear chain. False for guesses, for prior
        scores, and for a few steps of a long optimisation.
    counts: whether it takes raw counts only. The tests then give it counts.
    """

    parameters: Mapping[str, Any] | Callable[[Path], Mapping[str, Any]] = field(
        default_factory=dict
    )
    finds_target: bool = True
    counts: bool = False


@dataclass(frozen=True, kw_only=True)
class MethodInfo:
    """What the harness needs to know about a method before it imports anything heavy.

    Identity
        name: the name on the command line.
        version: raise it when the scores change. It is part of every stored key.
        summary, citation, licence, reference: one line each. `reference` is the implementation
            that was wrapped or compared with.
        design: of a network, whose it is (`cdnbench.design`: "Wu et al. 2025" or "this package");
            "" for what is no network. What it was trained on is told by its weights.
        baseline: True for a simple reference line that has no paper to cite.

    What it can do (see the module's docstring)
        variants: names of the readings that `predict_outputs` returns, the default first. Every
            other one is also a method name of its own, `<name>-<variant>`. Empty for one reading.
        stochastic: False means that the seed changes nothing, and only seed 0 is run.
        supervised: "no", "pretrained" (predicts with weights from a file) or "required" (predicts
            with what `fit` returned).
        starts_from_weights: True if `fit` starts from weights in a file.
        resumable: whether `fit` saves how far it has come, and goes on from there.
        batch_size: how many tasks `predict_targets_batch` gets at once, or device -> how many (1
            for a device that is absent). None for a method without `predict_targets_batch`.
        devices: where it can compute. With more than one, the method has a parameter `device`. One
            that names "cuda" alone is skipped where there is no GPU.
        gpu_helps: whether `--device auto` puts it on a GPU where there is one.
        gpu_memory_mb: sizes of a task -> MB that its tensors take on a GPU, at most. Jobs share a
            GPU by it (`bench run --jobs-per-gpu`). In a batch, each task takes as much.
        fit_gpu_memory_mb: the same for a fit.
        depends_on_units: True if scaling or shifting a column, in all data sets alike, may change
            scores by more than rounding and another random stream do. It speaks of data sets with
            30 rows or more; where a method borrows from other variables only in smaller ones, its
            own docstring says so.

    When and where it runs
        default: whether it runs when `--methods` is absent. It does not on suites all of whose
            tasks have more than `default_up_to` variables, where it would take minutes per task.
        per_line: whether the files that its parameters name are of one cell line each, so that it
            has to look at the lines of a run before work starts.
        preload: modules that the fork server imports once, so that no job spends its time on them.
        packages: modules that installing this package does not bring along.
        timeout_s: sizes of a task -> seconds after which a job has gone wrong, on one slow core.
        fit_timeout_s: the same for a fit.

    What it cannot run is skipped
        max_variables: most variables.
        min_samples: fewest rows of the smallest data set.
        needs_symbols: the variables must be genes, and the values their expression.
        needs: kinds of knowledge (`cdnbench.knowledge`) that `fit` cannot do without.

    takes: parameter -> which values it takes (`cdnbench.ranges`), checked when the method is
        loaded. A parameter that is not named takes every finite value of its default's type,
        `device` those of `devices`. No whole number may be beyond 2^63, which records cannot hold.
    trial: how the contract tests try it.
    """

    name: str
    summary: str
    version: str = "1"
    citation: str = ""
    licence: str = ""
    reference: str = ""
    design: str = ""
    baseline: bool = False
    variants: tuple[str, ...] = ()
    stochastic: bool = False
    supervised: Supervised = "no"
    starts_from_weights: bool = False
    resumable: bool = False
    batch_size: int | Mapping[str, int] | None = field(default=None, hash=False)
    devices: tuple[Literal["cpu", "cuda"], ...] = ("cpu",)
    gpu_helps: bool = True
    gpu_memory_mb: Callable[[Sizes], float] = field(default=lambda sizes: 1500.0, repr=False)
    fit_gpu_memory_mb: float = 4000.0
    depends_on_units: bool = False
    probabilities: bool = False
    default: bool = True
    default_up_to: int | None = None
    per_line: bool = False
    preload: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    timeout_s: Callable[[Sizes], float] = field(default=lambda sizes: 600.0, repr=False)
    fit_timeout_s: float = 3600.0
    max_variables: int | None = None
    min_samples: int = 2
    needs_symbols: bool = False
    needs: tuple[str, ...] = ()
    takes: Mapping[str, Values] = field(default_factory=dict, repr=False, hash=False)
    trial: Trial = field(default_factory=Trial, repr=False, hash=False)

    def why_skip(self, sizes: Sizes) -> str | None:
        """Why the method cannot run on a task of these sizes, or None."""
        if self.max_variables is not None and sizes.n_variables > self.max_variables:
            return f"{sizes.n_variables} variables; {self.name} takes at most {self.max_variables}"
        if self.needs_symbols and not sizes.has_symbols:
            return f"{self.name} needs genes: tasks with gene symbols"
        if sizes.n_samples < self.min_samples:
            return (
                f"{sizes.n_samples} samples in the smallest data set; {self.name} needs at "
                f"least {self.min_samples}"
            )
        return None

    def why_no_fit(self, resources: Mapping[str, Path]) -> str | None:
        """Why the method cannot be trained with this knowledge, or None."""
        missing = [kind for kind in self.needs if kind not in resources]
        if not missing:
            return None
        where = ",".join(f"{kind}=FILE" for kind in missing)
        return (
            f"{self.name} needs {' and '.join(missing)}: --knowledge {where} (`bench data "
            "list` says where to get them)"
        )

    @property
    def is_batched(self) -> bool:
        return self.batch_size is not None

    @property
    def has_weights(self) -> bool:
        return self.supervised == "pretrained" or self.starts_from_weights


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a method says about one task.

    outputs: variant -> (R, N) scores. A method without variants has the single key "".
    note: what a reader of the scores must know ("not converged within 100,000 iterations"), or "".
    facts: plain values for the record, such as the number of iterations and why they ended.
    converged: whether an iterative method converged. None where that means nothing.
    """

    outputs: Mapping[str, np.ndarray]
    note: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    converged: bool | None = None


@runtime_checkable
class Method(Protocol):
    """Scores every variable of every regime."""

    info: ClassVar[MethodInfo]

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) float64 scores. Higher means more likely a target, NaN means "cannot say".

        They are a function of (task, seed). Relabelling the variables permutes them; `relabelling`
        helps where an algorithm depends on names or order.

        Raises
        ------
        CannotRun: the method cannot run on this task; the message says why.
        """
        ...


class Variants(Method, Protocol):
    """A method one run of which has several readings."""

    def predict_outputs(self, task: Task, *, seed: int = 0) -> dict[str, np.ndarray]:
        """Variant -> (R, N) scores, for every name in `info.variants`.

        `predict_targets` returns the first of them.
        """
        ...


class Trainable(Method, Protocol):
    """A method that predicts with what it learnt from labelled tasks.

    Before `fitted` has been called, `predict_targets` raises `CannotRun`.
    """

    def fit(self, tasks: Sequence[LabelledTask], *, seed: int = 0) -> dict[str, np.ndarray]:
        """What was learnt, as plain arrays that `numpy.savez` can store without pickle.

        tasks: they are made as they are asked for, so iterate over them rather than keep them.
        """
        ...

    def fitted(self, model: Mapping[str, np.ndarray]) -> Method:
        """The method with the arrays that `fit` returned."""
        ...


class TrainableWithKnowledge(Method, Protocol):
    """A `Trainable` method whose `info.needs` names kinds of knowledge."""

    def fit(
        self, tasks: Sequence[LabelledTask], *, seed: int = 0, resources: Mapping[str, Path]
    ) -> dict[str, np.ndarray]:
        """As `Trainable.fit`. resources: kind of knowledge -> path."""
        ...

    def fitted(self, model: Mapping[str, np.ndarray]) -> Method:
        """The method with the arrays that `fit` returned."""
        ...


class Resumable(Method, Protocol):
    """A `Trainable` method whose fit can go on where it was ended."""

    def fit(
        self,
        tasks: Sequence[LabelledTask],
        *,
        seed: int = 0,
        checkpoint: Checkpoint = NO_CHECKPOINT,
    ) -> dict[str, np.ndarray]:
        """As `Trainable.fit` (with `resources` if `info.needs` names knowledge)."""
        ...

    def fitted(self, model: Mapping[str, np.ndarray]) -> Method:
        """The method with the arrays that `fit` returned."""
        ...


class Pretrained(Method, Protocol):
    """A method that uses weights from a file."""

    def weights_digest(self) -> str:
        """Identity of the weights, which is part of every stored key; "" if none are chosen.

        Raises
        ------
        InvalidParameter: the weights are missing or of another version; the message names the
        command that makes them.
        """
        ...

    def trained_on(self) -> dict[str, Any]:
        """Factor of a suite -> the values, or {"from", "to"}, that training had.

        Empty if nothing is known.
        """
        ...

    def trained_origins(self) -> frozenset[str]:
        """`TaskSpec.origin` of every task that the weights were trained on."""
        ...


class Batched(Method, Protocol):
    """A method that solves several tasks at once."""

    def predict_targets_batch(
        self, tasks: Sequence[Task], *, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Prediction | Exception]]:
        """(index of the task, prediction or the exception that ended it), in any order.

        Each is yielded as soon as it is done. What a task gets must not depend on the tasks beside
        it.
        """
        ...


class Calibrated(Method, Protocol):
    """A method whose scores are logits of "is a target"."""

    def calibration(self) -> Calibration:
        """What turns the scores into probabilities, with a note where it was not made for the
        weights in use.

        Raises
        ------
        InvalidParameter: the weights are missing. InvalidData: the calibration cannot be read.
        """
        ...


class PerLine(Method, Protocol):
    """A method that reads files of one cell line each."""

    def check_lines(self, lines: Sequence[str]) -> None:
        """Check that there is a file for each line of a run, and none for several.

        lines: `cell_line` of the tasks, each once; "" for tasks without.

        Raises
        ------
        InvalidParameter: a file is missing, or would be used on several lines.
        """
        ...


class OnDevice(Method, Protocol):
    """A method that can compute on a CPU or on a GPU."""

    @property
    def device(self) -> str:
        """`cpu` or `cuda`: a parameter of the method."""
        ...


def label(name: str, variant: str, variants: tuple[str, ...] | list[str]) -> str:
    """The name under which a reading is shown and can be asked for."""
    return name if not variant or variant == variants[0] else f"{name}-{variant}"
