"""`bench predict` from the command line: what it refuses, and what it says before the ranking."""

import os

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cdnbench.cli import app
from cdnbench.errors import BenchError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, rows, shift in [("control", 60, 0), ("treated", 4, 6), ("other", 60, 6)]:
        values = rng.normal(size=(rows, 4)) + shift * np.eye(4)[1]
        pd.DataFrame(values, columns=["a", "TP53", "c", "d"]).to_csv(f"{name}.csv", index=False)
    return tmp_path


def predict(*arguments):
    result = CliRunner().invoke(app, ["predict", "--method", "target-shift", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def test_notes_stand_before_the_ranking(folder):
    lines = predict("control.csv", "treated.csv").splitlines()
    assert lines[0].startswith("Note: Few rows: treated.csv has 4")
    assert lines[1].startswith("Note: Log fold changes are differences of the means")
    assert lines[2].startswith("Note: Whether anything moved: 999 permutations of 60 control and 4")
    assert lines[3].startswith("target-shift: 4 variables")
    assert lines[4].startswith("TP53 moved") and "TP53" in lines[6]
    assert "Few rows" not in predict("control.csv", "other.csv")


def test_an_output_that_is_an_input_is_refused_and_nothing_is_written(folder):
    before = (folder / "control.csv").read_bytes()
    os.link(folder / "control.csv", folder / "hard.csv")
    (folder / "soft.csv").symlink_to("control.csv")
    for name in (
        "control.csv",
        "./control.csv",
        str(folder / "control.csv"),
        "hard.csv",
        "soft.csv",
    ):
        with pytest.raises(BenchError, match="--csv names the input control.csv"):
            predict("control.csv", "other.csv", "--csv", name)
    with pytest.raises(BenchError, match="--csv names the input other.csv"):
        predict("control.csv", "other.csv", "--csv", "other.csv")
    assert (folder / "control.csv").read_bytes() == before


def test_transpose_and_intersect(folder):
    for name in ("control", "other"):
        frame = pd.read_csv(f"{name}.csv").rename(columns={"d": name})
        frame.T.to_csv(f"{name}_rows.csv")
    out = predict("control_rows.csv", "other_rows.csv", "--transpose", "--intersect")
    assert "3 variables are in both files" in out and "   1  TP53" in out
    with pytest.raises(BenchError, match="--intersect compares the 3 that both files have"):
        predict("control_rows.csv", "other_rows.csv", "--transpose")


def test_as_is_compares_what_would_be_refused(folder):
    pd.read_csv("control.csv").to_csv("copy.csv", index=False)
    with pytest.raises(BenchError, match="same samples"):
        predict("control.csv", "copy.csv")
    assert "target-shift: 4 variables" in predict("control.csv", "copy.csv", "--as-is")


def test_a_method_that_fails_is_said_at_the_end_and_the_others_are_written(folder, monkeypatch):
    def failing(self, task, *, seed=0):
        raise SystemExit(0)

    monkeypatch.setattr("cdnbench.methods.effect_size.EffectSize.predict_targets", failing)
    arguments = ["predict", "control.csv", "other.csv", "--method", "target-shift,effect-size"]
    result = CliRunner().invoke(app, [*arguments, "--csv", "q.csv"])
    assert result.exit_code == 1 and "1 of 2 failed; see above." in result.stderr
    assert "effect-size gave no ranking (error: SystemExit: " in result.stdout
    frame = pd.read_csv("q.csv")
    assert frame["variable"].notna().sum() == 4 and "exit code 0" in frame["note"].iloc[-1]
