"""Weights come back as they were written, and whatever is wrong with them is said before a network
is built."""

import json
import os
from importlib import import_module

import pytest
import torch
from typer.testing import CliRunner

from cdnbench import cli
from cdnbench.errors import InvalidParameter
from cdnbench.methods.cdn import weights
from cdnbench.methods.cdn.weights import (
    FORMAT,
    MAKE,
    load_weights,
    path_of,
    read_card,
    save_weights,
    trained_on,
)

TENSORS = {
    "layer.weight": torch.arange(6.0).view(2, 3),
    "layer.bias": torch.tensor([1.5, -2], dtype=torch.float16),
    "steps": torch.tensor(7),
}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_weights(path, TENSORS, {"model": "cdn-axial", "config": {"width": 8}, "hours": 0.5})
    return path


def edit(path, **changes) -> None:
    """The card with entries replaced, or removed where the value is None."""
    card = json.loads(path.with_suffix(".json").read_text()) | changes
    path.with_suffix(".json").write_text(
        json.dumps({k: v for k, v in card.items() if v is not None})
    )


def test_round_trip(saved):
    card, tensors = load_weights(str(saved), "cdn-axial")
    assert set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype and torch.equal(tensors[name], tensor)
    assert card == read_card(str(saved), "cdn-axial")
    assert card["format"] == FORMAT and card["config"] == {"width": 8} and card["hours"] == 0.5


def test_weights_whose_writing_was_interrupted_are_as_they_were(saved, monkeypatch):
    before = saved.read_bytes(), saved.with_suffix(".json").read_bytes()

    def interrupted(descriptor):
        raise KeyboardInterrupt

    with monkeypatch.context() as system, pytest.raises(KeyboardInterrupt):
        system.setattr(os, "fsync", interrupted)
        save_weights(saved, {"a": torch.ones(1)}, {"model": "cdn-axial"})
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_weights(saved, {"a": torch.ones(1)}, {"model": "cdn-axial", "hours": object()})
    assert (saved.read_bytes(), saved.with_suffix(".json").read_bytes()) == before
    assert len(list(saved.parent.iterdir())) == 2


def test_the_card_is_written_last(tmp_path, monkeypatch):
    replaced = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (replaced.append(new), replace(old, new)))
    path = tmp_path / "mine.safetensors"
    save_weights(path, TENSORS, {"model": "cdn-axial"})
    assert replaced == [path, path.with_suffix(".json")]


def test_the_digest_is_that_of_the_tensors(saved, tmp_path):
    digest = read_card(str(saved), "cdn-axial")["digest"]
    again = tmp_path / "deep" / "down" / "again.safetensors"
    save_weights(again, TENSORS, {"model": "cdn-axial", "hours": 9})
    assert read_card(str(again), "cdn-axial")["digest"] == digest
    save_weights(again, TENSORS | {"steps": torch.tensor(8)}, {"model": "cdn-axial"})
    assert read_card(str(again), "cdn-axial")["digest"] != digest


def test_what_training_holds_can_be_written(tmp_path):
    """Parameters with gradients, and views that are not contiguous."""
    path = tmp_path / "views.safetensors"
    parameter = torch.nn.Parameter(torch.arange(6.0).view(2, 3))
    save_weights(
        path, {"a": parameter, "b": parameter.T, "c": torch.ones(1).expand(4)}, {"model": "sea"}
    )
    tensors = load_weights(str(path), "sea").tensors
    assert torch.equal(tensors["b"], parameter.detach().T) and torch.equal(
        tensors["c"], torch.ones(4)
    )
    assert not any(tensor.requires_grad for tensor in tensors.values())


def test_weights_made_anew_replace_those_already_read(saved):
    """Training writes over a file that the same process may have read."""
    assert load_weights(str(saved), "cdn-axial").tensors["steps"] == 7
    save_weights(saved, TENSORS | {"steps": torch.tensor(8)}, {"model": "cdn-axial", "hours": 2})
    card, tensors = load_weights(str(saved), "cdn-axial")
    assert tensors["steps"] == 8 and card["hours"] == 2


def test_names_are_shipped_files_and_paths_are_paths(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    assert path_of("cdn-axial") == tmp_path / "cdn-axial.safetensors"
    assert str(path_of("some/where.safetensors")) == "some/where.safetensors"
    save_weights(tmp_path / "cdn-axial.safetensors", TENSORS, {"model": "cdn-axial"})
    assert load_weights("cdn-axial", "cdn-axial").tensors["steps"] == 7


# What can be wrong with them


def message(name: str, model: str = "cdn-axial", read=load_weights) -> str:
    with pytest.raises(InvalidParameter) as error:
        read(name, model)
    return str(error.value)


@pytest.mark.parametrize("read", [read_card, load_weights])
@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_missing_file_or_card_is_named_with_the_command_that_makes_it(saved, suffix, read):
    missing = saved.with_suffix(suffix)
    missing.unlink()
    text = message(str(saved), read=read)
    assert f"{missing}, which does not exist" in text
    assert f"Make it with: bench train cdn-axial --out {saved}" in text


def test_missing_shipped_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "SHIPPED", tmp_path)
    for model, command in MAKE.items():
        text = message(model, model)
        assert f"The weights of {model} need {tmp_path / model}.safetensors" in text
        assert f"Make it with: {command} --out {tmp_path / model}.safetensors" in text


def test_another_format(saved):
    edit(saved, format=FORMAT + 1)
    text = message(str(saved))
    assert (
        f"holds cdn-axial in format {FORMAT + 1}; this version needs cdn-axial in format {FORMAT}"
        in text
    )
    assert "bench train cdn-axial" in text


def test_another_model(saved):
    text = message(str(saved), "cdn-mlp")
    assert "holds cdn-axial in format 1; this version needs cdn-mlp in format 1" in text
    assert "bench train cdn-mlp" in text


@pytest.mark.parametrize("content", ["", "{", "[]", "7", "{}", '{"format": 1}'])
def test_not_a_card(saved, content):
    saved.with_suffix(".json").write_text(content)
    text = message(str(saved))
    assert (
        f"{saved.with_suffix('.json')} is not a card of weights" in text
        and "bench train cdn-axial" in text
    )


@pytest.mark.parametrize("read", [read_card, load_weights])
def test_a_card_without_digest_is_none(saved, read):
    """Methods key their results by it."""
    edit(saved, digest=None)
    text = message(str(saved), read=read)
    assert f"{saved.with_suffix('.json')} is not a card of weights" in text and "digest" in text


@pytest.mark.parametrize("where", [0, -1])
def test_tensors_that_were_tampered_with(saved, where):
    content = bytearray(saved.read_bytes())
    content[where] ^= 1
    saved.write_bytes(bytes(content))
    text = message(str(saved))
    assert (
        f"{saved} is not the file that its card describes" in text
        and "bench train cdn-axial" in text
    )


def test_a_card_of_other_tensors(saved, tmp_path):
    other = tmp_path / "other.safetensors"
    save_weights(other, {"a": torch.ones(1)}, {"model": "cdn-axial"})
    saved.with_suffix(".json").write_bytes(other.with_suffix(".json").read_bytes())
    assert "their digests differ" in message(str(saved))


def test_not_safetensors(saved):
    saved.write_bytes(b"these are no tensors")
    edit(saved, digest=weights.file_digest(b"these are no tensors"))
    assert f"{saved} is not a safetensors file" in message(str(saved))


@pytest.mark.parametrize("command", sorted(set(MAKE.values())))
def test_the_commands_that_messages_name_exist(command):
    arguments = command.split()[1:]
    result = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(
        cli.app, [*arguments, "--help"]
    )
    assert result.exit_code == 0
    assert "--out" in result.output
    assert all(option in result.output for option in arguments if option.startswith("--"))


def test_what_a_mixture_covers():
    """Families of worlds under the suites' names; screens, which never reach the grid, do not
    count for its sizes."""
    from cdnbench.training import mixtures

    def laws(mixture):
        return trained_on({"laws": [part.plain() for part in mixture]})

    both = laws(mixtures.wide(100))
    assert {"laplace", "heteroscedastic", "gaussian"} <= set(both["noise"])
    assert {"variance", "reweight", "hard-uniform", "soft-scale"} <= set(both["intervention"])
    assert not {"polynomial", "sigmoid", "fourier", "sigmix"} & set(both["mechanism"])
    assert both["n_nodes"] == {"from": 5, "to": 100} and both["rows"]["from"] == 3
    assert "gap" not in both["marginal"] and "count" in both["marginal"]
    worlds = laws(mixtures.worlds(100))
    assert "nn" not in worlds["mechanism"] and "hard-uniform" not in worlds["intervention"]
    assert laws(mixtures.encodable(100))["rows"]["from"] == mixtures.FEWEST_ROWS
    paper = laws(mixtures.paper(100))
    assert paper["noise"] == ["gaussian"] and paper["marginal"] == ["plain"]
    assert paper == trained_on({"laws": mixtures.HARD.plain()})


@pytest.mark.parametrize(
    ("where", "name", "make"),
    [
        ("cdn.cdn", "CDNHard", "bench train cdn --laws paper"),
        ("cdn.paper.methods", "CDNAxialWide", "bench train cdn-axial --laws cdn"),
    ],
)
def test_weights_that_do_not_ship_are_told_with_the_command_that_makes_them(where, name, make):
    method = getattr(import_module(f"cdnbench.methods.{where}"), name)()
    if path_of(method.weights).exists():
        pytest.skip(f"the weights of {method.info.name} ship")
    with pytest.raises(InvalidParameter, match=make):
        method.weights_digest()


def test_the_same_network_under_another_name_runs_weights_of_its_model():
    from cdnbench.methods.cdn.cdn import CDN, CDNHard

    assert CDNHard(weights="cdn").weights_digest() == CDN().weights_digest()
    assert CDNHard.info.design == CDN.info.design == "this package"
