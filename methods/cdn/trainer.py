"""The training loop that every network here shares: AdamW, warm-up, cosine decay to zero, clipping,
checkpoints.

A run is a folder: `log.jsonl` (one line a report) and `checkpoint.safetensors` (weights, the
optimiser's moments and, in its metadata, step and seconds so far). Started again in the same folder
it goes on where it stopped; batches are pure functions of the step. Nothing is pickled.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cdnbench.errors import InvalidParameter
from cdnbench.methods.memory import keep_freed_memory

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.jsonl"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and how fast. Training ends after `steps`, or earlier after `minutes` of wall clock;
    the learning rate is at zero in both cases. Weight decay acts on matrices."""

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
        """Learning rate, progress in [0, 1]."""
        return (
            self.lr
            * min(1.0, (step + 1) / self.warmup)
            * 0.5
            * (1 + math.cos(math.pi * min(progress, 1.0)))
        )


@dataclass(frozen=True)
class Trained:
    """What came of a run. `curve`: the reports, each with step, minutes, loss parts and, where
    validated, metrics."""

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

    step_loss(step, batch) -> (loss, parts of it for the log). batches(start) yields the batch of
    step start, start + 1, ..
    identity: what the run is (laws, shape, seed); a folder that holds another run is refused.

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
    state = _restore(folder, model, optimiser, parameters)
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
    # Time may run out at any point: what ends the run is what the last report and checkpoint saw.
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
        else:  # a batch that overflows is left out, and counted
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
            with (folder / LOG).open("a") as log:
                log.write(json.dumps(row) + "\n")
            say(_line(row, curve))
            sums, count, left_out, reported = {}, 0, 0, time.monotonic()
        if now - saved >= plan.checkpoint_every_s or done:
            _save(
                folder,
                model,
                optimiser,
                parameters,
                {"step": step, "seconds": elapsed(), "identity": identity},
            )
            saved = time.monotonic()
    model.eval()
    return Trained(step, elapsed() / 60, curve)


def check_folder(folder: Path, identity: dict[str, Any]) -> None:
    """For callers with work to do before `fit`.

    Raises
    ------
    InvalidParameter: the folder holds a checkpoint of a run with another identity.
    """
    path = folder / CHECKPOINT
    if path.exists() and _state(path)["identity"] != json.loads(json.dumps(identity)):
        raise InvalidParameter(
            f"{folder} holds the checkpoint of another training run. Give another --run, or "
            "repeat its options."
        )


def describe(plan: Plan) -> dict[str, Any]:
    """The plan for a model card."""
    return {name: value for name, value in asdict(plan).items() if not name.endswith("_every_s")}


_BARS = "▁▂▃▄▅▆▇█"


def _line(row: dict[str, Any], curve: list[dict[str, Any]]) -> str:
    """A report with the curve of its first loss so far."""
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
    """The reports up to the checkpoint; what was logged after it is dropped."""
    log = folder / LOG
    if not log.exists():
        return []
    rows = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")]
    rows = [row for row in rows if row["step"] <= step]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def _save(
    folder: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    parameters: dict[str, nn.Parameter],
    state: dict[str, Any],
) -> None:
    from safetensors.torch import save_file

    tensors = {
        f"model/{name}": value.detach().cpu().contiguous()
        for name, value in model.state_dict().items()
    }
    steps = {}
    for name, parameter in parameters.items():
        moments = optimiser.state.get(parameter)
        if moments:
            tensors[f"first/{name}"] = moments["exp_avg"].cpu().contiguous()
            tensors[f"second/{name}"] = moments["exp_avg_sq"].cpu().contiguous()
            steps[name] = float(moments["step"])
    new = folder / "checkpoint.new"
    save_file(tensors, new, metadata={"state": json.dumps({**state, "adam_steps": steps})})
    os.replace(new, folder / CHECKPOINT)


def _state(path: Path) -> dict[str, Any]:
    """What a checkpoint says of itself."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return json.loads((file.metadata() or {})["state"])


def _restore(
    folder: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    parameters: dict[str, nn.Parameter],
) -> dict[str, Any]:
    from safetensors.torch import load_file

    path = folder / CHECKPOINT
    if not path.exists():
        return {"step": 0, "seconds": 0.0}
    state, tensors = _state(path), load_file(path)
    model.load_state_dict(
        {n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")}
    )
    for name, parameter in parameters.items():
        if f"first/{name}" in tensors:
            optimiser.state[parameter] = {
                "step": torch.tensor(state["adam_steps"][name]),
                "exp_avg": tensors[f"first/{name}"].to(parameter.device),
                "exp_avg_sq": tensors[f"second/{name}"].to(parameter.device),
            }
    return state
