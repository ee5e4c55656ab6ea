"""What the authors' networks are tested on."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def cases():
    with np.load(GOLDEN / "public_cases.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def states():
    """Public state dict of every network, each with the encoder that they share."""
    found: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in load_file(GOLDEN / "public_weights.safetensors").items():
        network, _, key = name.partition("/")
        found.setdefault(network, {})[key] = tensor.float()
    for network in found.keys() - {"sea"}:
        encoder = {k: v for k, v in found["sea"].items() if k.startswith("encoder.")}
        found[network] = encoder | found[network]
    return found


@pytest.fixture(scope="session")
def lightning():
    """Writes a checkpoint of a public state dict."""

    def write(state, path: Path, **extra) -> Path:
        """A checkpoint as Lightning writes it: settings in a Namespace, and more beside the
        weights."""
        settings = argparse.Namespace(
            n_heads=2, num_vars=12, algorithm="fci", save_path="/somewhere/else", lr=1e-4
        )
        content = {
            "epoch": 3,
            "pytorch-lightning_version": "2.4.0",
            "state_dict": state,
            "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}}],
            "callbacks": {"checkpoint": {"best": torch.tensor(0.5), "dir": Path("runs")}},
            "hyper_parameters": {"args": settings},
            **extra,
        }
        torch.save(content, path)
        return path

    return write
