"""What a method is: a class with `info` and `predict_targets`, and nothing to inherit from.

A method is usually a frozen dataclass whose fields are its parameters:

    @dataclass(frozen=True)
    class MyMethod:
        threshold: float = 2.0
        info: ClassVar[MethodInfo] = MethodInfo(name="my-method", summary="...")

        def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray: ...

`load_method` wraps it in a `LoadedMethod`, which checks limits before and scores after every call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np

from cdnbench.digest import digest, generator
from cdnbench.errors import CannotRun
from cdnbench.task import LabelledTask, Task


class Sizes(Protocol):
    """What limits and time estimates may look at: a `Task` has it, and so has a `TaskSpec` before
    its task is made."""

    @property
    def n_variables(self) -> int: ...
    @property
    def n_regimes(self) -> int: ...
    @property
    def n_samples(self) -> int: ...
    @property
    def has_symbols(self) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class MethodInfo:
    """What the harness needs to know of a method before it imports anything heavy.

    name: as typed on the command line. version: raise it when the scores change; it is part of
        every stored key.
    variants: names of the readings that `predict_outputs` returns, the default first; each but the
        first is also a method name of its own, `<name>-<variant>`. Empty if there is one reading
        only.
    stochastic: False means that the seed changes nothing, and only seed 0 is run.
    supervised: "no", "pretrained" (ships weights) or "required" (needs `fit`).
    default: whether it runs when `--methods` is absent; not on suites all of whose tasks have more
        than `default_up_to` variables, where it would take minutes a task.
    preload: modules to import once in the fork server instead of in every job.
    timeout_s, fit_timeout_s: seconds after which a job on a task of these sizes, or a fit, has gone
    wrong (on one slow core). max_variables, min_samples (rows in the smallest data set),
        needs_symbols (variables are genes, and values their expression): what it cannot run is
        skipped. needs: kinds of knowledge (`cdnbench.knowledge`) that `fit` cannot do without.
    """

    name: str
    summary: str
    version: str = "1"
    citation: str = ""
    licence: str = ""
    reference: str = ""
    variants: tuple[str, ...] = ()
    stochastic: bool = False
    supervised: Literal["no", "pretrained", "required"] = "no"
    device: Literal["cpu", "cuda"] = "cpu"
    default: bool = True
    default_up_to: int | None = None
    preload: tuple[str, ...] = ()
    timeout_s: Callable[[Sizes], float] = field(default=lambda sizes: 600.0, repr=False)
    fit_timeout_s: float = 3600.0
    batch_size: int = 1
    max_variables: int | None = None
    min_samples: int = 2
    needs_symbols: bool = False
    needs: tuple[str, ...] = ()

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
            "list` says where from)"
        )


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a method says of one task.

    outputs: variant -> (R, N) scores ("" -> scores for a method without variants). note: what
    whoever reads the scores must know ("not converged within 100,000 iterations"), "" if nothing.
    facts: plain values for the record, such as iterations and why it stopped.
    """

    outputs: Mapping[str, np.ndarray]
    note: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Method(Protocol):
    """Scores every variable of every regime: (R, N) float64, higher = more likely a target, NaN =
    cannot say.

    Deterministic in (task, seed); relabelling the variables permutes the scores (see
    `in_canonical_order`).
    May raise `CannotRun(reason)`. Optional: `predict_outputs(task, *, seed) -> dict[variant,
    scores]`; `weights_digest() -> str` of a method with weights, so that results are computed anew
    when these change; `trained_on() -> dict` of its training laws, `trained_origins() -> frozenset`
    of the `TaskSpec.origin` of tasks that they were trained on.

    A method that solves many tasks at once has `predict_targets_batch(tasks, *, seeds)`, which
    yields (index of the task, `Prediction`, or the exception that ended this task) as each is done,
    in any order. What a task gets must not depend on the tasks beside it. `MethodInfo.batch_size`
    says how many to give it, or a `batch_size` of the method itself where that depends on its
    parameters (on a device, say).

    A method with `supervised="required"` has `fit(tasks, *, seed) -> dict[str, np.ndarray]`, which
    gets a sequence of `LabelledTask` that are made as they are asked for, and `fitted(model)`,
    which gives the method with the arrays of a fit. Unfitted it raises `CannotRun`. One that
    `needs` knowledge is trained by `fit(tasks, *, seed, resources)`, resources: kind -> path.
    """

    info: ClassVar[MethodInfo]

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray: ...


@dataclass(frozen=True)
class LoadedMethod:
    """A method with its parameters bound and the reading chosen; every call is checked on both
    sides."""

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

    def weights_digest(self) -> str:
        """Identity of the weights that the method would use, "" for a method without: part of the
        key of stored results.

        Raises
        ------
        InvalidParameter: they are missing or of another version; the message names the command that
        makes them.
        """
        digest_of = getattr(self.method, "weights_digest", None)
        return digest_of() if digest_of else ""

    def trained_on(self) -> dict[str, Any]:
        """Factor of a suite -> the values, or {"from", "to"}, that a pretrained method has seen;
        empty if it says nothing."""
        laws = getattr(self.method, "trained_on", None)
        return laws() if laws else {}

    def has_seen(self, origin: str) -> bool:
        """Whether its weights were trained on tasks of this `TaskSpec.origin`."""
        origins = getattr(self.method, "trained_origins", None)
        return bool(origin) and origins is not None and origin in origins()

    @property
    def needs_fit(self) -> bool:
        """Whether it can predict only with what `fit` gave."""
        return self.info.supervised == "required"

    def fit(
        self,
        tasks: Sequence[LabelledTask],
        *,
        seed: int = 0,
        resources: Mapping[str, Path] | None = None,
    ) -> dict[str, np.ndarray]:
        """Train on labelled tasks; what has been learnt, as arrays for `fitted`. resources: kind of
        knowledge -> path.

        Raises
        ------
        CannotRun: there is nothing to learn from, or knowledge is missing.
        """
        if not len(tasks):
            raise CannotRun("no training task")
        if reason := self.info.why_no_fit(resources or {}):
            raise CannotRun(reason)
        more = {"resources": resources} if self.info.needs else {}
        model = self.method.fit(tasks, seed=seed, **more)  # type: ignore[attr-defined]
        return {name: np.asarray(array) for name, array in model.items()}

    def fitted(self, model: Mapping[str, np.ndarray]) -> LoadedMethod:
        """The method with what `fit` gave."""
        return replace(self, method=self.method.fitted(model))  # type: ignore[attr-defined]

    @property
    def batch_size(self) -> int:
        """How many tasks to give it at once: 1 unless it solves several side by side."""
        if not hasattr(self.method, "predict_targets_batch"):
            return 1
        return getattr(self.method, "batch_size", self.info.batch_size)

    def predict_batch(
        self, tasks: Sequence[Task], *, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Prediction | Exception]]:
        """(index, what the method says of that task or why it ended without), as each is done; each
        index once.

        A method that cannot solve several at once gets them one by one.
        """
        able = []
        for i, task in enumerate(tasks):
            if reason := self._why_not(task):
                yield i, CannotRun(reason)
            else:
                able.append(i)
        if not hasattr(self.method, "predict_targets_batch"):
            results: Iterator[tuple[int, Prediction | Exception]] = (
                (k, self._alone(tasks[i], seeds[i])) for k, i in enumerate(able)
            )
        else:
            results = self.method.predict_targets_batch(  # type: ignore[attr-defined]
                [tasks[i] for i in able], seeds=[seeds[i] for i in able]
            )
        left = dict(enumerate(able))
        for k, result in results if able else ():
            i = left.pop(k)
            try:
                yield (
                    i,
                    result
                    if isinstance(result, Exception)
                    else self._checked_all(result, tasks[i]),
                )
            except ValueError as error:
                yield i, error
        for i in left.values():
            yield i, ValueError(f"{self.info.name} gave nothing for this task of its batch")

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
        """(R, N) float64 scores, higher = more likely a target, NaN = the method cannot say."""
        return self.predict_outputs(task, seed=seed)[self.variant]

    def _why_not(self, task: Task) -> str | None:
        return self.info.why_skip(task)

    def _alone(self, task: Task, seed: int) -> Prediction | Exception:
        try:
            if self.info.variants:
                return Prediction(self.method.predict_outputs(task, seed=seed))  # type: ignore[attr-defined]
            return Prediction({"": self.method.predict_targets(task, seed=seed)})
        except Exception as error:
            return error

    def _checked_all(self, prediction: Prediction, task: Task) -> Prediction:
        if set(prediction.outputs) != set(self.info.variants or ("",)):
            raise ValueError(
                f"{self.info.name} returned {sorted(prediction.outputs)}, but declares "
                f"{self.info.variants}"
            )
        outputs = {
            variant: self._checked(scores, task) for variant, scores in prediction.outputs.items()
        }
        return Prediction(outputs, prediction.note, dict(prediction.facts))

    def _checked(self, scores: Any, task: Task) -> np.ndarray:
        scores = np.asarray(scores, dtype=np.float64)
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


def label(name: str, variant: str, variants: tuple[str, ...] | list[str]) -> str:
    """The name under which a reading is shown and can be asked for."""
    return name if not variant or variant == variants[0] else f"{name}-{variant}"


def task_generator(task: Task, method: str, seed: int) -> np.random.Generator:
    """The random stream of a method on a task: the same whatever the variables are called and
    however they are ordered."""
    return generator("method", method, seed, sorted(_column_digests(task)))


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
        digests = _column_digests(task)
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


def _column_digests(task: Task) -> list[str]:
    arrays = (task.observational, *task.regimes, task.candidates)
    columns = [np.ascontiguousarray(x.T) for x in arrays]  # type: ignore[union-attr]
    return [digest(*(c[i] for c in columns)) for i in range(task.n_variables)]
