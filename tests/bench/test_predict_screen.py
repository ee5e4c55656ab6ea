"""`bench predict` on one file, and `cdnbench.predict`: from the file to the written rankings."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import cdnbench
from cdnbench.cli import app
from cdnbench.commands import screen as command
from cdnbench.errors import BenchError, CannotRun, InvalidParameter
from cdnbench.prediction.options import Reading

ASKED = ("--perturbation", "what", "--control", "mock")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """`screen.csv`: two lines, four perturbations that each move a variable of their name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CDNBENCH_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    names = ["TP53", "b", "c", "d", "e"]
    parts = []
    for line in ("one", "two"):
        for what in ["mock", *names[:4]]:
            values = rng.normal(size=(30, 5))
            values[:, :4] += 4 * (np.array(names[:4]) == what)
            parts.append(pd.DataFrame(values, columns=names).assign(what=what, line=line))
    pd.concat(parts).to_csv("screen.csv", index=False)
    return tmp_path


def predict(*arguments, code=0):
    result = CliRunner().invoke(app, ["predict", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def test_one_file_in_one_row_per_perturbation_out(folder):
    result = predict(
        *("screen.csv", *ASKED, "--group", "line", "--method", "target-shift,effect-size"),
        *("--csv", "out.csv", "--parquet", "out.parquet", "--candidates", "3", "--top", "2"),
    )
    lines = result.stdout.splitlines()
    assert sum(line.split()[0] in ("TP53", "b", "c", "d") for line in lines) == 16
    assert "target-shift gets 3 of 5 variables per perturbation" in result.stdout
    assert "16/16 jobs (16 ok)" in result.stderr and "s left" in result.stderr
    frame = pd.read_csv("out.csv")
    assert len(frame) == 16 * 5 and len(pd.read_parquet("out.parquet")) == len(frame)
    best = frame[frame["rank"] == 1]
    assert (best["variable"] == best["perturbation"]).all() and len(best) == 16
    assert set(frame.loc[frame["rank"] > 3, "score"].isna()) == {True}
    assert set(frame["n_control"]) == {30} and set(frame["group"]) == {"one", "two"}


def test_an_interrupted_prediction_goes_on(folder):
    reading = Reading(perturbation="what", control="mock", group="line")
    shown = []

    def show(stop_after):
        import contextlib

        @contextlib.contextmanager
        def context(total, folder):
            shown.append(total)
            seen = []

            def on_record(record):
                seen.append(record)
                if len(seen) == stop_after:
                    raise KeyboardInterrupt

            yield on_record

        return context

    def run(stop_after=None, file="screen.csv", **more):
        return command.predict_screen(file, reading, "random", show=show(stop_after), **more)

    with pytest.raises(KeyboardInterrupt):
        run(stop_after=3, jobs=1)
    whole = run()
    assert shown[0] == 8 and shown[1] <= 5
    again = run()
    assert shown[2] == 0
    pd.testing.assert_frame_equal(again.to_frame(), whole.to_frame())
    pd.read_csv("screen.csv").assign(e=0.5).to_csv("other.csv", index=False)
    run(file="other.csv")
    assert shown[3] == 8  # the content is another


def test_a_prediction_is_made_again_where_the_code_of_its_method_changed(folder, monkeypatch):
    said = [predict("screen.csv", *ASKED, "--method", "target-shift").stderr for _ in range(2)]
    assert "4/4 jobs" in said[0] and "4/4 jobs" not in said[1]
    monkeypatch.setattr("cdnbench.loaded.LoadedMethod.code", lambda method: "another")
    assert "4/4 jobs" in predict("screen.csv", *ASKED, "--method", "target-shift").stderr


def test_from_python(folder):
    frame = pd.read_csv("screen.csv")
    result = cdnbench.predict(
        frame, perturbation="what", control="mock", method=["target-shift"], work="kept"
    )
    assert result.table["best"].tolist() == result.table["perturbation"].tolist()
    assert result.ranking("TP53")["variable"].iloc[0] == "TP53"
    assert result.settings["methods"] == ["target-shift"] and (folder / "kept/records").is_dir()
    assert result.findings[0].q < 1e-3 and result.findings[0].probability is None
    assert result.findings[0].verdict == "moved" and "TP53" in result.finding("TP53").named


@pytest.mark.parametrize(
    "labels, control",
    [
        (["mock", "drug"], ["mock"]),
        (["mock", "drug"], ("mock", "moc?")),
        ([0, 1], 0),
        ([0, 1], np.int64(0)),
        ([False, True], False),
        ([0.0, 1.0], 0.0),
    ],
)
def test_controls_as_python_has_them(labels, control):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(40, 4)), columns=list("abcd")).assign(what=labels * 20)
    numbers = {"candidates": np.int64(3), "fdr": np.float64(0.2), "jobs": np.int32(1)}
    screen = cdnbench.predict(frame, "what", control, method="random", **numbers)
    assert [finding.n_control for finding in screen.findings] == [20]
    assert np.isfinite(screen.findings[0].scores).sum() == 3 == screen.settings["candidates"]


@pytest.mark.parametrize(
    "given, words",
    [
        ({"control": None}, "control is the label of the controls, or a list of labels; got None"),
        ({"control": ["a,b", "c"]}, "'a,b' holds a comma.*Write a \\?"),
        ({"method": cdnbench.load_method("target-shift")}, "a loaded method. Write 'target-shift'"),
        ({"method": [3]}, "method is a name, or a list of names; got 3"),
        ({"method": 3}, "method is a name, or a list of names; got 3"),
        ({"fdr": "0.1"}, "--fdr is a number between 0 and 1; got '0.1'"),
        ({"timeout": "5"}, "--timeout is a number above 0; got '5'"),
        ({"candidates": 2.5}, "--candidates is a whole number of 2 or more; got 2.5"),
        ({"perturbation": None}, "--perturbation is a text; got None"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(given, words):
    frame = pd.DataFrame({"a": [1.5, 2.5], "what": ["mock", "drug"]})
    with pytest.raises(InvalidParameter, match=words):
        cdnbench.predict(frame, **{"perturbation": "what", "control": "mock"} | given)


def test_no_method_leaves_the_choice_to_the_data(folder):
    chosen = cdnbench.predict("screen.csv", "what", "mock", method=None, where="line == 'one'")
    assert len(chosen.settings["methods"]) == 2


def test_the_same_rows_have_the_same_p_whatever_their_name():
    rng = np.random.default_rng(0)
    controls, rows = rng.normal(size=(50, 6)), rng.normal(size=(40, 6))
    rows[:, 1] -= 1
    frame = pd.DataFrame(np.vstack([controls, *[rows] * 5]), columns=list("abcdef"))
    frame["what"] = ["mock"] * 50 + [f"drug {i}" for i in range(5) for _ in range(40)]
    result = cdnbench.predict(frame, "what", "mock", method="target-shift")
    assert len({finding.p for finding in result.findings}) == 1
    assert 0 < result.findings[0].p < 0.01


def test_a_method_that_cannot_run_says_why(folder):
    with pytest.raises(CannotRun, match="lfc-rank needs genes.*--method target-shift"):
        predict("screen.csv", *ASKED, "--method", "lfc-rank")
    with pytest.raises(CannotRun, match="linear has to be trained .* a file of your own"):
        predict("screen.csv", *ASKED, "--method", "linear")
    with pytest.raises(BenchError, match="Did you mean target-shift"):
        predict("screen.csv", *ASKED, "--method", "target-shft")


def test_a_perturbation_with_too_few_rows_for_a_method_is_shown(folder):
    frame = pd.read_csv("screen.csv")
    few = frame[frame["what"] == "b"].iloc[:3].assign(what="few")
    pd.concat([frame[frame["what"].isin(["mock", "c"])], few]).to_csv("few.csv", index=False)
    out = predict("few.csv", *ASKED, "--method", "prediter", "--csv", "out.csv").stdout
    assert "(skipped: 3 samples in the smallest data set" in out
    written = pd.read_csv("out.csv").set_index("perturbation")
    assert written.loc["few", "note"].startswith("skipped: 3 samples")
    assert written.loc["c", "note"].isna().all() and written.loc["c", "score"].notna().all()


def test_a_method_gets_no_more_variables_than_it_takes(folder, monkeypatch):
    """cd-nod takes 50 of 60 variables."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 60))
    values[30:, 7] += 5
    frame = pd.DataFrame(values, columns=[f"v{i}" for i in range(60)])
    frame["what"] = ["mock"] * 30 + ["hit"] * 30
    reading = Reading(perturbation="what", control="mock")
    from cdnbench.datasets.cells.screens.own_screen import OwnScreen
    from cdnbench.prediction.methods import chosen_methods
    from cdnbench.prediction.suite import ScreenSuite

    screen = OwnScreen(frame, reading)
    (block,) = screen.blocks()
    (method,) = chosen_methods("cd-nod")
    suite = ScreenSuite(screen, block, reading.candidates)
    (spec,) = suite.specs_for(method)
    block.gather([0])
    task = suite.load(spec).task
    assert spec.n_variables == task.n_variables == 50 and "v7" in task.variables
    assert method.info.why_skip(spec) is None


@pytest.mark.parametrize("target", ["screen.csv", "./screen.csv", "link.csv"])
def test_an_output_that_is_the_input_is_refused(target, folder):
    (folder / "link.csv").symlink_to("screen.csv")
    before = (folder / "screen.csv").read_bytes()
    for option in ("--csv", "--parquet"):
        with pytest.raises(BenchError, match=f"{option} names the input"):
            predict("screen.csv", *ASKED, option, target)
    assert (folder / "screen.csv").read_bytes() == before


def test_the_two_forms_are_told_apart(folder):
    with pytest.raises(BenchError, match="One file needs the column"):
        predict("screen.csv")
    with pytest.raises(BenchError, match="--intersect only applies to two files"):
        predict("screen.csv", *ASKED, "--intersect")
    with pytest.raises(BenchError, match="--group only applies to one file"):
        predict("screen.csv", "screen.csv", "--group", "line")
    with pytest.raises(BenchError, match="--csv and --parquet name the same file"):
        predict("screen.csv", *ASKED, "--csv", "a", "--parquet", "a")


@pytest.mark.parametrize(
    "options, message",
    [
        (("--timeout", "nan"), "--timeout is a number above 0"),
        (("--memory-gb", "0"), "--memory-gb is a number above 0"),
        (("--candidates", "1"), "--candidates is a whole number of 2 or more"),
        (("--group", "what"), "--group and --perturbation name the same column"),
    ],
)
def test_options_out_of_range(options, message, folder):
    with pytest.raises(BenchError, match=message):
        predict("screen.csv", *ASKED, *options)


def test_two_files_write_the_same_columns(folder):
    frame = pd.read_csv("screen.csv")
    for name in ("mock", "TP53"):
        frame[frame["what"] == name].drop(columns=["what", "line"]).to_csv(
            f"{name}.csv", index=False
        )
    out = predict("mock.csv", "TP53.csv", "--method", "target-shift", "--csv", "pair.csv").stdout
    assert "target-shift: 5 variables, 60 control and 60 perturbed samples" in out.splitlines()
    predict("screen.csv", *ASKED, "--method", "target-shift", "--csv", "screened.csv")
    pair, screened = pd.read_csv("pair.csv"), pd.read_csv("screened.csv")
    assert list(pair) == list(screened)
    own = screened[screened["perturbation"] == "TP53"].reset_index(drop=True)
    columns = ["rank", "variable", "n_control", "n_perturbed"]
    pd.testing.assert_frame_equal(pair[columns], own[columns])
    np.testing.assert_allclose(pair["score"], own["score"], rtol=1e-5)
