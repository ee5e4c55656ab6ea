"""Findings: ranks, tables, and the files they are written to."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cdnbench.errors import BenchError, UnknownName
from cdnbench.prediction import Finding, Result
from cdnbench.prediction.result import COLUMNS
from cdnbench.prediction.screening import Effects, Moments, log_fold_change

SIDES = {"n_control": 30, "n_perturbed": 12}


def finding(name="KO", method="m", group="", scores=(1.0, 3.0, np.nan, 1.0), **more):
    candidates = np.array(["d", "b", "c", "a"], dtype=object)
    outside = np.array(["y", "x"], dtype=object)
    changes = {"candidates": np.array([0.1, -2.0, 0.3, 0.4]), "outside": np.array([0.05, 0.0])}
    about = {"perturbation": name, "method": method, "group": group, **SIDES, **more}
    return Finding.ranked(candidates, np.array(scores), outside, changes, **about)


def test_candidates_stand_before_the_others():
    found = finding()
    assert found.variables.tolist() == ["b", "a", "d", "c", "y", "x"]
    assert found.rank.tolist() == [1, 2.5, 2.5, 4, 5, 6]
    np.testing.assert_array_equal(found.scores, [3, 1, 1, np.nan, np.nan, np.nan])
    assert found.log_fold_change.tolist() == [-2, 0.4, 0.1, 0.3, 0.05, 0]


def test_the_table_has_a_row_for_each_finding():
    failed = Finding.without_scores("timeout: no result", perturbation="X", method="m", **SIDES)
    result = Result((finding(), failed))
    first, second = result.table.to_dict("records")
    assert (first["best"], first["direction"], first["next"]) == ("b", "down", "a, d, c, y")
    assert (first["score"], first["log_fold_change"], first["n_perturbed"]) == (3, -2, 12)
    assert second["best"] is None and second["note"] == "timeout: no result"
    assert np.isnan(first["probability"]) and first["p"] is None and first["verdict"] is None


def test_rankings_are_found_by_name():
    result = Result((finding(), finding("KO", "n"), finding("other")))
    assert result.ranking("other")["variable"].iloc[0] == "b"
    assert result.ranking("KO", method="n")["rank"].tolist() == [1, 2.5, 2.5, 4, 5, 6]
    with pytest.raises(UnknownName, match="'othr'. Did you mean other"):
        result.ranking("othr")
    with pytest.raises(BenchError, match="several findings for 'KO'.*method='n'"):
        result.ranking("KO")
    with pytest.raises(BenchError, match="no such finding for 'other'"):
        result.ranking("other", group="K562")


def test_files_hold_what_the_frame_holds(tmp_path):
    sure = {"probability": np.linspace(0.9, 0.1, 6), "p": 0.01, "q": 0.02, "verdict": "found"}
    known = Finding(**{**vars(finding("A, 1", group="g")), **sure})
    failed = Finding.without_scores("killed", perturbation="X", method="m", **SIDES)
    result = Result((known, finding('B"2'), failed))
    frame = result.to_frame()
    assert list(frame) == list(COLUMNS) and len(frame) == 13
    assert frame["variable"].isna().sum() == 1 and set(frame["verdict"].dropna()) == {"found"}
    result.write_csv(tmp_path / "a.csv")
    result.write_parquet(tmp_path / "a.parquet")
    exact = pd.read_csv(tmp_path / "a.csv", float_precision="round_trip")
    for read in (exact, pd.read_parquet(tmp_path / "a.parquet")):
        assert list(read) == list(COLUMNS)
        for name in ("rank", "score", "probability", "log_fold_change", "p", "q", "n_control"):
            np.testing.assert_array_equal(read[name].astype(float), frame[name].astype(float))
        for name in ("perturbation", "variable", "method"):
            expected = frame[name].astype(object).where(frame[name].notna(), None)
            assert read[name].where(read[name].notna(), None).tolist() == expected.tolist()


@pytest.mark.parametrize("form", ["csv", "parquet", "html"])
def test_links_and_pipes_that_a_user_names_are_written_through(tmp_path, form):
    result = Result((finding(),))
    write = getattr(result, f"write_{form}")
    target, link, pipe = (tmp_path / name for name in ("target", "link", "pipe"))
    target.write_text("old")
    link.symlink_to(target)
    write(link)
    assert link.is_symlink() and len(target.read_bytes()) > 100
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        received = pool.submit(pipe.read_bytes)
        write(pipe)
        assert len(received.result()) == target.stat().st_size and pipe.is_fifo()
        reading, writing = os.pipe()
        with open(reading, "rb") as end:
            received = pool.submit(end.read)
            write(Path(f"/dev/fd/{writing}"))
            os.close(writing)
            assert len(received.result()) == target.stat().st_size


@pytest.mark.parametrize(
    "kind, expected",
    [("log", np.log2((np.e**2 - 0.9) / (np.e - 0.9))), ("scaled", 1.0), ("counts", 0.999)],
)
def test_log_fold_changes(kind, expected):
    found = log_fold_change(np.array([1.0]), np.array([2.0]), kind)
    np.testing.assert_allclose(found, [expected], atol=1e-3)


def test_variables_that_do_not_vary():
    """Constant on both sides and equal: no effect. Constant and different: the largest effect."""
    before = np.array([[1.0, 5.0, 0.0], [1.0, 5.0, 1.0], [1.0, 5.0, 2.0]])
    after = np.array([[1.0, 7.0, 1.0], [1.0, 7.0, 0.0]])
    effects = Effects.between(Moments.of(before), Moments.of(after), "scaled")
    assert effects.p[0] == 1 and effects.p[1] == 0 and effects.order[0] == 1
    assert effects.statistic[0] == 0
