"""The authors' checkpoints: names of tensors, files that are read without executing anything, and
the command that imports them."""

import json
import os
import pickle
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import typer

from cdnbench import cli
from cdnbench.commands.weights import weights_app
from cdnbench.errors import InvalidParameter
from cdnbench.methods.cdn.public.checkpoint import read_checkpoint
from cdnbench.methods.cdn.public.modules import PublicConfig, PublicNetwork
from cdnbench.methods.cdn.public.weights import (
    from_public,
    import_weights,
    load_network,
    public_names,
    to_public,
)

GOLDEN = Path(__file__).parent / "golden"
TARGET_NETWORKS = ["axial", "axial-statistics", "axial-difference", "mlp"]
EXACT = 1e-5


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
    assert (
        stacked["targets.layers.1.feed_forward.widen.bias"]
        == "axial_N_N_d2.layers.1.ffn.layer.fc1.bias"
    )


def test_missing_and_unexpected_names_are_told(states):
    state = dict(states["axial"])
    del state["linear_out.bias"]
    state["axial_N_N_d2.lora_A"] = torch.zeros(2)
    with pytest.raises(
        InvalidParameter,
        match=r"1 missing \(linear_out.bias\); 1 unexpected \(axial_N_N_d2.lora_A\)",
    ):
        from_public(state)
    with pytest.raises(InvalidParameter, match="encoder.embed_feats.weight has shape"):
        from_public(states["sea"] | {"encoder.embed_feats.weight": torch.zeros(8, 2)})
    with pytest.raises(InvalidParameter, match="3 attention heads do not divide 8"):
        from_public(states["sea"], n_heads=3)
    with pytest.raises(
        InvalidParameter,
        match="expected a checkpoint of the public SEA or CDN code, found conv.weight",
    ):
        from_public({"conv.weight": torch.zeros(2, 2)})


# -- files


@pytest.mark.parametrize("name", ["sea", *TARGET_NETWORKS])
def test_import_writes_weights_and_a_card(lightning, states, cases, tmp_path, name):
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


def test_the_card_says_which_statistic_the_network_was_trained_with(lightning, states, tmp_path):
    found = {
        n: import_weights(lightning(states[n], tmp_path / f"{n}.ckpt")).statistic
        for n in TARGET_NETWORKS
    }
    assert found == {
        "axial": "inverse-covariance",
        "mlp": "inverse-covariance",
        "axial-statistics": "correlation",
        "axial-difference": "correlation",
    }


def test_a_head_saved_without_its_encoder(lightning, states, tmp_path):
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
        assert found.state[name].dtype == tensor.dtype and torch.equal(found.state[name], tensor), (
            name
        )
    torch.save(torch.nn.Linear(2, 3).state_dict(), tmp_path / "module.pt")
    assert read_checkpoint(tmp_path / "module.pt").state["weight"].shape == (3, 2)


class Attack:
    """Unpickled by the standard library, this creates a file."""

    def __init__(self, call, *arguments):
        self.reduced = call, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("where", ["settings", "callbacks", "state"])
def test_nothing_in_a_file_is_executed(lightning, states, tmp_path, where):
    trap = tmp_path / "trap"
    attacks = [
        Attack(os.system, f"touch {trap}"),
        Attack(Path.touch, trap),
        Attack(eval, f"open({str(trap)!r}, 'w')"),
    ]
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
    with (
        zipfile.ZipFile(tmp_path / "whole.pt") as source,
        zipfile.ZipFile(tmp_path / "short.pt", "w") as target,
    ):
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, content[:8] if name.endswith("/data/0") else content)
    with pytest.raises(InvalidParameter, match="reaches beyond its storage"):
        read_checkpoint(tmp_path / "short.pt")


def test_damaged_and_foreign_files_are_refused(lightning, states, tmp_path):
    whole = lightning(states["sea"], tmp_path / "whole.ckpt").read_bytes()
    bad = {
        "cut.ckpt": whole[: len(whole) // 2],
        "text.ckpt": b"not a checkpoint",
        "empty.ckpt": b"",
    }
    bad["pickle.ckpt"] = pickle.dumps({"a": 1})
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(
            InvalidParameter, match=f"{name} cannot be read as a PyTorch checkpoint"
        ):
            import_weights(tmp_path / name)
    for name, content in {
        "list.ckpt": [torch.ones(2)],
        "numbers.ckpt": {"a": 1},
        "none.ckpt": {},
    }.items():
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


def test_command(lightning, bench, states, tmp_path, capsys):
    file = lightning(states["axial-statistics"], tmp_path / "cdn.ckpt")
    assert bench("weights", "import", file, "--out", tmp_path / "mine.safetensors") == 0
    assert "cdn-public:weights=" in capsys.readouterr().out
    assert (tmp_path / "mine.json").exists() and load_network(tmp_path / "mine.safetensors")[
        1
    ] == "correlation"

    (tmp_path / "bad.ckpt").write_bytes(b"bad")
    assert bench("weights", "import", tmp_path / "bad.ckpt") == 2
    assert "expected the zip file that torch.save or Lightning writes" in capsys.readouterr().err
    assert bench("weights", "import", file, "--out", tmp_path / "mine.txt") == 2
    assert bench("weights", "import", file, "--out", tmp_path / "absent" / "mine.safetensors") == 2
    assert bench("weights", "import", tmp_path / "absent.ckpt") == 2
