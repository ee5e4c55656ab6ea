"""What a user says about a file with many perturbations."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cdnbench.errors import InvalidParameter

LEAST_ROWS = 2
"""Perturbations with fewer rows are left out: one row has no spread."""


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
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                option = name.replace("_", "-")
                raise InvalidParameter(
                    f"--{option} is a whole number of {least} or more; got {value!r}."
                )
        for name in ("perturbation", "control"):
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
