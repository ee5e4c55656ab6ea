"""The fixed collection of datasets that `cdn-axial` and `cdn-mlp` are trained on, under a frozen
encoder: every data set is encoded once, and the encodings (half precision) are kept in files that
all heads on that encoder share.

An item is one regime of one dataset against its observational data, or the observational data
against itself, which has no target.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from cdnbench.datasets.synthetic.recipe import GENERATOR_VERSION
from cdnbench.digest import digest, generator
from cdnbench.errors import InvalidParameter
from cdnbench.methods.cdn.paper.aggregator import EncoderConfig
from cdnbench.methods.cdn.paper.differential import DifferentialNetwork, Encoded
from cdnbench.methods.cdn.paper.featuriser import VERSION as FEATURISER_VERSION
from cdnbench.methods.cdn.paper.featuriser import Features, featurise
from cdnbench.tensor_files import read_tensors
from cdnbench.training.curricula import Curriculum, Examples, batch, plain

TRAINING_BATCHES = (4, 24)
"""Range of T, the number of marginal estimates per data set, in training."""

SHARD_CELLS = 20_000
"""Grid cells of all data sets of a shard, about."""

ITEMS = 16
"""Items per step (the paper's batch size)."""


def featurised(
    examples: Examples, config: EncoderConfig, seed: int, step: int
) -> tuple[Features, Features]:
    """Features of D datasets before, and of their D K regimes after, for K regimes per dataset.

    step: the shard, or the step of joint training, that the examples belong to.
    """
    rng = generator("cdn training features", seed, step)
    low, high = TRAINING_BATCHES
    n_before, n_after = rng.integers(low, high + 1, size=2)
    options = {"statistic": config.statistic, "marginals": config.marginals}
    before = featurise([e.task.observational for e in examples], int(n_before), rng, **options)
    after = featurise([x for e in examples for x in e.task.regimes], int(n_after), rng, **options)
    return before, after


@dataclass(frozen=True, eq=False)
class Shard:
    """D encoded datasets of N variables and K regimes.

    before: (D, N, N, d). after: (D, K, N, N, d). moments_before: (D, N, 2). moments_after:
    (D, K, N, 2). targets: (D, K, N) bool.
    """

    before: Tensor
    after: Tensor
    moments_before: Tensor
    moments_after: Tensor
    targets: Tensor


class EncodedDatasets:
    """The collection, made once and kept in a folder, one file per shard."""

    def __init__(
        self,
        folder: Path,
        network: DifferentialNetwork,
        laws: Curriculum,
        seed: int,
        n_datasets: int,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.shards: list[Shard] = []
        made = 0
        network.eval()
        with torch.inference_mode():
            while made < n_datasets:
                shard = _shard(folder, network, laws, seed, len(self.shards))
                self.shards.append(shard)
                made += len(shard.before)
                if len(self.shards) % 25 == 0:
                    print(f"{made} of {n_datasets} datasets encoded", flush=True)
        self.n_datasets = made

    def items(self, seed: int, start: int) -> Iterator[tuple[Encoded, Encoded, Tensor]]:
        """Endless batches from the step `start` on: the encodings of `ITEMS` items of one shard
        before and after, and their targets (ITEMS, N)."""
        sizes = np.array([len(s.before) for s in self.shards])
        step = start
        while True:
            rng = generator("cdn training items", seed, step)
            shard = self.shards[rng.choice(len(sizes), p=sizes / sizes.sum())]
            k = shard.after.shape[1]
            dataset = torch.from_numpy(rng.integers(len(shard.before), size=ITEMS))
            regime = torch.from_numpy(rng.integers(k + 1, size=ITEMS))
            null = regime == k  # the observational data against itself
            regime = regime.clamp(max=k - 1)
            after, moments = (
                shard.after[dataset, regime].float(),
                shard.moments_after[dataset, regime].clone(),
            )
            after[null], moments[null] = (
                shard.before[dataset[null]].float(),
                shard.moments_before[dataset[null]],
            )
            targets = shard.targets[dataset, regime] & ~null[:, None]
            before = Encoded(shard.before[dataset].float(), shard.moments_before[dataset])
            yield before, Encoded(after, moments), targets
            step += 1


def folder_name(encoder: str, laws: Curriculum, seed: int) -> str:
    """The folder of a collection, named after what its encodings depend on, the versions of the
    suites' generator and of the featuriser included. The simulator of worlds has no version: delete
    the folder when it changes.

    encoder: digest of the encoder's weights.
    """
    versions = {"generator": GENERATOR_VERSION, "featuriser": FEATURISER_VERSION}
    return digest(encoder, plain(laws), seed, TRAINING_BATCHES, SHARD_CELLS, versions)[:16]


def _shard(
    folder: Path, network: DifferentialNetwork, laws: Curriculum, seed: int, index: int
) -> Shard:
    """A shard from its file, or made and stored."""
    path = folder / f"{index:05d}.safetensors"
    if path.exists():
        parts = read_tensors(path)[1]
        if parts.keys() != {field.name for field in fields(Shard)}:
            raise InvalidParameter(f"{path} holds no encodings. Delete it; it is made again.")
        return Shard(**parts)
    examples = batch(laws, seed, index, cells=SHARD_CELLS)
    before, after = featurised(examples, network.config.encoder, seed, index)
    device = next(network.parameters()).device
    old, new = network.encode(before.to(device)), network.encode(after.to(device))
    k = len(new) // len(old)
    shard = Shard(
        before=old.grid.half().cpu(),
        after=new.grid.half().cpu().unflatten(0, (-1, k)),
        moments_before=old.moments.cpu(),
        moments_after=new.moments.cpu().unflatten(0, (-1, k)),
        targets=torch.from_numpy(np.stack([e.targets for e in examples])),
    )
    new_path = path.with_suffix(".new")
    save_file({name: value.contiguous() for name, value in vars(shard).items()}, new_path)
    os.replace(new_path, path)
    return shard
