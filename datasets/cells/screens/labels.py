"""What the labels of cells mean: which cells are controls, and which genes a perturbation targets.

A label names its parts joined by +. The name of a control among them is no target (GENE+ctrl), and
order means nothing (A+B, B+A). Blanks around labels and parts are dropped.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from cdnbench.datasets.cells.screens.options import SEPARATOR, Preparation
from cdnbench.datasets.cells.screens.raw import RawCells
from cdnbench.errors import InvalidData, did_you_mean


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of M cells.

    names: (M,) the perturbation of each cell, None for controls and cells without one. control:
    (M,) bool. targets: the targets of each perturbation as the file names them. like_controls:
    perturbations that are called like usual controls, and their numbers of cells.
    """

    names: np.ndarray
    control: np.ndarray
    targets: dict[str, list[str]]
    like_controls: dict[str, int] = field(default_factory=dict)

    @property
    def labelled(self) -> np.ndarray:
        """(M,) bool, True for controls and perturbed cells."""
        return self.control | (self.names != None)  # noqa: E711, for each element

    def distinct(self, selected: np.ndarray | slice = slice(None)) -> int:
        """Number of perturbations among the selected cells."""
        return len(set(self.names[selected]) - {None})


def read_labels(raw: RawCells, options: Preparation) -> Labels:
    """Read the columns of obs that say what was done to each cell.

    Raises
    ------
    InvalidData: a column that is missing, a control that no cell has, or that other cells spell in
    other letters, a pattern of controls that matches a gene, or cells of one perturbation with
    different targets.
    """
    column = written_column(raw, options.perturbation)
    labels = [
        None if missing else str(value).strip()
        for value, missing in zip(column, column.isna(), strict=True)
    ]
    counts = Counter(label for label in labels if label is not None)
    is_control = _controls(raw, options, counts)
    unlabelled = {label for label in counts if label in _MISSING and not is_control(label)}
    labels = [None if label in unlabelled else label for label in labels]
    perturbed = {
        label: parts
        for label in counts
        if label not in unlabelled
        and not is_control(label)
        and (parts := _targets_in(label, is_control))
    }
    _check_spelling(raw, options, is_control, counts, perturbed)
    like_controls = {
        label: counts[label]
        for label in perturbed
        if _USUAL.match(label) and label not in is_control.genes and SEPARATOR not in label
    }
    name_of = _names(perturbed)
    names = np.full(len(labels), None, dtype=object)
    names[:] = [None if label is None else name_of.get(label) for label in labels]
    control = np.array([label is not None and label not in perturbed for label in labels])
    if not options.target:
        targets = {name_of[label]: parts for label, parts in perturbed.items()}
        ordered = {name: _ordered(name, targets[name]) for name in targets}
        return Labels(names, control, ordered, like_controls)
    return Labels(names, control, _targets(raw, options, names, is_control), like_controls)


def column_of(raw: RawCells, name: str):
    """A column of obs; `UnknownName` where there is none."""
    if name not in raw.obs:
        raise did_you_mean(f"column of obs in {raw.path}", name, map(str, raw.obs.columns))
    return raw.obs[name]


def written_column(raw: RawCells, name: str):
    """A column of labels: as it is written where it was read from text, so that 01 is not 1."""
    column = column_of(raw, name)
    return column if raw.written is None else raw.written[name]


_USUAL = re.compile(
    r"(?:sg[\W_]?)?(?:ctrl|control|ntc?(?:\d+$|$|[\W_])|non.?target|scramble)"
    r"|neg|safe|mock|dmso|vehicle|untreated|wt(?:$|[\W_])",
    re.I,
)
"""How labels of controls usually begin. NT5E and WT1 are genes."""
_MISSING = frozenset({"NA", "N/A", "NaN", "nan", "<NA>", "NULL"})
"""How R and pandas write that a cell has no label. They are labels where `--control` names them."""


def frequent(counts: Counter[str]) -> str:
    """The labels with most rows, for a message; those that look like controls first."""
    order = {label: (not _USUAL.match(label), -n, label) for label, n in counts.items()}
    most = [(label, counts[label]) for label in sorted(counts, key=order.__getitem__)[:4]]
    shown = [f"{label} ({n:,} {'row' if n == 1 else 'rows'})" for label, n in most]
    return ", ".join(shown) or "none"


@dataclass(frozen=True)
class _Controls:
    """Which labels, or parts of labels, are controls. A pattern matches no gene of the file.

    begins: what each pattern begins with, before * or ?.
    """

    exact: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]
    begins: tuple[str, ...]
    genes: frozenset[str]

    def __call__(self, label: str) -> bool:
        return label in self.exact or (
            label not in self.genes and any(p.fullmatch(label) for p in self.patterns)
        )

    def but_for_case(self, label: str) -> bool:
        """Whether a label, no gene, is the name of a control in other small or capital letters.

        A pattern such as non* in other letters may match a gene that the file does not have (NONO),
        one such as NT_* does not.
        """
        if label in self.genes:
            return False
        if label.lower() in {name.lower() for name in self.exact}:
            return True
        return any(
            re.fullmatch(pattern.pattern, label, re.IGNORECASE)
            and (_USUAL.match(label) or not begin[-1:].isalnum())
            for pattern, begin in zip(self.patterns, self.begins, strict=True)
        )


def _controls(raw: RawCells, options: Preparation, counts: Counter[str]) -> _Controls:
    """A label as a whole, or several names and patterns (with * and ?) separated by commas."""
    whole = options.control.strip()
    wanted = [whole] if whole in counts else [w.strip() for w in whole.split(",") if w.strip()]
    genes = frozenset(raw.genes)
    measured = genes & {part for label in counts for part in _parts(label)}
    exact, patterns, begins = set(), [], []
    for name in wanted or [whole]:
        if name in counts:
            exact.add(name)
            continue
        # A pattern matches within a part, so that NT* does not match NT+GENE.
        pattern = re.compile(
            re.escape(name).replace(r"\*", f"[^{SEPARATOR}]*").replace(r"\?", f"[^{SEPARATOR}]")
        )
        found = [label for label in counts if pattern.fullmatch(label)]
        if not found:
            raise InvalidData(
                f"{raw.path}: no row has {options.perturbation} = {name!r}.{_near(name, counts)} "
                "Name the controls: --control NAME, several as --control 'a,b' or --control "
                f"'NT_*'. Frequent: {frequent(counts)}."
            )
        if wrong := sorted(gene for gene in measured if pattern.fullmatch(gene)):
            raise InvalidData(
                f"{raw.path}: the control {name!r} also matches the perturbed genes "
                f"{', '.join(wrong[:3])}. Write a narrower pattern: --control NAME."
            )
        patterns.append(pattern)
        begins.append(re.split(r"[*?]", name)[0])
    return _Controls(frozenset(exact), tuple(patterns), tuple(begins), genes)


def _check_spelling(
    raw: RawCells,
    options: Preparation,
    is_control: _Controls,
    counts: Counter[str],
    perturbed: dict[str, list[str]],
) -> None:
    """Raises
    ------
    InvalidData: a perturbation differs from a control in small and capital letters alone.
    """
    for label, parts in perturbed.items():
        for part in filter(is_control.but_for_case, parts):
            both = f"--control '{options.control.strip()},{part}'"
            name_both = f"Name both: {both}, or" if part in counts else "Spell both alike, or"
            raise InvalidData(
                f"{raw.path}: {part!r} (in {counts[label]:,} cells of {label!r}) differs from a "
                "control in capital letters alone, but would count as a perturbation. "
                f"{name_both} rename it if it is none."
            )


def _near(name: str, counts: Counter[str]) -> str:
    """Labels that may have been meant, as part of a sentence."""
    longer = [label for label in counts if name and label.lower().startswith(name.lower())]
    if len(longer) > 1:
        start = longer[0][: len(name)]
        return f" {len(longer)} labels begin so: --control '{start}*' names them all."
    lower = {label.lower(): label for label in counts}
    near = difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(lower[label] for label in near)}?" if near else ""


def _parts(label: str) -> list[str]:
    return [part.strip() for part in label.split(SEPARATOR)]


def _targets_in(label: str, is_control: _Controls) -> list[str]:
    """The parts of a label that are no control."""
    return [part for part in _parts(label) if not is_control(part)]


def _names(perturbed: dict[str, list[str]]) -> dict[str, str]:
    """Label -> name of the perturbation. Labels of the same parts get one name: their parts as they
    are spelt where all spell them alike, else in alphabetical order."""
    spellings: dict[tuple[str, ...], set[str]] = {}
    for parts in perturbed.values():
        spellings.setdefault(tuple(sorted(parts)), set()).add(SEPARATOR.join(parts))
    return {
        label: min(spelt) if len(spelt := spellings[key]) == 1 else SEPARATOR.join(key)
        for label, parts in perturbed.items()
        for key in [tuple(sorted(parts))]
    }


def _ordered(name: str, parts: Iterable[str]) -> list[str]:
    """The parts in the order in which a name has them."""
    order = name.split(SEPARATOR)
    return sorted(parts, key=order.index)


def _targets(
    raw: RawCells, options: Preparation, names: np.ndarray, is_control: _Controls
) -> dict[str, list[str]]:
    """The targets of each perturbation from a column of their own."""
    found: dict[str, list[str]] = {}
    column = column_of(raw, options.target).astype(str)
    for name, target in zip(names, column, strict=True):
        if name is None:
            continue
        genes = _targets_in(target, is_control) or [""]
        if sorted(found.setdefault(name, genes)) != sorted(genes):
            raise InvalidData(
                f"{raw.path}: cells of {name!r} name {'+'.join(found[name])} and {target} as "
                f"targets in {options.target!r}; "
                "a perturbation has one set of targets."
            )
    return found
