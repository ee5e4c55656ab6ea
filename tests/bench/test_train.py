"""`bench train` as a user types it, with tiny budgets: what it writes, that the weights run, that
it goes on, and what it refuses. Every network has a command of its own.

The development suite shrinks to one dataset per protocol, and training collections to a few
datasets.
"""

import json
from functools import partial

import numpy as np
import pytest
import torch
from train_commands import refused, succeeds, train

from cdnbench import load_method
from cdnbench.datasets.synthetic.suites import SyntheticDev
from cdnbench.datasets.synthetic.training import Laws
from cdnbench.loaded import LoadedMethod
from cdnbench.methods.cdn.paper.methods import CDNMLP, CDNAxial
from cdnbench.methods.cdn.weights import load_weights, read_card
from cdnbench.task import Task
from cdnbench.training import development, encoder, encodings, loop, mechanism
from cdnbench.training.curricula import EVERYTHING
from cdnbench.training.mechanism import mechanism_batch

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
        patch.setattr(encodings, "SHARD_CELLS", 1)
        patch.setattr(encodings, "ITEMS", 4)
        yield
    torch.set_num_threads(threads)


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


@pytest.mark.parametrize("statistic", ["corr", "corr+cov"])
def test_sea_starts_from_an_encoder_of_another_statistic(sea, folder, statistic):
    path = folder / f"sea-{statistic}.safetensors"
    options = ["--steps", 1, "--lr", 0, "--cells", 100, "--threads", 1, "--run", folder / statistic]
    succeeds("sea", "--from", sea, "--statistic", statistic, *options, "--out", path)
    (before, old), (after, new) = (load_weights(str(p), "sea") for p in (sea, path))
    assert after["config"] == {**before["config"], "statistic": statistic}
    assert after["from"] == before["digest"]
    reads = "encoder.embed_statistic.weight"
    others = old.keys() - {reads}
    assert all(torch.equal(old[name], new[name]) for name in others)  # at a learning rate of 0
    assert new[reads].shape[1] == {"corr": 1, "corr+cov": 2}[statistic]
    assert statistic != "corr" or torch.equal(old[reads], new[reads])


def test_sea_does_not_start_from_an_encoder_that_reads_other_things(sea, folder, capsys):
    with pytest.raises(SystemExit) as end:
        train("sea", "--from", sea, "--no-marginals", "--run", folder / "refused")
    assert end.value.code == 2
    assert "marginals=True where False is wanted" in capsys.readouterr().err
    assert not (folder / "refused").exists()


def test_the_network_of_the_suites_laws(tmp_path):
    succeeds("cdn-suites", "--steps", 2, "--cells", 200, "--run", tmp_path / "run")
    path = tmp_path / "run" / "weights.safetensors"  # without --out
    card = read_card(str(path), "cdn-suites")
    says_how_it_was_made(card, "cdn-suites", "--cells 200")
    assert (
        card["laws"] == json.loads(json.dumps(EVERYTHING.plain())) and card["cells_a_step"] == 200
    )
    runs(load_method("cdn-suites", weights=str(path)))


def test_the_papers_perceptron_on_a_frozen_encoder(sea, folder):
    path = folder / "new folder" / "mlp.safetensors"
    succeeds(
        "cdn-mlp",
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
    says_how_it_was_made(card, "cdn-mlp")
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
        "cdn-axial",
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
        "cdn-mlp",
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

    monkeypatch.setattr(mechanism, "mechanism_batch", batches)
    monkeypatch.setattr(loop, "Plan", partial(loop.Plan, checkpoint_every_s=0))
    command = ["cdn-suites", "--steps", 4, "--cells", 100, "--run", tmp_path]
    with pytest.raises(SystemExit) as end:
        train(*command)
    assert end.value.code == 130 and not (tmp_path / "weights.safetensors").exists()
    until[0] = None
    succeeds(*command)
    assert made == [0, 1, 2, 3] and "Going on at step 2" in capsys.readouterr().out
    assert read_card(str(tmp_path / "weights.safetensors"), "cdn-suites")["steps"] == 4
    digest = read_card(str(tmp_path / "weights.safetensors"), "cdn-suites")["digest"]
    succeeds(*command)  # nothing is left to do
    assert (
        made == [0, 1, 2, 3]
        and read_card(str(tmp_path / "weights.safetensors"), "cdn-suites")["digest"] == digest
    )


def test_other_options_in_the_same_folder_are_refused_before_work(sea, folder, monkeypatch, capsys):
    def no_work(*arguments, **options):
        raise AssertionError("work has started")

    monkeypatch.setattr(development, "all_settings", no_work)
    monkeypatch.setattr(encoder, "development_graphs", no_work)
    monkeypatch.setattr(encodings, "EncodedDatasets", no_work)
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
        "cdn-suites",
        "--steps",
        2,
        "--run",
        folder / "runs/sea",
    )
    command = [
        "cdn-mlp",
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
    succeeds("cdn-suites", "--steps", 1, "--cells", 100, "--run", tmp_path, "--threads", 2)
    assert read_card(str(tmp_path / "weights.safetensors"), "cdn-suites")["threads"] == 2
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def test_an_encoder_of_another_configuration(sea, tmp_path, capsys):
    command = [
        "cdn-mlp",
        "--statistic",
        "corr",
        "--encoder",
        sea,
        "--run",
        tmp_path / "run",
    ]
    refused("is of another configuration", capsys, *command)
    assert not (tmp_path / "run").exists()


def test_an_old_spelling_trains_the_same_network(sea, folder, tmp_path):
    """The run of a command in its old spelling is the run of the new one: the second command has
    nothing left to do, and its card names the command that was typed."""
    options = ["--encoder", sea, "--datasets", 4, "--steps", 2, "--run", tmp_path / "mlp"]
    succeeds("cdn", "--model", "mlp", *options)
    path = tmp_path / "mlp" / "weights.safetensors"
    old = read_card(str(path), "cdn-mlp")
    succeeds("cdn-mlp", *options)
    new = read_card(str(path), "cdn-mlp")
    assert old["digest"] == new["digest"] and old["config"] == new["config"]
    assert old["command"].startswith("bench train cdn --model mlp")
    assert new["command"].startswith("bench train cdn-mlp ")


@pytest.mark.parametrize(
    ("option", "command"),
    [
        ("--from", "cdn --steps 1 --from"),
        ("--from", "sea --steps 1 --from"),
        ("--from", "fine-tune --suite perturbseq --from"),
        ("--encoder", "cdn-axial --steps 1 --encoder"),
        ("--from", "ablations cdn --steps 1 --from"),
        ("--encoder", "ablations table8 --encoder"),
    ],
)
def test_weights_to_start_from_have_a_shipped_name_or_a_path(option, command, capsys):
    words = f"{option} takes the name of shipped weights (sea, cdn-axial"
    refused(words, capsys, *command.split(), "weights.pt")
