"""A task from two files, control and perturbed, and what a reader of its ranking should know."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cdnbench.descriptions import (
    constant_on_sides,
    listed,
    named_as_descriptions,
    note_on_descriptions,
    numbers_of_rows,
)
from cdnbench.digest import generator
from cdnbench.errors import InvalidTask, did_you_mean
from cdnbench.samples import read_samples
from cdnbench.scales import PLAIN, Side, has_one_total, sums_of_rows, why_scaled_otherwise
from cdnbench.table_layout import is_nameless, some
from cdnbench.tables import Table, without_columns
from cdnbench.task import Task
from cdnbench.treatment import FEW_VARIABLES, SMALL_COUNT, Seen, treated, treatment_of
from cdnbench.values import Extent, kind_of_values, lost_in_float32, why_unlike

FEW_ROWS = 10
"""Fewer rows on a side than this are worth a warning."""
_LEVEL = 0.05


@dataclass(frozen=True)
class Pair:
    """A single-regime task and sentences on how it was read and how far to trust it."""

    task: Task
    notes: tuple[str, ...]


def read_pair(
    control: Path,
    perturbed: Path,
    *,
    transpose: bool = False,
    intersect: bool = False,
    as_is: bool = False,
    not_variables: str = "",
) -> Pair:
    """The single-regime task of two files. Columns are matched by name and stand in the order of
    the control file.

    transpose: whether variables are in rows. intersect: keep the variables that both files have.
    as_is: use the values as they are, and compare the files even if they look alike, or hold
    different kinds of values. not_variables: columns that are no variables, separated by commas.

    Raises
    ------
    InvalidTask: a file that cannot be read, columns that differ, files that are the same, or values
    of different kinds; the message names the files and the way out.
    """
    if control.exists() and perturbed.exists() and os.path.samefile(control, perturbed):
        raise InvalidTask(f"{control} and {perturbed} are the same file. Give two files.")
    first = read_samples(control, transpose=transpose)
    second = read_samples(perturbed, transpose=transpose)
    notes = [*first.notes, *second.notes]
    first, second = _described(first, second, listed(not_variables), (control, perturbed))
    if not as_is:
        _check_orientation(first, second, control, perturbed, transpose)
    variables, left_out = _common(first, second, (control, perturbed), transpose, intersect)
    if left_out:
        notes.append(left_out)
    before, after = _columns(first, variables), _columns(second, variables)
    copies, kind = _copies(before, after), kind_of_values(after)
    suspicious = named_as_descriptions(variables) | constant_on_sides(before, after)
    suspicious |= numbers_of_rows(before, after)
    notes += note_on_descriptions(variables, suspicious)
    if not as_is:
        _check_contents(before, after, copies, control, perturbed)
        _check_scales(first, second, control, perturbed)
        genes = any(path.suffix == ".h5ad" for path in (control, perturbed))
        one_total = all(_has_one_total(table) for table in (first, second))
        before, after, on_values = _treated(before, after, genes, one_total, (control, perturbed))
        notes += on_values
    notes += _warnings(before, after, copies if kind != "counts" else None, control, perturbed)
    before, after, shifted = _centred(before, after, variables)
    if shifted:
        notes.append(
            f"{some(shifted)}: the differences are too small for float32 beside the values, so the "
            "control's mean was subtracted from these variables."
        )
    task = Task(name=perturbed.stem, variables=variables, observational=before, regimes=[after])
    return Pair(task, tuple(notes))


def _described(
    first: Table, second: Table, names: list[str], paths: tuple[Path, Path]
) -> tuple[Table, Table]:
    """Both tables without columns that describe the samples, which one of them may lack."""
    where = f"{paths[0]} and {paths[1]}"
    for name in names:
        if is_nameless(name):  # left out already
            continue
        if name not in first.columns and name not in second.columns:
            raise did_you_mean(f"column of {where}", name, first.columns[:50])
    one, other = (
        without_columns(table, [name for name in names if name in table.columns], path)
        for table, path in zip((first, second), paths, strict=True)
    )
    return one, other


def _columns(table: Table, variables: list[str]) -> np.ndarray:
    if table.columns == variables:
        return table.values
    position = {name: i for i, name in enumerate(table.columns)}
    return table.values[:, [position[name] for name in variables]]


def _common(
    before: Table, after: Table, paths: tuple[Path, Path], transpose: bool, intersect: bool
) -> tuple[list[str], str]:
    """The variables to compare, and a sentence on those that are left out."""
    known, others = set(before.columns), set(after.columns)
    common = [v for v in before.columns if v in others]
    missing = [v for v in before.columns if v not in others]
    extra = [v for v in after.columns if v not in known]
    parts = [f"{some(missing)} only in {paths[0]}"] if missing else []
    parts += [f"{some(extra)} only in {paths[1]}"] if extra else []
    if not parts:
        return common, ""
    if intersect and common:
        count = f"{len(common)} variables are in both files"
        return common, f"{count} and are compared. Left out: " + "; ".join(parts) + "."
    words = ["The two files must have the same variables: " + "; ".join(parts) + "."]
    if common:
        words.append(f"--intersect compares the {len(common)} that both files have.")
    else:
        words.append("They have none in common.")
    if not transpose and _overlap(before.rows, after.rows) >= 0.5:
        words.append("The rows have the same names: use --transpose if they are the variables.")
    raise InvalidTask(" ".join([*words, *before.notes, *after.notes]))


def _check_orientation(
    before: Table, after: Table, control: Path, perturbed: Path, transpose: bool
) -> None:
    """Two samples rarely share a name; two files with the same variables share all of them.

    Raises
    ------
    InvalidTask: the rows of both files have the same names, so they may be the variables.
    """
    same_columns = set(before.columns) == set(after.columns)
    if not transpose and same_columns and _overlap(before.rows, after.rows) >= 0.5:
        names = [name for name in before.rows or () if name in set(after.rows or ())]
        raise InvalidTask(
            f"The rows of {control} and {perturbed} have the same names ({some(names)}). If these "
            "are variables, use --transpose; if they are samples, --as-is compares the files as "
            "they are."
        )


def _overlap(first: list[str] | None, second: list[str] | None) -> float:
    """Share of the row labels that both files have; 0 where they only count the rows."""
    one, two = (set() if _counts_on(labels) else set(labels or ()) for labels in (first, second))
    return len(one & two) / max(len(one | two), 1)


def _counts_on(labels: list[str] | None) -> bool:
    """Whether labels are consecutive whole numbers, or numbers with fractions. Identifiers of genes
    may be numbers as well, but these leave gaps."""
    if not labels or not all(label.replace(".", "").isdigit() for label in labels):
        return False
    numbers = sorted({float(label) for label in labels if label.count(".") <= 1})
    whole = all(number.is_integer() for number in numbers)
    return not whole or not numbers or numbers[-1] - numbers[0] < 2 * len(numbers)


@dataclass(frozen=True)
class _Copies:
    """How many perturbed rows are control rows as well, and whether the two sides are one set."""

    n_shared: int
    same: bool


def _copies(before: np.ndarray, after: np.ndarray) -> _Copies:
    """Rows that are equal up to a rewrite: within 1e-5 of each variable's standard deviation.

    Rows are sorted by a random projection, in which equal rows are neighbours.
    """
    spread = before.std(axis=0)
    spread = np.where(spread > 0, spread, np.maximum(np.abs(before[0]), 1.0))
    weights = generator("projection of rows", len(spread)).normal(size=len(spread)) / spread
    keys = [(side - before[0]) @ weights for side in (before, after)]
    order = [np.argsort(key, kind="stable") for key in keys]

    def alike(one: np.ndarray, two: np.ndarray) -> np.ndarray:
        return (np.abs(before[one] - after[two]) <= 1e-5 * spread).all(axis=1)

    known = keys[0][order[0]]
    right = np.searchsorted(known, keys[1]).clip(max=len(known) - 1)
    left = (right - 1).clip(min=0)
    closer = np.abs(known[left] - keys[1]) < np.abs(known[right] - keys[1])
    shared = alike(order[0][np.where(closer, left, right)], np.arange(len(after)))
    same = len(before) == len(after) and bool(alike(*order).all())
    return _Copies(int(shared.sum()), same)


def _check_contents(
    before: np.ndarray, after: np.ndarray, copies: _Copies, control: Path, perturbed: Path
) -> None:
    """Raises
    ------
    InvalidTask: the two sides are the same samples, or hold different kinds of values.
    """
    why = why_unlike(before, after)
    if why:
        raise InvalidTask(
            f"{control} and {perturbed} hold different kinds of values: {why}. Treat both alike "
            "first, or use --as-is if this is meant."
        )
    if copies.same:
        raise InvalidTask(
            f"{control} and {perturbed} hold the same samples. Give the samples after the "
            "intervention as the second file, or use --as-is if this is meant."
        )
    if copies.n_shared == len(after) and kind_of_values(after) != "counts":
        raise InvalidTask(
            f"Every row of {perturbed} is also in {control}. Remove the perturbed samples from the "
            "control, or use --as-is if this is meant."
        )


def _check_scales(first: Table, second: Table, control: Path, perturbed: Path) -> None:
    """Files are compared with all columns that they have, over which they were normalised.

    Raises
    ------
    InvalidTask: the rows of the two files were normalised or logged in other ways.
    """
    kind = kind_of_values(first.values)
    if kind != kind_of_values(second.values) or kind == "counts":
        return  # other kinds are told by their values, and counts are normalised
    why = why_scaled_otherwise(
        (Side(sums_of_rows(first.values, kind)), Side(sums_of_rows(second.values, kind))),
        (f"rows of {control}", f"rows of {perturbed}"),
        min(len(first.columns), len(second.columns)),
        same_columns=set(first.columns) == set(second.columns),
    )
    if why:
        raise InvalidTask(
            f"{control} and {perturbed} were not normalised alike: {why}. Treat both alike first, "
            "or use --as-is if this is meant."
        )


def _has_one_total(table: Table) -> bool:
    """Whether the rows of a file, with all columns that it has, have one total."""
    sums = sums_of_rows(table.values, kind_of_values(table.values)).get(PLAIN)
    return sums is not None and has_one_total(sums)


def _treated(
    before: np.ndarray,
    after: np.ndarray,
    genes: bool,
    one_total: bool,
    paths: tuple[Path, Path],
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Both sides as methods get them, by the rule for one file, and notes. one_total: whether each
    file was normalised, over all columns that it has.

    Raises
    ------
    InvalidTask: every row of a file is empty.
    """
    extent, n = Extent.of(before) | Extent.of(after), before.shape[1]
    if extent.kind in ("log", "scaled") or not (genes or extent.largest > SMALL_COUNT):
        return before, after, []
    sums = [sums_of_rows(side, extent.kind)[PLAIN] for side in (before, after)]
    seen = Seen(extent.kind, extent.largest, n, genes, one_total, extent.lowest, can_name=False)
    found = treatment_of(seen)
    if found.action == "as they are":
        worth_saying = extent.kind == "counts" or (not one_total and n >= FEW_VARIABLES)
        return before, after, [found.note] * worth_saying
    notes = [found.note]
    if found.action == "log of shares":
        if n <= 20 * FEW_VARIABLES:
            notes.append(
                f"If these {n:,} variables are only some of the genes, the sum is no good total: "
                "normalise all genes of both files first."
            )
        for total, path in zip(sums, paths, strict=True):
            if not total.any():
                raise InvalidTask(f"{path} holds nothing but zeros in the variables compared.")
            if empty := int((total == 0).sum()):
                notes.append(f"{path}: {empty:,} rows without any count are left out.")
        before, after = before[sums[0] > 0], after[sums[1] > 0]
    return treated(before, found.action), treated(after, found.action), notes


def _warnings(
    before: np.ndarray, after: np.ndarray, copies: _Copies | None, control: Path, perturbed: Path
) -> list[str]:
    """copies: None where rows may be equal by chance."""
    found = []
    for rows, path in ((before, control), (after, perturbed)):
        if len(rows) < FEW_ROWS:
            found.append(
                f"Few rows: {path} has {len(rows)}. A ranking from so few samples is uncertain; "
                "moderated-t is made for them."
            )
    if copies is not None and copies.n_shared:
        found.append(f"{copies.n_shared} rows of {perturbed} are also in {control}.")
    if min(len(before), len(after)) > 1:
        p = smallest_p(before, after)
        if p > _LEVEL:
            found.append(
                "No variable's mean or spread differs more than chance explains (smallest p-value "
                f"{p:.2g}, corrected for the number of variables). The ranking may be of noise."
            )
    return found


def smallest_p(before: np.ndarray, after: np.ndarray) -> float:
    """The smallest p-value that a variable's mean or spread moved, times the number of tests.

    Welch's t-test on the values, and on their distances from the median of their side (Brown and
    Forsythe 1974).
    """
    from scipy.stats import ttest_ind

    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        p = [
            ttest_ind(one, two, axis=0, equal_var=False).pvalue
            for one, two in (
                (before, after),
                tuple(np.abs(side - np.median(side, axis=0)) for side in (before, after)),
            )
        ]
    constant = (before.std(axis=0) == 0) & (after.std(axis=0) == 0)
    p[0] = np.where(constant & (before[0] != after[0]), 0.0, p[0])
    every = np.nan_to_num(np.concatenate(p), nan=1.0)
    return float(min(1.0, every.min() * len(every)))


def _centred(
    before: np.ndarray, after: np.ndarray, variables: list[str]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """The two sides as float32 can hold them, and the variables that were centred for it.

    Raises
    ------
    InvalidTask: differences that float32 cannot hold even around zero.
    """
    lost = lost_in_float32(before, after)
    if not lost.any():
        return before, after, []
    mean = before[0] + (before - before[0]).mean(axis=0, dtype=np.float64)
    offset = np.where(lost, mean, 0.0)
    sides = (before - offset, after - offset)
    still = lost_in_float32(*sides)
    if still.any():
        names = [v for v, bad in zip(variables, still, strict=True) if bad]
        raise InvalidTask(
            f"{some(names)}: the differences between samples are too small for float32. Multiply "
            "these variables by a constant, in both files alike."
        )
    return *sides, [v for v, bad in zip(variables, lost, strict=True) if bad]
