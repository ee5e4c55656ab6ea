"""BaCaDI: a posterior over graphs, mechanisms and unknown targets, followed by particles, over all
regimes jointly.

Hägele, Rothfuss, Lorch, Somnath, Schölkopf, Krause 2023, BaCaDI: Bayesian causal discovery with
unknown interventions, AISTATS (PMLR 206:1411). The joint variant, with the settings of the CDN
paper's runs (Wu et al. 2025, their fork of the code).

Readings (variants) of one run with P particles of target scores gamma_e,i for regime e and variable
i
    soft  mean of sigmoid(gamma)
    e     BaCaDI-E: mean of 1[gamma > 0]
    m     BaCaDI-M: the same, particles weighted by their joint density p(rows, parameters | graph,
          targets) at their hard graph 1[u . v > 0] and hard targets
`e` has P + 1 values and `m` often two, so they tie; `soft` does not.

Parameters (the reference's command-line defaults, except where noted)
    likelihood  "linear", or "fc": one hidden layer of 5 sigmoids
    n_particles, n_steps, step_size
                20, 2000 (fixed in the fork's loop; its unused option says 3000), .005 (RMSprop)
    n_grad_samples, n_acyclicity_samples
                draws for the gradients of the likelihood 128, of the priors 32
    observational_rows, regime_rows
                the first 200 and 20 rows are used (the CDN paper's setting), all if 0. With the
                linear likelihood all of them cost the same
    lambda_regul, edges_per_node  strength of the prior for few targets 1, edges that the
                                  Erdos-Renyi prior expects 2
    h_latent, h_theta, h_interv   squared bandwidths of the kernel: 5, 500, 5
    alpha_linear, beta_linear     slopes of the annealing of P(edge), P(target) .01, and of
                                  acyclicity 1
    device      "cpu" or "cuda"
Fixed: noise variance .1, of targets .5; prior of a target's mean N(0, 10^2), of parameters N(0, 1),
of gamma N(0, .1) with a Beta(1 / N, 1 - 1 / N) for P(target). The samples are used as they are:
their scale matters.

Deviations from the reference
    - The three gradient estimates of a step share their random numbers, a third of the draws; the
      law of each is the same.
    - Uniform numbers have 16 bits. Probabilities below 2^-17 count as 0 when a hard edge or target
      is drawn.
    - Draws that weigh less than 1e-19 in a softmax are found in single precision and left out (see
      `posterior`).
    - Variables are ordered by content, so that relabelling them permutes the scores.
Given the same random numbers, densities, gradients and updates are the reference's (golden test).

On the CPU, data sets are solved one after the other, since one fills a core, and the fully
connected likelihood is compiled, which the first use on a machine waits for; on CUDA, all of one
shape at once. There, a task's rounding errors depend on the tasks beside it, its random numbers do
not.

Reference: https://github.com/haeggee/bacadi and its fork https://github.com/rmwu/bacadi (MIT).
Licence of this file: MIT.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.method import MethodInfo, Prediction, Trial
from cdnbench.methods.device import check_device
from cdnbench.ranges import POSITIVE, at_least
from cdnbench.relabelling import CanonicalOrder, task_generator
from cdnbench.task import Task

if TYPE_CHECKING:
    from cdnbench.methods.bacadi.posterior import Posterior
    from cdnbench.methods.bacadi.svgd import Fit

_MOVING = 0.05
"""A run has not converged if P(target) changed by this much on average in its last tenth."""


def _timeout_s(sizes) -> float:
    # N = 10, R = 30 on one core: 40 s with the linear likelihood, 300 s with the fully connected
    # one
    return 1200.0 + 3.0 * sizes.n_variables**2 * sizes.n_regimes


@dataclass(frozen=True)
class BaCaDI:
    """Bayesian causal discovery with unknown interventions."""

    likelihood: str = "linear"
    n_particles: int = 20
    n_steps: int = 2000
    step_size: float = 0.005
    n_grad_samples: int = 128
    n_acyclicity_samples: int = 32
    observational_rows: int = 200
    regime_rows: int = 20
    lambda_regul: float = 1.0
    edges_per_node: float = 2.0
    h_latent: float = 5.0
    h_theta: float = 500.0
    h_interv: float = 5.0
    alpha_linear: float = 0.01
    beta_linear: float = 1.0
    device: str = "cpu"

    info: ClassVar[MethodInfo] = MethodInfo(
        name="bacadi",
        summary="Posterior over graphs, mechanisms and targets by Stein variational gradient "
        "descent, all regimes jointly",
        citation="Hägele, Rothfuss, Lorch, Somnath, Schölkopf, Krause 2023, BaCaDI: Bayesian "
        "causal discovery with unknown "
        "interventions, AISTATS",
        licence="MIT",
        reference="https://github.com/rmwu/bacadi",
        variants=("soft", "e", "m"),
        stochastic=True,
        default=False,
        preload=("torch",),
        timeout_s=_timeout_s,
        min_samples=1,
        batch_size={"cuda": 8},  # one task keeps a CPU busy
        devices=("cpu", "cuda"),
        depends_on_units=True,
        trial=Trial(
            parameters={
                "n_steps": 15,
                "n_particles": 4,
                "n_grad_samples": 16,
                "n_acyclicity_samples": 8,
            },
            finds_target=False,
        ),
        takes={
            "step_size": POSITIVE,
            "lambda_regul": at_least(0),
            "edges_per_node": POSITIVE,
            "h_latent": POSITIVE,
            "h_theta": POSITIVE,
            "h_interv": POSITIVE,
            "alpha_linear": at_least(0),
            "beta_linear": at_least(0),
        },
    )

    def __post_init__(self) -> None:
        if self.likelihood not in ("linear", "fc"):
            raise InvalidParameter(
                f"bacadi: likelihood is 'linear' or 'fc'; got {self.likelihood!r}."
            )
        check_device(self.info.name, self.device)
        for name in ("n_particles", "n_steps", "n_grad_samples", "n_acyclicity_samples"):
            if getattr(self, name) < 1:
                raise InvalidParameter(f"bacadi: {name} is at least 1; got {getattr(self, name)}.")
        for name in ("observational_rows", "regime_rows"):
            if getattr(self, name) < 0:
                raise InvalidParameter(
                    f"bacadi: {name} is a number of rows, or 0 for all; got {getattr(self, name)}."
                )

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) mean over the particles of sigmoid(gamma)."""
        return self.predict_outputs(task, seed=seed)["soft"]

    def predict_outputs(self, task: Task, *, seed: int = 0) -> dict[str, np.ndarray]:
        """`soft`, `e` and `m`, each (R, N) in [0, 1].

        Raises
        ------
        CannotRun: the task has one variable. RuntimeError: a particle is no longer finite; the
        message says from which step.
        """
        ((_, result),) = self.predict_targets_batch([task], seeds=[seed])
        if isinstance(result, Exception):
            raise result
        return dict(result.outputs)

    def predict_targets_batch(
        self, tasks: Sequence[Task], *, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Prediction | Exception]]:
        """(index, prediction or the error that ended this task), group by group of tasks of one
        shape."""
        groups: dict[tuple, list[int]] = {}
        for i, task in enumerate(tasks):
            if task.n_variables < 2:
                yield i, CannotRun("one variable; the prior over graphs needs at least 2")
            else:
                alone = (i,) if self.device == "cpu" else ()
                groups.setdefault((task.n_variables, task.n_regimes, *alone), []).append(i)
        for group in groups.values():
            try:
                found = self._solve([tasks[i] for i in group], [seeds[i] for i in group])
            except Exception as error:  # out of memory, say: none of this group has a result
                found = [error] * len(group)
            yield from zip(group, found, strict=True)

    def _solve(self, tasks: list[Task], seeds: list[int]) -> list[Prediction | Exception]:
        """Predictions, or errors, of tasks that have the same numbers of variables and regimes."""
        from cdnbench.methods.bacadi.likelihood import FullyConnected, Linear, Regimes
        from cdnbench.methods.bacadi.posterior import Posterior, Prior
        from cdnbench.methods.bacadi.svgd import Bandwidths, Draws, fit

        orders = [CanonicalOrder(task) for task in tasks]
        samples = [self._rows_used(order.task) for order in orders]
        likelihood = (Linear if self.likelihood == "linear" else FullyConnected)(
            samples, self.device
        )
        prior = Prior(self.alpha_linear, self.beta_linear, self.lambda_regul, self.edges_per_node)
        posterior = Posterior(likelihood, Regimes.of(samples, self.device), prior)
        generators = [
            task_generator(task, self.info.name, seed)
            for task, seed in zip(tasks, seeds, strict=True)
        ]
        result = fit(
            posterior,
            Draws(generators, self.device),
            n_regimes=tasks[0].n_regimes,
            n_particles=self.n_particles,
            n_steps=self.n_steps,
            n_grad_samples=self.n_grad_samples,
            n_acyclicity_samples=self.n_acyclicity_samples,
            step_size=self.step_size,
            bandwidths=Bandwidths(self.h_latent, self.h_theta, self.h_interv),
        )
        return self._predictions(orders, posterior, result)

    def _rows_used(self, task: Task) -> list[np.ndarray]:
        regimes = [x[: self.regime_rows or None] for x in task.regimes]
        return [task.observational[: self.observational_rows or None], *regimes]

    def _predictions(
        self, orders: list[CanonicalOrder], posterior: Posterior, result: Fit
    ) -> list[Prediction | Exception]:
        import torch

        from cdnbench.methods.bacadi.posterior import edge_scores

        particles, gamma = result.particles, result.particles.gamma
        graphs = (edge_scores(particles.z) > 0).double()
        graphs.diagonal(dim1=-2, dim2=-1).zero_()
        hard = (gamma > 0).double()
        log_joint = posterior.log_joint(
            particles.theta,
            particles.means,
            graphs.movedim(1, 3)[..., None],
            hard.movedim(1, 3)[..., None],
        )[..., 0]
        acyclic = (torch.linalg.matrix_power(graphs, graphs.shape[-1]) == 0).all(-1).all(-1)
        steepness = self.alpha_linear * self.n_steps / 2
        p, earlier = ((steepness * x).sigmoid().mean(1) for x in (gamma, result.earlier))
        outputs = {"soft": gamma.sigmoid().mean(1), "e": hard.mean(1)}
        outputs["m"] = (log_joint.softmax(1)[:, :, None, None] * hard).sum(1)
        change = (p - earlier).abs()
        found: list[Prediction | Exception] = []
        for d, order in enumerate(orders):
            if result.failed_at[d] >= 0:
                found.append(
                    RuntimeError(
                        f"bacadi: numbers are no longer finite after step {result.failed_at[d]}"
                    )
                )
                continue
            scores = {variant: order.back(x[d].cpu().numpy()) for variant, x in outputs.items()}
            moved = float(change[d].mean())
            facts: dict[str, Any] = {
                "steps": self.n_steps,
                "expected_targets": float(p[d].sum(-1).mean()),
                "acyclic_particles": float(acyclic[d].double().mean()),
                "mean_change_last_tenth": moved,
                "largest_change_last_tenth": float(change[d].max()),
                "effective_particles_m": math.exp(_entropy(log_joint[d].softmax(0).cpu().numpy())),
                "stop_reason": "all steps done",
            }
            note = (
                f"not converged: P(target) changed by {moved:.2f} on average in the last tenth "
                "of the steps"
            )
            converged = bool(moved <= _MOVING)
            found.append(Prediction(scores, "" if converged else note, facts, converged))
        return found


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())
