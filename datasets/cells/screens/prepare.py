"""From the raw counts of one cell line to a prepared file: survey, tests, candidates, split.

The raw file is read five times, a range of cells at a time (survey, controls, tests, sizes,
writing). Memory holds the control cells and a few numbers per perturbation and gene, never the
whole screen. The results of the survey and of the tests are kept beside the output, so that a
preparation that was stopped continues from there.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import sparse

from cdnbench.datasets.cells.locking import locked
from cdnbench.datasets.cells.prepared import FORMAT, NOISE, SUFFIX, PreparedLine, Writer, text
from cdnbench.datasets.cells.screens.choose import Tasks, Tested, choose, controls_kept
from cdnbench.datasets.cells.screens.differential import Controls, RankSums
from cdnbench.datasets.cells.screens.noise import noise_ceiling
from cdnbench.datasets.cells.screens.options import SEPARATOR, Attrition, Preparation
from cdnbench.datasets.cells.screens.raw import RawCells
from cdnbench.datasets.cells.screens.survey import (
    CONTROL,
    Progress,
    Survey,
    kept_values,
    normalised,
    survey,
)
from cdnbench.digest import digest, generator
from cdnbench.errors import InvalidData, InvalidParameter

READING = 3
"""Goes up when raw files are read in another way, so that what was kept before is made anew."""
LONGEST_NAME = 100
"""Bytes of the name of a line, to which file systems and tasks add theirs."""


def prepare(
    raw: RawCells,
    line: str,
    out: Path,
    options: Preparation,
    *,
    split_list: Path | None = None,
    simulated: bool = False,
    progress: Progress = lambda what, done, of: None,
) -> PreparedLine:
    """Prepare one cell line as `out`/<line>.cells.h5; a finished file is opened as it is.

    Another preparation of the same line is waited for, and its file opened if it is the same.

    Raises
    ------
    InvalidParameter: a name that cannot be the name of a line.
    InvalidData: no perturbation passes the tests, or the raw file cannot be used (see `survey`).
    """
    check_line(line)
    path = out / f"{line}{SUFFIX}"
    recipe = recipe_of(raw, line, options, split_list)
    if made := _finished(path, recipe):
        return made

    def waiting(pid: str) -> None:
        progress(f"waiting for process {pid}, which prepares {line}", 0, raw.n_cells)

    with locked(out / f".{line}.lock", waiting):
        return _finished(path, recipe) or _prepared(
            raw, line, path, recipe, options, split_list, simulated, progress
        )


def check_line(name: str) -> None:
    """Check that a name can be the name of a line: of its file, in lists and in tasks.

    Raises
    ------
    InvalidParameter: it cannot.
    """
    wrong = [c for c in name if c in "/\\," or not c.isprintable()]
    if wrong or not name or name != name.strip() or name.startswith((".", "-")):
        raise InvalidParameter(
            f"A cell line cannot be called {name!r}: names have no / \\ or comma, and do not begin "
            "with a dot or dash or end with a blank. For example --line K562_gw."
        )
    if len(name.encode()) > LONGEST_NAME:
        raise InvalidParameter(
            f"--line {name[:20]}... has {len(name.encode())} bytes; names have {LONGEST_NAME} at "
            "most."
        )


def recipe_of(raw: RawCells, line: str, options: Preparation, split_list: Path | None) -> str:
    """Digest of all that decides what is prepared: the files, how they are read, and the options.

    Where no layer, names of genes or table of cells were asked for, it is that of earlier versions,
    which did not look at them; what these prepared stays valid.
    """
    return digest(
        FORMAT,
        READING,
        _identity(raw),
        options.to_dict(),
        split_list.read_bytes().hex() if split_list else "",
        line,
        *([dict(raw.read_as)] if raw.read_as else []),
    )


def _finished(path: Path, recipe: str) -> PreparedLine | None:
    """The file of an earlier preparation, if it is whole and was made in the same way."""
    if not path.exists():
        return None
    with contextlib.suppress(InvalidData):  # another version, or cut off: it is made again
        if (made := PreparedLine.open(path)).attributes["recipe"] == recipe:
            return made
    return None


def _prepared(
    raw: RawCells,
    line: str,
    path: Path,
    recipe: str,
    options: Preparation,
    split_list: Path | None,
    simulated: bool,
    progress: Progress,
) -> PreparedLine:
    scratch = path.parent / f".{line}.{recipe[:12]}"
    scratch.mkdir(parents=True, exist_ok=True)
    found, attrition = _kept_survey(raw, options, scratch, progress)
    tested = _kept_tests(raw, found, options, scratch, progress)
    tasks = choose(raw, found, tested, line, options, attrition, split_list)
    about = {
        "name": line,
        "recipe": recipe,
        "options": options.to_dict(),
        "source": raw.path.name,
        "simulated": simulated,
        "attrition": attrition.rows,
        "split_list": split_list.name if split_list else "",
    }
    _write(raw, found, tasks, tested, path, options, progress, about)
    shutil.rmtree(scratch)
    return PreparedLine.open(path)


def _identity(raw: RawCells) -> list:
    """Name, size and time of change of a file and of those read with it, or of each file in a
    folder."""
    parts = sorted(raw.path.iterdir()) if raw.path.is_dir() else [raw.path, *raw.beside]
    return [[part.name, part.stat().st_size, part.stat().st_mtime_ns] for part in parts]


def _kept_survey(
    raw: RawCells, options: Preparation, scratch: Path, progress: Progress
) -> tuple[Survey, Attrition]:
    path = scratch / "survey.npz"
    if not path.exists():
        attrition = Attrition([])
        found = survey(raw, options, attrition, progress)
        note = json.dumps({"rows": attrition.rows, "names": found.names, "targets": found.targets})
        _save(path, label=found.label, total=found.total, genes=found.genes, note=np.array(note))
    kept = np.load(path)
    note = json.loads(str(kept["note"]))
    found = Survey(kept["label"], kept["total"], kept["genes"], note["names"], note["targets"])
    return found, Attrition([tuple(row) for row in note["rows"]])


def _kept_tests(
    raw: RawCells, found: Survey, options: Preparation, scratch: Path, progress: Progress
) -> Tested:
    path = scratch / "tests.npz"
    if not path.exists():
        controls = Controls.of(
            _cells_where(raw, found, options, found.label == CONTROL, progress, "controls")
        )
        sums = RankSums(controls, len(found.names))
        for rows, chunk in raw.chunks():
            progress("testing", rows.start, raw.n_cells)
            keep = found.label[rows] >= 0
            if keep.any():
                sums.add(normalised(found, options, rows, chunk, keep), found.label[rows][keep])
        shape = len(found.names), len(found.genes)
        change, adjusted, shift = (np.empty(shape, dtype=np.float32) for _ in range(3))
        for p in range(len(found.names)):
            tests = sums.tests(p)
            change[p], adjusted[p] = tests.log2_fold_change, tests.p_adjusted
            shift[p] = sums.total[:, p] / sums.n_cells[p] - controls.mean
        _save(path, change=change, adjusted=adjusted, shift=shift, n_cells=sums.n_cells)
    kept = np.load(path)
    return Tested(kept["change"], kept["adjusted"], kept["shift"], kept["n_cells"])


def _save(path: Path, **arrays: np.ndarray) -> None:
    partial = path.with_suffix(".part.npz")
    np.savez(partial, **arrays)  # type: ignore[arg-type]
    partial.replace(path)


def _cells_where(
    raw: RawCells,
    found: Survey,
    options: Preparation,
    keep: np.ndarray,
    progress: Progress,
    what: str,
) -> sparse.csr_matrix:
    parts = []
    for rows, chunk in raw.chunks():
        progress(what, rows.start, raw.n_cells)
        if keep[rows].any():
            parts.append(normalised(found, options, rows, chunk, keep[rows]))
    return sparse.csr_matrix(sparse.vstack(parts))


def _write(
    raw: RawCells,
    found: Survey,
    tasks: Tasks,
    tested: Tested,
    path: Path,
    options: Preparation,
    progress: Progress,
    about: dict,
) -> None:
    """Write the prepared file. about: its attributes."""
    controls = controls_kept(found, about["name"], options)
    number = np.full(len(found.names), -1)
    number[tasks.perturbations] = np.arange(len(tasks.names))
    task = np.where(found.label >= 0, number[np.maximum(found.label, 0)], -1)
    rows = {"controls": controls, "cells": np.argsort(task, kind="stable")[(task < 0).sum() :]}
    n_values, content = _values_of(raw, found, options, progress)

    writer = Writer(path)
    words = {
        "genes": tasks.genes,
        "names": tasks.names,
        "targets": [SEPARATOR.join(t) for t in tasks.targets],
        "split": tasks.split,
        "profile_names": found.names,
        "profile_targets": [SEPARATOR.join(str(tasks.genes[g]) for g in t) for t in found.targets],
    }
    for name, values in words.items():
        writer.put(name, text(values))
    numbers = {
        "first": np.cumsum([0, *tested.n_cells[tasks.perturbations]]),
        "candidates": np.concatenate(tasks.candidates).astype(np.int32),
        "candidates_first": np.cumsum([0, *map(len, tasks.candidates)]),
        "cluster": tasks.cluster,
        "trivial": tasks.trivial,
        "n_differential": tasks.n_differential,
        "change": tested.change[tasks.perturbations],
        "adjusted": tested.adjusted[tasks.perturbations],
        "profile_cells": tested.n_cells,
        "profiles": tested.shift,
    }
    for name, values in numbers.items():
        writer.put(name, values)
    for group, cells in rows.items():
        pointers = np.cumsum([0, *n_values[cells]])
        writer.put(f"{group}/indptr", pointers)
        writer.reserve(f"{group}/data", (int(pointers[-1]),), np.float32)
        writer.reserve(
            f"{group}/indices",
            (int(pointers[-1]),),
            np.uint16 if len(tasks.genes) < 2**16 else np.int32,
        )
    for name in NOISE:
        writer.reserve(name, (len(tasks.names),), np.float64)
    starts = {group: _starts(cells, n_values, raw.n_cells) for group, cells in rows.items()}
    arrays = writer.mapped()
    _fill(raw, found, options, arrays, starts, progress)
    n_genes = len(tasks.genes)
    (control_rows,) = _rows(
        arrays, "controls", n_values[rows["controls"]], n_genes, [0, len(controls)]
    )
    rng = generator("cells", "noise", about["name"], options.seed)
    found_noise = noise_ceiling(
        lambda: _rows(arrays, "cells", n_values[rows["cells"]], n_genes, numbers["first"]),
        control_rows,
        rng,
        progress=lambda done, of: progress("noise ceiling", raw.n_cells * done // of, raw.n_cells),
    )
    for name, values in zip(NOISE, found_noise, strict=True):
        arrays[name][:] = values
        arrays[name].flush()  # type: ignore[attr-defined]
    writer.finish(about, digest(READING, options.values, content))


def _rows(arrays, group: str, n_values, n_genes: int, ends) -> Iterator[sparse.csr_matrix]:
    """The cells of a group from each of the ends to the next. n_values: values per cell."""
    pointers = np.cumsum([0, *n_values])
    for low, high in itertools.pairwise(ends):
        some = slice(pointers[low], pointers[high])
        parts = (
            arrays[f"{group}/data"][some],
            arrays[f"{group}/indices"][some].astype(np.int32),
            pointers[low : high + 1] - some.start,
        )
        yield sparse.csr_matrix(parts, shape=(high - low, n_genes))


def _values_of(raw, found, options, progress) -> tuple[np.ndarray, list[str]]:
    """(M,) number of non-zero values in the kept genes, 0 for cells that are left out; and digests
    of the labels, values and totals of the others, as the file has them."""
    n_values = np.zeros(raw.n_cells, dtype=np.int64)
    parts = [hashlib.blake2b(digest_size=16) for _ in range(5)]
    for rows, chunk in raw.chunks():
        progress("counting", rows.start, raw.n_cells)
        label = found.label[rows]
        keep = (label >= 0) | (label == CONTROL)
        values = kept_values(found, chunk, keep)
        n_values[rows][keep] = counts = np.diff(values.indptr)
        totals = found.total[rows][keep] if options.values == "counts" else np.zeros(0)
        for part, array in zip(
            parts, (label[keep], counts, values.indices, values.data, totals), strict=True
        ):
            kind = "<f4" if array.dtype.kind == "f" else "<i8"
            part.update(np.ascontiguousarray(array, dtype=kind).data)
    return n_values, [part.hexdigest() for part in parts]


def _starts(rows: np.ndarray, n_values: np.ndarray, n_cells: int) -> np.ndarray:
    """(n_cells,) where the values of each of the rows begin in the output; -1 for other cells."""
    starts = np.full(n_cells, -1, dtype=np.int64)
    starts[rows] = np.cumsum([0, *n_values[rows]])[:-1]
    return starts


def _fill(raw, found, options, arrays, starts, progress) -> None:
    for rows, chunk in raw.chunks():
        progress("writing", rows.start, raw.n_cells)
        for group, start in starts.items():
            keep = start[rows] >= 0
            if not keep.any():
                continue
            cells = normalised(found, options, rows, chunk, keep)
            counts = np.diff(cells.indptr)
            to = np.repeat(start[rows][keep] - cells.indptr[:-1], counts) + np.arange(cells.nnz)
            arrays[f"{group}/data"][to] = cells.data
            arrays[f"{group}/indices"][to] = cells.indices
    for array in arrays.values():
        if isinstance(array, np.memmap):
            array.flush()
