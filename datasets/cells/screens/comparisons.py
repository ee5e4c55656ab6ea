"""Which rows of a user's own file are compared with which, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cdnbench.datasets.cells.screens.labels import Labels, frequent, read_labels, written_column
from cdnbench.datasets.cells.screens.options import Preparation
from cdnbench.datasets.cells.screens.raw import RawCells
from cdnbench.datasets.cells.screens.survey import fulfils
from cdnbench.digest import generator
from cdnbench.errors import InvalidData
from cdnbench.prediction.options import LEAST_ROWS, Reading
from cdnbench.prediction.screening import Comparison

DROPPED = -1


@dataclass(frozen=True, eq=False)
class Comparisons:
    """C comparisons within G groups.

    found: the comparisons. group: (C,) number of the group of each. groups: names of the groups.
    perturbed: (M,) number of the comparison whose perturbed side a row is on, or DROPPED. control:
    (M,) number of the group whose control a row is, or DROPPED. notes: what was left out.
    """

    found: list[Comparison]
    group: np.ndarray
    groups: list[str]
    perturbed: np.ndarray
    control: np.ndarray
    notes: list[str]

    @cached_property
    def perturbed_rows(self) -> list[np.ndarray]:
        """Ascending numbers of the perturbed rows of each comparison."""
        return _rows_of(self.perturbed, len(self.found))

    @cached_property
    def control_rows(self) -> list[np.ndarray]:
        """Ascending numbers of the control rows of each group."""
        return _rows_of(self.control, len(self.groups))

    def controls_for_methods(self, group: int, reading: Reading) -> np.ndarray:
        """Ascending numbers of the control rows of a group that methods get."""
        rows = self.control_rows[group]
        if len(rows) <= reading.max_controls:
            return rows
        rng = generator("predict", "controls", self.groups[group], reading.seed)
        return np.sort(rng.choice(rows, reading.max_controls, replace=False))


def _rows_of(number: np.ndarray, n: int) -> list[np.ndarray]:
    """Where each of the numbers 0 .. n - 1 stands."""
    order = np.argsort(number, kind="stable")
    ends = np.searchsorted(number[order], np.arange(n + 1))
    return np.split(order[ends[0] : ends[-1]], ends[1:-1] - ends[0])


def rows_asked_for(raw: RawCells, reading: Reading) -> tuple[Labels, np.ndarray, np.ndarray]:
    """The labels, (M,) bool the rows with a label that fulfil the condition, and (M,) their groups,
    None for a row without one.

    Raises
    ------
    UnknownName, InvalidData: columns, controls or a condition that cannot be used.
    """
    options = Preparation(perturbation=reading.perturbation, control=reading.control)
    labels = read_labels(raw, options)
    if not labels.distinct():
        raise InvalidData(
            f"{raw.path}: every label in {reading.perturbation!r} is a control by --control "
            f"{reading.control!r}, so that nothing is left to compare. Name fewer controls."
        )
    selected = labels.labelled & (labels.names != "")
    if reading.where:
        selected &= fulfils(raw, reading.where)
    if not reading.group:
        return labels, selected, np.full(raw.n_cells, "", dtype=object)
    column = written_column(raw, reading.group)
    group = np.array(
        [None if m else str(v).strip() for v, m in zip(column, column.isna(), strict=True)],
        dtype=object,
    )
    return labels, selected, group


def compare(
    raw: RawCells, reading: Reading, labels: Labels, selected: np.ndarray, group: np.ndarray
) -> Comparisons:
    """Each perturbation of each group against the controls of this group.

    selected: (M,) bool, the rows that can be used.

    Raises
    ------
    InvalidData: nothing is left to compare; the message says what was left out.
    """
    notes = []
    without = int((~labels.labelled | (labels.names == "")).sum())
    if without:
        notes.append(f"{without:,} rows without a label in {reading.perturbation!r} are left out.")
    if labels.like_controls:
        names = [f"{name!r} ({n:,} rows)" for name, n in labels.like_controls.items()]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        like = ", ".join(names[:5]) + more
        both = ",".join([reading.control.strip(), *labels.like_controls])
        cure = (
            f"name all: --control '{both}'."
            if len(labels.like_controls) <= 3
            else "name all, with * for what differs: --control 'NAME,neg-ctrl-*'."
        )
        notes.append(
            f"{like}: called like controls, but compared as perturbations. If they are controls, "
            f"{cure}"
        )
    nowhere = selected & np.array([g is None or g == "" for g in group]) & bool(reading.group)
    if nowhere.any():
        notes.append(f"{int(nowhere.sum()):,} rows without a {reading.group!r} are left out.")
        selected = selected & ~nowhere
    groups, place = np.unique(group[selected].astype(str), return_inverse=True)
    number = np.full(raw.n_cells, DROPPED)
    number[selected] = place
    control = np.where(labels.control, number, DROPPED)
    n_controls = np.bincount(control[control >= 0], minlength=len(groups))
    others = selected & ~labels.control
    names, which = np.unique(labels.names[others].astype(str), return_inverse=True)
    notes += _spelt_alike(names.tolist(), raw.genes)
    pairs, index, sizes = np.unique(
        number[others].astype(np.int64) * max(len(names), 1) + which,
        return_inverse=True,
        return_counts=True,
    )
    in_group, named = pairs // max(len(names), 1), pairs % max(len(names), 1)
    enough, controlled = sizes >= LEAST_ROWS, n_controls[in_group] >= LEAST_ROWS
    kept = enough & controlled
    text = lambda places: _listed(  # noqa: E731
        [_name(str(groups[in_group[i]]), str(names[named[i]])) for i in np.flatnonzero(places)]
    )
    if (~enough).any():
        notes.append(
            f"{int((~enough).sum()):,} perturbations with fewer than {LEAST_ROWS} rows are left "
            f"out: {text(~enough)}."
        )
    alone = enough & ~controlled
    if alone.any():
        where = f" in their {reading.group!r}" if reading.group else ""
        notes.append(
            f"{int(alone.sum()):,} perturbations with fewer than {LEAST_ROWS} controls{where} are "
            f"left out: {text(alone)}."
        )
    if not kept.any():
        _refuse(raw, reading, labels, selected, n_controls, notes)
    position = np.full(len(pairs), DROPPED)
    position[kept] = np.arange(kept.sum())
    perturbed = np.full(raw.n_cells, DROPPED)
    perturbed[others] = position[index]
    found = [
        Comparison(
            str(names[named[i]]),
            str(groups[in_group[i]]),
            int(min(n_controls[in_group[i]], reading.max_controls)),
            int(sizes[i]),
        )
        for i in np.flatnonzero(kept)
    ]
    if (n_controls > reading.max_controls).any():
        notes.append(
            f"Methods get {reading.max_controls:,} controls, drawn at random, where there are "
            f"more (up to {n_controls.max():,}). Effects are of all rows. "
            "--max-controls changes it."
        )
    return Comparisons(found, in_group[kept], list(map(str, groups)), perturbed, control, notes)


def _spelt_alike(names: list[str], genes: list[str]) -> list[str]:
    """A note on perturbations that differ in small and capital letters alone. Those that are all
    genes of the file, as of two species, may well differ."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(name.lower(), []).append(name)
    known = set(genes)
    found = [
        " and ".join(map(repr, same))
        for same in alike.values()
        if len(same) > 1 and not known.issuperset(same)
    ]
    if not found:
        return []
    return [
        f"{_listed(found)} differ in capital letters alone, and each is compared as a perturbation "
        "of its own. If they are one, spell them alike."
    ]


def _refuse(raw, reading, labels, selected, n_controls, notes) -> None:
    from collections import Counter

    if not n_controls.sum():
        left = frequent(Counter(labels.names[selected & ~labels.control].astype(str).tolist()))
        what = f"no control ({reading.perturbation} = {reading.control!r}) is left"
        cure = f"Change --where, or name other controls: --control NAME. Left: {left}."
    else:
        what, cure = "no perturbation is left to compare", "Change --where, --group or --control."
    raise InvalidData(f"{raw.path}: {what}. {' '.join(notes)} {cure}".replace("  ", " "))


def _name(group: str, perturbation: str) -> str:
    return f"{group}: {perturbation}" if group else perturbation


def _listed(names: list[str], most: int = 5) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
