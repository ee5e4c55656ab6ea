"""DCDI: differentiable causal discovery from interventional data with unknown targets.

Brouillard, Lachapelle, Lacoste, Lacoste-Julien, Drouin 2020, Differentiable causal discovery from
interventional data, NeurIPS (arXiv 2007.01754). All regimes are learned jointly (section 3.4,
unknown perfect interventions): each variable has one network of its masked parents, each (variable,
regime) a density of its own that holds where a second mask says that the regime targeted the
variable. Maximum likelihood under an acyclicity constraint by an augmented Lagrangian (`schedule`).
The score is the learned probability of being a target.

    dcdi-g    Gaussian conditionals, one standard deviation a variable shared by all regimes
    dcdi-dsf  conditionals by a deep sigmoidal flow of two layers of 16 sigmoids
    dcdi-g-tuned  dcdi-g with the weights of sparsity, of twelve pairs, that had the highest mean
              average precision on six data sets of `synthetic-dev` (docs/results): the reference's
              for edges, .01 for targets

Parameters (names and defaults of the reference in brackets)
    edge_penalty    weight of the mean edge probability (reg-coeff, 0.1)
    target_penalty  weight of the sum of target probabilities (coeff-interv-sparsity, 1e-8; .01 in
                    dcdi-g-tuned)
    max_iterations  where training stops at the latest (num-train-iter; the reference's default is a
                    million): 100,000. The record has the iterations, the constraint, the stage and
                    the reason of stopping, and a note if it did not converge
    learning_rate   of RMSprop (lr, 1e-3)
    minibatch       rows of one iteration (train-batch-size, 64)
    hidden          units of each of the two hidden layers (hid-dim, 16)
    standardise     divide by each variable's standard deviation, all rows together (normalize-data,
                    off)
    device          "cpu" or "cuda"
    precision       "float64", or "float32" on a GPU

What it cannot see: the mask of targets is learned through what it does to a node's inputs, so a
target without parents gets no gradient towards being one (its probability stays near sigmoid(-3),
or falls), here as in the reference.

On a CPU, compiled iterations train one data set after the other (`single`); the first use on a
machine compiles them, which takes half a minute. On a GPU many data sets are trained side by side
(`batched`).

Loss, gradients and whole training runs equal the reference's (golden tests). Deviations
    - The network of an intervened mechanism sees zeros only, so it is computed once a (variable,
      regime), not once a row.
    - Minibatches and masks come from streams of each data set's own, so that a result does not
      depend on what is trained beside it; masks are drawn in float32. Variables are ordered by
      content.
    - A data set whose loss is no longer a number ends with an error.
    - Sets of fewer than 80 rows have smaller minibatches (the reference cannot run them).

Reference: https://github.com/slachapelle/dcdi. Our own code. Licence: MIT, with this package.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from cdnbench.errors import InvalidParameter
from cdnbench.method import MethodInfo, Prediction, Sizes, Trial
from cdnbench.methods.device import check_device
from cdnbench.ranges import POSITIVE, at_least
from cdnbench.relabelling import CanonicalOrder, task_generator
from cdnbench.task import Task

if TYPE_CHECKING:
    from cdnbench.methods.dcdi.data import Ended, Options, Randomness, Rows

MIN_ROWS = 10
ON_A_GPU = 30  # tasks at once


@dataclass(frozen=True)
class _DCDI:
    edge_penalty: float = 0.1
    target_penalty: float = 1e-8
    max_iterations: int = 100_000
    learning_rate: float = 1e-3
    minibatch: int = 64
    hidden: int = 16
    standardise: bool = False
    precision: str = "float64"
    device: str = "cpu"

    info: ClassVar[MethodInfo]

    def __post_init__(self) -> None:
        if self.precision not in ("float32", "float64"):
            raise InvalidParameter(
                f"{self.info.name}: precision is {self.precision!r}; use float64 or float32."
            )
        if self.precision == "float32" and self.device == "cpu":
            raise InvalidParameter(
                f"{self.info.name}: precision=float32 is for device=cuda; a CPU computes in "
                "float64."
            )
        for name in ("max_iterations", "minibatch", "hidden"):
            if getattr(self, name) < 1:
                raise InvalidParameter(
                    f"{self.info.name}: {name} is {getattr(self, name)}; it must be at least 1."
                )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) learned probabilities of being a target.

        Raises
        ------
        RuntimeError: the training diverged.
        """
        ((_, result),) = self.predict_targets_batch([task], seeds=[seed])
        if isinstance(result, Exception):
            raise result
        return result.outputs[""]

    def predict_targets_batch(
        self, tasks: Sequence[Task], *, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Prediction | Exception]]:
        """Tasks with equal numbers of variables and regimes are trained side by side on a GPU, one
        after the other on a CPU."""
        from cdnbench.methods.dcdi.data import Randomness, Rows

        check_device(self.info.name, self.device)
        orders = [CanonicalOrder(task) for task in tasks]
        sets = []
        for order, seed in zip(orders, seeds, strict=True):
            rng = task_generator(order.task, self.info.name, seed)
            rows, regime = _rows(order.task, self.standardise)
            sets.append((Rows.split(rows, regime, rng), order.task.n_regimes, Randomness(rng)))
        options = self._options()
        for i, ended in self._train(sets, options):
            if ended.reason == "diverged":
                yield (
                    i,
                    RuntimeError(
                        f"diverged: the loss is not a number after {ended.iterations:,} iterations"
                    ),
                )
            else:
                yield i, _prediction(ended, orders[i], options)

    def _train(
        self, sets: Sequence[tuple[Rows, int, Randomness]], options: Options
    ) -> Iterator[tuple[int, Ended]]:
        """On a CPU one after the other, since one fills a core; on a GPU all of one shape at
        once."""
        if self.device == "cpu":
            from cdnbench.methods.dcdi import single

            for i, (rows, n_regimes, randomness) in enumerate(sets):
                yield i, single.train(rows, n_regimes, self._density, options, randomness)
            return
        import torch

        from cdnbench.methods.dcdi import batched, densities

        density = densities.Gaussian() if self._density == "gaussian" else densities.SigmoidalFlow()
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for i, (rows, n_regimes, _) in enumerate(sets):
            groups[rows.train.shape[1], n_regimes, min(self.minibatch, len(rows.train))].append(i)
        for (_, n_regimes, _), members in groups.items():
            data, _, randomness = zip(*(sets[i] for i in members), strict=True)
            dtype = getattr(torch, self.precision)
            for ended in batched.train(
                data, n_regimes, density, options, randomness, self.device, dtype
            ):
                yield members[ended.index], ended

    def _options(self) -> Options:
        from cdnbench.methods.dcdi.data import Options

        return Options(
            hidden=self.hidden,
            edge_penalty=self.edge_penalty,
            target_penalty=self.target_penalty,
            learning_rate=self.learning_rate,
            minibatch=self.minibatch,
            max_iterations=self.max_iterations,
        )

    _density: ClassVar[str]


def _info(
    name: str, summary: str, max_variables: int, timeout_s: Callable[[Sizes], float]
) -> MethodInfo:
    return MethodInfo(
        name=name,
        summary=f"Differentiable causal discovery with unknown targets, {summary}, all regimes "
        "jointly",
        citation="Brouillard, Lachapelle, Lacoste, Lacoste-Julien, Drouin 2020, Differentiable "
        "causal discovery from "
        "interventional data, NeurIPS",
        licence="MIT",
        reference="https://github.com/slachapelle/dcdi",
        stochastic=True,
        default=False,
        preload=("numba", "scipy.linalg", "scipy.sparse.csgraph"),
        min_samples=MIN_ROWS,
        max_variables=max_variables,
        timeout_s=timeout_s,
        batch_size={"cuda": ON_A_GPU},  # one task keeps a CPU busy
        devices=("cpu", "cuda"),
        depends_on_units=True,  # unless standardise=True
        takes={
            "edge_penalty": at_least(0),
            "target_penalty": at_least(0),
            "learning_rate": POSITIVE,
        },
        trial=Trial(parameters={"max_iterations": 60}, finds_target=False),
    )


@dataclass(frozen=True)
class DCDIG(_DCDI):
    """DCDI-G: Gaussian conditionals."""

    info: ClassVar[MethodInfo] = _info(
        "dcdi-g",
        "Gaussian conditionals",
        100,
        lambda sizes: 600.0 + 1.5 * sizes.n_variables**2 * (1 + sizes.n_regimes / 30),
    )
    _density: ClassVar[str] = "gaussian"


@dataclass(frozen=True)
class DCDIGTuned(DCDIG):
    """DCDI-G with other weights of sparsity than the reference's."""

    target_penalty: float = 0.01

    info: ClassVar[MethodInfo] = replace(
        DCDIG.info,
        name="dcdi-g-tuned",
        summary="dcdi-g with the weights of sparsity that are best on synthetic-dev",
    )


@dataclass(frozen=True)
class DCDIDSF(_DCDI):
    """DCDI-DSF: conditionals by deep sigmoidal flows."""

    info: ClassVar[MethodInfo] = _info(
        "dcdi-dsf",
        "deep sigmoidal flows",
        50,
        lambda sizes: 1800.0 + 6.0 * sizes.n_variables**2 * (1 + sizes.n_regimes / 30),
    )
    _density: ClassVar[str] = "flow"


def _rows(task: Task, standardise: bool) -> tuple[np.ndarray, np.ndarray]:
    """All rows (M, N) float64, and the regime of each (M,), 0 = observational."""
    blocks = [task.observational, *task.regimes]
    rows = np.concatenate(blocks).astype(np.float64)
    if standardise:
        scale = rows.std(axis=0)
        rows = (rows - rows.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    return rows, np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])


def _prediction(ended: Ended, order: CanonicalOrder, options: Options) -> Prediction:
    schedule = ended.schedule
    facts = {
        "iterations": ended.iterations,
        "stop_reason": ended.reason,
        "stage": schedule.stage,
        "constraint": schedule.h,
        "mu": schedule.mu,
        "gamma": schedule.gamma,
        "multiplier_updates": schedule.updates,
        "n_edges": int(ended.adjacency.sum()),
    }
    note = ""
    if ended.reason != "converged":
        note = (
            f"not converged: stopped at {ended.iterations:,} iterations in stage "
            f"{schedule.stage!r}, constraint "
            f"{schedule.h:.2g} (to be at most {options.constants.h_threshold:g})"
        )
    outputs = {"": order.back(ended.probability.T)}
    return Prediction(outputs, note, facts, converged=not note)
