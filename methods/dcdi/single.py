"""Training of one data set on a CPU, with compiled iterations (`kernels`)."""

from __future__ import annotations

import numpy as np
from scipy.linalg import expm
from scipy.sparse.csgraph import connected_components

from cdnbench.methods.dcdi import kernels
from cdnbench.methods.dcdi.data import (
    INDEX_BLOCK,
    NOISE_BLOCK,
    VALIDATION_ROWS,
    Ended,
    Options,
    Randomness,
    Rows,
)
from cdnbench.methods.dcdi.schedule import Schedule
from cdnbench.methods.dcdi.shapes import Shapes, initial

WIDTH = {"gaussian": (0, 0), "flow": (2, 16)}  # layers and width of the flow


def train(
    rows: Rows, n_regimes: int, density: str, options: Options, randomness: Randomness
) -> Ended:
    """Train one data set. density: "gaussian" or "flow".

    reason: "converged", "iterations" (the limit was reached) or "diverged" (a loss that is not a
        number).
    """
    training = Training(rows, n_regimes, density, options, randomness)
    return training.run(options.max_iterations) or training.end("iterations")


class Training:
    """The state of `train`; `run` goes on until an iteration."""

    def __init__(
        self, rows: Rows, n_regimes: int, density: str, options: Options, randomness: Randomness
    ) -> None:
        self.rows, self.options, self.randomness = rows, options, randomness
        self.n = n = rows.train.shape[1]
        layers, width = WIDTH[density]
        self.shapes = Shapes(n, n_regimes, options.hidden, 3 * layers * width or 1, not layers)
        self.minibatch = min(options.minibatch, len(rows.train))
        self.schedule = Schedule(options.constants)
        self.iteration = 0
        self.allowed = 1 - np.eye(n)
        self.full_constraint = (
            float(np.trace(expm(self.allowed))) - n or 1.0
        )  # 0 for a single variable
        self.work = kernels.work(
            n, n_regimes, options.hidden, self.shapes.n_outputs, WIDTH[density], self.minibatch
        )
        self.start(*initial(self.shapes, randomness.rng))

    def start(self, dense: np.ndarray, rows: np.ndarray, first: np.ndarray) -> None:
        """Begin from these parameters (`shapes.initial`)."""
        self.dense = np.ascontiguousarray(dense[0])
        self.gradient, self.square = np.zeros_like(self.dense), np.zeros_like(self.dense)
        self.network, self.of_network = self._views(self.dense), self._views(self.gradient)
        last = np.full(len(rows), -1)
        self.intervened = kernels.Intervened(
            np.ascontiguousarray(rows), first, np.zeros(rows.shape), last
        )

    def _views(self, flat: np.ndarray) -> kernels.Network:
        views = {name: flat[at].reshape(shape) for name, (at, shape) in self.shapes.places.items()}
        return kernels.Network(**({"log_scale": np.zeros(self.n)} | views))

    def run(self, until: int) -> Ended | None:
        """Run up to iteration `until`, exclusive.

        Returns how training ended, or None if it did not.
        """
        while self.iteration < until:
            loss, h, edges = self._iterate(self._stop(until))
            if self.schedule.heeds(self.iteration - 1):
                reason = self._heed(loss, h, edges)
                if reason:
                    return self.end(reason)
        return None

    def _stop(self, until: int) -> int:
        """The iteration to stop at next.

        Random numbers are drawn in blocks, and the schedule may want to look in between.
        """
        block = self.iteration - self.iteration % NOISE_BLOCK + NOISE_BLOCK
        heeding = (i + 1 for i in range(self.iteration, block) if self.schedule.heeds(i))
        return min(until, next(heeding, block))

    def _iterate(self, stop: int) -> tuple[float, float, np.ndarray]:
        i, n = self.iteration, self.n
        if i % INDEX_BLOCK == 0:
            self.index = self.randomness.minibatches(
                len(self.rows.train), (INDEX_BLOCK, self.minibatch)
            )
        if i % NOISE_BLOCK == 0:
            self.edge_noise, self.target_noise = self.randomness.words(
                NOISE_BLOCK, n, self.minibatch
            )
        of_index = slice(i % INDEX_BLOCK, i % INDEX_BLOCK + stop - i)
        of_noise = slice(i % NOISE_BLOCK, i % NOISE_BLOCK + stop - i)
        schedule, options = self.schedule, self.options
        self.iteration = stop
        return kernels.iterate(
            self.network, self.intervened, self.allowed, self.work, self.of_network,
            self.dense, self.gradient, self.square,
            self.rows.train, self.rows.train_regime,
            self.index[of_index], self.edge_noise[of_noise], self.target_noise[of_noise],
            i, options.edge_penalty / n**2, schedule.mu, schedule.gamma, self.full_constraint,
            float(not schedule.thresholded), options.target_penalty, options.learning_rate,
        )  # fmt: skip

    def _heed(self, loss: float, h: float, edges: np.ndarray) -> str:
        """Tell the schedule about the last iteration. Returns the reason if training is over."""
        if not (np.isfinite(loss) and np.isfinite(h)):
            return "diverged"
        penalty = self.options.edge_penalty / self.n**2 * float(edges.sum())
        action = self.schedule.step(
            self.iteration - 1, h, penalty, self.validation_loss, self._is_acyclic
        )
        if action == "reset":
            self.square[:] = 0
            self.intervened.square[:] = 0
        elif action == "threshold":
            self.allowed = (edges > 0.5).astype(np.float64)
            self.network.edges[:] = 200 * self.allowed - 100
        return "converged" if action == "finish" else ""

    def _probable_edges(self) -> np.ndarray:
        """(T, J): j -> t is likelier than not."""
        return (self.network.edges > 0) & (self.allowed > 0)

    def _is_acyclic(self) -> bool:
        return (
            connected_components(self._probable_edges(), directed=True, connection="strong")[0]
            == self.n
        )

    def validation_loss(self) -> float:
        """The loss on all validation rows, with freshly drawn masks."""
        rows, regimes = self.rows.validation, self.rows.validation_regime
        total = 0.0
        for low in range(0, len(rows), VALIDATION_ROWS):
            x, regime = rows[low : low + VALIDATION_ROWS], regimes[low : low + VALIDATION_ROWS]
            (edge_noise,), (target_noise,) = self.randomness.words(1, self.n, len(x))
            total += kernels.negative_log_likelihood(
                self.network,
                self.intervened,
                self.allowed,
                self.work,
                x,
                regime,
                edge_noise,
                target_noise,
            )
        return total / (self.n * len(rows))

    def end(self, reason: str) -> Ended:
        probability = 1 / (1 + np.exp(self.network.keep))
        return Ended(
            0, probability, self._probable_edges().T, self.iteration, self.schedule, reason
        )
