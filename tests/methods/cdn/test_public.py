"""The authors' networks in our modules: their own outputs, their checkpoints, and the pipeline around them."""

import argparse
import json
import os
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from safetensors.torch import load_file

from cdnbench import Task, cli
from cdnbench.commands.weights import weights_app
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.method import LoadedMethod
from cdnbench.methods.cdn import marginals, public
from cdnbench.methods.cdn.marginals import ARROW, CIRCLE, NONE, TAIL
from cdnbench.methods.cdn.public import PublicCDN
from cdnbench.methods.cdn.public_checkpoint import read_checkpoint
from cdnbench.methods.cdn.public_modules import Identities, PublicConfig, PublicNetwork, Side, build
from cdnbench.methods.cdn.public_weights import from_public, import_weights, load_network, public_names, to_public

GOLDEN = Path(__file__).parent / "golden"
TARGET_NETWORKS = ["axial", "axial-statistics", "axial-difference", "mlp"]
EXACT = 1e-5


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
    for network in TARGET_NETWORKS:
        encoder = {k: v for k, v in found["sea"].items() if k.startswith("encoder.")}
        found[network] = encoder | found[network]
    return found


def built(state) -> PublicNetwork:
    config, ours = from_public(state, n_heads=2)
    network = build(config)
    network.load_state_dict(ours)
    return network


def side(cases, kind: str) -> Side:
    """The golden inputs, spread densely by an obvious loop."""
    pairs = torch.from_numpy(cases[f"unique_{kind}"]) - 1
    dense = torch.zeros(len(cases[f"input_{kind}"]), len(pairs), dtype=torch.int64)
    for t, (tokens, index) in enumerate(zip(cases[f"input_{kind}"], cases[f"index_{kind}"], strict=True)):
        for token, pair in zip(tokens, index, strict=True):
            dense[t, pair] = int(token)
    return Side(dense, pairs, torch.from_numpy(cases[f"feats_2d_{kind}"]), torch.from_numpy(cases[f"feats_1d_{kind}"]))


def identities(cases, name: str, kind: str = "obs") -> Identities:
    drawn = torch.from_numpy(cases[f"{name}.permutations"])
    return Identities(*(drawn[:3] if kind == "obs" else drawn[3:]))


def close(ours: torch.Tensor, golden: np.ndarray) -> None:
    assert ours.shape == golden.shape
    np.testing.assert_allclose(ours.numpy(), golden, rtol=EXACT, atol=EXACT)  # float32: logits reach 11


# -- the authors' own outputs


def test_the_golden_inputs_exercise_the_masks(cases):
    observational = side(cases, "obs")
    assert (observational.tokens[:, 0] == 0).any() and (observational.tokens[0] == 0).any()
    assert (observational.statistic[0] == 0).any() and (observational.statistic[1:, 1:] == 0).any()


def test_encoder_and_edge_head(cases, states):
    network = built(states["sea"])
    encoded = network.encoder(side(cases, "obs"), identities(cases, "sea"))
    close(encoded, cases["sea.encoded"])
    close(network.edge_logits(encoded), cases["sea.edges"])


def test_the_original_encoder_hides_zeros(cases, states):
    network = built(states["sea"])
    arguments = side(cases, "obs"), identities(cases, "sea-original")
    close(network.encoder(*arguments, zeros_are_empty=True), cases["sea-original.encoded"])
    assert np.abs(network.encoder(*arguments).numpy() - cases["sea-original.encoded"]).max() > 0.1


@pytest.mark.parametrize("name", TARGET_NETWORKS)
def test_target_logits(cases, states, name):
    network = built(states[name])
    before, after = (network.encode(side(cases, k), identities(cases, name, k)) for k in ("obs", "int"))
    close(network.target_logits(before, after), cases[f"{name}.logits"])
    assert np.abs(network.target_logits(after, before).numpy() - cases[f"{name}.logits"]).max() > 0.1


def test_exact_zeros_are_hidden_in_the_axial_head(cases, states):
    head = built(states["axial-statistics"]).targets
    shown = torch.from_numpy(cases["zeros.input"])
    close(head(shown), cases["zeros.logits"])
    assert (head(torch.where(shown == 0, 1e-9, shown)) - head(shown)).abs().max() > 1e-3


def test_permutations_matter(cases, states):
    network = built(states["sea"])
    golden = identities(cases, "sea")
    for swapped in (
        Identities(golden.rows, golden.rows, golden.columns),
        Identities(golden.pairs, golden.columns, golden.rows),
    ):
        assert np.abs(network.encoder(side(cases, "obs"), swapped).numpy() - cases["sea.encoded"]).max() > 0.01


# -- the authors' featurisation


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_tokens_of_marginal_estimates(cases, name):
    samples, nodes = (cases[f"features.{name}.{part}"] for part in ("samples", "nodes"))
    rows = np.tile(np.arange(len(samples)), (len(nodes), 1))
    correlations = public.batch_correlations(samples.astype(np.float64), nodes, rows)
    marks = marginals.marginal_estimates(torch.from_numpy(correlations), len(samples))
    dense, pairs = public.dense_tokens(torch.from_numpy(nodes), public.public_tokens(marks))
    golden = {part: cases[f"features.{name}.{part}"] for part in ("input", "index", "unique")}
    assert np.array_equal(pairs.numpy() + 1, golden["unique"])
    expected = np.zeros(dense.shape, dtype=int)
    np.put_along_axis(expected, golden["index"], golden["input"], axis=1)
    assert np.array_equal(dense.numpy(), expected)


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_statistics(cases, name):
    samples = cases[f"features.{name}.samples"]
    for kind in public.STATISTICS:
        found = public.global_statistic(samples.astype(np.float64), kind)
        assert np.abs(found - cases[f"features.{name}.{kind}"]).max() < EXACT
    # one draw of all rows, so that what is drawn does not matter
    (drawn,) = public.sides([samples], "correlation", 2, np.random.default_rng(0))
    close(drawn.statistic, cases[f"features.{name}.correlation"])
    close(drawn.nodes, cases[f"features.{name}.nodewise"])


def test_inverse_covariance_of_many_variables(cases):
    row, column = np.indices((60, 100))
    samples = np.sin(0.7 * row + 1.3 * column) + 0.1 * np.cos(row * column)
    found = public.global_statistic(samples, "inverse-covariance")
    assert np.abs(found[:8, :8] / cases["features.wide"] - 1).max() < 1e-6


# -- names


@pytest.mark.parametrize("name", ["sea", *TARGET_NETWORKS])
def test_names_round_trip(states, name):
    config, ours = from_public(states[name], n_heads=2)
    back = to_public(config, ours)
    assert back.keys() == states[name].keys()
    assert all(torch.equal(back[k], states[name][k]) for k in back)
    assert ours.keys() == PublicNetwork(config).state_dict().keys()


def test_the_configuration_is_read_off_the_shapes(states):
    sizes = {"dim": 8, "n_heads": 2, "n_blocks": 2, "hidden": 6, "n_nodes": 12}
    expected = {
        "sea": PublicConfig(**sizes, head="none", node_statistics=False, edge_head=True),
        "axial": PublicConfig(**sizes, node_statistics=False, edge_head=False),
        "axial-statistics": PublicConfig(**sizes, edge_head=False),
        "axial-difference": PublicConfig(**sizes, combination="difference", edge_head=False),
        "mlp": PublicConfig(**sizes, head="mlp", node_statistics=False, edge_head=False),
    }
    for name, config in expected.items():
        assert from_public(states[name], n_heads=2)[0] == config


def test_every_tensor_of_every_variant_has_one_public_name():
    for head in ("axial", "mlp", "none"):
        for layers in (1, 2):
            config = PublicConfig(dim=8, n_heads=2, n_nodes=5, head=head, head_layers=layers)
            names = public_names(config)
            assert set(names) == set(PublicNetwork(config).state_dict())
            assert len(set(names.values())) == len(names)
    stacked = public_names(PublicConfig(head_layers=2))
    assert stacked["targets.layers.1.feed_forward.widen.bias"] == "axial_N_N_d2.layers.1.ffn.layer.fc1.bias"


def test_missing_and_unexpected_names_are_told(states):
    state = dict(states["axial"])
    del state["linear_out.bias"]
    state["axial_N_N_d2.lora_A"] = torch.zeros(2)
    with pytest.raises(InvalidParameter, match=r"1 missing \(linear_out.bias\); 1 unexpected \(axial_N_N_d2.lora_A\)"):
        from_public(state)
    with pytest.raises(InvalidParameter, match="encoder.embed_feats.weight has shape"):
        from_public(states["sea"] | {"encoder.embed_feats.weight": torch.zeros(8, 2)})
    with pytest.raises(InvalidParameter, match="3 attention heads do not divide 8"):
        from_public(states["sea"], n_heads=3)
    with pytest.raises(
        InvalidParameter, match="expected a checkpoint of the public SEA or CDN code, found conv.weight"
    ):
        from_public({"conv.weight": torch.zeros(2, 2)})


# -- files


def lightning(state, path: Path, **extra) -> Path:
    """A checkpoint as Lightning writes it: settings in a Namespace, and more beside the weights."""
    settings = argparse.Namespace(n_heads=2, num_vars=12, algorithm="fci", save_path="/somewhere/else", lr=1e-4)
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


@pytest.mark.parametrize("name", ["sea", *TARGET_NETWORKS])
def test_import_writes_weights_and_a_card(states, cases, tmp_path, name):
    made = import_weights(lightning(states[name], tmp_path / "public.ckpt"))
    assert made.weights == tmp_path / "public.safetensors"
    network, statistic = load_network(made.weights)
    config, ours = from_public(states[name], n_heads=2)
    assert network.config == config == made.config
    assert all(torch.equal(v, ours[k]) for k, v in network.state_dict().items())
    card = json.loads(made.card.read_text())
    assert card["network"]["n_heads"] == 2 and card["statistic"] == statistic
    assert card["n_parameters"] == sum(t.numel() for t in states[name].values())
    assert card["settings"]["num_vars"] == 12
    assert str(tmp_path) not in made.card.read_text() and "somewhere" not in made.card.read_text()


def test_the_card_says_which_statistic_the_network_was_trained_with(states, tmp_path):
    found = {n: import_weights(lightning(states[n], tmp_path / f"{n}.ckpt")).statistic for n in TARGET_NETWORKS}
    assert found == {
        "axial": "inverse-covariance",
        "mlp": "inverse-covariance",
        "axial-statistics": "correlation",
        "axial-difference": "correlation",
    }


def test_a_head_saved_without_its_encoder(states, tmp_path):
    encoder = lightning(states["sea"], tmp_path / "sea.ckpt")
    head = {k: v for k, v in states["mlp"].items() if not k.startswith("encoder.")}
    file = lightning(head, tmp_path / "mlp.ckpt")
    with pytest.raises(InvalidParameter, match="--encoder"):
        import_weights(file)
    _, ours = from_public(states["mlp"], n_heads=2)
    network, _ = load_network(import_weights(file, encoder=encoder).weights)
    assert all(torch.equal(v, ours[k]) for k, v in network.state_dict().items())


def test_plain_state_dicts_of_every_layout_read_like_torch_load(tmp_path):
    grid = torch.arange(24.0).view(4, 6)
    state = {
        "whole": grid,
        "transposed": grid.T,
        "window": grid[1:3, 2:5],
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(3.5),
        "half": grid.half(),
        "long": torch.arange(5),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    torch.save(state, tmp_path / "plain.pt")
    found = read_checkpoint(tmp_path / "plain.pt")
    assert found.settings == {} and found.state.keys() == state.keys()
    for name, tensor in torch.load(tmp_path / "plain.pt", weights_only=True).items():
        assert found.state[name].dtype == tensor.dtype and torch.equal(found.state[name], tensor), name
    torch.save(torch.nn.Linear(2, 3).state_dict(), tmp_path / "module.pt")
    assert read_checkpoint(tmp_path / "module.pt").state["weight"].shape == (3, 2)


class Attack:
    """Unpickled by the standard library, this creates a file."""

    def __init__(self, call, *arguments):
        self.reduced = call, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("where", ["settings", "callbacks", "state"])
def test_nothing_in_a_file_is_executed(states, tmp_path, where):
    trap = tmp_path / "trap"
    attacks = [Attack(os.system, f"touch {trap}"), Attack(Path.touch, trap), Attack(eval, f"open({str(trap)!r}, 'w')")]
    pickle.loads(pickle.dumps(attacks[1]))
    assert trap.exists()  # the attack works where it is let
    trap.unlink()
    file = tmp_path / "attack.ckpt"
    if where == "state":
        lightning(states["sea"] | {"encoder.extra": attacks}, file)
        with pytest.raises(InvalidParameter, match=r"values that are no tensors: encoder\.extra"):
            import_weights(file)
    else:
        key = {"settings": "hyper_parameters", "callbacks": "callbacks"}[where]
        lightning(states["sea"], file, **{key: {"n_heads": 2, "payload": attacks}})
        assert import_weights(file).config.n_heads == 2
    assert not trap.exists()


def test_a_tensor_cannot_reach_beyond_its_storage(tmp_path):
    torch.save({"w": torch.arange(4.0)}, tmp_path / "whole.pt")
    with zipfile.ZipFile(tmp_path / "whole.pt") as source, zipfile.ZipFile(tmp_path / "short.pt", "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, content[:8] if name.endswith("/data/0") else content)
    with pytest.raises(InvalidParameter, match="reaches beyond its storage"):
        read_checkpoint(tmp_path / "short.pt")


def test_damaged_and_foreign_files_are_refused(states, tmp_path):
    whole = lightning(states["sea"], tmp_path / "whole.ckpt").read_bytes()
    bad = {"cut.ckpt": whole[: len(whole) // 2], "text.ckpt": b"not a checkpoint", "empty.ckpt": b""}
    bad["pickle.ckpt"] = pickle.dumps({"a": 1})
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidParameter, match=f"{name} cannot be read as a PyTorch checkpoint"):
            import_weights(tmp_path / name)
    for name, content in {"list.ckpt": [torch.ones(2)], "numbers.ckpt": {"a": 1}, "none.ckpt": {}}.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(InvalidParameter, match=name):
            import_weights(tmp_path / name)
    with pytest.raises(InvalidParameter, match="does not exist"):
        import_weights(tmp_path / "absent.ckpt")


def test_weights_of_another_make_are_refused(tmp_path):
    with pytest.raises(InvalidParameter, match="bench weights import"):
        load_network(tmp_path / "absent.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"garbage")
    with pytest.raises(InvalidParameter, match="bench weights import"):
        load_network(tmp_path / "bad.safetensors")
    with pytest.raises(InvalidParameter, match="bench weights import"):
        load_network(GOLDEN / "public_weights.safetensors")


# -- the command


@pytest.fixture
def bench(monkeypatch):
    """`bench ...` with the command under test -> exit code."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.add_typer(weights_app, name="weights")
    monkeypatch.setattr(cli, "app", app)

    def run(*arguments) -> int:
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return run


def test_command(bench, states, tmp_path, capsys):
    file = lightning(states["axial-statistics"], tmp_path / "cdn.ckpt")
    assert bench("weights", "import", file, "--out", tmp_path / "mine.safetensors") == 0
    assert "cdn-public:weights=" in capsys.readouterr().out
    assert (tmp_path / "mine.json").exists() and load_network(tmp_path / "mine.safetensors")[1] == "correlation"

    (tmp_path / "bad.ckpt").write_bytes(b"bad")
    assert bench("weights", "import", tmp_path / "bad.ckpt") == 2
    assert "expected the zip file that torch.save or Lightning writes" in capsys.readouterr().err
    assert bench("weights", "import", file, "--out", tmp_path / "mine.txt") == 2
    assert bench("weights", "import", file, "--out", tmp_path / "absent" / "mine.safetensors") == 2
    assert bench("weights", "import", tmp_path / "absent.ckpt") == 2


# -- the pipeline


def shifted_task(n_variables=6, n_rows=80, n_regimes=2) -> Task:
    rng = np.random.default_rng([n_variables, n_rows])
    mix = np.eye(n_variables) + np.triu(rng.normal(size=(n_variables, n_variables)), 1)
    draw = lambda: rng.normal(size=(n_rows, n_variables)) @ mix  # noqa: E731
    names = [f"x{i}" for i in range(n_variables)]
    return Task(name="t", variables=names, observational=draw(), regimes=[draw() + 1 for _ in range(n_regimes)])


@pytest.fixture(scope="module")
def imported(states, tmp_path_factory):
    folder = tmp_path_factory.mktemp("imported")
    return {
        name: str(import_weights(lightning(states[name], folder / f"{name}.ckpt")).weights)
        for name in ("sea", *TARGET_NETWORKS)
    }


def test_global_random_state_is_left_alone(imported):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    method(weights=imported["axial"], n_batches=2).predict_targets(shifted_task())
    assert torch.equal(before, torch.get_rng_state())


def method(**parameters) -> LoadedMethod:
    return LoadedMethod(PublicCDN(**parameters), "", parameters)


@pytest.mark.parametrize("name", TARGET_NETWORKS)
def test_the_pipeline_scores_every_variable_the_same_under_any_names(imported, name):
    task = shifted_task()
    ours = method(weights=imported[name], n_batches=6)
    scores = ours.predict_targets(task, seed=1)
    assert scores.shape == (2, 6) and np.isfinite(scores).all()
    assert np.array_equal(scores, ours.predict_targets(task, seed=1))
    assert not np.allclose(scores, ours.predict_targets(task, seed=2))
    order = [3, 0, 5, 1, 4, 2]
    assert np.allclose(ours.predict_targets(task.select(order), seed=1), scores[:, order], atol=1e-5)


@pytest.mark.parametrize("n_variables", [2, 3, 12])
def test_few_variables_and_constant_or_repeated_columns(imported, n_variables):
    task = shifted_task(n_variables, n_rows=10)
    columns = task.observational.copy()
    columns[:, 0] = 1.0
    columns[:, -1] = columns[:, 1]
    odd = Task(name="odd", variables=task.variables, observational=columns, regimes=[columns, *task.regimes])
    for statistic in public.STATISTICS:
        scores = method(weights=imported["axial-difference"], n_batches=4, statistic=statistic).predict_targets(odd)
        assert np.isfinite(scores).all()


def test_what_it_cannot_run_it_says(imported):
    with pytest.raises(CannotRun, match="bench weights import"):
        method().predict_targets(shifted_task())
    with pytest.raises(InvalidParameter, match="bench weights import"):
        method(weights="absent.safetensors").predict_targets(shifted_task())
    with pytest.raises(CannotRun, match="without a target head"):
        method(weights=imported["sea"]).predict_targets(shifted_task())
    with pytest.raises(CannotRun, match="at most 12 variables"):
        method(weights=imported["axial"]).predict_targets(shifted_task(13))
    with pytest.raises(CannotRun, match="at least 2"):
        method(weights=imported["axial"]).predict_targets(shifted_task(1))
    with pytest.raises(InvalidParameter, match="statistic"):
        PublicCDN(statistic="cosine")
    with pytest.raises(InvalidParameter, match="n_batches"):
        PublicCDN(n_batches=1)


def test_dense_tokens_put_each_pair_in_its_place():
    rng = np.random.default_rng(5)
    nodes = np.stack([rng.choice(7, 4, replace=False) for _ in range(6)])
    tokens = rng.integers(1, 8, (6, 4, 4))
    dense, pairs = public.dense_tokens(torch.from_numpy(nodes), torch.from_numpy(tokens))
    held = {
        (t, nodes[t, a], nodes[t, b]): tokens[t, a, b] for t in range(6) for a in range(4) for b in range(4) if a != b
    }
    assert [tuple(p) for p in pairs.tolist()] == sorted({(i, j) for _, i, j in held})
    for t in range(6):
        for column, (i, j) in enumerate(pairs.tolist()):
            assert dense[t, column] == held.get((t, i, j), 0)


def test_batch_correlations_are_numpys():
    rng = np.random.default_rng(6)
    samples = rng.normal(size=(40, 7)) @ rng.normal(size=(7, 7))
    samples[:, 2] = 4.0
    nodes, rows = public.draw_batches(samples, 5, rng)
    assert all(len(set(r)) == 40 for r in rows) and nodes.shape == (5, 5)
    for t, found in enumerate(public.batch_correlations(samples, nodes, rows)):
        with np.errstate(invalid="ignore"):
            expected = np.nan_to_num(np.corrcoef(samples[rows[t]][:, nodes[t]].T))
        np.fill_diagonal(expected, 1)
        assert np.abs(found - expected).max() < 1e-12


def test_every_edge_has_a_public_token():
    marks = torch.full((1, 2, 2), NONE, dtype=torch.int8)

    def token(at_first: int, at_second: int) -> int:
        both = marks.clone()
        both[0, 1, 0], both[0, 0, 1] = at_first, at_second
        return int(public.public_tokens(both)[0, 0, 1])

    assert int(public.public_tokens(marks)[0, 0, 1]) == 1
    assert token(TAIL, ARROW) == 2 and token(ARROW, TAIL) == 3 and token(ARROW, ARROW) == 4
    assert token(CIRCLE, CIRCLE) == token(TAIL, TAIL) == 7
    assert {token(ARROW, CIRCLE), token(CIRCLE, ARROW)} == {5, 6}
    assert token(TAIL, CIRCLE) == 2 and token(CIRCLE, TAIL) == 3
