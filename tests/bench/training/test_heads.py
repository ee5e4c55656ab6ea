"""The training data of the paper's networks."""

from dataclasses import replace
from itertools import islice

import pytest
import torch

from cdnbench.datasets.synthetic.training import Laws
from cdnbench.methods.cdn.paper.aggregator import EncoderConfig
from cdnbench.methods.cdn.paper.differential import DifferentialConfig, DifferentialNetwork
from cdnbench.training import curricula, encodings
from cdnbench.training.encodings import EncodedDatasets, folder_name
from cdnbench.training.heads import CURRICULA, joint_batch

TINY = Laws(sizes=((5, 6),), rows=((30, 40),), regimes=(1, 2))


@pytest.fixture(autouse=True)
def few_items(monkeypatch):
    """One dataset per shard, and few items per step."""
    monkeypatch.setattr(encodings, "SHARD_CELLS", 1)
    monkeypatch.setattr(encodings, "ITEMS", 4)


def test_items_of_encoded_datasets(tmp_path):
    """Encoded once and kept; an item is a regime against its own observational data, or that
    against itself without targets."""
    network = DifferentialNetwork(
        DifferentialConfig(encoder=EncoderConfig(width=8, n_heads=2, batch_heads=2, n_blocks=1))
    )
    laws = Laws(sizes=((5, 6),), rows=((40, 50),), regimes=(2, 2))
    data = EncodedDatasets(tmp_path / "encodings", network, laws, 0, n_datasets=3)
    assert data.n_datasets == len(data.shards) == 3
    before, after, targets = next(data.items(0, 5))
    n = targets.shape[1]
    assert before.grid.shape == after.grid.shape == (
        encodings.ITEMS,
        n,
        n,
        8,
    ) and before.moments.shape == (
        encodings.ITEMS,
        n,
        2,
    )
    seen = set()
    for before, after, targets in islice(data.items(0, 0), 40):
        for b, a, t in zip(before.grid, after.grid, targets, strict=True):
            shard = next(
                s
                for s in data.shards
                if s.before.shape[1:] == b.shape and torch.equal(s.before[0].float(), b)
            )
            regime = next((r for r in range(2) if torch.equal(shard.after[0, r].float(), a)), 2)
            assert torch.equal(t, shard.targets[0, regime] if regime < 2 else torch.zeros_like(t))
            assert regime < 2 or torch.equal(a, b)
            seen.add(regime)
    assert seen == {0, 1, 2}
    again = EncodedDatasets(
        tmp_path / "encodings", network, laws, 0, n_datasets=2
    )  # from the files
    assert all(
        torch.equal(a.after, b.after) for a, b in zip(again.shards, data.shards, strict=False)
    )
    first, second = (
        next(data.items(0, 9)),
        next(islice(data.items(0, 8), 1, 2)),
    )  # a step's items, wherever one starts
    assert torch.equal(first[2], second[2]) and torch.equal(first[1].grid, second[1].grid)


def test_encodings_of_other_weights_laws_seeds_or_versions_have_other_folders(monkeypatch):
    names = [
        folder_name("encoder", TINY, 0),
        folder_name("other", TINY, 0),
        folder_name("encoder", replace(TINY, hidden=0.1), 0),
        folder_name("encoder", TINY, 1),
    ]
    for constant in ("TRAINING_BATCHES", "SHARD_CELLS", "GENERATOR_VERSION", "FEATURISER_VERSION"):
        with monkeypatch.context() as changed:
            changed.setattr(encodings, constant, -1)
            names.append(folder_name("encoder", TINY, 0))
    assert len(set(names)) == len(names)
    assert folder_name("encoder", TINY, 0) == names[0]


def test_a_joint_batch_is_a_function_of_its_step():
    one, same, other = (joint_batch(TINY, 0, 8, EncoderConfig(), step) for step in (2, 2, 3))
    for made in (one, same, other):
        n_datasets, n = made.adjacency.shape[:2]
        assert (
            len(made.before) == n_datasets
            and len(made.after) == len(made.targets) == 3 * n_datasets
        )
        assert made.targets.any(1).all() and made.targets.shape[1] == n
    assert torch.equal(one.before.statistics, same.before.statistics) and torch.equal(
        one.targets, same.targets
    )
    assert one.after.statistics.shape != other.after.statistics.shape or not torch.equal(
        one.after.statistics, other.after.statistics
    )


def test_the_mixture_of_cdn_can_be_encoded(tmp_path, monkeypatch):
    """Worlds and suites' laws, in data sets of ten rows and more, with finite encodings."""
    monkeypatch.setattr(encodings, "SHARD_CELLS", 400)
    wide = CURRICULA["cdn"]
    assert [part.evidence_only for part in wide] == [False, False]
    examples = [e for step in range(12) for e in curricula.batch(wide, 0, step, cells=150)]
    assert {type(e).__module__.split(".")[-2] for e in examples} == {"worlds", "synthetic"}
    sizes = [len(x) for e in examples for x in (e.task.observational, *e.task.regimes)]
    assert min(sizes) >= 10
    network = DifferentialNetwork(
        DifferentialConfig(encoder=EncoderConfig(width=8, n_heads=2, batch_heads=2, n_blocks=1))
    )
    data = EncodedDatasets(tmp_path, network, wide, 0, n_datasets=3)
    for shard in data.shards:
        assert all(value.isfinite().all() for value in vars(shard).values())
    joint = joint_batch(wide, 0, 8, EncoderConfig(), 1)
    assert joint.known.shape == (len(joint.before),)
    assert len(joint.after) == 3 * len(joint.before)
