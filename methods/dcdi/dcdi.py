"""DCDI: differentiable causal discovery from interventional data with unknown targets, many data sets at once.

Brouillard, Lachapelle, Lacoste, Lacoste-Julien, Drouin 2020, Differentiable causal discovery from interventional data, NeurIPS
(arXiv 2007.01754). All regimes are learned jointly (section 3.4, unknown perfect interventions): each variable has one network
of its masked parents, each (variable, regime) a density of its own that holds where a second mask says that the regime
targeted the variable. Maximum likelihood under an acyclicity constraint by an augmented Lagrangian (`schedule`). The score is
the learned probability of being a target.

    dcdi-g    Gaussian conditionals, one standard deviation a variable shared by all regimes
    dcdi-dsf  conditionals by a deep sigmoidal flow of two layers of 16 sigmoids

Parameters (names and defaults of the reference in brackets)
    edge_penalty    weight of the mean edge probability (reg-coeff, 0.1)
    target_penalty  weight of the sum of target probabilities (coeff-interv-sparsity, 1e-8)
    max_iterations  where training stops at the latest (num-train-iter; the reference's default is a million): 100,000. The record
                    has the iterations, the constraint, the stage and the reason of stopping, and a note if it did not converge
    learning_rate   of RMSprop (lr, 1e-3)
    minibatch       rows of one iteration (train-batch-size, 64)
    hidden          units of each of the two hidden layers (hid-dim, 16)
    standardise     divide by each variable's standard deviation, all rows together (normalize-data, off)
    precision       "float64" or "float32"
    device          "cpu" or "cuda"

What it cannot see: the mask of targets is learned through what it does to a node's inputs, so a target without parents gets no
gradient towards being one (its probability stays near sigmoid(-3), or falls), here as in the reference.

Loss, gradients and whole training runs equal the reference's (golden tests). Deviations
    - The network of an intervened mechanism sees zeros only, so it is computed once a (variable, regime), not once a row.
    - Minibatches and masks come from streams of each data set's own, so that a result does not depend on what is trained beside
      it; masks are drawn in float32. Variables are ordered by content.
    - A data set whose loss is no longer a number ends with an error.
    - Sets of fewer than 80 rows have smaller minibatches (the reference cannot run them).

Reference: https://github.com/slachapelle/dcdi. Our own code. Licence: MIT, with this package.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from cdnbench.errors import InvalidParameter
from cdnbench.method import CanonicalOrder, MethodInfo, Prediction, task_generator
from cdnbench.methods._device import check_device
from cdnbench.task import Task

if TYPE_CHECKING:
    from cdnbench.methods.dcdi.densities import Density
    from cdnbench.methods.dcdi.training import Ended, Options

_CITATION = (
    "Brouillard, Lachapelle, Lacoste, Lacoste-Julien, Drouin 2020, Differentiable causal discovery from interventional data, "
    "NeurIPS"
)
_REFERENCE = "https://github.com/slachapelle/dcdi"
MIN_ROWS = 10


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
            raise InvalidParameter(f"{self.info.name}: precision is {self.precision!r}; use float64 or float32.")
        for name in ("max_iterations", "minibatch", "hidden"):
            if getattr(self, name) < 1:
                raise InvalidParameter(f"{self.info.name}: {name} is {getattr(self, name)}; it must be at least 1.")

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
        """Tasks with equal numbers of variables and regimes are trained side by side."""
        from cdnbench.methods.dcdi.training import Randomness, Rows, train

        options, density = self._options(), self._density()
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        orders = [CanonicalOrder(task) for task in tasks]
        sets = []
        for i, (order, seed) in enumerate(zip(orders, seeds, strict=True)):
            rng = task_generator(order.task, self.info.name, seed)
            rows, regime = _rows(order.task, self.standardise)
            sets.append((Rows.split(rows, regime, rng), Randomness(rng, self.device)))
            shape = tasks[i].n_variables, tasks[i].n_regimes, min(self.minibatch, len(sets[i][0].train))
            groups[shape].append(i)
        for (_, n_regimes, _), members in groups.items():
            data, randomness = zip(*(sets[i] for i in members), strict=True)
            for ended in train(data, n_regimes, density, options, randomness):
                i = members[ended.index]
                if ended.reason == "diverged":
                    yield i, RuntimeError(f"diverged: the loss is not a number after {ended.iterations:,} iterations")
                else:
                    yield i, _prediction(ended, orders[i], options)

    def _options(self) -> Options:
        import torch

        from cdnbench.methods.dcdi.training import Options

        check_device(self.info.name, self.device)
        return Options(
            hidden=self.hidden,
            edge_penalty=self.edge_penalty,
            target_penalty=self.target_penalty,
            learning_rate=self.learning_rate,
            minibatch=self.minibatch,
            max_iterations=self.max_iterations,
            dtype=getattr(torch, self.precision),
            device=self.device,
            together=self._together if self.device == "cpu" else 1024,
        )

    _together: ClassVar[int]

    def _density(self) -> Density:
        raise NotImplementedError


@dataclass(frozen=True)
class DCDIG(_DCDI):
    """DCDI-G: Gaussian conditionals."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="dcdi-g",
        summary="Differentiable causal discovery with unknown targets, Gaussian conditionals, all regimes jointly",
        citation=_CITATION,
        licence="MIT",
        reference=_REFERENCE,
        stochastic=True,
        default=False,
        preload=("torch", "scipy.sparse.csgraph"),
        min_samples=MIN_ROWS,
        max_variables=100,
        batch_size=30,
        timeout_s=lambda sizes: 1800.0 + 1.5 * sizes.n_variables**2 * (1 + sizes.n_regimes / 30),
    )
    _together: ClassVar[int] = 16

    def _density(self) -> Density:
        from cdnbench.methods.dcdi.densities import Gaussian

        return Gaussian()


@dataclass(frozen=True)
class DCDIDSF(_DCDI):
    """DCDI-DSF: conditionals by deep sigmoidal flows."""

    info: ClassVar[MethodInfo] = MethodInfo(
        name="dcdi-dsf",
        summary="Differentiable causal discovery with unknown targets, deep sigmoidal flows, all regimes jointly",
        citation=_CITATION,
        licence="MIT",
        reference=_REFERENCE,
        stochastic=True,
        default=False,
        preload=("torch", "scipy.sparse.csgraph"),
        min_samples=MIN_ROWS,
        max_variables=50,
        batch_size=15,
        timeout_s=lambda sizes: 3600.0 + 6.0 * sizes.n_variables**2 * (1 + sizes.n_regimes / 30),
    )
    _together: ClassVar[int] = 2

    def _density(self) -> Density:
        from cdnbench.methods.dcdi.densities import SigmoidalFlow

        return SigmoidalFlow()


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
            f"not converged: stopped at {ended.iterations:,} iterations in stage {schedule.stage!r}, constraint "
            f"{schedule.h:.2g} (to be at most {options.constants.h_threshold:g})"
        )
    return Prediction({"": order.back(ended.probability.T)}, note, facts)
