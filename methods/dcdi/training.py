"""Training of many data sets at once: minibatches, constraint, RMSprop and schedules, each data set as if it were alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from cdnbench.methods._memory import keep_freed_memory
from cdnbench.methods.dcdi.densities import Density
from cdnbench.methods.dcdi.networks import Minibatch, Parameters, Shapes, loss
from cdnbench.methods.dcdi.schedule import Constants, Schedule

INDEX_BLOCK = 50  # iterations whose rows are drawn together
NOISE_BLOCK = 5  # iterations whose masks are drawn together
VALIDATION_ROWS = 512  # at once
RMS_DECAY, RMS_EPSILON = 0.99, 1e-8


@dataclass(frozen=True)
class Options:
    """Of the reference, with its defaults: see `methods/dcdi/dcdi.py`. together: data sets whose networks are computed together."""

    hidden: int = 16
    edge_penalty: float = 0.1
    target_penalty: float = 1e-8
    learning_rate: float = 1e-3
    minibatch: int = 64
    max_iterations: int = 100_000
    constants: Constants = field(default_factory=Constants)
    dtype: torch.dtype = torch.float64
    device: str = "cpu"
    together: int = 4


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows (M, N) of one data set with their regimes (M,), 0 = observational, split into training and validation."""

    train: np.ndarray
    train_regime: np.ndarray
    validation: np.ndarray
    validation_regime: np.ndarray

    @staticmethod
    def split(rows: np.ndarray, regime: np.ndarray, rng: np.random.Generator, share: float = 0.8) -> Rows:
        order = rng.permutation(len(rows))
        cut = int(share * len(rows))
        first, last = order[:cut], order[cut:]
        return Rows(rows[first], regime[first], rows[last], regime[last])


class Randomness:
    """All that training one data set draws, from streams of its own: what it gets does not depend on its neighbours."""

    def __init__(self, rng: np.random.Generator, device: str = "cpu") -> None:
        self.rng = rng
        seed = int(rng.integers(2**62))
        self._cuda = torch.Generator(device).manual_seed(seed) if device != "cpu" else None
        self._numpy = np.random.Generator(np.random.SFC64(seed))  # several times faster than torch's on a CPU

    def minibatches(self, n_rows: int, shape: tuple[int, int]) -> np.ndarray:
        """Row numbers (iterations, B), distinct within an iteration."""
        if n_rows < shape[1] ** 2:  # most draws would hold a row twice
            return self.rng.random((shape[0], n_rows)).argpartition(shape[1] - 1, axis=1)[:, : shape[1]]
        index = self.rng.integers(n_rows, size=shape)
        while True:
            index.sort(axis=1)
            twice = np.flatnonzero((index[:, 1:] == index[:, :-1]).any(axis=1))
            if not len(twice):
                return index
            index[twice] = self.rng.integers(n_rows, size=(len(twice), shape[1]))

    def uniform(self, out: Tensor) -> Tensor:
        """Fill a contiguous float32 array with uniform numbers on [0, 1)."""
        if self._cuda is not None:
            return out.uniform_(generator=self._cuda)
        self._numpy.random(dtype=np.float32, out=out.numpy())
        return out


@dataclass
class Ended:
    """How the training of data set `index` ended. probability (N, E): of each variable being a target of each regime."""

    index: int
    probability: np.ndarray
    adjacency: np.ndarray
    iterations: int
    schedule: Schedule
    reason: str


def train(
    data_sets: Sequence[Rows],
    n_regimes: int,
    density: Density,
    options: Options,
    randomness: Sequence[Randomness],
) -> Iterator[Ended]:
    """Train all data sets, which have the same N and number of interventional regimes; yields each as it ends.

    reason: "converged", "iterations" (the limit was reached) or "diverged" (a loss that is not a number).
    """
    keep_freed_memory()
    state = _Training(data_sets, n_regimes, density, options, randomness)
    for iteration in range(options.max_iterations):
        ended = state.step(iteration)
        yield from ended
        if not state.active:
            return
    yield from state.end(range(len(state.active)), options.max_iterations, "iterations")


class _Training:
    def __init__(
        self,
        data_sets: Sequence[Rows],
        n_regimes: int,
        density: Density,
        options: Options,
        randomness: Sequence[Randomness],
    ) -> None:
        self.options, self.density = options, density
        self.n = data_sets[0].train.shape[1]
        self.shapes = Shapes(self.n, n_regimes, options.hidden, density.n_outputs, density.has_scale)
        self.minibatch = min(options.minibatch, *(len(d.train) for d in data_sets))
        # Training rows of all data sets, one after the other.
        self.n_rows = [len(d.train) for d in data_sets]
        self.first = np.cumsum([0, *self.n_rows])
        self.train = self._values(np.concatenate([d.train for d in data_sets]))
        self.train_regime = self._numbers(np.concatenate([d.train_regime for d in data_sets]))
        self.validation = [(self._values(d.validation), self._numbers(d.validation_regime)) for d in data_sets]
        self.randomness = list(randomness)
        self.schedules = [Schedule(options.constants) for _ in data_sets]
        self.active = list(range(len(data_sets)))  # numbers of the data sets that the arrays below hold
        self.parameters = Parameters.initial(self.shapes, [r.rng for r in randomness], options.dtype, options.device)
        allowed = 1 - torch.eye(self.n, dtype=options.dtype, device=options.device)
        self.allowed = allowed.repeat(len(data_sets), 1, 1)
        self.full_constraint = float(torch.matrix_exp(allowed).trace()) - self.n or 1.0  # 0 for a single variable
        self.optimiser = RMSprop(self.parameters, options.learning_rate)
        self.gradients = torch.zeros_like(self.parameters.dense)
        self._multipliers()

    def _values(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(array).to(self.options.device, self.options.dtype)

    def _numbers(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(array).to(self.options.device, torch.int64)

    def step(self, iteration: int) -> list[Ended]:
        self._draw(iteration)
        p = self.parameters.views()
        edges = p["edges"].sigmoid() * self.allowed
        h, of_h = self._constraint(edges)
        penalty = self.options.edge_penalty / self.n**2

        losses = self._loss_and_gradients(self._batch(iteration))
        g = self.parameters.views(self.gradients)
        pull = penalty + (self.gamma + self.mu * h)[:, None, None] * of_h
        g["edges"].add_(pull * edges * (1 - edges)).mul_(self.free[:, None, None])
        keep = p["keep"].sigmoid()
        g["keep"].sub_(self.options.target_penalty * keep * (1 - keep))
        self.optimiser.step(self.parameters, self.gradients, self.row_gradients, iteration)

        heeding = [k for k, i in enumerate(self.active) if self.schedules[i].heeds(iteration)]
        if not heeding:
            return []
        return self._heed(iteration, heeding, losses, h, penalty * edges.sum((1, 2)), edges)

    def _heed(
        self, iteration: int, heeding: list[int], losses: Tensor, h: Tensor, penalty: Tensor, edges: Tensor
    ) -> list[Ended]:
        at, penalties, sound = h.tolist(), penalty.tolist(), (losses.isfinite() & h.isfinite()).tolist()
        over: dict[int, str] = {}
        changed = False
        for k in heeding:
            i = self.active[k]
            if not sound[k]:
                over[k] = "diverged"
                continue
            action = self.schedules[i].step(
                iteration, at[k], penalties[k], lambda k=k: self._validation_loss(k), lambda k=k: self._is_acyclic(k)
            )
            changed = changed or bool(action)
            if action == "reset":
                self.optimiser.reset(k)
            elif action == "threshold":
                present = (edges[k] > 0.5).to(self.options.dtype)
                self.parameters.views()["edges"][k] = 200 * present - 100
                self.allowed[k] = present
            elif action == "finish":
                over[k] = "converged"
        ended = [e for k, reason in over.items() for e in self.end([k], iteration + 1, reason)]
        if over:
            self._keep([k for k in range(len(self.active)) if k not in over])
        elif changed:
            self._multipliers()
        return ended

    def end(self, places: Sequence[int], iterations: int, reason: str) -> Iterator[Ended]:
        p = self.parameters.views()
        for k in places:
            i = self.active[k]
            edges = (p["edges"][k].sigmoid() * self.allowed[k] > 0.5).T
            probability = torch.sigmoid(-p["keep"][k]).double().cpu().numpy()
            yield Ended(i, probability, edges.cpu().numpy(), iterations, self.schedules[i], reason)

    def _keep(self, places: list[int]) -> None:
        """Go on with some of the data sets only."""
        self.parameters = self.parameters.take(places)
        self.optimiser.take(places, self.shapes)
        self.gradients = torch.zeros_like(self.parameters.dense)
        self.allowed = self.allowed[places]
        self.index, self.edge_noise, self.target_noise = (
            a[places] for a in (self.index, self.edge_noise, self.target_noise)
        )
        self.active = [self.active[k] for k in places]
        self._multipliers()

    def _multipliers(self) -> None:
        schedules = [self.schedules[i] for i in self.active]
        like = {"dtype": self.options.dtype, "device": self.options.device}
        self.mu = torch.tensor([s.mu for s in schedules], **like)
        self.gamma = torch.tensor([s.gamma for s in schedules], **like)
        self.free = torch.tensor([float(not s.thresholded) for s in schedules], **like)

    def _draw(self, iteration: int) -> None:
        """Rows and masks of the coming iterations."""
        d, b, n = len(self.active), self.minibatch, self.n
        if iteration % INDEX_BLOCK == 0:
            drawn = [
                self.first[i] + self.randomness[i].minibatches(self.n_rows[i], (INDEX_BLOCK, b)) for i in self.active
            ]
            self.index = torch.from_numpy(np.stack(drawn)).to(self.options.device)
        if iteration % NOISE_BLOCK == 0:
            noise = torch.empty(d, NOISE_BLOCK, n * b * (n + 1), device=self.options.device)
            for k, i in enumerate(self.active):
                self.randomness[i].uniform(noise[k])
            edge_noise, self.target_noise = (
                part.unflatten(2, shape)
                for part, shape in zip(noise.split([n * b * n, n * b], dim=2), ((n, b, n), (n, b)), strict=True)
            )
            self.edge_noise = edge_noise

    def _batch(self, iteration: int) -> Minibatch:
        index = self.index[:, iteration % INDEX_BLOCK]
        return Minibatch(
            self.train[index],
            self.train_regime[index],
            self.edge_noise[:, iteration % NOISE_BLOCK].to(self.options.dtype),
            self.target_noise[:, iteration % NOISE_BLOCK].to(self.options.dtype),
        )

    def _loss_and_gradients(self, batch: Minibatch) -> Tensor:
        """A few data sets at a time, so that what they need stays in the processor's caches."""
        pairs = self.n * self.shapes.n_regimes
        losses, self.row_gradients = [], []
        for low in range(0, len(self.active), self.options.together):
            high = min(low + self.options.together, len(self.active))
            some = Parameters(
                self.shapes,
                self.parameters.dense[low:high],
                self.parameters.rows[low * pairs : high * pairs],
                self.parameters.first[low * pairs : high * pairs],
            )
            value, of_rows = loss(
                some, self.density, batch.part(low, high), self.allowed[low:high], self.gradients[low:high]
            )
            losses.append(value)
            assert of_rows is not None
            self.row_gradients.append((of_rows.index + low * pairs, of_rows.values))
        return torch.cat(losses)

    def _constraint(self, edges: Tensor) -> tuple[Tensor, Tensor]:
        """(tr exp(A) - N) / its value for the full graph: (D,), and its derivative (D, T, J)."""
        exponential = torch.matrix_exp(edges.nan_to_num(0.5))
        h = (exponential.diagonal(dim1=1, dim2=2).sum(1) - self.n) / self.full_constraint
        return h, exponential.mT / self.full_constraint

    def _validation_loss(self, k: int) -> float:
        """Of the data set at place k, on all of its validation rows with freshly drawn masks."""
        i, n = self.active[k], self.n
        rows, regimes = self.validation[i]
        total = 0.0
        pairs = n * self.shapes.n_regimes
        alone = Parameters(
            self.shapes,
            self.parameters.dense[k : k + 1],
            self.parameters.rows[k * pairs : (k + 1) * pairs],
            self.parameters.first[k * pairs : (k + 1) * pairs],
        )
        for low in range(0, len(rows), VALIDATION_ROWS):
            x, regime = rows[low : low + VALIDATION_ROWS], regimes[low : low + VALIDATION_ROWS]
            shape = (n, len(x))
            noise = self.randomness[i].uniform(torch.empty(math.prod(shape) * (n + 1), device=self.options.device))
            edge_noise, target_noise = noise.to(self.options.dtype).split([math.prod(shape) * n, math.prod(shape)])
            batch = Minibatch(x[None], regime[None], edge_noise.view(1, *shape, n), target_noise.view(1, *shape))
            total += float(loss(alone, self.density, batch, self.allowed[k : k + 1])[0]) * len(x)
        return total / len(rows)

    def _is_acyclic(self, k: int) -> bool:
        from scipy.sparse.csgraph import connected_components

        edges = (self.parameters.views()["edges"][k].sigmoid() * self.allowed[k] > 0.5).cpu().numpy()
        return connected_components(edges, directed=True, connection="strong")[0] == self.n


class RMSprop:
    """torch's RMSprop with its defaults, the gradients of networks that a minibatch does not meet being zero.

    Such a parameter does not move and its mean square only decays, which is made up for when it is next met.
    """

    def __init__(self, parameters: Parameters, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.dense = torch.zeros_like(parameters.dense)
        self.rows = torch.zeros_like(parameters.rows)
        self.last = torch.full((len(parameters.rows),), -1, device=parameters.rows.device)

    def step(
        self, parameters: Parameters, dense: Tensor, rows: Sequence[tuple[Tensor, Tensor]], iteration: int
    ) -> None:
        self.dense.mul_(RMS_DECAY).addcmul_(dense, dense, value=1 - RMS_DECAY)
        parameters.dense.addcdiv_(dense, self.dense.sqrt().add_(RMS_EPSILON), value=-self.learning_rate)
        for index, gradient in rows:
            decay = torch.pow(RMS_DECAY, (iteration - self.last[index]).to(gradient.dtype))
            square = self.rows[index] * decay[:, None]
            square.addcmul_(gradient, gradient, value=1 - RMS_DECAY)
            self.rows[index] = square
            self.last[index] = iteration
            moved = parameters.rows[index].addcdiv_(
                gradient, square.sqrt_().add_(RMS_EPSILON), value=-self.learning_rate
            )
            parameters.rows[index] = moved

    def reset(self, k: int) -> None:
        """Forget the mean squares of the data set at place k."""
        pairs = len(self.rows) // len(self.dense)
        self.dense[k] = 0
        self.rows[k * pairs : (k + 1) * pairs] = 0

    def take(self, places: Sequence[int], shapes: Shapes) -> None:
        d = len(self.dense)
        self.dense = self.dense[places]
        self.rows = self.rows.unflatten(0, (d, -1))[places].flatten(0, 1)
        self.last = self.last.unflatten(0, (d, -1))[places].flatten(0, 1)
