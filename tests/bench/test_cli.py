"""The commands as a user types them: what they print, what they write, and their exit codes."""

import csv
import errno
import os
import subprocess
import sys

import numpy as np
import pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cli")


def bench(folder, *arguments):
    command = [sys.executable, "-m", "cdnbench.cli", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "160"}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, env=environment
    )


@pytest.fixture(scope="module")
def results(folder):
    """Three methods on three tasks of synthetic-mini, and what the run printed."""
    methods = "random,target-shift,regression-invariance"
    result = bench(folder, "run", "--suite", "synthetic-mini", "--methods", methods, "--limit", 3)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_run_ends_with_the_leaderboard(results):
    assert "3 tasks, 9 jobs, 0 of them done" in results
    assert "9/9 jobs (9 ok)" in results
    lines = results.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("method "))
    rows = [line.split()[0] for line in lines[head + 2 :] if line.strip()]
    assert rows[0] == "ceiling" and {"random", "target-shift", "regression-invariance"} <= set(rows)


def test_a_second_run_has_nothing_to_do(folder, results):
    result = bench(
        folder, "run", "--suite", "synthetic-mini", "--methods", "random,target-shift", "--limit", 3
    )
    assert (
        "6 of them done" in result.stdout and "ceiling" in result.stdout and result.returncode == 0
    )


def test_a_dry_run_runs_nothing(folder):
    result = bench(folder, "run", "--suite", "synthetic-mini", "--out", "dry", "--dry-run")
    assert (
        "8 tasks" in result.stdout
        and "left out: dci-reference: not a default method" in result.stdout
        and result.returncode == 0
    )
    assert not (folder / "dry").exists()


def test_failures_are_told_and_set_the_exit_code(folder):
    arguments = [
        "--methods",
        "random,ut-igsp",
        "--limit",
        1,
        "--timeout",
        0.001,
        "--out",
        "failing",
    ]
    result = bench(folder, "run", "--suite", "synthetic-mini", *arguments)
    assert result.returncode == 1
    assert "1 x ut-igsp: timeout: no result within 0.001 s" in result.stdout


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["run", "--suite", "synthetik"], "Did you mean synthetic"),
        (["run", "--suite", "synthetic", "--methods", "ut-igps"], "Did you mean ut-igsp"),
        (
            ["run", "--suite", "sachs", "--protocol", "dcdi"],
            "no option of `bench run --suite sachs` named 'protocol'",
        ),
        (
            ["run", "--suite", "synthetic", "--protocol", "dirty"],
            "protocol takes clean, dcdi, both",
        ),
        (["run", "--suite", "synthetic", "--seeds", "a"], "--seeds takes whole numbers"),
        (
            ["run", "--suite", "synthetic", "--methods", "dci:alpha=1"],
            "no parameter of dci named 'alpha'",
        ),
        (["report", "nowhere"], "No results in nowhere"),
        (["report", "--table", "table12"], "Did you mean table2"),
        (["report", "--csv", "no/such/folder/x.csv"], "does not exist"),
        (["predict", "a.csv", "b.csv"], "a.csv does not exist"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_with_code_2(folder, arguments, words):
    result = bench(folder, *arguments)
    assert result.returncode == 2 and words in result.stderr
    assert result.stderr.startswith("bench: ") and result.stderr.count("\n") == 1


def test_the_version(folder):
    from cdnbench import __version__

    result = bench(folder, "--version")
    assert result.returncode == 0 and result.stdout == f"bench {__version__}\n"


def test_usage_errors_of_the_parser_have_code_2_too(folder):
    assert bench(folder, "run").returncode == 2
    assert bench(folder, "report", "--tabel", "jobs").returncode == 2


def test_latex_without_a_value_goes_to_standard_output(folder, results):
    result = bench(folder, "report", "--latex")
    assert r"\begin{tabular}" in result.stdout and r"\toprule" in result.stdout
    last = bench(folder, "report", "--latex", "--table", "jobs")
    assert r"\begin{tabular}" in last.stdout and last.returncode == 0


def test_a_file_that_standard_output_goes_to_keeps_what_is_in_it(folder, results):
    path = folder / "log.csv"
    with open(path, "w") as log:
        log.write("header\n")
        log.flush()
        line = [sys.executable, "-m", "cdnbench.cli", "report", "--csv", "/dev/stdout"]
        subprocess.run(line, cwd=folder, stdout=log, check=True)
    written = path.read_text()
    assert written.startswith("header\n") and "average_precision" in written


def test_files_of_a_report(folder, results):
    result = bench(
        folder,
        "report",
        "results/synthetic-mini",
        "--latex",
        "t.tex",
        "--html",
        "r.html",
        "--csv",
        "r.csv",
    )
    assert result.returncode == 0, result.stderr
    assert (
        r"\bottomrule" in (folder / "t.tex").read_text()
        and "</html>" in (folder / "r.html").read_text()
    )
    with open(folder / "r.csv") as file:
        rows = list(csv.DictReader(file))
    columns = (
        "suite split protocol subset masking task regime n_targets method variant seed "
        "status metric value"
    )
    assert set(columns.split()) | {"mechanism", "varsortability"} <= set(rows[0])
    assert {row["method"] for row in rows} == {
        "ceiling",
        "random",
        "target-shift",
        "regression-invariance",
    }
    bench(folder, "report", "results/synthetic-mini", "--table", "jobs", "--csv", "jobs.csv")
    with open(folder / "jobs.csv") as file:
        jobs = list(csv.DictReader(file))
    columns = (
        "key method method_version task seed status reason note batch_size wall_s wall_s_single "
        "cpu_s peak_rss_mb "
        "peak_gpu_mb device threads versions git_sha dirty host started_at"
    )
    assert len(jobs) == 9 and set(columns.split()) <= set(jobs[0])


def test_predict_ranks_the_shifted_variable_first(folder):
    rng = np.random.default_rng(0)
    for name, shift in [("control", 0.0), ("treated", 3.0)]:
        samples = rng.normal(size=(100, 5)) + shift * np.eye(5)[3]
        np.savetxt(
            folder / f"{name}.csv", samples, delimiter=",", header="a,b,c,the one,e", comments=""
        )
    result = bench(
        folder, "predict", "control.csv", "treated.csv", "--top", 2, "--csv", "ranking.csv"
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Note: Chosen: ")
    heads = [i for i, line in enumerate(lines) if line.endswith("100 perturbed samples")]
    assert len(heads) == 2  # two methods that are about equally good
    for head in heads:
        ranked = [line.split() for line in lines[head + 3 : head + 5]]
        assert ranked[0][:3] == ["1", "the", "one"] and ranked[1][0] == "2"
    with open(folder / "ranking.csv") as file:
        ranking = list(csv.DictReader(file))
    assert ranking[0]["variable"] == "the one" and len(ranking) == 10


def test_predict_with_too_few_samples_says_how_many_it_needs(folder):
    for seed, name in enumerate(("few", "less")):
        np.savetxt(
            folder / f"{name}.csv",
            np.random.default_rng(seed).normal(size=(3, 5)),
            delimiter=",",
            header="a,b,c,d,e",
            comments="",
        )
    result = bench(folder, "predict", "few.csv", "less.csv", "--method", "regression-invariance")
    assert result.returncode == 2 and "3 samples in the smallest data set" in result.stderr
    assert "--method target-shift runs on any samples" in result.stderr


def test_the_doctor_finds_nothing_wrong(folder):
    result = bench(folder, "doctor")
    assert result.returncode == 0, result.stdout
    assert "FAIL" not in result.stdout and "fork server" in result.stdout


def test_a_prepared_screen_says_what_each_step_lost(folder):
    import anndata
    import pandas as pd

    rng = np.random.default_rng(0)
    labels = np.repeat(["ctrl", *(f"G{i}" for i in range(4))], 80)
    mean = np.full((400, 40), 4.0)
    for i in range(4):
        mean[labels == f"G{i}", i : i + 15] = 0.5
    adata = anndata.AnnData(
        rng.poisson(mean).astype(np.float32),
        obs=pd.DataFrame({"gene": labels}, index=[f"c{i}" for i in range(400)]),
        var=pd.DataFrame(index=[f"G{i}" for i in range(40)]),
    )
    adata.write_h5ad(folder / "screen.h5ad")
    arguments = ["data", "prepare", "screen.h5ad", "--line", "demo", "--perturbation", "gene"]
    result = bench(folder, *arguments)
    assert (
        result.returncode == 2
        and "--control NAME" in result.stderr
        and "ctrl (80 rows)" in result.stderr
    )
    result = bench(folder, *arguments, "--control", "ctrl", "--min-candidates", 30)
    assert result.returncode == 0, result.stderr
    assert "all targets among them" in result.stdout and "4 perturbations (" in result.stdout
    assert (folder / "prepared" / "demo.cells.h5").exists()


@pytest.mark.parametrize("option", ["--cell-lines=one", "--knowledge-error=0.9"])
def test_options_of_two_words_are_written_with_a_hyphen(folder, option):
    """They reach the suite, which then misses its data."""
    result = bench(
        folder, "run", "--suite", "perturbseq", "--data", "nowhere", option, "--methods", "random"
    )
    assert result.returncode == 2 and "holds no prepared cell line" in result.stderr


def test_a_full_disk_is_told_with_its_place_and_a_cure(monkeypatch, capsys, tmp_path):
    from cdnbench import cli
    from cdnbench.files import write_atomically

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setattr(cli, "app", lambda arguments: write_atomically(tmp_path / "x", b"new"))
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and str(tmp_path / "x") in said and "Make room" in said
