"""What `bench data check` reports about prepared cell lines and the synthetic suites."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cdnbench.datasets.cells.prepared import PreparedLine
from cdnbench.datasets.cells.splits import ALIKE, SPLITS, audit
from cdnbench.datasets.synthetic import leaks
from cdnbench.datasets.synthetic.training import HELD_OUT_MECHANISMS
from cdnbench.knowledge import (
    read_annotations,
    read_embeddings,
    read_interactions,
    read_texts,
    renaming,
)

Lines = Mapping[str, PreparedLine]


def leakage_report(lines: Lines) -> str:
    """What leaks from training to test, for each split and line."""
    rows = [
        f"{'split':17} {'line':10} {'training':>8} {'test':>6} {'same gene':>10} "
        f"{'straddling':>11} {f'r >= {ALIKE}':>9}"
    ]
    for split in SPLITS:
        rows += [
            f"{split:17} {leak.line:10} {leak.n_training:8,} {leak.n_test:6,} "
            f"{leak.same_gene:10,} {leak.straddling:11,} {leak.alike:9,}"
            for leak in audit(lines, split)
        ]
    rows += [
        "same gene: test perturbations whose target also occurs in training; straddling: clusters "
        "on both sides;",
        f"r >= {ALIKE}: test profiles that correlate with a training profile by that much",
    ]
    return "\n".join(rows)


def synthetic_report() -> str:
    """What leaks from the training set of the synthetic suites to each of their tests."""
    rows = [f"{'suite':17} {'training':>8} {'test':>6} {'same dataset':>13} {'same laws':>10}"]
    rows += [
        f"{leak.suite:17} {leak.n_training:8,} {leak.n_test:6,} {leak.same_dataset:13,} "
        f"{leak.same_laws:10,}"
        for leak in leaks.audit()
    ]
    rows += [
        "same laws: test datasets whose mechanism, intervention, noise and marginal training has;",
        f"held out from training: {', '.join(HELD_OUT_MECHANISMS)}, and all other noise,",
        "interventions and marginals of synthetic-ood and synthetic-far",
    ]
    return "\n".join(rows)


def noise_report(lines: Lines) -> str:
    """The noise ceiling of each line, averaged over its tasks."""
    rows = [f"{'noise ceiling':17} {'line':10} {'tasks':>8} {'reliability':>12} {'retrieval':>10}"]
    for line in lines.values():
        r, found = (float(np.nanmean(line.arrays[name])) for name in ("reliability", "retrieval"))
        rows.append(f"{'':17} {line.name:10} {line.n_perturbations:8,} {r:12.3f} {found:10.3f}")
    rows += [
        "reliability: correlation of a profile with the one that a repeated experiment would give;",
        "retrieval: how often one half of a perturbation's cells is most like its own other half",
    ]
    return "\n".join(rows)


def knowledge_report(lines: Lines, resources: Mapping[str, Path]) -> list[str]:
    """How many genes and targets of the lines each file covers; an empty list without files."""
    genes = {str(gene) for line in lines.values() for gene in line.genes}
    targets = {gene for line in lines.values() for names in line.targets for gene in names}
    names = renaming(resources.get("identifiers"), genes)
    readers: dict[str, Any] = {
        "annotations": lambda path: read_annotations(path, names).genes.tolist(),
        "interactions": lambda path: read_interactions(path, names).genes.tolist(),
        "gene_text": lambda path: list(read_texts(path, names)),
        "embeddings": lambda path: read_embeddings(path, names).genes.tolist(),
    }
    rows = [
        f"{'knowledge':17} {'in the file':>11} {'of the genes':>15} {'of the targets':>15}  not "
        "covered"
    ]
    for kind, read in readers.items():
        if kind not in resources:
            continue
        known = set(read(resources[kind]))
        missing = sorted(targets - known)
        some = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        rows.append(
            f"{kind:17} {len(known):11,} {len(known & genes):6,} of {len(genes):5,} "
            f"{len(known & targets):6,} of {len(targets):5,}  {some}"
        )
    if len(rows) == 1:
        return []
    if names:
        rows.append(f"{len(names):,} names are translated by the table of identifiers")
    return ["\n".join(rows)]
