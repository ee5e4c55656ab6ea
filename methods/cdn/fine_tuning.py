"""Fine-tuning of the network behind `cdn` on labelled perturbations, for `cells`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cdnbench.checkpoint import NO_CHECKPOINT, Checkpoint
from cdnbench.errors import CannotRun
from cdnbench.methods.cdn.forms_network import Beliefs, FormsNetwork, Reading, stack
from cdnbench.methods.cdn.summary import Summary
from cdnbench.methods.clusters import held_out
from cdnbench.methods.training_state import (
    generator_arrays,
    optimiser_arrays,
    put,
    put_generator,
    put_optimiser,
    tensor_arrays,
)

if TYPE_CHECKING:
    from cdnbench.methods.cdn.cells import CDNCells

VALIDATION = 0.15
STAGE_WEIGHT = 0.4


@dataclass(frozen=True, eq=False)
class View:
    """One perturbation with some of its candidates. targets (S,) bool, shifts (S, 2): see
    `cells.shift_scores`."""

    reading: Reading
    targets: np.ndarray
    shifts: np.ndarray


def in_single_precision(reading: Reading) -> Reading:
    """The reading with moments in single precision, because many are kept."""
    return Reading(
        tuple(_moments_as(s, torch.float32) for s in reading.summaries), reading.evidence
    )


def _moments_as(summary: Summary, dtype: torch.dtype) -> Summary:
    return replace(summary, moments=summary.moments.to(dtype))


def _together(views: Sequence[View], device: str) -> tuple[Reading, Tensor]:
    """The reading of a batch of B views, and its targets (B, S)."""
    joined = stack([view.reading for view in views])
    summaries = tuple(_moments_as(s, torch.float64) for s in joined.summaries)
    targets = torch.from_numpy(np.stack([view.targets for view in views]))
    return Reading(summaries, joined.evidence).to(device), targets.to(device)


def _batches(views: Sequence[View], order: Iterable[int], size: int) -> Iterator[list[int]]:
    """Batches of `size` views with equally many candidates, in the given order. Batches that do not
    fill up come last."""
    waiting: dict[int, list[int]] = {}
    for i in order:
        batch = waiting.setdefault(len(views[i].targets), [])
        batch.append(i)
        if len(batch) == size:
            yield waiting.pop(len(views[i].targets))
    yield from waiting.values()


def split_by_cluster(
    views: Sequence[View], clusters: Sequence[str], rng: np.random.Generator
) -> tuple[list[View], list[View]]:
    """Training and validation views. No cluster of perturbations is in both, unless there is only
    one, which is then cut in two.

    Raises
    ------
    CannotRun: fewer than two views.
    """
    if len(views) < 2:
        raise CannotRun("cdn-cells needs at least two training perturbations")
    out = held_out(clusters, lambda n: max(1, round(VALIDATION * n)), rng)
    return [v for v, o in zip(views, out, strict=True) if not o], [
        v for v, o in zip(views, out, strict=True) if o
    ]


def loss(beliefs: Sequence[Beliefs], targets: Tensor) -> Tensor:
    """Cross-entropy of the targets (B, S) among the candidates, over all stages. Several targets of
    one view share its mass."""
    wanted = targets.float() / targets.sum(1, keepdim=True)
    weights = [STAGE_WEIGHT] * (len(beliefs) - 1) + [1.0]
    return sum(
        w * cross_entropy(b.targets[:, 0], wanted) for w, b in zip(weights, beliefs, strict=True)
    )  # type: ignore[return-value]


def fine_tune(
    how: CDNCells,
    network: FormsNetwork,
    training: Sequence[View],
    validation: Sequence[View],
    rng: np.random.Generator,
    checkpoint: Checkpoint = NO_CHECKPOINT,
) -> None:
    """Train the network in place. It ends with the tensors of the best epoch, which may be those it
    came with."""
    steps = how.epochs * sum(1 for _ in _batches(training, range(len(training)), how.batch))
    optimiser = torch.optim.AdamW(network.parameters(), lr=how.learning_rate, weight_decay=1e-4)
    warmup = max(1, steps // 20)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min(1.0, (step + 1) / warmup) * 0.5 * (1 + np.cos(np.pi * step / steps)),
    )
    kept = _copy(network)
    if saved := checkpoint.load():
        epoch, waited, schedule.last_epoch = saved["at"].tolist()
        best = float(saved["lowest"])
        put("now", saved, network.state_dict())
        put("best", saved, kept)
        put_optimiser("adam", saved, optimiser)
        put_generator(saved, rng)
        print(f"goes on after epoch {epoch}")
    else:
        epoch, waited = 0, 0
        best = evaluate(network, validation, how.batch, how.device)[0]
        print(f"start: validation loss {best:.4f}")
    while epoch < how.epochs and waited < how.patience:
        epoch += 1
        network.train()
        total = 0.0
        for chosen in _batches(training, rng.permutation(len(training)), how.batch):
            reading, targets = _together([training[i] for i in chosen], how.device)
            value = loss(network(reading), targets)
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += float(value.detach()) * len(chosen)
        found = evaluate(network, validation, how.batch, how.device)[0]
        print(
            f"epoch {epoch}: training loss {total / len(training):.4f}, validation loss {found:.4f}"
        )
        if found < best:
            best, waited, kept = found, 0, _copy(network)
        else:
            waited += 1
        checkpoint.save(
            {
                "at": np.array([epoch, waited, schedule.last_epoch]),
                "lowest": np.array(best),
                **tensor_arrays("now", network.state_dict()),
                **tensor_arrays("best", kept),
                **optimiser_arrays("adam", optimiser),
                **generator_arrays(rng),
            }
        )
    network.load_state_dict(kept)
    network.eval()


def _copy(network: FormsNetwork) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def evaluate(
    network: FormsNetwork, views: Sequence[View], batch: int, device: str
) -> tuple[float, list[np.ndarray]]:
    """Mean cross-entropy of the last stage, and the logits (S,) of each view."""
    network.eval()
    losses, logits = [], {}
    with torch.inference_mode():
        for chosen in _batches(views, range(len(views)), batch):
            reading, targets = _together([views[i] for i in chosen], device)
            found = network(reading)[-1].targets[:, 0]
            wanted = targets.float() / targets.sum(1, keepdim=True)
            losses.append(cross_entropy(found, wanted, reduction="none").cpu().numpy())
            logits |= dict(zip(chosen, found.double().cpu().numpy(), strict=True))
    return float(np.concatenate(losses).mean()), [logits[i] for i in range(len(views))]
