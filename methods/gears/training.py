"""Training of GEARS: the cells, the loss, the optimiser and the schedule of learning rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from cdnbench.checkpoint import NO_CHECKPOINT, Checkpoint
from cdnbench.methods.gears.network import Batch, Network
from cdnbench.methods.gears.prediction import decode
from cdnbench.methods.training_state import (
    generator_arrays,
    optimiser_arrays,
    put_generator,
    put_optimiser,
)

CLIP = 1.0
N_TOP = 20  # genes that choose the epoch


@dataclass(frozen=True, eq=False)
class Condition:
    """Cells of one perturbation of one line, or its controls.

    targets: nodes of the ontology graph, none for controls. genes (K,): those that are measured and
        count in the loss. wanted (M, K)
    float32: each cell minus the control cell it was paired with; None for controls, which are their
        own. n_cells: M.
    """

    targets: tuple[int, ...]
    genes: np.ndarray
    wanted: np.ndarray | None
    n_cells: int


@dataclass(frozen=True, eq=False)
class Step:
    """A batch, and what its loss compares. state_of: condition -> its row in the output of the
    network. parts: row, genes (K,), wanted (m, K) of each condition."""

    batch: Batch
    state_of: Mapping[int, int]
    parts: Sequence[tuple[int, torch.Tensor, torch.Tensor | None]]

    @staticmethod
    def of(
        conditions: Sequence[Condition],
        cells: Mapping[int, np.ndarray],
        ontology: sparse.csr_matrix,
    ) -> Step:
        """cells: condition -> numbers of those of its cells that are in the batch. Conditions with
        the same targets share a row."""
        rows: dict[tuple[int, ...], int] = {}
        for c in cells:
            if conditions[c].targets:
                rows.setdefault(conditions[c].targets, len(rows))
        n_cells, n_controls, state_of, parts = np.zeros(len(rows), dtype=int), 0, {}, []
        for c, some in cells.items():
            condition = conditions[c]
            state_of[c] = rows.get(condition.targets, len(rows))
            if condition.targets:
                n_cells[state_of[c]] += len(some)
            else:
                n_controls += len(some)
            wanted = None if condition.wanted is None else torch.from_numpy(condition.wanted[some])
            parts.append((state_of[c], torch.from_numpy(condition.genes), wanted))
        batch = Batch(
            summed(list(rows), ontology), np.array([len(t) for t in rows]), n_cells, n_controls
        )
        return Step(batch, state_of, parts)

    def autofocus(self, deltas: torch.Tensor) -> tuple[float, torch.Tensor]:
        """Mean over conditions of the mean over their cells and genes of error^4, and its gradient.

        The reference adds a direction term, .1 (sign difference)^2, whose gradient is 0 wherever it
        has one; it is left out.
        """
        loss, gradient = 0.0, torch.zeros_like(deltas)
        for row, genes, wanted in self.parts:
            error = deltas[row, genes][None]
            if wanted is not None:
                error = error - wanted.to(deltas.device)
            scale = 1 / (error.numel() * len(self.parts))
            cube = error**3
            loss += scale * float((cube * error).sum())
            gradient[row, genes] += cube.sum(0) * (4 * scale)
        return loss, gradient


def summed(targets: Sequence[tuple[int, ...]], ontology: sparse.csr_matrix) -> sparse.csr_matrix:
    """(S, nodes) sums of the rows of the targets of S perturbations."""
    if all(len(t) == 1 for t in targets):
        return ontology[[t[0] for t in targets]]
    number = np.repeat(np.arange(len(targets)), [len(t) for t in targets])
    column = np.array([node for t in targets for node in t], dtype=int)
    chosen = sparse.csr_matrix(
        (np.ones(len(column), np.float32), (number, column)),
        shape=(len(targets), ontology.shape[0]),
    )
    return sparse.csr_matrix(chosen @ ontology)


class Optimiser:
    """Adam with L2 weight decay, on clipped gradients."""

    def __init__(self, network: Network, learning_rate: float, weight_decay: float) -> None:
        self.network = network
        self.adam = torch.optim.Adam(
            network.values, lr=learning_rate, weight_decay=weight_decay, fused=True
        )

    def step(self, step: Step) -> float:
        """The loss before it."""
        for gradient in self.network.gradients:
            gradient.zero_()
        deltas = self.network.deltas(step.batch)
        loss, gradient = step.autofocus(deltas.detach())
        deltas.backward(gradient)
        _, of_effects = self.network.values
        # Adam passes over what has no gradient: a batch of controls leaves the parameters of
        # effects as they are
        of_effects.grad = self.network.gradients[1] if len(step.batch.n_cells) else None
        for gradient in self.network.gradients:
            gradient.clamp_(-CLIP, CLIP)
        self.adam.step()
        return loss

    def halve(self) -> None:
        for group in self.adam.param_groups:
            group["lr"] /= 2


def batches(
    sizes: Sequence[int], size: int, group: int, rng: np.random.Generator
) -> Iterator[dict[int, np.ndarray]]:
    """Batches of `size` cells for one epoch: condition -> numbers of its cells.

    Cells of a condition come in random groups of `group`, and the groups in random order; a group
    of 1 is a plain shuffle. Cells that do not fill a batch are left out.
    """
    condition = np.repeat(np.arange(len(sizes)), sizes)
    cell = np.concatenate([rng.permutation(n) for n in sizes])
    new = np.concatenate([np.arange(n) % group == 0 for n in sizes])
    number = np.cumsum(new) - 1
    order = np.argsort(rng.permutation(number[-1] + 1)[number], kind="stable")
    condition, cell = condition[order], cell[order]
    for low in range(0, len(order) - size + 1, size):
        some = slice(low, low + size)
        yield {int(c): cell[some][condition[some] == c] for c in np.unique(condition[some])}


@dataclass(frozen=True)
class Schedule:
    """How to train.

    epochs: passes over all cells. batch, group: cells per batch and per group. learning_rate: that
    of the first epoch; each following epoch has half of the one before. weight_decay: L2.
    """

    epochs: int
    batch: int
    group: int
    learning_rate: float
    weight_decay: float


def train(
    network: Network,
    conditions: Sequence[Condition],
    validation: Sequence[Condition],
    ontology: sparse.csr_matrix,
    schedule: Schedule,
    rng: np.random.Generator,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> np.ndarray:
    """Train the network in place.

    It ends as it was after the epoch that predicts the validation perturbations best, or after the
    last epoch if there are none. Returns (epochs, 2): the mean loss of each epoch, and the
    validation error after it (NaN without validation).
    """
    optimiser = Optimiser(network, schedule.learning_rate, schedule.weight_decay)
    best, kept, history = np.inf, network.state(), []
    if saved := checkpoint.load():
        best, history = float(saved["lowest"]), saved["history"].tolist()
        kept = {name: saved[f"best/{name}"] for name in kept}
        network.restore({name: saved[f"now/{name}"] for name in kept})
        put_optimiser("adam", saved, optimiser.adam)
        put_generator(saved, rng)
    while len(history) < schedule.epochs:
        losses = [
            optimiser.step(Step.of(conditions, cells, ontology))
            for cells in batches(
                [c.n_cells for c in conditions], schedule.batch, schedule.group, rng
            )
        ]
        optimiser.halve()
        value = error(network, validation, ontology) if validation else np.nan
        history.append((np.mean(losses), value))
        if not value >= best:  # without validation always
            best, kept = value, network.state()
        checkpoint.save(
            {
                "lowest": np.array(best),
                "history": np.array(history),
                **{f"now/{name}": array for name, array in network.state().items()},
                **{f"best/{name}": array for name, array in kept.items()},
                **optimiser_arrays("adam", optimiser.adam),
                **generator_arrays(rng),
            }
        )
    network.restore(kept)
    return np.array(history)


def error(network: Network, conditions: Sequence[Condition], ontology: sparse.csr_matrix) -> float:
    """Mean over perturbations of the mean squared error of the mean shift, on the N_TOP genes that
    changed most (by their t)."""
    rows = summed([c.targets for c in conditions], ontology)
    predicted = decode(
        network.folded(), network.effects(rows, np.array([len(c.targets) for c in conditions]))
    )
    errors = []
    for delta, condition in zip(predicted, conditions, strict=True):
        assert condition.wanted is not None
        shift, spread = condition.wanted.mean(axis=0), condition.wanted.std(axis=0)
        top = np.argsort(-np.abs(shift) / np.maximum(spread, 1e-6), kind="stable")[:N_TOP]
        errors.append(np.square(delta[condition.genes[top]] - shift[top]).mean())
    return float(np.mean(errors))
