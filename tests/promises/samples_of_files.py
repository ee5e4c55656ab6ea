"""Valid files of every kind that is read, and reading each of them to a digest of its values.

A sample is a folder of a few small files; the first is the one to read.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from reader import Reader
from samples_of_data import REAL_DATA, TABLES
from samples_of_knowledge import KNOWLEDGE

# --- weights --------------------------------------------------------------------------------------


def _network() -> Any:
    from torch import nn

    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def _weights(folder: Path, rng: random.Random) -> Path:
    from cdnbench.methods.cdn.weights import save_weights

    path = folder / "w.safetensors"
    card = {"model": "cdn", "config": {"sizes": [3, 4, 2]}, "laws": []}
    save_weights(path, _network().state_dict(), card)
    return path


def _read_weights(path: Path) -> Any:
    from torch import nn

    from cdnbench.methods.cdn.weights import load_any, network_of

    def build(config: Any) -> Any:
        a, b, c = config["sizes"]
        return nn.Sequential(nn.Linear(a, b), nn.Linear(b, c))

    weights = load_any(str(path), ["cdn", "cdn-suites"])
    return list(network_of(build, weights, str(path)).state_dict().items())


def _checkpoint(folder: Path, rng: random.Random) -> Path:
    import torch

    from cdnbench.training.checkpoint import save

    network = _network()
    optimiser = torch.optim.AdamW(network.parameters())
    network(torch.ones(2, 3)).sum().backward()
    optimiser.step()
    state = {"step": 3, "seconds": 1.5, "identity": {"a": 1}}
    save(folder, network, optimiser, dict(network.named_parameters()), state)
    return folder / "checkpoint.safetensors"


def _read_checkpoint(path: Path) -> Any:
    import torch

    from cdnbench.training.checkpoint import check_folder, restore

    network = _network()
    optimiser = torch.optim.AdamW(network.parameters())
    check_folder(path.parent, {"a": 1})
    state = restore(path.parent, network, optimiser, dict(network.named_parameters()))
    return state["step"], list(network.state_dict().items())


def _public(folder: Path, rng: random.Random) -> Path:
    import torch

    path = folder / "p.ckpt"
    state = dict(_network().state_dict())
    state["2.weight"] = state["0.weight"].T
    whole = {"state_dict": state, "hyper_parameters": {"n_heads": 8, "path": Path("x")}, "epoch": 1}
    torch.save(whole if rng.random() < 0.7 else state, path)
    return path


def _read_public(path: Path) -> Any:
    from cdnbench.methods.cdn.public.checkpoint import read_checkpoint

    found = read_checkpoint(path)
    return list(found.state.items()), found.settings


def _imported(folder: Path, rng: random.Random) -> Path:
    import dataclasses

    from safetensors.torch import save_file

    from cdnbench.methods.cdn.public.modules import PublicConfig, build
    from cdnbench.methods.cdn.public.weights import FORMAT

    config = PublicConfig(8, 2, 1, 8, 4, 5, 5, head_hidden=8)
    header = {"format": FORMAT, "network": json.dumps(dataclasses.asdict(config)), "statistic": "c"}
    save_file(build(config).state_dict(), folder / "i.safetensors", metadata=header)
    return folder / "i.safetensors"


def _read_imported(path: Path) -> Any:
    from cdnbench.methods.cdn.public.weights import load_network

    return list(load_network(path)[0].state_dict().items())


# --- downloads ------------------------------------------------------------------------------------


def _checksums(folder: Path, rng: random.Random) -> Path:
    from cdnbench.datasets.cells.screens.checksums import record_or_compare

    (folder / "a.gaf").write_bytes(b"content")
    record_or_compare(folder, "a.gaf", new=True)
    return folder / "checksums.json"


def _read_checksums(path: Path) -> Any:
    from cdnbench.datasets.cells.screens.checksums import record_or_compare

    record_or_compare(path.parent, "a.gaf", new=False)


READERS: dict[str, Reader] = {
    **TABLES,
    **KNOWLEDGE,
    **REAL_DATA,
    "weights": Reader(_weights, _read_weights),
    "training checkpoint": Reader(_checkpoint, _read_checkpoint),
    "public .ckpt": Reader(_public, _read_public),
    "imported weights": Reader(_imported, _read_imported),
    "checksums": Reader(_checksums, _read_checksums),
}
