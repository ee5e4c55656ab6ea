"""Damaged stores: `bench report`, `bench compact` and `bench run` on each, and what came of it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

from cdnbench.digest import generator
from trials import damage, small_stores

SUMMARY = "damaged stores: none ends bench with a traceback, a signal or a hang"
NUMBER = 1000
HEALED_EVERY = 10
"""One of so many stores is run again, which takes seconds."""
HANG_S = 120
_DEATHS = 20
"""After so many the trials are given up: it is they that are broken."""
BYTES = ("a file cut off", "flipped bits", "a block of random bytes", "bytes at the end")
"""Kinds of damage that checksums find."""
_SAME = ["task", "regime", "method", "variant", "status", "metric", "value"]


@dataclass
class Trial:
    """One damaged store.

    kind, form: what was damaged. faults: what must not happen, in words; empty if all is well.
    named: whether the report names a file. reported: share of the records in the report.
    set_aside: files that the next run moved. healed: whether all results were there after it, None
    if it was not tried. refused: whether it said that a newer version wrote the store.
    """

    number: int
    kind: str = ""
    form: str = ""
    damaged: str = ""
    faults: list[str] = field(default_factory=list)
    named: bool = False
    reported: float = 0.0
    set_aside: int = 0
    healed: bool | None = None
    refused: bool = False


def trial(number: int, seed: int, base: Path, heal: bool) -> Trial:
    """Damage a copy of a store, and look at what the commands make of it."""
    rng = generator("damaged stores", seed, number)
    kind = list(damage.KINDS)[number % len(damage.KINDS)]
    form = damage.one(rng, small_stores.FORMS)
    made = Trial(number, kind, form)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as box, _alarm(made):
        shutil.copytree(base, Path(box, "deep", "root"))
        _Trying(made, rng, Path(box), _sound(base, form), heal).go()
        for path in Path(box).rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
    return made


@cache
def _sound(base: Path, form: str) -> pd.DataFrame:
    """What a report tells of the store before it is damaged."""
    made = Trial(0)
    with tempfile.TemporaryDirectory() as work:
        frame = _frame(made, base / form, Path(work))
    assert len(frame) and not made.faults, f"the sound {form} has no report: {made.faults}"
    return frame


@dataclass
class _Trying:
    made: Trial
    rng: np.random.Generator
    box: Path
    whole: pd.DataFrame
    heal: bool

    def go(self) -> None:
        made = self.made
        self.root, self.work = self.box / "deep" / "root", self.box / "work"
        self.work.mkdir()
        self.folder = self.root / made.form
        (self.inside,) = self.folder.iterdir() if made.form == "archive" else [self.folder]
        target = damage.KINDS[made.kind](self.rng, self.inside)
        made.damaged = str(target.relative_to(self.root))
        content, before = _content(target), self._around()
        self._report()
        if made.form != "archive":
            _bench(made, "compact", self.folder, self.work / "out")
        if self.heal:
            self._more_reports()
            self._again()
            noticed = made.named or made.reported < 1
            kept = not content or content in _contents(self.root) or target.suffix == ".log"
            if noticed and not kept:
                made.faults.append("what was there is gone")
        if self._around() != before:
            made.faults.append("wrote outside of its folder")

    def _report(self) -> None:
        made = self.made
        text = _bench(made, "report", self.folder)
        made.named = str(self.inside) in text
        found = _frame(made, self.folder, self.work)
        made.reported = len(_jobs(found)) / len(_jobs(self.whole))
        if made.reported < 1 and not made.named and made.kind != "a missing file":
            made.faults.append("lost without a word")
        if made.kind in BYTES and len(found.merge(self.whole, on=_SAME)) < len(found):
            made.faults.append("wrong numbers without a word")

    def _more_reports(self) -> None:
        _bench(self.made, "report", self.folder, "--table", "jobs")
        _bench(self.made, "report", self.folder, "--table", "comparisons")
        _bench(self.made, "report", self.folder, "--html", self.work / "page.html")
        if (self.work / "out").exists():
            _bench(self.made, "report", self.work / "out")

    def _again(self) -> None:
        """Run it again, or compact a sound store into an archive, and look at what is there."""
        made = self.made
        if made.form == "archive":
            said = _bench(made, "compact", self.root / "store", self.folder)
        else:
            options = ["--suite", small_stores.SUITE, "--methods", small_stores.METHODS]
            options += ["--limit", small_stores.LIMIT, "--jobs", 1]
            said = _bench(made, "run", *options, "--out", self.folder)
        made.refused = "newer version" in said
        aside = self.inside / "set-aside"
        if not aside.is_symlink():
            made.set_aside = sum(len(names) for _, _, names in os.walk(aside))
        after = _frame(made, self.folder, self.work)
        shared = after.merge(self.whole, how="right", on=_SAME, indicator=True)
        made.healed = bool((shared["_merge"] == "both").all())

    def _around(self) -> dict[str, bytes]:
        """What lies beside the store, up to three folders above it."""
        return {
            str(path.relative_to(self.box)): _content(path)
            for path in self.box.rglob("*")
            if not {self.folder, self.work} & {path, *path.parents}
        }


def _frame(made: Trial, folder: Path, work: Path) -> pd.DataFrame:
    """The numbers of a report, of the methods that the next run has."""
    csv = work / "frame.csv"
    csv.unlink(missing_ok=True)
    _bench(made, "report", folder, "--csv", csv)
    if not csv.exists():
        return pd.DataFrame(columns=_SAME)
    found = pd.read_csv(csv, keep_default_na=False, dtype=str)[_SAME]
    return found[found["method"].isin(small_stores.METHODS.split(",")) & (found["status"] == "ok")]


def _jobs(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop_duplicates(["task", "method"])


def _bench(made: Trial, *words: object) -> str:
    """Run a command in this process, and note what must not happen. Returns what it printed."""
    from cdnbench import cli

    printed = io.StringIO()
    code: object = None
    try:
        with (
            mock.patch.object(sys, "argv", ["bench", *map(str, words)]),
            mock.patch.dict(os.environ, {"COLUMNS": "10000"}),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
        ):
            cli.main()
    except SystemExit as end:
        code = end.code
    except _Hang:
        raise
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error}, {Path(where.filename).name}:{where.lineno}"
        made.faults.append(f"traceback of bench {words[0]}: {said}")
    text = printed.getvalue()
    if code not in (None, 0, 1, 2):
        made.faults.append(f"exit code {code} of bench {words[0]}")
    if code == 1 and words[0] != "run":
        made.faults.append(f"exit code 1 of bench {words[0]}: {text[-200:]}")
    if code == 2 and "bench: " not in text:
        made.faults.append(f"bench {words[0]} does not say why it ended: {text[-200:]}")
    if "Abort" in text or "Traceback" in text:
        made.faults.append(f"bench {words[0]} printed: {text[-200:]}")
    return text


class _Hang(BaseException):
    """A command took too long."""


@contextlib.contextmanager
def _alarm(made: Trial) -> Iterator[None]:
    def ring(*_):
        raise _Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(HANG_S)
    try:
        yield
    except _Hang:
        made.faults.append("hang")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _content(path: Path) -> bytes:
    with contextlib.suppress(OSError):
        if path.is_file() and not path.is_symlink():
            return hashlib.sha256(path.read_bytes()).digest() if path.stat().st_size else b""
    return b""


def _contents(root: Path) -> set[bytes]:
    return {_content(path) for path in root.rglob("*")}


# Many


def main(number: int, seed: int) -> str:
    """The table of `number` damaged stores."""
    begin = time.time()
    trials = run_all(number, seed)
    return table(trials, seed, time.time() - begin)


def run_all(number: int, seed: int) -> list[Trial]:
    """The trials, in a process that is started again if one ends or stops it."""
    found: list[Trial] = []
    print("making the sound stores", file=sys.stderr)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        base = Path(folder) / "base"
        small_stores.make(base)
        with contextlib.suppress(KeyboardInterrupt):  # the table of those that are done
            for _ in range(_DEATHS):
                if len(found) < number:
                    _some(found, number, seed, base)
    return found


def _some(found: list[Trial], end: int, seed: int, base: Path) -> None:
    """Add the trials that are left, up to one that ends its process."""
    first = len(found)
    words = [sys.executable, "-m", "trials.stores", str(first), str(end), str(seed), str(base)]
    here = str(Path(__file__).parents[1])
    process = subprocess.Popen(
        small_stores.without_rights(words),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": here, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            found.append(Trial(**json.loads(line)))
            if found[-1].faults or len(found) % 50 == 0:
                print(found[-1], file=sys.stderr, flush=True)
        if process.wait() and len(found) < end:
            found.append(_lost(len(found), process.returncode))
    finally:
        process.kill()
        process.wait()


def _lost(number: int, code: int) -> Trial:
    kind = list(damage.KINDS)[number % len(damage.KINDS)]
    return Trial(number, kind, "?", faults=[f"the process ended with {code}"])


def table(trials: Sequence[Trial], seed: int, seconds: float) -> str:
    """One row per kind of damage."""
    rows = [
        f"{len(trials):,} damaged stores (seed {seed}), a third each of today's form, the older "
        f"one and archives; {seconds / 60:.0f} minutes.",
        "bench report and bench compact; for one in "
        f"{HEALED_EVERY} more tables, the page, and bench run or a compaction into the archive.",
        "",
        f"{'damage':34} {'stores':>6} {'faults':>6} {'named':>6} {'reported':>8} {'run':>5} "
        f"{'set aside':>9} {'healed':>7} {'refused':>7}",
    ]
    for kind in [*damage.KINDS, "all"]:
        own = [t for t in trials if kind in (t.kind, "all")]
        again = [t for t in own if t.healed is not None]
        if not own:
            continue
        rows.append(
            f"{kind:34} {len(own):6} {sum(bool(t.faults) for t in own):6} "
            f"{sum(t.named for t in own):6} {sum(t.reported for t in own) / len(own):8.0%} "
            f"{len(again):5} {sum(t.set_aside for t in again):9} "
            f"{sum(bool(t.healed) for t in again):7} {sum(t.refused for t in again):7}"
        )
    rows += [
        "",
        "faults: a traceback, a signal, a hang, a bare Aborted, another exit code than the "
        "contract's, a result lost",
        "  without a word, something written outside of the folder, or something that was deleted.",
        "named: the report names a file of the store. What is missing, and damage that changes no "
        "result, has no name.",
        "reported: share of the jobs whose scores are in the report of the damaged store.",
        "set aside: files that the next run moved to set-aside/. refused: a newer version wrote "
        "the store.",
    ]
    counts = Counter(fault for t in trials for fault in t.faults)
    rows += [f"{n} x {fault}" for fault, n in counts.most_common(20)]
    return "\n".join(rows)


if __name__ == "__main__":
    first, last, chosen = map(int, sys.argv[1:4])
    for i in range(first, last):
        heal = (i + i // len(damage.KINDS)) % HEALED_EVERY == 0
        done = trial(i, chosen, Path(sys.argv[4]), heal)
        print(json.dumps(asdict(done)), flush=True)
