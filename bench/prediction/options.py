"""What a user says about a file with many perturbations."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.errors import InvalidParameter

LEAST_ROWS = 2
"""Perturbations with fewer rows are left out: one row has no spread."""


def whole_number(name: str, value: Any, least: int) -> int:
    """The value of an option that is a whole number, numpy's included.

    Raises
    ------
    InvalidParameter: it is none, or too small.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        option = name.replace("_", "-")
        raise InvalidParameter(f"--{option} is a whole number of {least} or more; got {value!r}.")
    return int(value)


def check_number(name: str, value: Any, above: float, below: float, words: str) -> None:
    """Check that the value of an option is a number between two others. words: which ones.

    Raises
    ------
    InvalidParameter: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not above < float(value) < below:
        raise InvalidParameter(f"--{name} is a number {words}; got {value!r}.")


def text_of_control(control: Any) -> str:
    """What a user gives for the controls, one label or several, as one text.

    Raises
    ------
    InvalidParameter: it is neither, or labels cannot be told apart in one text.
    """
    if isinstance(control, str | Real):  # a bool is a label, too
        return str(control)
    if isinstance(control, np.generic):
        return str(control.item())
    if not isinstance(control, Collection) or isinstance(control, bytes | Mapping):
        raise InvalidParameter(
            f"control is the label of the controls, or a list of labels; got {control!r}."
        )
    labels = [str(label) for label in control]
    if len(labels) > 1 and (parted := [label for label in labels if "," in label]):
        raise InvalidParameter(
            f"control lists several labels, and {parted[0]!r} holds a comma, which parts labels. "
            "Write a ? in place of the comma: it stands for any character."
        )
    return ",".join(labels)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a file is read, and how much of it methods get.

    Parameters
    ----------
    perturbation: column with the label of each row.
    control: label of the controls; several, or patterns with * and ?, separated by commas.
    group: column with the cell line or batch of each row. Perturbed rows are compared with the
        controls of their own group. "" for one group.
    where: condition on the columns that a row must fulfil, in the syntax of pandas' `eval`.
    total: column with the total count of each row, for files that hold only some of the genes.
    layer: layer of an .h5ad, or raw; "" for X.
    genes: column of an .h5ad's var that names the genes; "" for its index.
    cells: .csv with one row per barcode or sample, which says what was done to it: for 10x files,
        and for tables whose rows have names.
    transpose: whether a table has variables in rows and samples in columns; it needs `cells`.
    not_variables: columns of a table that are no variables, separated by commas.
    drop_missing: leave out the variables of a table that have missing values.
    as_is: whether values are left as they are, and odd ones accepted.
    candidates: most variables per perturbation that a method gets.
    max_controls: most controls per group that a method gets.
    seed: of the choice of controls.

    Raises
    ------
    InvalidParameter: a number that is out of range, or columns that cannot be one.
    """

    perturbation: str
    control: str
    group: str = ""
    where: str = ""
    total: str = ""
    layer: str = ""
    genes: str = ""
    cells: Path | None = None
    transpose: bool = False
    not_variables: str = ""
    drop_missing: bool = False
    as_is: bool = False
    candidates: int = 1000
    max_controls: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("candidates", 2), ("max_controls", 2), ("seed", 0)):
            value = whole_number(name, getattr(self, name), least)
            object.__setattr__(self, name, value)  # numpy's numbers are plain ones from here on
        for name in ("perturbation", "control"):
            if not isinstance(value := getattr(self, name), str):
                raise InvalidParameter(f"--{name} is a text; got {value!r}.")
            if not str(getattr(self, name)).strip():
                raise InvalidParameter(f"--{name} is empty.")
        for name in ("group", "total"):
            if getattr(self, name) == self.perturbation:
                raise InvalidParameter(
                    f"--{name} and --perturbation name the same column, {self.perturbation!r}. "
                    f"Name another one, or leave --{name} out."
                )

    def plain(self) -> dict[str, Any]:
        """The options as plain values; a file is given by its name."""
        return asdict(self) | {"cells": str(self.cells or "")}
