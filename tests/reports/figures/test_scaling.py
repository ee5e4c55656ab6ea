"""The figure `scaling` from a table of measurements."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from cdnbench.errors import BenchError
from cdnbench.reports.drawing.cast import plain_actor
from cdnbench.reports.drawing.look import Look
from cdnbench.reports.figures import scaling

TABLE = pd.DataFrame(
    {
        "method": ["quick"] * 3 + ["slow"] * 3 + ["small"] * 3,
        "version": [2] * 9,
        "n_variables": [10, 100, 1000] * 3,
        "status": ["ok", "ok", "ok"]
        + ["ok", "did not finish", "not tried: did not finish at fewer"]
        + ["ok", "skipped: 100 variables; small takes at most 50", "not tried: skipped at fewer"],
        "cpu_s": [0.001, 0.01, 0.1, 2.0, None, None, 0.01, None, None],
        "wall_s": [9.0] * 9,
        "memory_mb": [0.0, 0.0, 300.0, 20.0, None, None, 0.0, None, None],
        "limit_s": [30] * 9,
    }
)


def drawn():
    rows = scaling.measured(TABLE, "here")
    return rows, scaling._figure(rows, "title", scaling._note_of(TABLE), "CPU time", Look())


def test_cpu_time_goes_before_wall_time():
    rows, _ = drawn()
    assert rows["seconds"].max() == 2.0


def test_a_method_that_takes_no_more_variables_did_not_give_up():
    rows, _ = drawn()
    gave_up = rows.loc[rows["gave_up"] > 0, ["method", "n"]]
    assert gave_up.to_numpy().tolist() == [["slow", 100], ["slow", 1000]]


def test_one_cross_where_a_method_first_gave_up():
    _, figure = drawn()
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert [list(line.get_xdata()) for line in crosses] == [[100]]
    assert crosses[0].get_color() == plain_actor("slow", Look()).mark.colour


def test_crosses_stand_at_the_limit_side_by_side():
    other = TABLE[TABLE["method"] == "slow"].assign(method="slow too")
    rows = scaling.measured(pd.concat([TABLE, other]), "here")
    axes = scaling._figure(rows, "title", "", "CPU time", Look()).axes[0]
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert [list(line.get_ydata()) for line in crosses] == [[30], [30]]
    left, right = sorted(line.get_xdata()[0] for line in crosses)
    assert 90 < left < 100 < right < 110
    assert any(list(line.get_ydata()) == [30, 30] for line in axes.lines)


def test_memory_says_how_it_was_measured():
    assert "what imports had used and given back hides" in scaling._note_of(TABLE)
    new = TABLE.rename(columns={"memory_mb": "added_mb"})
    assert "peak during the call over what the process held before" in scaling._note_of(new)
    assert scaling.measured(new, "here")["megabytes"].max() == 300


def test_of_several_versions_the_newest_counts():
    old = TABLE.assign(version=1, status="did not finish")
    rows = scaling.measured(pd.concat([old, TABLE]), "here")
    pd.testing.assert_frame_equal(rows, scaling.measured(TABLE, "here"))


def test_a_method_that_never_finished_has_a_cross_at_the_smallest_size():
    never = TABLE.assign(method="never", status="did not finish")
    rows = scaling.measured(pd.concat([TABLE, never.iloc[:3]]), "here")
    axes = scaling._figure(rows, "title", "", "CPU time", Look()).axes[0]
    crosses = {line.get_xdata()[0] for line in axes.lines if line.get_marker() == "x"}
    assert crosses == {10, 100}


def test_a_table_in_which_nothing_finished_is_refused():
    with pytest.raises(BenchError, match="no measurement that finished"):
        scaling.measured(TABLE.assign(status="did not finish"), "here")


def test_memory_that_did_not_grow_keeps_the_axis_readable():
    _, figure = drawn()
    low, high = figure.axes[1].get_ylim()
    assert 0.5 < low < 1
    assert 300 < high < 3000


def test_the_note_says_what_was_measured():
    _, figure = drawn()
    note = " ".join(" ".join(text.get_text() for text in figure.texts).split())
    assert "CPU time of one call on one core." in note
    assert "The limit was 30 s." in note
    assert "larger data are beyond the method's limits" in note
    assert "Less than 1 MB is drawn as 1 MB." in note


_MEASURED = """
import sys
from types import SimpleNamespace

import numpy as np

sys.path.insert(0, sys.argv[1])
import scaling

sizes = iter([300, 100])


class Method:
    info = SimpleNamespace(why_skip=lambda task: "")

    def predict(self, task, seed):
        np.ones(next(sizes) * 2**17)


scaling.load_method = lambda name: Method()
print(scaling.measure("mine", 10, 30)["added_mb"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is reset on Linux alone")
def test_memory_that_was_used_before_the_call_hides_none_of_it():
    """A first call takes 300 MB and gives them back; the measured one takes 100 MB."""
    folder = Path(__file__).parents[3] / "benchmarks"
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, folder], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == pytest.approx(100, abs=10)
