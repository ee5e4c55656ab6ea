"""Training of PDGrapher's two networks on pairs of expression before and after: bins, losses,
schedule.

    response   mean squared error of expression after, given the targets
    discovery  mean squared error of what the response network, frozen, says of the K best scores
               (K: the true number of targets), plus `supervision` x binary cross-entropy of the
               scores, a positive weighing negatives / positives

An epoch trains the response on all samples, then the discovery. Each stops for itself when its loss
on the validation samples has not fallen by 1e-5 for `patience` epochs; the weights of the best
epoch are kept, while the discovery goes on with the response as it is. Bins are 500 quantiles of
all values of the training samples, before and after apart. Expression that a sample lacks counts in
no loss and no quantile, and cannot be among the K best.

Reference: `train.py`, `_utils.py`, `_embed.py` of https://github.com/mims-harvard/PDGrapher; the
last incomplete batch is left out, as
there. Other than there: fewer samples than a batch make one batch, and validation leaves no samples
out (there, those that fill no batch): its loss is the mean over batches, weighted by their sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from cdnbench.checkpoint import NO_CHECKPOINT, Checkpoint
from cdnbench.methods.pdgrapher.network import Discovery, Graph, Layers, Response, Table
from cdnbench.methods.training_state import (
    generator_arrays,
    optimiser_arrays,
    put,
    put_generator,
    put_optimiser,
    tensor_arrays,
)

Initial = Callable[[str, np.ndarray, int], np.ndarray]
"""(name of a table, codes (U,) gene * Q + bin, Q) -> (U, D): rows before training."""


@dataclass(frozen=True)
class Schedule:
    """The reference's values."""

    epochs: int = 50
    patience: int = 15
    batch: int = 64
    learning_rate: float = 0.01
    supervision: float = 0.01


@dataclass(frozen=True, eq=False)
class Samples:
    """P samples over N genes. before, after (P, N) float32. known, targets (P, N) bool: targets are
    known. validation (P,) bool."""

    before: np.ndarray
    after: np.ndarray
    known: np.ndarray
    targets: np.ndarray
    validation: np.ndarray


@dataclass(frozen=True, eq=False)
class Binning:
    """Bins of expression by quantiles, and the (gene, bin) pairs that a table has rows for. edges
    (Q + 1,). codes (U,): sorted, gene * Q + bin."""

    edges: np.ndarray
    codes: np.ndarray

    @staticmethod
    def of(values: np.ndarray, counted: np.ndarray, n_bins: int) -> Binning:
        """values (P, N), of which the quantiles are over `counted` (P, N)."""
        edges = np.percentile(values[counted].astype(np.float64), np.linspace(0, 100, n_bins + 1))
        return Binning(edges, np.unique(encode(values, edges)))

    def rows(self, values: np.ndarray) -> np.ndarray:
        """(N, P) int32: rows of the table, of values (P, N) whose pairs it has."""
        return np.searchsorted(self.codes, encode(values, self.edges).T).astype(np.int32)

    @property
    def genes(self) -> np.ndarray:
        """(U,) the gene of each code."""
        return self.codes // (len(self.edges) - 1)


def encode(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """(P, N) codes gene * Q + bin for values (P, N).

    The bin is that of the last edge below or at a value. Among equal edges it is the first, and
    below all edges it is 0, where the reference's unstable sort takes any.
    """
    different, first = np.unique(edges, return_index=True)
    bins = first[np.maximum(np.searchsorted(different, values, side="right") - 1, 0)]
    n_bins = len(edges) - 1
    return np.minimum(bins, n_bins - 1) + n_bins * np.arange(values.shape[1])


def squared_error(predicted: Tensor, after: Tensor, known: Tensor) -> Tensor:
    """Mean over known entries. All arguments are (N, B), and `known` holds numbers."""
    return ((predicted - after).square() * known).sum() / known.sum()


def cross_entropy(scores: Tensor, targets: Tensor, known: Tensor, positive: float) -> Tensor:
    """Mean binary cross-entropy of log-odds over known entries.

    Targets count `positive` times.
    """
    loss = (1 - targets) * scores + (1 + (positive - 1) * targets) * softplus(-scores)
    return (loss * known).sum() / known.sum()


def best(scores: Tensor, known: Tensor, number: Tensor) -> Tensor:
    """node * B + sample of the `number` (B,) highest known scores (N, B) of each sample."""
    most = int(number.max())
    order = scores.masked_fill(known == 0, -torch.inf).topk(most, dim=0).indices
    device = scores.device
    flat = order * scores.shape[1] + torch.arange(scores.shape[1], device=device)
    return flat[torch.arange(most, device=device)[:, None] < number]


@dataclass(frozen=True, eq=False)
class Batches:
    """Samples as the networks take them, all (N, P): rows of tables `at_before`, `at_after`,
    numbers `after`, and `known`, `targets`, which are bool for all samples and numbers in a batch.
    """

    at_before: Tensor
    at_after: Tensor
    after: Tensor
    known: Tensor
    targets: Tensor

    def of(self, samples: np.ndarray) -> Batches:
        index = torch.from_numpy(samples).to(self.after.device)
        before, after = self.at_before[:, index], self.at_after[:, index]
        numbers = self.after[:, index]
        known, targets = (x[:, index].to(numbers.dtype) for x in (self.known, self.targets))
        return Batches(before, after, numbers, known, targets)

    def to(self, device: str) -> Batches:
        parts = (self.at_before, self.at_after, self.after, self.known, self.targets)
        return Batches(*(part.to(device) for part in parts))

    def intervened(self) -> Tensor:
        """node * B + sample of all targets."""
        return self.targets.reshape(-1).nonzero()[:, 0]


def shuffled(samples: np.ndarray, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Batches of one pass; what is left over is dropped."""
    size = min(size, len(samples))
    order = rng.permutation(samples)
    return (order[start : start + size] for start in range(0, len(order) - size + 1, size))


@dataclass(eq=False)
class Stopping:
    """Keeps the weights of the best epoch, and says when to stop."""

    network: nn.Module
    patience: int
    lowest: float = np.inf
    waited: int = 0
    kept: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._keep()

    def _keep(self) -> None:
        self.kept = {name: value.clone() for name, value in self.network.state_dict().items()}

    @property
    def ended(self) -> bool:
        return self.waited >= self.patience

    def __call__(self, loss: float) -> None:
        if loss < self.lowest - 1e-5:
            self.lowest, self.waited = loss, 0
            self._keep()
        else:
            self.waited += 1


@dataclass(frozen=True, eq=False)
class Pair:
    """Both networks over one graph, and their losses on batches."""

    response: Response
    discovery: Discovery
    graph: Graph
    positive: float
    supervision: float

    def response_loss(self, b: Batches) -> Tensor:
        return squared_error(
            self.response(b.at_before, b.intervened(), self.graph), b.after, b.known
        )

    def discovery_loss(self, b: Batches) -> Tensor:
        scores = self.discovery(b.at_before, b.at_after, self.graph)
        chosen = best(scores.detach(), b.known, b.targets.sum(0))
        predicted = self.response(b.at_before, chosen, self.graph, scores)
        loss = squared_error(predicted, b.after, b.known)
        return loss + self.supervision * cross_entropy(scores, b.targets, b.known, self.positive)


@dataclass(frozen=True, eq=False)
class Result:
    """before, after: bins and rows of the tables. response, discovery: their states of the best
    epoch. losses (E, 2): theirs on the validation samples, NaN where they had stopped."""

    before: Binning
    after: Binning
    response: dict[str, Tensor]
    discovery: dict[str, Tensor]
    losses: np.ndarray


def train(
    samples: Samples,
    graph: Graph,
    layers: Layers,
    schedule: Schedule,
    *,
    n_bins: int,
    initial: Initial,
    rng: np.random.Generator,
    device: str = "cpu",
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> Result:
    """Train both networks. Without validation samples, those of training serve for both. The
    weights before training are drawn on the CPU, whatever the device."""
    training, held = np.flatnonzero(~samples.validation), np.flatnonzero(samples.validation)
    held = held if len(held) else training
    counted = samples.known & ~samples.validation[:, None]
    before, after = (
        Binning.of(values, counted, n_bins) for values in (samples.before, samples.after)
    )
    at_before, at_after = (
        torch.from_numpy(b.rows(v)) for b, v in ((before, samples.before), (after, samples.after))
    )
    numbers, known, targets = (
        torch.from_numpy(np.ascontiguousarray(a.T))
        for a in (samples.after, samples.known, samples.targets)
    )
    data = Batches(at_before, at_after, numbers, known, targets).to(device)
    positives = samples.targets[training].sum()
    response, discovery = networks(before, after, samples.before.shape[1], layers, initial, rng)
    positive = float((counted.sum() - positives) / positives)
    response, discovery = response.to(device), discovery.to(device)
    pair = Pair(response, discovery, graph.to(device), positive, schedule.supervision)
    best_response, best_discovery, losses = _epochs(
        pair, data, training, held, schedule, rng, checkpoint
    )
    return Result(before, after, best_response, best_discovery, losses)


def networks(
    before: Binning,
    after: Binning,
    n_nodes: int,
    layers: Layers,
    initial: Initial,
    rng: np.random.Generator,
) -> tuple[Response, Discovery]:
    """Both with initial weights, drawn from the reference's laws."""

    def table(name: str, codes: np.ndarray, n_categories: int) -> Table:
        weight = torch.from_numpy(initial(name, codes, n_categories))
        return Table(weight, torch.from_numpy(codes // n_categories), n_nodes)

    n_bins, targets = len(before.edges) - 1, np.arange(2 * n_nodes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**62)))
        response = Response(
            table("response/before", before.codes, n_bins),
            table("response/targets", targets, 2),
            layers,
        )
        discovery = Discovery(
            table("discovery/before", before.codes, n_bins),
            table("discovery/after", after.codes, n_bins),
            layers,
        )
    return response, discovery


def _epochs(
    pair: Pair,
    data: Batches,
    training: np.ndarray,
    held: np.ndarray,
    schedule: Schedule,
    rng: np.random.Generator,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> tuple[dict[str, Tensor], dict[str, Tensor], np.ndarray]:
    """States of the best epochs, and losses on the held-out samples (E, 2)."""
    networks = pair.response, pair.discovery
    losses = pair.response_loss, pair.discovery_loss
    optimisers = [
        torch.optim.Adam(n.parameters(), lr=schedule.learning_rate, foreach=True) for n in networks
    ]
    stops = [Stopping(n, schedule.patience) for n in networks]
    log = []
    if saved := checkpoint.load():
        log = saved["log"].tolist()
        put_generator(saved, rng)
        for k, stop in enumerate(stops):
            put(f"{k}/now", saved, networks[k].state_dict())
            put(f"{k}/best", saved, stop.kept)
            put_optimiser(f"{k}/adam", saved, optimisers[k])
            stop.lowest, stop.waited = float(saved[f"{k}/lowest"]), int(saved[f"{k}/waited"])
    while len(log) < schedule.epochs and not all(s.ended for s in stops):
        log.append([np.nan, np.nan])
        active = [k for k in (0, 1) if not stops[k].ended]
        for k in active:
            for j, network in enumerate(networks):
                network.train(j == k).requires_grad_(j == k)
            for some in shuffled(training, schedule.batch, rng):
                optimisers[k].zero_grad()
                losses[k](data.of(some)).backward()
                optimisers[k].step()
        for network in networks:
            network.eval()
        for k in active:
            parts = np.split(held, range(schedule.batch, len(held), schedule.batch))
            with torch.no_grad():
                log[-1][k] = sum(
                    float(losses[k](data.of(some))) * len(some) for some in parts
                ) / len(held)
            stops[k](log[-1][k])
        arrays = {"log": np.array(log), **generator_arrays(rng)}
        for k, stop in enumerate(stops):
            arrays |= tensor_arrays(f"{k}/now", networks[k].state_dict())
            arrays |= tensor_arrays(f"{k}/best", stop.kept)
            arrays |= optimiser_arrays(f"{k}/adam", optimisers[k])
            arrays |= {f"{k}/lowest": np.array(stop.lowest), f"{k}/waited": np.array(stop.waited)}
        checkpoint.save(arrays)
    return stops[0].kept, stops[1].kept, np.array(log)
