"""Which perturbations become tasks, and with which candidates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cdnbench.datasets.cells.screens.options import Attrition, Preparation
from cdnbench.datasets.cells.screens.raw import RawCells
from cdnbench.datasets.cells.screens.split import clusters, published_split, split_by_cluster
from cdnbench.datasets.cells.screens.survey import CONTROL, TARGETS_MEASURED, Survey
from cdnbench.digest import generator
from cdnbench.errors import InvalidData


@dataclass(frozen=True, eq=False)
class Tested:
    """Results of the tests of all Q perturbations of a survey.

    change, adjusted, shift: (Q, G) float32, log2 fold changes, adjusted p-values, and differences
    of means from the controls. n_cells: (Q,) cells per perturbation.
    """

    change: np.ndarray
    adjusted: np.ndarray
    shift: np.ndarray
    n_cells: np.ndarray


@dataclass(frozen=True, eq=False)
class Tasks:
    """The P perturbations that become tasks.

    perturbations: (P,) their numbers in the survey. genes: (G,) names of the genes that are kept.
    targets: names of the target genes of each. candidates: ascending numbers of genes for each.
    trivial: (P,) bool, True where the differential gene with the largest |change| is a target.
    """

    perturbations: np.ndarray
    genes: np.ndarray
    names: list[str]
    targets: list[list[str]]
    candidates: list[np.ndarray]
    n_differential: np.ndarray
    trivial: np.ndarray
    cluster: np.ndarray
    split: np.ndarray


def choose(
    raw: RawCells,
    found: Survey,
    tested: Tested,
    line: str,
    options: Preparation,
    attrition: Attrition,
    split_list: Path | None,
) -> Tasks:
    """Choose the perturbations that become tasks, their candidates and their side of the split.

    attrition: each step adds a row.

    Raises
    ------
    InvalidData: no perturbation is left; the message shows what each step lost.
    """
    differential = tested.adjusted < options.alpha
    kept = np.array([bool(targets) for targets in found.targets])
    n_controls = int((found.label == CONTROL).sum())

    def step(name: str, keep: np.ndarray) -> np.ndarray:
        attrition.add(name, n_controls + tested.n_cells[keep].sum(), keep.sum(), len(found.genes))
        return keep

    kept = step(
        f"more than {options.more_than} differential genes",
        kept & (differential.sum(axis=1) > options.more_than),
    )
    kept = step(
        "all targets among them",
        kept & np.array([bool(differential[p, t].all()) for p, t in enumerate(found.targets)]),
    )
    candidates = {
        p: candidate_genes(
            tested.change[p],
            differential[p],
            options,
            generator("cells", line, found.names[p], options.seed),
        )
        for p in np.flatnonzero(kept)
    }
    among = [p for p, genes in candidates.items() if np.isin(found.targets[p], genes).all()]
    kept = step(
        f"all targets among the {options.max_candidates:,} largest changes",
        np.isin(np.arange(len(kept)), among),
    )
    if not kept.any():
        raise InvalidData(
            f"{raw.path}: no perturbation has more than {options.more_than} differential genes "
            "with its targets among them.\n"
            f"{attrition.text()}\n{_cure(attrition)}"
        )
    attrition.add(
        f"control cells, at most {options.max_controls:,}",
        min(n_controls, options.max_controls) + tested.n_cells[kept].sum(),
        kept.sum(),
        len(found.genes),
    )

    chosen = np.flatnonzero(kept)
    genes = np.asarray(raw.genes, dtype=object)[found.genes]
    names, targets = [found.names[p] for p in chosen], [found.targets[p] for p in chosen]
    symbols = [[str(genes[g]) for g in t] for t in targets]
    if split_list:
        cluster, split = published_split(split_list, line, names, symbols)
    else:
        cluster = clusters(tested.change[chosen], options.clusters, options.seed)
        split = split_by_cluster(cluster, options.seed)
    magnitude = np.where(differential[chosen], np.abs(tested.change[chosen]), -1.0)
    trivial = np.array([int(np.argmax(m)) in t for m, t in zip(magnitude, targets, strict=True)])
    n_differential = differential[chosen].sum(axis=1)
    return Tasks(
        chosen,
        genes,
        names,
        symbols,
        [candidates[p] for p in chosen],
        n_differential,
        trivial,
        cluster,
        split,
    )


def _cure(attrition: Attrition) -> str:
    """Advice that depends on the first step which left no perturbation."""
    step = next((name for name, _, perturbations, _ in attrition.rows if not perturbations), "")
    if step == TARGETS_MEASURED:
        return (
            "No target is a gene of the file. Check that --genes and --target name genes in the "
            "same way (symbols or identifiers), or use a file with more genes."
        )
    return f"The step {step!r} left none; --more-than and --alpha are the thresholds of the tests."


def candidate_genes(
    change: np.ndarray, differential: np.ndarray, options: Preparation, rng: np.random.Generator
) -> np.ndarray:
    """Ascending numbers of the candidates: the differential genes with the largest |change|, and
    random other genes where these are too few."""
    chosen = np.flatnonzero(differential)
    chosen = chosen[np.argsort(-np.abs(change[chosen]), kind="stable")[: options.max_candidates]]
    missing = options.min_candidates - len(chosen)
    if missing > 0:
        others = np.setdiff1d(np.arange(len(change)), chosen)
        chosen = np.append(chosen, rng.choice(others, min(missing, len(others)), replace=False))
    return np.sort(chosen)


def controls_kept(found: Survey, line: str, options: Preparation) -> np.ndarray:
    """Ascending numbers of the control cells that are kept."""
    controls = np.flatnonzero(found.label == CONTROL)
    if len(controls) <= options.max_controls:
        return controls
    rng = generator("cells", "controls", line, options.seed)
    return np.sort(rng.choice(controls, options.max_controls, replace=False))
