"""The jobs of one block of a screen: what the store lacks is run, and findings are made of it."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cdnbench.loaded import LoadedMethod
from cdnbench.prediction.certainty import Controls
from cdnbench.prediction.judging import Evidence, controls_of, drawn_values, evidence_of
from cdnbench.prediction.methods import text_of
from cdnbench.prediction.options import Reading
from cdnbench.prediction.result import Finding
from cdnbench.prediction.screening import Block, Comparison, Progress, Screen
from cdnbench.record import Record, Status

if TYPE_CHECKING:
    from cdnbench.runners.plan import Job, Limits
    from cdnbench.store import Store

KEPT_DAYS = 30
"""How long the default cache keeps what nobody asks for any more."""

Show = Callable[[int, Path], contextlib.AbstractContextManager[Callable[[Record], None]]]


def findings_of(
    screen: Screen,
    block: Block,
    methods: Sequence[Sequence[LoadedMethod]],
    reading: Reading,
    limits: Limits,
    store: Store,
    n_jobs: int,
    show: Show,
) -> list[Finding]:
    """Run what the store lacks of one block, and return its findings.

    methods: those of each comparison of the block.
    """
    from cdnbench.prediction.suite import ScreenSuite
    from cdnbench.runners.api import usable_cores
    from cdnbench.runners.in_memory import LocalTaskMaker
    from cdnbench.runners.plan import Fits, Plan, make_job
    from cdnbench.runners.run import Mode, Run

    suite = ScreenSuite(screen, block, reading.candidates)
    fits = Fits(suite, limits)
    every = list({id(method): method for own in methods for method in own}.values())
    specs = {id(method): suite.specs_for(method) for method in every}
    jobs: list[tuple[LoadedMethod, Job]] = []
    for i, own in enumerate(methods):
        for method in own:
            seed = reading.seed if method.info.stochastic else 0
            jobs.append((method, make_job(method, specs[id(method)][i], seed, limits, fits)))
    unique = {job.key: job for _, job in jobs}
    plan = Plan(suite.info.name, {}, suite, list(unique.values()), every, limits)
    # What failed is tried again, as the limits may be others, and so is what other code of a method
    # made, since nobody is asked here whether old results will do.
    mode = Mode(retry=True, update=True)
    run = Run(plan, store, mode, n_jobs or usable_cores(), maker=LocalTaskMaker)
    block.gather(range(len(block.comparisons)))
    with show(len(run.todo), store.folder) as on_record:
        run.on_record = on_record
        run.execute()
    return [_finding(screen, block, method, job, store) for method, job in jobs]


def evidence_in(
    screen: Screen, block: Block, seed: int, progress: Progress, n_jobs: int = 0
) -> dict[tuple[str, str], Evidence]:
    """(perturbation, group) -> whether anything moved, for a block whose rows were read.

    n_jobs: how many are tested at once; 0 for one per core that this process may use.
    """
    from threadpoolctl import threadpool_limits

    from cdnbench.runners.api import usable_cores

    names = screen.variables[block.tested]
    found: dict[tuple[str, str], Evidence] = {}
    total, done = sum(c.n_perturbed for c in block.comparisons), 0
    # Tests are long calls of numpy, which threads run side by side.
    with threadpool_limits(1), ThreadPoolExecutor(n_jobs or usable_cores()) as pool:
        for group, own in _by_group(block.comparisons):
            controls = controls_of(block.controls(group), seed=seed)

            def tested(i: int, controls: Controls = controls) -> Evidence:
                return evidence_of(controls, block.perturbed(i), names, seed=seed)

            for i, evidence in zip(own, pool.map(tested, own), strict=True):
                comparison = block.comparisons[i]
                found[comparison.perturbation, group] = evidence
                done += comparison.n_perturbed
                progress("testing whether anything moved", done, total)
    return found


def _by_group(comparisons: Sequence[Comparison]) -> Iterator[tuple[str, list[int]]]:
    """Each group with the numbers of its comparisons. Neighbours of one group stand together, and
    the controls of one group are held at a time."""
    numbers = enumerate(comparisons)
    for group, own in itertools.groupby(numbers, key=lambda numbered: numbered[1].group):
        yield group, [i for i, _ in own]


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
    found = Finding.ranked(
        screen.variables[inside],
        store.scores(job.key)[method.variant][0],
        screen.variables[outside],
        {"candidates": change[inside], "outside": change[outside]},
        note=record.note,
        **about,
    )
    first = int(np.flatnonzero(screen.variables == found.variables[0])[0])
    return replace(found, values=drawn_values(*block.values(job.spec.recipe.i, first)))


def cache_folder_of(identity: str) -> Path:
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
