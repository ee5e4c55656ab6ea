"""Checkpoints of training runs: weights, the optimiser's moments, and in the file's metadata the
step, the seconds so far and what the run is. Nothing is pickled."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cdnbench.errors import InvalidParameter
from cdnbench.tensor_files import read_tensors

CHECKPOINT = "checkpoint.safetensors"
_ANEW = "Give another --run, or delete the folder to begin anew."


def check_folder(folder: Path, identity: Mapping[str, Any]) -> None:
    """Check that a run can start or go on in a folder, before any work is done for it.

    Raises
    ------
    InvalidParameter: nothing can be written there, or the folder holds a checkpoint of a run with
    another identity.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InvalidParameter(
            f"{folder} cannot hold a training run: {error.strerror or error}. Give another --run."
        ) from None
    path = folder / CHECKPOINT
    if path.exists() and _state(path, read_tensors(path)[0])["identity"] != json.loads(
        json.dumps(identity)
    ):
        raise InvalidParameter(
            f"{folder} holds the checkpoint of another training run. Give another --run, or "
            "repeat its options."
        )


def save(
    folder: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    parameters: Mapping[str, nn.Parameter],
    state: Mapping[str, Any],
) -> None:
    """Replace the checkpoint of a folder in one move.

    state: `step`, `seconds` and `identity` of the run.
    """
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


def restore(
    folder: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    parameters: Mapping[str, nn.Parameter],
) -> dict[str, Any]:
    """Put the checkpoint of a folder into the model and the optimiser, and return its state; step
    0 and 0 seconds where there is none."""
    path = folder / CHECKPOINT
    if not path.exists():
        return {"step": 0, "seconds": 0.0}
    metadata, tensors = read_tensors(path)
    state = _state(path, metadata)
    _check_fit(path, state, tensors, model, parameters)
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


def _state(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The state in a checkpoint's metadata.

    Raises
    ------
    InvalidParameter: there is none, or parts of it are missing.
    """
    try:
        state = json.loads(metadata["state"])
        whole = {"identity", "step", "seconds", "adam_steps"} <= state.keys()
    except (KeyError, ValueError, AttributeError, RecursionError):
        whole, state = False, {}
    if not whole or not isinstance(state["adam_steps"], dict):
        raise InvalidParameter(f"{path} is no checkpoint of a training run, or is damaged. {_ANEW}")
    numbers = (state["step"], state["seconds"], *state["adam_steps"].values())
    if any(isinstance(n, bool) or not isinstance(n, int | float) or not n >= 0 for n in numbers):
        raise InvalidParameter(f"{path} has steps or seconds that are no numbers. {_ANEW}")
    return state


def _check_fit(
    path: Path,
    state: Mapping[str, Any],
    tensors: Mapping[str, torch.Tensor],
    model: nn.Module,
    parameters: Mapping[str, nn.Parameter],
) -> None:
    """Raises
    ------
    InvalidParameter: the tensors are not those of this model and its optimiser.
    """
    expected = {f"model/{name}": value.shape for name, value in model.state_dict().items()}
    for name, parameter in parameters.items():
        if f"first/{name}" in tensors:
            expected |= {f"{moment}/{name}": parameter.shape for moment in ("first", "second")}
            if name not in state["adam_steps"]:
                raise InvalidParameter(f"{path} lacks the steps of {name}. {_ANEW}")
    for name in sorted({*expected, *tensors}):
        found = tensors[name].shape if name in tensors else None
        if found != expected.get(name):
            raise InvalidParameter(
                f"{path}: {name} is not as this training run needs it ({found} in place of "
                f"{expected.get(name)}). {_ANEW}"
            )
