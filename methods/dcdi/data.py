"""What goes into training and what comes out: options, rows, random numbers, the end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from cdnbench.methods.dcdi.schedule import Constants, Schedule

INDEX_BLOCK = 50  # iterations whose rows are drawn together
NOISE_BLOCK = 5  # iterations whose masks are drawn together
VALIDATION_ROWS = 512  # at once


@dataclass(frozen=True)
class Options:
    """Options of the reference, with its defaults (see `methods/dcdi/dcdi.py`)."""

    hidden: int = 16
    edge_penalty: float = 0.1
    target_penalty: float = 1e-8
    learning_rate: float = 1e-3
    minibatch: int = 64
    max_iterations: int = 100_000
    constants: Constants = field(default_factory=Constants)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows (M, N) of one data set with their regimes (M,), 0 = observational, split into training
    and validation."""

    train: np.ndarray
    train_regime: np.ndarray
    validation: np.ndarray
    validation_regime: np.ndarray

    @staticmethod
    def split(
        rows: np.ndarray, regime: np.ndarray, rng: np.random.Generator, share: float = 0.8
    ) -> Rows:
        order = rng.permutation(len(rows))
        cut = int(share * len(rows))
        first, last = order[:cut], order[cut:]
        return Rows(rows[first], regime[first], rows[last], regime[last])


class Randomness:
    """All the random numbers that training one data set needs.

    They come from streams of its own, so they do not depend on the data sets beside it.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.seed = int(rng.integers(2**62))
        self._bits = np.random.SFC64(self.seed)
        self._spare = np.empty(0, np.uint32)

    def minibatches(self, n_rows: int, shape: tuple[int, int]) -> np.ndarray:
        """Row numbers (iterations, B), distinct within an iteration."""
        if n_rows < shape[1] ** 2:  # most draws would hold a row twice
            order = self.rng.random((shape[0], n_rows)).argpartition(shape[1] - 1, axis=1)
            return np.ascontiguousarray(order[:, : shape[1]])
        index = self.rng.integers(n_rows, size=shape)
        while True:
            index.sort(axis=1)
            twice = np.flatnonzero((index[:, 1:] == index[:, :-1]).any(axis=1))
            if not len(twice):
                return index
            index[twice] = self.rng.integers(n_rows, size=(len(twice), shape[1]))

    def words(self, iterations: int, n: int, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
        """uint32 words for edges (iterations, N, rows, N) and targets (iterations, N, rows). A word
        w stands for the uniform draw (w >> 8) / 2^24, as in NumPy."""
        shape = iterations, n, n_rows
        return self._draw(*shape, n), self._draw(*shape)

    def masks(self, iterations: int, n: int, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
        """What `words` stand for: uniform float32 on [0, 1)."""
        edges, targets = self.words(iterations, n, n_rows)
        return _uniform(edges), _uniform(targets)

    def _draw(self, *shape: int) -> np.ndarray:
        """Half of a 64-bit draw may be left for the next call."""
        n = math.prod(shape)
        raw = self._bits.random_raw(-(-(n - len(self._spare)) // 2)).view(np.uint32)
        words = np.concatenate([self._spare, raw]) if len(self._spare) else raw
        self._spare = words[n:].copy()
        return words[:n].reshape(shape)


def _uniform(words: np.ndarray) -> np.ndarray:
    return (words >> 8).astype(np.float32) * np.float32(2.0**-24)


@dataclass
class Ended:
    """How the training of data set `index` ended. probability (N, E): of each variable being a
    target of each regime."""

    index: int
    probability: np.ndarray
    adjacency: np.ndarray
    iterations: int
    schedule: Schedule
    reason: str
