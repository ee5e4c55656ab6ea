"""The training loop that every network here shares: AdamW, warm-up, cosine decay to zero, clipping
and checkpoints.

A run is a folder with `log.jsonl` (one line per report) and `checkpoint.safetensors` (see
`checkpoint`). A run that is started again in its folder goes on where it stopped, and ends as the
run that was not interrupted, because batches and the randomness of a step are pure functions of the
step.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cdnbench.digest import generator
from cdnbench.files import write_atomically
from cdnbench.training.checkpoint import check_folder, restore, save
from cdnbench.training.memory import keep_freed_memory

LOG = "log.jsonl"

UNLIMITED = 10**9
"""Steps that no run reaches: the budget in minutes ends it."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and how fast a network is trained.

    Training ends after `steps`, or earlier after `minutes` of wall clock; the learning rate has
    reached zero in both cases. lr: the learning rate at its highest. warmup: the steps over which
    it rises. clip: the largest norm of a gradient. Weight decay acts on matrices only.
    """

    steps: int
    minutes: float | None = None
    lr: float = 1e-3
    weight_decay: float = 1e-5
    warmup: int = 100
    clip: float = 1.0
    report_every_s: float = 30.0
    validate_every_s: float = 600.0
    checkpoint_every_s: float = 120.0

    def rate(self, progress: float, step: int) -> float:
        """The learning rate of a step; progress runs from 0 to 1."""
        return (
            self.lr
            * min(1.0, (step + 1) / self.warmup)
            * 0.5
            * (1 + math.cos(math.pi * min(progress, 1.0)))
        )


@dataclass(frozen=True)
class Trained:
    """The course of a run. curve: the reports, each with step, minutes, the parts of the loss and,
    where the network was validated, metrics."""

    steps: int
    minutes: float
    curve: list[dict[str, Any]]


StepLoss = Callable[[int, Any], tuple[Tensor, dict[str, float]]]


def fit(
    model: nn.Module,
    step_loss: StepLoss,
    batches: Callable[[int], Iterator[Any]],
    *,
    folder: Path,
    plan: Plan,
    identity: dict[str, Any],
    validate: Callable[[], dict[str, float]] | None = None,
    say: Callable[[str], None] = print,
) -> Trained:
    """Train the parameters of `model` that require a gradient.

    step_loss: from a step and its batch to the loss, and the parts of it for the log. batches: from
    a first step to the batches of that step and the next ones. folder: where the run is kept.
    identity: what the run is (laws, shape, seed, plan); a folder that holds another run is refused.
    validate: metrics of the network as it is. say: what is done with a line of progress.

    Raises
    ------
    InvalidParameter: the folder holds a checkpoint of a run with another identity.
    """
    check_folder(folder, identity)
    folder.mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    decayed = [p for p in parameters.values() if p.ndim > 1]
    rest = [p for p in parameters.values() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": plan.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ],
        lr=plan.lr,
    )
    state = restore(folder, model, optimiser, parameters)
    step, before = state["step"], state["seconds"]
    curve = _read_curve(folder, step)
    started = reported = validated = saved = time.monotonic()
    sums: dict[str, float] = {}
    count = left_out = 0
    if step:
        say(f"Going on at step {step} after {before / 60:.1f} minutes.")

    def elapsed() -> float:
        return before + time.monotonic() - started

    def progress() -> float:
        by_time = elapsed() / (60 * plan.minutes) if plan.minutes else 0.0
        return max(step / plan.steps, by_time)

    stream = batches(step)
    model.train()
    done = progress() >= 1
    # Time may run out between two looks at the clock, so `done` is set once per step: the last
    # report and the last checkpoint are those of the step that ends the run.
    while not done:
        batch = next(stream)
        for group in optimiser.param_groups:
            group["lr"] = plan.rate(progress(), step)
        loss, parts = step_loss(step, batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters.values(), plan.clip)
        step += 1
        if torch.isfinite(norm):
            optimiser.step()
            count += 1
            for name, value in parts.items():
                sums[name] = sums.get(name, 0.0) + value
        else:  # a batch whose gradient overflows is left out and counted
            left_out += 1
        now = time.monotonic()
        done = progress() >= 1
        if now - reported >= plan.report_every_s or done:
            row: dict[str, Any] = {"step": step, "minutes": round(elapsed() / 60, 2)}
            row |= {name: total / count for name, total in sums.items()}
            if left_out:
                row["left_out"] = left_out
            if validate and (now - validated >= plan.validate_every_s or done):
                row |= validate()
                model.train()
                validated = time.monotonic()
            curve.append(row)
            with (folder / LOG).open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")
            say(_line(row, curve))
            sums, count, left_out, reported = {}, 0, 0, time.monotonic()
        if now - saved >= plan.checkpoint_every_s or done:
            save(
                folder,
                model,
                optimiser,
                parameters,
                {"step": step, "seconds": elapsed(), "identity": identity},
            )
            saved = time.monotonic()
    model.eval()
    return Trained(step, elapsed() / 60, curve)


def describe(plan: Plan) -> dict[str, Any]:
    """The plan as identities and cards hold it: without the intervals of reports, which change
    nothing about the weights."""
    return {name: value for name, value in asdict(plan).items() if not name.endswith("_every_s")}


class step_randomness:
    """A context in which torch's global state, which dropout reads, is a function of the axes; it
    is put back on leaving.

    Entering gives a CPU generator for what is drawn explicitly.
    """

    def __init__(self, *axes: Any) -> None:
        self.seed = int(generator("training step", *axes).integers(2**62))

    def __enter__(self) -> torch.Generator:
        self.fork = torch.random.fork_rng()
        self.fork.__enter__()
        torch.manual_seed(self.seed)
        return torch.Generator().manual_seed(self.seed)

    def __exit__(self, *error: Any) -> None:
        self.fork.__exit__(*error)


_BARS = "▁▂▃▄▅▆▇█"


def _line(row: dict[str, Any], curve: list[dict[str, Any]]) -> str:
    """A report as a line of text, with a small chart of its first loss so far."""
    name = next((key for key in row if key not in ("step", "minutes")), None)
    values = [point[name] for point in curve if name in point][-400:]
    bars = ""
    if len(values) > 1:
        chosen = [values[round(i * (len(values) - 1) / 23)] for i in range(24)]
        low, high = min(chosen), max(chosen)
        bars = "".join(_BARS[int(7 * (value - low) / (high - low or 1))] for value in chosen)
    numbers = "  ".join(
        f"{key} {value:.4f}" for key, value in row.items() if key not in ("step", "minutes")
    )
    return f"{row['minutes']:7.1f} min  step {row['step']}  {numbers}  {bars}"


def _read_curve(folder: Path, step: int) -> list[dict[str, Any]]:
    """The reports up to the checkpoint's step. Later ones are dropped from the log, because their
    steps will be taken again."""
    log = folder / LOG
    if not log.exists():
        return []
    rows = [
        json.loads(line)
        for line in log.read_text(encoding="utf-8").splitlines()
        if line.endswith("}")
    ]
    rows = [row for row in rows if row["step"] <= step]
    write_atomically(log, "".join(json.dumps(row) + "\n" for row in rows).encode())
    return rows
