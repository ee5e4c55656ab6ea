"""Which method suits samples: what `--method auto` chooses, by size and kind of values, and why.

The figures stand in `evidence.json`, which `benchmarks/choice_evidence.py` makes from stored
results. They are mean average precisions on real data with known targets, and on simulated data
where real ones are scarce. For each situation the best method that can run is chosen. If another
one is not clearly worse, it is named as well, and what the two agree on deserves more trust.

What the figures do not tell, so that it decides nothing here:

- A few rows on both sides of anything but genes. `moderated-t` is used there, as for genes.
- Raw counts of bulk samples: one knock-down only (pasilla). DESeq2 is used as the field's habit.
- Rows that depend on each other (time series, batches), as in PetShop and Sahin. `effect-size`,
  which does not count rows, is not clearly better there than `moderated-t`, so nothing changes but
  for a note: the scores of tests are larger than such rows allow.
- Several targets at once, hidden confounders, and mixtures of units.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from cdnbench.errors import CannotRun
from cdnbench.registry import METHODS, load_class, resolve_method
from cdnbench.values import Kind

FEW, MANY = 10, 30
"""Rows on a side: fewer than `FEW` are a few replicates; from `MANY` on, spreads and dependences
can be estimated for each variable by itself."""
WIDE = 3
"""So many times more variables than a source had are worth a note."""
DESEQ2, MODERATED, NETWORK, FALLBACK = "deseq2", "moderated-t", "cdn", "target-shift"
NEEDS_ROWS = ("regression-invariance", "quantile-invariance")
"""Methods that regress on all other variables and so need more rows than variables, and two."""
NEEDS_FALL = ("lfc-rank-down",)
"""Methods that look for a fall, and say nothing of an intervention that may raise its target."""
Situation = Literal["few", "few-after", "some", "cells", "general"]

_STARTS: dict[Situation, str] = {
    "few": f"few rows (fewer than {FEW} on a side)",
    "few-after": f"few perturbed rows (fewer than {FEW}) against many controls",
    "some": f"{FEW} to {MANY - 1} rows on a side",
    "cells": f"many rows of genes ({MANY} or more on each side)",
    "general": f"many rows ({MANY} or more on each side)",
}
ON_DEPENDENCE = (
    "Neighbouring rows resemble each other, as in a time series. Scores count every row as new "
    "evidence and are too large then."
)
_ON_FEW_GENES = "Few perturbed rows against many controls have not been measured on genes."


@dataclass(frozen=True)
class Choice:
    """methods: one name, or two where none is clearly better; the first is the better one.
    why: the kind of samples, and the reason, in sentences.
    notes: what a reader should know besides, in whole sentences.
    log_counts: the methods that should get logarithms of the counts (`task.prepared`).
    """

    methods: tuple[str, ...]
    why: str
    notes: tuple[str, ...] = ()
    log_counts: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Sizes:
    """Of a single-regime task; see `cdnbench.method.Sizes`."""

    n_variables: int
    n_samples: int
    has_symbols: bool
    n_regimes: int = 1


def choose(
    n_control: int,
    n_perturbed: int,
    n_variables: int,
    kind_of_values: Kind,
    genes: bool,
    *,
    lowered: bool = False,
    dependent: bool = False,
    is_installed: Callable[[str], bool] | None = None,
) -> Choice:
    """The method, or two, for one control and one perturbed set of samples.

    Parameters
    ----------
    n_control, n_perturbed: rows.
    kind_of_values: what `cdnbench.values.kind_of_values` says.
    genes: whether the variables are genes and the values their expression.
    lowered: whether the intervention is known to lower its target's own values (a knock-out or a
        knock-down).
    dependent: whether rows depend on their neighbours.
    is_installed: module -> whether it can be imported; by default it is looked up.

    Raises
    ------
    CannotRun: there are fewer than three rows in all, so that no variance can be estimated.
    """
    if min(n_control, n_perturbed) < 1 or n_control + n_perturbed < 3:
        raise CannotRun(
            f"{n_control} control and {n_perturbed} perturbed rows: without a second row on one "
            "side nothing tells a change from chance"
        )
    notes = [ON_DEPENDENCE] if dependent else []
    fewest = min(n_control, n_perturbed)
    if genes and kind_of_values == "counts" and fewest >= 2 and max(n_control, n_perturbed) < MANY:
        return _of_bulk_counts((is_installed or _is_installed)("pydeseq2"), notes)
    situation = _situation(n_control, n_perturbed, genes)
    methods, why = _unmeasured(situation, n_variables, genes) or _best(
        situation, _Sizes(n_variables, fewest, genes), lowered and kind_of_values != "scaled"
    )
    if situation == "few" and genes and n_control >= MANY:
        notes.append(_ON_FEW_GENES)
    if n_variables > WIDE * (measured := _most_variables(situation)):
        notes.append(
            f"For {_STARTS[situation]}, methods have been measured on at most {measured:,} "
            "variables. These samples have many more."
        )
    logs = genes and kind_of_values in ("counts", "normalised")
    return Choice(methods, why, tuple(notes), methods if logs else ())


def _of_bulk_counts(has_deseq2: bool, notes: list[str]) -> Choice:
    """For raw counts of genes in a few replicates."""
    start = "raw counts of a few replicates"
    if not has_deseq2:
        why = (
            f"{start}. DESeq2, which is made for them, is not installed (pip install "
            f"'cdnbench[deseq2]'), so {MODERATED} gets logarithms of the counts."
        )
        return Choice((MODERATED,), why, tuple(notes), (MODERATED,))
    measured = evidence()["bulk_counts"]
    places = " against ".join(str(measured["places"][name]) for name in (DESEQ2, MODERATED))
    why = (
        f"{start}. DESeq2's model is made for them. {MODERATED} on logarithms stands beside it, "
        f"since the two were compared on one knock-down only ({measured['source']}: the target has "
        f"place {places} of {measured['genes']:,} genes), which shows no clear difference."
    )
    return Choice((DESEQ2, MODERATED), why, tuple(notes), (MODERATED,))


def _situation(n_control: int, n_perturbed: int, genes: bool) -> Situation:
    fewest = min(n_control, n_perturbed)
    if fewest < FEW:
        return "few-after" if n_control >= MANY and not genes else "few"
    if fewest < MANY:
        return "some"
    return "cells" if genes else "general"


def _unmeasured(
    situation: Situation, n_variables: int, genes: bool
) -> tuple[tuple[str, ...], str] | None:
    """What is done where no figure decides, and why; None where figures do."""
    if situation == "few" and not genes:
        return (MODERATED,), (
            f"{_STARTS[situation]}. {MODERATED} borrows variances from all variables, which "
            "supposes that they are in the same units. On so few rows, methods have been compared "
            "on genes only."
        )
    if situation == "some" and n_variables > WIDE * _most_variables(situation):
        return (MODERATED, NETWORK), (
            f"{_STARTS[situation]} and many variables. Methods have not been compared on such "
            f"samples. With fewer rows {MODERATED} is best, and with fewer variables {NETWORK} is."
        )
    return None


def _best(situation: Situation, sizes: _Sizes, lowered: bool) -> tuple[tuple[str, ...], str]:
    """The best method that can run, the next one if it is not clearly worse, and the reason."""
    entry, start = _entry(situation), _STARTS[situation]
    able = [
        row
        for row in entry["methods"]
        if (lowered or row["name"] not in NEEDS_FALL) and _can_run(row["name"], sizes)
    ]
    if not able:
        return (FALLBACK,), (
            f"{start}. None of the methods that have been compared can run on these samples. "
            f"{FALLBACK} can."
        )
    first, *others = able
    close = [row for row in others if row["behind"][first["name"]][0] <= 0]
    where = " and ".join(
        f"{source['name']} ({source['units']} {source['what']})"
        for source in entry["sources"]
        if source["decides"]
    )
    best = f"{first['name']} has {first['mean']:.2f}"
    if close:
        methods = (first["name"], close[0]["name"])
        best += f" and {close[0]['name']} {close[0]['mean']:.2f}, which is no clear difference"
    else:
        methods = (first["name"],)
        best += f", and the next, {others[0]['name']}, {others[0]['mean']:.2f}" if others else ""
    measure = evidence()["measure"]
    return methods, f"{start}. {measure[0].upper()}{measure[1:]} on {where}: {best}."


def _can_run(name: str, sizes: _Sizes) -> bool:
    if name in NEEDS_ROWS and sizes.n_samples <= sizes.n_variables + 2:
        return False
    base, _ = resolve_method(name)
    return load_class(METHODS, base).info.why_skip(sizes) is None  # type: ignore[attr-defined]


def _most_variables(situation: Situation) -> int:
    return max(source["variables"][1] for source in _entry(situation)["sources"])


def _entry(situation: Situation) -> dict[str, Any]:
    return evidence()["situations"][situation]


@cache
def evidence() -> dict[str, Any]:
    """The figures: `measure`, `situations` with `sources` and `methods` (the best first), and
    `bulk_counts`, places of one target."""
    text = files("cdnbench.prediction").joinpath("evidence.json").read_text(encoding="utf-8")
    return json.loads(text)


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
