"""The augmented-Lagrangian schedule of one data set, with the reference's phases and constants.

    subproblem   every 200 iterations, if the validation Lagrangian of the last three checks (100
                 iterations apart) rises, or falls by less than 1e-4 an iteration without having
                 gone up and down: gamma += mu h; mu doubles unless h fell below 0.9 of its last
                 value; the optimiser starts anew. Until h <= 1e-8 and the graph at 1/2 is acyclic.
    patience     every 1,000 iterations a fresh validation Lagrangian, until it failed to improve 5
                 times.
    threshold    edges above 1/2 stay for good, the others go.
    refit        every 1,000 iterations the validation loss, until it failed to improve 5 times.

(`train` in train.py of the reference, with its default options.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

CHECK_EVERY = 100
PATIENCE_EVERY = 1000


@dataclass(frozen=True)
class Constants:
    """Options of the reference with its defaults (`--stop-crit-win` is `CHECK_EVERY`)."""

    mu_init: float = 1e-8
    gamma_init: float = 0.0
    mu_mult_factor: float = 2.0
    omega_gamma: float = 1e-4
    omega_mu: float = 0.9
    h_threshold: float = 1e-8
    train_patience: int = 5
    train_patience_post: int = 5


@dataclass
class Schedule:
    """Feed it each iteration; it says what to do: "", "reset" (the optimiser), "threshold" or
    "finish".

    stage: subproblem, patience, refit or finished. updates: how often gamma was raised.
    """

    constants: Constants = field(default_factory=Constants)
    mu: float = field(init=False)
    gamma: float = field(init=False)
    h: float = math.inf
    acyclic: bool = False
    stage: str = "subproblem"
    updates: int = 0
    best: float = math.inf
    lagrangians: list[float] = field(
        default_factory=list
    )  # of validation; the last may have been shifted by an update
    thresholded: bool = False
    _h_at_update: float | None = None

    def __post_init__(self) -> None:
        self.mu, self.gamma = self.constants.mu_init, self.constants.gamma_init
        self._patience, self._patience_post = (
            self.constants.train_patience,
            self.constants.train_patience_post,
        )

    def heeds(self, iteration: int) -> bool:
        """Whether this iteration can change anything."""
        over = (
            self._patience_post if self.thresholded else self._patience
        )  # at 0 the next iteration goes on
        return iteration % CHECK_EVERY == 0 or over == 0

    def step(
        self,
        iteration: int,
        h: float,
        penalty: float,
        validation_loss: Callable[[], float],
        acyclic: Callable[[], bool],
    ) -> str:
        """h and penalty (of edges): before this iteration's step. validation_loss, acyclic: after
        it; the former draws masks."""
        self.h = h
        besides = penalty + self._augmentation(h)
        if iteration % CHECK_EVERY == 0:
            self.lagrangians.append(validation_loss() + besides)
            self.acyclic = acyclic()
        if h > self.constants.h_threshold or not self.acyclic:
            if (
                iteration >= 2 * CHECK_EVERY
                and iteration % (2 * CHECK_EVERY) == 0
                and self._is_stationary()
            ):
                self._update(h)
                self.lagrangians[-1] += penalty + self._augmentation(h) - besides
                return "reset"
            return ""
        return self._converged(iteration, besides, validation_loss)

    def _augmentation(self, h: float) -> float:
        return 0.5 * self.mu * h**2 + self.gamma * h

    def _is_stationary(self) -> bool:
        first, middle, last = self.lagrangians[-3:]
        if not min(first, last) < middle < max(first, last):
            return False
        slope = (last - first) / CHECK_EVERY
        return abs(slope) < self.constants.omega_gamma or slope > 0

    def _update(self, h: float) -> None:
        self.updates += 1
        self.gamma += self.mu * h
        if self._h_at_update is not None and h > self._h_at_update * self.constants.omega_mu:
            self.mu *= self.constants.mu_mult_factor
        self._h_at_update = h

    def _converged(
        self, iteration: int, besides: float, validation_loss: Callable[[], float]
    ) -> str:
        if self._patience > 0:
            self.stage = "patience"
            if iteration % PATIENCE_EVERY == 0:
                value = validation_loss() + besides
                if value < self.best:
                    self.best, self._patience = value, self.constants.train_patience
                else:
                    self._patience -= 1
            return ""
        if not self.thresholded:
            self.stage, self.thresholded, self.best = "refit", True, math.inf
            return "threshold"
        if self._patience_post > 0:
            if iteration % PATIENCE_EVERY == 0:
                value = validation_loss()
                if value < self.best:
                    self.best, self._patience_post = value, self.constants.train_patience_post
                else:
                    self._patience_post -= 1
            return ""
        self.stage = "finished"
        return "finish"
