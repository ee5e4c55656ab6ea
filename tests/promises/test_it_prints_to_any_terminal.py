"""Output that is ASCII, closed or cut off, and a locale that is not UTF-8: no command fails."""

import os
import subprocess
import sys

import pytest

from cdnbench import run

PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
COMMAND = "from cdnbench.cli import main; main()"


def bench(*arguments, closed=(), **variables):
    """Run a command; closed: the numbers of streams that are closed for it."""
    command = [sys.executable, "-c", COMMAND, *map(str, arguments)]
    close = "".join(f"os.close({number}); " for number in closed)
    start = f"import os; {close}os.execv({sys.executable!r}, {command!r})"
    return subprocess.run(
        [sys.executable, "-S", "-c", start],
        env={**os.environ, **variables},
        capture_output=True,
        timeout=300,
    )


@pytest.fixture
def results(faulty, tmp_path):
    return run("tiny", "good,refuses", out=tmp_path / "out", limit=2).folder


@pytest.mark.parametrize("variables", [{"PYTHONIOENCODING": "ascii"}, PLAIN])
def test_a_report_and_a_run_where_only_ascii_can_be_shown(results, tmp_path, variables):
    page = tmp_path / "page.html"
    shown = bench("report", results, "--html", page, "--latex", tmp_path / "t.tex", **variables)
    assert shown.returncode == 0, shown.stderr.decode()
    assert "<html" in page.read_text(encoding="utf-8")
    ran = bench("run", "--suite", "tiny", "--methods", "good", "--out", results, **variables)
    assert ran.returncode == 0, ran.stderr.decode()
    assert b"good" in ran.stdout and ran.stdout.isascii()


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_a_run_whose_streams_are_closed(results, closed):
    ran = bench(
        "run", "--suite", "tiny", "--methods", "good", "--fresh", "--out", results, closed=closed
    )
    assert ran.returncode == 0, ran.stderr.decode()
    assert (ran.stdout == b"") == (1 in closed)


def test_a_reader_that_leaves_early_sees_no_error(faulty):
    command = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "list", "methods"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    command.stdout.close()
    assert command.stderr.read() == b""
    command.wait(60)
