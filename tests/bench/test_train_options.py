"""Options of `bench train` that are refused before any work, and its help."""

import pytest
import torch
from train_commands import refused, succeeds


@pytest.mark.parametrize(
    "arguments, words",
    [
        (
            ["cdn-mlp", "--combination", "sum"],
            "--combination takes concat or difference",
        ),
        (["cdn", "--device", "tpu"], "--device takes auto, cpu or cuda; got 'tpu'"),
        (["sea", "--statistic", "mean"], "--statistic takes precision, corr, corr+cov; got 'mean'"),
        (["sea", "--no-marginals", "--no-global"], "leave the encoder nothing to read"),
        (
            ["cdn-axial", "--statistic", "mean"],
            "--statistic takes precision, corr, corr+cov",
        ),
        (
            ["cdn-axial", "--encoder", "no.safetensors"],
            "no.safetensors, which does not exist",
        ),
        (
            ["sea", "--out", "weights.pt"],
            "--out takes a file that ends in .safetensors; got weights.pt",
        ),
        (["cdn", "--out", "weights.bin"], "--out takes a file that ends in .safetensors"),
        (
            ["cdn-mlp", "--out", "weights"],
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


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["cdn", "--minuets", "3"], "option of `bench train cdn` named '--minuets'. Did you mean"),
        (["cdn", "--minuets=3"], "Did you mean --minutes"),
        (
            ["cdn", "--joint"],
            "`bench train cdn` has no option --joint; it belongs to `bench train cdn-axial` and "
            "`bench train cdn-mlp`.",
        ),
        (["cdn", "--epochs", "3"], "it belongs to `bench train fine-tune`"),
        (["cdn-mlp", "--cells", "500"], "`bench train cdn-mlp` has no option --cells"),
        (["sea", "--no-pretrained"], "`bench train sea` has no option --no-pretrained"),
        (["sea", "stray"], "`bench train sea` does not take 'stray'"),
        (["ablations", "table9"], "table takes table7, table8 or cdn; got 'table9'"),
        (["ablations", "table7", "--protocol", "x"], "--protocol takes clean, dcdi or both"),
        (
            ["ablations", "table7", "--variants", "full", "--minutes", "3"],
            "`bench train ablations table7` does not take --minutes, --variants",
        ),
        (
            ["ablations", "table7", "--encoder", "sea"],
            "`bench train ablations table7` does not take --encoder",
        ),
        (
            ["ablations", "table8", "--cells-epochs", "3"],
            "`bench train ablations table8` does not take --cells-epochs",
        ),
        (
            ["ablations", "cdn", "--head-minutes", "3"],
            "`bench train ablations cdn` does not take --head-minutes",
        ),
        (["ablations", "cdn", "--variants", "ful"], "Did you mean full"),
        (["cdn", "--laws", "x"], "--laws takes cdn, worlds, suites or paper"),
        (["cdn", "--without", "silences"], "Did you mean silence"),
        (["cdn", "--no-evidence"], "leave them out"),
        (["cdn-axial", "--laws", "worlds"], "--laws takes paper or cdn; got 'worlds'"),
    ],
)
def test_an_option_of_another_command_is_told_with_its_place(
    tmp_path, monkeypatch, capsys, arguments, words
):
    monkeypatch.chdir(tmp_path)
    refused(words, capsys, *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command", ["cdn", "cdn-suites", "cdn-axial", "cdn-mlp", "sea", "fine-tune", "ablations"]
)
def test_every_command_has_help_with_examples(command, capsys):
    succeeds(command, "--help")
    shown = capsys.readouterr().out
    assert "Examples:" in shown and f"bench train {command} " in shown
    assert "--model" not in shown
