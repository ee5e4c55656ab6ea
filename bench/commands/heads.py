"""Training of `cdn-axial` and `cdn-mlp`: the paper's recipe, and the glue between generated
datasets and the network.

A fixed collection of datasets with hard interventions; the items are (dataset, regime) pairs, the
observational data against itself included. With a frozen encoder every data set is encoded once,
and the encodings (half precision) are kept in files that all heads on that encoder share; trained
jointly, items are featurised anew for each step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdnbench.datasets.synthetic.training import Example, Laws, batch

if TYPE_CHECKING:
    from torch import Tensor

    from cdnbench.methods.cdn.differential import DifferentialConfig, DifferentialNetwork, Encoded
    from cdnbench.methods.cdn.featuriser import Features
    from cdnbench.methods.cdn.trainer import Plan, Trained

HARD = Laws(
    sizes=((10, 10),) * 3 + ((20, 20),) * 4 + ((5, 30),),
    graphs=("er",),
    interventions=("hard-uniform", "hard-normal"),
    rows=((900, 1050),),
    regimes=(6, 6),
)
"""The paper's training data: hard interventions only, about 4,000 datasets, both noise protocols.
"""

TRAINING_BATCHES = (4, 24)
"""Range of T, of each data set, in training."""

N_DATASETS = 4_000
SHARD_CELLS = 20_000  # grid cells of all data sets in a shard, about
ITEMS = 16
"""Items a step (the paper's batch size)."""


def shard_examples(laws: Laws, seed: int, shard: int) -> list[Example]:
    """The datasets of a shard, all of one N."""
    return batch(laws, seed, shard, cells=SHARD_CELLS)


def featurised(
    examples: list[Example], config: Any, seed: int, shard: int
) -> tuple[Features, Features]:
    """Features (D data sets) before, and (D K) after, K regimes a dataset."""
    from cdnbench.digest import generator
    from cdnbench.methods.cdn.featuriser import featurise

    rng = generator("cdn training features", seed, shard)
    low, high = TRAINING_BATCHES
    n_before, n_after = rng.integers(low, high + 1, size=2)
    options = {"statistic": config.statistic, "marginals": config.marginals}
    before = featurise([e.task.observational for e in examples], int(n_before), rng, **options)
    after = featurise([x for e in examples for x in e.task.regimes], int(n_after), rng, **options)
    return before, after


@dataclass(frozen=True, eq=False)
class Shard:
    """D encoded datasets of N variables. before: (D, N, N, d); after: (D, K, N, N, d); moments of
    either (D, N, 2) and (D, K, N, 2);
    targets: (D, K, N) bool."""

    before: Tensor
    after: Tensor
    moments_before: Tensor
    moments_after: Tensor
    targets: Tensor


class EncodedDatasets:
    """The collection under a frozen encoder, made once and kept in a folder, one file a shard."""

    def __init__(
        self, folder: Path, network: DifferentialNetwork, laws: Laws, seed: int, n_datasets: int
    ) -> None:
        import torch

        folder.mkdir(parents=True, exist_ok=True)
        self.shards: list[Shard] = []
        made = 0
        network.eval()
        with torch.inference_mode():
            while made < n_datasets:
                shard = self._shard(folder, network, laws, seed, len(self.shards))
                self.shards.append(shard)
                made += len(shard.before)
                if len(self.shards) % 25 == 0:
                    print(f"{made} of {n_datasets} datasets encoded", flush=True)
        self.n_datasets = made

    @staticmethod
    def _shard(
        folder: Path, network: DifferentialNetwork, laws: Laws, seed: int, index: int
    ) -> Shard:
        import os

        import numpy as np
        import torch
        from safetensors.torch import load_file, save_file

        path = folder / f"{index:05d}.safetensors"
        if path.exists():
            return Shard(**load_file(path))
        examples = shard_examples(laws, seed, index)
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

    def items(self, seed: int, start: int) -> Iterator[tuple[Encoded, Encoded, Tensor]]:
        """Endless batches (before, after, targets) of `ITEMS` items of one shard; regime K is the
        observational data."""
        import numpy as np
        import torch

        from cdnbench.digest import generator
        from cdnbench.methods.cdn.differential import Encoded

        sizes = np.array([len(s.before) for s in self.shards])
        step = start
        while True:
            rng = generator("cdn training items", seed, step)
            shard = self.shards[rng.choice(len(sizes), p=sizes / sizes.sum())]
            k = shard.after.shape[1]
            dataset = torch.from_numpy(rng.integers(len(shard.before), size=ITEMS))
            regime = torch.from_numpy(rng.integers(k + 1, size=ITEMS))
            null = regime == k
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


@dataclass(frozen=True, eq=False)
class JointBatch:
    """Features of D datasets before, and of D K regimes after; targets (D K, N); adjacency (D, N,
    N)."""

    before: Features
    after: Features
    targets: Tensor
    adjacency: Tensor


def joint_batch(laws: Laws, seed: int, n_datasets: int, config: Any, step: int) -> JointBatch:
    """A batch of a jointly trained network: about `ITEMS` items out of a collection as large as the
    encoded one, by the same laws, with three regimes a dataset."""
    import numpy as np
    import torch

    from cdnbench.digest import generator

    few = dataclasses.replace(laws, regimes=(3, 3))
    rng = generator("cdn joint items", seed, step)
    examples = batch(
        few, seed, int(rng.integers(max(1, n_datasets // 4))), cells=ITEMS * 400, most=4
    )
    before, after = featurised(examples, config, seed, step)
    return JointBatch(
        before,
        after,
        torch.from_numpy(np.concatenate([e.targets for e in examples])),
        torch.from_numpy(np.stack([e.adjacency for e in examples])),
    )


class HardDevelopmentSet:
    """The hard settings of `synthetic-dev` under both protocols, ten regimes of each of two
    datasets a setting."""

    def __init__(self, n_regimes: int = 10) -> None:
        from cdnbench.registry import load_suite

        self.tasks = []
        for protocol in ("clean", "dcdi"):
            suite = load_suite("synthetic-dev", protocol=protocol)
            for spec in [s for s in suite.specs() if s.metadata["intervention"] == "hard-uniform"][
                :24
            ]:
                labelled = suite.load(spec)
                task = dataclasses.replace(
                    labelled.task,
                    regimes=labelled.task.regimes[:n_regimes],
                    candidates=labelled.task.candidates[:n_regimes],  # type: ignore
                )
                self.tasks.append(
                    (f"{protocol} {spec.metadata['mechanism']}", task, labelled.targets[:n_regimes])
                )

    def mean_ap(self, predict: Any) -> dict[str, float]:
        """predict(task) -> (R, N) scores."""
        import numpy as np

        from cdnbench.metrics import evaluate

        found: dict[str, list[float]] = {}
        for name, task, targets in self.tasks:
            found.setdefault(name, []).append(
                float(np.mean(evaluate(predict(task), targets)["average_precision_tie"]))
            )
        means = {f"dev mAP {name}": float(np.mean(values)) for name, values in found.items()}
        return {"dev mAP": float(np.mean(list(means.values()))), **means}


def train_differential(
    folder: Path,
    plan: Plan,
    config: DifferentialConfig,
    encoder: str,
    *,
    seed: int,
    device: str,
    workers: int,
    n_datasets: int = N_DATASETS,
) -> tuple[DifferentialNetwork, Trained, dict[str, Any]]:
    """Train a differential network. encoder: shipped name or path of SEA weights; "" if it starts
    from nothing.

    -> network, what came of it, and what the card says of its making.

    Raises
    ------
    InvalidParameter: the encoder's weights are of another configuration.
    """
    import json

    import torch

    from cdnbench.commands.curriculum import prefetched
    from cdnbench.errors import InvalidParameter
    from cdnbench.methods.cdn.differential import DifferentialNetwork, target_loss
    from cdnbench.methods.cdn.paper import target_scores
    from cdnbench.methods.cdn.pretrain import step_randomness
    from cdnbench.methods.cdn.trainer import check_folder, describe, fit
    from cdnbench.methods.cdn.weights import load_weights

    torch.manual_seed(seed)
    network = DifferentialNetwork(config)
    digest = ""
    if encoder:
        card, tensors = load_weights(encoder, "sea")
        if card["config"] != json.loads(json.dumps(dataclasses.asdict(config.encoder))):
            raise InvalidParameter(
                f"The encoder {encoder} is of another configuration ({card['config']}); train one "
                "with "
                "`bench train sea` and the same --statistic, --marginals and --global."
            )
        network.load_encoder(tensors)
        digest = card["digest"]
    network.to(device)
    making = {
        "model": f"cdn-{config.head}", "config": config.plain(), "laws": HARD.plain(), "seed": seed,
        "n_datasets": n_datasets, "encoder": digest or "none", "plan": describe(plan),
    }  # fmt: skip

    check_folder(folder, making)
    if config.joint:
        batches = prefetched(partial(joint_batch, HARD, seed, n_datasets, config.encoder), workers)
        step_loss = partial(_joint_loss, network, seed, device)  # type: ignore
    else:
        from cdnbench.digest import digest as digest_of

        name = digest_of(digest, HARD.plain(), seed, TRAINING_BATCHES, SHARD_CELLS)[:16]
        data = EncodedDatasets(folder.parent / "encodings" / name, network, HARD, seed, n_datasets)
        batches = partial(data.items, seed)

        def step_loss(step: int, items: tuple[Encoded, Encoded, Tensor]):
            before, after, targets = items
            moved = [type(x)(x.grid.to(device), x.moments.to(device)) for x in (before, after)]
            with step_randomness("cdn", seed, step):
                loss = target_loss(network(*moved), targets.to(device))
            return loss, {"targets": float(loss.detach())}

    development = HardDevelopmentSet()

    def validate() -> dict[str, float]:
        from cdnbench.relabelling import task_generator

        network.eval()
        return development.mean_ap(
            lambda task: target_scores(
                network, task, 50, task_generator(task, "cdn features", 0), device
            )
        )

    trained = fit(
        network, step_loss, batches, folder=folder, plan=plan, identity=making, validate=validate
    )
    return network, trained, making


def _joint_loss(network: DifferentialNetwork, seed: int, device: str, step: int, items: JointBatch):
    """Targets of every regime, the observational data against itself, and the observational
    graph."""
    import torch

    from cdnbench.methods.cdn.aggregator import graph_loss
    from cdnbench.methods.cdn.differential import Encoded, target_loss
    from cdnbench.methods.cdn.pretrain import step_randomness

    with (
        step_randomness("cdn joint", seed, step) as stream,
        torch.autocast(device, torch.bfloat16, enabled=device == "cuda"),
    ):
        before = network.encode(items.before.to(device), stream)
        after = network.encode(items.after.to(device), stream)
        k = len(after) // len(before)
        owner = torch.arange(len(before), device=after.grid.device).repeat_interleave(k)
        old, everything = before.select(torch.cat([owner, owner[::k]])), Encoded(
            torch.cat([after.grid, before.grid]), torch.cat([after.moments, before.moments])
        )  # fmt: skip
        targets = torch.cat([items.targets, torch.zeros_like(items.targets[: len(before)])]).to(
            device
        )
        targets_loss = target_loss(network(old, everything), targets)
        edges_loss = graph_loss(network.graph(before), items.adjacency.to(device))
    return targets_loss + edges_loss, {
        "targets": float(targets_loss.detach()),
        "graph": float(edges_loss.detach()),
    }
