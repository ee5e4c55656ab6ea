"""Fine-tuning of the heads of `cdn-axial` and `cdn-mlp` on labelled perturbations, for `cells`.

The encoder stays as it is, so every data set is encoded once. The encodings are kept in single
precision: up to `IN_MEMORY` bytes in memory, the rest in a temporary file.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from cdnbench.checkpoint import NO_CHECKPOINT, Checkpoint
from cdnbench.errors import CannotRun
from cdnbench.methods.cdn.paper.differential import DifferentialNetwork, Encoded, target_loss
from cdnbench.methods.cdn.paper.methods import encode
from cdnbench.methods.clusters import cluster, held_out
from cdnbench.methods.training_state import (
    generator_arrays,
    optimiser_arrays,
    put,
    put_generator,
    put_optimiser,
    put_torch_random,
    tensor_arrays,
    torch_random_arrays,
)
from cdnbench.metrics import Scored
from cdnbench.relabelling import CanonicalOrder, task_generator
from cdnbench.truth import LabelledTask, Truth

if TYPE_CHECKING:
    from cdnbench.methods.cdn.paper.cells import CDNAxialCells, CDNMLPCells

VALIDATION = 0.15
"""Share of the clusters of perturbations that is held out."""

WEIGHT_DECAY = 1e-5
"""On matrices, as in the paper's training on synthetic data."""

IN_MEMORY = 2 << 30
"""Bytes of encodings that a fit keeps in memory. N = 100 takes 5 MB per perturbation."""


class Encodings:
    """Encoded data sets, kept in one piece of memory of at most `limit` bytes, and in a temporary
    file where that is full. Those in the file are read each time they are asked for.

    One piece, because grids of many sizes that stay, between temporary ones that go, leave holes
    as large as themselves.
    """

    def __init__(self, limit: int = IN_MEMORY) -> None:
        self._memory = torch.empty(limit // 4)  # what is never written takes no memory
        self._used = 0
        self._file: IO[bytes] | None = None
        self._kept: list[tuple[int | None, int, tuple[int, ...], Tensor]] = []

    def add(self, encoded: Encoded) -> int:
        """Keep one encoded data set, and return its number."""
        grid, file = encoded.grid.cpu(), None
        place, end = self._used, self._used + grid.numel()
        if end <= len(self._memory):
            self._memory[place:end] = grid.flatten()
            self._used = end
        else:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as this)
            file = self._file.seek(0, 2)
            self._file.write(grid.contiguous().numpy().tobytes())
        self._kept.append((file, place, tuple(grid.shape), encoded.moments.cpu()))
        return len(self._kept) - 1

    def get(self, number: int, device: str) -> Encoded:
        file, place, shape, moments = self._kept[number]
        size = int(np.prod(shape))
        if file is None:
            grid = self._memory[place : place + size]
        else:
            assert self._file is not None
            self._file.seek(file)
            grid = torch.from_numpy(np.fromfile(self._file, np.float32, size))
        return Encoded(grid.view(shape).to(device), moments.to(device))


@dataclass(frozen=True, eq=False)
class Perturbation:
    """One labelled perturbation. before, after: numbers of its encodings. targets, candidates:
    (N,) bool. cluster: see `cdnbench.methods.clusters`."""

    before: int
    after: int
    targets: np.ndarray
    candidates: np.ndarray
    cluster: str


def encode_all(
    how: CDNAxialCells | CDNMLPCells,
    network: DifferentialNetwork,
    tasks: Sequence[LabelledTask],
    seed: int,
) -> tuple[Encodings, list[Perturbation]]:
    """The perturbations of all tasks, encoded as they are for a prediction.

    Raises
    ------
    CannotRun: a perturbation has no target, or no candidate beside its targets.
    """
    kept, found = Encodings(), []
    for number, labelled in enumerate(tasks):
        task = CanonicalOrder(labelled.task).task
        place = {name: i for i, name in enumerate(labelled.task.variables)}
        targets = labelled.targets[:, [place[name] for name in task.variables]]
        assert task.candidates is not None
        for wanted, candidates in zip(targets, task.candidates, strict=True):
            if not 0 < wanted.sum() < candidates.sum():
                raise CannotRun(
                    f"a training perturbation has {wanted.sum()} targets among "
                    f"{candidates.sum()} candidates; {how.info.name} learns from those with at "
                    "least one target and one other candidate"
                )
        rng = task_generator(labelled.task, "cdn features", seed)
        with torch.no_grad():
            one = lambda x: encode(network, [x], how.n_batches, rng, how.device)  # noqa: B023, E731
            before = kept.add(one(task.observational))
            after = [kept.add(one(x)) for x in task.regimes]
        found += [
            Perturbation(before, number_after, *masks, cluster(labelled, number))
            for number_after, masks in zip(
                after, zip(targets, task.candidates, strict=True), strict=True
            )
        ]
    return kept, found


def split_by_cluster(
    perturbations: Sequence[Perturbation], name: str, rng: np.random.Generator
) -> tuple[list[Perturbation], list[Perturbation]]:
    """Training and validation. No cluster is in both, unless there is only one, which is then cut
    in two.

    Raises
    ------
    CannotRun: fewer than two perturbations.
    """
    if len(perturbations) < 2:
        raise CannotRun(f"{name} needs at least two training perturbations")
    out = held_out([p.cluster for p in perturbations], lambda n: max(1, round(VALIDATION * n)), rng)
    pairs = list(zip(perturbations, out, strict=True))
    return [p for p, o in pairs if not o], [p for p, o in pairs if o]


def fine_tune(
    how: CDNAxialCells | CDNMLPCells,
    network: DifferentialNetwork,
    kept: Encodings,
    training: Sequence[Perturbation],
    validation: Sequence[Perturbation],
    rng: np.random.Generator,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> np.ndarray:
    """Train the head in place, and return the validation AUROC before training and after each
    epoch. The head ends with the tensors of the best epoch, which may be those it came with.

    A step sums the gradients of `how.batch` perturbations one after the other, so that they may
    have different numbers of genes.
    """
    parameters = head_parameters(network)
    matrices = [p for p in parameters.values() if p.ndim > 1]
    others = [p for p in parameters.values() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": WEIGHT_DECAY},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=how.learning_rate,
    )
    best = _copy(parameters)
    with torch.random.fork_rng():  # dropout reads torch's global state
        torch.manual_seed(int(rng.integers(2**62)))
        if saved := checkpoint.load():
            course, waited = saved["course"].tolist(), int(saved["waited"])
            put("now", saved, parameters)
            put("best", saved, best)
            put_optimiser("adam", saved, optimiser)
            put_generator(saved, rng)
            put_torch_random(saved)
            print(f"goes on after epoch {len(course) - 1}", flush=True)
        else:
            course, waited = [validation_auroc(network, kept, validation, how.device)], 0
            print(f"start: validation AUROC {course[0]:.4f}", flush=True)
        while len(course) <= how.epochs and waited < how.patience:
            network.train()
            losses = []
            for chosen in _batches(rng.permutation(len(training)), how.batch):
                optimiser.zero_grad(set_to_none=True)
                for i in chosen:
                    loss = _loss(network, kept, training[i], how.device)
                    (loss / len(chosen)).backward()
                    losses.append(float(loss.detach()))
                nn.utils.clip_grad_norm_(parameters.values(), 1.0)
                optimiser.step()
            found = validation_auroc(network, kept, validation, how.device)
            print(
                f"epoch {len(course)}: training loss {np.mean(losses):.4f}, validation AUROC "
                f"{found:.4f}",
                flush=True,
            )
            if found > max(course):
                best, waited = _copy(parameters), 0
            else:
                waited += 1
            course.append(found)
            checkpoint.save(
                {
                    "course": np.array(course),
                    "waited": np.array(waited),
                    **tensor_arrays("now", parameters),
                    **tensor_arrays("best", best),
                    **optimiser_arrays("adam", optimiser),
                    **generator_arrays(rng),
                    **torch_random_arrays(),
                }
            )
    network.load_state_dict({**network.state_dict(), **best})
    network.eval()
    return np.array(course)


def head_parameters(network: DifferentialNetwork) -> dict[str, nn.Parameter]:
    """What fine-tuning changes: all but the encoder and its graph head."""
    frozen = ("encoder.", "graph_head.")
    return {n: p for n, p in network.named_parameters() if not n.startswith(frozen)}


def validation_auroc(
    network: DifferentialNetwork,
    kept: Encodings,
    perturbations: Sequence[Perturbation],
    device: str,
) -> float:
    """Mean AUROC of the targets among the candidates, over perturbations."""
    network.eval()
    found = []
    with torch.no_grad():
        for p in perturbations:
            logits = network(kept.get(p.before, device), kept.get(p.after, device))
            scores = logits.double().cpu().numpy()
            truth = Truth(targets=p.targets[None])
            found.append(Scored(scores, p.candidates[None], truth).auroc[0])
    return float(np.mean(found))


def _loss(network: DifferentialNetwork, kept: Encodings, p: Perturbation, device: str) -> Tensor:
    logits = network(kept.get(p.before, device), kept.get(p.after, device))
    among = torch.from_numpy(np.array(p.candidates)).to(device)
    targets = torch.from_numpy(np.array(p.targets)).to(device)
    return target_loss(logits[0, among], targets[among])


def _batches(order: Sequence[int] | np.ndarray, size: int) -> Iterator[Sequence[int] | np.ndarray]:
    return (order[first : first + size] for first in range(0, len(order), size))


def _copy(parameters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in parameters.items()}
