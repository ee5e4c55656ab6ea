"""Training of many data sets at once with torch, for a GPU: each data set as if it were alone.
`single` is the CPU's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from cdnbench.methods.dcdi.data import (
    INDEX_BLOCK,
    NOISE_BLOCK,
    VALIDATION_ROWS,
    Ended,
    Options,
    Randomness,
    Rows,
)
from cdnbench.methods.dcdi.densities import Density
from cdnbench.methods.dcdi.networks import Minibatch, Parameters, RowGradients, loss
from cdnbench.methods.dcdi.schedule import Schedule
from cdnbench.methods.dcdi.shapes import RMS_DECAY, RMS_EPSILON, Shapes


def train(
    data_sets: Sequence[Rows],
    n_regimes: int,
    density: Density,
    options: Options,
    randomness: Sequence[Randomness],
    device: str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> Iterator[Ended]:
    """Train all data sets, which have the same N and number of interventional regimes; yields each
    as it ends.

    reason: "converged", "iterations" (the limit was reached) or "diverged" (a loss that is not a
        number).
    """
    training = Training(data_sets, n_regimes, density, options, randomness, device, dtype)
    for iteration in range(options.max_iterations):
        yield from training.step(iteration)
        if not training.active:
            return
    yield from training.end(range(len(training.active)), options.max_iterations, "iterations")


class Training:
    """The state of `train`; `step` is one iteration."""

    def __init__(
        self,
        data_sets: Sequence[Rows],
        n_regimes: int,
        density: Density,
        options: Options,
        randomness: Sequence[Randomness],
        device: str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.device, self.dtype = device, dtype
        self.generators = (
            [torch.Generator(device).manual_seed(r.seed) for r in randomness]
            if device != "cpu"
            else []
        )
        self.options, self.density = options, density
        self.n = data_sets[0].train.shape[1]
        self.shapes = Shapes(
            self.n, n_regimes, options.hidden, density.n_outputs, density.has_scale
        )
        self.minibatch = min(options.minibatch, *(len(d.train) for d in data_sets))
        # Training rows of all data sets, one after the other.
        self.n_rows = [len(d.train) for d in data_sets]
        self.first = np.cumsum([0, *self.n_rows])
        self.train = self._values(np.concatenate([d.train for d in data_sets]))
        self.train_regime = self._numbers(np.concatenate([d.train_regime for d in data_sets]))
        self.validation = [
            (self._values(d.validation), self._numbers(d.validation_regime)) for d in data_sets
        ]
        self.randomness = list(randomness)
        self.schedules = [Schedule(options.constants) for _ in data_sets]
        self.active = list(
            range(len(data_sets))
        )  # numbers of the data sets that the arrays below hold
        self.parameters = Parameters.initial(
            self.shapes, [r.rng for r in randomness], dtype, device
        )
        allowed = 1 - torch.eye(self.n, dtype=dtype, device=device)
        self.allowed = allowed.repeat(len(data_sets), 1, 1)
        self.full_constraint = (
            float(torch.matrix_exp(allowed).trace()) - self.n or 1.0
        )  # 0 for a single variable
        self.optimiser = RMSprop(self.parameters, options.learning_rate)
        self.gradients = torch.zeros_like(self.parameters.dense)
        self._multipliers()

    def _values(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(array).to(self.device, self.dtype)

    def _numbers(self, array: np.ndarray) -> Tensor:
        return torch.as_tensor(array).to(self.device, torch.int64)

    def step(self, iteration: int) -> list[Ended]:
        self._draw(iteration)
        p = self.parameters.views()
        edges = p["edges"].sigmoid() * self.allowed
        h, of_h = self._constraint(edges)
        penalty = self.options.edge_penalty / self.n**2

        losses, of_rows = loss(
            self.parameters, self.density, self._batch(iteration), self.allowed, self.gradients
        )
        assert of_rows is not None
        g = self.parameters.views(self.gradients)
        pull = penalty + (self.gamma + self.mu * h)[:, None, None] * of_h
        g["edges"].add_(pull * edges * (1 - edges)).mul_(self.free[:, None, None])
        keep = p["keep"].sigmoid()
        g["keep"].sub_(self.options.target_penalty * keep * (1 - keep))
        self.optimiser.step(self.parameters, self.gradients, of_rows, iteration)

        heeding = [k for k, i in enumerate(self.active) if self.schedules[i].heeds(iteration)]
        if not heeding:
            return []
        return self._heed(iteration, heeding, losses, h, penalty * edges.sum((1, 2)), edges)

    def _heed(
        self,
        iteration: int,
        heeding: list[int],
        losses: Tensor,
        h: Tensor,
        penalty: Tensor,
        edges: Tensor,
    ) -> list[Ended]:
        at, penalties, sound = (
            h.tolist(),
            penalty.tolist(),
            (losses.isfinite() & h.isfinite()).tolist(),
        )
        over: dict[int, str] = {}
        changed = False
        for k in heeding:
            i = self.active[k]
            if not sound[k]:
                over[k] = "diverged"
                continue
            action = self.schedules[i].step(
                iteration,
                at[k],
                penalties[k],
                lambda k=k: self._validation_loss(k),
                lambda k=k: self._is_acyclic(k),
            )
            changed = changed or bool(action)
            if action == "reset":
                self.optimiser.reset(k)
            elif action == "threshold":
                present = (edges[k] > 0.5).to(self.dtype)
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
        """Continue with some of the data sets only."""
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
        like = {"dtype": self.dtype, "device": self.device}
        self.mu = torch.tensor([s.mu for s in schedules], **like)
        self.gamma = torch.tensor([s.gamma for s in schedules], **like)
        self.free = torch.tensor([float(not s.thresholded) for s in schedules], **like)

    def _draw(self, iteration: int) -> None:
        """Rows and masks of the coming iterations."""
        b = self.minibatch
        if iteration % INDEX_BLOCK == 0:
            drawn = [
                self.first[i] + self.randomness[i].minibatches(self.n_rows[i], (INDEX_BLOCK, b))
                for i in self.active
            ]
            self.index = torch.from_numpy(np.stack(drawn)).to(self.device)
        if iteration % NOISE_BLOCK == 0:
            drawn = [self._masks(i, NOISE_BLOCK, b) for i in self.active]
            self.edge_noise, self.target_noise = (
                torch.stack(parts) for parts in zip(*drawn, strict=True)
            )

    def _masks(self, i: int, iterations: int, n_rows: int) -> tuple[Tensor, Tensor]:
        """The same as `Randomness.masks` for data set i, as tensors on the device."""
        if not self.generators:
            edges, targets = (
                torch.from_numpy(a) for a in self.randomness[i].masks(iterations, self.n, n_rows)
            )
            return edges, targets
        shape = iterations, self.n, n_rows
        edges, targets = (
            torch.empty(*shape, self.n, device=self.device),
            torch.empty(shape, device=self.device),
        )
        return edges.uniform_(generator=self.generators[i]), targets.uniform_(
            generator=self.generators[i]
        )

    def _batch(self, iteration: int) -> Minibatch:
        index = self.index[:, iteration % INDEX_BLOCK]
        return Minibatch(
            self.train[index],
            self.train_regime[index],
            self.edge_noise[:, iteration % NOISE_BLOCK].to(self.dtype),
            self.target_noise[:, iteration % NOISE_BLOCK].to(self.dtype),
        )

    def _constraint(self, edges: Tensor) -> tuple[Tensor, Tensor]:
        """(tr exp(A) - N) / its value for the full graph: (D,), and its derivative (D, T, J)."""
        exponential = torch.matrix_exp(edges.nan_to_num(0.5))
        h = (exponential.diagonal(dim1=1, dim2=2).sum(1) - self.n) / self.full_constraint
        return h, exponential.mT / self.full_constraint

    def _validation_loss(self, k: int) -> float:
        """The loss on all validation rows of the data set at place k, with freshly drawn masks."""
        i = self.active[k]
        rows, regimes = self.validation[i]
        total = 0.0
        pairs = self.n * self.shapes.n_regimes
        alone = Parameters(
            self.shapes,
            self.parameters.dense[k : k + 1],
            self.parameters.rows[k * pairs : (k + 1) * pairs],
            self.parameters.first[k * pairs : (k + 1) * pairs],
        )
        for low in range(0, len(rows), VALIDATION_ROWS):
            x, regime = rows[low : low + VALIDATION_ROWS], regimes[low : low + VALIDATION_ROWS]
            edge_noise, target_noise = self._masks(i, 1, len(x))
            batch = Minibatch(
                x[None], regime[None], edge_noise.to(self.dtype), target_noise.to(self.dtype)
            )
            total += float(loss(alone, self.density, batch, self.allowed[k : k + 1])[0]) * len(x)
        return total / len(rows)

    def _is_acyclic(self, k: int) -> bool:
        from scipy.sparse.csgraph import connected_components

        edges = (
            (self.parameters.views()["edges"][k].sigmoid() * self.allowed[k] > 0.5).cpu().numpy()
        )
        return connected_components(edges, directed=True, connection="strong")[0] == self.n


class RMSprop:
    """torch's RMSprop with its defaults, the gradients of networks that a minibatch does not meet
    being zero.

    Such a parameter does not move and its mean square only decays, which is made up for when it is
    next met.
    """

    def __init__(self, parameters: Parameters, learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.dense = torch.zeros_like(parameters.dense)
        self.rows = torch.zeros_like(parameters.rows)
        self.last = torch.full((len(parameters.rows),), -1, device=parameters.rows.device)

    def step(
        self, parameters: Parameters, dense: Tensor, rows: RowGradients, iteration: int
    ) -> None:
        self.dense.mul_(RMS_DECAY).addcmul_(dense, dense, value=1 - RMS_DECAY)
        parameters.dense.addcdiv_(
            dense, self.dense.sqrt().add_(RMS_EPSILON), value=-self.learning_rate
        )
        index, gradient = rows.index, rows.values
        decay = torch.pow(RMS_DECAY, (iteration - self.last[index]).to(gradient.dtype))
        square = self.rows[index] * decay[:, None]
        square.addcmul_(gradient, gradient, value=1 - RMS_DECAY)
        self.rows[index] = square
        self.last[index] = iteration
        step = gradient / square.sqrt_().add_(RMS_EPSILON)
        parameters.rows[index] = parameters.rows[index].sub_(step, alpha=self.learning_rate)

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
