"""`bench train` as a user types it, with tiny budgets: what it writes, that the weights run, that
it goes on, and what it refuses.

The development suite shrinks to one dataset a protocol, and training collections to a few datasets.
"""

import json
import sys
from functools import partial
from itertools import islice

import numpy as np
import pytest
import torch

from cdnbench import cli, load_method
from cdnbench.commands import curriculum, heads, pretraining
from cdnbench.commands.curriculum import EVERYTHING, mechanism_batch, prefetched
from cdnbench.commands.heads import EncodedDatasets, joint_batch
from cdnbench.datasets.synthetic.suites import SyntheticDev
from cdnbench.datasets.synthetic.training import Laws
from cdnbench.loaded import LoadedMethod
from cdnbench.methods.cdn import trainer
from cdnbench.methods.cdn.aggregator import EncoderConfig
from cdnbench.methods.cdn.differential import DifferentialConfig, DifferentialNetwork
from cdnbench.methods.cdn.paper import CDNMLP, CDNAxial
from cdnbench.methods.cdn.weights import read_card
from cdnbench.task import Task

TINY = Laws(sizes=((5, 6),), rows=((30, 40),), regimes=(1, 2))


@pytest.fixture(scope="module", autouse=True)
def small_worlds():
    """One development dataset a protocol, few cells a shard, few items a step; torch's global state
    as it was."""
    threads, specs = torch.get_num_threads(), SyntheticDev.specs

    def one(suite):
        return [spec for spec in specs(suite) if spec.metadata["intervention"] == "hard-uniform"][
            :1
        ]

    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        patch.setattr(SyntheticDev, "specs", one)
        patch.setattr(heads, "SHARD_CELLS", 1)
        patch.setattr(heads, "ITEMS", 4)
        yield
    torch.set_num_threads(threads)


def train(*arguments) -> None:
    """`bench train ...`; raises SystemExit with the exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["bench", "train", *map(str, arguments)])
        cli.main()


def succeeds(*arguments) -> None:
    with pytest.raises(SystemExit) as end:
        train(*arguments)
    assert end.value.code in (0, None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("train")


@pytest.fixture(scope="module")
def sea(folder):
    """SEA weights that were trained for two steps."""
    path = folder / "sea.safetensors"
    succeeds(
        "sea",
        "--steps",
        2,
        "--cells",
        100,
        "--run",
        folder / "runs/sea",
        "--out",
        path,
        "--threads",
        1,
    )
    return path


def some_task() -> Task:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)), rng.normal(size=(50, 5)) + np.eye(5)[2]
    return Task(name="t", variables=list("abcde"), observational=x, regimes=[y, 2 * y])


def runs(method: LoadedMethod) -> None:
    scores = method.predict_targets(some_task())
    assert scores.shape == (2, 5) and np.isfinite(scores).all() and scores.std() > 0
    assert len(method.weights_digest()) == 32


def paper_method(card: dict, path) -> LoadedMethod:
    cls = {"cdn-axial": CDNAxial, "cdn-mlp": CDNMLP}[card["model"]]
    return LoadedMethod(method=cls(weights=str(path), n_batches=3), variant="", parameters={})


# --- what is written


def says_how_it_was_made(card: dict, *words) -> None:
    """What every card holds."""
    assert card["format"] == 1 and card["steps"] == 2 and card["seed"] == 0
    assert card["command"].startswith("bench train ") and all(
        word in card["command"] for word in words
    )
    assert card["plan"]["steps"] == 2 and "sizes" in card["laws"] and "config" in card
    assert {"git_sha", "dirty", "host", "versions", "device", "threads", "date", "minutes"} <= set(
        card
    )
    assert card["device"] == "cpu" and "torch" in card["versions"]
    assert any(name.startswith("dev ") for name in card["validation"])
    assert all(np.isfinite(value) for value in card["validation"].values())
    assert "polynomial and sigmoid" in card["held_out"] and "synthetic-ood" in card["held_out"]


def test_sea(sea, folder):
    card = read_card(str(sea), "sea")
    says_how_it_was_made(card, "sea", "--steps 2")
    assert (
        card["cells_a_step"] == 100
        and card["config"]["statistic"] == "precision"
        and card["threads"] == 1
    )
    assert {p.name for p in (folder / "runs/sea").iterdir()} == {
        "checkpoint.safetensors",
        "log.jsonl",
    }


def test_the_network_of_cdn(tmp_path):
    succeeds("cdn", "--steps", 2, "--cells", 200, "--run", tmp_path / "run")
    path = tmp_path / "run" / "weights.safetensors"  # without --out
    card = read_card(str(path), "cdn")
    says_how_it_was_made(card, "cdn", "--cells 200")
    assert (
        card["laws"] == json.loads(json.dumps(EVERYTHING.plain())) and card["cells_a_step"] == 200
    )
    runs(load_method("cdn", weights=str(path)))


def test_the_papers_perceptron_on_a_frozen_encoder(sea, folder):
    path = folder / "new folder" / "mlp.safetensors"
    succeeds(
        "cdn",
        "--model",
        "mlp",
        "--encoder",
        sea,
        "--datasets",
        4,
        "--steps",
        2,
        "--run",
        folder / "runs/mlp",
        "--out",
        path,
    )
    card = read_card(str(path), "cdn-mlp")
    says_how_it_was_made(card, "--model mlp")
    assert card["encoder"] == read_card(str(sea), "sea")["digest"] and card["n_datasets"] == 4
    assert not card["config"]["joint"] and card["config"]["pretrained"]
    runs(paper_method(card, path))


def test_the_papers_axial_network_and_its_variants(sea, folder):
    path = folder / "axial.safetensors"
    options = [
        "--joint",
        "--combination",
        "difference",
        "--node-statistics",
        "--encoder",
        sea,
        "--datasets",
        3,
    ]
    succeeds(
        "cdn",
        "--model",
        "axial",
        *options,
        "--steps",
        2,
        "--run",
        folder / "runs/axial",
        "--out",
        path,
    )
    card = read_card(str(path), "cdn-axial")
    says_how_it_was_made(card, "--joint")
    config = card["config"]
    assert config["joint"] and config["node_statistics"] and config["combination"] == "difference"
    runs(paper_method(card, path))


def test_without_a_pretrained_encoder_it_is_trained_from_nothing(tmp_path):
    path = tmp_path / "w.safetensors"
    succeeds(
        "cdn",
        "--model",
        "mlp",
        "--no-pretrained",
        "--statistic",
        "corr",
        "--no-marginals",
        "--datasets",
        4,
        "--steps",
        2,
        "--run",
        tmp_path / "run",
        "--out",
        path,
    )
    card = read_card(str(path), "cdn-mlp")
    assert (
        card["config"]["joint"] and not card["config"]["pretrained"] and card["encoder"] == "none"
    )
    assert (
        card["config"]["encoder"]["statistic"] == "corr"
        and not card["config"]["encoder"]["marginals"]
    )
    runs(paper_method(card, path))


# --- going on


def test_a_repeated_command_goes_on(tmp_path, monkeypatch, capsys):
    made, until = [], [2]

    def batches(laws, seed, cells, step):
        if step == until[0]:
            raise KeyboardInterrupt
        made.append(step)
        return mechanism_batch(TINY, seed, cells, step)

    monkeypatch.setattr(curriculum, "mechanism_batch", batches)
    monkeypatch.setattr(trainer, "Plan", partial(trainer.Plan, checkpoint_every_s=0))
    command = ["cdn", "--steps", 4, "--cells", 100, "--run", tmp_path]
    with pytest.raises(SystemExit) as end:
        train(*command)
    assert end.value.code == 130 and not (tmp_path / "weights.safetensors").exists()
    until[0] = None
    succeeds(*command)
    assert made == [0, 1, 2, 3] and "Going on at step 2" in capsys.readouterr().out
    assert read_card(str(tmp_path / "weights.safetensors"), "cdn")["steps"] == 4
    digest = read_card(str(tmp_path / "weights.safetensors"), "cdn")["digest"]
    succeeds(*command)  # nothing is left to do
    assert (
        made == [0, 1, 2, 3]
        and read_card(str(tmp_path / "weights.safetensors"), "cdn")["digest"] == digest
    )


def test_other_options_in_the_same_folder_are_refused_before_work(sea, folder, monkeypatch, capsys):
    def no_work(*arguments, **options):
        raise AssertionError("work has started")

    monkeypatch.setattr(curriculum, "DevelopmentSet", no_work)
    monkeypatch.setattr(pretraining, "development_graphs", no_work)
    monkeypatch.setattr(heads, "EncodedDatasets", no_work)
    refused(
        "another training run. Give another --run",
        capsys,
        "sea",
        "--steps",
        3,
        "--run",
        folder / "runs/sea",
    )
    refused(
        "another training run. Give another --run",
        capsys,
        "cdn",
        "--steps",
        2,
        "--run",
        folder / "runs/sea",
    )
    command = [
        "cdn",
        "--model",
        "mlp",
        "--encoder",
        sea,
        "--steps",
        2,
        "--run",
        folder / "runs/sea",
    ]
    refused("another training run. Give another --run", capsys, *command)


def test_threads_are_those_that_were_asked_for(tmp_path):
    """Batches made in this process leave the network's threads alone."""
    succeeds("cdn", "--steps", 1, "--cells", 100, "--run", tmp_path, "--threads", 2)
    assert read_card(str(tmp_path / "weights.safetensors"), "cdn")["threads"] == 2
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


# --- what cannot be done


def refused(words: str, capsys, *arguments) -> None:
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        train(*arguments)
    error = capsys.readouterr().err
    assert end.value.code == 2 and words in error, error
    assert error.startswith("bench: ") and error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments, words",
    [
        (
            ["cdn", "--model", "transformer"],
            "--model takes mechanism, axial or mlp; got 'transformer'",
        ),
        (
            ["cdn", "--model", "mlp", "--combination", "sum"],
            "--combination takes concat or difference",
        ),
        (["cdn", "--device", "tpu"], "--device takes auto, cpu or cuda; got 'tpu'"),
        (["sea", "--statistic", "mean"], "--statistic takes precision, corr, corr+cov; got 'mean'"),
        (["sea", "--no-marginals", "--no-global"], "leave the encoder nothing to read"),
        (
            ["cdn", "--model", "axial", "--statistic", "mean"],
            "--statistic takes precision, corr, corr+cov",
        ),
        (
            ["cdn", "--model", "axial", "--encoder", "no.safetensors"],
            "no.safetensors, which does not exist",
        ),
        (
            ["sea", "--out", "weights.pt"],
            "--out takes a file that ends in .safetensors; got weights.pt",
        ),
        (["cdn", "--out", "weights.bin"], "--out takes a file that ends in .safetensors"),
        (
            ["cdn", "--model", "mlp", "--out", "weights"],
            "--out takes a file that ends in .safetensors",
        ),
        (["cdn", "--out", "file/w.safetensors"], "file"),
        (["cdn", "--out", "folder.safetensors"], "folder.safetensors is a folder"),
    ],
)
def test_bad_options_are_told_before_any_work(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.safetensors").mkdir()
    refused(words, capsys, *arguments)
    assert {p.name for p in tmp_path.iterdir()} == {"file", "folder.safetensors"}


def test_cuda_where_there_is_none(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(
        "torch sees no CUDA device. Use --device cpu",
        capsys,
        "sea",
        "--device",
        "cuda",
        "--run",
        tmp_path,
    )


def test_an_encoder_of_another_configuration(sea, tmp_path, capsys):
    command = [
        "cdn",
        "--model",
        "mlp",
        "--statistic",
        "corr",
        "--encoder",
        sea,
        "--run",
        tmp_path / "run",
    ]
    refused("is of another configuration", capsys, *command)
    assert not (tmp_path / "run").exists()


# --- batches ahead of time


def contents(stream, how_many: int) -> list:
    return [
        (b.summary.moments, b.summary.quantiles, b.targets, b.adjacency, b.known)
        for b in islice(stream, how_many)
    ]


def test_workers_make_the_same_batches_in_the_same_order():
    make = partial(mechanism_batch, TINY, 0, 100)
    here, there = prefetched(make, 0)(3), prefetched(make, 1)(3)
    for mine, theirs in zip(contents(here, 4), contents(there, 4), strict=True):
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    pool = there.gi_frame.f_locals["pool"]
    processes = list(pool._processes.values())
    assert processes and all(p.is_alive() for p in processes)
    there.close()
    assert not any(p.is_alive() for p in processes)


def test_without_workers_a_batch_is_made_when_it_is_asked_for():
    made = []
    stream = prefetched(lambda step: made.append(step) or step, 0)(7)
    assert made == [] and list(islice(stream, 3)) == [7, 8, 9] and made == [7, 8, 9]


# --- training data of the paper's networks


def test_items_of_encoded_datasets(folder):
    """Encoded once and kept; an item is a regime against its own observational data, or that
    against itself without targets."""
    network = DifferentialNetwork(
        DifferentialConfig(encoder=EncoderConfig(width=8, n_heads=2, batch_heads=2, n_blocks=1))
    )
    laws = Laws(sizes=((5, 6),), rows=((40, 50),), regimes=(2, 2))
    data = EncodedDatasets(folder / "encodings", network, laws, 0, n_datasets=3)
    assert data.n_datasets == len(data.shards) == 3
    before, after, targets = next(data.items(0, 5))
    n = targets.shape[1]
    assert before.grid.shape == after.grid.shape == (
        heads.ITEMS,
        n,
        n,
        8,
    ) and before.moments.shape == (
        heads.ITEMS,
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
    again = EncodedDatasets(folder / "encodings", network, laws, 0, n_datasets=2)  # from the files
    assert all(
        torch.equal(a.after, b.after) for a, b in zip(again.shards, data.shards, strict=False)
    )
    first, second = (
        next(data.items(0, 9)),
        next(islice(data.items(0, 8), 1, 2)),
    )  # a step's items, wherever one starts
    assert torch.equal(first[2], second[2]) and torch.equal(first[1].grid, second[1].grid)


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
