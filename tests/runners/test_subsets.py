"""A subset is a filter: runs of several subsets share one store, and every report is whole."""

import subprocess
import sys

from cdnbench import report, run


def tasks_of(made, label) -> set[str]:
    frame = made.frame
    return set(frame[frame["label"] == label]["task"])


def test_runs_of_all_and_of_subsets_share_a_store(faulty, tmp_path):
    out = tmp_path / "out"
    every = {f"tiny/{i}" for i in range(6)}
    run("tiny", "good", out=out, jobs=2, n=6)
    for subset in ("noneven", "even"):
        done = []
        run("tiny", "good", out=out, jobs=2, n=6, subset=subset, on_record=done.append)
        assert done == []
    run("tiny", "narrow,raises", out=out, jobs=2, n=6, subset="even")
    made = report(out)
    assert tasks_of(made, "good") == every and set(made.frame["subset"]) == {""}
    assert len(made.table("leaderboard").blocks) == 1
    even = report(out, subset="even")
    assert tasks_of(even, "good") == tasks_of(even, "raises") == {"tiny/0", "tiny/2", "tiny/4"}
    assert set(even.frame["subset"]) == {"even"}
    odd = report(out, subset="noneven")
    assert tasks_of(odd, "good") == every - tasks_of(even, "good")
    assert not tasks_of(odd, "raises")


def test_the_run_of_a_subset_ends_with_its_leaderboard(faulty, tmp_path):
    command = [sys.executable, "-m", "cdnbench.cli", "run", "--suite", "tiny", "--methods", "good"]
    for more in ([], ["--subset", "even"]):
        shown = subprocess.run(
            [*command, "--n", "6", "--out", "out", *more],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    assert "tiny, subset even" in shown and "3/3" in shown and "3 of them done" in shown
