"""`cdnbench.predict`: every perturbation of a file, or of an AnnData, scored by methods.

It brings the reader, the runner and the results together, for Python and for `bench predict`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdnbench.errors import CannotRun, InvalidParameter
from cdnbench.loaded import LoadedMethod
from cdnbench.prediction.methods import chosen_methods, text_of, why_not
from cdnbench.prediction.notes import notes_on_effects
from cdnbench.prediction.options import Reading
from cdnbench.prediction.result import Finding, Result
from cdnbench.prediction.screening import Block, Progress, Screen
from cdnbench.record import Record, Status

if TYPE_CHECKING:
    from cdnbench.runners.plan import Job, Limits
    from cdnbench.store import Store

KEPT_DAYS = 30
"""How long the default cache keeps what nobody asks for any more."""

Show = Callable[[int, Path], contextlib.AbstractContextManager[Callable[[Record], None]]]


@contextlib.contextmanager
def _silent(total: int, folder: Path) -> Iterator[Callable[[Record], None]]:
    yield lambda record: None


def predict(
    data: Any,
    perturbation: str = "perturbation",
    control: str = "non-targeting",
    group: str | None = None,
    method: str | Sequence[str] = "",
    *,
    where: str = "",
    total: str = "",
    layer: str = "",
    genes: str = "",
    cells: str | Path | None = None,
    candidates: int = 1000,
    max_controls: int = 5000,
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
        several, or patterns with * and ?, separated by commas. group: column with cell lines or
        batches; each perturbation is compared with the controls of its own.
    method: one or several, `"a,b:parameter=value"` or a list; "" for the default method.
    where, total, layer, genes, cells, candidates, max_controls, as_is, seed: as in
        `cdnbench.prediction.options.Reading`, and as the options of `bench predict`.
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
        control=control,
        group=group or "",
        where=where,
        total=total,
        layer=layer,
        genes=genes,
        cells=None if cells is None else Path(cells),
        as_is=as_is,
        candidates=candidates,
        max_controls=max_controls,
        seed=seed,
    )
    return predict_screen(
        data,
        reading,
        method if isinstance(method, str) else ",".join(method),
        jobs=jobs,
        timeout=timeout,
        memory_gb=memory_gb,
        work=None if work is None else Path(work),
    )


def predict_screen(
    data: Any,
    reading: Reading,
    methods: str = "",
    *,
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
        if value is not None and not 0 < value < float("inf"):
            raise InvalidParameter(f"--{name} is a number above 0; got {value!r}.")
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 0:
        raise InvalidParameter(f"--jobs is a whole number of 0 or more; got {jobs!r}.")
    chosen = chosen_methods(methods)
    screen = OwnScreen(data, reading, progress)
    check_can_run(screen, chosen, reading.candidates)
    store = Store(work or _cache(screen.identity)).create()
    findings: list[Finding] = []
    effects = []
    for block in screen.blocks():
        limits = Limits(timeout_s=timeout, memory_gb=memory_gb)
        made = _run(screen, block, chosen, reading, limits, store, jobs, show)
        findings += made
        effects += [
            (c, e.smallest_p) for c, e in zip(block.comparisons, block.effects, strict=True)
        ]
    _check_any(findings, chosen)
    notes = [
        *screen.notes,
        *_about_candidates(screen, chosen, reading),
        *notes_on_effects(effects),
    ]
    settings = reading.plain() | {
        "data": str(data) if isinstance(data, str | os.PathLike) else type(data).__name__,
        "methods": [text_of(method) for method in chosen],
        "values": screen.kind,
        "n_variables": len(screen.variables),
        "work": str(store.folder),
    }
    return Result(tuple(findings), settings, tuple(notes))


def _run(
    screen: Screen,
    block: Block,
    methods: Sequence[LoadedMethod],
    reading: Reading,
    limits: Limits,
    store: Store,
    n_jobs: int,
    show: Show,
) -> list[Finding]:
    """Run what the store lacks of one block, and return its findings."""
    from cdnbench.prediction.suite import ScreenSuite
    from cdnbench.runners.api import usable_cores
    from cdnbench.runners.in_memory import LocalTaskMaker
    from cdnbench.runners.plan import Fits, Plan, make_job
    from cdnbench.runners.run import Mode, Run

    suite = ScreenSuite(screen, block, reading.candidates)
    fits = Fits(suite, limits)
    of_method: list[list[Job]] = [
        [
            make_job(method, spec, reading.seed if method.info.stochastic else 0, limits, fits)
            for spec in suite.specs_for(method)
        ]
        for method in methods
    ]
    each = zip(*of_method, strict=True)  # the jobs of one comparison follow each other
    unique = {job.key: job for together in each for job in together}
    plan = Plan(suite.info.name, {}, suite, list(unique.values()), methods, limits)
    # What failed is tried again, as the limits may be others.
    run = Run(plan, store, Mode(retry=True), n_jobs or usable_cores(), maker=LocalTaskMaker)
    block.gather(sorted({job.spec.recipe.i for job in run.todo}))
    with show(len(run.todo), store.folder) as on_record:
        run.on_record = on_record
        run.execute()
    return [
        _finding(screen, block, method, jobs[i], store)
        for i in range(len(block.comparisons))
        for method, jobs in zip(methods, of_method, strict=True)
    ]


def _finding(
    screen: Screen,
    block: Block,
    method: LoadedMethod,
    job: Job,
    store: Store,
) -> Finding:
    comparison, effects = block.comparisons[job.spec.recipe.i], block.effects[job.spec.recipe.i]
    about = {
        "perturbation": comparison.perturbation,
        "group": comparison.group,
        "method": text_of(method),
        "n_control": comparison.n_control,
        "n_perturbed": comparison.n_perturbed,
    }
    record = store.job(job.key)
    assert record is not None, "a run ends with a record of each of its jobs"
    if record.status != Status.ok:
        return Finding.without_scores(f"{record.status}: {record.reason}", **about)
    most = job.spec.recipe.most
    inside, outside = effects.candidates(most), effects.order[most:]
    change = effects.log_fold_change
    return Finding.ranked(
        screen.variables[inside],
        store.scores(job.key)[method.variant][0],
        screen.variables[outside],
        {"candidates": change[inside], "outside": change[outside]},
        note=record.note,
        **about,
    )


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


def _cache(identity: str) -> Path:
    """A folder for this prediction in the user's cache, or in the temporary folder where the cache
    cannot be written. Folders that nobody used for long are removed."""
    from cdnbench.datasets.cells.simulated.embedded import cache_folder
    from cdnbench.temporary import can_write, temporary_folder

    place = cache_folder() / "predictions"
    if place.parts[0] == "~" or not can_write(place):
        place = temporary_folder() / "predictions"
        place.mkdir(exist_ok=True)
    oldest = time.time() - KEPT_DAYS * 24 * 3600
    for folder in place.iterdir():
        with contextlib.suppress(OSError):  # another prediction removed it meanwhile
            if folder.is_dir() and folder.stat().st_mtime < oldest:
                shutil.rmtree(folder)
    folder = place / identity[:16]
    folder.mkdir(exist_ok=True)
    os.utime(folder)
    return folder
