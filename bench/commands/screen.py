"""`cdnbench.predict`: every perturbation of a file, or of an AnnData, scored by methods.

It brings the reader, the runner and the results together, for Python and for `bench predict`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.commands.screen_jobs import Show, cache_folder_of, evidence_in, findings_of
from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.loaded import LoadedMethod
from cdnbench.prediction.choice import ON_DEPENDENCE, choose
from cdnbench.prediction.judging import FDR, Evidence, agreements, judged
from cdnbench.prediction.methods import AUTO, Selection, chosen_methods, is_auto, text_of, why_not
from cdnbench.prediction.notes import notes_on_rows
from cdnbench.prediction.options import (
    Reading,
    check_number,
    text_of_control,
    whole_number,
)
from cdnbench.prediction.result import Finding, Result
from cdnbench.prediction.screening import TESTED, Block, Progress, Screen, note_on_fold_changes
from cdnbench.prediction.task import rows_depend
from cdnbench.record import Record, Status


@contextlib.contextmanager
def _silent(total: int, folder: Path) -> Iterator[Callable[[Record], None]]:
    yield lambda record: None


def predict(
    data: Any,
    perturbation: str = "perturbation",
    control: Any = "non-targeting",
    group: str | None = None,
    method: str | Sequence[str] | None = AUTO,
    *,
    fdr: float = FDR,
    where: str = "",
    total: str = "",
    layer: str = "",
    genes: str = "",
    cells: str | Path | None = None,
    transpose: bool = False,
    not_variables: str = "",
    drop_missing: bool = False,
    candidates: int = 1000,
    max_controls: int = 2000,
    as_is: bool = False,
    seed: int = 0,
    jobs: int = 0,
    timeout: float | None = None,
    memory_gb: float = 8.0,
    work: str | Path | None = None,
) -> Result:
    """Rank the variables by how likely each perturbation of a screen targeted them.

    Parameters
    ----------
    data: path of a file, an AnnData or a data frame, which is not changed.
    perturbation: column that names what was done to each row. control: its value in controls;
        several, or patterns with * and ?, in a list or separated by commas. group: column with cell
        lines or batches; each perturbation is compared with the controls of its own.
    method: names of one or several, `"a,b:parameter=value"` or a list. "auto", or None, chooses for
        each perturbation by its rows and by the kind of values, and says why in the notes.
    fdr: share of wrong claims that verdicts may hold, above 0 and below 1.
    where, total, layer, genes, cells, transpose, not_variables, drop_missing, candidates,
        max_controls, as_is, seed: as in `cdnbench.prediction.options.Reading`, and as the options
        of `bench predict`.
    jobs: how many run at once, 0 for one per usable core. timeout: seconds per perturbation, None
        for the method's own estimate. memory_gb: GB per perturbation.
    work: folder that keeps results, so that a call that was interrupted goes on; None for one in
        the user's cache.

    Raises
    ------
    BenchError: something that cannot be used; the message says what to write.
    CannotRun: a method can run on none of the perturbations.
    """
    reading = Reading(
        perturbation=perturbation,
        control=text_of_control(control),
        group=group or "",
        where=where,
        total=total,
        layer=layer,
        genes=genes,
        cells=None if cells is None else Path(cells),
        transpose=transpose,
        not_variables=not_variables,
        drop_missing=drop_missing,
        as_is=as_is,
        candidates=candidates,
        max_controls=max_controls,
        seed=seed,
    )
    return predict_screen(
        data,
        reading,
        _names(method),
        fdr=fdr,
        jobs=jobs,
        timeout=timeout,
        memory_gb=memory_gb,
        work=None if work is None else Path(work),
    )


def _names(method: Any) -> str:
    """What a user gives for the methods as one text.

    Raises
    ------
    InvalidParameter: it is neither a name nor a list of names.
    """
    if method is None or isinstance(method, str):
        return method or AUTO
    names = list(method) if isinstance(method, Sequence) else [method]
    for name in names:
        if not isinstance(name, str):
            loaded = isinstance(name, LoadedMethod)
            raise InvalidParameter(
                "method is a name, or a list of names; got "
                + (f"a loaded method. Write {text_of(name)!r}." if loaded else f"{name!r}.")
            )
    return ",".join(names)


def predict_screen(
    data: Any,
    reading: Reading,
    methods: str = AUTO,
    *,
    fdr: float = FDR,
    jobs: int = 0,
    timeout: float | None = None,
    memory_gb: float = 8.0,
    work: Path | None = None,
    progress: Progress = lambda what, done, of: None,
    show: Show = _silent,
) -> Result:
    """The same, with progress. show: as `cdnbench.commands.progress.progress`."""
    from cdnbench.datasets.cells.screens.own_screen import OwnScreen
    from cdnbench.prediction.suite import check_can_run
    from cdnbench.runners.plan import Limits
    from cdnbench.store import Store

    for name, value in (("timeout", timeout), ("memory-gb", memory_gb)):
        if value is not None:
            check_number(name, value, 0, float("inf"), "above 0")
    jobs = whole_number("jobs", jobs, 0)
    check_number("fdr", fdr, 0, 1, "between 0 and 1")
    if not is_auto(methods):
        chosen_methods(methods)  # a wrong name is said before the file is read
    screen = OwnScreen(data, reading, progress)
    selection = _selection(screen, methods, reading)
    check_can_run(screen, selection, reading.candidates)
    store = Store(work or cache_folder_of(screen.identity)).create()
    findings: list[Finding] = []
    evidence: dict[tuple[str, str], Evidence] = {}
    dependent, done = False, 0
    for block in screen.blocks():
        limits = Limits(timeout_s=timeout, memory_gb=memory_gb)
        own = selection.of_each[done : done + len(block.comparisons)]
        findings += findings_of(screen, block, own, reading, limits, store, jobs, show)
        dependent = dependent or _controls_depend(block)
        evidence |= evidence_in(screen, block, reading.seed, progress, jobs)
        done += len(block.comparisons)
    _check_any(findings, selection.methods)
    by_text = {text_of(method): method for method in selection.methods}
    findings, on_certainty = judged(findings, by_text, evidence, fdr)
    agreed, on_agreement = agreements(findings)
    notes = [
        *screen.notes,
        *selection.notes,
        note_on_fold_changes(screen.kind),
        *_about_candidates(screen, selection.methods, reading),
        *notes_on_rows(screen.comparisons),
        *[ON_DEPENDENCE] * dependent,
        *_about_tests(screen),
        *on_certainty,
        *on_agreement,
    ]
    settings = reading.plain() | {
        "data": str(data) if isinstance(data, str | os.PathLike) else type(data).__name__,
        "methods": list(by_text),
        "fdr": fdr,
        "values": screen.kind,
        "n_variables": len(screen.variables),
        "work": str(store.folder),
    }
    rows = screen.compared.perturbed
    return Result(tuple(findings), settings, tuple(dict.fromkeys(notes)), agreed, rows)


def _selection(screen: Screen, methods: str, reading: Reading) -> Selection:
    """The methods that are named, or for each perturbation those that suit its numbers of rows."""
    if not is_auto(methods):
        return Selection.named(methods, len(screen.comparisons))
    # Counts that stay as they are were meant to; methods get no other values than the notes say.
    kind = "log" if screen.kind in ("counts", "normalised") else screen.kind
    most = min(reading.candidates, len(screen.variables))
    return Selection.by_evidence(
        [
            choose(c.n_control, c.n_perturbed, most, kind, screen.has_symbols)
            for c in screen.comparisons
        ]
    )


def _controls_depend(block: Block) -> bool:
    """Whether neighbouring controls of any group resemble each other."""
    groups = dict.fromkeys(c.group for c in block.comparisons)
    return any(rows_depend(_columns(block.controls(group))) for group in groups)


def _columns(rows: Any, most: int = 200) -> np.ndarray:
    """At most 200 columns, evenly spread, of a sparse matrix."""
    places = np.unique(np.linspace(0, rows.shape[1] - 1, most).astype(int))
    return rows[:, places].toarray()


def _about_tests(screen: Screen) -> list[str]:
    n = len(screen.variables)
    if n <= TESTED:
        return []
    return [
        f"Whether anything moved is tested on the {TESTED:,} of {n:,} variables that vary most "
        "over all rows; what moved in the others alone is not seen."
    ]


def _check_any(findings: Sequence[Finding], methods: Sequence[LoadedMethod]) -> None:
    """Raises
    ------
    CannotRun: a method itself said of every perturbation that it cannot run on it.
    """
    for method in methods:
        own = [f for f in findings if f.method == text_of(method)]
        skipped = [f.note for f in own if f.note.startswith(f"{Status.skipped}: ") and f.failed]
        if own and len(skipped) == len(own):
            raise CannotRun(why_not(method, skipped[0].removeprefix(f"{Status.skipped}: ")))


def _about_candidates(
    screen: Screen, methods: Sequence[LoadedMethod], reading: Reading
) -> list[str]:
    n = len(screen.variables)
    found = []
    for method in methods:
        most = min(reading.candidates, method.info.max_variables or n)
        if most < n:
            why = "" if most == reading.candidates else ", the most that it takes"
            found.append(
                f"{method.label} gets {most:,} of {n:,} variables per perturbation{why}: those "
                "that differ (adjusted p < .05) with the largest fold changes first. The others "
                "follow without scores, in the same order. --candidates changes the number."
            )
    return found
