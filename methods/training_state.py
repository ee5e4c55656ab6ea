"""The state of a training with torch as plain arrays, for `cdnbench.checkpoint`."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

Arrays = Mapping[str, np.ndarray]


def tensor_arrays(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """The tensors under `<prefix>/<name>`."""
    return {f"{prefix}/{name}": t.detach().cpu().numpy() for name, t in tensors.items()}


def tensors_of(prefix: str, arrays: Arrays) -> dict[str, Tensor]:
    """The tensors under `<prefix>/`, on the CPU."""
    start = f"{prefix}/"
    return {
        name.removeprefix(start): torch.from_numpy(array.copy())
        for name, array in arrays.items()
        if name.startswith(start)
    }


def put(prefix: str, arrays: Arrays, into: Mapping[str, Tensor]) -> None:
    """Copy what is under `<prefix>/` into tensors of the same names."""
    saved = tensors_of(prefix, arrays)
    with torch.no_grad():
        for name, tensor in into.items():
            tensor.copy_(saved[name])


def optimiser_arrays(prefix: str, optimiser: Optimizer) -> dict[str, np.ndarray]:
    """What the optimiser keeps of each parameter, and the learning rates of its groups."""
    state = optimiser.state_dict()
    found = {f"{prefix}/rates": np.array([group["lr"] for group in state["param_groups"]])}
    for number, kept in state["state"].items():
        found |= tensor_arrays(f"{prefix}/{number}", kept)
    return found


def put_optimiser(prefix: str, arrays: Arrays, optimiser: Optimizer) -> None:
    """Give an optimiser of the same parameters the state that `optimiser_arrays` returned."""
    state = optimiser.state_dict()
    rates = arrays[f"{prefix}/rates"].tolist()
    groups = [{**g, "lr": rate} for g, rate in zip(state["param_groups"], rates, strict=True)]
    kept: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors_of(prefix, arrays).items():
        number, _, what = name.partition("/")
        if what:
            kept.setdefault(int(number), {})[what] = tensor
    optimiser.load_state_dict({"state": kept, "param_groups": groups})


def generator_arrays(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The state of a generator of numpy."""
    state = json.dumps(rng.bit_generator.state).encode()
    return {"generator": np.frombuffer(state, np.uint8)}


def put_generator(arrays: Arrays, rng: np.random.Generator) -> None:
    rng.bit_generator.state = json.loads(arrays["generator"].tobytes())


def torch_random_arrays() -> dict[str, np.ndarray]:
    """The states of torch's own generators, on the CPU and on every GPU."""
    found = {"torch/cpu": torch.get_rng_state().numpy()}
    for number in range(torch.cuda.device_count()):
        found[f"torch/{number}"] = torch.cuda.get_rng_state(number).numpy()
    return found


def put_torch_random(arrays: Arrays) -> None:
    """Set the states again. What is of a GPU that is absent is left out."""
    states = tensors_of("torch", arrays)
    torch.set_rng_state(states["cpu"])
    for number in range(torch.cuda.device_count()):
        if str(number) in states:
            torch.cuda.set_rng_state(states[str(number)], number)
