"""`bench train` as a user types it, in this process."""

import sys

import pytest

from cdnbench import cli


def train(*arguments) -> None:
    """`bench train ...`; raises SystemExit with the exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["bench", "train", *map(str, arguments)])
        cli.main()


def succeeds(*arguments) -> None:
    with pytest.raises(SystemExit) as end:
        train(*arguments)
    assert end.value.code in (0, None)


def refused(words: str, capsys, *arguments) -> None:
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        train(*arguments)
    error = capsys.readouterr().err
    assert end.value.code == 2 and words in error, error
    assert error.startswith("bench: ") and error.count("\n") == 1
