"""Commands of `bench train` in the spelling that came before one command per network."""

import pytest

from cdnbench.commands.old_spellings import modern
from cdnbench.errors import InvalidParameter


@pytest.mark.parametrize(
    "old, new",
    [
        ("cdn --model axial --minutes 15", "cdn-axial --minutes 15"),
        ("cdn --minutes 8 --model mlp --seed 1", "cdn-mlp --minutes 8 --seed 1"),
        ("cdn --model=mlp --joint", "cdn-mlp --joint"),
        ("cdn --steps 3 --model mechanism", "cdn-suites --steps 3"),
        ("cdn --model axial --model mlp", "cdn-mlp"),
        (
            "cdn --from cdn --suite perturbseq --split unseen-cl --epochs 1",
            "fine-tune --from cdn --suite perturbseq --split unseen-cl --epochs 1",
        ),
        (
            "cdn --model mechanism --suite=perturbseq --from=w.safetensors",
            "fine-tune --suite=perturbseq --from=w.safetensors",
        ),
        ("cdn --model axial --help", "cdn-axial --help"),
    ],
)
def test_old_commands_become_new_ones(old, new):
    assert modern(old.split()) == new.split()


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "--help",
        "cdn",
        "cdn --minutes 80 --threads 1",
        "cdn --from cdn-suites --minutes 80",
        "cdn-axial --minutes 15",
        "sea --model mlp",
        "fine-tune --suite perturbseq --from cdn",
        "ablations table8",
    ],
)
def test_everything_else_stays_as_it_is(arguments):
    assert modern(arguments.split()) == arguments.split()


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("cdn --model transformer", "--model takes mechanism, axial or mlp; got 'transformer'"),
        ("cdn --model", "--model takes mechanism, axial or mlp; got ''"),
        ("cdn --suite perturbseq", "asks for weights to fine-tune: --from WEIGHTS is missing"),
        ("cdn --from cdn --suite perturbseq --model mlp", "excludes --model mlp"),
    ],
)
def test_what_no_command_can_do(arguments, words):
    with pytest.raises(InvalidParameter, match=words):
        modern(arguments.split())
