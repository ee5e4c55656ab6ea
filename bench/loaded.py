"""A method with its parameters bound: its identity, its device, and calls that are checked."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from cdnbench.checkpoint import NO_CHECKPOINT, Checkpoint
from cdnbench.code_digest import code_digest
from cdnbench.digest import digest
from cdnbench.errors import CannotRun, InvalidTask
from cdnbench.method import (
    ADDED_LATER,
    Batched,
    Calibrated,
    Method,
    MethodInfo,
    OnDevice,
    Prediction,
    Pretrained,
    Trainable,
    Variants,
    label,
)
from cdnbench.tabular import as_array, column_names, is_masked
from cdnbench.task import Task
from cdnbench.truth import LabelledTask

if TYPE_CHECKING:
    from cdnbench.prediction.calibration import Calibration


@dataclass(frozen=True)
class LoadedMethod:
    """A method with its parameters bound and one of its readings chosen.

    What `info` declares decides which optional parts of the method are used (`check_declarations`
    made sure that they are there).
    """

    method: Method
    variant: str
    parameters: Mapping[str, Any]
    """The parameters that differ from the method's defaults."""

    @property
    def info(self) -> MethodInfo:
        return self.method.info

    @property
    def label(self) -> str:
        """`ut-igsp` for the default reading, `ut-igsp-set` for another."""
        return label(self.info.name, self.variant, self.info.variants)

    # --- identity

    @property
    def all_parameters(self) -> dict[str, Any]:
        """Every parameter with the value in force, so that writing out a default changes no key.

        Without those of `added_later` that have their default.
        """
        if dataclasses.is_dataclass(self.method):
            found = {}
            for field in dataclasses.fields(self.method):
                value = getattr(self.method, field.name)
                if field.init and not (ADDED_LATER in field.metadata and value == field.default):
                    found[field.name] = value
            return found
        known = inspect.signature(type(self.method)).parameters
        defaults = {
            name: p.default for name, p in known.items() if p.default is not inspect.Parameter.empty
        }
        return {**defaults, **self.parameters}

    def key(self, task_hash: str, seed: int, fit: str = "") -> str:
        """Digest of everything that determines the scores on a task.

        fit: key of the fit that the method predicts with, "" for a method that needs none. Raises
        what `weights_digest` raises.
        """
        axes = [self.info.name, self.info.version, self.all_parameters, task_hash, seed]
        return digest(*axes, *filter(None, [self.weights_digest(), fit]))

    def weights_digest(self) -> str:
        """Identity of the weights that the method would use, "" for a method without.

        Raises
        ------
        InvalidParameter: they are missing or of another version; the message names the command that
        makes them.
        """
        return self._pretrained.weights_digest() if self.info.has_weights else ""

    def trained_on(self) -> dict[str, Any]:
        """Factor of a suite -> the values, or {"from", "to"}, that its weights were trained on.

        Empty for a method without weights, or if nothing is known.
        """
        return self._pretrained.trained_on() if self.info.has_weights else {}

    def has_seen(self, origin: str) -> bool:
        """Whether its weights were trained on tasks of this `TaskSpec.origin`."""
        return (
            bool(origin) and self.info.has_weights and origin in self._pretrained.trained_origins()
        )

    def calibration(self) -> Calibration | None:
        """What turns its scores into probabilities; None for a method whose scores are none.

        Raises as `method.Calibrated.calibration`.
        """
        if not self.info.probabilities:
            return None
        return cast(Calibrated, self.method).calibration()

    def code(self) -> str:
        """Digest of the code that its scores depend on, "" if the source cannot be read."""
        return code_digest(type(self.method))

    # --- where it computes

    @property
    def device(self) -> str:
        """`cpu` or `cuda`."""
        if len(self.info.devices) == 1:
            return self.info.devices[0]
        return cast(OnDevice, self.method).device

    def on_device(self, device: str) -> LoadedMethod:
        """The method on that device; itself if it has no choice or one was made already."""
        chosen = "device" in self.parameters or len(self.info.devices) == 1
        if chosen or device == self.device:
            return self
        parameters = {**self.parameters, "device": device}
        return replace(self, method=type(self.method)(**parameters), parameters=parameters)

    @property
    def batch_size(self) -> int:
        """How many tasks to give it at once: 1 unless it solves several side by side."""
        size = self.info.batch_size
        if isinstance(size, Mapping):
            return size.get(self.device, 1)
        return size or 1

    # --- training

    @property
    def needs_fit(self) -> bool:
        """Whether it can predict only with what `fit` returned."""
        return self.info.supervised == "required"

    def fit(
        self,
        tasks: Sequence[LabelledTask],
        *,
        seed: int = 0,
        resources: Mapping[str, Path] | None = None,
        checkpoint: Checkpoint = NO_CHECKPOINT,
    ) -> dict[str, np.ndarray]:
        """Train on labelled tasks. The result is what was learnt, as arrays for `fitted`.

        resources: kind of knowledge -> path. checkpoint: where a method that is `resumable` saves
        how far it has come, and what it goes on from.

        Raises
        ------
        CannotRun: there is nothing to learn from, or knowledge is missing.
        """
        if not len(tasks):
            raise CannotRun("no training task")
        if reason := self.info.why_no_fit(resources or {}):
            raise CannotRun(reason)
        extra: dict[str, Any] = {}
        if self.info.needs:
            extra["resources"] = resources or {}
        if self.info.resumable:
            extra["checkpoint"] = checkpoint
        model = cast(Trainable, self.method).fit(tasks, seed=seed, **extra)
        if not isinstance(model, Mapping) or not all(isinstance(name, str) for name in model):
            raise ValueError(
                f"fit of {self.info.name} returned a {type(model).__name__}; return a dict from "
                "texts to arrays"
            )
        return {name: _learnt(self.info.name, name, array) for name, array in model.items()}

    def fitted(self, model: Mapping[str, np.ndarray]) -> LoadedMethod:
        """The method with what `fit` returned."""
        method = cast(Trainable, self.method).fitted(model)
        if not isinstance(method, Method):
            raise TypeError(
                f"fitted of {self.info.name} returned a {type(method).__name__}; return the method "
                "with the arrays"
            )
        return replace(self, method=method)

    # --- prediction

    def predict_batch(
        self, tasks: Sequence[Task], *, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Prediction | Exception]]:
        """(index of a task, its prediction or why there is none), as each is done.

        Each index comes once, in any order. A method that cannot solve several tasks at once gets
        them one by one.
        """
        able = []
        for i, task in enumerate(tasks):
            if not isinstance(task, Task):
                cure = "Give its `task`" if isinstance(task, LabelledTask) else "Make a `Task`"
                raise InvalidTask(
                    f"{self.info.name} takes a Task; got a {type(task).__name__}. {cure}."
                )
            if reason := self.info.why_skip(task):
                yield i, CannotRun(reason)
            else:
                able.append(i)
        if not able:
            return
        left = dict(enumerate(able))
        for k, result in self._results([tasks[i] for i in able], [seeds[i] for i in able]):
            if k not in left:
                raise ValueError(
                    f"{self.info.name} returned a result for task {k!r} of a batch of "
                    f"{len(able)}; return each from 0 on once"
                )
            i = left.pop(k)
            if isinstance(result, Exception):
                yield i, result
                continue
            try:
                checked = self._checked(result, tasks[i])
            except ValueError as error:
                yield i, error
            else:
                yield i, checked
        for i in left.values():
            yield i, ValueError(f"{self.info.name} returned nothing for this task of its batch")

    def predict(self, task: Task, *, seed: int = 0) -> Prediction:
        """Every reading of one run, with the method's note and facts.

        Raises
        ------
        CannotRun: the task is outside the method's limits; the message says which.
        """
        ((_, result),) = self.predict_batch([task], seeds=[seed])
        if isinstance(result, Exception):
            raise result
        return result

    def predict_outputs(self, task: Task, *, seed: int = 0) -> dict[str, np.ndarray]:
        """Every reading of one run: variant -> (R, N) float64 scores. Raises as `predict`."""
        return dict(self.predict(task, seed=seed).outputs)

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) float64 scores. Higher means more likely a target, NaN means "cannot say".

        Raises as `predict`.
        """
        return self.predict_outputs(task, seed=seed)[self.variant]

    def _results(
        self, tasks: Sequence[Task], seeds: Sequence[int]
    ) -> Iterator[tuple[int, Prediction | Exception]]:
        """What the method itself says, unchecked."""
        if self.info.is_batched:
            yield from cast(Batched, self.method).predict_targets_batch(tasks, seeds=seeds)
            return
        for i, (task, seed) in enumerate(zip(tasks, seeds, strict=True)):
            try:
                result = Prediction(self._outputs(task, seed))
            except Exception as error:
                yield i, error
            else:
                yield i, result

    def _outputs(self, task: Task, seed: int) -> dict[str, np.ndarray]:
        if self.info.variants:
            return cast(Variants, self.method).predict_outputs(task, seed=seed)
        return {"": self.method.predict_targets(task, seed=seed)}

    def _checked(self, prediction: Prediction, task: Task) -> Prediction:
        """The prediction with float64 scores. Raises ValueError if anything is not as declared."""
        if not isinstance(prediction, Prediction):
            raise ValueError(
                f"{self.info.name} returned a {type(prediction).__name__} for a task of its batch; "
                "return a `cdnbench.method.Prediction` or an exception"
            )
        if set(prediction.outputs) != set(self.info.variants or ("",)):
            raise ValueError(
                f"{self.info.name} returned {sorted(prediction.outputs)}, but declares "
                f"{self.info.variants}"
            )
        outputs = {
            variant: self._checked_scores(scores, task)
            for variant, scores in prediction.outputs.items()
        }
        return replace(prediction, outputs=outputs, facts=dict(prediction.facts or {}))

    def _checked_scores(self, scores: Any, task: Task) -> np.ndarray:
        names = column_names(scores)
        if names is not None and names != list(task.variables):
            raise ValueError(
                f"{self.info.name} returned a table of scores whose columns are not the task's "
                "variables in their order; return them in that order"
            )
        if is_masked(scores):
            raise ValueError(f"{self.info.name} returned masked scores; use NaN for 'cannot say'")
        try:
            given = as_array(scores, "scores")
            is_complex = np.iscomplexobj(given)
            scores = given if is_complex else np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                f"{self.info.name} returned scores that are no table of real numbers ({error})"
            ) from error
        if is_complex:
            raise ValueError(f"{self.info.name} returned complex scores; return real numbers")
        shape = (task.n_regimes, task.n_variables)
        if scores.shape != shape:
            raise ValueError(
                f"{self.info.name} returned scores of shape {scores.shape}; expected (R, N) = "
                f"{shape}"
            )
        if np.isinf(scores).any():
            raise ValueError(
                f"{self.info.name} returned infinite scores; use finite numbers, or NaN for "
                "'cannot say'"
            )
        return scores

    @property
    def _pretrained(self) -> Pretrained:
        return cast(Pretrained, self.method)


def _learnt(method: str, name: str, value: Any) -> np.ndarray:
    """One array of what a fit returned.

    Raises
    ------
    ValueError: it could only be stored with pickle.
    """
    try:
        array = as_array(value, name) if np.ndim(value) else np.asarray(value)
        if array.dtype.hasobject:
            raise TypeError("it holds Python objects")
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"fit of {method} returned no plain array as {name!r} ({error})"
        ) from error
    return array
