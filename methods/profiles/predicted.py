"""Any forward model's predicted profiles, inverted: which gene's predicted profile looks most like
what was seen?

A forward model (State, TxPert, scGPT, GEARS, ...) predicts how the expression of all genes answers
to the perturbation of one. Its predictions are computed elsewhere and given as a file, so models
that are not part of this package stand in the same tables. A candidate scores the Pearson
correlation of its predicted change with the observed mean shift, over the genes that both the task
and the file have, as `nearest-profile` and `gears` score.

The file is an .h5ad, .csv, .tsv, .parquet or .npz with one row per perturbed gene and one column
per measured gene. Rows are named by the gene's symbol; "GENE+ctrl" and "ctrl+GENE" mean GENE. Rows
that name no candidate (controls, pairs of genes) are not used.

Parameters
    file      where the predictions are. `{line}` stands for the cell line of the task, for one file
              per line: `predicted/{line}.h5ad`. One file is refused for tasks of several lines,
              since a model predicts for one line at a time.
    column    the column (of obs, in an .h5ad) that names the perturbed gene; empty for the names of
              the rows
    holds     change: predicted expression after minus before, the default.
              expression: predicted expression after, on the scale of the task's data. The mean of
              the task's control cells is subtracted.

Candidates without a row score NaN. The predictions must come from a model that did not see the test
perturbations; the file cannot tell, so this is yours to see to. The key of a stored result has the
digest of the file's content, with `{line}` of the contents of all files that fit.

Our own; there is no reference code. Licence: MIT, with this package.
"""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from cdnbench.digest import digest
from cdnbench.errors import CannotRun, InvalidParameter, InvalidTask
from cdnbench.method import MethodInfo, Trial
from cdnbench.methods.profiles.profiles import shift, standardised
from cdnbench.profile_files import read_profiles
from cdnbench.table_layout import some
from cdnbench.task import Task

LINE = "{line}"
"""Stands for the cell line of a task in the name of a file."""


def _trial_file(folder: Path) -> dict[str, str]:
    """Parameters that name a file in which every gene moves itself, for tests."""
    genes = [f"{letter}{i}" for letter in "vg" for i in range(20)] + list("abcde")
    path = folder / "predicted.csv"
    rows = [",".join([gene, *("5" if other == gene else "0" for other in genes)]) for gene in genes]
    lines = [",".join(["gene", *genes]), *rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return {"file": str(path)}


@dataclass(frozen=True)
class PredictedProfiles:
    """Correlation of given predictions with the observed shift."""

    file: str = ""
    column: str = ""
    holds: Literal["change", "expression"] = "change"

    info: ClassVar[MethodInfo] = MethodInfo(
        name="profiles",
        summary="Candidates by how well their profiles in a file, predicted by any forward model, "
        "correlate with the observed shift",
        licence="MIT",
        reference="our own code; the profiles are those of any forward model",
        baseline=True,
        supervised="pretrained",
        default=False,
        per_line=True,
        preload=("pandas", "numpy.rec"),
        min_samples=1,
        needs_symbols=True,
        depends_on_units=True,
        trial=Trial(parameters=_trial_file),
    )

    def __post_init__(self) -> None:
        if self.holds not in ("change", "expression"):
            raise InvalidParameter(f"profiles: holds is change or expression; got {self.holds!r}.")

    def file_of(self, line: str) -> Path:
        """The file for a cell line, "" for tasks without.

        Raises
        ------
        InvalidParameter: there is no such file, or the line is not known.
        """
        if LINE in self.file and not line:
            raise InvalidParameter(
                f"profiles: {self.file} has a file per cell line, and the task names none. Write "
                "profiles:file=FILE without {line}."
            )
        path = Path(self.file.replace(LINE, line))
        if not path.is_file():
            raise InvalidParameter(
                f"profiles: there is no file {path}. Write profiles:file=FILE with the predicted "
                "profiles."
            )
        return path

    def check_lines(self, lines: Sequence[str]) -> None:
        """Check that there is a file for each line, and none for several.

        Raises
        ------
        InvalidParameter: a file is missing, or would be used on several lines.
        """
        if self.file and LINE not in self.file and len(lines) > 1:
            raise InvalidParameter(
                f"profiles: {self.file} would score tasks of {len(lines)} cell lines "
                f"({some(lines)}), but predictions are of one line. Give one file per line, as in "
                f"profiles:file=predicted/{LINE}.h5ad, or choose one line: --cell-lines "
                "NAME."
            )
        for line in lines if self.file else ():
            self.file_of(line)

    def weights_digest(self) -> str:
        """Digest of the file's content, with `{line}` of the contents of all files that fit; ""
        where none is given.

        Raises
        ------
        InvalidParameter: there is no such file.
        """
        if not self.file:
            return ""
        if LINE not in self.file:
            return _digest_of(self.file_of(""))
        found = _files(self.file)
        if not found:
            raise InvalidParameter(
                f"profiles: no file fits {self.file}. Write the predicted profiles of each cell "
                f"line to a file of its own, with the line's name in place of {LINE}."
            )
        return digest(*((line, _digest_of(path)) for line, path in found.items()))

    def trained_on(self) -> dict[str, Any]:
        """Nothing: the file does not say what its model was trained on."""
        return {}

    def trained_origins(self) -> frozenset[str]:
        """None that is known."""
        return frozenset()

    def predict_targets(self, task: Task, *, seed: int = 0) -> np.ndarray:
        """(R, N) correlations, NaN for genes without a predicted profile.

        Raises
        ------
        CannotRun: no file is given, it has fewer than two of the task's genes as columns, or none
        of the candidates as a row.
        InvalidParameter: the file is missing, or cannot be read as profiles.
        """
        if not self.file:
            raise CannotRun("profiles has no predictions; write profiles:file=FILE")
        file = self.file_of(str(task.metadata.get("cell_line", "")))
        try:
            profiles = read_profiles(file, self.column)
        except InvalidTask as error:
            raise InvalidParameter(f"profiles: {error}") from error
        symbols = task.symbols or ()
        column = {gene: k for k, gene in enumerate(profiles.genes)}
        row = {gene: k for k, gene in enumerate(profiles.perturbed)}
        # by name, so that sums are the same however the task orders its genes
        seen = sorted((i for i, g in enumerate(symbols) if g in column), key=symbols.__getitem__)
        if len(seen) < 2:
            raise CannotRun(
                f"{file} and the task have {len(seen)} genes in common, of "
                f"{len(profiles.genes):,} and {len(symbols):,}; a correlation needs two. Name the "
                "columns by gene symbols, as the task does"
            )
        candidates: np.ndarray = np.any(np.asarray(task.candidates), axis=0, keepdims=True)[0]
        predicted = [i for i, g in enumerate(symbols) if g in row and candidates[i]]
        if not predicted:
            raise CannotRun(
                f"{file} has a row for none of the {int(candidates.sum()):,} candidates; its "
                f"first rows are {', '.join(profiles.perturbed[:3])}. Name the rows by gene symbols"
            )
        values = profiles.values[[row[symbols[i]] for i in predicted]]
        values = values[:, [column[symbols[i]] for i in seen]].astype(np.float64)
        if self.holds == "expression":
            values -= task.observational.mean(axis=0, dtype=np.float64)[seen]
        scores = np.full((task.n_regimes, task.n_variables), np.nan)
        scores[:, predicted] = standardised(shift(task)[:, seen]) @ standardised(values).T
        return scores


def _files(pattern: str) -> dict[str, Path]:
    """Line -> the file that has its name in place of `{line}`, in the order of the lines."""
    parts = pattern.split(LINE)
    found: dict[str, Path] = {}
    for name in glob.glob("*".join(map(glob.escape, parts))):
        first, rest = re.escape(parts[0]), [re.escape(part) for part in parts[1:]]
        fits = re.fullmatch(f"{first}(?P<line>[^/]+?){'(?P=line)'.join(rest)}", name)
        if fits and Path(name).is_file():
            found[fits["line"]] = Path(name)
    return dict(sorted(found.items()))


def _digest_of(path: Path) -> str:
    facts = path.stat()
    return _content_digest(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=16)
def _content_digest(path: Path, changed_ns: int, size: int) -> str:
    """blake2b of a file's content. changed_ns, size: so that a changed file is read anew."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
