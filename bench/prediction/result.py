"""Findings: ranked variables for each perturbation, and how they are shown and written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cdnbench.errors import BenchError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

COLUMNS = (
    *("perturbation", "rank", "variable", "score", "probability", "log_fold_change"),
    *("n_control", "n_perturbed", "p", "q", "verdict", "group", "method", "note"),
)
"""The columns of a written ranking, one row per variable of each finding."""
_SHOWN = 5
"""Candidates that a line of `Result.table` names."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Finding:
    """What one method says of one perturbation.

    Parameters
    ----------
    perturbation, group, method: their names; group is "" where there is one only.
    variables: (N,) names, the likeliest target first. The first `n_candidates` were scored by the
        method; the others follow in the order of their effects. Empty if the method gave no scores.
    scores: (N,) float64, higher = more likely; NaN where the method gave none.
    probability: (N,) or None, the probability that each variable is a target.
    log_fold_change: (N,) float64 (`cdnbench.prediction.screening.log_fold_change`).
    n_control, n_perturbed: rows on either side.
    p, q, verdict: evidence that there is anything to find, or None. verdict is one of "targets",
        "moved", "nothing moved", "unexplained" and "undetermined" (`prediction.verdict`).
    named: the variables that the verdict names. sentence: the verdict in words.
    values: of the first variable, at most a few hundred per side: control, perturbed; or None.
    note: what a reader must know, such as why there are no scores.
    """

    perturbation: str
    group: str = ""
    method: str
    variables: np.ndarray
    scores: np.ndarray
    log_fold_change: np.ndarray
    n_control: int
    n_perturbed: int
    n_candidates: int
    probability: np.ndarray | None = None
    p: float | None = None
    q: float | None = None
    verdict: str | None = None
    named: tuple[str, ...] = ()
    sentence: str = ""
    values: tuple[np.ndarray, np.ndarray] | None = None
    note: str = ""

    @property
    def name(self) -> str:
        """The perturbation, with its group where there is one."""
        return f"{self.group}: {self.perturbation}" if self.group else self.perturbation

    @staticmethod
    def ranked(
        variables: np.ndarray,
        scores: np.ndarray,
        outside: np.ndarray,
        changes: Mapping[str, np.ndarray],
        **about: Any,
    ) -> Finding:
        """The finding with its variables in order.

        variables: (C,) candidates. scores: (C,). outside: the other variables in their order.
        changes: "candidates" and "outside" -> their log fold changes. about: the other fields.
        """
        filled = np.where(np.isnan(scores), -np.inf, scores)
        order = np.lexsort((variables.astype(str), -filled))
        unscored = np.full(len(outside), np.nan)
        return Finding(
            variables=np.concatenate([variables[order], outside]),
            scores=np.concatenate([scores[order], unscored]),
            log_fold_change=np.concatenate([changes["candidates"][order], changes["outside"]]),
            n_candidates=len(variables),
            **about,
        )

    @staticmethod
    def without_scores(note: str, **about: Any) -> Finding:
        """The finding of a method that gave no scores. note: why. about: the other fields."""
        none = np.empty(0)
        names = np.empty(0, dtype=object)
        return Finding(
            variables=names, scores=none, log_fold_change=none, n_candidates=0, note=note, **about
        )

    @property
    def failed(self) -> bool:
        """Whether the method gave no scores; `note` says why."""
        return len(self.variables) == 0

    @property
    def rank(self) -> np.ndarray:
        """(N,) ranks from 1. Candidates with equal scores share the mean of their ranks, those
        without a score too; variables that are no candidates follow one by one."""
        from scipy.stats import rankdata

        scored = self.scores[: self.n_candidates]
        ranks = rankdata(np.where(np.isnan(scored), np.inf, -scored))
        rest = np.arange(self.n_candidates + 1.0, len(self.variables) + 1)
        return np.concatenate([ranks, rest])

    def to_frame(self) -> pd.DataFrame:
        """One row per variable, with `COLUMNS`; one row without a variable if the method failed."""
        import pandas as pd

        n = max(len(self.variables), 1)
        missing = np.full(n, np.nan)
        probability = missing if self.probability is None else self.probability
        columns = {
            "rank": missing if self.failed else _whole(self.rank),
            "variable": [None] if self.failed else self.variables,
            "score": missing if self.failed else self.scores,
            "probability": probability,
            "log_fold_change": missing if self.failed else self.log_fold_change,
        }
        for name in ("perturbation", "verdict", "group", "method", "note"):
            value = getattr(self, name)
            known = pd.Index([] if value is None else [value], dtype=object)
            columns[name] = pd.Categorical.from_codes(np.full(n, len(known) - 1), known)
        for name in ("n_control", "n_perturbed"):
            columns[name] = np.full(n, getattr(self, name))
        for name in ("p", "q"):
            value = getattr(self, name)
            columns[name] = missing if value is None else np.full(n, float(value))
        return pd.DataFrame(columns)[list(COLUMNS)]


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """All findings of one prediction.

    settings: what was asked for, as plain values. notes: sentences on how the samples were read and
    how far to trust the rankings. agreements: (perturbation, group) -> a sentence on how far two
    methods agree. rows: (M,) for each row of the file the number of its perturbation in the order
    of the findings, -1 for controls and rows that were left out; None for two files.
    """

    findings: tuple[Finding, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    agreements: Mapping[tuple[str, str], str] = field(default_factory=dict)
    rows: np.ndarray | None = None

    @property
    def table(self) -> pd.DataFrame:
        """One row per finding: its best candidate with score, probability, log fold change and
        direction ("up", "down" or ""), the next ones, rows per side, p, q, verdict and note."""
        import pandas as pd

        return pd.DataFrame([_line(finding) for finding in self.findings], columns=list(_LINE))

    def finding(self, name: str, group: str | None = None, method: str | None = None) -> Finding:
        """The finding of a perturbation.

        Raises
        ------
        UnknownName: there is none. BenchError: there are several; the message lists them.
        """
        known = [f for f in self.findings if f.perturbation == name]
        if not known:
            raise did_you_mean("perturbation", name, {f.perturbation for f in self.findings})
        found = [
            f
            for f in known
            if (group is None or f.group == group) and (method is None or f.method == method)
        ]
        if len(found) == 1:
            return found[0]
        have = "; ".join(f"group={f.group!r}, method={f.method!r}" for f in known)
        many = "several findings" if found else "no such finding"
        raise BenchError(f"There are {many} for {name!r}. Choose one: {have}.")

    def ranking(
        self, name: str, group: str | None = None, method: str | None = None
    ) -> pd.DataFrame:
        """The whole ranking of a perturbation: rank, variable, score, probability and
        log_fold_change. Raises as `finding`."""
        columns = ["rank", "variable", "score", "probability", "log_fold_change"]
        return self.finding(name, group, method).to_frame()[columns]

    def to_frame(self) -> pd.DataFrame:
        """The rankings of all findings, with `COLUMNS`."""
        import pandas as pd
        from pandas.api.types import union_categoricals

        frames = [finding.to_frame() for finding in self.findings]
        if not frames:
            return pd.DataFrame(columns=list(COLUMNS))
        columns = {}
        for name in COLUMNS:
            parts = [frame[name] for frame in frames]
            if isinstance(parts[0].dtype, pd.CategoricalDtype):
                columns[name] = pd.Series(union_categoricals(parts))
            elif all(part.isna().all() for part in parts):
                columns[name] = pd.Series(np.nan, index=range(sum(map(len, parts))))
            else:
                columns[name] = pd.concat(parts, ignore_index=True)
        return pd.DataFrame(columns)

    def plot(self, name: str, group: str | None = None, method: str | None = None) -> Figure:
        """A matplotlib figure of one perturbation (`cdnbench.prediction.plot.figure`). Of several
        methods, the first one is drawn if none is named. Raises as `finding`."""
        from cdnbench.prediction.plot import figure

        if method is None:
            own = [f for f in self.findings if f.perturbation == name and group in (None, f.group)]
            method = own[0].method if own else None
        return figure(self.finding(name, group, method))

    def __repr__(self) -> str:
        n = len({(f.perturbation, f.group) for f in self.findings})
        methods = ", ".join(dict.fromkeys(f.method for f in self.findings))
        return f"<Result: {n} perturbation{'s' * (n != 1)} by {methods or 'no method'}>"

    def _repr_html_(self) -> str:
        from cdnbench.prediction.page import fragment

        return fragment(self)

    def write_html(self, path: Path) -> None:
        """Write a page with tables and pictures that stands alone (`cdnbench.prediction.page`)."""
        from cdnbench.prediction.page import write_page

        write_page(self, Path(path))

    def write_h5ad(self, source: Path, path: Path) -> None:
        """Write a copy of the .h5ad that was read, with the result added
        (`cdnbench.prediction.annotated`). Raises InvalidData if that cannot be."""
        from cdnbench.prediction.annotated import write_annotated

        write_annotated(self, Path(source), Path(path))

    def write_csv(self, path: Path) -> None:
        """Write the rankings, one finding after another, so that the file appears whole. Links
        stay, and into pipes the rankings go at once (`cdnbench.files.output`)."""
        from cdnbench.files import output

        with output(Path(path)) as file:
            file.write((",".join(COLUMNS) + "\n").encode())
            for finding in self.findings:
                text = finding.to_frame().to_csv(header=False, index=False, lineterminator="\n")
                file.write(text.encode())

    def write_parquet(self, path: Path) -> None:
        """As `write_csv`, as .parquet."""
        import pyarrow as pa
        from pyarrow import parquet

        from cdnbench.files import output

        number = dict.fromkeys(("rank", "score", "probability", "log_fold_change", "p", "q"))
        kinds = {
            name: pa.float64() if name in number else pa.string() for name in COLUMNS
        } | dict.fromkeys(("n_control", "n_perturbed"), pa.int64())
        schema = pa.schema(list(kinds.items()))
        with output(Path(path)) as file, parquet.ParquetWriter(file, schema) as writer:
            for finding in self.findings:
                frame = finding.to_frame()
                text = [name for name in COLUMNS if kinds[name] == pa.string()]
                frame = frame.astype(dict.fromkeys(text, object))
                writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))


_LINE = (
    *("perturbation", "group", "method", "best", "score", "probability", "log_fold_change"),
    *("direction", "next", "n_control", "n_perturbed", "p", "q", "verdict", "note"),
)


def _whole(ranks: np.ndarray) -> np.ndarray:
    """As whole numbers, if all of them are."""
    return ranks.astype(np.int64) if (ranks % 1 == 0).all() else ranks


def _line(finding: Finding) -> list[Any]:
    """One row of `Result.table`."""
    best: list[Any] = [None, np.nan, np.nan, np.nan, "", ""]
    if not finding.failed:
        change = float(finding.log_fold_change[0])
        best = [
            finding.variables[0],
            float(finding.scores[0]),
            np.nan if finding.probability is None else float(finding.probability[0]),
            change,
            "up" if change > 0 else "down" if change < 0 else "",
            ", ".join(map(str, finding.variables[1:_SHOWN])),
        ]
    names = [finding.perturbation, finding.group, finding.method]
    sides = [finding.n_control, finding.n_perturbed]
    return [*names, *best, *sides, finding.p, finding.q, finding.verdict, finding.note]
